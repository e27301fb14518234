"""The three gradients of every convolution, against the reference, PyTorch, and each other."""

import itertools
from dataclasses import replace

import checks
import numpy as np
import pytest
import torch_peer
from hypothesis import given
from hypothesis import strategies as st
from layers import LAYERS, as_case
from strategies import cases, examples

import fastconv

EITHER = {"conv": cases(), "conv_transpose": cases(transposed=True)}
EXACT = {"conv": cases(data="integers"), "conv_transpose": cases(True, data="integers")}
each_operation = pytest.mark.parametrize("operation", EITHER)


@each_operation
@examples(400)
@given(data=st.data())
def test_every_option_at_once(operation, data):
    checks.assert_backward_right(data.draw(EITHER[operation]))


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_layers_people_train(layer, layout):
    checks.assert_backward_right(as_case(layer, num_threads=2, layouts=(layout, "C", layout)))


@each_operation
@examples(30)
@given(data=st.data())
def test_only_the_needed_gradients_come_and_they_are_the_same(operation, data):
    case = data.draw(EITHER[operation])
    x, weight, _, grad = case.arrays()
    everything = checks.backward(case, grad, x, weight)
    for needs in itertools.product((True, False), repeat=3):
        some = checks.backward(case, grad, x, weight, needs=needs)
        for needed, gradient, full in zip(needs, some, everything, strict=True):
            if needed:
                np.testing.assert_array_equal(gradient, full)
            else:
                assert gradient is None


@each_operation
@examples(60)
@given(data=st.data())
def test_pairs_with_the_forward_pass(operation, data):
    """<f(x, w) , g> = <x, grad_input> = <w, grad_weight>: f is linear in both."""
    case = replace(data.draw(EXACT[operation]), with_bias=False)
    x, weight, _, grad = case.arrays()
    y = checks.forward(case, x, weight, None)
    grad_input, grad_weight, grad_bias = checks.backward(case, grad, x, weight)
    product = np.vdot(y.astype(float), grad)
    assert product == np.vdot(x, grad_input.astype(float))
    assert product == np.vdot(weight, grad_weight.astype(float))
    assert grad_bias.sum() == grad.sum()


@examples(60)
@given(cases(data="integers"))
def test_grad_input_is_a_convolution_with_the_regrouped_filters(case):
    """Every slice inverted, the slices regrouped: at stride 1, as the lecture has it."""
    reach = [d * (k - 1) for d, k in zip(case.dilation, case.kernel, strict=True)]
    low = [min(pad[0], r) for pad, r in zip(case.pads, reach, strict=True)]
    space = [o + r - p for o, r, p in zip(case.out_space, reach, low, strict=True)]
    x, weight, _, grad = replace(case, space=tuple(space)).arrays()
    options = {"dilation": case.dilation, "groups": case.groups}
    backward = getattr(fastconv, f"{case.name}_backward")
    grad_input, _, _ = backward(grad, x, weight, padding=[(p, 0) for p in low], **options)
    want = getattr(fastconv, case.name)(
        grad,
        fastconv.regroup_filters(weight, case.groups),
        padding=[(r - p, r) for r, p in zip(reach, low, strict=True)],
        **options,
    )
    np.testing.assert_array_equal(grad_input, want)


@each_operation
@examples(60)
@given(data=st.data(), where=st.integers(0, 10**9), poisoned=st.sampled_from(("grad", "input")))
def test_nan_reaches_exactly_what_uses_it(operation, data, where, poisoned):
    """Except that padding counts as zeros, and zero times NaN is NaN, in the weight gradient.

    So it is in PyTorch.  There a NaN in grad_output (in a transposed convolution's input) may reach
    taps that only multiply it with padding, but no other channel's.
    """
    case = data.draw(EXACT[operation])
    x, weight, _, grad = case.arrays()
    x, grad = x.copy(), grad.copy()
    target = grad if poisoned == "grad" else x
    if target.size:
        target.flat[where % target.size] = np.nan
    got_input, got_weight, got_bias = checks.backward(case, grad, x, weight)
    want_input, want_weight, want_bias = case.expected_backward(grad, x, weight)
    np.testing.assert_array_equal(got_input, want_input)
    np.testing.assert_array_equal(got_bias, want_bias)
    if target.size and (poisoned == "grad") != case.transposed:
        channel = np.argwhere(np.isnan(target))[0][int(case.batched)]
        assert np.all(np.isnan(got_weight[channel][np.isnan(want_weight[channel])]))
        got_weight = np.delete(got_weight, channel, axis=0)
        want_weight = np.delete(want_weight, channel, axis=0)
    np.testing.assert_array_equal(got_weight, want_weight)


@each_operation
@examples(30)
@given(data=st.data(), layout=st.sampled_from(("C", "channels_last")))
def test_grad_input_has_the_memory_order_of_the_input(operation, data, layout):
    case = replace(data.draw(EXACT[operation]), layouts=(layout, "C", layout))
    x, weight, _, grad = case.arrays()
    checks.assert_order_kept(case, x, checks.backward(case, grad, x, weight)[0])


def test_a_shared_weight_adds_over_its_positions():
    x, weight, grad = (
        np.array([[1.0, 2.0, 3.0]]),
        np.array([[[4.0, 5.0]]]),
        np.array([[10.0, 100.0]]),
    )
    grad_input, grad_weight, grad_bias = fastconv.conv1d_backward(grad, x, weight)
    assert grad_input.tolist() == [[10 * 4, 10 * 5 + 100 * 4, 100 * 5]]
    assert grad_weight.tolist() == [[[10 * 1 + 100 * 2, 10 * 2 + 100 * 3]]]
    assert grad_bias.tolist() == [110]


def test_no_image_no_gradient():
    x, weight, grad = np.ones((0, 2, 5)), np.ones((3, 2, 3)), np.ones((0, 3, 3))
    grad_input, grad_weight, grad_bias = fastconv.conv1d_backward(grad, x, weight)
    assert grad_input.shape == x.shape
    assert grad_weight.tolist() == np.zeros_like(weight).tolist()
    assert grad_bias.tolist() == [0, 0, 0]


@each_operation
@examples(60)
@given(data=st.data())
def test_agrees_with_pytorch(operation, data):
    case = replace(data.draw(EITHER[operation]), with_bias=True)
    x, weight, bias, grad = case.arrays()
    leaves = torch_peer.tensors(case, x, weight, bias)
    for leaf in leaves:
        leaf.requires_grad_()
    y = torch_peer.forward(case, *leaves)
    y.backward(*torch_peer.tensors(case, grad))
    scales = case.expected_backward(*checks.magnitudes(grad, x, weight))
    for leaf, got, scale in zip(
        leaves, checks.backward(case, grad, x, weight), scales, strict=True
    ):
        checks.assert_right(case, got, leaf.grad.numpy(), 2 * scale)
