"""Activations, element by element, and softmax.

Each takes a float32 or float64 array of any shape and returns one of the same dtype, shape and
memory order; its backward takes (grad_output, input, ...) and returns the gradient by the input.
TypeError for another dtype, ValueError for shapes that differ.
"""

import math
from numbers import Real

import numpy as np

from fastconv.functional import _arrays, _passes
from fastconv.functional._erf import erf

__all__ = [
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "log_softmax",
    "log_softmax_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]


def relu(input, *, num_threads=None):
    """max(x, 0)."""
    x = _arrays.as_array("relu", "input", input)
    return _passes.rectify("relu", x, num_threads=num_threads)


def relu_backward(grad_output, input, *, num_threads=None):
    """grad_output where the input is positive, else 0; `input` may be the output as well."""
    x, g = _pair("relu_backward", input, grad_output)
    return _passes.rectify("relu_backward", g, gate=x, num_threads=num_threads)


def leaky_relu(input, negative_slope=0.01, *, num_threads=None):
    """x where positive, else negative_slope x, which with a slope of 0 is 0."""
    x = _arrays.as_array("leaky_relu", "input", input)
    return _passes.rectify("leaky_relu", x, slope=negative_slope, num_threads=num_threads)


def leaky_relu_backward(grad_output, input, negative_slope=0.01, *, num_threads=None):
    """grad_output where the input is positive, else negative_slope grad_output."""
    x, g = _pair("leaky_relu_backward", input, grad_output)
    return _passes.rectify("leaky_relu_backward", g, None, x, negative_slope, num_threads)


def sigmoid(input):
    """1 / (1 + exp(-x))."""
    x = _arrays.as_array("sigmoid", "input", input)
    return _sigmoid(x)


def sigmoid_backward(grad_output, input):
    """grad_output s (1 - s), with s = sigmoid(x)."""
    x, g = _pair("sigmoid_backward", input, grad_output)
    return g * _sigmoid(x) * _sigmoid(-x)


def tanh(input):
    """Hyperbolic tangent."""
    return np.tanh(_arrays.as_array("tanh", "input", input))


def tanh_backward(grad_output, input):
    """grad_output (1 - tanh(x)^2)."""
    x, g = _pair("tanh_backward", input, grad_output)
    return _passes.tanh_backward("tanh_backward", g, np.tanh(x))


def silu(input):
    """x sigmoid(x)."""
    x = _arrays.as_array("silu", "input", input)
    return x * _sigmoid(x)


def silu_backward(grad_output, input):
    """grad_output s (1 + x (1 - s)), with s = sigmoid(x)."""
    x, g = _pair("silu_backward", input, grad_output)
    return g * (_sigmoid(x) * (1 + x * _sigmoid(-x)))


def gelu(input, approximate="none"):
    """x Phi(x), with Phi the distribution function of the normal distribution.

    approximate="tanh": the formula of Hendrycks & Gimpel 2016, "Gaussian error linear units".
    """
    x = _arrays.as_array("gelu", "input", input)
    return x * _normal("gelu", x, approximate)[0]


def gelu_backward(grad_output, input, approximate="none"):
    """grad_output (Phi(x) + x Phi'(x))."""
    x, g = _pair("gelu_backward", input, grad_output)
    distribution, density = _normal("gelu_backward", x, approximate)
    # Where x is large the density is 0, and x times it must be.
    return g * (distribution + np.clip(x, -_FAR, _FAR) * density)


def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold, as in PyTorch.

    beta: a finite number other than 0.
    """
    x, scaled, linear = _scaled("softplus", input, beta, threshold)
    # log(1 + exp(s)) = max(s, 0) + log(1 + exp(-|s|)), of which nothing overflows.
    y = np.maximum(scaled, x.dtype.type(0)) + np.log1p(np.exp(-np.abs(scaled)))
    y /= x.dtype.type(beta)
    np.copyto(y, x, where=linear)
    return y


def softplus_backward(grad_output, input, beta=1.0, threshold=20.0):
    """grad_output sigmoid(beta x), and grad_output itself where beta x > threshold."""
    op = "softplus_backward"
    x, scaled, linear = _scaled(op, input, beta, threshold)
    factor = _sigmoid(scaled)
    factor[linear] = 1
    return _arrays.as_like(op, "grad_output", grad_output, x) * factor


def softmax(input, axis=-1):
    """exp(x) / sum(exp(x)) along an axis."""
    x, axis = _along("softmax", input, axis)
    return _softmax(x, axis)


def softmax_backward(grad_output, input, axis=-1):
    """s (grad_output - sum(grad_output s)), with s = softmax(x)."""
    x, axis = _along("softmax_backward", input, axis)
    g = _arrays.as_like("softmax_backward", "grad_output", grad_output, x)
    s = _softmax(x, axis)
    return s * (g - (g * s).sum(axis, keepdims=True))


def log_softmax(input, axis=-1):
    """x - log(sum(exp(x))) along an axis."""
    x, axis = _along("log_softmax", input, axis)
    shifted = _shifted(x, axis)
    if x.size == 0:
        return shifted
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def log_softmax_backward(grad_output, input, axis=-1):
    """grad_output - softmax(x) sum(grad_output)."""
    x, axis = _along("log_softmax_backward", input, axis)
    g = _arrays.as_like("log_softmax_backward", "grad_output", grad_output, x)
    return g - _softmax(x, axis) * g.sum(axis, keepdims=True)


def _tanh_gradient(grad_output, output):
    """`tanh_backward` by what came out of tanh."""
    g = _arrays.as_like("tanh_backward", "grad_output", grad_output, output)
    return _passes.tanh_backward("tanh_backward", g, output)


def _pair(op, input, grad_output):
    x = _arrays.as_array(op, "input", input)
    return x, _arrays.as_like(op, "grad_output", grad_output, x)


def _sigmoid(x):
    # exp(x) / (1 + exp(x)) where x is negative, 1 / (1 + exp(-x)) elsewhere: none overflows.
    return np.exp(np.minimum(x, x.dtype.type(0))) / (1 + np.exp(-np.abs(x)))


# Where the normal density is 0 in float64, and squares and cubes are far from overflow.
_FAR = 40.0


def _normal(op, x, approximate):
    """The normal distribution function and its derivative, or their approximation by tanh."""
    near = np.clip(x, -_FAR, _FAR)
    if approximate == "none":
        density = np.exp(near * near * -0.5) * (1 / math.sqrt(2 * math.pi))
        return 0.5 * (1 + erf(near * math.sqrt(0.5))), density
    if approximate == "tanh":
        a, b = math.sqrt(2 / math.pi), 0.044715
        t = np.tanh(a * (near + b * near**3))
        return 0.5 * (1 + t), 0.5 * a * (1 - t) * (1 + t) * (1 + 3 * b * near * near)
    raise ValueError(f"{op}: approximate must be 'none' or 'tanh', got {approximate!r}")


def _scaled(op, input, beta, threshold):
    """(x, beta x, where softplus is a straight line)."""
    for name, value in (("beta", beta), ("threshold", threshold)):
        if not isinstance(value, Real):
            raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    x = _arrays.as_array(op, "input", input)
    if not (math.isfinite(beta) and x.dtype.type(beta) != 0):
        raise ValueError(f"{op}: beta must be finite and not 0, got {beta!r}")
    with np.errstate(over="ignore"):  # to infinity, which is beyond any threshold
        scaled = x * x.dtype.type(beta)
    return x, scaled, scaled > threshold


def _along(op, input, axis):
    x = _arrays.as_array(op, "input", input)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{op}: axis must be one of the input's {x.ndim}, got {axis}")
    return x, axis


def _shifted(x, axis):
    """x less its largest element along the axis: no exponential of it overflows."""
    return x - x.max(axis, keepdims=True, initial=-np.inf)


def _softmax(x, axis):
    result = np.exp(_shifted(x, axis))
    result /= result.sum(axis, keepdims=True)
    return result
