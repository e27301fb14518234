"""What `fit` calls between batches and epochs: watching, stopping, saving."""

import csv
import math
from pathlib import Path

from fastconv._shapes import integer
from fastconv.serialization import save


class Callback:
    """Override what you need; `run` is the History of the run (see `fastconv.train.History`).

    `run.stop_training = True` ends the run after the present epoch, and that epoch after the
    present batch.
    """

    def on_train_begin(self, run):
        pass

    def on_epoch_begin(self, run):
        pass

    def on_batch_end(self, run):
        pass

    def on_epoch_end(self, run):
        pass

    def on_train_end(self, run):
        pass


class TerminateOnNaN(Callback):
    """Ends the run as soon as the loss is NaN or infinite."""

    def on_batch_end(self, run):
        if not math.isfinite(run.logs["loss"]):
            run.stop_training = True


class CSVLogger(Callback):
    """One row per epoch in the file `path`, complete on disk after each epoch.

    `append` goes on with an existing file, whose columns must be the same (ValueError).
    """

    def __init__(self, path, append=False):
        self.path, self.append = Path(path), append

    def on_train_begin(self, run):
        if not self.append:
            self.path.write_text("")

    def on_epoch_end(self, run):
        columns = ["epoch", *run.logs]
        with self.path.open("a+", newline="") as file:
            file.seek(0)
            header = next(csv.reader(file), None)
            if header not in (None, columns):
                raise ValueError(f"CSVLogger: {self.path} has the columns {header}, not {columns}")
            writer = csv.writer(file)
            if header is None:
                writer.writerow(columns)
            writer.writerow([run.epoch, *run.logs.values()])


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
            run.stop_training |= self.waited >= max(self.patience, 1)

    def on_train_end(self, run):
        if self._state is not None:
            run.model.load_state_dict(self._state)


class ModelCheckpoint(_Monitor):
    """Saves the model after every epoch, or with `save_best_only` after those that improve.

    path: where to; {epoch} and the names of the logs are filled in, as in
    "model-{epoch:02d}-{val_loss:.3f}.safetensors".  `monitor` and `mode` are EarlyStopping's.
    """

    def __init__(self, path, monitor="val_loss", save_best_only=False, mode="auto"):
        super().__init__(monitor, mode, 0.0)
        self.path, self.save_best_only = str(path), save_best_only

    def on_epoch_end(self, run):
        if not self.save_best_only or self.improved(run):
            save(run.model, self.path.format(epoch=run.epoch, **run.logs))
