"""Callbacks: when they are called, and what those of the package do."""

import csv
import io

import numpy as np
import pytest
from training import Rates, blobs, train_cnn, weights

from fastconv import nn, optim
from fastconv._random import generator, manual_seed
from fastconv.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from fastconv.serialization import load
from fastconv.train import evaluate, fit


class Script(Callback):
    """Puts prepared numbers in place of the validation loss."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, run):
        run.logs["val_loss"] = self.values[run.epoch - 1]


def test_callbacks_are_called_in_order():
    class Record(Callback):
        def __init__(self):
            self.events = []

        def on_train_begin(self, run):
            self.events.append("begin")

        def on_epoch_begin(self, run):
            self.events.append(f"epoch {run.epoch}")

        def on_batch_end(self, run):
            self.events.append("batch")
            assert set(run.logs) == {"loss", "accuracy"}

        def on_epoch_end(self, run):
            self.events.append("end")
            assert set(run.logs) == {"loss", "accuracy", "val_loss", "val_accuracy"}
            assert run.history["val_loss"][-1] == run.logs["val_loss"]

        def on_train_end(self, run):
            self.events.append("done")

    record, (x, y) = Record(), blobs(8)
    train_cnn((x, y), (x, y), batch_size=4, epochs=2, callbacks=[record])
    epoch = ["batch", "batch", "end"]
    assert record.events == ["begin", "epoch 1", *epoch, "epoch 2", *epoch, "done"]


@pytest.mark.parametrize(
    ("losses", "options", "stops_after"),
    [
        ([3, 2, 2.5, 1, 1], dict(), 3),
        ([3, 2, 2.5, 1, 1, 1, 1], dict(patience=2), 6),
        ([3, 2.9, 2.8, 2], dict(min_delta=0.5), 2),
        ([3, 2.9, 2.4, 2], dict(min_delta=0.5, patience=2), 4),
        ([1, 2, 3, 3], dict(mode="max"), 4),
        ([np.nan, 1, 2], dict(patience=2), 3),
        ([1, np.nan, np.nan], dict(patience=2), 3),
    ],
)
def test_early_stopping(losses, options, stops_after):
    stop = EarlyStopping(**options)
    _, run = train_cnn(epochs=len(losses), callbacks=[Script(losses), stop])
    assert run.epoch == stops_after


def test_early_stopping_restores_the_best_weights():
    states = []

    class Keep(Callback):
        def on_epoch_end(self, run):
            states.append(weights(run.model))

    stop = EarlyStopping(patience=2, restore_best_weights=True)
    model, _ = train_cnn(epochs=9, callbacks=[Script([3, 1, 2, 2, 2]), Keep(), stop])
    assert (len(states), stop.best_epoch, stop.best) == (4, 2, 1)
    assert weights(model) == states[1] != states[3]


def test_monitors_are_checked():
    with pytest.raises(ValueError, match="monitor must be one of loss, accuracy, got 'val_loss'"):
        train_cnn(callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="EarlyStopping: mode must be"):
        EarlyStopping(mode="best")
    with pytest.raises(ValueError, match="EarlyStopping: patience must be at least 0"):
        EarlyStopping(patience=-1)
    assert EarlyStopping("val_accuracy").mode == "max"
    assert EarlyStopping("val_loss").mode == "min"


def test_model_checkpoint(tmp_path):
    pytest.importorskip("safetensors")
    every = ModelCheckpoint(tmp_path / "model-{epoch:02d}-{val_loss:.1f}.safetensors")
    best = ModelCheckpoint(tmp_path / "best-{epoch}.safetensors", save_best_only=True)
    model, _ = train_cnn(callbacks=[Script([2, 3, 1]), every, best])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best-1.safetensors", "best-3.safetensors", "model-01-2.0.safetensors",
        "model-02-3.0.safetensors", "model-03-1.0.safetensors",
    ]  # fmt: skip
    last = load(tmp_path / "best-3.safetensors")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(last[name], value, strict=True)


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("old\n")
    _, run = train_cnn(callbacks=[CSVLogger(path)])
    _, more = train_cnn(epochs=1, callbacks=[CSVLogger(path, append=True)])
    header, *rows = csv.reader(io.StringIO(path.read_text()))
    assert header == ["epoch", "loss", "accuracy"]
    assert [row[0] for row in rows] == ["1", "2", "3", "1"]
    assert [float(row[1]) for row in rows] == run.history["loss"] + more.history["loss"]
    path.write_text("other,columns\n")
    with pytest.raises(ValueError, match=r"CSVLogger: .*other"):
        train_cnn(epochs=1, callbacks=[CSVLogger(path, append=True)])


class Poison(nn.Module):
    """Passes on, but for one element that becomes infinite: forward, or on the way back."""

    def __init__(self, forward=False, backward=False):
        self.forth, self.back = forward, backward

    @staticmethod
    def _spoilt(array, spoil):
        array = np.array(array)
        if spoil:
            array.ravel()[-1] = np.inf
        return array

    def forward(self, input):
        return self._spoilt(input, self.forth)

    def backward(self, grad_output, needs_input_grad=True):
        return self._spoilt(grad_output, self.back)


def terminated(model, batches, capsys, **options):
    """The reason of a run that TerminateOnNaN ends; the model is as it was before that batch."""
    before = weights(model)
    sgd = optim.SGD(model.parameters(), lr=0.0)
    run = fit(
        model, batches, loss=nn.MSELoss(), optimizer=sgd, epochs=5, callbacks=[TerminateOnNaN()],
        **options,
    )  # fmt: skip
    assert run.stop_training
    assert weights(model) == before
    assert capsys.readouterr().out.splitlines()[-1] == run.stop_reason
    return run


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_terminate_on_nan_names_the_layer(capsys):
    good = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    bad_input = np.full((4, 3), np.nan, np.float32), good[1]
    bad_target = good[0], np.full((4, 2), np.nan, np.float32)

    def net(at, **how):
        """Three Linear and their ReLUs, one of these layers replaced."""
        layers = [nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)]
        if at is not None:
            layers[at] = Poison(**how)
        return nn.Sequential(*layers)

    start = "TerminateOnNaN: epoch 1, batch 2: loss {}; the first to be not finite is {}"
    for model, batches, loss, culprit in (
        (net(None), [good, bad_input], "nan", "the input of the model"),
        (
            net(None),
            [good, bad_target],
            "nan",
            "the gradient of weight of layer 0 (Linear), all outputs being finite: see the targets",
        ),
    ):
        run = terminated(model, batches, capsys)
        assert run.stop_reason == start.format(loss, culprit)
        assert (run.epoch, run.samples) == (1, 8)
        assert len(run.history["loss"]) == 1
    start = start.replace("batch 2", "batch 1")
    for at, kind in ((1, "Poison"), (3, "Poison")):
        run = terminated(net(at, forward=True), [good], capsys)
        assert run.stop_reason.endswith(f"is the output of layer {at} ({kind})")
    model = net(None)
    model[2].weight.data[0, 0] = np.nan
    assert terminated(model, [good], capsys).stop_reason.endswith("the output of layer 2 (Linear)")
    model[2].weight.data[0, 0] = 0
    assert (
        "is the output of layer 1.body (Poison)"
        in terminated(
            nn.Sequential(nn.Linear(3, 2), nn.Residual(Poison(forward=True))), [good], capsys
        ).stop_reason
    )
    # All outputs finite: back from layer 3, the gradients of 2 and 0 are not, and 0 comes first.
    run = terminated(net(3, backward=True), [good], capsys)
    assert run.stop_reason.endswith("is the gradient of weight of layer 0 (Linear)")
    run = terminated(net(1, backward=True), [good], capsys)
    assert run.stop_reason.endswith("is the gradient of weight of layer 0 (Linear)")
    model = net(3, backward=True)
    model[0].weight.requires_grad = model[0].bias.requires_grad = False
    run = terminated(model, [good], capsys)
    assert run.stop_reason.endswith("is the gradient of weight of layer 2 (Linear)")


def test_terminate_on_nan_leaves_a_good_run_alone():
    reference, _ = train_cnn()
    model, run = train_cnn(callbacks=[TerminateOnNaN()])
    assert weights(model) == weights(reference)
    assert (run.stop_training, run.stop_reason) == (False, None)


def test_a_search_for_nan_leaves_no_trace():
    """Running statistics and random numbers, in the forward that looks for the layer."""
    manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))
    seen = []

    class Watch(Callback):
        def on_before_optimizer_step(self, run):
            seen.append((weights(model), generator().bit_generator.state))

    batch = np.ones((4, 3), np.float32), np.full((4, 1), np.nan, np.float32)
    fit(
        model, [batch], loss=nn.MSELoss(), optimizer=optim.SGD(model.parameters()), epochs=1,
        verbose=0, callbacks=[Watch(), TerminateOnNaN(), Watch()],
    )  # fmt: skip
    assert seen[0] == seen[1]


def test_a_run_that_is_stopped_before_the_first_batch_of_an_epoch():
    seen = []

    class Stop(Callback):
        def on_epoch_begin(self, run):
            if run.epoch == 2:
                run.stop("enough")

        def on_epoch_end(self, run):
            seen.append(run.epoch)

        def on_train_end(self, run):
            seen.append("end")

    history = train_cnn(callbacks=[Stop()], epochs=3)[1]
    assert seen == [1, "end"]
    assert (history.epoch, len(history.history["loss"])) == (1, 1)
    assert history.stop_reason == "enough"


def test_lambda_callback():
    events = []
    watch = LambdaCallback(
        on_epoch_end=lambda run: events.append(run.epoch),
        on_train_end=lambda run: events.append("end"),
    )
    train_cnn(callbacks=[watch])
    assert events == [1, 2, 3, "end"]
    with pytest.raises(TypeError, match="LambdaCallback: there is no event 'on_batch'"):
        LambdaCallback(on_batch=print)
    with pytest.raises(TypeError, match="LambdaCallback: there is no event 'state_dict'"):
        LambdaCallback(state_dict=print)


def test_learning_rate_scheduler_counts_as_keras_does():
    seen, watch = [], Rates()

    def schedule(epoch, lr):
        seen.append((epoch, lr))
        return lr / 2

    train_cnn(epochs=3, callbacks=[LearningRateScheduler(schedule), watch])
    assert seen == [(0, 0.02), (1, 0.01), (2, 0.005)]
    assert watch.rates == [0.01] * 6 + [0.005] * 6 + [0.0025] * 6


@pytest.mark.parametrize(
    ("losses", "options", "rates"),
    [
        # After each epoch, from a rate of 16.
        ([5, 4, 4, 3, 3, 3], dict(patience=1), [16, 16, 8, 8, 4, 2]),
        ([5, 4, 4, 4, 4, 4], dict(patience=2), [16, 16, 16, 8, 8, 4]),
        ([5, 4, 4, 4, 4, 4], dict(patience=0), [16, 16, 8, 4, 2, 1]),
        ([5, 5, 5, 5, 5, 5], dict(patience=1, cooldown=2), [16, 8, 8, 4, 4, 2]),
        ([5, 5, 5, 5], dict(patience=1, min_lr=6), [16, 8, 6, 6]),
        ([5, 4.9, 4.8, 4.2], dict(patience=1, min_delta=0.5), [16, 8, 4, 4]),
        ([5, 6, 6, 7], dict(patience=1, mode="max"), [16, 16, 8, 8]),
        ([5, np.nan, np.nan], dict(patience=1), [16, 8, 4]),
    ],
)
def test_reduce_lr_on_plateau(losses, options, rates):
    """As Keras counts: the epoch in which a cooldown of 2 runs out is the first to count again."""
    seen = []

    class Watch(Callback):
        def on_train_begin(self, run):
            run.optimizer.param_groups[0]["lr"] = 16.0

        def on_epoch_end(self, run):
            seen.append(run.optimizer.param_groups[0]["lr"])

    options = {"min_delta": 0.0, **options}
    reduce = ReduceLROnPlateau(factor=0.5, **options)
    train_cnn(epochs=len(losses), callbacks=[Script(losses), reduce, Watch()])
    assert seen == rates
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau: factor must be in \[0, 1\), got 1"):
        ReduceLROnPlateau(factor=1)


def test_the_reason_of_an_early_stop_is_shown(capsys):
    _, run = train_cnn(epochs=5, verbose=2, callbacks=[Script([2, 1, 3]), EarlyStopping()])
    assert run.stop_reason == (
        "EarlyStopping: val_loss has not improved for 1 epoch(s), best 1 in epoch 2"
    )
    assert capsys.readouterr().out.splitlines()[-1] == run.stop_reason


def test_metrics_of_a_run():
    x, y = blobs()
    model, run = train_cnn(validation=(x, y), metrics=["top_2_accuracy"])
    assert set(run.history) == {"loss", "top_2_accuracy", "val_loss", "val_top_2_accuracy"}
    scores = evaluate(model, (x, y), metrics=["top_2_accuracy"])
    assert run.history["val_top_2_accuracy"][-1] == scores["top_2_accuracy"] > 0.8
