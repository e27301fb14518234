"""Pixel shuffle, unfold and fold against loops, and against each other."""

import math

import isas
import numpy as np
import pytest
import reference_pointwise as reference
from checks import using_threads
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv.functional as F
from fastconv.functional import _order

layouts = st.sampled_from(LAYOUTS)
dtypes = st.sampled_from("fd")


def numbered(shape, dtype, layout):
    """Every element another one."""
    x = lay_out(np.arange(math.prod(shape)).reshape(shape).astype(dtype), layout)
    x.flags.writeable = False
    return x


@examples(60)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.tuples(st.integers(0, 2), st.integers(1, 3)),
    st.lists(st.integers(1, 4), min_size=3, max_size=3),
    dtypes,
    layouts,
)
def test_pixel_shuffle(factor, lead, space, dtype, layout):
    n, channels = lead
    shape = (n, channels * math.prod(factor), *space[: len(factor)])
    x = numbered(shape, dtype, layout)
    y = F.pixel_shuffle(x, tuple(factor))
    np.testing.assert_array_equal(y, reference.pixel_shuffle(x, factor))
    assert y.dtype == dtype
    for inverse in (F.pixel_unshuffle, F.pixel_shuffle_backward):
        np.testing.assert_array_equal(inverse(y, tuple(factor)), x)
    np.testing.assert_array_equal(F.pixel_unshuffle_backward(x, tuple(factor)), y)
    if layout == "channels_last" and min(shape) > 1:
        assert np.moveaxis(y, 1, -1).flags.c_contiguous


@examples(150)
@given(
    factor=st.lists(st.sampled_from((1, 2, 2, 2, 3, 4, 5)), min_size=1, max_size=3),
    lead=st.tuples(st.integers(1, 2), st.sampled_from((1, 2, 3, 8, 16, 21))),
    space=st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from((1, 3, 8, 16, 37))),
    dtype=dtypes,
    layout=layouts,
    num_threads=st.sampled_from((1, 2, 3, 8)),
    isa=st.sampled_from(isas.AVAILABLE),
)
def test_pixel_shuffle_of_whole_vectors(factor, lead, space, dtype, layout, num_threads, isa):
    """Every build, and every bit: random ones, the NaN of any payload and denormals among them."""
    n, channels = lead
    shape = (n, channels * math.prod(factor), *space[-len(factor) :])
    numbers = np.arange(math.prod(shape)).reshape(shape)
    places = reference.pixel_shuffle(numbers, factor)
    unsigned = f"u{np.dtype(dtype).itemsize}"
    bits = np.random.default_rng(0).integers(0, np.iinfo(unsigned).max, shape, unsigned)
    x = lay_out(bits.view(dtype), layout)
    with isas.using(isa), using_threads(num_threads):
        y = F.pixel_shuffle(x, tuple(factor))
        back = F.pixel_unshuffle(lay_out(y, layout), tuple(factor))
    np.testing.assert_array_equal(y.view(unsigned), bits.ravel()[places])
    np.testing.assert_array_equal(back.view(unsigned), bits)


@pytest.mark.parametrize("shape", [(2, 3, 8, 4, 6), (8, 4, 6)])
def test_the_second_axis_as_the_fastest_when_it_is_not_the_channels(shape):
    x = np.moveaxis(np.random.default_rng(0).standard_normal(shape), 1, -1).copy()
    x = np.moveaxis(x, -1, 1)
    y = F.pixel_shuffle(x, 2)
    want = F.pixel_shuffle(np.ascontiguousarray(x), 2)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(F.pixel_unshuffle(y, 2), x)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_an_int_shuffles_two_axes_whatever_comes_before(lead):
    x = numbered((*lead, 8, 2, 3), "f", "C")
    want = reference.pixel_shuffle(x.reshape(-1, 8, 2, 3), (2, 2)).reshape(*lead, 2, 4, 6)
    np.testing.assert_array_equal(F.pixel_shuffle(x, 2), want, strict=True)
    np.testing.assert_array_equal(F.pixel_unshuffle(want, 2), x, strict=True)


_pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@examples(80)
@given(
    st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
    _pairs,
    _pairs,
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    _pairs,
    dtypes,
    layouts,
)
def test_unfold_and_fold(shape, kernel, dilation, pad, stride, dtype, layout):
    options = (kernel, dilation, pad, stride)
    x = numbered(shape, dtype, layout)
    assume(all(reference.windows(shape[2:], kernel, stride, pad, dilation, False)))
    columns = F.unfold(x, *options)
    np.testing.assert_array_equal(columns, reference.unfold(x, *options))
    assert columns.dtype == dtype
    np.testing.assert_array_equal(F.fold_backward(x, *options), columns)

    # fold is the transpose of unfold: <unfold(x), y> = <x, fold(y)>; the numbers are integers.
    y = np.random.default_rng(0).integers(-2, 3, columns.shape).astype(dtype)
    folded = F.fold(y, shape[2:], *options)
    assert folded.dtype == dtype
    basis = np.random.default_rng(1).integers(-2, 3, shape).astype(dtype)
    assert np.sum(F.unfold(basis, *options) * y) == np.sum(basis * folded)
    np.testing.assert_array_equal(F.unfold_backward(y, shape, *options), folded, strict=True)

    if shape[0]:
        np.testing.assert_array_equal(F.unfold(x[0], *options), columns[0], strict=True)
        np.testing.assert_array_equal(F.fold(y[0], shape[2:], *options), folded[0], strict=True)


def test_fold_adds_where_windows_overlap():
    ones = np.ones((1, 4, 4))
    np.testing.assert_array_equal(F.fold(ones, 3, 2), [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]])


def test_pytorch_agrees():
    torch = pytest.importorskip("torch")
    x = numbered((2, 12, 5, 6), "f", "C")
    theirs = torch.tensor(np.array(x))
    np.testing.assert_array_equal(F.pixel_shuffle(x, 2), torch.pixel_shuffle(theirs, 2))
    x, theirs = x[:, :, :4], theirs[:, :, :4]
    np.testing.assert_array_equal(F.pixel_unshuffle(x, 2), torch.pixel_unshuffle(theirs, 2))
    options = ((2, 3), (1, 2), (1, 0), (2, 1))
    columns = torch.nn.functional.unfold(theirs, *options)
    np.testing.assert_array_equal(F.unfold(x, *options), columns)
    folded = torch.nn.functional.fold(columns, (4, 6), *options)
    np.testing.assert_array_equal(F.fold(columns.numpy(), (4, 6), *options), folded)


X = np.zeros((2, 4, 4, 6), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.pixel_shuffle(X, 3), ValueError, "pixel_shuffle: the channels must be a mult"),
        (lambda: F.pixel_shuffle(X, 0), ValueError, "factor must be at least 1, got 0"),
        (lambda: F.pixel_shuffle(X, 2.0), TypeError, "factor must be an integer, got 2.0"),
        (
            lambda: F.pixel_shuffle(X[0, 0], 2),
            ValueError,
            "as many spatial axes after the channels",
        ),
        (lambda: F.pixel_shuffle(X, (1,) * 4), ValueError, "one to three factors"),
        (lambda: F.pixel_shuffle(X.astype(int), 2), TypeError, "must be float32 or float64"),
        (lambda: F.pixel_unshuffle(X, 4), ValueError, "spatial sizes must be multiples of the fac"),
        (lambda: F.unfold(X, 5), ValueError, r"unfold: no window fits: .* give \(0, 2\)"),
        (lambda: F.unfold(X, 2, 0), ValueError, "dilation must be at least 1"),
        (lambda: F.unfold(X, 2, 1, -1), ValueError, "padding must be at least 0"),
        (lambda: F.unfold(X[0, 0], 2), ValueError, r"input must have 4 axes"),
        (lambda: F.unfold(X, 2, 1, 2**40), OverflowError, "too large for 64-bit sizes"),
        (lambda: F.unfold_backward(X[0], 5, 2), ValueError, "input_shape must be .*, got 5"),
        (
            lambda: F.unfold_backward(X[0], (2, 4, 3, 4), 2),
            ValueError,
            r"grad_output of shape \(4, 4, 6\) belongs to an input of shape \(4, 1, 3, 4\)",
        ),
        (lambda: F.fold(X[0], 4, 2), ValueError, r"fold: columns of \(N, C \* 4, 9\) are needed"),
        (lambda: F.fold(X[0], 4, 3), ValueError, r"got shape \(4, 4, 6\)"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_turning_between_memory_orders_moves_every_value(isa, dtype):
    """Whole squares, parts of them, and several tasks in an image."""
    for channels in (1, 2, 3, 4, 16, 17, 33, 64):
        for space in ((1,), (5,), (16,), (17,), (129,), (5, 5), (3, 4, 5), (13, 28)):
            x = np.arange(2 * channels * math.prod(space), dtype=dtype)
            x = x.reshape(2, channels, *space)
            for num_threads in (1, 3):
                with isas.using(isa):
                    turned = _order.to_channels_last("test", x, num_threads)
                    back = _order.to_c_order("test", turned, num_threads)
                assert np.moveaxis(turned, 1, -1).flags.c_contiguous
                assert back.flags.c_contiguous
                np.testing.assert_array_equal(turned, x)
                np.testing.assert_array_equal(back, x)
