"""Activations, element by element, and softmax.

Each takes a float32 or float64 array of any shape and returns one of the same dtype, shape and
memory order; its backward takes (grad_output, input, ...) and returns the gradient by the input.
TypeError for another dtype, ValueError for shapes that differ.
"""

import math
from numbers import Real

from fastconv.functional import _arrays, _passes

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


def sigmoid(input, *, num_threads=None):
    """1 / (1 + exp(-x))."""
    return _smooth("sigmoid", "sigmoid", input, num_threads=num_threads)


def sigmoid_backward(grad_output, input, *, num_threads=None):
    """grad_output s (1 - s), with s = sigmoid(x)."""
    return _smooth("sigmoid_backward", "sigmoid", input, grad_output, num_threads=num_threads)


def tanh(input, *, num_threads=None):
    """Hyperbolic tangent."""
    return _smooth("tanh", "tanh", input, num_threads=num_threads)


def tanh_backward(grad_output, input, *, num_threads=None):
    """grad_output (1 - tanh(x)^2)."""
    return _smooth("tanh_backward", "tanh", input, grad_output, num_threads=num_threads)


def silu(input, *, num_threads=None):
    """x sigmoid(x)."""
    return _smooth("silu", "silu", input, num_threads=num_threads)


def silu_backward(grad_output, input, *, num_threads=None):
    """grad_output s (1 + x (1 - s)), with s = sigmoid(x)."""
    return _smooth("silu_backward", "silu", input, grad_output, num_threads=num_threads)


def gelu(input, approximate="none", *, num_threads=None):
    """x Phi(x), with Phi the distribution function of the normal distribution.

    approximate="tanh": the formula of Hendrycks & Gimpel 2016, "Gaussian error linear units".
    """
    return _smooth("gelu", _gelu("gelu", approximate), input, num_threads=num_threads)


def gelu_backward(grad_output, input, approximate="none", *, num_threads=None):
    """grad_output (Phi(x) + x Phi'(x))."""
    op = "gelu_backward"
    return _smooth(op, _gelu(op, approximate), input, grad_output, num_threads=num_threads)


def softplus(input, beta=1.0, threshold=20.0, *, num_threads=None):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold, as in PyTorch.

    beta: a finite number other than 0.
    """
    x = _arrays.as_array("softplus", "input", input)
    options = _softplus("softplus", x, beta, threshold)
    return _passes.smooth("softplus", "softplus", x, None, *options, num_threads)


def softplus_backward(grad_output, input, beta=1.0, threshold=20.0, *, num_threads=None):
    """grad_output sigmoid(beta x), and grad_output itself where beta x > threshold."""
    op = "softplus_backward"
    x, g = _pair(op, input, grad_output)
    options = _softplus(op, x, beta, threshold)
    return _passes.smooth(op, "softplus", x, g, *options, num_threads)


def softmax(input, axis=-1, *, num_threads=None):
    """exp(x) / sum(exp(x)) along an axis."""
    x, axis = _along("softmax", input, axis)
    return _passes.softmax("softmax", x, axis, num_threads=num_threads)


def softmax_backward(grad_output, input, axis=-1, *, num_threads=None):
    """s (grad_output - sum(grad_output s)), with s = softmax(x)."""
    x, g = _pair("softmax_backward", input, grad_output)
    s = softmax(x, axis, num_threads=num_threads)
    return _softmax_gradient(g, s, axis, num_threads)


def log_softmax(input, axis=-1, *, num_threads=None):
    """x - log(sum(exp(x))) along an axis."""
    x, axis = _along("log_softmax", input, axis)
    return _passes.softmax("log_softmax", x, axis, logarithm=True, num_threads=num_threads)


def log_softmax_backward(grad_output, input, axis=-1, *, num_threads=None):
    """grad_output - softmax(x) sum(grad_output)."""
    x, g = _pair("log_softmax_backward", input, grad_output)
    y = log_softmax(x, axis, num_threads=num_threads)
    return _log_softmax_gradient(g, y, axis, num_threads)


# The gradients by what came out, which layers keep.


def _tanh_gradient(grad_output, output):
    return _smooth("tanh_backward", "of_tanh", output, grad_output)


def _sigmoid_gradient(grad_output, output):
    return _smooth("sigmoid_backward", "of_sigmoid", output, grad_output)


def _softmax_gradient(grad_output, output, axis, num_threads=None):
    op = "softmax_backward"
    g = _arrays.as_like(op, "grad_output", grad_output, output)
    return _passes.softmax(op, output, axis, g, num_threads=num_threads)


def _log_softmax_gradient(grad_output, output, axis, num_threads=None):
    op = "log_softmax_backward"
    g = _arrays.as_like(op, "grad_output", grad_output, output)
    return _passes.softmax(op, output, axis, g, True, num_threads)


def _smooth(op, kind, input, grad_output=None, num_threads=None):
    """An activation of the input, or its gradient."""
    x = _arrays.as_array(op, "input", input)
    g = None if grad_output is None else _arrays.as_like(op, "grad_output", grad_output, x)
    return _passes.smooth(op, kind, x, g, num_threads=num_threads)


def _pair(op, input, grad_output):
    x = _arrays.as_array(op, "input", input)
    return x, _arrays.as_like(op, "grad_output", grad_output, x)


def _gelu(op, approximate):
    """Which kernel."""
    if approximate == "none":
        return "gelu"
    if approximate == "tanh":
        return "gelu_tanh"
    raise ValueError(f"{op}: approximate must be 'none' or 'tanh', got {approximate!r}")


def _softplus(op, x, beta, threshold):
    """Its options, checked."""
    for name, value in (("beta", beta), ("threshold", threshold)):
        if not isinstance(value, Real):
            raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    if not (math.isfinite(beta) and x.dtype.type(beta) != 0):
        raise ValueError(f"{op}: beta must be finite and not 0, got {beta!r}")
    return beta, threshold


def _along(op, input, axis):
    x = _arrays.as_array(op, "input", input)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{op}: axis must be one of the input's {x.ndim}, got {axis}")
    return x, axis
