"""Other Python processes, which find the same fastconv as this one."""

import os
import subprocess
import sys
from pathlib import Path

import fastconv

HOME = str(Path(fastconv.__file__).parents[1])


def run(*arguments, timeout=120, **environment):
    """The finished `python *arguments`; environment variables of None are removed."""
    path = os.pathsep.join([HOME, *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run(
        # -P: the folder that the tests run in may hold a fastconv whose kernels are not built.
        [sys.executable, "-P", "-W", "error", *arguments],
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def output(code, timeout=120, **environment):
    """What a program prints; it must end well and leave stderr empty."""
    done = run("-c", code, timeout=timeout, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def command(*arguments, **environment):
    """The finished `fastconv *arguments`, in a process of its own."""
    return run("-m", "fastconv", *map(str, arguments), **environment)
