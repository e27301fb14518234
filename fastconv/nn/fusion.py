"""Neighbours that run together: what `Sequential` does with a layer, its activation and its pool.

Forward, a layer applies the ReLU or LeakyReLU behind it as it stores its output, and a ReLU and a
max-pool change places if need be: the maximum of what is positive is the positive maximum.
Backward, a layer applies the gradient of the activation before it as it stores the gradient of its
input, even through a pool or Flatten in between: what is positive after these was before.  And a
convolution runs together with the batch normalization behind it: in training both ways, and in
evaluation, where what normalizes is known, at its store.  Values are those of the modules called
one by one; where a convolution and its pool or normalization are one call in training (_conv_pool,
_conv_norm of fastconv.functional), its weight's gradient and the normalization's moments are summed
image by image, and round so.

What a forward pass leaves for the way back, its record, says which modules ran together and on
which arrays.  The record of a step whose modules have run since is void, and then every module goes
back by itself.
"""

from functools import lru_cache
from typing import NamedTuple

from fastconv.nn.activation import LeakyReLU, ReLU, _Rectifier
from fastconv.nn.affine import _AffineMap
from fastconv.nn.branches import Residual
from fastconv.nn.conv import _Conv, _ConvNd, _ConvTranspose
from fastconv.nn.normalization import _BatchNorm
from fastconv.nn.pooling import _MaxPool
from fastconv.nn.shape import Flatten

# Classes whose `_forward` takes a slope, and those whose `_backward` does.
_FORWARD = (_AffineMap, _BatchNorm, Residual)
_BACKWARD = (_AffineMap, Residual)
_RECTIFIERS = (ReLU, LeakyReLU)

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


def kinds(modules):
    """Of each module the class, if it runs the methods of one of _METHODS; else `object`.

    So has an activation whose output may not have the sign of its input, and a max-pool of which a
    window may hold no element.
    """
    plain = {
        kind: _methods(kind) == (kind.__call__, kind.forward, kind.backward)
        for kind in set(map(type, modules))
    }
    found = []
    for module in modules:
        kind, own = type(module), module.__dict__
        if (
            not plain[kind]
            or "forward" in own
            or "backward" in own
            or (kind is LeakyReLU and module._slope is None)
            or (issubclass(kind, _MaxPool) and module.dilation != 1)
        ):
            kind = object
        found.append(kind)
    return found


@lru_cache(256)
def _methods(kind):
    return next((_METHODS[each] for each in kind.__mro__ if each in _METHODS), None)


def steps(modules, kinds):
    """The steps in which modules of these `kinds` run."""
    found = []
    # No end to ask for.
    left = [(None, object), (None, object), *list(zip(modules, kinds, strict=True))[::-1]]
    while len(left) > 2:
        (layer, kind), conv, activation, pool = left.pop(), None, None, None
        if issubclass(kind, _ConvNd) and issubclass(left[-1][1], _BatchNorm):
            conv, (layer, kind) = layer, left.pop()
        if kind in _RECTIFIERS:
            layer, activation = None, layer
        elif issubclass(kind, _FORWARD):
            if left[-1][1] in _RECTIFIERS:
                activation, rectifier = left.pop()
                if rectifier is ReLU and issubclass(left[-1][1], _MaxPool):
                    pool, _ = left.pop()
            elif left[-2][1] is ReLU and issubclass(left[-1][1], _MaxPool):
                (pool, _), (activation, _) = left.pop(), left.pop()
        flat = issubclass(left[-1][1], Flatten)
        found.append(Step(layer, kind, activation, pool, conv, flat))
    return found


class Record(NamedTuple):
    """What `Step.forward` leaves for `Step.backward`; nothing for a module that goes by itself."""

    before: object = None  # the step whose rectified output the input is, moved about or not
    plan: object = None  # where layer and pool are one call, at least on the way back
    output: object = None  # where it serves as that of an activation before the pool
    saved: tuple = ()  # by each of the modules


class Step:
    """A module, or an activation of the ReLU family and what runs with it: a layer and a pool.

    The layer may be a batch normalization with the convolution before it, `conv`.  kind: what
    `kinds` says of it.  flat: the output goes to a Flatten, which reads it in C order.
    """

    def __init__(self, layer, kind=object, activation=None, pool=None, conv=None, flat=False):
        self.layer, self.activation, self.pool, self.conv = layer, activation, pool, conv
        self.modules = [each for each in (conv, layer, activation, pool) if each is not None]
        self.flat = flat
        self.is_conv = issubclass(kind, _Conv)
        self.is_plain = activation is None and conv is None  # a module that is called as it is
        # Whether `forward` takes `plus`, and `backward`, if the first module of the step can.
        self.added = activation is None and issubclass(kind, _BatchNorm)
        self.may_add = conv is not None or issubclass(kind, _AffineMap)
        # Whether `backward` takes the slope of an activation before,
        self.gates = conv is not None or issubclass(kind, _BACKWARD)
        # and whether values stay rectified in it.
        self.moves = issubclass(kind, Flatten)
        self.is_pool = issubclass(kind, _MaxPool)

    def forward(self, input, before=None, slope=1.0, plus=None):
        """(output, Record).  `before`: the step whose rectified output `input` is.

        slope, plus: of `Module._forward_onto`, where `added` says that they may be.
        """
        layer, activation = self.layer, self.activation
        plan = kept = None
        if self.is_plain and plus is None:
            output = layer(input)
        elif layer is None:
            output = activation(input)
        elif activation is None:
            output = self._rectified(input, slope, plus=plus)
        elif self.pool is None:
            output = self._rectified(input, activation._slope)
            activation.save_for_backward(output)
        else:
            # Smaller than what goes into the pool, and where it is positive that was.
            output, plan = self._pooled(input)
            kept = output
            activation.__dict__["_saved"] = None  # __setattr__ takes its time
        saved = [each._saved for each in self.modules]
        return output, Record(before if self.gates else None, plan, kept, saved)

    def _pooled(self, input):
        layer, pool, slope, plan = self.layer, self.pool, self.activation._slope, None
        if self.is_conv:
            output, plan = layer._forward_pooled(input, slope, pool, self.flat)
            if output is not None:
                return output, plan
        return pool(self._rectified(input, slope)), plan

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
        moves = self.moves or (self.is_pool and type(before.activation) is ReLU)
        return before if moves else None

    def is_current(self, record):
        """Whether none of the modules has run since."""
        for module, saved in zip(self.modules, record.saved, strict=True):
            if module._saved is not saved:
                return False
        return True

    def adds(self):
        """Whether `backward` takes `plus`."""
        return self.may_add and self.modules[0]._adds

    def backward(
        self, grad_output, record, needs_input_grad=True, passed=False, slope=1.0, plus=None
    ):  # fmt: skip
        """The gradient of the input; `passed`: grad_output has passed the activation already.

        slope: that of an activation whose output the input is, where no step before has it.
        plus: what another branch behind that activation adds to the gradient of its output.
        """
        before, plan, output, _ = record
        activation, layer = self.activation, self.layer
        if before is not None:
            slope = before.activation._slope
        if activation is not None:
            if self.pool is None:
                (output,) = activation.saved_for_backward()
            if not passed:
                grad_output = activation.function_backward(
                    grad_output, output, **activation.options
                )
            if plan is not None:
                return layer._backward_pooled(
                    grad_output, needs_input_grad, slope, self.pool, plan, plus
                )
            if self.pool is not None:
                grad_output = self.pool.backward(grad_output)
            if layer is None:
                return grad_output
        if self.conv is not None:
            return self.conv._backward_normed(grad_output, needs_input_grad, slope, layer, plus)
        if plus is not None:
            return layer._backward(grad_output, needs_input_grad, slope, plus)
        if before is None:
            return layer.backward(grad_output, needs_input_grad)
        return layer._backward(grad_output, needs_input_grad, slope)
