"""Pools, every option at once, against plain loops."""

import itertools
import math
from dataclasses import dataclass

import isas
import numpy as np
import pytest
import reference_pointwise as reference
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv.functional as F


@dataclass(frozen=True)
class Pool:
    """One pool: what a user writes, and an input that follows from `seed`."""

    shape: tuple
    kernel: tuple
    stride: tuple
    pad: tuple
    dilation: tuple
    ceil_mode: bool
    count_include_pad: bool
    divisor_override: int | None
    data: str
    dtype: str
    layout: str
    num_threads: int
    isa: str
    seed: int

    @property
    def ndim(self):
        return len(self.kernel)

    def axes(self, dilation=None):
        return reference.windows(
            self.shape[2:], self.kernel, self.stride, self.pad, dilation or self.dilation,
            self.ceil_mode,
        )  # fmt: skip

    def array(self, shape=None, data=None):
        """Read-only; "integers" have ties and exact sums, "special" data NaN and infinities."""
        rng = np.random.default_rng(self.seed)
        shape = self.shape if shape is None else shape
        values = rng.standard_normal(shape)
        data = data or self.data
        if data == "integers":
            values = rng.integers(-2, 3, shape).astype(float)
        elif data == "special":
            values = rng.choice([np.nan, -np.inf, np.inf, -np.inf, 0.0, -0.0, 1.0], shape)
        array = lay_out(values.astype(self.dtype), self.layout)
        array.flags.writeable = False
        return array

    def call(self, name, *args, **more):
        with isas.using(self.isa):
            return getattr(F, name.format(self.ndim))(*args, **more, num_threads=self.num_threads)

    def max_options(self):
        return (self.kernel, self.stride, self.pad, self.dilation, self.ceil_mode)

    def avg_options(self):
        return (
            self.kernel, self.stride, self.pad, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


def _per_axis(low, high, ndim):
    return st.tuples(*[st.integers(low, high)] * ndim)


@st.composite
def pools(draw, dilated=True, data=("integers", "normal", "special")):
    ndim = draw(st.integers(1, 3))
    longest = {1: 70, 2: 21, 3: 6}[ndim]
    space = draw(_per_axis(1, 7 if ndim > 1 else 9, ndim))
    space = (*space[:-1], draw(st.integers(1, longest)))
    kernel = draw(_per_axis(1, 4, ndim))
    dilation = draw(_per_axis(1, 3, ndim)) if dilated else (1,) * ndim
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    pool = Pool(
        shape=(
            draw(st.sampled_from((1, 2, 3, 0))),
            draw(st.sampled_from((1, 2, 3, 8, 21))),
            *space,
        ),
        kernel=kernel,
        stride=draw(_per_axis(1, 4, ndim)),
        pad=tuple(draw(st.integers(0, each // 2)) for each in span),
        dilation=dilation,
        ceil_mode=draw(st.booleans()),
        count_include_pad=draw(st.booleans()),
        divisor_override=draw(st.sampled_from((None, None, 3, -2))),
        data=draw(st.sampled_from(data)),
        dtype=draw(st.sampled_from("fd")),
        layout=draw(st.sampled_from(LAYOUTS)),
        num_threads=draw(st.integers(1, 4)),
        isa=draw(st.sampled_from(isas.AVAILABLE)),
        seed=draw(st.integers(0, 99)),
    )
    assume(all(pool.axes()))
    return pool


def assert_close(got, want, dtype):
    assert got.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got, want, rtol=20 * eps, atol=20 * eps)
    assert got.shape == want.shape


def packed_like(array, layout, source):
    """Whether `array` is packed as its source is, whose layout may be both: then it is C order."""
    if layout == "channels_last" and not source.flags.c_contiguous:
        array = np.moveaxis(array, 1, -1)
    return array.flags.c_contiguous


@examples(250)
@given(pools())
def test_max_pool(pool):
    x = pool.array()
    want, places = reference.max_pool(x, pool.axes())
    got, indices = pool.call("max_pool{}d", x, *pool.max_options(), return_indices=True)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(indices, places)
    assert (got.dtype, indices.dtype) == (pool.dtype, np.int64)
    only = pool.call("max_pool{}d", x, *pool.max_options())
    assert only.tobytes() == got.tobytes()
    if pool.layout in ("C", "channels_last"):
        assert packed_like(got, pool.layout, x)
        assert packed_like(indices, pool.layout, x)


@examples(150)
@given(pools(), st.sampled_from(LAYOUTS))
def test_max_pool_backward(pool, layout):
    x = pool.array()
    y, indices = pool.call("max_pool{}d", x, *pool.max_options(), return_indices=True)
    grad = pool.array(y.shape, "integers")
    got = pool.call("max_pool{}d_backward", grad, lay_out(indices, layout), pool.shape)
    np.testing.assert_array_equal(got, reference.max_pool_backward(grad, indices, pool.shape))
    assert got.dtype == pool.dtype
    if pool.layout in ("C", "channels_last"):
        assert packed_like(got, pool.layout, grad)


@examples(150)
@given(pools(dilated=False, data=("integers", "normal")))
def test_avg_pool(pool):
    x = pool.array()
    want = reference.avg_pool(
        x, pool.axes(), pool.pad, pool.count_include_pad, pool.divisor_override
    )
    got = pool.call("avg_pool{}d", x, *pool.avg_options())
    assert_close(got, want, pool.dtype)
    if pool.layout in ("C", "channels_last"):
        assert packed_like(got, pool.layout, x)


@examples(150)
@given(pools(dilated=False, data=("integers", "normal")))
def test_avg_pool_backward(pool):
    axes = pool.axes()
    grad = pool.array((*pool.shape[:2], *map(len, axes)))
    want = reference.avg_pool_backward(
        grad, pool.shape, axes, pool.pad, pool.count_include_pad, pool.divisor_override
    )
    got = pool.call("avg_pool{}d_backward", grad, pool.shape, *pool.avg_options())
    assert_close(got, want, pool.dtype)
    if pool.layout in ("C", "channels_last"):
        assert packed_like(got, pool.layout, grad)


@examples(100)
@given(pools(dilated=False, data=("integers", "normal")), st.data())
def test_adaptive_avg_pool(pool, data):
    out = data.draw(_per_axis(1, 8, pool.ndim))
    axes = list(map(reference.adaptive_windows, pool.shape[2:], out))
    pad = (0,) * pool.ndim
    x = pool.array()
    got = pool.call("adaptive_avg_pool{}d", x, out)
    assert_close(got, reference.avg_pool(x, axes, pad), pool.dtype)
    grad = pool.array(got.shape)
    want = reference.avg_pool_backward(grad, pool.shape, axes, pad)
    assert_close(pool.call("adaptive_avg_pool{}d_backward", grad, pool.shape), want, pool.dtype)


@examples(60)
@given(pools())
def test_a_nan_or_infinity_reaches_the_means_of_its_windows_only(pool):
    """A running sum would smear it over the rest of the row."""
    axes = pool.axes((1,) * pool.ndim)
    assume(all(axes) and all(2 * p <= k for p, k in zip(pool.pad, pool.kernel, strict=True)))
    x = pool.array(data="special")
    with np.errstate(invalid="ignore"):
        want = reference.avg_pool(x, axes, pool.pad)
    got = pool.call("avg_pool{}d", x, pool.kernel, pool.stride, pool.pad, pool.ceil_mode)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("shape", [(3, 70, 9, 37), (2, 5, 1, 9001), (1, 130, 17, 5)])
def test_threads_do_not_change_a_bit(shape, layout, dtype):
    rng = np.random.default_rng(0)
    x = lay_out(rng.standard_normal(shape).astype(dtype), layout)
    options = (1 if shape[2] == 1 else 3, 7), (1, 3), (0, 3)

    def everything(num_threads):
        more = {"num_threads": num_threads}
        y, indices = F.max_pool2d(x, *options, return_indices=True, **more)
        grad = lay_out(np.random.default_rng(1).standard_normal(y.shape).astype(dtype), layout)
        mean = F.avg_pool2d(x, *options, **more)
        yield from (y, indices, mean)
        yield F.max_pool2d_backward(grad, indices, shape, **more)
        yield F.avg_pool2d_backward(grad, shape, *options, **more)
        small = F.adaptive_avg_pool2d(x, (1, 4), **more)
        yield small
        yield F.adaptive_avg_pool2d_backward(small, shape, **more)

    one = list(everything(1))
    # Big enough for tiles, blocks and chunks to end inside: the values matter too.
    axes = reference.windows(shape[2:], *options, (1, 1), False)
    np.testing.assert_array_equal(one[0], reference.max_pool(x, axes)[0])
    assert_close(one[2], reference.avg_pool(x, axes, options[2]), dtype)
    for num_threads in (2, 3, 4):
        for got, want in zip(everything(num_threads), one, strict=True):
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("layout", ["C", "channels_last"])
def test_rows_longer_and_shorter_than_vectors(layout, dtype, isa):
    """Every way to load lanes: next to each other, every second, further apart; with tails."""
    for lanes, stride, kernel in itertools.product((4, 5, 8, 11, 16, 19), (1, 2, 3), (2, 3)):
        width = (lanes - 1) * stride + kernel
        shape = (1, 2, 4, width) if layout == "C" else (1, lanes, 4, 2 * stride + kernel)
        x = np.random.default_rng(lanes).permutation(math.prod(shape)).reshape(shape)
        x = lay_out(x.astype(dtype), layout)
        axes = reference.windows(shape[2:], (kernel,) * 2, (stride,) * 2, (0, 0), (1, 1), False)
        want, places = reference.max_pool(x, axes)
        with isas.using(isa):
            y, indices = F.max_pool2d(x, kernel, stride, return_indices=True)
            mean = F.avg_pool2d(x, kernel, stride)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(indices, places)
        assert_close(mean, reference.avg_pool(x, axes, (0, 0)), dtype)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_gradients_are_those_of_finite_differences(ndim):
    shape = (2, 2, 5, 4, 6)[: ndim + 2]
    rng = np.random.default_rng(ndim)
    x = rng.permutation(math.prod(shape)).reshape(shape) / 10.0  # far from ties
    max_options, avg_options = (3, 2, 1), (3, 2, 1, True, False)

    def pool(name, *args):
        return getattr(F, name.format(ndim))(*args)

    y, indices = pool("max_pool{}d", x, *max_options, 1, False, True)
    grad = rng.standard_normal(y.shape)
    want = reference.gradient(lambda x: pool("max_pool{}d", x, *max_options), x, grad)
    got = pool("max_pool{}d_backward", grad, indices, shape)
    np.testing.assert_allclose(got, want, atol=1e-7)

    grad = rng.standard_normal(pool("avg_pool{}d", x, *avg_options).shape)
    want = reference.gradient(lambda x: pool("avg_pool{}d", x, *avg_options), x, grad)
    got = pool("avg_pool{}d_backward", grad, shape, *avg_options)
    np.testing.assert_allclose(got, want, atol=1e-7)

    grad = rng.standard_normal((*shape[:2], *(3,) * ndim))
    want = reference.gradient(lambda x: pool("adaptive_avg_pool{}d", x, 3), x, grad)
    got = pool("adaptive_avg_pool{}d_backward", grad, shape)
    np.testing.assert_allclose(got, want, atol=1e-7)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_an_input_without_a_batch(ndim):
    x = np.random.default_rng(0).standard_normal((3, 6, 5, 7)[: ndim + 1])

    def both(name, *args):
        """The call, and the same one with a batch of one; tuples are shapes."""
        function = getattr(F, name.format(ndim))
        batched = [each[None] if isinstance(each, np.ndarray) else each for each in args]
        batched = [(1, *each) if isinstance(each, tuple) else each for each in batched]
        return function(*args), function(*batched)

    (y, indices), (y1, indices1) = both("max_pool{}d", x, 2, 1, 0, 1, False, True)
    pairs = [(y, y1), (indices, indices1)]
    pairs.append(both("max_pool{}d_backward", y, indices, x.shape))
    pairs.append(both("avg_pool{}d", x, 2))
    pairs.append(both("avg_pool{}d_backward", pairs[-1][0], x.shape, 2))
    pairs.append(both("adaptive_avg_pool{}d", x, 2))
    pairs.append(both("adaptive_avg_pool{}d_backward", pairs[-1][0], x.shape))
    for got, want in pairs:
        np.testing.assert_array_equal(got, want[0], strict=True)


def test_the_stride_is_the_kernel_unless_given():
    x = np.arange(24.0).reshape(1, 1, 4, 6)
    np.testing.assert_array_equal(F.max_pool2d(x, (2, 3)), [[[[8, 11], [20, 23]]]])
    np.testing.assert_array_equal(F.avg_pool2d(x, (2, 3)), [[[[4, 7], [16, 19]]]])


def test_adaptive_none_keeps_a_size():
    x = np.arange(12.0).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(F.adaptive_avg_pool2d(x, (1, None)), x.mean(2, keepdims=True))
    assert F.adaptive_avg_pool2d(x, (0, 2)).shape == (1, 2, 0, 2)
    np.testing.assert_array_equal(
        F.adaptive_avg_pool2d_backward(np.ones((1, 2, 0, 2)), x.shape), np.zeros(x.shape)
    )


def test_a_dilated_window_of_padding_alone_holds_nothing():
    y, indices = F.max_pool1d(np.ones((1, 1, 1)), 2, 1, 2, 3, False, True)
    np.testing.assert_array_equal(y, [[[-np.inf, -np.inf]]])
    np.testing.assert_array_equal(indices, [[[-1, -1]]])
    np.testing.assert_array_equal(F.max_pool1d_backward(y, indices, (1, 1, 1)), [[[0]]])


@pytest.mark.parametrize("count", [7, 6000])
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_divisors_of_like_windows_are_not_mistaken(count, layout):
    """A call remembers its windows for the next one, unless they are many."""
    x = np.arange(1.0, 2 * count * 3 + 1, dtype="f").reshape(1, 3, -1)
    x = x if layout == "nchw" else F.channels_last(x)
    y = F.avg_pool1d(x, 2, padding=1)
    inside = F.avg_pool1d(x, 2, padding=1, count_include_pad=False)
    sums = F.avg_pool1d(x, 2, padding=1, divisor_override=1)
    for _ in range(2):
        np.testing.assert_array_equal(F.avg_pool1d(x, 2, padding=1), y)
    np.testing.assert_array_equal(y, sums / 2)
    np.testing.assert_array_equal(inside[..., 1:-1], y[..., 1:-1])
    np.testing.assert_array_equal(inside[..., [0, -1]], sums[..., [0, -1]])
    np.testing.assert_array_equal(sums[0, :, 0], x[0, :, 0])


def test_windows_far_larger_than_the_input():
    far = 2**40
    x = np.array([[[2.0, 3.0]]])
    y, indices = F.max_pool1d(x, far, 1, far // 2, return_indices=True)
    np.testing.assert_array_equal(y, [[[3, 3, 3]]])
    np.testing.assert_array_equal(indices, [[[1, 1, 1]]])
    np.testing.assert_array_equal(F.avg_pool1d(x, far, 1, far // 2, False, False), [[[2.5] * 3]])
    np.testing.assert_array_equal(F.max_pool1d(x, 1, 2**60), [[[2]]])


TORCH_OPTIONS = list(
    itertools.product([(3, 2, 1), (2, None, 0), (4, 3, 2)], [1, 2], [False, True], [1, 2, 3])
)


@pytest.mark.parametrize(("options", "dilation", "ceil_mode", "ndim"), TORCH_OPTIONS)
def test_pytorch_agrees(options, dilation, ceil_mode, ndim):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (2, 3, 8, 7, 9)[: ndim + 2]).astype(np.float32)
    x.flat[::29] = np.nan
    theirs = torch.tensor(x, requires_grad=True)

    max_options = (*options, dilation, ceil_mode)
    y, indices = getattr(F, f"max_pool{ndim}d")(x, *max_options, return_indices=True)
    want, places = getattr(torch.nn.functional, f"max_pool{ndim}d")(
        theirs, *max_options, return_indices=True
    )
    np.testing.assert_array_equal(y, want.detach())
    np.testing.assert_array_equal(indices, places)
    grad = rng.integers(-3, 4, y.shape).astype(np.float32)
    want.backward(torch.tensor(grad))
    got = getattr(F, f"max_pool{ndim}d_backward")(grad, indices, x.shape)
    np.testing.assert_array_equal(got, theirs.grad)

    for count_include_pad in (False, True):
        theirs.grad = None
        avg_options = (*options, ceil_mode, count_include_pad)
        y = getattr(F, f"avg_pool{ndim}d")(x, *avg_options)
        want = getattr(torch.nn.functional, f"avg_pool{ndim}d")(theirs, *avg_options)
        np.testing.assert_allclose(y, want.detach(), rtol=1e-6, atol=1e-6)
        grad = rng.integers(-3, 4, y.shape).astype(np.float32)
        want.backward(torch.tensor(grad))
        got = getattr(F, f"avg_pool{ndim}d_backward")(grad, x.shape, *avg_options)
        np.testing.assert_allclose(got, theirs.grad, rtol=1e-6, atol=1e-6)


X = np.zeros((2, 3, 5, 6), np.float32)
INDICES = np.zeros((2, 3, 2, 2), np.int64)
GRAD = INDICES.astype(np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.max_pool2d(X, 0), ValueError, "max_pool2d: kernel_size must be at least 1"),
        (lambda: F.max_pool2d(X, 2.5), TypeError, "kernel_size must be an integer, got 2.5"),
        (lambda: F.max_pool2d(X, (2, 2, 2)), ValueError, "kernel_size must be an integer or 2"),
        (lambda: F.max_pool2d(X, 2, 0), ValueError, "stride must be at least 1, got 0"),
        (lambda: F.max_pool2d(X, 2, 1, -1), ValueError, "padding must be at least 0, got -1"),
        (lambda: F.max_pool2d(X, 3, 1, 2), ValueError, "at most half of what the kernel spans"),
        (lambda: F.avg_pool2d(X, 3, 1, 2), ValueError, "avg_pool2d: padding must be at most half"),
        (lambda: F.max_pool2d(X, 3, 1, 0, 0), ValueError, "dilation must be at least 1"),
        (lambda: F.max_pool2d(X, 6), ValueError, r"too small for a window: .* output of \(0, 1\)"),
        (lambda: F.max_pool2d(X[0, 0], 2), ValueError, r"must have 4 axes .* got shape \(5, 6\)"),
        (lambda: F.max_pool2d(X[:, :0], 2), ValueError, "only the batch of the input may be"),
        (lambda: F.avg_pool2d(X[:, :, :0], 2), ValueError, "only the batch of the input may be"),
        (lambda: F.max_pool2d(X.astype(int), 2), TypeError, "must be float32 or float64, got int"),
        (lambda: F.max_pool2d(X, 2, num_threads=0), ValueError, "num_threads must be at least 1"),
        (lambda: F.max_pool2d(X, 2**62, 1, 2**61), OverflowError, "too large for 64-bit"),
        (lambda: F.max_pool2d(X, 2, 2**62), OverflowError, "too large for 64-bit"),
        (lambda: F.max_pool2d(X, 2, 2**64), OverflowError, "stride must fit 64 bits"),
        (
            lambda: F.max_pool1d(np.broadcast_to(X[0, 0, 0, 0], (1, 1, 2**30 + 1)), 2**30 + 1),
            OverflowError,
            r"must span at most 2\*\*31 float32 cells",
        ),
        (lambda: F.avg_pool2d(X, 2, divisor_override=0), ValueError, "must not be zero"),
        (lambda: F.avg_pool2d(X, 2, divisor_override=1.5), TypeError, "divisor_override must be"),
        (lambda: F.adaptive_avg_pool2d(X, -1), ValueError, "output_size must be at least 0"),
        (lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)), ValueError, "output_size must be an integer"),
        (lambda: F.adaptive_avg_pool1d(X[0], 2**62), OverflowError, "too large for 64-bit sizes"),
        (
            lambda: F.max_pool2d_backward(GRAD, INDICES.astype(np.int32), X.shape),
            TypeError,
            "max_pool2d_backward: indices must be int64, got int32",
        ),
        (
            lambda: F.max_pool2d_backward(GRAD, INDICES[:1], X.shape),
            ValueError,
            r"indices must have the shape of grad_output \(2, 3, 2, 2\), got \(1, 3, 2, 2\)",
        ),
        (
            lambda: F.max_pool2d_backward(GRAD, INDICES + 30, X.shape),
            ValueError,
            r"indices must lie in 0\.\.29, .* got 30 to 30",
        ),
        (
            lambda: F.max_pool2d_backward(GRAD, INDICES - 2, X.shape),
            ValueError,
            r"indices must lie in 0\.\.29, .* got -2 to -2",
        ),
        (
            lambda: F.max_pool2d_backward(GRAD, INDICES, (2, 4, 5, 6)),
            ValueError,
            r"input_shape must be \(2, 3\) and 2 spatial sizes",
        ),
        (
            lambda: F.avg_pool2d_backward(GRAD, X.shape, 2, 1),
            ValueError,
            r"grad_output must have spatial sizes \(4, 5\)",
        ),
        (
            lambda: F.avg_pool2d_backward(GRAD, 5, 2),
            TypeError,
            "input_shape must be a tuple of integers, got 5",
        ),
        (
            lambda: F.adaptive_avg_pool2d_backward(GRAD, (2, 3, 5)),
            ValueError,
            "input_shape must be",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
