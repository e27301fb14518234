"""What each door to the kernels costs: the time of a tiny convolution through it.

    python bench/bench_doors.py [--folder DIR] [--rounds N]

One image of 1 x 28 x 28 float32 through 8 filters of 3 x 3, on one thread; for SciPy, which filters
lines, a line of 28 float64 by 3 taps.  "The kernel itself" is called from C without any check.  The
doors take turns; each figure is the best of the rounds, in microseconds for a call.  Cython, numba
and SciPy take part where they are installed.  What has to be compiled goes to DIR and is found
there again; a C compiler is needed.
"""

import argparse
import ctypes
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastconv
from fastconv import _kernels, embed

CALLS = 2000  # in a round, for each door
CYTHON = """
# cython: language_level=3
from libc.stdint cimport int64_t
from fastconv cimport fastconv_conv_forward_f32, fastconv_problem

def forward(const int64_t[::1] problem, const float[:, :, :, ::1] x,
            const float[:, :, :, ::1] w, float[:, :, :, ::1] y, long calls):
    cdef long i
    with nogil:
        for i in range(calls):
            fastconv_conv_forward_f32(<const fastconv_problem*> &problem[0], &x[0, 0, 0, 0],
                                      &w[0, 0, 0, 0], NULL, &y[0, 0, 0, 0], 1)
"""
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(ext_modules=cythonize(
    [Extension("cython_loop", ["cython_loop.pyx"], include_dirs=[{include!r}])],
    include_path=[{home!r}]))
"""


def installed(module):
    return importlib.util.find_spec(module) is not None


def build(folder):
    """(the C library, the Cython module or None)"""
    library = folder / "doors.so"
    if not library.exists():
        subprocess.run(
            [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", f"-I{fastconv.get_include()}",
             str(Path(__file__).parent / "doors.c"), "-o", str(library)],
            check=True,
        )  # fmt: skip
    if installed("Cython") and not list(folder.glob("cython_loop.*.so")):
        home = str(Path(fastconv.__file__).parents[1])
        (folder / "cython_loop.pyx").write_text(CYTHON)
        (folder / "setup.py").write_text(SETUP.format(include=fastconv.get_include(), home=home))
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(command, cwd=folder, check=True)
    sys.path.insert(0, str(folder))
    return ctypes.CDLL(str(library)), __import__("cython_loop") if installed("Cython") else None


def loop(call):
    """`calls` of them from Python, timed."""

    def timed(calls):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    return timed


def once(call):
    """One call that does all of them itself, timed."""

    def timed(calls):
        start = time.perf_counter()
        call(calls)
        return time.perf_counter() - start

    return timed


def numba_loop(problem, x, w, y):
    from numba import njit

    forward = embed.ctypes_function("fastconv_conv_forward_f32")

    @njit(nogil=True)
    def run(problem, x, w, bias, y, calls):
        for _ in range(calls):
            forward(problem.ctypes, x.ctypes, w.ctypes, bias.ctypes, y.ctypes, np.int64(1))

    bias = np.zeros(len(w), "f")
    fields = np.frombuffer(problem, np.int64)
    return once(lambda calls: run(fields, x, w, bias, y, calls))


def scipy_lines(x_line, taps):
    """generic_filter1d over CALLS lines, and the line's kernel by itself."""
    from scipy import LowLevelCallable, ndimage

    lines = np.zeros((CALLS, x_line))
    padded, result = np.zeros((1, 1, x_line + taps - 1)), np.zeros((1, 1, x_line))
    problem = embed.Problem.of(padded, result, taps)
    weights, ready = np.ones(taps), ctypes.c_void_p()
    embed.ctypes_function("fastconv_conv_prepare_f64")(
        ctypes.byref(problem), 0, weights.ctypes, None, ctypes.addressof(ready), 1
    )
    kernel = LowLevelCallable(embed.capsule("fastconv_filter_line_f64"), ready)
    through = once(lambda calls: ndimage.generic_filter1d(lines, kernel, taps, output=lines))
    return ready, padded, result, through


def doors(library, cython):
    """{name: function of a number of calls, which returns seconds}"""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype("f") for s in ((1, 1, 28, 28), (8, 1, 3, 3)))
    y = np.zeros((1, 8, 26, 26), "f")
    problem = embed.Problem.of(x, y, 3)
    entries = _kernels.conv["f"].entries()
    pointer = embed._pointer(entries, None)
    library.use.argtypes = [ctypes.c_void_p]
    library.use(embed.table())
    px, pw, py = (a.ctypes.data_as(ctypes.c_void_p) for a in (x, w, y))
    for name in ("kernel", "forward", "prepared", "line"):
        getattr(library, name).restype = ctypes.c_double
    at = ctypes.byref(problem)
    function = embed.ctypes_function("fastconv_conv_forward_f32")
    found = {
        "the kernel itself": lambda n: library.kernel(ctypes.c_void_p(pointer), at, px, pw, py, n),
        "C, C++": lambda n: library.forward(at, px, pw, py, n),
        "C, C++, prepared": lambda n: library.prepared(at, px, pw, py, n),
    }
    if cython:
        fields = np.frombuffer(problem, np.int64)
        found["Cython"] = once(lambda n: cython.forward(fields, x, w, y, n))
    if installed("numba"):
        found["numba"] = numba_loop(problem, x, w, y)
    found["ctypes"] = loop(lambda: function(at, px, pw, None, py, 1))
    found["Python, out="] = loop(lambda: fastconv.conv2d(x, w, out=y, num_threads=1))
    found["Python"] = loop(lambda: fastconv.conv2d(x, w, num_threads=1))
    if installed("scipy"):
        ready, padded, result, through = scipy_lines(28, 3)
        pp, pr = (a.ctypes.data_as(ctypes.c_void_p) for a in (padded, result))
        found["a line from C"] = lambda n: library.line(ready, pp, pr, 30, 28, n)
        found["a line through SciPy"] = through
    wanted = fastconv.conv2d(x, w, num_threads=1)
    for name, door in found.items():
        y[...] = 0
        door(CALLS)  # also a first call, which numba compiles
        if "line" not in name and name != "Python":
            np.testing.assert_array_equal(y, wanted, err_msg=name)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, help="for what is compiled; default: a temporary one"
    )
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        found = doors(*build(folder))
        times = {name: [] for name in found}
        for _ in range(args.rounds):
            for name, door in found.items():
                times[name].append(1e6 * door(CALLS) / CALLS)
    print(f"{'door':22}{'us a call':>12}{'over the kernel':>18}")
    for name, all_times in times.items():
        kernel = min(times["a line from C" if "line" in name else "the kernel itself"])
        print(f"{name:22}{min(all_times):12.3f}{min(all_times) - kernel:18.3f}")


if __name__ == "__main__":
    main()
