"""The course of a training, as its pictures want it."""

import numpy as np

from fastconv.callbacks import Callback
from fastconv.train import evaluate

VALIDATION_IMAGES = 1000
VALIDATIONS = 20  # in a run, besides one at the end of each epoch


class LearningCurves(Callback):
    """Remembers loss and accuracy of every batch, the learning rate, and scores on test images.

    batches: the DataLoader of the training; loss: what `fit` takes.  About twenty times in a run
    the model is evaluated on some of the test images of `data`, which changes nothing in it.
    """

    def __init__(self, classifier, data, batches, loss):
        self.batches, self.loss = batches, loss
        # Evenly spread: test sets may be sorted by class.
        few = np.linspace(0, len(data.x_test) - 1, VALIDATION_IMAGES).astype(int)
        few = np.unique(few)
        self._sample = classifier.prepare(data.x_test[few]), data.y_test[few]
        self.training = {"step": [], "loss": [], "accuracy": [], "lr": []}
        self.validation = {"step": [], "loss": [], "accuracy": []}
        self.epoch_ends = []

    @property
    def validation_images(self):
        return len(self._sample[1])

    def on_train_begin(self, run):
        self.run, self._step = run, 0
        self._in_epoch, self._sums = 0, {}
        self._every = max(run.epochs * len(self.batches) // VALIDATIONS, 1)

    def on_epoch_begin(self, run):
        self._in_epoch, self._sums = 0, {"loss": 0.0, "accuracy": 0.0}

    def on_batch_end(self, run):
        self._step += 1
        before = self._in_epoch
        self._in_epoch = min(before + self.batches.batch_size, len(self.batches.inputs))
        self.training["step"].append(self._step)
        self.training["lr"].append(run.optimizer.param_groups[0]["lr"])
        for name, old in self._sums.items():
            # The logs are means since the epoch began: the batch is what came on top.
            self._sums[name] = run.logs[name] * self._in_epoch
            value = (self._sums[name] - old) / (self._in_epoch - before)
            self.training[name].append(value)
        if self._step % self._every == 0:
            self._validate(run)

    def on_epoch_end(self, run):
        self.epoch_ends.append(self._step)
        if self.validation["step"][-1:] != [self._step]:
            self._validate(run)

    def state_dict(self):
        return {
            "step": self._step,
            "in_epoch": self._in_epoch,
            "sums": self._sums,
            "training": self.training,
            "validation": self.validation,
            "epoch_ends": self.epoch_ends,
        }

    def load_state_dict(self, state):
        self._step, self._in_epoch, self._sums = state["step"], state["in_epoch"], state["sums"]
        self.training, self.validation = state["training"], state["validation"]
        self.epoch_ends = state["epoch_ends"]

    def _validate(self, run):
        self.validation["step"].append(self._step)
        for name, value in evaluate(run.model, self._sample, loss=self.loss).items():
            self.validation[name].append(value)
