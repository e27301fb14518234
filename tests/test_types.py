"""The stubs: a user's program passes `mypy --strict`, and a wrong one does not."""

import os
from pathlib import Path

import pytest
from programs import HOME, run

PROGRAM = Path(__file__).parent / "typed_program.py"

WRONG = """
import fastconv
from fastconv import nn

nn.Conv2d(1, "2", 3)
fastconv.conv2d([1.0], [1.0], strides=2)
text: str = fastconv.conv2d([1.0], [1.0])
nn.Linear(1, 2).weigth
"""


def mypy(tmp_path, program):
    pytest.importorskip("mypy", reason="mypy is not installed")
    installed = Path(HOME).name in ("site-packages", "dist-packages")
    return run(
        "-m", "mypy", "--config-file=", "--strict", "--cache-dir", str(tmp_path), str(program),
        PYTHONPATH=None, MYPYPATH=None if installed else HOME, timeout=200,
    )  # fmt: skip


def test_a_program_runs():
    done = run(str(PROGRAM))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "True 2 4 True\n"


def test_types(tmp_path):
    done = mypy(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    done = mypy(tmp_path, wrong)
    for line, kind in ((5, "arg-type"), (6, "call-arg"), (7, "assignment"), (8, "attr-defined")):
        assert any(
            f"wrong.py:{line}: error" in text and f"[{kind}]" in text
            for text in done.stdout.splitlines()
        ), done.stdout


def test_the_marker_and_the_stubs_are_installed():
    house = Path(HOME, "fastconv")
    assert (house / "py.typed").is_file()
    for name in ("__init__", "functional/conv", "nn/module", "torch/functional", "_kernels/cpu"):
        assert (house / f"{name}.pyi").is_file(), os.listdir(house)
