"""Initial values of parameters, and the generators that they come from."""

import math

import numpy as np
import pytest

import fastconv
from fastconv import nn

# Weight and bias lie within 1 / sqrt(fan_in); fan_in is the weight's second axis times the taps.
FAN_IN = [
    (lambda rng: nn.Conv2d(12, 60, (3, 4), groups=2, rng=rng), 6 * 12),
    (lambda rng: nn.Conv1d(30, 200, 5, rng=rng), 30 * 5),
    (lambda rng: nn.ConvTranspose2d(60, 12, 3, groups=2, rng=rng), 6 * 9),
    (lambda rng: nn.Linear(100, 80, rng=rng), 100),
]


@pytest.mark.parametrize(("make", "fan_in"), FAN_IN)
def test_default_initial_values(make, fan_in):
    layer = make(np.random.default_rng(0))
    bound = 1 / math.sqrt(fan_in)
    for parameter in (layer.weight, layer.bias):
        assert np.abs(parameter.data).max() <= bound
    weight = layer.weight.data
    count = weight.size
    assert np.abs(weight).max() > bound * (1 - 20 / count)
    # A uniform variable: mean 0, variance bound^2 / 3 and fourth moment bound^4 / 5.
    assert abs(weight.mean()) < 5 * bound / math.sqrt(3 * count)
    spread = math.sqrt((1 / 5 - 1 / 9) / count)
    assert np.mean((weight / bound) ** 2) == pytest.approx(1 / 3, abs=5 * spread)


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d", "Linear"])
def test_default_bounds_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    args = (30, 40) if name == "Linear" else (30, 40, 3)
    theirs = getattr(torch.nn, name)(*args).state_dict()
    ours = getattr(nn, name)(*args, rng=np.random.default_rng(0)).state_dict()
    for key in theirs:
        assert abs(ours[key]).max() == pytest.approx(theirs[key].abs().max().item(), rel=0.1)


def test_seeds():
    first = nn.Linear(4, 3, rng=np.random.default_rng(7)).weight.data
    np.testing.assert_array_equal(nn.Linear(4, 3, rng=np.random.default_rng(7)).weight.data, first)
    assert np.any(nn.Linear(4, 3, rng=np.random.default_rng(8)).weight.data != first)
    fastconv.manual_seed(7)
    np.testing.assert_array_equal(nn.Linear(4, 3).weight.data, first)
    assert np.any(nn.Linear(4, 3).weight.data != first)


def test_both_types_start_from_the_same_values():
    wide = nn.Conv2d(2, 3, 3, dtype=np.float64, rng=np.random.default_rng(0)).weight.data
    narrow = nn.Conv2d(2, 3, 3, rng=np.random.default_rng(0)).weight.data
    assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(narrow, wide.astype(np.float32))


def test_rng_must_be_a_generator():
    for make in (lambda: nn.Linear(2, 2, rng=0), lambda: nn.Dropout(rng=np.random)):
        with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator or None"):
            make()


SHAPE = (40, 30, 3, 2)  # fan_in 180, fan_out 240
VARIANCES = {
    "xavier_uniform_": ({"gain": 2.0}, 4 * 2 / 420),
    "xavier_normal_": ({}, 2 / 420),
    "kaiming_uniform_": ({}, 2 / 180),
    "kaiming_normal_": ({"mode": "fan_out", "nonlinearity": "relu"}, 2 / 240),
    "uniform_": ({"a": -1.0, "b": 1.0}, 1 / 3),
    "normal_": ({"std": 0.5}, 0.25),
}


@pytest.mark.parametrize("name", VARIANCES)
def test_init_variances(name):
    options, variance = VARIANCES[name]
    array = np.empty(SHAPE)
    rng = np.random.default_rng(0)
    assert getattr(nn.init, name)(array, **options, rng=rng) is array
    # The variance of a sample variance is at most 2 variance^2 / count.
    assert array.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / array.size))
    assert abs(array.mean()) < 5 * math.sqrt(variance / array.size)
    if "uniform" in name:
        assert np.abs(array).max() <= math.sqrt(3 * variance) * (1 + 1e-12)
    else:
        assert np.abs(array).max() > 3 * math.sqrt(variance)


def test_init_fills_parameters_and_arrays():
    parameter = nn.Parameter(np.empty((2, 3)))
    assert nn.init.constant_(parameter, 2) is parameter
    np.testing.assert_array_equal(parameter.data, 2)
    np.testing.assert_array_equal(nn.init.zeros_(parameter).data, 0)
    np.testing.assert_array_equal(nn.init.ones_(np.empty(3)), 1)


def test_gains():
    assert nn.init.calculate_gain("relu") == pytest.approx(math.sqrt(2))
    assert nn.init.calculate_gain("leaky_relu", math.sqrt(5)) == pytest.approx(math.sqrt(1 / 3))
    assert nn.init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / 1.0001))
    assert nn.init.calculate_gain("tanh") == pytest.approx(5 / 3)
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))


def test_init_errors():
    with pytest.raises(ValueError, match=r"nonlinearity must be one of leaky_relu.*got 'swish'"):
        nn.init.calculate_gain("swish")
    with pytest.raises(ValueError, match=r"at least 2 axes.*got shape \(3,\)"):
        nn.init.xavier_uniform_(np.empty(3))
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        nn.init.kaiming_normal_(np.empty((3, 3)), mode="fan")
