"""fastconv: convolutional neural networks on the CPU.

    fit, evaluate, predict, callbacks, Checkpoint, metrics         training
    nn, optim, data, theory                                        layers, optimizers, data sets
    functional (all of it also here: fastconv.conv2d, ...)         checked functions on arrays
    _shapes, _threads, _algorithm                                  sizes, thread counts, algorithms
    _kernels                                                       typed Cython, one build per ISA

Each line uses only those below it.  Beside them: gradcheck, save, load, show_config, and embed,
the doors for other languages.  Above them: cli with its commands, report, plot, and bench, which
lies in the folder of that name in a source tree.
"""

from fastconv import _kernels  # noqa: F401 - before NumPy: here a sub-interpreter is refused

# isort: split
from fastconv import callbacks, data, embed, functional, metrics, nn, optim, theory
from fastconv._algorithm import algorithm, get_algorithm, set_algorithm
from fastconv._kernels.memory import empty_cache
from fastconv._random import manual_seed
from fastconv._threads import get_num_threads, num_threads, set_num_threads
from fastconv.checkpoint import Checkpoint
from fastconv.config import show_config
from fastconv.embed import get_include
from fastconv.functional import *
from fastconv.gradcheck import GradcheckError, gradcheck
from fastconv.serialization import load, load_metadata, save
from fastconv.train import History, evaluate, fit, predict

__all__ = [
    "Checkpoint",
    "GradcheckError",
    "History",
    "algorithm",
    "callbacks",
    "data",
    "embed",
    "empty_cache",
    "evaluate",
    "fit",
    "functional",
    "get_algorithm",
    "get_include",
    "get_num_threads",
    "gradcheck",
    "load",
    "load_metadata",
    "manual_seed",
    "metrics",
    "nn",
    "num_threads",
    "optim",
    "predict",
    "save",
    "set_algorithm",
    "set_num_threads",
    "show_config",
    "theory",
    *functional.__all__,
]


def __getattr__(name):
    if name == "__version__":
        import importlib.metadata  # half of NumPy's start-up time

        return importlib.metadata.version("fastconv")
    raise AttributeError(f"module 'fastconv' has no attribute {name!r}")
