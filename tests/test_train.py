"""fit, evaluate, predict and the callbacks, on problems small enough to check by hand."""

import csv
import io
import sys
import types

import numpy as np
import pytest

from fastconv import nn, optim
from fastconv._random import generator, manual_seed
from fastconv._threads import get_num_threads
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
from fastconv.data import DataLoader
from fastconv.progress import TextBar, describe
from fastconv.serialization import load
from fastconv.train import evaluate, fit, predict


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


# ---------------------------------------------------------------------------------- the loop


def test_it_learns():
    x, y = blobs()
    model, run = train_cnn(validation=(x, y), epochs=8)
    assert run.history["loss"][-1] < 0.5 * run.history["loss"][0]
    assert run.history["val_accuracy"][-1] > 0.95
    assert {name: len(values) for name, values in run.history.items()} == dict.fromkeys(
        ["loss", "accuracy", "val_loss", "val_accuracy"], 8
    )
    assert (run.epoch, run.samples) == (8, 8 * 96)
    assert run.seconds > 0
    assert evaluate(model, (x, y))["accuracy"] == run.history["val_accuracy"][-1]


def weights(model):
    return b"".join(value.tobytes() for value in model.state_dict().values())


def test_same_bits_again_and_for_any_number_of_threads():
    first, run = train_cnn()
    for threads in (None, 1, 2, 3):
        again, rerun = train_cnn(num_threads=threads)
        assert weights(again) == weights(first)
        assert rerun.history == run.history
    assert weights(train_cnn(seed=1)[0]) != weights(first)


def test_one_step_by_hand():
    """loss (w x - t)^2, w = 1, x = 2, t = 5: gradient 2 * 2 * (2 - 5) = -12, lr 0.1: w = 2.2."""
    model = linear_model(1.0)
    sgd = optim.SGD(model.parameters(), lr=0.1)
    # A gradient that was left behind must not count.
    next(model.parameters()).grad = np.full((1, 1), 100, np.float32)
    batch = (np.float32([[2]]), np.float32([[5]]))
    run = fit(model, [batch], loss=nn.MSELoss(), optimizer=sgd, epochs=1, verbose=0)
    np.testing.assert_allclose(next(model.parameters()).data, 2.2, rtol=1e-6)
    assert run.history == {"loss": [9.0]}


def test_means_count_samples_not_batches():
    """Outputs 1 for every input; batches of 3 and 1 with errors 0, 0, 0 and 2."""
    model = linear_model(1.0)
    data = DataLoader(np.ones((4, 1), np.float32), np.float32([[1], [1], [1], [3]]), 3)
    assert evaluate(model, data, loss=nn.MSELoss()) == {"loss": 1.0}


def test_accuracy_counts_every_position():
    """Class indices over space: (N, C, W) against (N, W)."""
    x = np.zeros((2, 2, 4), np.float32)
    x[0, 1, :3] = 1
    target = np.array([[1, 1, 0, 0], [0, 0, 0, 1]])
    identity = nn.Sequential(nn.LeakyReLU(1.0))
    assert evaluate(identity, (x, target)) == {"accuracy": 6 / 8}


def test_every_form_of_data():
    x, y = blobs(32)
    batches = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 32, 8)]
    reference, _ = train_cnn(batches)
    model, _ = train_cnn(DataLoader(x, y, 8))
    assert weights(model) == weights(reference)
    _, run = train_cnn((batch for batch in batches), epochs=1)
    assert run.samples == 32
    _, run = train_cnn((x, y), batch_size=5, epochs=2)
    assert run.samples == 64
    scores = [evaluate(reference, data) for data in ((x, y), batches, DataLoader(x, y, 5))]
    assert scores[0] == scores[1] == scores[2]


def test_modes_are_set_and_restored():
    modes = []

    class Probe(nn.Module):
        def forward(self, input):
            modes.append(self.training)
            return input

        def backward(self, grad_output, needs_input_grad=True):
            return grad_output

    model = nn.Sequential(Probe(), nn.Linear(1, 1))
    model[1].eval()
    data = (np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
    predict(model, data[0])
    assert (modes, model[0].training, model[1].training) == ([False], True, False)
    sgd = optim.SGD(model.parameters(), lr=0.1)
    fit(model, data, data, loss=nn.MSELoss(), optimizer=sgd, epochs=2, verbose=0)
    assert modes[1:] == [True, False, True, False]


def test_predict_is_the_model_in_batches():
    model, _ = train_cnn(epochs=1)
    x, _ = blobs(10)
    model.eval()
    expected = model(x)
    model.train()
    for batch_size in (1, 3, 10, 99):
        np.testing.assert_array_equal(predict(model, x, batch_size), expected)
    assert predict(model, x[:0]).shape == (0, 3)


class Rates(Callback):
    """The learning rate that each batch was trained with."""

    def __init__(self):
        self.rates = []

    def on_epoch_begin(self, run):
        self.next = run.optimizer.param_groups[0]["lr"]

    def on_batch_end(self, run):
        self.rates.append(self.next)
        self.next = run.optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize(
    ("step_size", "lr_step", "expected"),
    [
        (1, None, [0.02] * 6 + [0.01] * 6),
        (1, "epoch", [0.02] * 6 + [0.01] * 6),
        (6, "batch", [0.02] * 6 + [0.01] * 6),
        (1, "batch", [0.02 * 0.5**k for k in range(12)]),
    ],
)
def test_schedulers_step_by_epoch_or_batch(step_size, lr_step, expected):
    def halve(optimizer):
        return optim.lr_scheduler.StepLR(optimizer, step_size, gamma=0.5)

    watch = Rates()
    train_cnn(epochs=2, lr_scheduler=halve, lr_step=lr_step, callbacks=[watch])
    assert watch.rates == pytest.approx(expected)


def test_one_cycle_counts_batches_by_itself():
    def cycle(optimizer):
        return optim.lr_scheduler.OneCycleLR(optimizer, 0.05, epochs=2, steps_per_epoch=6)

    watch = Rates()
    train_cnn(epochs=2, lr_scheduler=cycle, callbacks=[watch])
    assert watch.rates[0] == pytest.approx(0.05 / 25)
    assert max(watch.rates) > 0.04
    assert watch.rates[-1] == pytest.approx(0.05 / 25 / 1e4)


def test_num_threads_holds_inside_only():
    inside, before = [], get_num_threads()

    class Watch(Callback):
        def on_batch_end(self, run):
            inside.append(get_num_threads())

    train_cnn(epochs=1, num_threads=1, callbacks=[Watch()])
    assert set(inside) == {1}
    assert get_num_threads() == before


def test_bad_arguments():
    x, y = blobs(8)
    model = cnn()
    for options, message in (
        (dict(epochs=0), "fit: epochs must be at least 1, got 0"),
        (dict(lr_step="step"), "lr_step must be"),
        (dict(verbose=3), 'verbose must be 0, 1, 2 or "auto", got 3'),
        (dict(train=[]), "no batches in epoch 1"),
        (dict(train=(x[:0], y[:0])), "no batches in epoch 1"),
        (dict(train=((x, y) for _ in range(1))), "no batches in epoch 2.*generator"),
        (dict(train=(x, y, y)), "must be .inputs, targets., got 3"),
        (dict(train=(x, y), batch_size=0), "batch_size must be at least 1"),
        (dict(validation=[]), "evaluate: data must hold samples"),
        (dict(num_threads=0), "num_threads must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            train_cnn(**options)
    with pytest.raises(ValueError, match=r"evaluate: data must hold samples, with class indices"):
        evaluate(linear_model(), (x[:, 0, 0, :1], x[:, 0, 0, :1]))
    with pytest.raises(ValueError, match="predict: batch_size must be at least 1"):
        predict(model, x, 0)


# --------------------------------------------------------------------------------- callbacks


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


# ---------------------------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=["tqdm", "no tqdm"])
def bars(request, monkeypatch):
    """With tqdm, and as if it were not installed."""
    if request.param == "tqdm":
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
        monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))


@pytest.mark.usefixtures("bars")
@pytest.mark.parametrize(
    ("verbose", "terminal", "lines", "bar"),
    [
        (0, True, 0, False), (1, False, 2, True), (2, True, 2, False), ("auto", True, 2, True),
        ("auto", False, 2, False),
    ],
)  # fmt: skip
def test_what_is_shown(verbose, terminal, lines, bar, monkeypatch, capsys):
    stderr = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    _, run = train_cnn(epochs=2, verbose=verbose)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == lines
    for epoch, line in enumerate(printed):
        assert line.startswith(f"epoch {epoch + 1}/2  loss {run.history['loss'][epoch]:.4f}  accu")
        assert line.endswith("samples/s")
    assert ("/6" in stderr.getvalue()) == bar
    if bar:
        assert "\r" in stderr.getvalue()
        assert "\n" not in stderr.getvalue()
    else:
        assert not stderr.getvalue()


@pytest.mark.usefixtures("bars")
def test_interruption_removes_the_bar(monkeypatch):
    class Interrupt(Callback):
        def on_batch_end(self, run):
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(KeyboardInterrupt):
        train_cnn(verbose=1, callbacks=[Interrupt()])
    assert sys.stderr.getvalue().endswith("\r")


def test_text_bar():
    bar = TextBar(4, "epoch 1/2")
    bar.count = 3
    assert str(bar) == f"epoch 1/2 |{'#' * 18}{'.' * 6}| 3/4  "
    bar.total = None
    bar.set_postfix_str("loss 1", refresh=False)
    assert str(bar) == "epoch 1/2  3 batches  loss 1"


def test_describe():
    values = {"loss": 0.12345, "tiny": 1.5e-7, "none": 0.0, "bad": np.nan, "big": 123.4}
    assert describe(values) == "loss 0.1235  tiny 1.50e-07  none 0.0000  bad nan  big 123.4000"
