"""Functions that move values: pixel shuffle, and sliding windows as columns."""

import math
import operator
from functools import lru_cache

import numpy as np

from fastconv import _kernels, _shapes
from fastconv.functional import _arrays, _geometry, _order, _passes

__all__ = [
    "channels_last",
    "fold",
    "fold_backward",
    "pixel_shuffle",
    "pixel_shuffle_backward",
    "pixel_unshuffle",
    "pixel_unshuffle_backward",
    "unfold",
    "unfold_backward",
]


def channels_last(input):
    """(N, C, *space) with its channels as the fastest axis in memory, a view if they are.

    All layers keep the order of what they are given, so a network runs in that of its first input.
    With a single channel nothing moves.  TypeError for a dtype other than float32 and float64.
    """
    x = _arrays.as_array("channels_last", "input", input)
    if x.ndim < 3:
        raise ValueError(f"channels_last: input must be (N, C, *space), got shape {x.shape}")
    return _order.to_channels_last("channels_last", x)


def pixel_shuffle(input, upscale_factor):
    """(*, C r^2, H, W) to (*, C, H r, W r): channels become pixels.

    upscale_factor: an int r for two spatial axes, as in PyTorch, or a tuple with one int for each
    of one to three spatial axes: (*, C r, L) to (*, C, L r) for (r,).

    Shi et al. 2016, "Real-time single image and video super-resolution ...", section 3.2.  Raises
    ValueError when the product of the factors does not divide the channels.
    """
    return _shuffle("pixel_shuffle", input, upscale_factor)


def pixel_shuffle_backward(grad_output, upscale_factor):
    """Gradient of `pixel_shuffle`, which is `pixel_unshuffle`."""
    return _unshuffle("pixel_shuffle_backward", grad_output, upscale_factor)


def pixel_unshuffle(input, downscale_factor):
    """(*, C, H r, W r) to (*, C r^2, H, W): the inverse of `pixel_shuffle`.

    Raises ValueError when the factors do not divide the spatial sizes.
    """
    return _unshuffle("pixel_unshuffle", input, downscale_factor)


def pixel_unshuffle_backward(grad_output, downscale_factor):
    """Gradient of `pixel_unshuffle`, which is `pixel_shuffle`."""
    return _shuffle("pixel_unshuffle_backward", grad_output, downscale_factor)


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of (N, C, H, W) as the columns of (N, C kh kw, L); zeros in the padding.

    Known as im2col.  Each argument after the input: an int or one per axis.  Raises ValueError when
    no window fits.
    """
    op = "unfold"
    x, batched = _arrays.as_batch(op, "input", _arrays.as_array(op, "input", input), 2)
    columns = _unfold(x, _Windows(op, x.shape[2:], kernel_size, dilation, padding, stride))
    return columns if batched else columns[0]


def unfold_backward(grad_output, input_shape, kernel_size, dilation=1, padding=0, stride=1):
    """Gradient of `unfold` by its input, of shape `input_shape`: a `fold`."""
    op = "unfold_backward"
    if not isinstance(input_shape, (list, tuple)) or len(input_shape) not in (3, 4):
        raise ValueError(
            f"{op}: input_shape must be (N, C, H, W) or (C, H, W), got {input_shape!r}"
        )
    grad = _fold(op, grad_output, input_shape[-2:], kernel_size, dilation, padding, stride)
    if grad.shape != tuple(input_shape):
        raise ValueError(
            f"{op}: grad_output of shape {np.shape(grad_output)} belongs to an input of shape "
            f"{grad.shape}, got input_shape={tuple(input_shape)}"
        )
    return grad


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Adds the columns of (N, C kh kw, L) up as windows of (N, C, *output_size).

    Known as col2im: the transpose of `unfold`, not its inverse.  Raises ValueError when L is not
    the number of windows or kh kw does not divide the columns' length.
    """
    return _fold("fold", input, output_size, kernel_size, dilation, padding, stride)


def fold_backward(grad_output, kernel_size, dilation=1, padding=0, stride=1):
    """Gradient of `fold` by its input: an `unfold`."""
    op = "fold_backward"
    g = _arrays.as_array(op, "grad_output", grad_output)
    g, batched = _arrays.as_batch(op, "grad_output", g, 2)
    columns = _unfold(g, _Windows(op, g.shape[2:], kernel_size, dilation, padding, stride))
    return columns if batched else columns[0]


def _factors(op, x, factor):
    """One factor per shuffled axis, and the axes before the channels' one."""
    if not isinstance(factor, (list, tuple)):
        factor = (factor, factor)
    factor = tuple(_shapes.integer(op, "factor", each, 1) for each in factor)
    if not 1 <= len(factor) <= 3 or x.ndim < len(factor) + 1:
        raise ValueError(
            f"{op}: one to three factors, and as many spatial axes after the channels, are needed, "
            f"got factors {factor} and shape {x.shape}"
        )
    return factor, x.ndim - len(factor) - 1


def _shuffle(op, array, factor):
    x = _arrays.as_array(op, "input", array)
    factor, lead = _factors(op, x, factor)
    if x.shape[lead] % math.prod(factor):
        raise ValueError(
            f"{op}: the channels must be a multiple of {math.prod(factor)}, got shape {x.shape}"
        )
    channels = x.shape[lead] // math.prod(factor)
    larger = map(operator.mul, x.shape[lead + 1 :], factor)
    return _move_pixels(op, x, (*x.shape[:lead], channels, *larger), factor, to_pixels=True)


def _unshuffle(op, array, factor):
    x = _arrays.as_array(op, "input", array)
    factor, lead = _factors(op, x, factor)
    if any(size % each for size, each in zip(x.shape[lead + 1 :], factor, strict=True)):
        raise ValueError(
            f"{op}: the spatial sizes must be multiples of the factors {factor}, "
            f"got shape {x.shape}"
        )
    channels = x.shape[lead] * math.prod(factor)
    space = map(operator.floordiv, x.shape[lead + 1 :], factor)
    return _move_pixels(op, x, (*x.shape[:lead], channels, *space), factor, to_pixels=False)


def _move_pixels(op, x, shape, factor, to_pixels):
    """Between (*, C rd rh rw, D, H, W) and (*, C, D rd, H rh, W rw), to these if `to_pixels`."""
    last = x.ndim == len(factor) + 2 and _arrays.is_channels_last(x)
    y = _arrays.empty_in_order(op, shape, x.dtype, last)
    if not y.size:
        return y
    source, target = map(_arrays.channels_to_end, (x, y)) if last else (x, y)
    # Lines of cells that take turns are those of pixels; and of channels where these are last.
    pack = to_pixels != last
    _kernels.resample[x.dtype.char].shuffle(
        np.ascontiguousarray(source).reshape(-1), target.reshape(-1),
        *_lines(x.shape if to_pixels else shape, factor, last, pack), pack,
        _passes.threads_for(op, None, x),
    )  # fmt: skip
    return y


@lru_cache(_geometry.REMEMBERED)
def _lines(shape, factor, last, pack):
    """What the kernel wants of (*, C rd rh rw, D, H, W): sizes and steps of the lines, their rows
    and the length of these.

    The lines are in the order of the target, as far as that is one.
    """
    lead = len(shape) - len(factor) - 1
    outer, c = math.prod(shape[:lead]), shape[lead] // math.prod(factor)
    d, h, w = (1,) * (3 - len(factor)) + shape[lead + 1 :]
    rd, rh, rw = factor = (1,) * (3 - len(factor)) + factor
    row = w * rw * (c if last else 1)  # of the pixels
    image = d * rd * h * rh * row
    if last:
        pixel = c * rd * rh * rw
        sizes = outer, d, h, w, 1
        packed = d * h * w * pixel, h * w * pixel, w * pixel, pixel, 0
        spread = image, rd * h * rh * row, rh * row, rw * c, 0
        rows = np.indices(factor, np.int64).reshape(3, -1).T @ (h * rh * row, row, c)
        return sizes, packed, spread, rows, c
    plane = d * h * w
    sizes = outer * c, d, rd, h, rh
    packed = image, rd * h * rh * row, h * rh * row, rh * row, row
    spread = rd * rh * rw * plane, h * w, rh * rw * plane, w, rw * plane
    if not pack:  # then channels are the target, plane after plane
        order = 0, 2, 4, 1, 3
        sizes, packed, spread = ([each[i] for i in order] for each in (sizes, packed, spread))
    return sizes, packed, spread, np.arange(rw, dtype=np.int64) * plane, w


class _Windows:
    """The checked sizes of sliding windows over two spatial axes."""

    def __init__(self, op, sizes, kernel_size, dilation, padding, stride):
        self.op = op
        self.kernel = _shapes.per_axis(op, "kernel_size", kernel_size, 2, 1)
        self.dilation = _shapes.per_axis(op, "dilation", dilation, 2, 1)
        self.pad = _shapes.per_axis(op, "padding", padding, 2, 0)
        self.stride = _shapes.per_axis(op, "stride", stride, 2, 1)
        self.sizes = sizes
        self.out = tuple(
            _shapes.conv_out_size(size, k, s, (p, p), d)
            for size, k, s, p, d in zip(
                sizes, self.kernel, self.stride, self.pad, self.dilation, strict=True
            )
        )
        if min(self.out) < 1:
            raise ValueError(
                f"{op}: no window fits: spatial sizes {tuple(sizes)} with kernel_size="
                f"{self.kernel}, padding={self.pad}, dilation={self.dilation} give {self.out}"
            )

    def padded(self, shape, dtype):
        """Zeros for (N, C, H, W) and its padding, and the view inside of the padding."""
        outer = (*shape[:2], *(n + 2 * p for n, p in zip(self.sizes, self.pad, strict=True)))
        _shapes.check_size(self.op, outer, dtype.itemsize)
        zeros = np.zeros(outer, dtype)
        inner = (slice(p, p + n) for n, p in zip(self.sizes, self.pad, strict=True))
        return zeros, zeros[(..., *inner)]

    def taps(self, padded):
        """(tap, view of the cells that it meets in all windows), for each tap of the kernel."""
        for tap in np.ndindex(*self.kernel):
            cells = (
                slice(t * d, t * d + (o - 1) * s + 1, s)
                for t, d, o, s in zip(tap, self.dilation, self.out, self.stride, strict=True)
            )
            yield tap, padded[(..., *cells)]


def _unfold(x, windows):
    shape = (*x.shape[:2], *windows.kernel, *windows.out)
    _shapes.check_size(windows.op, shape, x.itemsize)
    padded, inner = windows.padded(x.shape, x.dtype)
    inner[...] = x
    columns = np.empty(shape, x.dtype)
    for tap, cells in windows.taps(padded):
        columns[:, :, *tap] = cells
    n, c = x.shape[:2]
    return columns.reshape(n, c * math.prod(windows.kernel), math.prod(windows.out))


def _fold(op, array, output_size, kernel_size, dilation, padding, stride):
    columns, batched = _arrays.as_batch(op, "input", _arrays.as_array(op, "input", array), 1)
    sizes = _shapes.per_axis(op, "output_size", output_size, 2, 1)
    windows = _Windows(op, sizes, kernel_size, dilation, padding, stride)
    n, length, count = columns.shape
    channels, rest = divmod(length, math.prod(windows.kernel))
    if rest or count != math.prod(windows.out):
        raise ValueError(
            f"{op}: columns of (N, C * {math.prod(windows.kernel)}, {math.prod(windows.out)}) are "
            f"needed for {windows.out} windows, got shape {columns.shape}"
        )
    columns = columns.reshape(n, channels, *windows.kernel, *windows.out)
    padded, inner = windows.padded((n, channels), columns.dtype)
    for tap, cells in windows.taps(padded):
        cells += columns[:, :, *tap]
    result = np.ascontiguousarray(inner)
    return result if batched else result[0]
