"""What this installation is and what it uses: the text of `fastconv info`."""

import os
import platform

import numpy as np

from fastconv import _kernels, _threads
from fastconv._kernels import cpu

# extra of the package -> distribution that it installs
EXTRAS = {
    "progress": "tqdm", "save": "safetensors", "image": "pillow", "plot": "matplotlib",
    "download": "pooch", "sparse": "scipy",
}  # fmt: skip


def show_config(mode="stdout"):
    """Prints version, instruction set, threads and extras; `mode="dicts"` returns them as a dict.

    The two modes are those of `numpy.show_config`; any other is a ValueError.
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f'show_config: mode must be "stdout" or "dicts", got {mode!r}')
    config = {
        "version": _version("fastconv"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "isa": _kernels.isa,
        "available_isas": list(_kernels.available_isas),
        "openmp": cpu.openmp_version(),
        "num_threads": _threads.get_num_threads(),
        "num_threads_reason": _threads_reason(),
        "extras": {extra: _version(name) for extra, name in EXTRAS.items()},
    }
    if mode == "dicts":
        return config
    for name, text in _lines(config):
        print(f"{name:<17}{text}")
    return None


def _lines(config):
    yield "fastconv", config["version"]
    yield "Python", f"{config['python']} on {config['machine']}"
    yield "NumPy", config["numpy"]
    capped = ", capped by FASTCONV_ISA" if os.environ.get("FASTCONV_ISA") else ""
    yield "instruction set", f"{config['isa']} (of {', '.join(config['available_isas'])}{capped})"
    yield "OpenMP", config["openmp"] or "none, a serial build"
    yield "threads", f"{config['num_threads']} ({config['num_threads_reason']})"
    for extra, version in config["extras"].items():
        found = version or f"missing: pip install 'fastconv[{extra}]'"
        yield f"[{extra}]", f"{EXTRAS[extra]} {found}"


def _threads_reason():
    """Which of the rules of `fastconv._threads` decided."""
    if not cpu.openmp_version():
        return "a serial build"
    if _threads._forked:
        return "a forked child runs serially"
    if _threads.get_num_threads() < _threads._default():
        return "limited through OpenMP, as threadpoolctl does"
    if _threads._chosen.value is not None:
        return "set by set_num_threads or --num-threads"
    if _threads._asked:
        return f"OMP_NUM_THREADS={_threads._asked}"
    return "the processors that affinity and cgroup quota allow"


def _version(distribution):
    import importlib.metadata  # half of NumPy's start-up time

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
