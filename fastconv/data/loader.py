"""Batches of in-memory arrays, in an order that the seed and the epoch alone decide."""

import numpy as np

from fastconv._random import generator
from fastconv._shapes import integer


class DataLoader:
    """Iterates over (inputs, targets) in batches; every `iter()` is one epoch.

    inputs, targets: arrays with the samples along axis 0.  Batches keep their dtype and memory
    order; without `shuffle` they are views, with it one gathered copy.

    With `shuffle`, the seed and the number of the epoch decide the order: set `epoch` to repeat or
    resume one.  Without a seed, the package's generator (`fastconv.manual_seed`) draws one.
    The last batch is smaller when the batch size does not divide the samples; `drop_last` leaves
    it out.

    transform(inputs, rng) -> inputs is applied to each batch of inputs, for normalisation and
    augmentation; `rng` is a NumPy Generator that depends on the seed, the epoch and the batch only.
    """

    def __init__(
        self, inputs, targets, batch_size=1, shuffle=False, drop_last=False, *, seed=None,
        transform=None,
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
        self.epoch = 0

    def __len__(self):
        """Batches in an epoch."""
        full, rest = divmod(len(self.inputs), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self):
        # Not in the generator: the epoch is taken when it starts, even if nobody finishes it.
        epoch = self.epoch
        self.epoch += 1
        return self._batches(epoch)

    def state_dict(self):
        """What `load_state_dict` needs to go on with the next epoch."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state):
        self.seed = integer("DataLoader", "seed", state["seed"], 0)
        self.epoch = integer("DataLoader", "epoch", state["epoch"], 0)

    def _batches(self, epoch):
        if self.shuffle:
            order = self._rng(epoch).permutation(len(self.inputs))
        for batch in range(len(self)):
            part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            if self.shuffle:
                part = order[part]
            inputs, targets = self.inputs[part], self.targets[part]
            if self.transform is not None:
                inputs = self.transform(inputs, self._rng(epoch, batch))
            yield inputs, targets

    def _rng(self, *key):
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
