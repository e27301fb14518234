"""Denormal numbers: they cost no time, count as zero in sums, and the caller keeps its mode."""

import ctypes
import platform
import time
from concurrent.futures import ThreadPoolExecutor

import isas
import numpy as np
import pytest
from checks import using_threads
from strategies import lay_out

import fastconv
from fastconv import functional
from fastconv.functional import _passes

SHAPE, FILTERS, POOLED = (2, 24, 26, 26), (32, 24, 3, 3), (2, 24, 13, 13)
TINY = {"f": 1e-40, "d": 1e-310}
ROOT = {"f": 1e-20, "d": 1e-155}  # products of two such numbers are denormal


def conv(x, weight, grad, pooled, **options):
    return [fastconv.conv2d(x, weight, padding=1, **options)]


def gradient(needs):
    def call(x, weight, grad, pooled, **options):
        gradients = fastconv.conv2d_backward(grad, x, weight, padding=1, needs=needs, **options)
        return [each for each in gradients if each is not None]

    return call


def depthwise_gradient(x, weight, grad, pooled, **options):
    """grad_weight by inner products."""
    depthwise = np.ascontiguousarray(weight[: x.shape[1], :1])
    return [
        fastconv.conv2d_backward(
            grad[:, : x.shape[1]], x, depthwise, padding=1, groups=x.shape[1],
            needs=(False, True, True), **options,
        )[1]
    ]  # fmt: skip


def max_gradient(x, weight, grad, pooled, **options):
    planes = np.arange(pooled[0, 0].size).reshape(pooled.shape[2:])
    places = planes // 13 * 52 + planes % 13 * 2
    indices = np.ascontiguousarray(np.broadcast_to(places, pooled.shape))
    return [fastconv.max_pool2d_backward(pooled, indices, x.shape, **options)]


def batch_norm(x, weight, grad, pooled, **options):
    running = np.zeros(x.shape[1], x.dtype), np.ones(x.shape[1], x.dtype)
    y, saved = functional.batch_norm(x, *running, training=True, **options)
    grad = grad[:, : x.shape[1]]
    return [
        y, *saved, *running,
        *functional.batch_norm_backward(grad, x, None, saved, True, **options),
    ]  # fmt: skip


def group_norm(layout, groups):
    def call(x, weight, grad, pooled, **options):
        x, grad = (lay_out(each, layout) for each in (x, grad[:, : x.shape[1]]))
        factors = weight.ravel()[: x.shape[1]]
        y, saved = functional.group_norm(x, groups, factors, factors, **options)
        gradients = functional.group_norm_backward(grad, x, groups, factors, saved, **options)
        return [y, *saved, *gradients]

    return call


def layer_norm(x, weight, grad, pooled, **options):
    grad, factors = grad[:, : x.shape[1]], weight.ravel()[: x.shape[-1]]
    y, saved = functional.layer_norm(x, x.shape[-1], factors, factors, **options)
    gradients = functional.layer_norm_backward(grad, x, x.shape[-1], factors, saved, **options)
    return [y, *saved, *gradients]


def cross_entropy(x, weight, grad, pooled, num_threads):
    """Logits of two signs, and their gradient."""
    target = np.arange(len(x) * x[0, 0].size) % x.shape[1]
    _, losses, value, gradient = _passes.cross_entropy(
        "test", x, target, None, None, -100, 0.1, False, True, num_threads
    )
    return [losses, value, gradient]


def squares(x, weight, grad, pooled, num_threads):
    return list(_passes.squares("test", x, x[::-1], 1, 2, num_threads))


def binary_cross_entropy(x, weight, grad, pooled, num_threads):
    target = np.abs(np.clip(x[::-1], -1, 1))
    return list(
        _passes.binary_cross_entropy("test", x, target, None, x, 1, True, True, num_threads)
    )


def of_outputs(x, weight, grad, pooled, num_threads):
    y = np.clip(x[::-1], -1, 1)
    return [
        _passes.smooth("test", kind, y, x, num_threads=num_threads)
        for kind in ("of_tanh", "of_sigmoid")
    ]


def activation(name, **options):
    def call(x, weight, grad, pooled, **threads):
        return [
            getattr(functional, name)(x, **options, **threads),
            getattr(functional, f"{name}_backward")(x[::-1], x, **options, **threads),
        ]

    return call


def resized(x, weight, grad, pooled, num_threads):
    """A grid and its gradient, in both memory orders."""
    results = []
    with using_threads(num_threads):
        for order in (np.ascontiguousarray, functional.channels_last):
            for size in (52, 19):
                options = {"size": size, "mode": "bilinear"}
                results.append(functional.interpolate(order(x), **options))
                results.append(functional.interpolate_backward(results[-1], x.shape, **options))
    return results


def moved(x, weight, grad, pooled, num_threads):
    """What copies."""
    with using_threads(num_threads):
        return [
            functional.interpolate(x, scale_factor=2),
            functional.pixel_shuffle(x, 2),
            functional.pixel_unshuffle(functional.channels_last(x), 2),
        ]


SUMS = {
    "forward": conv,
    "grad_input": gradient((True, False, False)),
    "grad_weight": gradient((False, True, True)),
    "grad_weight by inner products": depthwise_gradient,
    "avg_pool2d": lambda x, weight, grad, pooled, **options: [fastconv.avg_pool2d(x, 2, **options)],
    "avg_pool2d_backward": lambda x, weight, grad, pooled, **options: [
        fastconv.avg_pool2d_backward(pooled, x.shape, 2, **options)
    ],
    "max_pool2d_backward": max_gradient,
    "cross_entropy": cross_entropy,
    "squares": squares,
    "binary_cross_entropy": binary_cross_entropy,
    "the gradients of tanh and sigmoid by their outputs": of_outputs,
    "gelu": activation("gelu"),
    "gelu, tanh": activation("gelu", approximate="tanh"),
    "sigmoid": activation("sigmoid"),
    "silu": activation("silu"),
    "softplus": activation("softplus"),
    "tanh": activation("tanh"),
    "softmax": activation("softmax", axis=1),
    "log_softmax": activation("log_softmax", axis=-1),
    "interpolate": resized,
}
ALL = SUMS | {
    "max_pool2d": lambda x, weight, grad, pooled, **options: list(
        fastconv.max_pool2d(x, 2, return_indices=True, **options)
    ),
    "batch_norm": batch_norm,
    "group_norm": group_norm("C", 4),
    "group_norm, channels last": group_norm("channels_last", 4),
    "layer_norm": layer_norm,
    "nearest, and pixel shuffle": moved,
}


def arrays(dtype, scale=1.0, tiny=0.0):
    """input, weight, grad_output and that of a pool, scaled; a part `tiny` of them is denormal."""
    rng = np.random.default_rng(0)
    drawn = []
    for shape in (SHAPE, FILTERS, (*SHAPE[:1], FILTERS[0], *SHAPE[2:]), POOLED):
        factors = np.where(rng.random(shape) < tiny, TINY[dtype], scale)
        drawn.append((rng.standard_normal(shape) * factors).astype(dtype))
    return drawn


def flushed(array):
    """Denormal numbers as zeros of their sign."""
    smallest = np.finfo(array.dtype).smallest_normal
    return np.where(np.abs(array) < smallest, np.copysign(0, array), array).astype(array.dtype)


def bits(results):
    return [each.tobytes() for each in results]


def as_fast(call, one, other, rounds=15):
    """How much longer the call takes on the other data, the best of several rounds in turn."""
    best = [np.inf, np.inf]
    for _ in range(rounds):
        for which, data in enumerate((one, other)):
            start = time.perf_counter()
            call(*data, num_threads=1)
            best[which] = min(best[which], time.perf_counter() - start)
    return best[1] / best[0]


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("name", ALL)
def test_denormal_numbers_cost_no_time(name, dtype, isa):
    usual = arrays(dtype)
    with isas.using(isa):
        for data in (arrays(dtype, TINY[dtype]), arrays(dtype, ROOT[dtype])):
            # We see 1.0; arithmetic with denormal numbers takes up to 100 times as long.
            assert as_fast(ALL[name], usual, data) < 2
        for which in range(len(usual)):
            mixed = [*usual]
            mixed[which] = arrays(dtype, tiny=0.5)[which]
            assert as_fast(ALL[name], usual, mixed, rounds=5) < 3


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("name", SUMS)
def test_denormal_numbers_count_as_zero_for_any_number_of_threads(name, dtype, isa):
    data = arrays(dtype, tiny=0.5)
    assert all((each != flushed(each)).any() for each in data)
    with isas.using(isa):
        want = SUMS[name](*map(flushed, data), num_threads=1)
        for num_threads in (1, 2, 3):
            assert bits(SUMS[name](*data, num_threads=num_threads)) == bits(want)
        tiny = SUMS[name](*arrays(dtype, ROOT[dtype]), num_threads=2)
        assert bits(tiny) == bits(map(flushed, tiny))


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", "fd")
def test_a_maximum_is_exact(dtype, isa):
    x = arrays(dtype, TINY[dtype])[0]
    want = x.reshape(*POOLED[:3], 2, POOLED[3], 2).max((3, 5))
    assert want.any()
    with isas.using(isa):
        for num_threads in (1, 2, 3):
            np.testing.assert_array_equal(fastconv.max_pool2d(x, 2, num_threads=num_threads), want)


# ------------------------------------------------------------------------- the caller's mode


def keeps_denormals():
    """Whether this thread computes with them: half of the smallest normal number is one."""
    return bool((np.full(64, np.finfo("f").smallest_normal, "f") * np.float32(0.5)).all())


@pytest.mark.parametrize("name", ALL)
def test_the_caller_s_thread_keeps_its_denormal_numbers(name):
    def call(num_threads):
        before = keeps_denormals()
        ALL[name](*arrays("f"), num_threads=num_threads)
        return before and keeps_denormals()

    assert call(1)
    assert call(2)
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(call, (1, 2, 1, 2)))


class Environment(ctypes.Structure):
    """fenv_t of glibc on x86-64."""

    _fields_ = (("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32))


def mxcsr(new=None):
    """The processor's SSE mode in this thread; `new` is set after."""
    c, environment = ctypes.CDLL("libm.so.6"), Environment()
    assert c.fegetenv(ctypes.byref(environment)) == 0
    before = environment.mxcsr & ~0x3F  # without the flags of what has happened so far
    if new is not None:
        environment.mxcsr = new
        assert c.fesetenv(ctypes.byref(environment)) == 0
    return before


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or platform.libc_ver()[0] != "glibc",
    reason="reads MXCSR through glibc",
)
@pytest.mark.parametrize("mode", [0x1F80, 0x1F80 | 0x8040, 0x1F80 | 0x4000], ids=hex)
@pytest.mark.parametrize("name", ALL)
def test_the_bits_depend_on_no_mode_and_the_mode_is_restored(name, mode):
    """The modes: default; flush to zero and denormals are zero; rounding up."""
    data = arrays("f", tiny=0.5)
    want = bits(ALL[name](*data, num_threads=1))
    got, after = [], []
    default = mxcsr()
    for num_threads in (1, 2):
        mxcsr(mode)
        try:
            results = ALL[name](*data, num_threads=num_threads)
        finally:
            after.append(mxcsr(default))
        got.append(bits(results))
    assert got == [want, want]
    assert after == [mode, mode]
