"""What `fit` calls between batches and epochs: watching, stopping, saving."""

import csv
import io
import math
from pathlib import Path

import numpy as np

from fastconv._shapes import integer
from fastconv.nn import Parameter
from fastconv.nn.watch import keeping_random, watched
from fastconv.serialization import save, write_atomically


class Callback:
    """Override what you need; `run` is the History of the run (see `fastconv.train.History`).

    `run.stop(reason)` ends the run after the present epoch, and that epoch after the present
    batch; from `on_before_optimizer_step`, without that step.
    """

    def on_train_begin(self, run):
        pass

    def on_epoch_begin(self, run):
        pass

    def on_before_optimizer_step(self, run):
        """Loss and gradients of the batch are there."""

    def on_batch_end(self, run):
        pass

    def on_epoch_end(self, run):
        pass

    def on_train_end(self, run):
        pass

    def on_interrupt(self, run):
        """A Ctrl-C has ended the run between two batches; there will be no `on_train_end`."""

    def state_dict(self):
        """What a resumed run must know: arrays, numbers, texts, and lists and dicts of these."""
        return {}

    def load_state_dict(self, state):
        """Takes it back, after `on_train_begin`."""
        vars(self).update(state)


class LambdaCallback(Callback):
    """Functions of the run as a callback: `LambdaCallback(on_epoch_end=lambda run: ...)`.

    Raises TypeError for an event that `Callback` has not.
    """

    def __init__(self, **functions):
        for event, function in functions.items():
            if not (event.startswith("on_") and hasattr(Callback, event)):
                raise TypeError(f"LambdaCallback: there is no event {event!r}")
            setattr(self, event, function)


class TerminateOnNaN(Callback):
    """Ends the run, before the step, when the loss or a gradient is NaN or infinite.

    `run.stop_reason` names the first layer, in the order of the forward pass, whose output is not
    finite, or else the first one with a parameter gradient that is not.  Looking for it runs the
    batch once more, in a copy of the model: with dropout, on another draw.
    """

    def on_before_optimizer_step(self, run):
        gradients = [p.grad for p in run.model.parameters() if p.grad is not None]
        # A sum is quick, and finite only where all of its terms are; it may overflow, too.
        if math.isfinite(run.batch_loss) and all(
            math.isfinite(grad.sum()) or np.isfinite(grad).all() for grad in gradients
        ):
            return
        run.stop(
            f"TerminateOnNaN: epoch {run.epoch}, batch {run.batch + 1}: loss {run.batch_loss}; "
            f"the first to be not finite is {_first_not_finite(run)}"
        )


def _first_not_finite(run):
    if not np.isfinite(run.batch_input).all():
        return "the input of the model"
    modules = dict(run.model.named_modules())
    order, culprits = [], []

    def record(name, module, input, output):
        order.append(name)
        if isinstance(output, np.ndarray) and not np.isfinite(output).all():
            culprits.append(name)

    with keeping_random(), np.errstate(all="ignore"):
        watched(run.model, record)(run.batch_input)

    def layer(name):
        kind = type(modules[name]).__name__
        return f"layer {name} ({kind})" if name else f"the model ({kind})"

    if culprits:
        return f"the output of {layer(culprits[0])}"
    hint = "" if math.isfinite(run.batch_loss) else ", all outputs being finite: see the targets"
    for name in order:
        for parameter, value in vars(modules[name]).items():
            grad = value.grad if isinstance(value, Parameter) else None
            if grad is not None and not np.isfinite(grad).all():
                return f"the gradient of {parameter} of {layer(name)}{hint}"
    return f"the loss{hint}"


class CSVLogger(Callback):
    """One row per epoch in the file `path`, complete on disk after each epoch.

    `append` goes on with an existing file, whose columns must be the same (ValueError).  A resumed
    run writes the rows of all its epochs.
    """

    def __init__(self, path, append=False):
        self.path, self.append = Path(path), append

    def on_train_begin(self, run):
        with self.path.open("a+", newline="") as file:  # fails before the training, if at all
            file.seek(0)
            self._before = file.read() if self.append else ""

    def on_epoch_end(self, run):
        columns = ["epoch", *run.history]
        header = next(csv.reader([*self._before.splitlines()]), None)
        if header not in (None, columns):
            raise ValueError(f"CSVLogger: {self.path} has the columns {header}, not {columns}")
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if header is None:
            writer.writerow(columns)
        epochs = zip(*run.history.values(), strict=True)
        writer.writerows([epoch, *values] for epoch, values in enumerate(epochs, 1))
        write_atomically(self.path, (self._before + text.getvalue()).encode())

    def state_dict(self):
        return {"_before": self._before}


class LearningRateScheduler(Callback):
    """Sets the learning rate of every parameter group at the start of each epoch.

    schedule(epoch, lr) gives the new rate; `epoch` counts from 0 here, as in Keras.
    """

    def __init__(self, schedule):
        self.schedule = schedule

    def on_epoch_begin(self, run):
        for group in run.optimizer.param_groups:
            group["lr"] = float(self.schedule(run.epoch - 1, group["lr"]))


class _Monitor(Callback):
    """Knows whether the epoch that ended is the best so far."""

    def __init__(self, monitor, mode, min_delta):
        if mode not in ("auto", "min", "max"):
            raise ValueError(
                f'{type(self).__name__}: mode must be "auto", "min" or "max", got {mode!r}'
            )
        if mode == "auto":
            mode = "max" if monitor.endswith("accuracy") else "min"
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.best = None

    def on_train_begin(self, run):
        self.best = None

    def state_dict(self):
        return {"best": self.best}

    def improved(self, run):
        """Compares, and remembers a new best value."""
        if self.monitor not in run.logs:
            raise ValueError(
                f"{type(self).__name__}: monitor must be one of {', '.join(run.logs)}, "
                f"got {self.monitor!r}"
            )
        value = run.logs[self.monitor]
        if self.best is None:
            better = not math.isnan(value)
        elif self.mode == "min":
            better = value < self.best - self.min_delta
        else:
            better = value > self.best + self.min_delta
        if better:
            self.best = value
        return better


class EarlyStopping(_Monitor):
    """Ends the run when `monitor` has not improved by more than `min_delta` for `patience` epochs.

    mode: "min" or "max" is better; "auto" takes "max" for what ends in "accuracy".
    With `restore_best_weights` the model gets the state of its best epoch back.
    """

    def __init__(
        self, monitor="val_loss", min_delta=0.0, patience=0, mode="auto", restore_best_weights=False
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience = integer("EarlyStopping", "patience", patience, 0)
        self.restore_best_weights = restore_best_weights

    def on_train_begin(self, run):
        super().on_train_begin(run)
        self.waited, self.best_epoch, self._state = 0, None, None

    def on_epoch_end(self, run):
        if self.improved(run):
            self.waited, self.best_epoch = 0, run.epoch
            if self.restore_best_weights:
                self._state = {name: a.copy() for name, a in run.model.state_dict().items()}
        else:
            self.waited += 1
            if self.waited >= max(self.patience, 1):
                best = "never a number" if self.best is None else f"best {self.best:.4g}"
                run.stop(
                    f"EarlyStopping: {self.monitor} has not improved for {self.waited} epoch(s), "
                    f"{best} in epoch {self.best_epoch}"
                )

    def on_train_end(self, run):
        if self._state is not None:
            run.model.load_state_dict(self._state)

    def state_dict(self):
        names = "waited", "best_epoch", "_state"
        return super().state_dict() | {name: getattr(self, name) for name in names}


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rates by `factor` when `monitor` has not improved for long.

    That is for `patience` epochs, of which the `cooldown` epochs after a reduction do not count.
    min_lr: no rate goes below.  `monitor`, `mode` and `min_delta` are EarlyStopping's; arguments
    and defaults are those of Keras.  A scheduler that writes the rates itself undoes the reduction.
    Raises ValueError for a `factor` outside of [0, 1).
    """

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be in [0, 1), got {factor!r}")
        self.factor, self.min_lr = factor, min_lr
        self.patience = integer("ReduceLROnPlateau", "patience", patience, 0)
        self.cooldown = integer("ReduceLROnPlateau", "cooldown", cooldown, 0)

    def on_train_begin(self, run):
        super().on_train_begin(run)
        self.waited = self.cooling = 0

    def on_epoch_end(self, run):
        cooling = self.cooling > 0
        if cooling:
            self.cooling -= 1
            self.waited = 0
        if self.improved(run):
            self.waited = 0
        elif not self.cooling:
            self.waited += 1
            if self.waited >= max(self.patience, 1):
                for group in run.optimizer.param_groups:
                    group["lr"] = max(group["lr"] * self.factor, min(self.min_lr, group["lr"]))
                self.cooling, self.waited = self.cooldown, 0

    def state_dict(self):
        return super().state_dict() | {"waited": self.waited, "cooling": self.cooling}


class ModelCheckpoint(_Monitor):
    """Saves the model after every epoch, or with `save_best_only` after those that improve.

    The model alone, to use it; for a run that goes on there is `fastconv.Checkpoint`.

    path: where to; {epoch} and the names of the logs are filled in, as in
    "model-{epoch:02d}-{val_loss:.3f}.safetensors".  `monitor` and `mode` are EarlyStopping's.
    """

    def __init__(self, path, monitor="val_loss", save_best_only=False, mode="auto"):
        super().__init__(monitor, mode, 0.0)
        self.path, self.save_best_only = str(path), save_best_only

    def on_epoch_end(self, run):
        if not self.save_best_only or self.improved(run):
            save(run.model, self.path.format(epoch=run.epoch, **run.logs))
