"""fit, evaluate, predict and the callbacks, on problems small enough to check by hand."""

import io
import sys
import types

import numpy as np
import pytest
from training import Rates, blobs, cnn, linear_model, train_cnn, weights

from fastconv import nn, optim
from fastconv._threads import get_num_threads
from fastconv.callbacks import (
    Callback,
)
from fastconv.data import DataLoader
from fastconv.progress import TextBar, describe
from fastconv.train import evaluate, fit, predict

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
    sizes = (1, 3, 10, 99)
    batches = [[model(x[i : i + size]) for i in range(0, len(x), size)] for size in sizes]
    model.train()
    for size, outputs in zip(sizes, batches, strict=True):
        np.testing.assert_array_equal(predict(model, x, size), np.concatenate(outputs))
    assert predict(model, x[:0]).shape == (0, 3)


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
