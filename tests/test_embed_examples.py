"""examples/embed: each is built and run from an empty folder, and copies no array.

What each computes is checked against plain NumPy; a copy would show in the process's memory.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import programs
import pytest

import fastconv

EXAMPLES = Path(__file__).parent.parent / "examples" / "embed"
FILES = [path for path in EXAMPLES.rglob("*.*") if path.is_file()]
COMPILERS = {".c": os.environ.get("CC", "cc"), ".cpp": os.environ.get("CXX", "c++")}

# Large enough that a copy of an input or output is seen, in kB of the process's peak.
CHECK = """
import resource
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

def numpy_convolve(x, weight):
    windows = sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def check(convolve, steps=1, dtype="f"):
    rng = np.random.default_rng(0)
    small = rng.integers(-3, 4, (2, 3, 9 * steps, 8)).astype(dtype)[:, :, ::steps]
    weight = rng.integers(-3, 4, (5, 3, 3, 3)).astype(dtype)
    y = np.zeros((2, 5, 9 * steps, 8), dtype)[:, :, ::steps]
    convolve(small, weight, y)
    np.testing.assert_array_equal(y, numpy_convolve(small, weight))
    x, y = (np.ones((1, 8, 1000 * steps, 1000), dtype)[:, :, ::steps] for _ in range(2))
    weight = np.ones((8, 8, 3, 3), dtype)
    before = peak()
    convolve(x, weight, y)
    grown = peak() - before
    assert (y[0, :, 1:-1, 1:-1] == 72).all() and (y[0, :, ::999, ::999] == 32).all()
    assert grown < x.nbytes // 1024 // 4, grown
    print("checked")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty one, and programs that run there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def take(folder, *names):
    for name in names:
        shutil.copy(EXAMPLES / name, folder)


def python(program):
    """The last line that a program prints; it imports from the folder it runs in."""
    return programs.output(f"import sys; sys.path.insert(0, '')\n{program}").splitlines()[-1]


def compile_with(name, *arguments):
    compiler = COMPILERS[Path(name).suffix].split()
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no compiler: {compiler[0]}")
    built = subprocess.run(
        [*compiler, "-Wall", "-Wextra", "-Werror", f"-I{fastconv.get_include()}", name, *arguments],
        capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr


def test_every_example_is_a_page_and_is_tested():
    here = Path(__file__).read_text()
    assert len(FILES) >= 7
    for path in FILES:
        if "__pycache__" not in path.parts:
            assert len(path.read_text().splitlines()) < 60, path
            assert f'"{path.name}"' in here or f'"{path.parent.name}"' in here, path


def test_ctypes(folder):
    take(folder, "ctypes_door.py")
    ran = programs.run("ctypes_door.py")
    assert (ran.stdout, ran.stderr) == ("corner 32.0 edge 48.0 inside 72.0\n", "")
    # Every second row of arrays: strides cost no copy either.
    assert python(CHECK + "from ctypes_door import convolve; check(convolve, 2)") == "checked"


def test_numba(folder):
    pytest.importorskip("numba", exc_type=ImportError)
    take(folder, "numba_door.py")
    ran = programs.run("numba_door.py")
    assert (ran.stdout, ran.stderr) == ("positive 16368\n", "")  # all but 16 corners
    program = """
from numba_door import count_positive, describe
def convolve(x, weight, y):
    problem = describe(x, y, kernel_size=3, padding=1)
    count = count_positive(problem, x, weight, np.zeros(len(weight), x.dtype), y)
    assert count == sum(int((plane > 0).sum()) for plane in y[0]) + int((y[1:] > 0).sum())
"""
    assert python(CHECK + program + "check(convolve)") == "checked"


def test_scipy(folder):
    pytest.importorskip("scipy")
    take(folder, "scipy_door.py")
    ran = programs.run("scipy_door.py")
    assert (ran.stdout, ran.stderr) == ("[0.25 1.   2.   3.   4.   5.   6.   6.75]\n", "")
    program = """
import numpy as np
from scipy import ndimage
from scipy_door import correlate1d
rng = np.random.default_rng(0)
image, weights = rng.integers(-3, 4, (40, 30)) * 1.0, rng.integers(-3, 4, 7) * 1.0
for axis in (0, 1):
    for mode in ("reflect", "constant", "wrap"):
        wanted = ndimage.correlate1d(image, weights, axis, mode=mode)
        np.testing.assert_array_equal(correlate1d(image, weights, axis, mode), wanted)
print("checked")
"""
    assert python(program) == "checked"


def test_cython(folder):
    pytest.importorskip("Cython")
    take(folder, *(f"cython_door/{name}" for name in ("setup.py", "cython_door.pyx")))
    built = programs.run("setup.py", "-q", "build_ext", "--inplace", timeout=280)
    assert built.returncode == 0, built.stderr
    program = "from cython_door import convolve\ncheck(convolve)"
    assert python(CHECK + program) == "checked"
    # Its .pxd is the one beside this fastconv.
    generated = (folder / "cython_door.c").read_text()
    assert '#include "fastconv.h"' in generated


def test_c(folder):
    take(folder, "c_door.c")
    compile_with("c_door.c", "-shared", "-fPIC", "-std=c11", "-o", "c_door.so")
    program = """
import ctypes
import fastconv
door = ctypes.CDLL("./c_door.so")
door.use_fastconv.argtypes = [ctypes.c_void_p]
assert door.use_fastconv(fastconv.embed.table()) == 0
assert door.check() == 0
door.blur.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3
x, y = (np.ones((8, 1000, 1000), "f") for _ in range(2))
before = peak()
assert door.blur(x.ctypes.data, y.ctypes.data, *x.shape) == 0
assert peak() - before < x.nbytes // 1024 // 4
np.testing.assert_allclose(y[:, 1:-1, 1:-1], 1, rtol=1e-6)
np.testing.assert_allclose(y[:, ::999, ::999], 4 / 9, rtol=1e-6)
assert door.blur(x.ctypes.data, x.ctypes.data, *x.shape) != 0  # in place: refused
print("checked")
"""
    assert python(CHECK + program) == "checked"


def test_cpp(folder):
    library = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDVERSION")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        pytest.skip("this Python has no shared library to embed")
    take(folder, "cpp_door.cpp")
    compile_with(
        "cpp_door.cpp", "-std=c++17", f"-I{sysconfig.get_path('include')}", "-o", "cpp_door",
        f"-L{library[0]}", f"-Wl,-rpath,{library[0]}", f"-lpython{library[1]}", "-pthread",
    )  # fmt: skip
    path = os.pathsep.join([programs.HOME, *filter(None, sys.path)])
    ran = subprocess.run(
        ["./cpp_door"], env={**os.environ, "PYTHONPATH": path, "PYTHONHOME": sys.base_prefix},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    line = "done: corner 32 edge 48 inside 72\n"
    assert (ran.stdout, ran.stderr, ran.returncode) == (2 * line, "", 0)
