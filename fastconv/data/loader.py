"""Batches of in-memory arrays, in an order that the seed and the epoch alone decide."""

from collections import deque

import numpy as np

from fastconv._random import generator
from fastconv._shapes import integer
from fastconv.functional._arrays import is_channels_last
from fastconv.functional._order import to_channels_last


class DataLoader:
    """Iterates over (inputs, targets) in batches; every `iter()` is one epoch.

    inputs, targets: arrays with the samples along axis 0.  Batches keep their dtype and memory
    order; without `shuffle` they are views, with it one gathered copy.

    With `shuffle`, the seed and the number of the epoch decide the order.  `epoch` is the number of
    the next one: set it to repeat an epoch; `load_state_dict` goes on in the middle of one.
    Without a seed, the package's generator (`fastconv.manual_seed`) draws one.
    The last batch is smaller when the batch size does not divide the samples; `drop_last` leaves
    it out.

    transform(inputs, rng) -> inputs is applied to each batch of inputs, for normalisation and
    augmentation; `rng` is a NumPy Generator that depends on the seed, the epoch and the batch only.

    prefetch: so many batches are prepared in a thread while the present one is worked on; the same
    batches in the same order.  It pays when `transform` waits, for a disk say, or when processors
    are idle.  The kernels keep all of them busy: augmentation on two cores gained nothing.
    """

    def __init__(
        self, inputs, targets, batch_size=1, shuffle=False, drop_last=False, *, seed=None,
        transform=None, prefetch=0,
    ):  # fmt: skip
        self.inputs, self.targets = np.asarray(inputs), np.asarray(targets)
        if not (self.inputs.ndim and self.targets.ndim and len(self.inputs) == len(self.targets)):
            raise ValueError(
                "DataLoader: inputs and targets must have the same number of samples, "
                f"got shapes {self.inputs.shape} and {self.targets.shape}"
            )
        self.batch_size = integer("DataLoader", "batch_size", batch_size, 1)
        if seed is None:
            seed = generator().integers(2**63)
        self.seed = integer("DataLoader", "seed", seed, 0)
        self.shuffle, self.drop_last, self.transform = shuffle, drop_last, transform
        self.prefetch = integer("DataLoader", "prefetch", prefetch, 0)
        self.epoch = 0

    @property
    def epoch(self):
        """The epoch that the next `iter()` begins, from 0; one that was left early counts."""
        return self._next["epoch"]

    @epoch.setter
    def epoch(self, epoch):
        self._next = {"epoch": integer("DataLoader", "epoch", epoch, 0), "batch": 0}
        self._running = None  # as _next, for the epoch begun last, until it has ended

    def __len__(self):
        """Batches in an epoch."""
        full, rest = divmod(len(self.inputs), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self):
        # Not in the generator: the epoch is taken when it begins, even if nobody finishes it.
        position = self._next
        self.epoch += 1
        self._running = position
        return self._batches(position)

    def state_dict(self):
        """{"seed", "epoch", "batch"}: what `load_state_dict` needs to go on from here.

        Within an epoch, or after one that was left early: its number, and how many of its batches
        were handed out.  Once it has ended, or before the first: the next epoch, and 0.
        """
        return {"seed": self.seed, **(self._running or self._next)}

    def load_state_dict(self, state):
        """The next `iter()` gives the rest of that epoch, the same batches to the bit.

        A state without "batch" begins the epoch.  Raises ValueError for more batches than an epoch
        has.
        """
        seed = integer("DataLoader", "seed", state["seed"], 0)
        epoch = integer("DataLoader", "epoch", state["epoch"], 0)
        batch = integer("DataLoader", "batch", state.get("batch", 0), 0)
        if batch > len(self):
            raise ValueError(f"DataLoader: batch must be at most {len(self)}, got {batch}")
        self.seed, self.epoch = seed, epoch
        self._next["batch"] = batch

    def _batches(self, position):
        epoch, order = position["epoch"], None
        last = is_channels_last(self.inputs)
        if self.shuffle:
            order = self._rng(epoch).permutation(len(self.inputs))

        def make(batch):
            part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            if order is not None:
                part = order[part]
            inputs, targets = self.inputs[part], self.targets[part]
            if last:
                # With one channel NumPy forgets it.  The other threads are training.
                inputs = to_channels_last("DataLoader", inputs, num_threads=1)
            if self.transform is not None:
                inputs = self.transform(inputs, self._rng(epoch, batch))
            return inputs, targets

        for made in _ahead(make, range(position["batch"], len(self)), self.prefetch):
            position["batch"] += 1
            yield made
        if self._running is position:
            self._running = None

    def _rng(self, *key):
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def _ahead(make, numbers, count):
    """make(number) for each, the next `count` of them under way in a thread."""
    if not count:
        yield from (make(number) for number in numbers)
        return
    from concurrent.futures import ThreadPoolExecutor  # costs the start of every program

    pool = ThreadPoolExecutor(1, "DataLoader")
    waiting = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(make, number))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also when the consumer stops early or is interrupted
        pool.shutdown(cancel_futures=True)
