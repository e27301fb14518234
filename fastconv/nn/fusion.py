"""Neighbours that run together: what `Sequential` does with a layer, its activation and its pool.

Forward, a layer applies the ReLU or LeakyReLU behind it as it stores its output, and a ReLU and a
max-pool change places if need be: the maximum of what is positive is the positive maximum.
Backward, a layer applies the gradient of the activation before it as it stores the gradient of its
input, even through a pool or Flatten in between: what is positive after these was before.  And a
convolution runs together with the batch normalization behind it, both ways.  Values are those of
the modules called one by one; where a convolution and its pool or normalization are one call
(_conv_pool, _conv_norm of fastconv.functional), its weight's gradient and the normalization's
moments are summed image by image, and round so.

The steps of the last forward pass know which modules ran together and on which arrays.  A step
whose modules have run since is void, and then every module goes back by itself.
"""

from functools import lru_cache

from fastconv.nn.activation import LeakyReLU, ReLU, _Rectifier
from fastconv.nn.affine import _AffineMap
from fastconv.nn.branches import Residual
from fastconv.nn.conv import _Conv, _ConvTranspose
from fastconv.nn.normalization import _BatchNorm
from fastconv.nn.pooling import _MaxPool
from fastconv.nn.shape import Flatten

# Classes whose `_forward` takes a slope, and those whose `_backward` does.
_FORWARD = (_AffineMap, _BatchNorm, Residual)
_BACKWARD = (_AffineMap, Residual)

# As they are now: who replaces one of these, in a class or an object, wants it called.
_METHODS = {
    base: (base.__call__, base.forward, base.backward)
    for base in (
        _AffineMap,
        _ConvTranspose,
        _BatchNorm,
        Residual,
        _Rectifier,
        _MaxPool,
        Flatten,
    )
}


def steps(modules):
    """The modules in the steps in which they run."""
    # No end to ask for.
    left = [(None, object), (None, object), *[(each, _kind(each)) for each in modules][::-1]]
    while len(left) > 2:
        (layer, kind), conv, activation, pool = left.pop(), None, None, None
        if issubclass(kind, _Conv) and issubclass(left[-1][1], _BatchNorm):
            conv, (layer, kind) = layer, left.pop()
        if _is_activation(layer, kind):
            layer, activation = None, layer
        elif issubclass(kind, _FORWARD):
            if _is_activation(*left[-1]):
                activation, rectifier = left.pop()
                if rectifier is ReLU and _is_pool(*left[-1]):
                    pool, _ = left.pop()
            elif left[-2][1] is ReLU and _is_pool(*left[-1]):
                (pool, _), (activation, _) = left.pop(), left.pop()
        yield Step(layer, kind, activation, pool, conv, flat=issubclass(left[-1][1], Flatten))


class Step:
    """A module, or an activation of the ReLU family and what runs with it: a layer and a pool.

    The layer may be a batch normalization with the convolution before it, `conv`.  kind: what
    `_kind` says of it.  flat: the output goes to a Flatten, which reads it in C order.
    """

    def __init__(self, layer, kind=object, activation=None, pool=None, conv=None, flat=False):
        self.layer, self.activation, self.pool, self.conv = layer, activation, pool, conv
        self.kind = kind
        self.modules = [each for each in (conv, layer, activation, pool) if each is not None]
        self.flat = flat
        self.before = None
        self.plan = None  # of layer and pool in one call, at least on the way back

    def added(self):
        """Whether `forward` takes `plus`."""
        return self.activation is None and issubclass(self.kind, _BatchNorm)

    def forward(self, input, before=None, slope=1.0, plus=None):
        """The output.  `before`: the step whose rectified output `input` is, moved about or not.

        slope, plus: of `Module._forward_onto`, where `added` says that they may be.
        """
        layer, activation = self.layer, self.activation
        if self.conv is not None or issubclass(self.kind, _BACKWARD):
            self.before = before
        if layer is None:
            output = activation(input)
        elif activation is None:
            plain = self.conv is None and plus is None
            output = layer(input) if plain else self._rectified(input, slope, plus=plus)
        elif self.pool is None:
            output = self._rectified(input, activation._slope)
            activation.save_for_backward(output)
        else:
            # Smaller than what goes into the pool, and where it is positive that was.
            self.output = output = self._pooled(input)
            activation._saved = None
        self.saved = [each._saved for each in self.modules]
        return output

    def _pooled(self, input):
        layer, pool, slope = self.layer, self.pool, self.activation._slope
        if issubclass(self.kind, _Conv):
            output, self.plan = layer._forward_pooled(input, slope, pool, self.flat)
            if output is not None:
                return output
        return pool(self._rectified(input, slope))

    def _rectified(self, input, slope, **options):
        """What the layer gives, and the convolution before it, behind an activation."""
        if self.conv is None:
            return self.layer._forward(input, slope, **options)
        return self.conv._forward_normed(input, slope, self.layer, **options)

    def carried(self, before):
        """The step whose rectified values this one's output holds, `before` doing so for its input.

        A pool of a LeakyReLU may add up gradients that were to be scaled one by one.
        """
        if self.activation is not None:
            return self
        if before is None:
            return None
        moves = issubclass(self.kind, Flatten) or (
            type(before.activation) is ReLU and _is_pool(self.layer, self.kind)
        )
        return before if moves else None

    def is_current(self):
        """Whether none of the modules has run since."""
        for module, saved in zip(self.modules, self.saved, strict=True):
            if module._saved is not saved:
                return False
        return True

    def adds(self):
        """Whether `backward` takes `plus`."""
        first = self.layer if self.conv is None else self.conv
        return (self.conv is not None or issubclass(self.kind, _AffineMap)) and first._adds

    def backward(self, grad_output, needs_input_grad=True, passed=False, slope=1.0, plus=None):
        """The gradient of the input; `passed`: grad_output has passed the activation already.

        slope: that of an activation whose output the input is, where no step before has it.
        plus: what another branch behind that activation adds to the gradient of its output.
        """
        activation, layer = self.activation, self.layer
        if self.before is not None:
            slope = self.before.activation._slope
        if activation is not None:
            if self.pool is None:
                (output,) = activation.saved_for_backward()
            else:
                output = self.output
            if not passed:
                grad_output = activation.function_backward(
                    grad_output, output, **activation.options
                )
            if self.plan is not None:
                return layer._backward_pooled(
                    grad_output, needs_input_grad, slope, self.pool, self.plan, plus
                )
            if self.pool is not None:
                grad_output = self.pool.backward(grad_output)
            if layer is None:
                return grad_output
        if self.conv is not None:
            return self.conv._backward_normed(grad_output, needs_input_grad, slope, layer, plus)
        if plus is not None:
            return layer._backward(grad_output, needs_input_grad, slope, plus)
        if self.before is None:
            return layer.backward(grad_output, needs_input_grad)
        return layer._backward(grad_output, needs_input_grad, slope)


def _kind(module):
    """The class of a module that runs the methods of one of _METHODS; `object` for any other."""
    kind, own = type(module), module.__dict__
    base = _base(kind)
    if base is None or "forward" in own or "backward" in own:
        return object
    plain = (kind.__call__, kind.forward, kind.backward) == _METHODS[base]
    return kind if plain else object


@lru_cache(256)
def _base(kind):
    return next((each for each in kind.__mro__ if each in _METHODS), None)


def _is_activation(module, kind):
    """Whether it is an activation of the ReLU family."""
    return kind is ReLU or (kind is LeakyReLU and module._slope is not None)


def _is_pool(module, kind):
    """Whether it is a max-pool each of whose windows holds an element."""
    return issubclass(kind, _MaxPool) and module.dilation == 1
