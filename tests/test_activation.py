"""Activations against the math module, element by element, and finite differences."""

import math

import isas
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


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def cubic(x):
    return 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


# name, options, value and slope at a float, and how many units in the last place the value may be
# off beyond the usual, as the exponential of u is off by u units.
PRECISE = [
    ("tanh", {}, math.tanh, lambda x: (1 - math.tanh(x)) * (1 + math.tanh(x)), lambda x: 0),
    ("sigmoid", {}, sigmoid, lambda x: sigmoid(x) * sigmoid(-x), lambda x: 0),
    ("silu", {}, lambda x: x * sigmoid(x),
     lambda x: sigmoid(x) * (1 + x * sigmoid(-x)), lambda x: 0),
    ("softplus", {"threshold": 1e9},
     lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))), sigmoid, lambda x: 0),
    ("gelu", {}, lambda x: x * math.erfc(-x * math.sqrt(0.5)) / 2,
     lambda x: math.erfc(-x * math.sqrt(0.5)) / 2
     + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi), lambda x: 2 + 2 * x * x),
    ("gelu", {"approximate": "tanh"}, lambda x: x * sigmoid(cubic(x)),
     lambda x: sigmoid(cubic(x)) + x * sigmoid(cubic(x)) * sigmoid(-cubic(x))
     * 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x), lambda x: 4 * abs(cubic(x))),
]  # fmt: skip


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize(("name", "options", "value", "slope", "more"), PRECISE)
def test_relative_precision(name, options, value, slope, more, dtype, isa):
    """Over all that is not denormal, the largest and the smallest inputs included."""
    rng = np.random.default_rng(0)
    signs = rng.choice((-1, 1), 4000)
    x = np.concatenate([
        rng.standard_normal(4000) * 3, rng.uniform(-80, 80, 4000), rng.uniform(-700, 700, 4000),
        signs * 10.0 ** rng.uniform(-30, 2.8, 4000), [0.0, -0.0, 1e30, -1e30],
    ]).astype(dtype)  # fmt: skip
    limits = np.finfo(dtype)
    with isas.using(isa):
        results = [
            (getattr(F, name)(x, **options, num_threads=n),
             getattr(F, f"{name}_backward")(np.ones_like(x), x, **options, num_threads=n))
            for n in (1, 2, 3)
        ]  # fmt: skip
    for each in results[1:]:
        assert [array.tobytes() for array in each] == [array.tobytes() for array in results[0]]
    y, grad = results[0]
    near = np.clip(x.astype("d"), -700, 700)
    want = np.array([value(float(v)) for v in near])
    limit = np.where(np.abs(want) < 1e-300, 0, np.where(np.abs(want) < 1.5, want, x))
    want = np.where(near == x, want, limit)
    allowed = limits.eps * np.array([4 + more(float(v)) for v in near])
    counted = (np.abs(want) > 1000 * limits.smallest_normal) | (want == 0)
    assert np.all(np.abs(y - want)[counted] <= (allowed * np.abs(want))[counted])
    assert np.all(np.abs(y[~counted]) <= 2000 * limits.smallest_normal)
    assert np.signbit(y[x == 0]).tolist() == np.signbit(want[x == 0]).tolist()
    np.testing.assert_allclose(grad, [slope(float(v)) for v in near], atol=8 * limits.eps)


# Rows and columns shorter and longer than a vector, a run of vectors and a task.
LONG = ((3, 1000), (5000, 7), (2, 40, 3), (2, 3, 129), (1, 70, 65), (2, 17, 4, 9), (1, 2100))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@examples(100)
@given(
    shape=st.sampled_from(LONG),
    dtype=st.sampled_from("fd"),
    layout=st.sampled_from(LAYOUTS),
    axis=st.integers(-4, 3),
    spread=st.sampled_from((1.0, 30.0, 1000.0)),
    isa=st.sampled_from(isas.AVAILABLE),
    seed=st.integers(0, 9),
)
def test_softmax_of_any_length(name, shape, dtype, layout, axis, spread, isa, seed):
    if not -len(shape) <= axis < len(shape):
        return
    rng = np.random.default_rng(seed)
    x = lay_out((rng.standard_normal(shape) * spread).astype(dtype), layout)
    g = lay_out(rng.standard_normal(shape).astype(dtype), layout)
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    with isas.using(isa):
        results = [
            (forward(x, axis, num_threads=n), backward(g, x, axis, num_threads=n))
            for n in (1, 2, 3)
        ]
    for each in results[1:]:
        assert [array.tobytes() for array in each] == [array.tobytes() for array in results[0]]
    y, grad = results[0]
    logs, wide = reference.log_softmax(x.astype("d"), axis), g.astype("d")
    s = np.exp(logs)
    if name == "softmax":
        want, along = s, (wide * s).sum(axis, keepdims=True)
        want_grad = s * (wide - along)
    else:
        want, want_grad = logs, wide - s * wide.sum(axis, keepdims=True)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, want, rtol=20 * eps, atol=(4 + spread) * eps)
    size = 1 + np.abs(wide).sum(axis, keepdims=True)
    assert np.all(np.abs(grad - want_grad) <= (20 + spread) * eps * size)


def test_softmax_of_a_row_with_nan_or_infinity_is_nan():
    """As in PyTorch: nothing else can be said of such a distribution."""
    for bad in (np.nan, np.inf):
        x = np.zeros((3, 20), np.float32)
        x[1, 17] = bad
        for name in ("softmax", "log_softmax"):
            for array, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
                y = getattr(F, name)(array, axis)
                y = y if axis == 1 else y.T
                assert np.isnan(y[1]).any()
                assert np.isfinite(y[[0, 2]]).all()
                assert np.isnan(y[1]).all() or name == "log_softmax"


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
