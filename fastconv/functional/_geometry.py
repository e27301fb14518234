"""The checked sizes of one convolution or transposed convolution.

A call reads its options anew, into integers; what follows from these and the shapes is remembered
for the next call of the kind: on a small problem it would cost more than the convolution.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

from fastconv import _shapes, _threads

# Cells along an axis; kernels add and multiply such numbers within 64 bits.
LARGEST = 2**46
REMEMBERED = 1024
REMEMBERED_CELLS = 4096  # of an axis with a table: those of larger ones would fill memory


def of_axis(table, cells, *arguments):
    """table(*arguments), an lru_cache's: of an axis of so many cells, anew where these are many."""
    return (table if cells <= REMEMBERED_CELLS else table.__wrapped__)(*arguments)


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

    @cached_property
    def wide_shape(self):
        return (self.batch, self.wide_channels, *self.wide)

    @cached_property
    def narrow_shape(self):
        return (self.batch, self.narrow_channels, *self.narrow)

    @cached_property
    def multiply_adds(self):
        """Those of one pass."""
        taps = self.wide_channels // self.groups * math.prod(self.kernel)
        return math.prod(self.narrow_shape) * taps

    @cached_property
    def work(self):
        """The same, and what it takes to read one array and write the other."""
        elements = math.prod(self.wide_shape) + math.prod(self.narrow_shape)
        return self.multiply_adds + _threads.ELEMENT_WORK * elements

    @cached_property
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


def weight_shape(op, ndim, shape, groups, lead_name):
    """(first, second, kernel) of the shape of a weight, checked against the groups."""
    if len(shape) != ndim + 2:
        raise ValueError(f"{op}: weight must have {ndim + 2} axes, got shape {shape}")
    first, second, *kernel = shape
    if min(shape) < 1:
        raise ValueError(f"{op}: weight must have no empty axis, got shape {shape}")
    if first % groups:
        raise ValueError(f"{op}: groups must divide the {first} {lead_name}, got groups={groups}")
    return first, second, tuple(kernel)


def conv_geometry(op, ndim, shape, weight, stride, padding, dilation, groups):
    """Geometry of a convolution of an input of `shape` (N, C, *space), `weight` a shape too."""
    return _conv_geometry(
        op, shape, weight,
        _shapes.per_axis(op, "stride", stride, ndim, 1),
        _shapes.padding_pairs(op, padding, ndim),
        _shapes.per_axis(op, "dilation", dilation, ndim, 1),
        _shapes.integer(op, "groups", groups, 1),
    )  # fmt: skip


@lru_cache(REMEMBERED)
def _conv_geometry(op, shape, weight, stride, pad, dilation, groups):
    out_channels, per_group, kernel = weight_shape(
        op, len(stride), weight, groups, "output channels"
    )
    if shape[1] != per_group * groups:
        raise ValueError(
            f"{op}: input must have {per_group * groups} channels for weight of shape "
            f"{weight} and groups={groups}, got input shape {shape}"
        )
    wide = shape[2:]
    if pad == "same":
        pad = tuple(map(_shapes.same_padding, wide, kernel, stride, dilation))
    axes = tuple(zip(wide, kernel, stride, pad, dilation, strict=True))
    for size, k, _, p, d in axes:
        if size + sum(p) < _shapes.dilated(k, d):
            raise ValueError(
                f"{op}: weight of kernel size {kernel} with dilation {dilation} must fit the "
                f"padded input, got {wide} cells with padding {pad}"
            )
    narrow = tuple(_shapes.conv_out_size(*axis) for axis in axes)
    return Geometry(
        op, shape[0], groups, wide, narrow, shape[1], out_channels, kernel, stride, pad, dilation
    )


def transpose_geometry(
    op, ndim, shape, weight, stride, padding, output_padding, groups, dilation, output_size=None
):
    """Geometry of the convolution whose transpose is applied to `shape`, `weight` a shape too."""
    if output_size is not None:
        if isinstance(output_size, (list, tuple)) and len(output_size) == ndim + 2:
            output_size = output_size[2:]
        output_size = _shapes.per_axis(op, "output_size", output_size, ndim, 0)
    return _transpose_geometry(
        op, shape, weight,
        _shapes.per_axis(op, "stride", stride, ndim, 1),
        _shapes.padding_pairs(op, padding, ndim),
        _shapes.per_axis(op, "output_padding", output_padding, ndim, 0),
        _shapes.integer(op, "groups", groups, 1),
        _shapes.per_axis(op, "dilation", dilation, ndim, 1),
        output_size,
    )  # fmt: skip


@lru_cache(REMEMBERED)
def _transpose_geometry(
    op, shape, weight, stride, pad, output_padding, groups, dilation, output_size
):
    ndim = len(stride)
    in_channels, per_group, kernel = weight_shape(op, ndim, weight, groups, "input channels")
    if shape[1] != in_channels:
        raise ValueError(
            f"{op}: input must have {in_channels} channels for weight of shape {weight}, "
            f"got input shape {shape}"
        )
    narrow = shape[2:]
    if pad == "same":
        if any(output_padding) or output_size is not None:
            raise ValueError(
                f"{op}: padding='same' fixes the output at input times stride; output_padding "
                f"and output_size must be left out, got {output_padding} and {output_size}"
            )
        wide = tuple(i * s for i, s in zip(narrow, stride, strict=True))
        pad = tuple(map(_shapes.same_padding, wide, kernel, stride, dilation))
    else:
        for a, s, d in zip(output_padding, stride, dilation, strict=True):
            if a >= max(s, d):
                raise ValueError(
                    f"{op}: output_padding must be smaller than stride or dilation, got "
                    f"{output_padding} with stride {stride} and dilation {dilation}"
                )
        least = tuple(
            _shapes.conv_transpose_out_size(*axis)
            for axis in zip(narrow, kernel, stride, pad, (0,) * ndim, dilation, strict=True)
        )
        if output_size is None:
            wide = tuple(size + a for size, a in zip(least, output_padding, strict=True))
        else:
            if any(output_padding):
                raise ValueError(
                    f"{op}: output_size and output_padding must not be given together, got "
                    f"{output_size} and {output_padding}"
                )
            wide = output_size
            _check_output_size(op, wide, least, stride)
    if min(wide) < 1 and 0 not in narrow:
        raise ValueError(f"{op}: padding {pad} leaves no output, sizes would be {wide}")
    wide = tuple(max(0, size) for size in wide)
    return Geometry(
        op, shape[0], groups, wide, narrow, per_group * groups, in_channels,
        kernel, stride, pad, dilation,
    )  # fmt: skip


def _check_output_size(op, output_size, least, stride):
    most = tuple(low + s - 1 for low, s in zip(least, stride, strict=True))
    for want, low, high in zip(output_size, least, most, strict=True):
        if not low <= want <= high:
            raise ValueError(
                f"{op}: output_size must lie between {least} and {most}, got {output_size}"
            )


@lru_cache(REMEMBERED)
def linear_geometry(op, shape, weight):
    """Geometry of a linear layer on `shape` (*, features): a convolution over the rows."""
    if len(weight) != 2 or min(weight) < 1:
        raise ValueError(f"{op}: weight must have 2 axes (out, in), none empty, got shape {weight}")
    if not shape or shape[-1] != weight[1]:
        raise ValueError(
            f"{op}: input must have {weight[1]} features on its last axis for weight of "
            f"shape {weight}, got shape {shape}"
        )
    rows = (math.prod(shape[:-1]),)
    return Geometry(op, 1, 1, rows, rows, weight[1], weight[0], (1,), (1,), ((0, 0),), (1,))
