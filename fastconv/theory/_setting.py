"""The sizes of a convolution as the functions here share them: one entry for each axis."""

from typing import NamedTuple

import numpy as np

from fastconv import _shapes


class Setting(NamedTuple):
    """A window of `kernel` taps slides over `large` cells; each of its positions is a small cell.

    A convolution goes from large to small, a transposed one from small to large.
    """

    large: tuple
    small: tuple
    kernel: tuple
    stride: tuple
    pad: tuple  # (low, high) for each axis
    dilation: tuple

    @property
    def reach(self):
        """Cells from the first tap to the last, exclusive: d(k - 1)."""
        return tuple(d * (k - 1) for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def low(self):
        return tuple(low for low, _ in self.pad)


def axes_of(op, **sizes):
    """Spatial axes that the sizes speak of: the length of a tuple, or one where all are ints."""
    lengths = {len(value) for value in sizes.values() if isinstance(value, (list, tuple))}
    if len(lengths) > 1 or 0 in lengths:
        said = ", ".join(f"{name}={value!r}" for name, value in sizes.items())
        raise ValueError(f"{op}: sizes must name the same axes, at least one, got {said}")
    return lengths.pop() if lengths else 1


def conv_setting(op, input_size, kernel_size, stride, padding, dilation):
    """The Setting of a convolution of `input_size` cells."""
    ndim = axes_of(op, input_size=input_size, kernel_size=kernel_size)
    large = _shapes.per_axis(op, "input_size", input_size, ndim, 1)
    kernel, stride, pad, dilation = _window(op, ndim, kernel_size, stride, padding, dilation)
    if pad == "same":
        pad = tuple(map(_shapes.same_padding, large, kernel, stride, dilation))
    small = tuple(map(_shapes.conv_out_size, large, kernel, stride, pad, dilation))
    if min(small) < 1:
        raise ValueError(
            f"{op}: kernel_size {kernel} with dilation {dilation} must fit the padded input, "
            f"got {large} cells with padding {pad}"
        )
    return Setting(large, small, kernel, stride, pad, dilation)


def transposed_setting(op, input_size, kernel_size, stride, padding, output_padding, dilation):
    """The Setting of the convolution whose transpose is applied to `input_size` cells."""
    ndim = axes_of(op, input_size=input_size, kernel_size=kernel_size)
    small = _shapes.per_axis(op, "input_size", input_size, ndim, 1)
    kernel, stride, pad, dilation = _window(op, ndim, kernel_size, stride, padding, dilation)
    extra = _shapes.per_axis(op, "output_padding", output_padding, ndim, 0)
    if pad == "same":
        if any(extra):
            raise ValueError(
                f"{op}: padding='same' fixes the output at input times stride; output_padding "
                f"must be left out, got {output_padding!r}"
            )
        large = tuple(i * s for i, s in zip(small, stride, strict=True))
        pad = tuple(map(_shapes.same_padding, large, kernel, stride, dilation))
        return Setting(large, small, kernel, stride, pad, dilation)
    for a, s, d in zip(extra, stride, dilation, strict=True):
        if a >= max(s, d):
            raise ValueError(
                f"{op}: output_padding must be smaller than stride or dilation, got {a} with "
                f"stride {s} and dilation {d}: the convolution back would find room for more "
                "windows than the input has cells"
            )
    large = tuple(map(_shapes.conv_transpose_out_size, small, kernel, stride, pad, extra, dilation))
    if min(large) < 1:
        raise ValueError(f"{op}: padding {pad} leaves no output, sizes would be {large}")
    return Setting(large, small, kernel, stride, pad, dilation)


def _window(op, ndim, kernel_size, stride, padding, dilation):
    return (
        _shapes.per_axis(op, "kernel_size", kernel_size, ndim, 1),
        _shapes.per_axis(op, "stride", stride, ndim, 1),
        _shapes.padding_pairs(op, padding, ndim),
        _shapes.per_axis(op, "dilation", dilation, ndim, 1),
    )


def filters(op, weight, groups, least=3):
    """(weight, its kernel size, groups), checked: axis 0 is divided by the groups."""
    weight = np.asarray(weight)
    groups = _shapes.integer(op, "groups", groups, 1)
    if weight.ndim < least or 0 in weight.shape:
        raise ValueError(
            f"{op}: weight must have two axes of channels and those of the kernel, none empty, "
            f"got shape {weight.shape}"
        )
    if weight.shape[0] % groups:
        raise ValueError(
            f"{op}: groups must divide axis 0 of the weight, got groups={groups} for shape "
            f"{weight.shape}"
        )
    return weight, weight.shape[2:], groups


def batch(op, name, array, channels, ndim):
    """`array` as (N, C, *size), and whether it came so."""
    array = np.asarray(array)
    batched = array.ndim == ndim + 2
    if not batched and array.ndim != ndim + 1:
        raise ValueError(
            f"{op}: {name} must be (N, C, *size) or (C, *size) with {ndim} spatial axes, got "
            f"shape {array.shape}"
        )
    array = array if batched else array[np.newaxis]
    if array.shape[1] != channels:
        raise ValueError(f"{op}: {name} must have {channels} channels, got shape {array.shape}")
    return array, batched


def check_size(op, name, size, want):
    if tuple(size) != tuple(want):
        raise ValueError(
            f"{op}: {name} must have the {tuple(want)} cells that the convolution gives, "
            f"got {tuple(size)}"
        )
