"""The training loop, evaluation and prediction."""

import time
from contextlib import nullcontext

import numpy as np

from fastconv import _threads
from fastconv._shapes import integer
from fastconv.data import DataLoader
from fastconv.nn.probe import evaluating
from fastconv.optim.lr_scheduler import OneCycleLR
from fastconv.progress import Progress

BATCH_SIZE = 256


class History:
    """What a run of `fit` left behind, and what its callbacks see while it goes on.

    history: {"loss": [one number per epoch], "accuracy": ..., "val_loss": ..., ...}.
    logs: the same names, numbers of the present epoch: so far, after a batch; final, after it.
    epoch: the epoch that runs or ran last, from 1; epochs: how many were asked for.
    seconds, samples: time spent in training (not in validation), and samples seen in it.
    model, optimizer: those being trained.
    stop_training: a callback sets it to end the run after the present batch and epoch.
    """

    def __init__(self, model, optimizer, epochs):
        self.model, self.optimizer, self.epochs = model, optimizer, epochs
        self.history, self.logs = {}, {}
        self.epoch = self.samples = 0
        self.seconds = 0.0
        self.stop_training = False


def fit(
    model,
    train,
    validation=None,
    *,
    loss,
    optimizer,
    epochs,
    batch_size=BATCH_SIZE,
    lr_scheduler=None,
    lr_step=None,
    callbacks=(),
    verbose="auto",
    num_threads=None,
):
    """Trains `model` in place and returns a History.

    train, validation: a DataLoader or another iterable of (input, target) batches, or a tuple of
    two arrays, which are cut into batches of `batch_size`, those of `train` shuffled.
    loss: loss(output, target) gives a number, the mean over the batch, and loss.backward() its
    gradient with respect to the output.
    lr_step: when the scheduler moves on, after each "batch" or each "epoch"; without it after each
    batch for OneCycleLR, which counts them, and after each epoch for any other.
    callbacks: see `fastconv.callbacks`.
    verbose: 0 silent, 1 a bar and one line per epoch, 2 the lines; "auto": 1 on a terminal, else 2.
    num_threads: for every kernel of the run.

    Accuracy is given where the targets are class indices.  Raises ValueError for options out of
    range and for an epoch without batches.
    """
    if lr_step is None:
        lr_step = "batch" if isinstance(lr_scheduler, OneCycleLR) else "epoch"
    if lr_step not in ("batch", "epoch"):
        raise ValueError(f'fit: lr_step must be "batch" or "epoch", got {lr_step!r}')
    epochs = integer("fit", "epochs", epochs, 1)
    train = _batches(train, batch_size, shuffle=True)
    if validation is not None:
        validation = _batches(validation, batch_size)
    run = History(model, optimizer, epochs)
    with Progress(verbose, epochs) as progress, _threads_for(num_threads):
        _notify(callbacks, "on_train_begin", run)
        while run.epoch < epochs and not run.stop_training:
            run.epoch += 1
            _notify(callbacks, "on_epoch_begin", run)
            progress.begin_epoch(run.epoch, len(train) if hasattr(train, "__len__") else None)
            start = time.perf_counter()
            samples = _train_epoch(
                run, train, loss, lr_scheduler if lr_step == "batch" else None, callbacks, progress
            )
            seconds = time.perf_counter() - start
            run.seconds += seconds
            run.samples += samples
            if lr_scheduler is not None and lr_step == "epoch":
                lr_scheduler.step()
            if validation is not None:
                scores = evaluate(model, validation, loss=loss)
                run.logs |= {f"val_{name}": value for name, value in scores.items()}
            for name, value in run.logs.items():
                run.history.setdefault(name, []).append(value)
            progress.end_epoch(run.logs, seconds, samples)
            _notify(callbacks, "on_epoch_end", run)
        _notify(callbacks, "on_train_end", run)
    return run


def _train_epoch(run, batches, loss, lr_scheduler, callbacks, progress):
    model, optimizer, scores = run.model, run.optimizer, _Scores()
    model.train()
    for input, target in batches:
        optimizer.zero_grad()
        output = model(input)
        value = loss(output, target)
        model.backward(loss.backward(), needs_input_grad=False)
        optimizer.step()
        if lr_scheduler is not None:
            lr_scheduler.step()
        scores.add(output, target, value)
        run.logs = scores.means()
        progress.end_batch(run.logs)
        _notify(callbacks, "on_batch_end", run)
        if run.stop_training:
            break
    if not scores.samples:
        raise ValueError(
            f"fit: train gave no batches in epoch {run.epoch}; it must be a DataLoader, a list or "
            "a tuple of arrays, with samples in it (a generator serves one epoch only)"
        )
    return scores.samples


def evaluate(model, data, *, loss=None, batch_size=BATCH_SIZE, num_threads=None):
    """{"loss": ..., "accuracy": ...} of `model` on `data`, in evaluation mode.

    `data` is what `fit` takes.  "loss" is there when a loss is given, "accuracy" when the targets
    are class indices.  Raises ValueError when there is neither, or no data.
    """
    scores = _Scores()
    with evaluating(model), _threads_for(num_threads):
        for input, target in _batches(data, batch_size):
            output = model(input)
            scores.add(output, target, None if loss is None else loss(output, target))
    if not scores.means():
        raise ValueError(
            "evaluate: data must hold samples, with class indices as targets unless a loss is given"
        )
    return scores.means()


def predict(model, inputs, batch_size=BATCH_SIZE, num_threads=None):
    """The outputs of `model` for `inputs` (N, ...), in evaluation mode, batch by batch."""
    inputs = np.asarray(inputs)
    batch_size = integer("predict", "batch_size", batch_size, 1)
    with evaluating(model), _threads_for(num_threads):
        # At least one batch, an empty one if need be: it knows the shape of the output.
        starts = range(0, max(len(inputs), 1), batch_size)
        return np.concatenate([model(inputs[start : start + batch_size]) for start in starts])


class _Scores:
    """Means over the samples seen, whatever the sizes of the batches."""

    def __init__(self):
        self.samples = 0
        self._sums = {}

    def add(self, output, target, loss):
        target = np.asarray(target)
        count = len(target)
        self.samples += count
        if loss is not None:
            self._add("loss", float(loss) * count)
        if target.dtype.kind in "iu" and target.ndim == output.ndim - 1:
            right = np.count_nonzero(output.argmax(axis=1) == target)
            self._add("accuracy", right * count / max(target.size, 1))

    def _add(self, name, value):
        self._sums[name] = self._sums.get(name, 0.0) + value

    def means(self):
        return {name: total / max(self.samples, 1) for name, total in self._sums.items()}


def _batches(data, batch_size, shuffle=False):
    if not isinstance(data, tuple):
        return data
    if len(data) != 2:
        raise ValueError(f"a tuple of data must be (inputs, targets), got {len(data)} items")
    return DataLoader(*data, batch_size, shuffle)


def _notify(callbacks, event, run):
    for callback in callbacks:
        getattr(callback, event)(run)


def _threads_for(num_threads):
    return nullcontext() if num_threads is None else _threads.num_threads(num_threads)
