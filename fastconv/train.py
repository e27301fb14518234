"""The training loop, evaluation and prediction."""

import time
from contextlib import nullcontext
from itertools import islice

import numpy as np

from fastconv import _threads
from fastconv._shapes import integer
from fastconv.checkpoint import Checkpoint, is_resumable, restore
from fastconv.data import DataLoader
from fastconv.interrupt import DeferredInterrupt, Interrupted
from fastconv.metrics import Scores
from fastconv.nn.probe import evaluating
from fastconv.optim.lr_scheduler import OneCycleLR
from fastconv.progress import Progress

BATCH_SIZE = 256


class History:
    """What a run of `fit` left behind, and what its callbacks see while it goes on.

    history: {"loss": [one number per epoch], "accuracy": ..., "val_loss": ..., ...}.
    logs: the same names, numbers of the present epoch: so far, after a batch; final, after it.
    epoch: the epoch that runs or ran last, from 1; epochs: how many were asked for.
    phase, batch: "train" or "validate", None between two epochs, and how many of its batches are
    done.
    batch_input, batch_target, batch_loss: the present batch, and its loss.
    seconds, samples: time spent in training (not in validation), and samples seen in it.
    model, optimizer, lr_scheduler, train, validation, callbacks: as `fit` has them.
    stop_training: whether the run ends after the present batch and epoch; `stop` sets it.
    stop_reason: why, or None.
    """

    def __init__(self, model, optimizer, epochs, lr_scheduler=None, train=None, validation=None):
        self.model, self.optimizer, self.epochs = model, optimizer, epochs
        self.lr_scheduler, self.train, self.validation = lr_scheduler, train, validation
        self.callbacks = []
        self.history, self.logs = {}, {}
        self.scores = Scores()
        self.epoch = self.batch = self.samples = 0
        self.phase, self.stop_training = None, False
        self.seconds = self.epoch_seconds = 0.0
        self.stop_reason = None
        self.batch_input = self.batch_target = self.batch_loss = None

    def stop(self, reason):
        """Ends the run after the present epoch, and that epoch after the present batch.

        reason: a line for the user, shown at the end of the run.
        """
        self.stop_training, self.stop_reason = True, reason

    def notify(self, event):
        """Calls every callback's method of that name."""
        for callback in self.callbacks:
            getattr(callback, event)(self)


def fit(
    model,
    train,
    validation=None,
    *,
    loss,
    optimizer,
    epochs,
    batch_size=BATCH_SIZE,
    metrics=None,
    lr_scheduler=None,
    lr_step=None,
    callbacks=(),
    resume=None,
    verbose="auto",
    num_threads=None,
):
    """Trains `model` in place and returns a History.

    train, validation: a DataLoader or another iterable of (input, target) batches, or a tuple of
    two arrays, which are cut into batches of `batch_size`, those of `train` shuffled.
    loss: loss(output, target) gives a number, the mean over the batch, and loss.backward() its
    gradient with respect to the output.
    metrics: "accuracy", "top_5_accuracy", "mse", "mae" or functions metric(output, target), see
    `fastconv.metrics`; without them accuracy, where the targets are class indices.
    lr_step: when the scheduler moves on, after each "batch" or each "epoch"; without it after each
    batch for OneCycleLR, which counts them, and after each epoch for any other.
    callbacks: see `fastconv.callbacks`; a `fastconv.Checkpoint` is called after all others.
    resume: a file of `fastconv.Checkpoint`, from a run with the same arguments (but for `epochs`,
    of which there may be more now): goes on from there, to the bits of a run never stopped.
    verbose: 0 silent, 1 a bar and one line per epoch, 2 the lines; "auto": 1 on a terminal, else 2.
    num_threads: for every kernel of the run.

    Ctrl-C is answered after the present batch: the model is whole, a Checkpoint is written, and
    KeyboardInterrupt raised.  A second Ctrl-C interrupts at once.  A program's own handler of
    SIGINT stays in force instead.

    Raises ValueError for options out of range, an epoch without batches, and a `resume` that is not
    of such a run.
    """
    if lr_step is None:
        lr_step = "batch" if isinstance(lr_scheduler, OneCycleLR) else "epoch"
    if lr_step not in ("batch", "epoch"):
        raise ValueError(f'fit: lr_step must be "batch" or "epoch", got {lr_step!r}')
    epochs = integer("fit", "epochs", epochs, 1)
    train = _batches(train, batch_size, shuffle=True)
    if validation is not None:
        validation = _batches(validation, batch_size)
    run = History(model, optimizer, epochs, lr_scheduler, train, validation)
    run.scores = Scores(metrics)
    # A checkpoint holds what the other callbacks know after the same event.
    run.callbacks = sorted(callbacks, key=lambda each: isinstance(each, Checkpoint))
    with (
        Progress(verbose, epochs) as progress,
        _threads_for(num_threads),
        DeferredInterrupt() as interrupt,
    ):
        try:
            run.notify("on_train_begin")
            if resume is not None:
                restore(run, resume)
            while run.phase or (run.epoch < epochs and not run.stop_training):
                if run.phase is None:
                    _begin_epoch(run, metrics)
                    if run.phase is None:  # it was stopped
                        break
                progress.begin_epoch(run.epoch, _len(train), run.batch)
                if run.phase == "train":
                    by_batch = lr_scheduler if lr_step == "batch" else None
                    _train_epoch(run, loss, by_batch, progress, interrupt)
                    run.phase = "validate"
                if validation is not None:
                    _validate(run, loss, metrics, interrupt)
                if lr_scheduler is not None and lr_step == "epoch":
                    lr_scheduler.step()
                for name, value in run.logs.items():
                    run.history.setdefault(name, []).append(value)
                run.phase = None
                progress.end_epoch(run.logs, run.epoch_seconds, run.scores.samples)
                run.notify("on_epoch_end")
                interrupt.check()
            for each in run.callbacks:
                if isinstance(each, Checkpoint):
                    each.finish(run)
            run.notify("on_train_end")
            progress.end(run.stop_reason)
            interrupt.check()
        except Interrupted as interrupted:
            interrupted.args = (f"in epoch {run.epoch}/{epochs}, after batch {run.batch}",)
            run.notify("on_interrupt")
            raise
    return run


def _begin_epoch(run, metrics):
    run.epoch += 1
    run.phase, run.batch, run.epoch_seconds = "train", 0, 0.0
    run.scores, run.logs = Scores(metrics), {}
    run.notify("on_epoch_begin")
    if run.stop_training:  # before its first batch: it did not begin
        run.epoch, run.phase = run.epoch - 1, None


def _train_epoch(run, loss, lr_scheduler, progress, interrupt):
    """All batches of the present epoch, or those that a resumed run has left."""
    model, optimizer, scores = run.model, run.optimizer, run.scores
    batches = iter(run.train)
    if not is_resumable(run.train):
        batches = islice(batches, run.batch, None)
    model.train()
    before = time.perf_counter()
    for input, target in () if run.stop_training else batches:
        optimizer.zero_grad()
        output = model(input)
        value = loss(output, target)
        model.backward(loss.backward(), needs_input_grad=False)
        run.batch_input, run.batch_target, run.batch_loss = input, target, value
        run.notify("on_before_optimizer_step")
        if not run.stop_training:
            optimizer.step()
            if lr_scheduler is not None:
                lr_scheduler.step()
        scores.add(output, target, value)
        run.logs = scores.means()
        run.batch += 1
        run.samples += len(target)
        now = time.perf_counter()
        run.seconds += now - before
        run.epoch_seconds += now - before
        before = now
        progress.end_batch(run.logs)
        run.notify("on_batch_end")
        if run.stop_training:
            break
        interrupt.check()
    if not scores.samples:
        raise ValueError(
            f"fit: train gave no batches in epoch {run.epoch}; it must be a DataLoader, a list or "
            "a tuple of arrays, with samples in it (a generator serves one epoch only)"
        )


def _validate(run, loss, metrics, interrupt):
    loader = run.validation
    before = loader.state_dict() if is_resumable(loader) else None
    try:
        scores = _evaluate(run.model, loader, loss, metrics, interrupt.check)
    except Interrupted:
        if before is not None:  # all of it again when the run goes on
            loader.load_state_dict(before)
        raise
    run.logs |= {f"val_{name}": value for name, value in scores.items()}


def evaluate(model, data, *, loss=None, metrics=None, batch_size=BATCH_SIZE, num_threads=None):
    """{"loss": ..., "accuracy": ...} of `model` on `data`, in evaluation mode.

    `data` and `metrics` are what `fit` takes.  "loss" is there when a loss is given.
    Raises ValueError when there is nothing to tell: no loss, no metric, or no data.
    """
    with _threads_for(num_threads):
        return _evaluate(model, _batches(data, batch_size), loss, metrics)


def _evaluate(model, batches, loss, metrics, check=None):
    """`check` is called after each batch, and may raise."""
    scores = Scores(metrics)
    with evaluating(model):
        for input, target in batches:
            output = model(input)
            scores.add(output, target, None if loss is None else loss(output, target))
            if check is not None:
                check()
    if not scores.means():
        raise ValueError(
            "evaluate: data must hold samples, with class indices as targets unless a loss or "
            "metrics are given"
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


def _batches(data, batch_size, shuffle=False):
    if not isinstance(data, tuple):
        return data
    if len(data) != 2:
        raise ValueError(f"a tuple of data must be (inputs, targets), got {len(data)} items")
    return DataLoader(*data, batch_size, shuffle)


def _len(batches):
    return len(batches) if hasattr(batches, "__len__") else None


def _threads_for(num_threads):
    return nullcontext() if num_threads is None else _threads.num_threads(num_threads)
