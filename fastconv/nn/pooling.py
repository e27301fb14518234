"""Pools.  A channel is pooled by itself; sizes and options are those of the functionals."""

import numpy as np

from fastconv import functional as F
from fastconv.functional import _pool
from fastconv.nn.module import Module


class _MaxPool(Module):
    ndim = None
    pool = None
    pool_backward = None

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, *, ceil_mode=False):
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = ceil_mode

    def _options(self):
        return (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def forward(self, input):
        arguments = self._options()
        # Bytes take an eighth of the memory of places, and the way back is a pass without jumps.
        tiles = _pool.tiles(input, *arguments) if np.ndim(input) == self.ndim + 2 else None
        if tiles is not None:
            output, codes = _pool.max_tiles(type(self).__name__, input, tiles, self.training)
            self.save_for_backward(codes, tiles)
            return output
        if not self.training:
            self.save_for_backward()
            return self.pool(input, *arguments)
        output, indices = self.pool(input, *arguments, return_indices=True)
        self.save_for_backward(indices, np.shape(input))
        return output

    def backward(self, grad_output, needs_input_grad=True):
        kept, source = self.saved_for_backward()
        if isinstance(source, _pool.Tiles):
            op = f"{type(self).__name__}.backward"
            return _pool.max_tiles_backward(op, grad_output, kept, source)
        return self.pool_backward(grad_output, kept, source)


class MaxPool1d(_MaxPool):
    """Largest value of each window of (N, C, L)."""

    ndim = 1
    pool = staticmethod(F.max_pool1d)
    pool_backward = staticmethod(F.max_pool1d_backward)


class MaxPool2d(_MaxPool):
    """Largest value of each window of (N, C, H, W); `stride` is `kernel_size` unless given."""

    ndim = 2
    pool = staticmethod(F.max_pool2d)
    pool_backward = staticmethod(F.max_pool2d_backward)


class MaxPool3d(_MaxPool):
    """Largest value of each window of (N, C, D, H, W)."""

    ndim = 3
    pool = staticmethod(F.max_pool3d)
    pool_backward = staticmethod(F.max_pool3d_backward)


class _AvgPool(Module):
    pool = None
    pool_backward = None

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _options(self):
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "ceil_mode": self.ceil_mode,
            "count_include_pad": self.count_include_pad,
            "divisor_override": self.divisor_override,
        }

    def forward(self, input):
        self.save_for_backward(np.shape(input))
        return self.pool(input, **self._options())

    def backward(self, grad_output, needs_input_grad=True):
        (shape,) = self.saved_for_backward()
        return self.pool_backward(grad_output, shape, **self._options())


class AvgPool1d(_AvgPool):
    """Mean of each window of (N, C, L)."""

    pool = staticmethod(F.avg_pool1d)
    pool_backward = staticmethod(F.avg_pool1d_backward)


class AvgPool2d(_AvgPool):
    """Mean of each window of (N, C, H, W); `stride` is `kernel_size` unless given."""

    pool = staticmethod(F.avg_pool2d)
    pool_backward = staticmethod(F.avg_pool2d_backward)


class AvgPool3d(_AvgPool):
    """Mean of each window of (N, C, D, H, W)."""

    pool = staticmethod(F.avg_pool3d)
    pool_backward = staticmethod(F.avg_pool3d_backward)


class _AdaptiveAvgPool(Module):
    pool = None
    pool_backward = None

    def __init__(self, output_size):
        self.output_size = output_size

    def forward(self, input):
        self.save_for_backward(np.shape(input))
        return self.pool(input, self.output_size)

    def backward(self, grad_output, needs_input_grad=True):
        (shape,) = self.saved_for_backward()
        return self.pool_backward(grad_output, shape)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """(N, C, L) to (N, C, output_size): means of nearly equal parts."""

    pool = staticmethod(F.adaptive_avg_pool1d)
    pool_backward = staticmethod(F.adaptive_avg_pool1d_backward)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """(N, C, H, W) to (N, C, *output_size): means of nearly equal parts; 1 pools everything."""

    pool = staticmethod(F.adaptive_avg_pool2d)
    pool_backward = staticmethod(F.adaptive_avg_pool2d_backward)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """(N, C, D, H, W) to (N, C, *output_size): means of nearly equal parts."""

    pool = staticmethod(F.adaptive_avg_pool3d)
    pool_backward = staticmethod(F.adaptive_avg_pool3d_backward)
