"""Activations against the math module, element by element, and finite differences."""

import math

import numpy as np
import pytest
import reference_pointwise as reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv.functional as F

# name in fastconv, options, the same in the reference
ACTIVATIONS = [
    ("relu", {}, reference.relu),
    ("leaky_relu", {}, lambda x: reference.leaky_relu(x, 0.01)),
    ("leaky_relu", {"negative_slope": -0.5}, lambda x: reference.leaky_relu(x, -0.5)),
    ("sigmoid", {}, reference.sigmoid),
    ("tanh", {}, reference.tanh),
    ("silu", {}, reference.silu),
    ("softplus", {}, lambda x: reference.softplus(x, 1, 20)),
    ("softplus", {"beta": 2.0, "threshold": 3.0}, lambda x: reference.softplus(x, 2, 3)),
    ("gelu", {}, reference.gelu),
    ("gelu", {"approximate": "tanh"}, reference.gelu_tanh),
]
IDS = ["-".join([name, *map(str, options.values())]) for name, options, _ in ACTIVATIONS]
activations = pytest.mark.parametrize(("name", "options", "expected"), ACTIVATIONS, ids=IDS)
NAMES = [*dict.fromkeys(name for name, _, _ in ACTIVATIONS), "softmax", "log_softmax"]

arrays = st.tuples(
    st.lists(st.integers(0, 5), min_size=2, max_size=4),
    st.sampled_from("fd"),
    st.sampled_from(LAYOUTS),
    st.sampled_from((0.1, 1.0, 30.0)),
    st.integers(0, 99),
)


def make(array):
    shape, dtype, layout, scale, seed = array
    x = np.random.default_rng(seed).standard_normal(shape) * scale
    x = lay_out(x.astype(dtype), layout)
    x.flags.writeable = False
    return x


def assert_close(got, want, dtype, scale=1):
    assert got.dtype == dtype
    assert got.shape == want.shape
    eps = np.finfo(dtype).eps
    assert np.all(np.abs(got - want) <= 8 * eps * (scale + np.abs(want)))


@activations
@examples(25)
@given(arrays)
def test_values(name, options, expected, array):
    x = make(array)
    got = getattr(F, name)(x, **options)
    assert_close(got, expected(x), x.dtype.newbyteorder("="))
    if array[2] in ("C", "channels_last") and min(x.shape) > 1:
        assert got.strides == x.strides


@activations
@pytest.mark.parametrize("dtype", "fd")
def test_backward(name, options, expected, dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(60), rng.standard_normal(60) * 10]).reshape(4, 30)
    x, grad = x.astype(dtype), rng.standard_normal(x.shape).astype(dtype)
    want = reference.gradient(expected, x, grad)
    got = getattr(F, f"{name}_backward")(grad, x, **options)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=1e-5 if dtype == "f" else 1e-7, atol=1e-6)


@activations
@pytest.mark.parametrize("dtype", "fd")
def test_far_away_nothing_overflows(name, options, expected, dtype):
    """Warnings are errors here."""
    far = np.array([-1e30, -1e4, -800, -90, 90, 800, 1e4, 1e30], dtype)
    y = getattr(F, name)(far, **options)
    slope = {"leaky_relu": options.get("negative_slope", 0.01)}.get(name, 0)
    low, high = (slope * far, far) if name not in ("sigmoid", "tanh") else (0 * far, 0 * far + 1)
    if name == "tanh":
        low = low - 1
    np.testing.assert_allclose(y, np.where(far > 0, high, low), rtol=1e-6, atol=1e-30)
    backward = getattr(F, f"{name}_backward")(np.ones_like(far), far, **options)
    high, low = (0, 0) if name in ("sigmoid", "tanh") else (1, slope)
    np.testing.assert_allclose(backward, np.where(far > 0, high, low), rtol=1e-6, atol=1e-30)


@activations
def test_nan_stays_nan(name, options, expected):
    y = getattr(F, name)(np.array([1.0, np.nan, -1.0]), **options)
    np.testing.assert_array_equal(np.isnan(y), [False, True, False])


def test_relu_has_no_gradient_at_zero():
    grad = F.relu_backward(np.array([5.0, np.inf, 3.0]), np.array([0.0, -1.0, 2.0]))
    np.testing.assert_array_equal(grad, [0, 0, 3])


def test_sigmoid_keeps_its_relative_precision():
    x = np.array([-700.0, -40.0, -1.0])
    np.testing.assert_allclose(F.sigmoid(x), [math.exp(v) / (1 + math.exp(v)) for v in x], 1e-14)
    np.testing.assert_allclose(F.sigmoid_backward(np.ones(1), np.array([40.0])), math.exp(-40))


def test_gelu_is_exact_over_its_whole_range():
    x = np.linspace(-9, 9, 20001)
    want = reference.gelu(x)
    np.testing.assert_allclose(F.gelu(x), want, rtol=4e-16, atol=2e-15)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@examples(40)
@given(array=arrays, axis=st.integers(-4, 3))
def test_softmax(name, array, axis):
    x = make(array)
    function = getattr(F, name)
    if not -x.ndim <= axis < x.ndim:
        with pytest.raises(ValueError, match=f"{name}: axis must be one of the input's {x.ndim}"):
            function(x, axis)
        return
    got = function(x, axis)
    if x.size == 0:
        assert got.shape == x.shape
        return
    want = reference.log_softmax(x, axis)
    want = np.exp(want) if name == "softmax" else want
    assert_close(got, want, x.dtype.newbyteorder("="), scale=np.abs(x).max())


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_backward(name, axis):
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((2, 3, 4, 5))[0], rng.standard_normal((3, 4, 5))

    def expected(x):
        logs = reference.log_softmax(x, axis)
        return np.exp(logs) if name == "softmax" else logs

    got = getattr(F, f"{name}_backward")(grad, x, axis)
    np.testing.assert_allclose(got, reference.gradient(expected, x, grad), atol=1e-8)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_does_not_overflow(name):
    x = np.array([[1e30, 0.0, -1e30], [-1e30, -1e30, -np.inf]], np.float32)
    y = getattr(F, name)(x)
    want = np.array([[1, 0, 0], [0.5, 0.5, 0]], np.float32)
    np.testing.assert_allclose(np.exp(y) if name == "log_softmax" else y, want)


@activations
def test_pytorch_agrees(name, options, expected):
    torch = pytest.importorskip("torch")
    x = np.linspace(-7, 7, 101)
    grad = np.cos(x)
    theirs = torch.tensor(x, requires_grad=True)
    y = getattr(torch.nn.functional, name)(theirs, **options)
    y.backward(torch.tensor(grad))
    np.testing.assert_allclose(getattr(F, name)(x, **options), y.detach(), rtol=1e-12, atol=1e-15)
    got = getattr(F, f"{name}_backward")(grad, x, **options)
    np.testing.assert_allclose(got, theirs.grad, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_errors(name):
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match=f"{name}: input must be float32 or float64, got int64"):
        forward(np.ones(3, np.int64))
    with pytest.raises(TypeError, match=f"{name}_backward: grad_output must be float32"):
        backward(np.ones((2, 3)), x)
    with pytest.raises(ValueError, match=r"grad_output must have the input's shape \(2, 3\), got"):
        backward(x[:1], x)


def test_softplus_of_a_negative_beta():
    torch = pytest.importorskip("torch")
    x = np.linspace(-30, 30, 121)
    want = torch.nn.functional.softplus(torch.tensor(x), -0.7, 4.0)
    np.testing.assert_allclose(F.softplus(x, -0.7, 4.0), want, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beta": 0.0}, ValueError, "softplus: beta must be finite and not 0, got 0.0"),
        ({"beta": math.inf}, ValueError, "softplus: beta must be finite and not 0, got inf"),
        ({"beta": 1e-300}, ValueError, "softplus: beta must be finite and not 0, got 1e-300"),
        ({"beta": "1"}, TypeError, "softplus: beta must be a number, got '1'"),
        ({"threshold": None}, TypeError, "softplus: threshold must be a number, got None"),
    ],
)
def test_softplus_checks_its_options(options, error, message):
    with pytest.raises(error, match=message):
        F.softplus(np.ones(2, np.float32), **options)


def test_gelu_knows_two_forms():
    with pytest.raises(ValueError, match="gelu: approximate must be 'none' or 'tanh', got 'exact'"):
        F.gelu(np.ones(2), "exact")
