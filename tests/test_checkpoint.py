"""Runs that are stopped and resumed end with the bits of runs that were not."""

import json
import shutil
import signal
import threading

import numpy as np
import pytest
from training import PressCtrlC

pytest.importorskip("safetensors")

import fastconv
from fastconv import checkpoint, nn, optim
from fastconv.callbacks import Callback, CSVLogger, EarlyStopping, ReduceLROnPlateau
from fastconv.checkpoint import Checkpoint
from fastconv.data import DataLoader
from fastconv.interrupt import Interrupted
from fastconv.serialization import load, load_metadata, save
from fastconv.train import fit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 1, 6, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 44)


def augment(images, rng):
    return images + rng.normal(0, 0.1, images.shape).astype(np.float32)


def sgd(parameters):
    return optim.SGD(parameters, 0.05, momentum=0.9, nesterov=True)


def rmsprop(parameters):
    return optim.RMSprop(parameters, 0.002, momentum=0.5, centered=True)


def adam(parameters):
    return optim.Adam(parameters, 0.01, amsgrad=True)


def adamw(parameters):
    first, *rest = parameters
    return optim.AdamW([{"params": [first], "lr": np.float32(0.01)}, {"params": rest}], lr=0.02)


def one_cycle(optimizer):
    return optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=100)


def steps(optimizer):
    return optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)


class Experiment:
    """A run with everything in it that has a state, made anew for every process it stands for."""

    def __init__(self, optimizer=adam, schedule=steps, seed=0, loader=True, csv=None):
        fastconv.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
            nn.Linear(64, 8), nn.Dropout(0.3, rng=np.random.Generator(np.random.MT19937(seed))),
            nn.ReLU(), nn.Linear(8, 3),
        )  # fmt: skip
        self.optimizer = optimizer(self.model.parameters())
        self.schedule = schedule and schedule(self.optimizer)
        if loader:
            self.train = DataLoader(X, Y, 8, shuffle=True, transform=augment)
            self.validation = DataLoader(X, Y, 16, shuffle=True, transform=augment)
        else:
            self.train = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 44, 8)]
            self.validation = (X, Y)
        self.callbacks = [
            EarlyStopping(patience=2, restore_best_weights=True),
            ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=0.05),
        ]
        if csv:
            self.callbacks.append(CSVLogger(csv))

    def run(self, *more, resume=None, loss=None, epochs=4):
        self.history = fit(
            self.model, self.train, self.validation, loss=loss or nn.CrossEntropyLoss(),
            optimizer=self.optimizer, lr_scheduler=self.schedule, epochs=epochs, verbose=0,
            metrics=["accuracy", "top_2_accuracy"], callbacks=[*more, *self.callbacks],
            resume=resume,
        )  # fmt: skip
        return self

    def bits(self):
        arrays = {}
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history.history,
            "random": fastconv._random.generator().bit_generator.state,
        }
        text = json.dumps(checkpoint._encode(state, "", arrays))
        return text, {name: (a.shape, a.tobytes()) for name, a in arrays.items()}


pytestmark = pytest.mark.usefixtures("ctrl_c_interrupts")


class Every(Checkpoint):
    """Keeps a copy of every file that it writes."""

    def __init__(self, path):
        super().__init__(path, every=0)
        self.copies = []

    def save(self, run):
        super().save(run)
        self.copies.append(shutil.copy(self.path, f"{self.path}-{len(self.copies)}"))


@pytest.mark.parametrize(
    ("optimizer", "schedule", "loader"),
    [
        (sgd, steps, True),
        (rmsprop, None, True),
        (adam, one_cycle, True),
        (adamw, one_cycle, True),
        (adam, steps, False),
    ],
)
def test_from_every_checkpoint_to_the_same_bits(tmp_path, optimizer, schedule, loader):
    options = dict(optimizer=optimizer, schedule=schedule, loader=loader)
    whole = Experiment(**options, csv=tmp_path / "log.csv").run()
    kept = Every(tmp_path / "run")
    watched = Experiment(**options, csv=tmp_path / "watched.csv").run(kept)
    assert watched.bits() == whole.bits()  # to look on changes nothing
    batches = len(whole.history.history["loss"]) * 6
    assert len(kept.copies) >= batches + 2
    rows = (tmp_path / "log.csv").read_text()
    assert (tmp_path / "watched.csv").read_text() == rows
    for copy in kept.copies:
        again = Experiment(**options, seed=9, csv=tmp_path / "again.csv").run(resume=copy)
        assert again.bits() == whole.bits(), copy
        assert again.history.epoch == whole.history.epoch
        assert again.history.samples == whole.history.samples
        assert (tmp_path / "again.csv").read_text() == rows


def test_a_run_can_become_longer(tmp_path):
    path = tmp_path / "run"

    def experiment(seed=0):
        experiment = Experiment(schedule=steps, seed=seed)
        experiment.callbacks = []
        return experiment

    experiment().run(Checkpoint(path), epochs=2)
    longer = experiment(seed=5).run(resume=path, epochs=5)
    assert longer.bits() == experiment().run(epochs=5).bits()


def test_a_run_can_become_longer_though_the_best_weights_came_back(tmp_path):
    path = tmp_path / "run"

    def experiment(seed=0):
        experiment = Experiment(schedule=steps, seed=seed)
        experiment.callbacks = [EarlyStopping("loss", patience=9, mode="max",
                                              restore_best_weights=True)]  # fmt: skip
        return experiment

    short = experiment().run(Checkpoint(path), epochs=3)
    assert short.callbacks[0].best_epoch == 1  # of three: not the weights of the last
    longer = experiment(seed=5).run(resume=path, epochs=5)
    assert longer.bits() == experiment().run(epochs=5).bits()


def test_a_finished_run_leaves_a_file_under_another_name(tmp_path):
    whole = Experiment().run(Checkpoint(tmp_path / "run"), epochs=2)
    again = Experiment(seed=3).run(Checkpoint(tmp_path / "copy"), resume=tmp_path / "run", epochs=2)
    assert again.bits() == whole.bits()
    assert checkpoint.read(tmp_path / "copy")["run"]["epoch"] == 2


def test_when_it_is_written(tmp_path, monkeypatch):
    """At the start, after 10 s, at the end: batches of 4 s each."""
    now, times = [0.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])

    class Clock(Callback):
        def on_batch_end(self, run):
            now[0] += 4

    class Noted(Checkpoint):
        def save(self, run):
            times.append(now[0])
            super().save(run)

    def times_with(every):
        now[0] = 0.0
        times.clear()
        experiment = Experiment()
        experiment.callbacks = []
        experiment.run(Noted(tmp_path / "run", every), Clock(), epochs=1)
        return list(times)

    assert times_with(10) == [0, 12, 24, 24]
    assert times_with(60) == [0, 24]
    assert times_with(0) == [0, 4, 8, 12, 16, 20, 24, 24, 24]
    assert times_with(None) == []


def test_values_come_back_as_they_were():
    values = {
        "floats": [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, np.inf, -np.inf],
        "integers": (0, -1, 2**130),
        7: {"text": 'µ\n"', "none": None, "yes": True, (1, 2): [[], (), {}]},
        "arrays": [np.arange(6, dtype=np.uint64).reshape(2, 3), np.array(3), np.zeros((0, 2))],
        "scalars": [np.float32(0.1), np.int64(-3), np.bool_(True)],
        "a.b": np.ones(1),
        "a": {"b": np.zeros(1)},
    }
    arrays = {}
    text = json.dumps(checkpoint._encode(values, "", arrays))
    back = checkpoint._decode(json.loads(text), arrays)
    np.testing.assert_equal(back, values)
    assert repr(back["floats"]) == repr(values["floats"])
    assert back[7] == values[7]
    assert isinstance(back["integers"], tuple)
    for scalar, want in zip(back["scalars"], values["scalars"], strict=True):
        assert type(scalar) is type(want)
    with pytest.raises(TypeError, match=r"Checkpoint: a\.0 must be a number"):
        checkpoint._encode({"a": [print]}, "", {})


def test_what_does_not_fit_is_refused(tmp_path):
    path, other = tmp_path / "run", tmp_path / "other"
    Experiment().run(Checkpoint(path), epochs=1)

    def refused(experiment, path=path):
        with pytest.raises(ValueError, match=str(path)) as caught:
            experiment.run(resume=path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    fewer = Experiment()
    fewer.callbacks.pop()
    assert "callbacks must be ['EarlyStopping', 'ReduceLROnPlateau']" in refused(fewer)
    assert "optimizer, schedule and data must be" in refused(Experiment(schedule=None))
    assert "OneCycleLR.load_state_dict: keys" in refused(Experiment(schedule=one_cycle))
    assert "SGD.load_state_dict: a parameter group" in refused(Experiment(optimizer=sgd))
    changed = Experiment()
    changed.model = nn.Sequential(*changed.model, nn.Linear(3, 3))
    assert "unexpected" not in (text := refused(changed))
    assert "missing keys: 9.weight" in text
    changed.model = nn.Sequential(*list(changed.model)[:6])
    assert "random generators must be" in refused(changed)

    content = path.read_bytes()
    for damaged in (b"", b"junk", content[:-1], content[:200]):
        other.write_bytes(damaged)
        assert "not readable as safetensors" in refused(Experiment(), other)
    save({"a": np.zeros(3)}, other)
    assert "not a checkpoint" in refused(Experiment(), other)
    state = load_metadata(path)[checkpoint.KEY]
    for text in (
        "[]",
        "{}",
        "{",
        "null",
        '{"what": 1}',
        '{"array": "no"}',
        '{"dict": 1}',
        "[" * 99999,
    ):
        save(load(path), other, {checkpoint.KEY: text})
        refused(Experiment(), other)
    save(load(path), other, {checkpoint.KEY: state})
    Experiment().run(resume=other)
    with pytest.raises(FileNotFoundError):
        Experiment().run(resume=tmp_path / "absent")
    with pytest.raises(ValueError, match="Checkpoint: every must be at least 0 seconds or None"):
        Checkpoint(path, every=-1)


# -------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("at", [(1, 1), (1, 4), (2, 6)])
def test_ctrl_c_waits_for_the_batch_and_saves(tmp_path, at):
    path, whole = tmp_path / "run", Experiment().run()
    text = rf"in epoch {at[0]}/4, after batch {at[1]}"
    with pytest.raises(Interrupted, match=text):
        Experiment().run(PressCtrlC(*at), Checkpoint(path, every=None))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    state = checkpoint.read(path)["run"]
    assert (state["epoch"], state["batch"]) == at
    assert Experiment(seed=3).run(resume=path).bits() == whole.bits()


@pytest.mark.parametrize("moment", [1, 3])
def test_ctrl_c_during_validation(tmp_path, moment):
    class Loss(nn.CrossEntropyLoss):
        """Presses it in the forward of the first or last batch of the first validation."""

        seen = 0

        def forward(self, output, target):
            self.seen += 1
            if self.seen == 6 + moment:
                signal.raise_signal(signal.SIGINT)
            return super().forward(output, target)

    path, whole = tmp_path / "run", Experiment().run()
    with pytest.raises(Interrupted):
        Experiment().run(Checkpoint(path, every=None), loss=Loss())
    assert checkpoint.read(path)["run"]["batch"] == 6
    assert Experiment(seed=3).run(resume=path).bits() == whole.bits()


def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt) as caught:
        Experiment().run(PressCtrlC(1, 3, times=2), Checkpoint(path, every=None))
    assert caught.type is KeyboardInterrupt
    assert not path.exists()  # half a step is not kept
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_last_ctrl_c_is_not_lost():
    class Press(Callback):
        def on_train_end(self, run):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="in epoch 1/1, after batch 6"):
        Experiment().run(Press(), epochs=1)


@pytest.mark.parametrize("every", [None, 60.0])
def test_ctrl_c_at_the_end_leaves_the_file_of_the_end(tmp_path, every):
    class Press(Callback):
        def on_train_end(self, run):
            signal.raise_signal(signal.SIGINT)

    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        Experiment().run(Checkpoint(path, every=every), Press(), epochs=2)
    assert Experiment(seed=3).run(resume=path, epochs=2).bits() == Experiment().run(epochs=2).bits()


def test_handlers_of_others_are_left_alone():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *args: seen.append(args))
    try:
        mine = signal.getsignal(signal.SIGINT)
        Experiment().run(PressCtrlC(1, 2), epochs=1)
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(seen) == 1


def test_other_threads_have_no_signals():
    histories = []
    thread = threading.Thread(target=lambda: histories.append(Experiment().run(epochs=1).history))
    thread.start()
    thread.join()
    assert histories[0].epoch == 1
