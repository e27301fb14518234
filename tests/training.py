"""Small data, models that learn in no time, and what tests of training have in common."""

import signal

import numpy as np

from fastconv import nn, optim
from fastconv._random import manual_seed
from fastconv.callbacks import Callback
from fastconv.data import DataLoader
from fastconv.train import fit


def blobs(n=96, classes=3):
    """Noisy 6 x 6 images whose bright quarter tells the class."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = rng.normal(0, 0.3, (n, 1, 6, 6)).astype(np.float32)
    for image, label in zip(x, y, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3] += 1
    return x, y


def cnn(seed=0):
    manual_seed(seed)
    layers = [nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 3))


def linear_model(value=0.0):
    """y = w x, one weight."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    next(model.parameters()).data[...] = value
    return model


def train_cnn(train=None, validation=None, *, epochs=3, lr_scheduler=None, seed=0, **options):
    model = cnn(seed)
    x, y = blobs()
    if train is None:
        train = DataLoader(x, y, 16, shuffle=True, seed=1)
    adam = optim.Adam(model.parameters(), lr=0.02)
    options.setdefault("verbose", 0)
    run = fit(
        model, train, validation, loss=nn.CrossEntropyLoss(), optimizer=adam, epochs=epochs,
        lr_scheduler=lr_scheduler and lr_scheduler(adam), **options,
    )  # fmt: skip
    return model, run


def weights(model):
    return b"".join(value.tobytes() for value in model.state_dict().values())


class Rates(Callback):
    """The learning rate that each batch was trained with."""

    def __init__(self):
        self.rates = []

    def on_epoch_begin(self, run):
        self.next = run.optimizer.param_groups[0]["lr"]

    def on_batch_end(self, run):
        self.rates.append(self.next)
        self.next = run.optimizer.param_groups[0]["lr"]


class PressCtrlC(Callback):
    """In the middle of the step of a batch, `times` times."""

    def __init__(self, epoch, batch, times=1):
        self.at, self.times = (epoch, batch), times

    def on_before_optimizer_step(self, run):
        if (run.epoch, run.batch + 1) == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
