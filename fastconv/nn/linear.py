"""The fully connected layer."""

import math

import numpy as np

from fastconv._shapes import integer
from fastconv.functional.linear import _linear, _linear_backward
from fastconv.nn.affine import _AffineMap
from fastconv.nn.init import weight_and_bias


class Linear(_AffineMap):
    """x weight^T + bias for x (..., in_features), weight (out_features, in_features).

    Both start uniform within 1 / sqrt(in_features), as in PyTorch.
    """

    def __init__(self, in_features, out_features, bias=True, *, dtype=np.float32, rng=None):
        self.in_features = integer("Linear", "in_features", in_features, 1)
        self.out_features = integer("Linear", "out_features", out_features, 1)
        shape = (self.out_features, self.in_features)
        self.weight, self.bias = weight_and_bias(shape, self.out_features, bias, dtype, rng)

    def multiply_adds(self, input_shape, output_shape):
        return math.prod(output_shape[:-1]) * self.weight.size

    def _map(self, input, slope):
        return _linear(input, *self._arrays(), slope=slope)

    def _map_backward(self, grad_output, input, needs, slope):
        return _linear_backward(grad_output, input, self.weight.data, needs, slope=slope)
