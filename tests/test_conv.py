"""conv1d, conv2d, conv3d against the reference, the dense matrix, PyTorch, and by hand."""

import math
from dataclasses import replace

import checks
import numpy as np
import pytest
import reference
from hypothesis import assume, given
from hypothesis import strategies as st
from layers import CONVOLUTIONS, as_case
from strategies import LAYOUTS, cases, examples, lay_out

import fastconv
from fastconv.functional import _geometry


@examples(600)
@given(cases())
def test_every_option_at_once(case):
    checks.assert_forward_right(case)


@examples(40)
@given(cases(data="integers"), st.sampled_from(("C", "channels_last")))
def test_output_has_the_memory_order_of_its_input(case, layout):
    x, weight, bias, _ = replace(case, layouts=(layout, *case.layouts[1:])).arrays()
    checks.assert_order_kept(case, x, checks.forward(case, x, weight, bias))


@examples(40)
@given(cases(data="integers"))
def test_out_receives_the_result(case):
    shape = (case.batch, case.out_channels, *case.out_space)[not case.batched :]
    checks.assert_out_filled(case, checks.surrounded(shape, case.dtype))


@examples(40)
@given(cases(data="integers"), st.sampled_from((np.nan, np.inf)), st.integers(0, 10**9))
def test_nan_reaches_exactly_its_receptive_field(case, poison, where):
    checks.assert_poison_contained(case, poison, where)


@examples(20)
@given(cases(data="integers"), st.integers(0, 10**9))
def test_nan_in_a_filter_stays_in_its_channel(case, where):
    x, weight, bias, _ = case.arrays()
    healthy = checks.forward(case, x, weight, bias)
    poisoned = weight.copy()
    poisoned[where % case.out_channels] = np.nan
    y = checks.forward(case, x, poisoned, bias)
    others = [
        channel for channel in range(case.out_channels) if channel != where % case.out_channels
    ]
    axis = int(case.batched)
    np.testing.assert_array_equal(y.take(others, axis), healthy.take(others, axis))


@examples(40)
@given(cases(data="integers", batch=1, batched=True, with_bias=False))
def test_is_multiplication_by_the_dense_matrix(case):
    x, weight, _, _ = case.arrays()
    assume(case.out_channels * math.prod(case.out_space) * x.size < 10**5)  # it is dense
    matrix = reference.dense_matrix(weight, case.space, *case.geometry)
    y = checks.forward(case, x, weight, None)
    np.testing.assert_array_equal(y.ravel(), matrix @ x.ravel().astype(float))


def test_stride_2_is_the_banded_matrix():
    """One dimension, four weights, stride 2: every second shift of the filter is a row."""
    weight = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 4)
    matrix = reference.dense_matrix(weight, (12,), (2,), ((0, 0),), (1,), 1)
    assert matrix.tolist() == [
        [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
    ]
    rows = [fastconv.conv1d(unit.reshape(1, 12), weight, stride=2)[0] for unit in np.eye(12)]
    assert np.array(rows).T.tolist() == matrix.tolist()


def test_ones_count_the_taps_inside_the_image():
    y = fastconv.conv2d(np.ones((1, 2, 4, 3)), np.ones((1, 2, 3, 3)), padding=1)
    assert y.tolist() == [[[[8, 12, 8], [12, 18, 12], [12, 18, 12], [8, 12, 8]]]]


def test_the_filter_is_not_flipped():
    x = np.array([[0.0, 0.0, 1.0, 0.0, 0.0]])
    y = fastconv.conv1d(x, np.array([[[1.0, 2.0, 3.0]]]), np.array([10.0]))
    assert y.tolist() == [[13, 12, 11]]


def test_a_group_sees_only_its_channels():
    x = np.array([[1.0], [10.0], [100.0], [1000.0]])  # four channels of one cell
    weight = np.ones((4, 2, 1))
    assert fastconv.conv1d(x, weight, groups=2).tolist() == [[11], [11], [1100], [1100]]


def test_dilation_skips_cells():
    x = np.arange(1.0, 8.0).reshape(1, 7)
    assert fastconv.conv1d(x, np.array([[[1.0, 100.0]]]), dilation=3).tolist() == [
        [401, 502, 603, 704]
    ]


def test_padding_may_differ_on_the_two_sides():
    x = np.ones((1, 1, 2, 2))
    y = fastconv.conv2d(x, np.ones((1, 1, 2, 2)), padding=((1, 0), (0, 2)))
    assert y.tolist() == [[[[2, 1, 0], [4, 2, 0]]]]


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 5, 8, 9])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_same_divides_the_size_by_the_stride(size, kernel, stride):
    y = fastconv.conv1d(np.ones((1, size)), np.ones((1, 1, kernel)), stride=stride, padding="same")
    assert y.shape == (1, math.ceil(size / stride))


def test_zero_batch_has_zero_images():
    y = fastconv.conv2d(np.ones((0, 3, 8, 9), np.float32), np.ones((5, 3, 3, 3), np.float32))
    assert y.shape == (0, 5, 6, 7)
    assert y.dtype == np.float32


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=lambda layer: layer.name)
def test_layers_people_train(layer):
    checks.assert_forward_right(as_case(layer, num_threads=2))


@examples(100)
@given(cases())
def test_agrees_with_pytorch(case):
    checks.assert_torch_agrees(case)


# --------------------------------------------------------------------------- regrouped filters


def test_sixty_slices_become_three_sets_of_twenty():
    weight = np.arange(20 * 3 * 9.0).reshape(20, 3, 3, 3)
    regrouped = fastconv.regroup_filters(weight)
    assert regrouped.shape == (3, 20, 3, 3)
    for channel in range(3):
        for filter_ in range(20):
            inverted = weight[filter_, channel].ravel()[::-1].reshape(3, 3)
            assert regrouped[channel, filter_].tolist() == inverted.tolist()


def test_the_inverted_filter_of_the_lecture():
    weight = np.array([["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]])
    numbers = np.vectorize(ord)(weight).astype(float)[np.newaxis, np.newaxis]
    letters = np.vectorize(chr)(fastconv.regroup_filters(numbers)[0, 0].astype(int))
    assert letters.tolist() == [["i", "h", "g"], ["f", "e", "d"], ["c", "b", "a"]]


@given(
    ndim=st.integers(1, 3),
    groups=st.integers(1, 4),
    filters=st.integers(1, 5),
    channels=st.integers(1, 5),
    dtype=st.sampled_from("fd"),
    layout=st.sampled_from(LAYOUTS),
)
def test_regroup_filters_against_loops_and_back(ndim, groups, filters, channels, dtype, layout):
    shape = (groups * filters, channels, *(2, 3, 4)[:ndim])
    weight = lay_out(np.arange(math.prod(shape), dtype=dtype).reshape(shape), layout)
    regrouped = fastconv.regroup_filters(weight, groups)
    np.testing.assert_array_equal(regrouped, reference.regroup_filters(weight, groups))
    assert regrouped.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(fastconv.regroup_filters(regrouped, groups), weight)


def test_what_is_remembered_of_a_call_is_bounded_and_refuses_again():
    x, weight = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32)
    memo = _geometry._conv_geometry
    for cells in range(3, 3 + 2 * _geometry.REMEMBERED):
        fastconv.conv1d(np.ones((1, 1, cells), np.float32), np.ones((1, 1, 3), np.float32))
    assert memo.cache_info().currsize == _geometry.REMEMBERED
    fastconv.conv2d(x, weight, stride=1)
    # Equal as keys, but no integers.
    for stride in (1.0, (1.0, 1.0), True):
        with pytest.raises(TypeError, match="stride"):
            fastconv.conv2d(x, weight, stride=stride)
    for _ in range(2):
        with pytest.raises(ValueError, match="must fit"):
            fastconv.conv2d(x, weight, dilation=5)
    np.testing.assert_array_equal(fastconv.conv2d(x, weight), np.full((1, 3, 3, 3), 18))
