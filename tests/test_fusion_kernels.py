"""Kernels that take in the activation beside them: the same values as one by one, to the bit."""

from dataclasses import replace

import checks
import isas
import layers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, cases, examples, lay_out
from test_winograd import cases as winograd_cases

import fastconv
from fastconv import functional as F
from fastconv.functional.conv import _conv, _conv_backward
from fastconv.functional.conv_transpose import _conv_transpose, _conv_transpose_backward
from fastconv.functional.linear import _linear, _linear_backward
from fastconv.functional.normalization import _factors_of

FUSED = {False: (_conv, _conv_backward), True: (_conv_transpose, _conv_transpose_backward)}
SLOPES = st.sampled_from((0.0, 0.01, 0.3, 1.0, 2.5))
ORDERS = st.sampled_from(("C", "channels_last", "transposed", "steps", "reversed"))
POISONS = (np.nan, np.inf, -np.inf, -0.0, 0.0)


def rectified(y, slope):
    return F.relu(y) if slope == 0 else F.leaky_relu(y, slope)


def rectified_backward(grad, y, slope):
    return F.relu_backward(grad, y) if slope == 0 else F.leaky_relu_backward(grad, y, slope)


def poisoned(array, seed, count=4):
    """A copy with a few cells that no arithmetic may treat carelessly, still read-only."""
    rng = np.random.default_rng(seed)
    laid_out = array.copy(order="K")
    if array.size:
        for value in rng.choice(POISONS, count):
            laid_out[np.unravel_index(rng.integers(array.size), array.shape)] = value
    laid_out.flags.writeable = False
    return laid_out


@pytest.mark.parametrize("transposed", [False, True])
@examples(250)
@given(data=st.data(), slope=SLOPES, poison=st.booleans())
def test_forward_with_the_activation_behind(transposed, data, slope, poison):
    case = data.draw(cases(transposed))
    x, weight, bias, _ = case.arrays()
    if poison:
        x, weight = poisoned(x, case.seed), poisoned(weight, case.seed, 1)
        bias = None if bias is None else poisoned(bias, case.seed)
    want = rectified(checks.forward(case, x, weight, bias), slope)
    with isas.using(case.isa):
        got = FUSED[transposed][0](
            case.ndim, x, weight, bias, **case.options, num_threads=case.num_threads, slope=slope
        )
    np.testing.assert_array_equal(got, want)
    assert got.dtype == want.dtype
    if slope == 0:
        assert not np.any(got < 0)


@pytest.mark.parametrize("transposed", [False, True])
@examples(250)
@given(data=st.data(), slope=SLOPES, poison=st.booleans())
def test_backward_with_the_activation_before(transposed, data, slope, poison):
    case = data.draw(cases(transposed))
    x, weight, _, grad = case.arrays()
    if poison:
        x, grad = poisoned(x, case.seed), poisoned(grad, case.seed)
    grad_input, *others = checks.backward(case, grad, x, weight)
    want = rectified_backward(grad_input, x, slope)
    with isas.using(case.isa):
        got, *got_others = FUSED[transposed][1](
            case.ndim, grad, x, weight,
            **case.backward_options, num_threads=case.num_threads, slope=slope,
        )  # fmt: skip
    np.testing.assert_array_equal(got, want)
    assert got.strides == grad_input.strides
    for one, other in zip(got_others, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@examples(150)
@given(data=st.data(), slope=st.sampled_from((0.0, 0.3)), layout=ORDERS)
def test_backward_with_a_branch_beside(algorithm, data, slope, layout):
    case = data.draw(winograd_cases(most_stride=2) if algorithm == "winograd" else cases())
    x, weight, _, grad = case.arrays()
    plus = np.random.default_rng(case.seed).integers(-9, 9, x.shape).astype(case.dtype)
    plus = lay_out(plus, layout)
    options = {"num_threads": case.num_threads, "algorithm": algorithm}
    with isas.using(case.isa):
        alone, got = (
            _conv_backward(
                case.ndim, grad, x, weight, **case.backward_options, **options, **more,
                needs=(True, False, False),
            )[0]
            for more in ({}, {"slope": slope, "plus": plus})
        )  # fmt: skip
    np.testing.assert_array_equal(got, rectified_backward(alone + plus, x, slope))
    assert got.strides == alone.strides


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize("transposed", [False, True])
@examples(250)
@given(
    data=st.data(), slope=SLOPES, layout=st.none() | ORDERS, poison=st.booleans(),
    affine=st.booleans(),
)  # fmt: skip
def test_forward_with_a_normalization_behind(
    algorithm, transposed, data, slope, layout, poison, affine
):
    if algorithm == "winograd":
        case = data.draw(winograd_cases(transposed, most_stride=2))
    else:
        case = data.draw(cases(transposed))
    case = replace(case, batched=True)
    x, weight, bias, grad = case.arrays()
    if poison:
        x = poisoned(x, case.seed)
    rng = np.random.default_rng(case.seed)
    mean, variance, *numbers = rng.standard_normal((4, grad.shape[1])).astype(case.dtype)
    known = mean, variance**2, *(numbers if affine else (None, None))
    plus = None
    if layout is not None:
        plus = lay_out(rng.integers(-9, 9, grad.shape).astype(case.dtype), layout)
    options = case.options | {"num_threads": case.num_threads, "algorithm": algorithm}
    convolve = FUSED[transposed][0]
    with isas.using(case.isa):
        y = convolve(case.ndim, x, weight, bias, **options)
        want = F.batch_norm(y, *known, eps=1e-3)[0]
        want = rectified(want if plus is None else want + plus, slope)
        got = convolve(
            case.ndim, x, weight, bias, **options, slope=slope,
            norm=lambda y: _factors_of(y, *known, 1e-3),
            plus=None if plus is None else lambda y: plus,
        )  # fmt: skip
    np.testing.assert_array_equal(got, want)


@examples(150)
@given(
    rows=st.sampled_from(((), (0,), (1,), (5,), (40,), (2, 3))),
    features=st.integers(1, 70),
    outputs=st.integers(1, 70),
    dtype=st.sampled_from("fd"),
    layout=st.sampled_from(LAYOUTS),
    slope=SLOPES,
    poison=st.booleans(),
    num_threads=st.integers(1, 3),
    isa=st.sampled_from(isas.AVAILABLE),
)
def test_linear(rows, features, outputs, dtype, layout, slope, poison, num_threads, isa):
    rng = np.random.default_rng(0)
    x, weight, bias, grad = (
        rng.standard_normal(shape).astype(dtype)
        for shape in ((*rows, features), (outputs, features), (outputs,), (*rows, outputs))
    )
    if rows:
        x, grad = lay_out(x, layout), lay_out(grad, layout)
    if poison:
        x, grad, bias = (poisoned(array, 1) for array in (x, grad, bias))
    with isas.using(isa):
        y = fastconv.linear(x, weight, bias, num_threads=num_threads)
        got = _linear(x, weight, bias, num_threads=num_threads, slope=slope)
        np.testing.assert_array_equal(got, rectified(y, slope))
        grad_input, *others = fastconv.linear_backward(grad, x, weight, num_threads=num_threads)
        got, *got_others = _linear_backward(grad, x, weight, num_threads=num_threads, slope=slope)
    np.testing.assert_array_equal(got, rectified_backward(grad_input, x, slope))
    for one, other in zip(got_others, others, strict=True):
        np.testing.assert_array_equal(one, other)


LARGE = [
    'mb7ic19ih30oc37kh3ph1n"odd channels"',
    'mb4ic16ih33oc48kh3sh2ph1n"whole vectors"',
    'mb3ic40ih36oc2kh3n"few output channels"',
    'g72mb3ic72ih30oc72kh3ph1n"depthwise"',
    'g4mb4ic64ih20oc32kh3dh2n"groups"',
    'mb1ic256ih7oc256kh3ph1n"many blocks"',
    'deconvmb4ic48ih16oc24kh4sh2ph1n"transposed"',
]


def several_tasks(function):
    """Decorator: layers with several tasks in every kernel, in every layout and build."""
    for mark in (
        pytest.mark.parametrize("isa", isas.AVAILABLE),
        pytest.mark.parametrize("layout", ["C", "channels_last"]),
        pytest.mark.parametrize("text", LARGE, ids=lambda text: layers.problems.parse(text).name),
    ):
        function = mark(function)
    return function


def large_case(text, layout, isa):
    problem = layers.problems.parse(text)
    return layers.as_case(problem, data="normal", layouts=(layout, "C", layout), isa=isa)


@several_tasks
def test_several_tasks(text, layout, isa):
    case = large_case(text, layout, isa)
    x, weight, bias, grad = case.arrays()
    y = checks.forward(case, x, weight, bias)
    grad_input = checks.backward(case, grad, x, weight, needs=(True, False, False))[0]
    forward, backward = FUSED[case.transposed]
    for num_threads, slope in ((1, 0.0), (2, 0.2), (3, 0.0)):
        options = {"num_threads": num_threads, "slope": slope}
        with isas.using(isa):
            got = forward(case.ndim, x, weight, bias, **case.options, **options)
            got_input = backward(
                case.ndim, grad, x, weight, **case.backward_options, **options,
                needs=(True, False, False),
            )[0]  # fmt: skip
        np.testing.assert_array_equal(got, rectified(y, slope))
        np.testing.assert_array_equal(got_input, rectified_backward(grad_input, x, slope))


@several_tasks
def test_grad_bias_has_the_same_bits_whatever_else_is_needed(text, layout, isa):
    case = large_case(text, layout, isa)
    x, weight, _, grad = case.arrays()
    want = checks.backward(case, grad, x, weight)[2]
    exact = grad.sum(axis=(0, 2, 3), dtype=float)
    scale = np.abs(grad).sum(axis=(0, 2, 3), dtype=float)
    assert np.all(np.abs(want - exact) <= 1e-6 * scale)
    for num_threads in (1, 2, 3):
        threaded = replace(case, num_threads=num_threads)
        for needs in ((True, True, True), (False, True, True), (False, False, True)):
            got = checks.backward(threaded, grad, x, weight, needs=needs)[2]
            assert got.tobytes() == want.tobytes()


def test_grad_bias_counts_positions_that_see_padding_alone():
    x, weight, grad = np.ones((2, 1, 0)), np.ones((3, 1, 2)), np.ones((2, 3, 3))
    _, grad_weight, grad_bias = fastconv.conv1d_backward(grad, x, weight, padding=2)
    assert not grad_weight.any()
    assert grad_bias.tolist() == [6, 6, 6]
