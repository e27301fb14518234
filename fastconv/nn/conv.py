"""Convolutions and transposed convolutions: a weight, a bias, and one functional call."""

import numpy as np

from fastconv import _shapes
from fastconv.functional.conv import _conv, _conv_backward
from fastconv.functional.conv_transpose import _conv_transpose, _conv_transpose_backward
from fastconv.nn.affine import _AffineMap
from fastconv.nn.init import weight_and_bias


class _ConvNd(_AffineMap):
    """What all six share: one subclass for each direction, with its functional, and their ranks."""

    ndim = None
    convolve = None
    convolve_backward = None
    options = ()
    transposed = False

    def _set_up(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        bias,
        padding_mode,
        dtype,
        rng,
    ):
        op = type(self).__name__
        self.in_channels = _shapes.integer(op, "in_channels", in_channels, 1)
        self.out_channels = _shapes.integer(op, "out_channels", out_channels, 1)
        self.kernel_size = _shapes.per_axis(op, "kernel_size", kernel_size, self.ndim, 1)
        self.stride = _shapes.per_axis(op, "stride", stride, self.ndim, 1)
        self.dilation = _shapes.per_axis(op, "dilation", dilation, self.ndim, 1)
        self.groups = _shapes.integer(op, "groups", groups, 1)
        _shapes.padding_pairs(op, padding, self.ndim)
        self.padding = padding
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{op}: groups must divide {name}={getattr(self, name)}, got {self.groups}"
                )
        if padding_mode != "zeros":
            raise ValueError(f"{op}: padding_mode must be 'zeros', got {padding_mode!r}")
        channels = self.out_channels, self.in_channels
        if self.transposed:
            channels = channels[::-1]
        shape = (channels[0], channels[1] // self.groups, *self.kernel_size)
        self.weight, self.bias = weight_and_bias(shape, self.out_channels, bias, dtype, rng)

    def _options(self):
        return {name: getattr(self, name) for name in self.options}

    def _map(self, input, slope):
        return self.convolve(self.ndim, input, *self._arrays(), **self._options(), slope=slope)

    def _map_backward(self, grad_output, input, needs, slope):
        return self.convolve_backward(
            self.ndim,
            grad_output,
            input,
            self.weight.data,
            **self._options(),
            needs=needs,
            slope=slope,
        )


class _Conv(_ConvNd):
    convolve = staticmethod(_conv)
    convolve_backward = staticmethod(_conv_backward)
    options = ("stride", "padding", "dilation", "groups")

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        *,
        dtype=np.float32,
        rng=None,
    ):
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, padding_mode, dtype, rng,
        )  # fmt: skip


class _ConvTranspose(_ConvNd):
    convolve = staticmethod(_conv_transpose)
    convolve_backward = staticmethod(_conv_transpose_backward)
    options = ("stride", "padding", "output_padding", "groups", "dilation")
    transposed = True

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode="zeros",
        *,
        dtype=np.float32,
        rng=None,
    ):
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, padding_mode, dtype, rng,
        )  # fmt: skip
        self.output_padding = _shapes.per_axis(
            type(self).__name__, "output_padding", output_padding, self.ndim, 0
        )


class Conv1d(_Conv):
    """Convolution of (N, C, L), weight (out_channels, in_channels / groups, kernel)."""

    ndim = 1


class Conv2d(_Conv):
    """Convolution of (N, C, H, W), weight (out_channels, in_channels / groups, KH, KW).

    stride, padding, dilation, groups: as `functional.conv2d`, so padding is an int, one per axis,
    one (low, high) pair per axis, "same" or "valid".  `padding_mode` knows only "zeros".
    weight and bias start uniform within 1 / sqrt(in_channels / groups * KH * KW), as in PyTorch,
    drawn from `rng` or the package's generator.
    Raises ValueError or TypeError for an argument out of its range.
    """

    ndim = 2


class Conv3d(_Conv):
    """Convolution of (N, C, D, H, W), weight (out_channels, in_channels / groups, KD, KH, KW)."""

    ndim = 3


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of (N, C, L), weight (in_channels, out_channels / groups, kernel)."""

    ndim = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of (N, C, H, W), weight (in_channels, out_channels / groups, KH, KW).

    The adjoint of the `Conv2d` with the same options and the very same weight array.
    weight and bias start as PyTorch's: uniform within 1 / sqrt(out_channels / groups * KH * KW).
    """

    ndim = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of (N, C, D, H, W), weight (in_channels, out_channels / groups, *)."""

    ndim = 3
