"""A transposed convolution as sub-pixel convolution: more channels, then a periodic shuffle."""

import math

import numpy as np

from fastconv import _shapes
from fastconv.theory._setting import filters


def subpixel_weights(weight, stride, groups=1):
    """The filters of a convolution to s**d times the channels that, shuffled, deconvolves.

    With k' = ceil(kernel_size / stride) and size (i - 1) * stride + kernel_size per axis:

        pixel_shuffle(conv(x, subpixel_weights(w, s), padding=k' - 1), s), cut to that size
        == conv_transpose(x, w, stride=s)

    and padding p of the transposed convolution cuts p cells more at either end.

    Parameters
    ----------
    weight : (I, O/groups, *kernel_size) of a transposed convolution
    stride : int, or one for each spatial axis

    Returns
    -------
    (O * prod(stride), I/groups, *k'): the filter of channel o and phase r is number
    o * prod(stride) + r, where `fastconv.pixel_shuffle` expects it.  A kernel_size that
    stride does not divide counts as one with zeros behind.

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Shi et al. (2016), "Is the deconvolution layer the same as a convolutional layer?".  The filters
    are those of `phase_filters`, with the same border for all of them.
    """
    op = "subpixel_weights"
    weight, kernel, groups = filters(op, weight, groups)
    ndim = len(kernel)
    stride = _shapes.per_axis(op, "stride", stride, ndim, 1)
    small = [-(-k // s) for k, s in zip(kernel, stride, strict=True)]
    full = np.zeros(
        (*weight.shape[:2], *(k * s for k, s in zip(small, stride, strict=True))), weight.dtype
    )
    full[(..., *map(slice, kernel))] = weight
    # (group, I, O, k1, s1, k2, s2, ...) to (group, O, s1, s2, ..., I, k1, k2, ...)
    split = [n for pair in zip(small, stride, strict=True) for n in pair]
    full = full.reshape(groups, -1, weight.shape[1], *split)
    taps, phases = range(3, 3 + 2 * ndim, 2), range(4, 4 + 2 * ndim, 2)
    moved = np.flip(full, tuple(taps)).transpose(0, 2, *phases, 1, *taps)
    return moved.reshape(weight.shape[1] * groups * math.prod(stride), -1, *small)


def transposed_weights(subpixel, stride, groups=1, kernel_size=None):
    """The way back: the weight of the transposed convolution that a sub-pixel convolution is.

    Parameters
    ----------
    subpixel : (O * prod(stride), I/groups, *k')
    stride : int, or one for each spatial axis
    kernel_size : of the result, at most k' * stride, which it is by default

    Returns
    -------
    (I, O/groups, *kernel_size); `transposed_weights(subpixel_weights(w, s), s)` is w, behind which
    lie zeros where stride does not divide its size

    Raises
    ------
    ValueError, TypeError : stride and groups do not divide the channels; other misfits

    Notes
    -----
    Shi et al. (2016): every sub-pixel convolution is a transposed one and the reverse.
    """
    op = "transposed_weights"
    subpixel, small, groups = filters(op, subpixel, groups)
    ndim = len(small)
    stride = _shapes.per_axis(op, "stride", stride, ndim, 1)
    channels, per_group = subpixel.shape[:2]
    if channels % (groups * math.prod(stride)):
        raise ValueError(
            f"{op}: {channels} channels must be a multiple of groups times the product of stride, "
            f"got groups={groups} and stride {stride}"
        )
    largest = tuple(k * s for k, s in zip(small, stride, strict=True))
    kernel = largest
    if kernel_size is not None:
        kernel = _shapes.per_axis(op, "kernel_size", kernel_size, ndim, 1)
    if any(k > most for k, most in zip(kernel, largest, strict=True)):
        raise ValueError(f"{op}: kernel_size must be at most {largest}, got {kernel}")
    out = channels // groups // math.prod(stride)
    moved = subpixel.reshape(groups, out, *stride, per_group, *small)
    # (group, O, s1, s2, ..., I, k1, k2, ...) to (group, I, O, k1, s1, k2, s2, ...)
    taps = range(3 + ndim, 3 + 2 * ndim)
    pairs = [axis for pair in zip(taps, range(2, 2 + ndim), strict=True) for axis in pair]
    full = np.flip(moved, tuple(taps)).transpose(0, 2 + ndim, 1, *pairs)
    full = full.reshape(groups * per_group, out, *largest)
    return full[(..., *map(slice, kernel))].copy()
