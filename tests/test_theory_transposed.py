"""fastconv.theory: every statement about deconvolution, against the fast kernels."""

import math

import checks
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import cases, examples

import fastconv
from fastconv import theory

SMALL = {"transposed": True, "data": "integers", "dtype": "d", "with_bias": False}


def problem(case):
    assume(case.batch > 0)
    x, weight, _, _ = case.arrays()
    assume(x.size // case.batch * math.prod(case.out_space) * case.out_channels < 10**6)
    options = dict(case.options)
    if options.pop("output_size", None):
        # The theory's way to say a size is output_padding, below stride or dilation.
        options["output_padding"] = case.output_padding
    return x, weight, options


@examples(60)
@given(cases(**SMALL))
def test_by_the_transposed_matrix_and_by_phases(case):
    x, weight, options = problem(case)
    want = checks.forward(case, x, weight, None)
    for function in theory.conv_transpose_by_matrix, theory.conv_transpose_by_phases:
        np.testing.assert_array_equal(function(x, weight, **options), want)


@examples(50)
@given(cases(**SMALL))
def test_one_input_cell_at_a_time(case):
    x, weight, options = problem(case)
    want = checks.forward(case, x, weight, None)
    cells = math.prod(case.space)
    assume(cells * want.size < 10**6)
    scatter, total = theory.deconvolution_steps(x, weight, **options)
    assert scatter.shape == total.shape == (cells, *want.shape)
    np.testing.assert_array_equal(total[-1], want)
    np.testing.assert_array_equal(scatter.sum(axis=0), want)
    step = case.seed % cells
    alone = np.zeros(x.shape)
    where = np.unravel_index(step, case.space)
    alone[(..., *where)] = x[(..., *where)]
    np.testing.assert_array_equal(scatter[step], checks.forward(case, alone, weight, None))


@examples(60)
@given(cases(**SMALL))
def test_every_phase_is_an_ordinary_convolution_of_the_fast_kernels(case):
    """The Phase alone is enough: a convolution of stride 1 of fastconv's, cut and interleaved."""
    assume(case.options["padding"] != "same")
    x, weight, _ = problem(case)
    want = checks.forward(case, x, weight, None)
    got = np.zeros(want.shape)
    conv = getattr(fastconv, f"conv{case.ndim}d")
    phases = theory.phase_filters(weight, case.stride, case.pads, case.dilation, case.groups)
    assert len(phases) == math.prod(case.stride)
    assert sum(math.prod(map(len, each.taps)) for each in phases) == math.prod(case.kernel)
    for each in phases:
        slot = got[(..., *map(slice, each.phase, case.out_space, case.stride))]
        if not each.weight.size or not slot.size:
            continue
        reach = [d * (len(t) - 1) for d, t in zip(each.dilation, each.taps, strict=True)]
        room = [
            (max(0, -first), max(0, first + n + r - size))
            for first, n, r, size in zip(
                each.first, slot.shape[-case.ndim :], reach, case.space, strict=True
            )
        ]
        around = [(0, 0)] * (x.ndim - case.ndim) + room
        padded = np.pad(x, around)
        begin = [max(0, first) for first in each.first]
        end = [b + n + r for b, n, r in zip(begin, slot.shape[-case.ndim :], reach, strict=True)]
        read = padded[(..., *map(slice, begin, end))]
        slot[...] = conv(read, each.weight, dilation=each.dilation, groups=case.groups)
    np.testing.assert_array_equal(got, want)


def test_the_lecture_up_samples_by_2_with_two_convolutions():
    weight = np.array([[[1, 2, 3, 4]]])
    even, odd = theory.phase_filters(weight, 2)
    assert even.weight.tolist() == [[[3, 1]]]
    assert odd.weight.tolist() == [[[4, 2]]]
    assert even.first == odd.first == (-1,)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_3_d_up_sampling_by_2_has_8_phases(ndim):
    assert len(theory.phase_filters(np.ones((1, 1, *[3] * ndim)), 2)) == 2**ndim


@st.composite
def upscalings(draw):
    ndim = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(ndim))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(ndim))
    size = tuple(draw(st.integers(1, 4)) for _ in range(ndim))
    groups = draw(st.integers(1, 2))
    in_channels, out_channels = (draw(st.integers(1, 3)) * groups for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(-3, 4, (2, in_channels, *size)).astype("d")
    weight = rng.integers(-3, 4, (in_channels, out_channels // groups, *kernel)).astype("d")
    return ndim, kernel, stride, groups, x, weight


@examples(80)
@given(upscalings())
def test_sub_pixel_convolution_is_transposed_convolution_and_back(case):
    ndim, kernel, stride, groups, x, weight = case
    subpixel = theory.subpixel_weights(weight, stride, groups)
    border = tuple(k - 1 for k in subpixel.shape[2:])
    conv = getattr(fastconv, f"conv{ndim}d")
    y = fastconv.pixel_shuffle(conv(x, subpixel, padding=border, groups=groups), stride)
    want = getattr(fastconv, f"conv_transpose{ndim}d")(x, weight, stride=stride, groups=groups)
    np.testing.assert_array_equal(y[(..., *map(slice, want.shape[2:]))], want)
    back = theory.transposed_weights(subpixel, stride, groups, kernel)
    np.testing.assert_array_equal(back, weight)
    longer = theory.transposed_weights(subpixel, stride, groups)
    np.testing.assert_array_equal(longer[(..., *map(slice, kernel))], weight)
    assert np.abs(longer).sum() == np.abs(weight).sum()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: theory.conv_transpose_by_matrix(
                np.ones((1, 3)), np.ones((1, 1, 2)), 2, output_padding=2
            ),
            "output_padding must be smaller",
        ),
        (
            lambda: theory.deconvolution_steps(np.ones((1, 1)), np.ones((1, 1, 2)), padding=3),
            "leaves no output",
        ),
        (lambda: theory.phase_filters(np.ones((1, 1, 2)), 2, "same"), "depends on the input"),
        (
            lambda: theory.conv_transpose_by_phases(
                np.ones((1, 3)), np.ones((1, 1, 2)), 2, "same", 1
            ),
            "fixes the output",
        ),
        (lambda: theory.transposed_weights(np.ones((3, 1, 2)), 2), "must be a multiple"),
        (
            lambda: theory.transposed_weights(np.ones((2, 1, 2)), 2, kernel_size=5),
            "at most",
        ),
        (
            lambda: theory.conv_transpose_by_phases(np.ones((2, 3)), np.ones((1, 1, 2))),
            "must have 1 channels",
        ),
    ],
)
def test_errors_name_the_rule(call, said):
    with pytest.raises(ValueError, match=said):
        call()
