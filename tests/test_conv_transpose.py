"""conv_transpose1d, 2d, 3d against the reference, the transposed matrix, PyTorch, and by hand."""

import math
from dataclasses import replace

import checks
import numpy as np
import pytest
import reference
from hypothesis import assume, given
from hypothesis import strategies as st
from layers import TRANSPOSED, as_case
from strategies import cases, examples

import fastconv


@examples(600)
@given(cases(transposed=True))
def test_every_option_at_once(case):
    checks.assert_forward_right(case)


@examples(40)
@given(cases(transposed=True, data="integers"), st.sampled_from(("C", "channels_last")))
def test_output_has_the_memory_order_of_its_input(case, layout):
    x, weight, bias, _ = replace(case, layouts=(layout, *case.layouts[1:])).arrays()
    checks.assert_order_kept(case, x, checks.forward(case, x, weight, bias))


@examples(40)
@given(cases(transposed=True, data="integers"))
def test_out_receives_the_result(case):
    shape = (case.batch, case.out_channels, *case.out_space)[not case.batched :]
    checks.assert_out_filled(case, checks.surrounded(shape, case.dtype))


@examples(60)
@given(
    cases(transposed=True, data="integers"),
    st.sampled_from((np.nan, np.inf)),
    st.integers(0, 10**9),
)
def test_nan_reaches_exactly_the_cells_that_its_kernel_covers(case, poison, where):
    checks.assert_poison_contained(case, poison, where)


@examples(60)
@given(cases(data="integers", with_bias=False))
def test_is_the_adjoint_of_conv(case):
    """<conv(x), y> = <x, conv_transpose(y)>, with the very same weight."""
    x, weight, _, y = case.arrays()
    options = {key: case.options[key] for key in ("stride", "dilation", "groups")}
    operation = getattr(fastconv, f"conv_transpose{case.ndim}d")
    back = operation(y, weight, padding=case.pads, output_size=case.space, **options)
    left = np.vdot(checks.forward(case, x, weight, None).astype(float), y)
    assert left == np.vdot(x, back.astype(float))


@examples(40)
@given(cases(transposed=True, data="integers", batch=1, batched=True, with_bias=False))
def test_is_multiplication_by_the_transposed_matrix(case):
    x, weight, _, _ = case.arrays()
    assume(case.out_channels * math.prod(case.out_space) * x.size < 10**5)  # it is dense
    matrix = reference.dense_matrix(weight, case.out_space, *case.geometry)
    y = checks.forward(case, x, weight, None)
    # Output padding may leave room for one more window; x has no cell for it.
    rows = matrix.reshape(
        case.in_channels,
        *reference.out_space(case.out_space, case.kernel, case.stride, case.pads, case.dilation),
        -1,
    )
    rows = rows[(slice(None), *map(slice, case.space))].reshape(x.size, -1)
    np.testing.assert_array_equal(y.ravel(), rows.T @ x.ravel().astype(float))


def test_every_cell_stamps_the_kernel():
    y = fastconv.conv_transpose1d(
        np.array([[1.0, 10.0]]), np.array([[[1.0, 2.0, 3.0]]]), stride=2, output_padding=1
    )
    assert y.tolist() == [[1, 2, 13, 20, 30, 0]]


def test_padding_trims_both_ends():
    y = fastconv.conv_transpose1d(
        np.array([[1.0, 10.0]]), np.array([[[1.0, 2.0, 3.0]]]), stride=2, padding=((1, 2),)
    )
    assert y.tolist() == [[2, 13]]


def test_bias_reaches_cells_that_no_kernel_covers():
    y = fastconv.conv_transpose1d(
        np.array([[1.0, 1.0]]), np.array([[[1.0]]]), np.array([5.0]), stride=3, output_padding=2
    )
    assert y.tolist() == [[6, 5, 5, 6, 5, 5]]


@examples(40)
@given(cases(transposed=True, ndim=1, data="integers", with_bias=False))
def test_upsampling_is_interleaved_convolutions(case):
    """By s, it is s convolutions with every s-th weight, inverted; their outputs interleave."""
    x, weight, _, _ = replace(case, groups=1, dilation=(1,)).arrays()
    (stride,) = case.stride
    y = fastconv.conv_transpose1d(x, weight, stride=stride)
    filters = np.swapaxes(weight, 0, 1)
    for phase in range(stride):
        every = filters[:, :, phase::stride]
        taps = every.shape[2]
        if not taps:
            assert not y[..., phase::stride].any()
            continue
        part = fastconv.conv1d(x, every[:, :, ::-1], padding=taps - 1)
        np.testing.assert_array_equal(y[..., phase::stride], part)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_output_size_says_the_output_padding(extra):
    x, weight = np.ones((1, 2, 4, 5)), np.ones((2, 3, 3, 2))
    by_padding = fastconv.conv_transpose2d(x, weight, stride=3, output_padding=(extra, 0))
    by_size = fastconv.conv_transpose2d(x, weight, stride=3, output_size=(12 + extra, 14))
    assert by_padding.shape == (1, 3, 12 + extra, 14)
    assert by_size.tolist() == by_padding.tolist()


def test_zero_batch_has_zero_images():
    y = fastconv.conv_transpose2d(np.ones((0, 3, 4, 5)), np.ones((3, 2, 3, 3)), stride=2)
    assert y.shape == (0, 2, 9, 11)


@pytest.mark.parametrize("layer", TRANSPOSED, ids=lambda layer: layer.name)
def test_layers_people_train(layer):
    checks.assert_forward_right(as_case(layer, num_threads=2))


@examples(100)
@given(cases(transposed=True))
def test_agrees_with_pytorch(case):
    checks.assert_torch_agrees(case)
