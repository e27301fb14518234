"""The scripts in examples/ do what they say."""

import re
from pathlib import Path

import programs

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_mnist_in_twenty_lines():
    script = EXAMPLES / "mnist.py"
    assert len(script.read_text().splitlines()) <= 20
    done = programs.run(script, timeout=250)
    assert done.returncode == 0, done.stderr
    *epochs, last = done.stdout.splitlines()
    assert [line.split()[:2] for line in epochs] == [["epoch", "1/1"]]
    accuracy = re.fullmatch(r"test accuracy (0\.\d{4})", last)
    assert float(accuracy[1]) >= 0.985
