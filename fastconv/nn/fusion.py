"""A layer and the activation beside it in one kernel call: what `Sequential` does with neighbours.

Forward, a convolution or Linear applies the ReLU or LeakyReLU behind it as it stores its output.
Backward, it applies the gradient of the one before it as it stores the gradient of its input.
Values are those of the modules called one by one, and so is what each of them keeps for backward:
neither way back depends on how the way forward was gone.
"""

from fastconv.nn.activation import LeakyReLU, ReLU, _Rectifier
from fastconv.nn.affine import _AffineMap
from fastconv.nn.conv import _ConvTranspose

# As they are now: who replaces one of these, in a class or an object, wants it called.
_METHODS = {
    base: (base.__call__, base.forward, base.backward)
    for base in (_AffineMap, _ConvTranspose, _Rectifier)
}


def fits_behind(layer, activation):
    """Whether the layer can apply the activation to its output."""
    return _is_activation(activation) and _is_layer(layer)


def forward(layer, activation, input):
    """The activation's output."""
    output = layer._forward(input, activation._slope)
    activation.save_for_backward(output)
    return output


def fits_before(layer, activation):
    """Whether the layer can apply the activation's gradient: what went into it is what came out."""
    return (
        _is_activation(activation)
        and _is_layer(layer)
        and layer._saved is not None
        and activation._saved is not None
        and layer._saved[0] is activation._saved[0]
    )


def backward(layer, activation, grad_output):
    """The gradient of the activation's input."""
    activation.saved_for_backward()
    return layer._backward(grad_output, True, activation._slope)


def _is_layer(module):
    return isinstance(module, _AffineMap) and _runs_own_methods(module)


def _is_activation(module):
    return (
        type(module) in (ReLU, LeakyReLU)
        and _runs_own_methods(module)
        and module._slope is not None
    )


def _runs_own_methods(module):
    base = next(each for each in type(module).__mro__ if each in _METHODS)
    bound = module.forward, module.backward
    methods = (type(module).__call__, *(getattr(each, "__func__", each) for each in bound))
    return methods == _METHODS[base]
