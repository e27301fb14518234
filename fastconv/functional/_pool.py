"""What the pools do, for any number of spatial axes: check, lay out windows, call one kernel."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastconv import _kernels, _shapes, _threads
from fastconv.functional import _arrays
from fastconv.functional._geometry import REMEMBERED, of_axis

INT64, UINT8 = np.dtype(np.int64), np.dtype(np.uint8)
# Positions and spans stay below this, so that the kernels' sums of a few of them fit 64 bits.
FAR = 2**61
# Within a window and from it to its neighbours, a float32 kernel counts cells in 32 bits.
WIDEST_SPAN = 2**31 - 1
# Columns that a mean adds up at once: a row of scratch stays in the first-level cache.
SCRATCH_COLUMNS = 4096
# Of a window whose places are bytes; and of its width where cells are less than a vector.
MAX_TAPS = 256
MAX_COLUMNS = 8
# Of a float32 vector of any build.
MOST_LANES = 16


def max_pool(
    op, ndim, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, num_threads
):
    x, batched = _arrays.as_batch(op, "input", _arrays.as_array(op, "input", input), ndim)
    sizes = _sizes(op, x.shape)
    out, kernel, stride, pad, dilation = _geometry(
        op, sizes, kernel_size, stride, padding, dilation, ceil_mode
    )
    span = 0
    for size, k, d in zip(sizes, kernel, dilation, strict=True):
        span = span * size + min((k - 1) * d, size - 1)
    if x.dtype == np.float32 and span + sizes[-1] > WIDEST_SPAN:
        raise OverflowError(
            f"{op}: a window and a row must span at most 2**31 float32 cells, "
            f"got {span + sizes[-1]}"
        )
    y = _arrays.empty(op, x.shape[:2] + out, x.dtype, x)
    indices = _arrays.empty(op, y.shape, INT64, x) if return_indices else None
    work = y.size * math.prod(map(min, kernel, sizes))
    work += _threads.ELEMENT_WORK * (x.size + y.size)
    threads = _threads.effective(op, num_threads, work)
    if y.size:
        _kernels.pool[x.dtype.char].max_pool(
            _arrays.expand_space(x),
            _arrays.expand_space(y),
            _arrays.expand_space(indices) if return_indices else None,
            three(kernel, 1),
            three(stride, 1),
            three(pad, 0),
            three(dilation, 1),
            threads,
        )
    if not batched:
        y, indices = y[0], indices[0] if return_indices else None
    return (y, indices) if return_indices else y


def max_pool_backward(op, ndim, grad_output, indices, input_shape, num_threads):
    g, batched, shape = _gradient(op, ndim, grad_output, input_shape)
    indices = _arrays.as_numpy(op, "indices", indices)
    if indices.dtype.newbyteorder("=") != INT64:
        raise TypeError(f"{op}: indices must be int64, got {indices.dtype}")
    indices = np.require(indices, INT64, "A")
    if indices.shape != np.shape(grad_output):
        raise ValueError(
            f"{op}: indices must have the shape of grad_output {np.shape(grad_output)}, "
            f"got {indices.shape}"
        )
    indices = indices if batched else indices[np.newaxis]
    gx = _arrays.empty(op, shape, g.dtype, g)
    threads = _threads.effective(op, num_threads, _threads.ELEMENT_WORK * gx.size)
    if not g.size:
        gx[...] = 0
    elif _kernels.pool[g.dtype.char].max_pool_backward(
        _arrays.expand_space(g),
        _arrays.expand_space(indices),
        gx.reshape(*shape[:2], math.prod(shape[2:])),
        threads,
    ):
        raise ValueError(
            f"{op}: indices must lie in 0..{math.prod(shape[2:]) - 1}, the flat plane of "
            f"input_shape={tuple(input_shape)}, or be -1; got {indices.min()} to {indices.max()}"
        )
    return gx if batched else gx[0]


def lines(x, channels_last):
    """(N, C, *space) as (N, D, H, W, C), or its planes as (N * C, D, H, W, 1); a view."""
    x = _arrays.expand_space(x)
    return _arrays.channels_to_end(x) if channels_last else x.reshape(-1, *x.shape[2:], 1)


class Tiles(NamedTuple):
    """A pool whose windows tile an input."""

    shape: tuple
    dtype: np.dtype
    kernel: tuple
    channels_last: bool
    out_shape: tuple

    def lines(self, x):
        return lines(x, self.channels_last)

    def empty(self, op, shape, dtype):
        """A new array of `shape` in the memory order of the input."""
        return _arrays.empty_in_order(op, shape, dtype, self.channels_last)


def tiles(x, kernel_size, stride, padding, dilation, ceil_mode):
    """The `Tiles` of an input packed in either order that windows tile; None for any other."""
    if not isinstance(x, np.ndarray) or x.dtype not in _arrays.FLOATS or not x.flags.aligned:
        return None
    channels_last = _arrays.is_channels_last(x)
    if not x.size or not (channels_last or x.flags.c_contiguous):
        return None
    window = tiling(x.ndim - 2, kernel_size, stride, padding, dilation, ceil_mode)
    return None if window is None else tiles_of(x.shape, x.dtype, channels_last, window)


def tiling(ndim, kernel_size, stride, padding, dilation, ceil_mode):
    """The sizes of windows that tile any input which is not smaller; None for any other."""
    if padding != 0 or dilation != 1 or ceil_mode:
        return None
    if type(kernel_size) is int and (stride is None or stride == kernel_size):
        return (kernel_size,) * ndim if kernel_size**ndim <= MAX_TAPS else None
    per_axis = [
        each if isinstance(each, (list, tuple)) else (each,) * ndim
        for each in (kernel_size, kernel_size if stride is None else stride)
    ]
    kernel, stride = map(tuple, per_axis)
    known = kernel == stride and all(isinstance(k, int) for k in kernel)
    return kernel if known and len(kernel) == ndim and math.prod(kernel) <= MAX_TAPS else None


def tiles_of(shape, dtype, channels_last, kernel):
    """The `Tiles` of an input that may be yet to be, and of what `tiling` gave; or None."""
    batch, channels, *space = shape
    if not all(1 <= k <= n for k, n in zip(kernel, space, strict=True)):
        return None
    if kernel[-1] > MAX_COLUMNS and not (channels_last and channels >= MOST_LANES):
        return None
    out = (n // k for k, n in zip(kernel, space, strict=True))
    return Tiles(shape, dtype, kernel, channels_last, (batch, channels, *out))


def max_tiles(op, x, tiles, placed, num_threads=None):
    """The maximum of each window, and if `placed` what `max_tiles_backward` wants of it."""
    y = tiles.empty(op, tiles.out_shape, x.dtype)
    codes = tiles.empty(op, tiles.out_shape, UINT8) if placed else None
    _kernels.pool[x.dtype.char].max_tiles(
        tiles.lines(x), tiles.lines(y), tiles.lines(codes) if placed else None,
        three(tiles.kernel, 1),
        _threads.effective(op, num_threads, _threads.ELEMENT_WORK * x.size),
    )  # fmt: skip
    return y, codes


def max_tiles_backward(op, grad_output, codes, tiles, num_threads=None):
    g = _arrays.as_array(op, "grad_output", grad_output, tiles.dtype)
    if g.shape != codes.shape:
        raise ValueError(f"{op}: grad_output must have shape {codes.shape}, got {g.shape}")
    gx = tiles.empty(op, tiles.shape, g.dtype)
    _kernels.pool[g.dtype.char].max_tiles_backward(
        np.ascontiguousarray(tiles.lines(g)), tiles.lines(codes), tiles.lines(gx),
        three(tiles.kernel, 1),
        _threads.effective(op, num_threads, _threads.ELEMENT_WORK * gx.size),
    )  # fmt: skip
    return gx


def avg_pool(
    op, ndim, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override,
    num_threads,
):  # fmt: skip
    x, batched = _arrays.as_batch(op, "input", _arrays.as_array(op, "input", input), ndim)
    windows = _regular_windows(
        op, _sizes(op, x.shape), kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override,
    )  # fmt: skip
    y = _mean(op, x, windows, num_threads)
    return y if batched else y[0]


def avg_pool_backward(
    op, ndim, grad_output, input_shape, kernel_size, stride, padding, ceil_mode, count_include_pad,
    divisor_override, num_threads,
):  # fmt: skip
    g, batched, shape = _gradient(op, ndim, grad_output, input_shape)
    windows = _regular_windows(
        op, shape[2:], kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    out = tuple(table.shape[1] for table in windows)
    if g.shape[2:] != out:
        raise ValueError(
            f"{op}: grad_output must have spatial sizes {out} for an input of shape "
            f"{tuple(input_shape)}, got shape {np.shape(grad_output)}"
        )
    gx = _mean_backward(op, g, shape, windows, num_threads)
    return gx if batched else gx[0]


def adaptive_avg_pool(op, ndim, input, output_size, num_threads):
    x, batched = _arrays.as_batch(op, "input", _arrays.as_array(op, "input", input), ndim)
    sizes = _sizes(op, x.shape)
    if not isinstance(output_size, (list, tuple)):
        output_size = (output_size,) * ndim
    if len(output_size) != ndim:
        raise ValueError(
            f"{op}: output_size must be an integer or {ndim} of them, got {output_size!r}"
        )
    out = tuple(
        size if each is None else _shapes.integer(op, "output_size", each, 0)
        for size, each in zip(sizes, output_size, strict=True)
    )
    _shapes.check_size(op, x.shape[:2] + out, x.itemsize)
    y = _mean(op, x, _even(sizes, out), num_threads)
    return y if batched else y[0]


def adaptive_avg_pool_backward(op, ndim, grad_output, input_shape, num_threads):
    g, batched, shape = _gradient(op, ndim, grad_output, input_shape)
    gx = _mean_backward(op, g, shape, _even(shape[2:], g.shape[2:]), num_threads)
    return gx if batched else gx[0]


def _sizes(op, shape):
    """The spatial sizes of a (N, C, *space) shape in which only N may be zero."""
    if 0 in shape[1:]:
        raise ValueError(f"{op}: only the batch of the input may be of size 0, got shape {shape}")
    return shape[2:]


def _gradient(op, ndim, grad_output, input_shape):
    """grad_output as (N, C, *space), whether it had a batch, and input_shape with one."""
    g = _arrays.as_array(op, "grad_output", grad_output)
    g, batched = _arrays.as_batch(op, "grad_output", g, ndim)
    if not isinstance(input_shape, (list, tuple)):
        raise TypeError(f"{op}: input_shape must be a tuple of integers, got {input_shape!r}")
    shape = tuple(_shapes.integer(op, "input_shape", size, 0) for size in input_shape)
    lead = g.shape[:2] if batched else g.shape[1:2]
    if len(shape) != len(lead) + ndim or shape[: len(lead)] != lead:
        raise ValueError(
            f"{op}: input_shape must be {lead} and {ndim} spatial sizes, as grad_output of shape "
            f"{np.shape(grad_output)} has them, got {shape}"
        )
    shape = shape if batched else (1, *shape)
    _sizes(op, shape)
    return g, batched, shape


def _geometry(op, sizes, kernel_size, stride, padding, dilation, ceil_mode):
    """(output sizes, kernel, stride, padding, dilation), each one int per axis, checked."""
    ndim = len(sizes)
    kernel = _shapes.per_axis(op, "kernel_size", kernel_size, ndim, 1)
    stride = kernel if stride is None else _shapes.per_axis(op, "stride", stride, ndim, 1)
    pad = _shapes.per_axis(op, "padding", padding, ndim, 0)
    dilation = _shapes.per_axis(op, "dilation", dilation, ndim, 1)
    out = []
    for size, k, s, p, d in zip(sizes, kernel, stride, pad, dilation, strict=True):
        span = _shapes.dilated(k, d)
        if p > span // 2:
            raise ValueError(
                f"{op}: padding must be at most half of what the kernel spans, got padding={p} for "
                f"kernel_size={k} and dilation={d}"
            )
        if max(size + 2 * p, span, s) > FAR:
            raise OverflowError(
                f"{op}: kernel_size={k}, stride={s}, padding={p}, dilation={d} are too large for "
                "64-bit positions"
            )
        out.append(_shapes.pool_out_size(size, k, s, (p, p), d, ceil_mode))
    if min(out) < 1:
        raise ValueError(
            f"{op}: the input is too small for a window: spatial sizes {sizes}, kernel_size="
            f"{kernel}, padding={pad}, dilation={dilation} give an output of {tuple(out)}"
        )
    return tuple(out), kernel, stride, pad, dilation


def _regular_windows(
    op, sizes, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    """One int64 table per axis, rows (first cell, end, divisor): the windows of avg_pool.

    The mean divides by the product of the axes' divisors.
    """
    out, kernel, stride, pad, _ = _geometry(op, sizes, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None:
        divisor_override = _shapes.integer(op, "divisor_override", divisor_override, -FAR)
        if divisor_override == 0:
            raise ValueError(f"{op}: divisor_override must not be zero")
    divisors = (0 if count_include_pad else None,) * len(sizes)
    if divisor_override is not None:
        divisors = (divisor_override,) + (1,) * (len(sizes) - 1)
    axes = zip(sizes, out, kernel, stride, pad, divisors, strict=True)
    return [of_axis(_windows, axis[1], *axis) for axis in axes]


@lru_cache(REMEMBERED)
def _windows(size, count, k, s, p, divisor):
    """`count` windows of k cells; divisor: that of all, 0: their cells, None: those inside."""
    first = np.arange(count, dtype=INT64) * s - p
    end = np.minimum(first + k, size + p)
    inside = np.maximum(first, 0), np.minimum(end, size)
    if divisor is None:
        divisor = inside[1] - inside[0]
    elif divisor == 0:
        divisor = end - first
    return _read_only(*inside, divisor)


def _even(sizes, counts):
    """The tables of an adaptive pool."""
    pairs = zip(sizes, counts, strict=True)
    return [of_axis(_even_windows, count, size, count) for size, count in pairs]


@lru_cache(REMEMBERED)
def _even_windows(size, count):
    """Window k is floor(k i / o) up to ceil((k + 1) i / o)."""
    k = np.arange(count, dtype=INT64)
    first, end = k * size // count, -((k + 1) * -size // count)
    return _read_only(first, end, end - first)


def _read_only(*rows):
    table = np.stack(np.broadcast_arrays(*rows))
    table.flags.writeable = False
    return table


def three(axes, missing):
    """One value for each of the kernel's three spatial axes."""
    return (missing,) * (3 - len(axes)) + tuple(axes)


def _tables(windows):
    return three(windows, np.array([[0], [1], [1]], INT64))


def _scratch(x_shape, windows, dtype, threads):
    widest = int((windows[-1][1] - windows[-1][0]).max())
    return np.empty((threads, max(x_shape[1], widest, min(x_shape[-1], SCRATCH_COLUMNS))), dtype)


def _mean(op, x, windows, num_threads):
    y = _arrays.empty(op, x.shape[:2] + tuple(t.shape[1] for t in windows), x.dtype, x)
    threads = _threads.effective(op, num_threads, _threads.ELEMENT_WORK * (x.size + y.size))
    if y.size:
        _kernels.pool[x.dtype.char].avg_pool(
            _arrays.expand_space(x),
            _arrays.expand_space(y),
            *_tables(windows),
            _scratch(x.shape, windows, x.dtype, threads),
            threads,
        )
    return y


def _mean_backward(op, g, shape, windows, num_threads):
    gx = _arrays.empty(op, shape, g.dtype, g)
    threads = _threads.effective(op, num_threads, _threads.ELEMENT_WORK * (g.size + gx.size))
    if g.size:
        _kernels.pool[g.dtype.char].avg_pool_backward(
            _arrays.expand_space(g),
            _arrays.expand_space(gx),
            *_tables(windows),
            _scratch(shape, windows, g.dtype, threads),
            threads,
        )
    else:
        gx[...] = 0
    return gx
