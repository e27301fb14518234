"""A guest in programs that fork, spawn, pool and thread as they like: each in a process of its own,
with a limit on its time, because what goes wrong here hangs."""

import os
import sys

import pytest
from programs import run

from fastconv._kernels import cpu

needs_openmp = pytest.mark.skipif(not cpu.openmp_version(), reason="a serial build")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
needs_proc = pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="counts threads in /proc"
)
METHODS = ["spawn", *(["fork", "forkserver"] if hasattr(os, "fork") else [])]

# Children import the program as a module, and may find it only so: `__name__` is not "__main__".
WORK = """
import os, sys, warnings
import numpy as np
import fastconv

def result(seed):
    rng = np.random.default_rng(seed)
    x, weight = rng.standard_normal((8, 32, 30, 30)), rng.standard_normal((64, 32, 3, 3))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            y = fastconv.conv2d(x, weight, padding=1)
            sums = [each.sum() for each in (y, *fastconv.conv2d_backward(y, x, weight, padding=1))]
    return sums, [str(each.message) for each in said if each.category is RuntimeWarning]

fastconv.set_num_threads(3)
"""

GOES_ON = """
def check(results, forked):
    assert [sums for sums, _ in results] == expected
    lines = [line for _, said in results for line in said]
    if forked is not None:
        assert bool(lines) == (forked and fastconv.get_num_threads() > 1), lines
    assert all("was forked" in line for line in lines)
    assert len(lines) <= 2  # once for each worker

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
    expected = [result(seed)[0] for seed in range(6)]  # GNU OpenMP holds threads from here on
{body}
    assert [result(seed) for seed in range(6)] == [(sums, []) for sums in expected]
    print("good")
"""


def assert_good(tmp_path, body, timeout=60, prelude=""):
    program = tmp_path / "program.py"
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    program.write_text(WORK + prelude + GOES_ON.replace("{body}", lines))
    done = run(program, timeout=timeout, OMP_NUM_THREADS=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


@pytest.mark.parametrize("method", METHODS)
def test_multiprocessing(tmp_path, method):
    assert_good(
        tmp_path,
        f"""
import multiprocessing
with multiprocessing.get_context("{method}").Pool(2) as pool:
    check(pool.map(result, range(6)), forked="{method}" == "fork")
""",
    )


@pytest.mark.parametrize("method", METHODS)
def test_concurrent_futures(tmp_path, method):
    assert_good(
        tmp_path,
        f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2, multiprocessing.get_context("{method}")) as pool:
    check(list(pool.map(result, range(6))), forked="{method}" == "fork")
""",
    )


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib(tmp_path, backend):
    pytest.importorskip("joblib", reason="joblib is not installed")
    assert_good(
        tmp_path,
        f"""
from joblib import Parallel, delayed
jobs = [delayed(result)(seed) for seed in range(6)]
check(Parallel(2, backend="{backend}")(jobs), forked="{backend}" == "multiprocessing")
""",
    )


DATASET = """
class Images:
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return result(index)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_of_torch_s_data_loader(tmp_path, method):
    pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")
    assert_good(
        tmp_path,
        f"""
from torch.utils.data import DataLoader
loader = DataLoader(
    Images(), batch_size=None, num_workers=1, multiprocessing_context="{method}"
)
check(list(loader), forked=None)  # it sets one thread, which may or may not reach our OpenMP
""",
        prelude=DATASET,
    )


@needs_fork
@needs_openmp
def test_a_forked_child_says_once_that_it_is_serial(tmp_path):
    assert_good(
        tmp_path,
        """
for count, lines in ((1, 0), (3, 1)):  # nobody asked for more than one thread, or somebody did
    fastconv.set_num_threads(count)
    child = os.fork()
    if child == 0:
        said = [result(seed)[1] for seed in (0, 1)]
        os._exit(0 if list(map(len, said)) == [lines, 0] else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
""",
    )


@needs_fork
def test_a_grandchild_and_a_child_of_a_thread(tmp_path):
    assert_good(
        tmp_path,
        """
import threading

def fork_and_work(depth):
    child = os.fork()
    if child == 0:
        same = result(depth)[0] == expected[depth]
        os._exit(0 if same and (depth == 2 or fork_and_work(depth + 1)) else 3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

assert fork_and_work(0)
outcome = []
thread = threading.Thread(target=lambda: outcome.append(fork_and_work(1)))
thread.start()
thread.join()
assert outcome == [True]
""",
    )


# ------------------------------------------------------------------------- threads


@needs_openmp
@needs_proc
def test_many_threads_with_one_each_start_no_others(tmp_path):
    """Also with threadpoolctl's limit, which OpenMP keeps for the thread that sets it."""
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    program = tmp_path / "program.py"
    program.write_text(
        WORK.replace("fastconv.set_num_threads(3)", "")
        + """
from concurrent.futures import ThreadPoolExecutor
import threadpoolctl

def started():
    return len(os.listdir("/proc/self/task"))

before = started()
fastconv.set_num_threads(3)
with ThreadPoolExecutor(4) as pool:
    with fastconv.num_threads(1):
        one = list(pool.map(result, range(8)))
    print(started() - before)

fastconv.set_num_threads(None)
os.environ["OMP_NUM_THREADS"] = ""
limit = lambda: threadpoolctl.threadpool_limits(1)
with ThreadPoolExecutor(4, initializer=limit) as pool:
    two = list(pool.map(result, range(8)))
    print(started() - before)
print(one == two)
"""
    )
    done = run(program, timeout=60, OMP_NUM_THREADS="3")
    assert done.stderr == ""
    assert done.stdout.split() == ["4", "4", "True"]


# ------------------------------------------------------------------------- interpreters

INTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
{first}
other = interpreters.create()
interpreters.run_string(other, '''
try:
    import fastconv
except ImportError as error:
    print(error, flush=True)
''')
interpreters.destroy(other)
import fastconv, numpy
print(fastconv.relu(numpy.ones(1)))
"""


@pytest.mark.parametrize("first", ["", "import fastconv"])
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython's own interface")
def test_a_sub_interpreter_is_refused(first):
    done = run("-c", INTERPRETER.format(first=first), timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "fastconv: sub-interpreters are not supported; use threads or processes", "[1.]",
    ]  # fmt: skip
