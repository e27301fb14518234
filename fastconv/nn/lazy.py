"""Layers that read their number of input channels or features off the first input.

    model = Sequential(LazyConv2d(8, 3), ReLU(), Flatten(), LazyLinear(10), input_shape=(1, 28, 28))

A lazy layer takes the arguments of the layer that it is for, without the first.  With the first
forward, which `Module.build_for` or the `input_shape` of Sequential runs, it turns into that layer:
the same object, of the other class, with the parameters that this one would have started from,
drawn at that moment.  There are no parameters before, so an optimizer is made after.
"""

import inspect
from numbers import Integral

import numpy as np

from fastconv._random import generator
from fastconv.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from fastconv.nn.linear import Linear
from fastconv.nn.module import Module
from fastconv.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d


class _Lazy(Module):
    """A subclass names the class that it turns into, and the axis of the input that says the rest.

    ranks: the numbers of axes that an input may have, None for any.
    """

    def __init_subclass__(cls, eager=None, axis=None, ranks=None):
        if eager is None:  # a user's subclass of one of these
            return
        cls._eager, cls._axis, cls._ranks = eager, axis, ranks
        own, _, *rest = inspect.signature(eager.__init__).parameters.values()
        signature = inspect.Signature([own, *rest])

        def __init__(self, *args, **kwargs):
            given = signature.bind(self, *args, **kwargs).arguments
            # A small one that nobody sees: a wrong argument is an error now, not in the forward.
            eager(_least(given.get("groups", 1)), *args, **kwargs | _without_rng(given, signature))

        __init__.__signature__ = signature
        cls.__init__ = __init__

    def forward(self, input, *args, **kwargs):
        self._turn(np.shape(input))
        return type(self).forward(self, input, *args, **kwargs)

    def backward(self, grad_output, needs_input_grad=True):
        self._own_parameters()

    def _turn(self, shape):
        """Becomes the layer for an input of `shape`."""
        if not shape or (self._ranks is not None and len(shape) not in self._ranks):
            ranks = "at least 1" if self._ranks is None else " or ".join(map(str, self._ranks))
            raise ValueError(
                f"{type(self).__name__}: input must have {ranks} axes, got shape {shape}"
            )
        args, kwargs = self._arguments
        layer = self._eager(shape[self._axis], *args, **kwargs)
        self.__class__ = self._eager
        vars(self).update(vars(layer) | {"training": self.training})

    def _dtype(self):
        _, kwargs = self._arguments
        return kwargs.get("dtype", np.float32)

    def _own_parameters(self):
        raise RuntimeError(
            f"{type(self).__name__}: there are no parameters before the input's size is known: "
            "give Sequential an input_shape, or call build_for(input_shape) or run one forward "
            "of the model first"
        )


def _least(groups):
    """Input channels for the smallest layer of so many groups."""
    return groups if isinstance(groups, Integral) and groups > 0 else 1


def _without_rng(given, signature):
    """A generator of its own, where the layer takes one: the given one stays as it is."""
    if "rng" not in signature.parameters:
        return {}
    generator(given.get("rng"))  # refuses what is none
    return {"rng": np.random.default_rng(0)}


class LazyConv1d(_Lazy, eager=Conv1d, axis=-2, ranks=(2, 3)):
    """A `Conv1d` whose in_channels are those of its first input."""


class LazyConvTranspose1d(_Lazy, eager=ConvTranspose1d, axis=-2, ranks=(2, 3)):
    """A `ConvTranspose1d` whose in_channels are those of its first input."""


class LazyConv2d(_Lazy, eager=Conv2d, axis=-3, ranks=(3, 4)):
    """A `Conv2d` whose in_channels are those of its first input."""


class LazyConvTranspose2d(_Lazy, eager=ConvTranspose2d, axis=-3, ranks=(3, 4)):
    """A `ConvTranspose2d` whose in_channels are those of its first input."""


class LazyConv3d(_Lazy, eager=Conv3d, axis=-4, ranks=(4, 5)):
    """A `Conv3d` whose in_channels are those of its first input."""


class LazyConvTranspose3d(_Lazy, eager=ConvTranspose3d, axis=-4, ranks=(4, 5)):
    """A `ConvTranspose3d` whose in_channels are those of its first input."""


class LazyLinear(_Lazy, eager=Linear, axis=-1):
    """A `Linear` whose in_features are the last axis of its first input."""


class LazyBatchNorm1d(_Lazy, eager=BatchNorm1d, axis=1, ranks=(2, 3)):
    """A `BatchNorm1d` whose num_features are the channels of its first input."""


class LazyBatchNorm2d(_Lazy, eager=BatchNorm2d, axis=1, ranks=(4,)):
    """A `BatchNorm2d` whose num_features are the channels of its first input."""


class LazyBatchNorm3d(_Lazy, eager=BatchNorm3d, axis=1, ranks=(5,)):
    """A `BatchNorm3d` whose num_features are the channels of its first input."""
