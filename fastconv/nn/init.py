"""Initial values of parameters, under PyTorch's names: each fills a Parameter or array in place.

Numbers are drawn in float64 and rounded, so float32 and float64 layers start from the same values.
Every function returns what it was given.
"""

import math

import numpy as np

from fastconv._random import generator
from fastconv.nn.module import Parameter


def _array(tensor):
    return tensor.data if isinstance(tensor, Parameter) else tensor


def uniform_(tensor, a=0.0, b=1.0, *, rng=None):
    """Uniform in [a, b)."""
    array = _array(tensor)
    array[...] = generator(rng).uniform(a, b, array.shape)
    return tensor


def normal_(tensor, mean=0.0, std=1.0, *, rng=None):
    """Normal with the given mean and standard deviation."""
    array = _array(tensor)
    array[...] = generator(rng).normal(mean, std, array.shape)
    return tensor


def constant_(tensor, val):
    """Every element `val`."""
    _array(tensor)[...] = val
    return tensor


def zeros_(tensor):
    """Every element 0."""
    return constant_(tensor, 0.0)


def ones_(tensor):
    """Every element 1."""
    return constant_(tensor, 1.0)


_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity, param=None):
    """The factor that keeps a signal's variance through `nonlinearity`, with PyTorch's values.

    `param` is the negative slope of "leaky_relu" (default 0.01).
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"calculate_gain: nonlinearity must be one of leaky_relu, {', '.join(_GAINS)}, "
            f"got {nonlinearity!r}"
        )
    return _GAINS[nonlinearity]


def fans(tensor):
    """(fan_in, fan_out) of a weight (O, I, *kernel): its second and first size times the taps."""
    shape = _array(tensor).shape
    if len(shape) < 2:
        raise ValueError(f"init: a weight needs at least 2 axes for its fans, got shape {shape}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _fan(op, tensor, mode):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{op}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return fans(tensor)[mode == "fan_out"]


def xavier_uniform_(tensor, gain=1.0, *, rng=None):
    """Uniform, variance 2 gain^2 / (fan_in + fan_out): Glorot & Bengio 2010."""
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, rng=rng)


def xavier_normal_(tensor, gain=1.0, *, rng=None):
    """Normal, variance 2 gain^2 / (fan_in + fan_out): Glorot & Bengio 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))), rng=rng)


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", *, rng=None):
    """Uniform, variance gain^2 / fan, `a` the negative slope: He et al. 2015."""
    fan = _fan("kaiming_uniform_", tensor, mode)
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / fan)
    return uniform_(tensor, -bound, bound, rng=rng)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", *, rng=None):
    """Normal, variance gain^2 / fan, `a` the negative slope: He et al. 2015."""
    fan = _fan("kaiming_normal_", tensor, mode)
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan), rng=rng)


def weight_and_bias(shape, out_features, bias, dtype, rng):
    """A new weight of `shape` and bias (or None), as PyTorch starts its Conv and Linear layers.

    Both are uniform within 1 / sqrt(fan_in) of 0, which for the weight is
    kaiming_uniform_(a=sqrt(5)).
    """
    weight = kaiming_uniform_(Parameter(np.empty(shape, dtype)), a=math.sqrt(5), rng=rng)
    if not bias:
        return weight, None
    bound = 1 / math.sqrt(fans(weight)[0])
    return weight, uniform_(Parameter(np.empty(out_features, dtype)), -bound, bound, rng=rng)
