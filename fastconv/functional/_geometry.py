"""The checked sizes of one convolution or transposed convolution."""

import math
from dataclasses import dataclass

from fastconv import _shapes

# Cells along an axis; kernels add and multiply such numbers within 64 bits.
LARGEST = 2**46


@dataclass(frozen=True)
class Geometry:
    """The checked sizes of one convolution; a transposed one is held as the one it transposes.

    `wide` is the side where the window moves (the convolution's input), `narrow` the other.
    """

    op: str
    batch: int
    groups: int
    wide: tuple
    narrow: tuple
    wide_channels: int
    narrow_channels: int
    kernel: tuple
    stride: tuple
    pad: tuple
    dilation: tuple

    @property
    def wide_shape(self):
        return (self.batch, self.wide_channels, *self.wide)

    @property
    def narrow_shape(self):
        return (self.batch, self.narrow_channels, *self.narrow)

    @property
    def work(self):
        """Multiply-adds of one pass."""
        cells = self.batch * self.narrow_channels * math.prod(self.narrow)
        return cells * (self.wide_channels // self.groups) * math.prod(self.kernel)

    def kernel_args(self):
        """stride, dilation and low padding for the kernels, which always see three axes.

        OverflowError for options that no array can call for, and kernels cannot add up.
        """
        spans = map(_shapes.dilated, self.kernel, self.dilation)
        pads = (p for pair in self.pad for p in pair)
        for name, values in ("stride", self.stride), ("padding", pads), ("dilation", spans):
            for value in values:
                if value > LARGEST:
                    raise OverflowError(
                        f"{self.op}: {name} must span at most 2**46 cells, got {value}"
                    )
        missing = 3 - len(self.kernel)
        return (
            (1,) * missing + self.stride,
            (1,) * missing + self.dilation,
            (0,) * missing + tuple(low for low, _ in self.pad),
        )


def weight_shape(op, ndim, weight, groups, lead_name):
    """(first, second, kernel) of a weight, checked against the groups."""
    if weight.ndim != ndim + 2:
        raise ValueError(f"{op}: weight must have {ndim + 2} axes, got shape {weight.shape}")
    first, second, *kernel = weight.shape
    if min(weight.shape) < 1:
        raise ValueError(f"{op}: weight must have no empty axis, got shape {weight.shape}")
    if first % groups:
        raise ValueError(f"{op}: groups must divide the {first} {lead_name}, got groups={groups}")
    return first, second, tuple(kernel)


def conv_geometry(op, ndim, shape, weight, stride, padding, dilation, groups):
    """Geometry of a convolution of an input of `shape` (N, C, *space)."""
    groups = _shapes.integer(op, "groups", groups, 1)
    out_channels, per_group, kernel = weight_shape(op, ndim, weight, groups, "output channels")
    if shape[1] != per_group * groups:
        raise ValueError(
            f"{op}: input must have {per_group * groups} channels for weight of shape "
            f"{weight.shape} and groups={groups}, got input shape {tuple(shape)}"
        )
    stride = _shapes.per_axis(op, "stride", stride, ndim, 1)
    dilation = _shapes.per_axis(op, "dilation", dilation, ndim, 1)
    pad = _shapes.padding_pairs(op, padding, shape[2:], kernel, stride, dilation)
    axes = tuple(zip(shape[2:], kernel, stride, pad, dilation, strict=True))
    for size, k, _, p, d in axes:
        if size + sum(p) < _shapes.dilated(k, d):
            raise ValueError(
                f"{op}: weight of kernel size {kernel} with dilation {dilation} must fit the "
                f"padded input, got {shape[2:]} cells with padding {pad}"
            )
    narrow = tuple(_shapes.conv_out_size(*axis) for axis in axes)
    return Geometry(
        op, shape[0], groups, tuple(shape[2:]), narrow, shape[1], out_channels,
        kernel, stride, pad, dilation,
    )  # fmt: skip


def transpose_geometry(
    op, ndim, shape, weight, stride, padding, output_padding, groups, dilation, output_size=None
):
    """Geometry of the convolution whose transpose is applied to `shape` (N, C, *space)."""
    groups = _shapes.integer(op, "groups", groups, 1)
    in_channels, per_group, kernel = weight_shape(op, ndim, weight, groups, "input channels")
    if shape[1] != in_channels:
        raise ValueError(
            f"{op}: input must have {in_channels} channels for weight of shape {weight.shape}, "
            f"got input shape {tuple(shape)}"
        )
    stride = _shapes.per_axis(op, "stride", stride, ndim, 1)
    dilation = _shapes.per_axis(op, "dilation", dilation, ndim, 1)
    extra = _shapes.per_axis(op, "output_padding", output_padding, ndim, 0)
    narrow = tuple(shape[2:])
    if padding == "same":
        if any(extra) or output_size is not None:
            raise ValueError(
                f"{op}: padding='same' fixes the output at input times stride; output_padding "
                f"and output_size must be left out, got {output_padding!r} and {output_size!r}"
            )
        wide = tuple(i * s for i, s in zip(narrow, stride, strict=True))
        pad = _shapes.padding_pairs(op, "same", wide, kernel, stride, dilation)
    else:
        pad = _shapes.padding_pairs(op, padding, narrow, kernel, stride, dilation)
        for a, s, d in zip(extra, stride, dilation, strict=True):
            if a >= max(s, d):
                raise ValueError(
                    f"{op}: output_padding must be smaller than stride or dilation, got "
                    f"{output_padding!r} with stride {stride} and dilation {dilation}"
                )
        least = tuple(
            _shapes.conv_transpose_out_size(*axis)
            for axis in zip(narrow, kernel, stride, pad, (0,) * ndim, dilation, strict=True)
        )
        if output_size is None:
            wide = tuple(size + a for size, a in zip(least, extra, strict=True))
        else:
            if any(extra):
                raise ValueError(
                    f"{op}: output_size and output_padding must not be given together, got "
                    f"{output_size!r} and {output_padding!r}"
                )
            wide = _wanted_size(op, ndim, output_size, least, stride)
    if min(wide) < 1 and 0 not in narrow:
        raise ValueError(f"{op}: padding {pad} leaves no output, sizes would be {wide}")
    wide = tuple(max(0, size) for size in wide)
    return Geometry(
        op, shape[0], groups, wide, narrow, per_group * groups, in_channels,
        kernel, stride, pad, dilation,
    )  # fmt: skip


def _wanted_size(op, ndim, output_size, least, stride):
    if isinstance(output_size, (list, tuple)) and len(output_size) == ndim + 2:
        output_size = output_size[2:]
    wanted = _shapes.per_axis(op, "output_size", output_size, ndim, 0)
    for want, low, s in zip(wanted, least, stride, strict=True):
        if not low <= want < low + s:
            most = tuple(low + s - 1 for low, s in zip(least, stride, strict=True))
            raise ValueError(
                f"{op}: output_size must lie between {least} and {most}, got {output_size!r}"
            )
    return wanted
