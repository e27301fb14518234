"""fastconv.theory: sizes against counting and the fast kernels; receptive fields against NaN."""

from fractions import Fraction

import numpy as np
import pytest
import reference
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import cases, examples

import fastconv
from fastconv import nn, theory


@examples(80)
@given(cases())
def test_output_size_counts_windows(case):
    options = {name: value for name, value in case.options.items() if name != "groups"}
    assert theory.output_size(case.space, case.kernel, **options) == case.out_space


@examples(80)
@given(cases(transposed=True))
def test_transposed_output_size(case):
    options = {**case.options, "output_padding": case.output_padding}
    del options["groups"]
    options.pop("output_size", None)
    if options["padding"] == "same":
        del options["output_padding"]
    assert theory.transposed_output_size(case.space, case.kernel, **options) == case.out_space


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_same_padding_needs_the_fewest_zeros(size, kernel, stride, dilation):
    pair = theory.same_padding(kernel, dilation, stride, size)
    assert pair == reference.same_pads(size, kernel, stride, dilation)
    assert theory.output_size(size, kernel, stride, (pair,), dilation) == -(-size // stride)
    if stride == 1:
        assert theory.same_padding(kernel, dilation) == pair


@examples(60)
@given(cases(data="integers", dtype="d", with_bias=False))
def test_the_equivalent_convolution_run_by_the_fast_kernels(case):
    """Zeros between, border, inverted filters, stride 1: the input gradient."""
    assume(case.batch > 0)
    _, weight, _, grad = case.arrays()
    grad = grad if case.batched else grad[None]
    same = theory.equivalent_transposed(
        case.space, case.kernel, case.stride, case.options["padding"], case.dilation
    )
    assert (same.input_size, same.output_size) == (case.out_space, case.space)
    steps = [zeros + 1 for zeros in same.zeros_between]
    size = [(o - 1) * s + 1 for o, s in zip(case.out_space, steps, strict=True)]
    spread = np.zeros((*grad.shape[:2], *size))
    spread[(..., *(slice(None, None, s) for s in steps))] = grad
    for axis, (low, high) in enumerate(same.border, 2):
        around = [(0, 0)] * spread.ndim
        around[axis] = max(low, 0), max(high, 0)
        spread = np.pad(spread, around)
        keep = slice(max(0, -low), spread.shape[axis] - max(0, -high))
        spread = spread[(slice(None),) * axis + (keep,)]
    conv = getattr(fastconv, f"conv{case.ndim}d")
    filters = fastconv.regroup_filters(np.ascontiguousarray(weight), case.groups)
    got = conv(spread, filters.astype("d"), dilation=same.dilation, groups=case.groups)
    want = reference.conv_grad_input(grad, case.space, weight, *case.geometry)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("i", "k", "s", "p", "o", "border"),
    [  # the figures of Dumoulin & Visin
        (4, 3, 1, 0, 2, (2, 2)),  # 2.1 and 4.1
        (5, 4, 1, 2, 6, (1, 1)),  # 2.2 and 4.2
        (5, 3, 1, 1, 5, (1, 1)),  # 2.3 and 4.3
        (5, 3, 1, 2, 7, (0, 0)),  # 2.4 and 4.4
        (5, 3, 2, 0, 2, (2, 2)),  # 2.5 and 4.5
        (5, 3, 2, 1, 3, (1, 1)),  # 2.6 and 4.6
        (6, 3, 2, 1, 3, (1, 2)),  # 2.7 and 4.7
    ],
)
def test_the_figures_of_the_guide(i, k, s, p, o, border):
    assert theory.output_size(i, k, s, p) == o
    same = theory.equivalent_transposed(i, k, s, p)
    assert same.border == (border,)
    assert same.zeros_between == (s - 1,)
    more = border[1] - border[0]
    assert theory.transposed_output_size(o, k, s, p, output_padding=more) == i


def test_a_size_that_does_not_come_out_whole_is_explained():
    assert theory.output_size(12, 5, 2) == 4
    with pytest.raises(ValueError, match="last 1 of 12 cells are read by no window") as told:
        theory.output_size(12, 5, 2, exact=True)
    assert "11 or 13 cells of input come out whole" in str(told.value)
    assert theory.output_size(11, 5, 2, exact=True) == 4
    assert theory.output_size(13, 5, 2, exact=True) == 5


def test_an_ambiguous_transposed_size_is_explained():
    with pytest.raises(ValueError, match="gives 5 for every input of 12 to 13 cells; say which"):
        theory.transposed_output_size(5, 4, 2, output_padding=None)
    assert theory.transposed_output_size(5, 4, 1, output_padding=None) == 8
    assert [theory.output_size(i, 4, 2) for i in (11, 12, 13, 14)] == [4, 5, 5, 6]


def test_same_with_stride_is_explained():
    with pytest.raises(ValueError, match="give input_size"):
        theory.same_padding(3, stride=2)
    assert theory.same_padding(3, stride=2, input_size=8) == (0, 1)
    assert theory.same_padding((3, 5)) == ((1, 1), (2, 2))


def seen_and_told(model, ndim, size):
    """For each output cell: what NaN in the input says it reads, and what the theory says."""
    field = theory.receptive_field(model)
    shape = (1, 1, *[size] * ndim)
    seen = {}
    for cell in range(size):
        x = np.zeros(shape, np.float32)
        x[(0, 0, cell, *[size // 2] * (ndim - 1))] = np.nan
        hit = np.isnan(model.eval()(x)).any(axis=tuple(range(3, ndim + 2)))[0].any(axis=0)
        for o in np.flatnonzero(hit):
            seen.setdefault(int(o), []).append(cell)
    return field, seen


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_receptive_field_is_where_a_nan_is_seen(ndim):
    conv, pool = (getattr(nn, f"{name}{ndim}d") for name in ("Conv", "AvgPool"))
    model = nn.Sequential(
        conv(1, 1, 3, padding=1), nn.ReLU(), pool(2), conv(1, 1, 3, dilation=2, padding=1)
    )
    field, seen = seen_and_told(model, ndim, 16)
    assert field.stride == (2,) * ndim
    for o, cells in seen.items():
        start = field.start[0] + o * field.stride[0]
        told = [each for each in range(start, start + field.size[0]) if 0 <= each < 16]
        # Near the ends some of it lies behind the padding of a layer within.
        assert set(cells) <= set(told)
        if 1 <= o < max(seen) - 1:
            assert cells == told


def test_receptive_field_of_branches_and_up_sampling():
    body = nn.Sequential(nn.Conv1d(1, 1, 5, padding=2), nn.Conv1d(1, 1, 5, padding=2))
    assert theory.receptive_field(nn.Residual(body)) == ((9,), (1,), (-4,))
    assert theory.receptive_field(nn.Concat(nn.Identity(), body)) == ((9,), (1,), (-4,))
    up = nn.Sequential(nn.Conv1d(1, 1, 3), nn.ConvTranspose1d(1, 1, 4, stride=2, padding=1))
    field, seen = seen_and_told(up, 1, 12)
    assert field.stride == (Fraction(1, 2),)
    assert field.size == (max(map(len, seen.values())),)
    assert theory.receptive_field(nn.PixelShuffle(2)).stride == (Fraction(1, 2),)


def test_receptive_field_of_vgg16_is_212():
    """Its convolutional part up to the fifth pool: Araujo et al. (2019), table 1."""
    layers = []
    for count in (2, 2, 3, 3, 3):
        layers += [nn.Conv2d(1, 1, 3, padding=1) for _ in range(count)] + [nn.MaxPool2d(2)]
    assert theory.receptive_field(nn.Sequential(*layers)) == ((212, 212), (32, 32), (-90, -90))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(nn.Conv1d(1, 1, 3), nn.Flatten()), "Flatten has no window"),
        (nn.Conv1d(1, 1, 3, stride=2, padding="valid"), None),
    ],
)
def test_what_sees_everything_is_refused(model, said):
    if said is None:
        assert theory.receptive_field(model) == ((3,), (2,), (0,))
    else:
        with pytest.raises(ValueError, match=said):
            theory.receptive_field(model)
    with pytest.raises(TypeError, match=r"must be an nn\.Module"):
        theory.receptive_field([model])
