"""Activations, element by element."""

from fastconv import functional as F
from fastconv.nn.module import Module


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


class ReLU(_Activation):
    """max(x, 0)."""

    function = staticmethod(F.relu)
    function_backward = staticmethod(F.relu_backward)

    def forward(self, input):
        # The output is positive where the input is, and the next layer keeps it anyway.
        output = F.relu(input)
        self.save_for_backward(output)
        return output


class LeakyReLU(_Activation):
    """x where positive, else negative_slope x."""

    function = staticmethod(F.leaky_relu)
    function_backward = staticmethod(F.leaky_relu_backward)

    def __init__(self, negative_slope=0.01):
        self.options = {"negative_slope": negative_slope}


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    function = staticmethod(F.sigmoid)
    function_backward = staticmethod(F.sigmoid_backward)


class Tanh(_Activation):
    """Hyperbolic tangent."""

    function = staticmethod(F.tanh)
    function_backward = staticmethod(F.tanh_backward)


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
