"""Threads: the same bits for any number of them, who says how many, and living with others."""

import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import checks
import isas
import layers
import numpy as np
import pytest
from programs import output

import fastconv
from fastconv import _threads
from fastconv._kernels import cpu

# Large enough for several tasks in every kernel, and for sums in several parts.
needs_openmp = pytest.mark.skipif(not cpu.openmp_version(), reason="a serial build")

LARGE = [
    'mb7ic19ih30oc37kh3ph1n"odd channels"',
    'mb4ic16ih33oc48kh3sh2ph1n"stride 2"',
    'mb5ic3ih40oc20kh5ph2n"few input channels"',
    'mb3ic40ih36oc2kh3n"few output channels"',
    'g72mb3ic72ih30oc72kh3ph1n"depthwise"',
    'g4mb4ic64ih20oc32kh3dh2n"groups"',
    'mb2ic24iw3000oc33kw9n"signal"',
    'mb2ic8id9ih20oc16kd3pd1n"volume"',
    'mb1ic256ih7oc256kh3ph1n"one small image"',
    'deconvmb4ic48ih16oc24kh4sh2ph1n"transposed"',
    'deconvmb4ic32ih20oc3kh4sh2ph1n"transposed to few channels"',
]


def as_case(text, **fixed):
    """Of random data, whose sums depend on their order."""
    return layers.as_case(layers.problems.parse(text), data="normal", **fixed)


def every_result(case):
    x, weight, bias, grad = case.arrays()
    return [checks.forward(case, x, weight, bias), *checks.backward(case, grad, x, weight)]


def assert_same_bits(results, others):
    for one, other in zip(results, others, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("text", LARGE, ids=lambda text: layers.problems.parse(text).name)
def test_same_bits_for_any_number_of_threads_and_every_run(text, layout, isa):
    case = as_case(text, layouts=(layout, "C", layout), isa=isa, dtype="f")
    serial = every_result(case)
    for num_threads in (1, 2, 3, 4, 7):
        assert_same_bits(serial, every_result(replace(case, num_threads=num_threads)))


def test_more_threads_than_shares_of_the_work():
    """Above 64 threads, some have no share of their own and only help."""
    case = as_case(LARGE[0], dtype="f")
    assert_same_bits(every_result(case), every_result(replace(case, num_threads=70)))


def test_same_bits_in_float64():
    for text in LARGE:
        case = as_case(text, dtype="d")
        assert_same_bits(every_result(case), every_result(replace(case, num_threads=3)))


def test_linear_gives_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    x, weight, grad = (rng.standard_normal(shape) for shape in ((150, 333), (77, 333), (150, 77)))
    results = []
    for num_threads in (1, 2, 3, 4):
        y = fastconv.linear(x, weight, num_threads=num_threads)
        gradients = fastconv.linear_backward(grad, x, weight, num_threads=num_threads)
        results.append([y, *gradients])
    for others in results[1:]:
        assert_same_bits(results[0], others)


# ------------------------------------------------------------------------- how many threads

HOW_MANY = "from fastconv import _threads; print(_threads.effective('test', None))"


@pytest.fixture
def unchosen():
    """The process-wide number is None before and after."""
    fastconv.set_num_threads(None)
    yield
    fastconv.set_num_threads(None)


@needs_openmp
def test_a_call_s_own_number_comes_first(unchosen):
    fastconv.set_num_threads(2)
    assert _threads.effective("test", 3) == 3
    assert fastconv.get_num_threads() == 2


@needs_openmp
def test_the_context_manager_restores(unchosen):
    fastconv.set_num_threads(2)
    with fastconv.num_threads(3):
        assert fastconv.get_num_threads() == 3
    assert fastconv.get_num_threads() == 2


@needs_openmp
def test_set_num_threads_comes_before_the_environment():
    program = "import fastconv; fastconv.set_num_threads(2); print(fastconv.get_num_threads())"
    assert output(program, OMP_NUM_THREADS="5") == "2"


@needs_openmp
def test_the_environment_comes_before_the_processors():
    processors = len(os.sched_getaffinity(0))
    assert output(HOW_MANY, OMP_NUM_THREADS=str(processors + 3)) == str(processors + 3)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_the_affinity_mask_limits_the_processors():
    program = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);" + HOW_MANY
    assert output(program, OMP_NUM_THREADS=None) == "1"


@needs_openmp
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_a_change_of_the_affinity_mask_is_seen_soon():
    if _threads.available_processors() < 2:
        pytest.skip("one processor")
    program = f"""
import os, time
{HOW_MANY}
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
time.sleep(2 * _threads.LOOK_AGAIN)
{HOW_MANY}
"""
    before, after = output(program, OMP_NUM_THREADS=None).split()
    assert int(before) > 1 == int(after)


@needs_openmp
def test_small_work_runs_serial(unchosen):
    fastconv.set_num_threads(4)
    assert _threads.effective("test", None, work=1000) == 1
    assert _threads.effective("test", None, work=10**9) == 4


@needs_openmp
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
@pytest.mark.parametrize(("cells", "started"), [(8, "0"), (80, "2")])
def test_small_work_starts_no_thread(cells, started):
    """All passes of a convolution, and pools, of some 10**4 multiply-adds or of millions."""
    program = f"""
import os
import numpy as np
import fastconv

fastconv.set_num_threads(3)
x, weight = np.ones((4, 4, {cells}, {cells}), "f"), np.ones((4, 4, 3, 3), "f")
before = len(os.listdir("/proc/self/task"))
y = fastconv.conv2d(x, weight)
fastconv.conv2d_backward(y, x, weight)
fastconv.conv_transpose2d(y, weight)
fastconv.max_pool2d(x, 2)
fastconv.avg_pool2d(x, 2)
print(len(os.listdir("/proc/self/task")) - before)
"""
    assert output(program) == started


@needs_openmp
@pytest.mark.parametrize(("batch", "count"), [(1, 1), (8, 4)])
def test_elements_are_work_too(unchosen, batch, count):
    """Reading and writing 128 000 elements is worth threads, with 3 multiply-adds for each, too."""
    fastconv.set_num_threads(4)
    found = fastconv.explain("conv1d", (batch, 16, 500), (16, 1, 3), groups=16, mode="dicts")
    assert found["num_threads"] == count
    assert found["serial"] == (count == 1)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "400000 100000\n"}, 4),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu.max": "nonsense\n"}, math.inf),
        ({"cpu.max": "100000 0\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "250000\n"}, math.inf),
        ({}, math.inf),
    ],
    ids=str,
)
def test_the_container_s_quota(tmp_path, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _threads._cgroup_quota(tmp_path) == quota


def test_the_quota_limits_the_processors(monkeypatch):
    monkeypatch.setattr(_threads, "_quota", 1)
    assert _threads.available_processors() == 1


@needs_openmp
def test_threadpoolctl_limits_are_honoured():
    pytest.importorskip("threadpoolctl")
    program = """
import fastconv, threadpoolctl
fastconv.set_num_threads(3)
with threadpoolctl.threadpool_limits(1):
    inside = fastconv.get_num_threads()
print(inside, fastconv.get_num_threads())
"""
    assert output(program, OMP_NUM_THREADS="3") == "1 3"


# ------------------------------------------------------------------------- living with others


def test_calls_from_several_threads_at_once():
    cases = [
        as_case(text, seed=seed, num_threads=2, dtype="f") for seed in (0, 1) for text in LARGE
    ]
    alone = [every_result(case) for case in cases]

    def call(case):  # without isas.using, which is not made for threads
        x, weight, bias, grad = case.arrays()
        y = getattr(fastconv, case.name)(x, weight, bias, **case.options, num_threads=2)
        backward = getattr(fastconv, f"{case.name}_backward")
        return [y, *backward(grad, x, weight, **case.backward_options, num_threads=2)]

    with ThreadPoolExecutor(4) as pool:
        for want, got in zip(alone, pool.map(call, cases), strict=True):
            assert_same_bits(want, got)


FORKED = """
import os, warnings
import numpy as np
import fastconv

warnings.simplefilter("ignore")  # Python 3.12 and later warn of forks beside threads
rng = np.random.default_rng(0)
x, weight = rng.standard_normal((8, 32, 30, 30)), rng.standard_normal((64, 32, 3, 3))

def results():
    y = fastconv.conv2d(x, weight, padding=1, num_threads=4)
    return [y, *fastconv.conv2d_backward(y, x, weight, padding=1, num_threads=4)]

before = results()  # from here on GNU OpenMP holds sleeping threads, which a child lacks
child = os.fork()
if child == 0:
    same = all(map(np.array_equal, results(), before))
    os._exit(0 if same else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(all(map(np.array_equal, results(), before)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_finishes_with_the_same_bits():
    assert output(FORKED, timeout=30).split() == ["0", "True"]


def test_the_lock_is_released_while_a_kernel_runs():
    """Another thread counts while one long call runs; with the lock held it could not start."""
    case = as_case('mb16ic64ih64oc64kh5ph2n"long"', dtype="f")
    x, weight, bias, _ = case.arrays()
    started, done = threading.Event(), threading.Event()
    counted = 0

    def work():
        started.set()
        checks.forward(case, x, weight, bias)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    while not done.is_set():
        done.wait(0.001)
        counted += 1
    worker.join()
    assert counted > 20


@pytest.mark.parametrize(
    ("enter", "setting", "values"),
    [
        (fastconv.num_threads, fastconv.get_num_threads, (1, 2)),
        (fastconv.algorithm, fastconv.get_algorithm, ("auto", "winograd")),
    ],
)
def test_contexts_that_end_in_another_order_leave_nothing(enter, setting, values):
    """As those of several Python threads do."""
    before = setting()
    first, second = map(enter, values)
    first.__enter__()
    second.__enter__()
    assert setting() == values[1]
    first.__exit__(None, None, None)
    assert setting() == values[1]
    second.__exit__(None, None, None)
    assert setting() == before


def test_contexts_of_several_threads_leave_nothing():
    before, model = fastconv.get_num_threads(), fastconv.nn.Conv2d(2, 2, 3)
    x = np.ones((8, 2, 9, 9), np.float32)

    def work(count):
        for _ in range(20):
            fastconv.predict(model, x, num_threads=count)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, (1, 2, 3, 4)))
    assert fastconv.get_num_threads() == before
