"""The C interface through ctypes: right results, honest statuses, and nothing that crashes it."""

import ctypes
import os
import re
from pathlib import Path

import numpy as np
import pytest
import reference
import strategies
from hypothesis import given
from hypothesis import strategies as st
from programs import output

import fastconv
from fastconv import embed
from fastconv._kernels import cpu

HEADER = Path(fastconv.get_include(), "fastconv.h").read_text()
STATUS = {
    name: int(value) for name, value in re.findall(r"FASTCONV_(\w+) = (\d+)[,\n]", HEADER)
    if name not in ("FORWARD", "GRAD_INPUT")
}  # fmt: skip
LAYOUTS = ("C", "channels_last", "transposed", "steps", "reversed")


def call(name, dtype, *arguments):
    """The status of fastconv_`name`; arrays go as pointers to their first elements."""
    function = embed.ctypes_function(f"fastconv_{name}_f{8 * np.dtype(dtype).itemsize}")
    pointers = [
        each.ctypes.data if isinstance(each, np.ndarray) else
        ctypes.byref(each) if isinstance(each, ctypes.Structure) else each
        for each in arguments
    ]  # fmt: skip
    return function(*pointers)


def done(name, dtype, *arguments):
    status = call(name, dtype, *arguments)
    assert status == 0, embed.ctypes_function("fastconv_status_message")(status)


def like(shape, layout, dtype):
    """Where a result goes: full of 77, of this layout."""
    return strategies.lay_out(np.full(shape, 77, dtype), layout)


def problem_of(case, wide, narrow):
    lows = tuple(low for low, _ in case.pads)
    return embed.Problem.of(
        wide, narrow, case.kernel, case.stride, lows, case.dilation, case.groups
    )


def begins_inside(problem):
    """Whether the last window begins before the end of the input."""
    return all(
        problem.out_size[a] <= 1
        or (problem.out_size[a] - 1) * problem.stride[a] - problem.padding[a] < problem.in_size[a]
        for a in range(problem.dimensions)
    )


@given(
    case=strategies.cases(data="integers"),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 4),
    num_threads=st.integers(0, 3),
)
@strategies.examples(120)
def test_convolution(case, layouts, num_threads):
    case = strategies.replace(case, layouts=(layouts[0], "C", layouts[1]), batched=True)
    x, weight, bias, grad = case.arrays()
    geometry = case.stride, case.pads, case.dilation, case.groups
    place = ctypes.c_void_p()
    ready = ctypes.addressof(place)

    y, again = (like(grad.shape, layouts[2], x.dtype) for _ in range(2))
    problem = problem_of(case, x, y)
    if not begins_inside(problem):
        status = call("conv_forward", case.dtype, problem, x, weight, bias, y, num_threads)
        assert status == STATUS["BAD_OUT_SIZE"]
        assert np.all(y == 77)
        return
    done("conv_forward", case.dtype, problem, x, weight, bias, y, num_threads)
    np.testing.assert_array_equal(y, reference.conv(x, weight, bias, *geometry))
    done("conv_prepare", case.dtype, problem, 0, weight, bias, ready, num_threads)
    for threads in (1, 2):
        again[...] = 77
        done("conv_run", case.dtype, place.value, x, again, threads)
        np.testing.assert_array_equal(again, y)
    release(place.value)

    gx, again = (like(x.shape, layouts[3], x.dtype) for _ in range(2))
    problem = problem_of(case, gx, grad)
    done("conv_grad_input", case.dtype, problem, grad, weight, None, gx, num_threads)
    want = reference.conv_grad_input(grad, x.shape[2:], weight, *geometry)
    np.testing.assert_array_equal(gx, want)
    bias = np.arange(case.in_channels, dtype=x.dtype)
    done("conv_prepare", case.dtype, problem, 1, weight, bias, ready, num_threads)
    done("conv_run", case.dtype, place.value, grad, again, num_threads)
    np.testing.assert_array_equal(again, want + bias.reshape(-1, *[1] * case.ndim))
    release(place.value)

    gw, gb = np.full_like(weight, 77), np.full(case.out_channels, 77, x.dtype)
    problem = problem_of(case, x, grad)
    done("conv_grad_weight", case.dtype, problem, x, grad, gw, gb, num_threads)
    want = reference.conv_grad_weight(grad, x, case.kernel, *geometry)
    np.testing.assert_array_equal(gw, want)
    np.testing.assert_array_equal(gb, reference.grad_bias(grad))
    alone = np.full_like(gb, 77)
    done("conv_grad_weight", case.dtype, problem, x, grad, None, alone, num_threads)
    np.testing.assert_array_equal(alone, gb)


def release(prepared):
    embed.ctypes_function("fastconv_release")(prepared)


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_the_bits_are_those_of_python(dtype):
    rng = np.random.default_rng(0)
    x, weight, grad = (
        rng.standard_normal(shape).astype(dtype)
        for shape in ((2, 12, 15, 14), (20, 6, 3, 3), (2, 20, 8, 7))
    )
    options = {"stride": 2, "padding": 1, "groups": 2}
    y = np.empty_like(grad)
    problem = embed.Problem.of(x, y, 3, **options)
    done("conv_forward", dtype, problem, x, weight, None, y, 1)
    assert y.tobytes() == fastconv.conv2d(x, weight, **options).tobytes()
    gx, gw, gb = np.empty_like(x), np.empty_like(weight), np.empty(20, dtype)
    done("conv_grad_input", dtype, problem, grad, weight, None, gx, 1)
    done("conv_grad_weight", dtype, problem, x, grad, gw, gb, 1)
    wanted = fastconv.conv2d_backward(grad, x, weight, **options)
    assert [a.tobytes() for a in (gx, gw, gb)] == [a.tobytes() for a in wanted]


@given(
    space=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    window=st.tuples(*[st.integers(1, 4)] * 3, st.integers(0, 2)),
    channels=st.integers(1, 40),
    layouts=st.tuples(*[st.sampled_from(("C", "channels_last"))] * 2),
    ceil_mode=st.booleans(),
    divisor=st.sampled_from((0, -1, 3)),
    dtype=st.sampled_from("fd"),
    num_threads=st.integers(0, 3),
)
@strategies.examples(120)
def test_pools(space, window, channels, layouts, ceil_mode, divisor, dtype, num_threads):
    kernel, stride, dilation, padding = window
    ndim = len(space)
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, (2, channels, *space)).astype(dtype)
    x = strategies.lay_out(x, layouts[0])
    average = getattr(fastconv, f"avg_pool{ndim}d")
    largest = getattr(fastconv, f"max_pool{ndim}d")
    try:
        mean = average(
            x, kernel, stride, padding, ceil_mode, divisor != -1, divisor if divisor > 0 else None
        )
        best, places = largest(x, kernel, stride, padding, dilation, ceil_mode, True)
    except ValueError:  # too large a window or padding
        return
    y = like(mean.shape, layouts[1], dtype)
    problem = embed.Problem.of(x, y, kernel, stride, padding)
    done("avg_pool", dtype, problem, x, y, divisor, num_threads)
    np.testing.assert_array_equal(y, mean)
    gx = like(x.shape, layouts[0], dtype)
    done("avg_pool_backward", dtype, problem, y, gx, divisor, num_threads)
    wanted = getattr(fastconv, f"avg_pool{ndim}d_backward")(
        mean, x.shape, kernel, stride, padding, ceil_mode, divisor != -1,
        divisor if divisor > 0 else None,
    )  # fmt: skip
    np.testing.assert_array_equal(gx, wanted)

    y = like(best.shape, layouts[1], dtype)
    indices = np.full(y.shape, 77)
    problem = embed.Problem.of(x, y, kernel, stride, padding, dilation)
    done("max_pool", dtype, problem, x, y, None, num_threads)
    np.testing.assert_array_equal(y, best)
    done("max_pool", dtype, problem, x, y, indices, num_threads)
    np.testing.assert_array_equal(indices, places)
    gx = like(x.shape, layouts[0], dtype)
    done("max_pool_backward", dtype, problem, y, indices, gx, num_threads)
    wanted = getattr(fastconv, f"max_pool{ndim}d_backward")(best, places, x.shape)
    np.testing.assert_array_equal(gx, wanted)
    indices[0, 0, ..., 0] = x[0, 0].size
    status = call("max_pool_backward", dtype, problem, y, indices, gx, num_threads)
    assert status == STATUS["BAD_INDEX"]


# A good problem, on memory that is large enough for whatever passes the checks below.
ROOM = 200_000


def good(**changes):
    x, y = np.empty((2, 4, 7, 6), "f"), np.empty((2, 6, 5, 4), "f")
    problem = embed.Problem.of(x, y, 3, groups=2)
    for name, value in changes.items():
        field, _, at = name.partition("__")
        if at:
            getattr(problem, field)[int(at)] = value
        else:
            setattr(problem, field, value)
    return problem


HUGE = 2**63 - 1
LIES = [
    ("BAD_STRUCT_SIZE", {"struct_size": 0}),
    ("BAD_STRUCT_SIZE", {"struct_size": ctypes.sizeof(embed.Problem) + 8}),
    ("BAD_STRUCT_SIZE", {"struct_size": -1}),
    ("BAD_DIMENSIONS", {"dimensions": 0}),
    ("BAD_DIMENSIONS", {"dimensions": 4}),
    ("BAD_DIMENSIONS", {"dimensions": 2**32 + 2}),
    ("BAD_SIZE", {"batch": -1}),
    ("BAD_SIZE", {"batch": HUGE}),
    ("BAD_SIZE", {"in_size__0": -7}),
    ("BAD_SIZE", {"out_size__1": -HUGE}),
    ("BAD_CHANNELS", {"groups": 0}),
    ("BAD_CHANNELS", {"groups": 3}),
    ("BAD_CHANNELS", {"groups": -2}),
    ("BAD_CHANNELS", {"in_channels": 0}),
    ("BAD_CHANNELS", {"out_channels": -6}),
    ("BAD_WINDOW", {"kernel__0": 0}),
    ("BAD_WINDOW", {"stride__1": 0}),
    ("BAD_WINDOW", {"dilation__1": -1}),
    ("BAD_WINDOW", {"dilation__1": 2**46}),
    ("BAD_WINDOW", {"kernel__1": HUGE}),
    ("BAD_PADDING", {"padding__0": -1}),
    ("BAD_PADDING", {"padding__0": HUGE}),
    ("BAD_OUT_SIZE", {"out_size__0": 8}),
    ("BAD_OUT_SIZE", {"out_size__0": 2**46}),
    ("BAD_OUT_SIZE", {"stride__0": 2}),
    ("BAD_OUT_SIZE", {"in_size__0": 4}),
    ("TOO_LARGE", {"batch": 2**46, "in_channels": 2**44, "groups": 1}),
    ("TOO_LARGE", {"kernel__0": 2**40, "kernel__1": 2**40}),
    ("TOO_LARGE", {"in_strides__0": 2**60}),
    ("TOO_LARGE", {"in_strides__0": -HUGE - 1}),
    ("TOO_LARGE", {"out_strides__0": 2**58}),
    ("BAD_STRIDES", {"out_strides__3": 0}),
    ("BAD_STRIDES", {"out_strides__2": 3}),
    ("BAD_STRIDES", {"out_strides__0": 100}),
    ("BAD_STRIDES", {"out_strides__1": -1}),
]


@pytest.mark.parametrize(("status", "changes"), LIES)
def test_a_lying_struct_is_a_status(status, changes):
    x, w, y = (np.full(ROOM, 77, "f") for _ in range(3))
    problem = good(**changes)
    assert call("conv_forward", "f", problem, x, w, None, y, 1) == STATUS[status]
    assert np.all(y == 77)
    place = ctypes.c_void_p(1)
    ready = ctypes.addressof(place)
    assert call("conv_prepare", "f", problem, 0, w, None, ready, 1) == STATUS[status]
    assert place.value is None


def test_pointers_and_options():
    x, w, y = (np.full(ROOM, 77, "f") for _ in range(3))
    forward = embed.ctypes_function("fastconv_conv_forward_f32")
    weights = embed.ctypes_function("fastconv_conv_grad_weight_f32")
    at = ctypes.addressof(good())
    problem = good()
    at = ctypes.addressof(problem)
    px, pw, py = (a.ctypes.data for a in (x, w, y))
    null, unaligned, overlap = (STATUS[s] for s in ("NULL_POINTER", "UNALIGNED", "OVERLAP"))
    assert forward(None, px, pw, None, py, 1) == null
    assert forward(at, None, pw, None, py, 1) == null
    assert forward(at, px, None, None, py, 1) == null
    assert forward(at, px, pw, None, None, 1) == null
    assert forward(at, px + 1, pw, None, py, 1) == unaligned
    assert forward(at, px, pw + 2, None, py, 1) == unaligned
    assert forward(at, px, pw, 3, py, 1) == unaligned
    assert forward(at, px, pw, None, py + 3, 1) == unaligned
    assert forward(at, px, pw, None, px, 1) == overlap
    last = 4 * (2 * 4 * 7 * 6 - 1)
    assert forward(at, px, pw, None, px + last, 1) == overlap
    assert forward(at, px, pw, None, px + last + 4, 1) == 0
    assert forward(at, px, pw, None, pw, 1) == overlap
    assert forward(at, px, pw, py, py, 1) == overlap
    assert forward(at, px, pw, None, py, -1) == STATUS["BAD_THREADS"]
    assert weights(at, px, py, None, None, 1) == null
    assert weights(at, px, py, pw, pw, 1) == overlap
    assert weights(at, px, py, px, None, 1) == overlap
    place = ctypes.c_void_p()
    ready = ctypes.addressof(place)
    assert call("conv_prepare", "f", problem, 2, w, None, ready, 1) == STATUS["BAD_OPTION"]
    assert call("conv_prepare", "f", problem, 0, w, None, None, 1) == null
    done("conv_prepare", "f", problem, 0, w, None, ready, 1)
    assert call("conv_run", "d", place.value, x, y, 1) == STATUS["BAD_OPTION"]
    assert call("conv_run", "f", None, x, y, 1) == null
    assert call("conv_run", "f", place.value, x, x, 1) == overlap
    release(place.value)
    release(None)


NUMBERS = st.one_of(
    st.integers(-3, 9),
    st.sampled_from([HUGE, -HUGE - 1, 2**31, 2**32 + 3, 2**46, 2**58, 2**62, 100, 1000]),
    st.integers(-(2**63), 2**63 - 1),
)
FIELDS = [
    name if size == 1 else f"{name}__{i}"
    for name, kind in embed.Problem._fields_
    for size in [ctypes.sizeof(kind) // 8]
    for i in range(size)
]


def reach(problem):
    """Elements that a problem which passes the checks may touch, on either side of a pointer."""
    ndim = problem.dimensions
    sides = []
    for side, channels in ("in", problem.in_channels), ("out", problem.out_channels):
        size = (problem.batch, channels, *getattr(problem, f"{side}_size")[:ndim])
        steps = getattr(problem, f"{side}_strides")
        if 0 not in size:
            sides += [sum((s - 1) * abs(t) for s, t in zip(size, steps, strict=False))]
    taps = np.prod([float(k) for k in problem.kernel[:ndim]])
    weight = float(problem.out_channels) * problem.in_channels / max(1, problem.groups) * taps
    return max([weight, *sides])


@given(
    changes=st.dictionaries(st.sampled_from(FIELDS), NUMBERS, max_size=6),
    pool=st.booleans(),
    num_threads=st.integers(-1, 2),
)
@strategies.examples(1500)
def test_no_struct_crashes_it(changes, pool, num_threads):
    """Any numbers at all; what passes the checks runs, if this test has memory enough for it."""
    problem = good(**{"groups": 1, "out_channels": 4, **changes} if pool else changes)
    # NULL is found last: the struct is right otherwise, or wrong for what would be written only.
    status = call("conv_forward", "f", problem, None, None, None, None, 1)
    if status in (0, STATUS["NULL_POINTER"], STATUS["BAD_STRIDES"]) and reach(problem) > ROOM // 3:
        return
    arrays = [np.zeros(ROOM, "f") for _ in range(4)]
    x, w, y, b = (array[ROOM // 2 :] for array in arrays)
    indices = np.zeros(ROOM, np.int64)
    statuses = [
        call("conv_forward", "f", problem, x, w, b, y, num_threads),
        call("conv_grad_input", "f", problem, y, w, b, x, num_threads),
        call("conv_grad_weight", "f", problem, x, y, w, b, num_threads),
        call("max_pool", "f", problem, x, y, indices, num_threads),
        call("max_pool_backward", "f", problem, y, indices, x, num_threads),
        call("avg_pool", "f", problem, x, y, 0, num_threads),
        call("avg_pool_backward", "f", problem, y, x, 0, num_threads),
    ]
    assert set(statuses) <= set(STATUS.values())
    if not changes and not pool and num_threads >= 0:
        assert statuses[:3] == [0, 0, 0]


def test_messages_say_what_is_wrong():
    message = embed.ctypes_function("fastconv_status_message")
    texts = [message(code).decode() for code in sorted(STATUS.values())]
    assert len(set(texts)) == len(STATUS) == max(STATUS.values()) + 1
    assert message(-1) == message(99) == b"no status of fastconv"


def test_a_zero_size_leaves_nothing_to_do_or_the_bias_alone():
    w, bias, y = np.ones((6, 2, 3, 3), "f"), np.arange(6, dtype="f"), np.full(240, 77, "f")
    assert call("conv_forward", "f", good(batch=0), None, w, None, None, 1) == 0
    assert call("conv_forward", "f", good(out_size__0=0), y, w, None, None, 1) == 0
    # No input, and windows that lie in the padding: outputs are the bias.
    problem = good(in_size__0=0, padding__0=5, out_size__0=5)
    assert call("conv_forward", "f", problem, None, w, bias, y, 1) == 0
    np.testing.assert_array_equal(y.reshape(2, 6, 20), np.tile(bias[:, None], (2, 1, 20)))
    gw, gb = np.full_like(w, 77), np.full_like(bias, 77)
    assert call("conv_grad_weight", "f", good(batch=0), None, None, gw, gb, 1) == 0
    assert not gw.any()
    assert not gb.any()


@pytest.mark.parametrize("name", ["conv_forward_f32", "", None, 3, ["x"]])
@pytest.mark.parametrize("door", [embed.address, embed.capsule, embed.ctypes_function])
def test_an_unknown_name_is_a_value_error(door, name):
    with pytest.raises(ValueError, match=r"embed: name must be one of .*fastconv_release"):
        door(name)


def test_every_door_knows_the_functions_of_the_header():
    declared = set(re.findall(r"#define (fastconv_\w+) \(fastconv_api->", HEADER))
    assert declared - {"fastconv_version"} == set(embed.names())
    for name in embed.names():
        called = ctypes.cast(embed.ctypes_function(name), ctypes.c_void_p).value
        assert called == embed.address(name) != 0
    # The table: version, message, release, then the line filter.
    table = (ctypes.c_int64 * 4).from_address(embed.table())
    assert table[:4] == [1] + [
        embed.address(f"fastconv_{name}")
        for name in ("status_message", "release", "filter_line_f64")
    ]


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 3), (2, 3)), {}, "3, 4 or 5 axes"),
        (((2, 3, 4), (2, 3, 4, 5)), {}, "3, 4 or 5 axes"),
        (((2, 3, 4), (1, 3, 4)), {}, "batch size 2"),
        (((2, 3, 4), (2, 3, 4)), {"stride": 0}, "stride"),
        (((2, 3, 4), (2, 3, 4)), {"padding": (1, 1)}, "padding"),
        (((2, 3, 4), (2, 3, 4)), {"groups": 0}, "groups"),
    ],
)
def test_problem_of_checks_its_forms(shapes, options, message):
    with pytest.raises(ValueError, match=rf"Problem.of: .*{message}"):
        embed.Problem.of(*map(np.empty, shapes), 3, **options)


CALLS = """
import ctypes, os, threading
import numpy as np
import fastconv
from fastconv import embed
from fastconv._kernels import cpu
forward = embed.ctypes_function("fastconv_conv_forward_f32")
rng = np.random.default_rng(0)
x, w = (rng.standard_normal(s).astype("f") for s in ((2, 16, 60, 60), (32, 16, 3, 3)))
wanted = fastconv.conv2d(x, w, num_threads=1)

def right(num_threads):
    y = np.empty_like(wanted)
    problem = embed.Problem.of(x, y, 3)
    status = forward(ctypes.byref(problem), x.ctypes, w.ctypes, None, y.ctypes, num_threads)
    return status == 0 and y.tobytes() == wanted.tobytes()

assert all(right(n) for n in (0, 1, 2, 3, 5000))
"""


def test_many_threads_at_once():
    program = """
results = []
threads = [threading.Thread(target=lambda: results.extend(right(n % 3) for n in range(30)))
           for _ in range(6)]
for t in threads: t.start()
for t in threads: t.join()
print(len(results), all(results))
"""
    assert output(CALLS + program) == "180 True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("fork", ["os.fork()", "ctypes.CDLL(None).fork()"])
def test_a_forked_child_computes_alone(fork):
    """Also where C forks and Python's own hooks do not run."""
    program = f"""
pid = {fork}
if pid == 0:
    os._exit(0 if right(0) and right(4) else 1)
print(os.waitpid(pid, 0)[1], right(2))
"""
    assert output("import warnings; warnings.simplefilter('ignore')" + CALLS + program) == "0 True"


@pytest.mark.skipif(not cpu.openmp_version(), reason="a serial build")
def test_zero_threads_are_those_that_were_set():
    program = """
def running():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("Threads")).split()[1])
fastconv.set_num_threads(1)
assert right(0)
alone = running()
fastconv.set_num_threads(3)
assert right(0)
print(running() - alone)
"""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc here")
    only_one = CALLS.replace("(0, 1, 2, 3, 5000)", "(1,)")
    assert output(only_one + program) == "2"
