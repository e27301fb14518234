"""fastconv.theory: every statement about gradients and matrices, against the fast kernels."""

import math
import sys
from dataclasses import replace

import checks
import numpy as np
import pytest
import reference
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import cases, examples

import fastconv
from fastconv import theory

SMALL = {"data": "integers", "dtype": "d", "with_bias": False}


def whole(case):
    """The arrays of a case that has any examples."""
    assume(case.batch > 0)
    return case.arrays()


@examples(80)
@given(cases(**SMALL))
def test_input_gradient_elementwise_and_by_regrouped_filters(case):
    x, weight, _, grad = whole(case)
    want = checks.backward(case, grad, x, weight, needs=(True, False, False))[0]
    for function in theory.grad_input_elementwise, theory.grad_input_by_regrouped_filters:
        got = function(grad, weight, case.space, **case.options)
        np.testing.assert_array_equal(got, want)


@examples(60)
@given(cases(**SMALL))
def test_weight_gradient_is_the_sum_over_uses(case):
    x, weight, _, grad = whole(case)
    uses = case.batch * math.prod(case.out_space)
    assume(uses * weight.size < 10**6)
    each = theory.weight_use_gradients(grad, x, case.kernel, **case.options)
    assert each.shape == (uses, *weight.shape)
    want = checks.backward(case, grad, x, weight, needs=(False, True, False))[1]
    np.testing.assert_array_equal(each.sum(axis=0), want)


def test_a_use_is_one_product():
    grad, x = np.array([[10.0, 100.0]]), np.array([[1.0, 2.0, 3.0, 4.0]])
    each = theory.weight_use_gradients(grad, x, (2,), stride=2)
    assert each[:, 0, 0].tolist() == [[10, 20], [300, 400]]


@examples(60)
@given(cases(**SMALL), st.booleans())
def test_convolution_is_a_matrix_and_backpropagation_its_transpose(case, sparse):
    if sparse:
        pytest.importorskip("scipy", reason="sparse=True needs SciPy (extra `sparse`)")
    x, weight, _, grad = whole(replace(case, batch=1, batched=True))
    x, grad = x[0], grad[0]
    assume(x.size * grad.size < 10**5)  # it is dense
    matrix = theory.conv_matrix(weight, case.space, **case.options, sparse=sparse)
    assert matrix.shape == (grad.size, x.size)
    y = checks.forward(replace(case, batched=False), x, weight, None)
    np.testing.assert_array_equal((matrix @ x.ravel()).reshape(y.shape), y)
    back = checks.backward(replace(case, batched=False), grad, x, weight)[0]
    np.testing.assert_array_equal((matrix.T @ grad.ravel()).reshape(x.shape), back)
    dense = matrix.toarray() if sparse else matrix
    want = reference.dense_matrix(weight, case.space, *case.geometry)
    np.testing.assert_array_equal(dense, want)


@examples(60)
@given(cases(ndim=None, **SMALL))
def test_a_single_channel_goes_back_through_the_inverted_filter(case):
    case = replace(case, in_channels=1, out_channels=1, groups=1, batch=1, batched=False)
    case.options["groups"] = 1
    x, weight, _, grad = case.arrays()
    want = checks.backward(case, grad, x, weight)[0][0]
    options = {name: value for name, value in case.options.items() if name != "groups"}
    got = theory.grad_input_by_inverted_filter(grad[0], weight[0, 0], case.space, **options)
    np.testing.assert_array_equal(got, want)


@examples(60)
@given(cases(**SMALL))
def test_contributions_serve_every_pass(case):
    options = {name: value for name, value in case.options.items() if name != "groups"}
    use = theory.contributions(case.space, case.kernel, **options)
    assert len(use.output_cell) == len(use.input_cell) == len(use.tap)
    want = []
    for taps, outs, ins in reference.uses(
        case.space, case.out_space, case.kernel, case.stride, case.pads, case.dilation
    ):
        tap = np.ravel_multi_index(taps[3:], case.kernel)
        out = np.ravel_multi_index(np.broadcast_arrays(*outs[3:]), case.out_space).ravel()
        into = np.ravel_multi_index(np.broadcast_arrays(*ins[3:]), case.space).ravel()
        want += [(int(o), int(i), int(tap)) for o, i in zip(out, into, strict=True)]
    assert sorted(map(tuple, np.array(use).T.tolist())) == sorted(want)


def test_the_lecture_inverts_a_to_i():
    letters = np.array([*"abcdefghi"]).reshape(3, 3)
    assert theory.invert_filter(letters).tolist() == [[*"ihg"], [*"fed"], [*"cba"]]
    np.testing.assert_array_equal(theory.invert_filter(theory.invert_filter(letters)), letters)


def test_the_lecture_regroups_60_slices_into_3_sets_of_depth_20():
    weight = np.arange(20 * 3 * 9).reshape(20, 3, 3, 3)
    sets = theory.regroup_filters(weight)
    assert sets.shape == (3, 20, 3, 3)
    np.testing.assert_array_equal(sets[2, 7], theory.invert_filter(weight[7, 2]))


@examples(40)
@given(cases(**SMALL))
def test_regrouping_agrees_with_the_kernels_and_twice_is_nothing(case):
    _, weight, _, _ = case.arrays()
    sets = theory.regroup_filters(weight, case.groups)
    np.testing.assert_array_equal(sets, fastconv.regroup_filters(weight, case.groups))
    np.testing.assert_array_equal(theory.regroup_filters(sets, case.groups), weight)


def test_the_lecture_prints_12_rows_and_5_columns():
    matrix = theory.conv_matrix(np.array([[[1, 2, 3, 4]]]), 12, stride=2)
    assert matrix.T.tolist() == [
        [1, 0, 0, 0, 0], [2, 0, 0, 0, 0], [3, 1, 0, 0, 0], [4, 2, 0, 0, 0],
        [0, 3, 1, 0, 0], [0, 4, 2, 0, 0], [0, 0, 3, 1, 0], [0, 0, 4, 2, 0],
        [0, 0, 0, 3, 1], [0, 0, 0, 4, 2], [0, 0, 0, 0, 3], [0, 0, 0, 0, 4],
    ]  # fmt: skip


def test_sparse_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match=r"fastconv\[sparse\]"):
        theory.conv_matrix(np.ones((1, 1, 2)), 5, sparse=True)


def test_relu_passes_the_gradient_where_its_input_was_positive():
    x = np.array([-2.0, -0.0, 0.0, 1e-30, 3.0, np.nan, np.inf, -np.inf])
    mask = theory.relu_gradient_mask(x)
    assert mask.tolist() == [False, False, False, True, True, False, True, False]
    grad = np.arange(1.0, 6)
    numbers = x[:5]
    np.testing.assert_array_equal(
        fastconv.relu_backward(grad, numbers), grad * theory.relu_gradient_mask(numbers)
    )


@st.composite
def pools(draw):
    ndim = draw(st.integers(1, 3))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    kernel, stride, dilation = each(1, 4), each(1, 3), each(1, 2)
    span = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(draw(st.integers(0, r // 2)) for r in span)
    size = tuple(r + draw(st.integers(0, 5)) for r in span)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *size)
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(-3, 1, shape).astype("d")
    return ndim, x, kernel, stride, padding, dilation


@examples(80)
@given(pools())
def test_max_pooling_routes_to_the_largest_cell(case):
    ndim, x, kernel, stride, padding, dilation = case
    pool = getattr(fastconv, f"max_pool{ndim}d")
    y, indices = pool(x, kernel, stride, padding, dilation, return_indices=True)
    routes = theory.max_pool_routes(x, kernel, stride, padding, dilation)
    np.testing.assert_array_equal(routes, indices)
    planes = x.reshape(*x.shape[:2], -1)
    taken = np.take_along_axis(planes, routes.reshape(*x.shape[:2], -1), -1)
    np.testing.assert_array_equal(taken.reshape(y.shape), y)
    grad = np.random.default_rng(0).integers(-3, 4, y.shape).astype("d")
    want = np.zeros(planes.shape)
    for n, c in np.ndindex(*x.shape[:2]):
        np.add.at(want[n, c], routes[n, c].ravel(), grad[n, c].ravel())
    got = getattr(fastconv, f"max_pool{ndim}d_backward")(grad, indices, x.shape)
    np.testing.assert_array_equal(got, want.reshape(x.shape))


def test_the_largest_of_nothing_but_infinities_is_no_padding():
    x = np.full((1, 1, 4), -np.inf)
    assert theory.max_pool_routes(x, 2, padding=1).tolist() == [[[0, 1, 3]]]
    assert theory.max_pool_routes(np.array([[[1, np.nan, 2]]]), 3).tolist() == [[[1]]]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: theory.contributions(3, 5), "kernel_size .* must fit the padded input"),
        (lambda: theory.contributions((3, 3), (2,)), "sizes must name the same axes"),
        (lambda: theory.contributions(5, 2.0), "kernel_size must be an integer"),
        (
            lambda: theory.grad_input_elementwise(np.ones((1, 4)), np.ones((1, 1, 3)), 5),
            r"grad_output must have the \(3,\) cells",
        ),
        (lambda: theory.regroup_filters(np.ones((3, 1, 2)), 2), "groups must divide"),
        (lambda: theory.regroup_filters(np.ones(3)), "weight must have"),
        (lambda: theory.max_pool_routes(np.ones((1, 1, 4)), 2, padding=2), "at most half"),
        (
            lambda: theory.weight_use_gradients(np.ones((1, 3)), np.ones((1, 1, 4)), 2),
            "both alike",
        ),
    ],
)
def test_errors_name_the_rule(call, said):
    with pytest.raises((ValueError, TypeError), match=said):
        call()
