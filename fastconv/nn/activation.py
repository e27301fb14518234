"""Activations, element by element, and softmax along an axis."""

from numbers import Real

import numpy as np

from fastconv import functional as F
from fastconv.functional.activation import (
    _log_softmax_gradient,
    _sigmoid_gradient,
    _softmax_gradient,
    _tanh_gradient,
)
from fastconv.nn.module import Module

_FLOAT32 = np.finfo(np.float32)


class _Activation(Module):
    function = None
    function_backward = None

    def __init__(self):
        self.options = {}

    def forward(self, input):
        self.save_for_backward(input)
        return self.function(input, **self.options)

    def backward(self, grad_output, needs_input_grad=True):
        (input,) = self.saved_for_backward()
        return self.function_backward(grad_output, input, **self.options)


class _OutputKept(_Activation):
    """One whose gradient follows from its output, which the next layer keeps anyway."""

    def forward(self, input):
        output = self.function(input, **self.options)
        self.save_for_backward(output)
        return output


class _Rectifier(_Activation):
    """x where positive, else a multiple of x.

    The output has the sign of the input, so it serves backward as well, and the next layer keeps it
    anyway.
    """

    @property
    def _slope(self):
        """What negative values are multiplied by; None if the output's sign may not be theirs."""
        raise NotImplementedError

    def forward(self, input):
        output = self.function(input, **self.options)
        self.save_for_backward(input if self._slope is None else output)
        return output


class ReLU(_Rectifier):
    """max(x, 0)."""

    function = staticmethod(F.relu)
    function_backward = staticmethod(F.relu_backward)
    _slope = 0.0


class LeakyReLU(_Rectifier):
    """x where positive, else negative_slope x."""

    function = staticmethod(F.leaky_relu)
    function_backward = staticmethod(F.leaky_relu_backward)

    def __init__(self, negative_slope=0.01):
        self.options = {"negative_slope": negative_slope}

    @property
    def _slope(self):
        # Zero and infinity times infinity and zero are NaN, without a sign.
        slope = self.options["negative_slope"]
        usual = isinstance(slope, Real) and _FLOAT32.tiny <= slope <= _FLOAT32.max
        return float(slope) if usual else None


class Tanh(_OutputKept):
    """Hyperbolic tangent."""

    function = staticmethod(F.tanh)
    function_backward = staticmethod(_tanh_gradient)


class Sigmoid(_OutputKept):
    """1 / (1 + exp(-x))."""

    function = staticmethod(F.sigmoid)
    function_backward = staticmethod(_sigmoid_gradient)


class SiLU(_Activation):
    """x sigmoid(x)."""

    function = staticmethod(F.silu)
    function_backward = staticmethod(F.silu_backward)


class GELU(_Activation):
    """x Phi(x), Phi the normal distribution function; approximate="tanh" for the usual formula."""

    function = staticmethod(F.gelu)
    function_backward = staticmethod(F.gelu_backward)

    def __init__(self, approximate="none"):
        self.options = {"approximate": approximate}


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""

    function = staticmethod(F.softplus)
    function_backward = staticmethod(F.softplus_backward)

    def __init__(self, beta=1.0, threshold=20.0):
        self.options = {"beta": beta, "threshold": threshold}


class Softmax(_OutputKept):
    """exp(x) / sum(exp(x)) along the axis `dim`.  `CrossEntropyLoss` wants what comes before it."""

    function = staticmethod(F.softmax)
    function_backward = staticmethod(_softmax_gradient)

    def __init__(self, dim):
        self.options = {"axis": dim}


class LogSoftmax(_OutputKept):
    """x - log(sum(exp(x))) along the axis `dim`."""

    function = staticmethod(F.log_softmax)
    function_backward = staticmethod(_log_softmax_gradient)

    def __init__(self, dim):
        self.options = {"axis": dim}
