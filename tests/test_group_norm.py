"""Group and layer normalization against loops, and layer normalization against PyTorch."""

import isas
import numpy as np
import pytest
import reference_pointwise as reference
from hypothesis import given
from hypothesis import strategies as st
from norm_cases import SHAPES, assert_close, filled, problems
from strategies import examples, lay_out

import fastconv.functional as F


@examples(60)
@given(problems(), st.sampled_from((1, 2, 3, 6)))
def test_group_norm(problem, groups):
    x, weight, bias, eps = problem
    channels = x.shape[1]
    if channels % groups:
        with pytest.raises(ValueError, match=f"the {channels} input channels, got {groups}"):
            F.group_norm(x, groups)
        return
    y, (mean, inverse) = F.group_norm(x, groups, weight, bias, eps)
    assert mean.shape == inverse.shape == (x.shape[0], groups)
    want = reference.group_norm(x, groups, *filled(weight, bias, channels), eps)
    assert_close(y, want, x.dtype, 1000)


@examples(60)
@given(problems(), st.integers(1, 4), st.booleans())
def test_layer_norm(problem, count, whole):
    x, _, _, eps = problem
    shape = x.shape[-min(count, x.ndim - 1) :]
    if 0 in shape:
        shape = (1,)
    rng = np.random.default_rng(0)
    dtype = x.dtype.newbyteorder("=")
    weight, bias = rng.standard_normal((2, *shape)).astype(dtype)
    named = shape[0] if len(shape) == 1 and whole else shape
    y, (mean, inverse) = F.layer_norm(x, named, weight, bias, eps)
    assert mean.shape == inverse.shape == x.shape[: x.ndim - len(shape)] + (1,) * len(shape)
    assert_close(y, reference.layer_norm(x, shape, weight, bias, eps), x.dtype, 1000)
    y, _ = F.layer_norm(x, named, eps=eps)
    assert_close(y, reference.layer_norm(x, shape, 1, 0, eps), x.dtype, 1000)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_group_norm_backward(shape, groups, affine):
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal(shape), rng.standard_normal(shape)
    weight, bias = (rng.standard_normal(4), rng.standard_normal(4)) if affine else (None, None)

    def norm(x, weight=weight, bias=bias):
        return reference.group_norm(x, groups, *filled(weight, bias, 4), 0.1)

    _, saved = F.group_norm(x, groups, weight, bias, 0.1)
    gx, gw, gb = F.group_norm_backward(grad, x, groups, weight, saved)
    np.testing.assert_allclose(gx, reference.gradient(norm, x, grad), atol=1e-7)
    weight, bias = filled(weight, bias, 4)
    want = reference.gradient(lambda w: norm(x, w, bias), weight, grad)
    np.testing.assert_allclose(gw, want, atol=1e-7)
    want = reference.gradient(lambda b: norm(x, weight, b), bias, grad)
    np.testing.assert_allclose(gb, want, atol=1e-7)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm_backward(shape, count, affine):
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal(shape), rng.standard_normal(shape)
    over = shape[-count:]
    weight = rng.standard_normal(over) if affine else None

    def norm(x, weight=weight, bias=0.0):
        return reference.layer_norm(x, over, 1.0 if weight is None else weight, bias, 0.1)

    _, saved = F.layer_norm(x, over, weight, eps=0.1)
    gx, gw, gb = F.layer_norm_backward(grad, x, over, weight, saved)
    np.testing.assert_allclose(gx, reference.gradient(norm, x, grad), atol=1e-7)
    weight = np.ones(over) if weight is None else weight
    want = reference.gradient(lambda w: norm(x, w), weight, grad)
    np.testing.assert_allclose(gw, want, atol=1e-7)
    want = reference.gradient(lambda b: norm(x, weight, b), np.zeros(over), grad)
    np.testing.assert_allclose(gb, want, atol=1e-7)


# For all axes but the first: a group in one run, in planes, in rows of channels; and elements.
WITHIN = {
    "group_norm": lambda x: F.group_norm(x, 1),
    "group_norm of runs": lambda x: F.group_norm(x.reshape(len(x), -1), 1),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:]),
}


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("space", [(8, 8), (31, 37)])
@pytest.mark.parametrize("name", WITHIN)
def test_a_large_mean_does_not_drown_the_variance_within_an_example(name, space, layout, isa):
    x = np.random.default_rng(0).standard_normal((5, 24, *space)) + 1000
    far = lay_out(x.astype(np.float32), layout)
    with isas.using(isa):
        y, (mean, inverse) = WITHIN[name](far)
    each = far.reshape(5, -1).astype(float)
    np.testing.assert_allclose(mean.ravel(), each.mean(1), rtol=3e-7)
    np.testing.assert_allclose(inverse.ravel(), 1 / np.sqrt(each.var(1) + 1e-5), rtol=2e-5)
    want = (each - each.mean(1, keepdims=True)) / each.std(1, keepdims=True)
    np.testing.assert_allclose(y.reshape(5, -1), want, atol=1e-3)


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("shape", [(3, 24), (3, 24, 3, 5), (3, 24, 20, 15)])
def test_what_is_no_number_stays_in_its_group(shape, layout):
    x = np.random.default_rng(0).standard_normal(shape)
    want, _ = F.group_norm(x, 3)
    x[1, 9] = np.nan
    x = lay_out(x, layout)
    others = np.ones((3, 3), bool)
    others[1, 1] = False
    y, saved = F.group_norm(x, 3)
    np.testing.assert_allclose(y.reshape(3, 3, -1)[others], want.reshape(3, 3, -1)[others], 1e-12)
    gx, gw, gb = F.group_norm_backward(np.ones_like(x), x, 3, None, saved)
    for each in (y, gx, *saved):
        finite = np.isfinite(each.reshape(3, 3, -1))
        assert finite[others].all()
        assert not finite[~others].any()
    np.testing.assert_array_equal(np.isnan(gw), np.arange(24) // 8 == 1)
    np.testing.assert_array_equal(gb, x[:, 0].size)


@pytest.mark.parametrize("shape", [(0, 6, 2), (2, 6, 0), (2, 0, 4), (0, 6)])
def test_group_norm_of_nothing(shape):
    x = np.zeros(shape, np.float32)
    y, saved = F.group_norm(x, 3)
    gradients = F.group_norm_backward(x, x, 3, None, saved)
    for each, size in zip(
        (y, *saved, *gradients),
        (shape, *[(shape[0], 3)] * 2, shape, *[shape[1:2]] * 2),
        strict=True,
    ):
        np.testing.assert_array_equal(each, np.zeros(size))
        assert each.dtype == np.float32


def test_layer_norm_of_nothing():
    x = np.zeros((0, 4, 3), np.float32)
    y, saved = F.layer_norm(x, (4, 3))
    gradients = F.layer_norm_backward(x, x, (4, 3), None, saved)
    sizes = (0, 4, 3), (0, 1, 1), (0, 1, 1), (0, 4, 3), (4, 3), (4, 3)
    for each, size in zip((y, *saved, *gradients), sizes, strict=True):
        np.testing.assert_array_equal(each, np.zeros(size))
        assert each.dtype == np.float32


@pytest.mark.parametrize("count", [1, 2, 3])
def test_pytorch_agrees_on_layer_norm(count):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((2, 4, 6, 5, 3))
    shape = x.shape[-count:]
    weight, bias = rng.standard_normal((2, *shape))
    tensors = [torch.tensor(each, requires_grad=True) for each in (x, weight, bias)]
    want = torch.nn.functional.layer_norm(tensors[0], shape, *tensors[1:], 0.01)
    want.backward(torch.tensor(grad))
    y, saved = F.layer_norm(x, shape, weight, bias, 0.01)
    np.testing.assert_allclose(y, want.detach(), atol=1e-12)
    got = F.layer_norm_backward(grad, x, shape, weight, saved)
    for each, tensor in zip(got, tensors, strict=True):
        np.testing.assert_allclose(each, tensor.grad, atol=1e-12)
