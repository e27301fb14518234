"""`fastconv train --resume`: processes that are killed or stopped, and go on to the same bits."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import programs
import pytest
from training import PressCtrlC

pytest.importorskip("safetensors")

from fastconv import checkpoint
from fastconv.cli import main
from fastconv.data import save_idx
from fastconv.serialization import load, load_metadata, save

pytestmark = pytest.mark.usefixtures("ctrl_c_interrupts")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 120), ("t10k", 20)):
        save_idx(
            folder / f"{split}-images-idx3-ubyte", rng.integers(0, 256, (count, 9, 8), np.uint8)
        )
        save_idx(folder / f"{split}-labels-idx1-ubyte", (np.arange(count) % 4).astype(np.uint8))
    return folder


def options(data, epochs=3):
    return ["--data", str(data), "--batch-size", "7", "--epochs", str(epochs), "--seed", "5"]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The model of a run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "model"
    assert main(["train", *options(data), "--out", str(out)]) == 0
    return out.read_bytes()


def start(*args, cwd):
    environment = {**os.environ, "PYTHONPATH": programs.HOME, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "fastconv", "train", *map(str, args)], cwd=cwd,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_kill_9_at_any_moment(data, tmp_path, whole):
    """Killed again and again: 54 batches, and a file is being written most of the time."""
    random_moment, kills, finished = random.Random(0), 0, False
    state = tmp_path / "state"
    command = [*options(data), "--checkpoint", "state", "--checkpoint-every", "0", "--out", "model"]
    while not finished:
        process = start(*(["--resume", "state"] if state.exists() else command), cwd=tmp_path)
        before = state.stat().st_mtime_ns if state.exists() else None
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if state.exists() and state.stat().st_mtime_ns != before:
                break  # it has begun to train; now a moment of it
            time.sleep(0.001)
        if kills < 6:
            time.sleep(random_moment.uniform(0, 0.03))
            process.kill()
            kills += process.poll() is None or process.wait() == -signal.SIGKILL
        _, errors = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), errors
        finished = process.returncode == 0
    assert kills >= 3
    assert (tmp_path / "model").read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "state"]


def test_resume_says_no_more_than_the_file(data, tmp_path, whole, capsys, monkeypatch):
    """From another folder, for a run that had been interrupted."""
    monkeypatch.chdir(tmp_path)
    target = ["--target-acc", "1"]  # the labels have nothing to do with the images
    press = PressCtrlC(2, 3)
    monkeypatch.setattr("fastconv.commands.train.TerminateOnNaN", lambda: press)
    assert main(["train", *options(data), "--out", "model", *target, "--checkpoint", "a b"]) == 130
    captured = capsys.readouterr()
    assert captured.err == (
        "fastconv train: interrupted in epoch 2/3, after batch 3 - go on with: "
        "fastconv train --resume 'a b'\n"
    )
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    assert main(["train", "--resume", str(tmp_path / "a b")]) == 1
    assert (tmp_path / "model").read_bytes() == whole
    assert "below the target 1" in capsys.readouterr().err
    # Once more: all is done, and the model is written again.
    (tmp_path / "model").unlink()
    again = ["--json", "--target-acc", "0", "--epochs", "3", "--data", str(data)]
    assert main(["train", "--resume", str(tmp_path / "a b"), *again]) == 0
    assert (tmp_path / "model").read_bytes() == whole
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["epochs"] == 3
    assert result["images_per_second"] == pytest.approx(360 / result["train_seconds"])


def test_ctrl_c_in_a_process(data, tmp_path):
    process = start(*options(data, 10_000), "--checkpoint", "state", cwd=tmp_path)
    assert process.stdout.readline().startswith("epoch 1/10000")
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - sent < 10  # generous: a machine may be busy
    assert process.returncode == 130
    assert errors.count("\n") == 1
    assert errors.startswith("fastconv train: interrupted in epoch ")
    assert errors.endswith(" - go on with: fastconv train --resume state\n")
    assert checkpoint.read(tmp_path / "state")["run"]["epoch"] >= 1


def test_the_report_of_a_resumed_run_is_of_all_of_it(data, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    from fastconv import report

    curves = []

    class Kept(report.LearningCurves):
        def on_train_end(self, run):
            curves.append((self.training, self.validation, self.epoch_ends))

    monkeypatch.setattr(report, "LearningCurves", Kept)
    state, folder = tmp_path / "state", tmp_path / "report"
    command = ["train", *options(data), "--report", str(folder)]
    assert main(command) == 0
    with monkeypatch.context() as patch:
        patch.setattr("fastconv.commands.train.TerminateOnNaN", lambda: PressCtrlC(2, 3))
        assert main([*command, "--checkpoint", str(state)]) == 130
    assert main(["train", "--resume", str(state)]) == 0
    assert f"wrote {folder / 'report.html'}" in capsys.readouterr().out
    assert len(curves) == 2
    assert curves[0] == curves[1]


def test_ctrl_c_with_an_out_alone(data, tmp_path, whole, capsys, monkeypatch):
    out, state = tmp_path / "model", tmp_path / "model.checkpoint"
    monkeypatch.setattr("fastconv.commands.train.TerminateOnNaN", lambda: PressCtrlC(1, 2))
    assert main(["train", *options(data), "--out", str(out)]) == 130
    assert f"go on with: fastconv train --resume {state}" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["train", "--resume", str(state), "--quiet"]) == 0
    assert out.read_bytes() == whole
    assert capsys.readouterr() == ("", "")


def test_bad_resumes(data, tmp_path, capsys, monkeypatch):
    state, other = tmp_path / "state", tmp_path / "other"
    monkeypatch.setattr("fastconv.commands.train.TerminateOnNaN", lambda: PressCtrlC(1, 2))
    assert main(["train", *options(data), "--checkpoint", str(state)]) == 130
    monkeypatch.undo()
    capsys.readouterr()

    def refused(*args):
        assert main(["train", *map(str, args)]) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        return captured.err

    assert f"--epochs 4: the run in {state} has 3" in refused("--resume", state, "--epochs", 4)
    assert f"--lr 0.5: the run in {state} has 0.01" in refused("--resume", state, "--lr", 0.5)
    assert "has fast" in refused("--resume", state, "--recipe", "best")
    assert "--data" in refused("--resume", state, "--data", tmp_path)
    assert "was begun without it" in refused("--resume", state, "--report", tmp_path / "r")
    assert "that has not ended, in epoch 1 of 3" in refused("--checkpoint", state)
    assert "No such file" in refused("--resume", other)
    other.write_text("what a user needs")
    assert "not readable as safetensors" in refused("--checkpoint", other)
    assert other.read_text() == "what a user needs"
    save({"a": np.zeros(1)}, other)
    assert "not a checkpoint of fastconv train" in refused("--resume", other)
    about = json.loads(load_metadata(state)["fastconv.train"])
    for change in ({"epochs": "3"}, {"out": 5}, {"lr": None}, {"more": 1}, {"recipe": "worst"}):
        text = json.dumps(about | {"options": about["options"] | change})
        save(load(state), other, load_metadata(state) | {"fastconv.train": text})
        assert "not a checkpoint of fastconv train" in refused("--resume", other)
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    text = json.dumps(about | {"options": about["options"] | {"data": str(copy)}})
    save(load(state), other, load_metadata(state) | {"fastconv.train": text})
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert "the data were" in refused("--resume", other)
        (copy / name).write_bytes(content)
    # All as it was, but on another processor.
    text = json.dumps(about | {"isa": "abacus"})
    save(load(state), other, load_metadata(state) | {"fastconv.train": text})
    assert main(["train", "--resume", str(other)]) == 0
    assert "begun on abacus" in capsys.readouterr().err
