"""Resizing by neighbours: nearest, and linear along one to three spatial axes.

Each axis by itself is a table: output cell o is (1 - f) of input cell `low` and f of the next one;
the gradient goes by the transposed table.  With in and out cells, o lies in the input at

    o (in - 1) / (out - 1)              align_corners: the centres of the outer cells coincide
    (o + 1/2) in / out - 1/2            otherwise, their outer edges; at least 0

and "nearest" takes the cell floor(o in / out), "nearest-exact" floor((o + 1/2) in / out).  Where a
`scale_factor` was given, 1 / scale_factor stands for in / out, as in PyTorch; the linear modes copy
an axis that keeps its size.
"""

import math
import operator
from functools import lru_cache
from numbers import Real
from typing import NamedTuple

import numpy as np

from fastconv import _kernels, _shapes, _threads
from fastconv.functional import _arrays, _geometry, _pool

__all__ = ["interpolate", "interpolate_backward"]

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}  # and the spatial axes that each is for
NEAREST = ("nearest", "nearest-exact")


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
):
    """The values of (N, C, *space) on a finer or coarser grid of the same extent.

    Parameters
    ----------
    input : (N, C, L), (N, C, H, W) or (N, C, D, H, W), float32 or float64
    size : the spatial sizes wanted, an int for all axes or one for each; or
    scale_factor : a number above 0 for all axes or one for each; sizes are floor(in scale_factor)
    mode : "nearest", "nearest-exact", or "linear", "bilinear", "trilinear" for one, two and three
        spatial axes
    align_corners : True or False, for the linear modes only; None is False
    recompute_scale_factor : True: as if the sizes had been given, scale_factor only finds them

    Returns
    -------
    (N, C, *sizes) in the memory order of the input; there is no smoothing before a grid coarsens

    Raises
    ------
    ValueError, TypeError : both or neither of size and scale_factor, an empty grid, an unknown mode
        or one for another number of axes, align_corners with a nearest one
    """
    op = "interpolate"
    x = _arrays.as_array(op, "input", input)
    axes = _axes(op, x.shape, size, scale_factor, mode, align_corners, recompute_scale_factor)
    tables = _tables(op, axes, x.dtype, transposed=False)
    return _resample(op, x, tables, copies=mode in NEAREST)


def interpolate_backward(
    grad_output,
    input_shape,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
):
    """Gradient of `interpolate` by its input, of shape `input_shape`: each table's transpose."""
    op = "interpolate_backward"
    g = _arrays.as_array(op, "grad_output", grad_output)
    if not isinstance(input_shape, (list, tuple)):
        raise TypeError(f"{op}: input_shape must be a tuple of integers, got {input_shape!r}")
    input_shape = tuple(_shapes.integer(op, "input_shape", each, 0) for each in input_shape)
    axes = _axes(op, input_shape, size, scale_factor, mode, align_corners, recompute_scale_factor)
    expected = input_shape[:2] + tuple(axis.out for axis in axes)
    if g.shape != expected:
        raise ValueError(
            f"{op}: grad_output must have the shape {expected} of the output, got {g.shape}"
        )
    return _resample(op, g, _tables(op, axes, g.dtype, transposed=True), copies=False)


class _Axis(NamedTuple):
    """What decides over the table of an axis."""

    mode: str
    size: int  # cells of the input
    out: int  # of the output
    scale: float | None  # None: as the sizes have it
    align_corners: bool | None


class _Table(NamedTuple):
    """One axis for the kernel: each target cell is the weighted sum of a run of source cells.

    target[t] = sum of weight[k] source[first[t] + k - start[t]] over start[t] <= k < start[t + 1]
    """

    first: np.ndarray
    start: np.ndarray
    weight: np.ndarray


def check_interpolation(op, size, scale_factor, mode, align_corners, recompute_scale_factor):
    """The errors that can be told before there is an input."""
    if mode not in LINEAR and mode not in NEAREST:
        raise ValueError(
            f"{op}: mode must be one of {', '.join([*NEAREST, *LINEAR])}, got {mode!r}"
        )
    if align_corners is not None and mode in NEAREST:
        raise ValueError(f"{op}: align_corners is for the linear modes, got it with {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"{op}: one of size and scale_factor is needed, got size={size!r} and "
            f"scale_factor={scale_factor!r}"
        )
    if recompute_scale_factor and scale_factor is None:
        raise ValueError(f"{op}: recompute_scale_factor needs a scale_factor, got size={size!r}")
    for cells in _as_tuple(() if size is None else size):
        _shapes.integer(op, "size", cells, 1)
    for scale in _as_tuple(() if scale_factor is None else scale_factor):
        if not isinstance(scale, Real) or isinstance(scale, bool):
            raise TypeError(f"{op}: scale_factor must be a number, got {scale!r}")
        if not 0 < scale < math.inf:
            raise ValueError(f"{op}: scale_factor must be finite and above 0, got {scale!r}")


def _as_tuple(value):
    return value if isinstance(value, (list, tuple)) else (value,)


def _axes(op, shape, size, scale_factor, mode, align_corners, recompute_scale_factor):
    """An `_Axis` for every spatial axis."""
    check_interpolation(op, size, scale_factor, mode, align_corners, recompute_scale_factor)
    space = shape[2:]
    ndim = len(space)
    if ndim not in (1, 2, 3):
        raise ValueError(f"{op}: input must be (N, C, *space) of 1 to 3 axes, got shape {shape}")
    if LINEAR.get(mode, ndim) != ndim:
        raise ValueError(
            f"{op}: mode {mode!r} is for {LINEAR[mode]} spatial axes, got input shape {shape}"
        )
    if min(space) < 1:
        raise ValueError(f"{op}: input must have no empty spatial axis, got shape {shape}")
    if size is not None:
        sizes, scales = _shapes.per_axis(op, "size", size, ndim, 1), (None,) * ndim
    else:
        scales = tuple(map(float, _as_tuple(scale_factor)))
        scales = scales * ndim if len(scales) == 1 else scales
        if len(scales) != ndim:
            raise ValueError(
                f"{op}: scale_factor must be a number or {ndim} of them, one per spatial axis, "
                f"got {scale_factor!r}"
            )
        if max(map(operator.mul, space, scales)) > _shapes.INT64_MAX:
            raise OverflowError(f"{op}: scale_factor {scale_factor!r} is too large for {space}")
        sizes = tuple(math.floor(n * scale) for n, scale in zip(space, scales, strict=True))
        if min(sizes) < 1:
            raise ValueError(
                f"{op}: scale_factor {scale_factor!r} leaves nothing of {space}, sizes would be "
                f"{sizes}"
            )
        if recompute_scale_factor:
            scales = (None,) * ndim
    _shapes.check_size(op, (*shape[:2], *sizes), 8)
    return [
        _Axis(mode, n, out, scale, align_corners)
        for n, out, scale in zip(space, sizes, scales, strict=True)
    ]


def _tables(op, axes, dtype, transposed):
    """The tables of the axes, or those of the gradient."""
    try:
        return [
            _geometry.of_axis(_table, axis.size + axis.out, axis, dtype, transposed)
            for axis in axes
        ]
    except (MemoryError, ValueError) as error:  # ValueError: beyond what NumPy addresses
        sizes = tuple(axis.out for axis in axes)
        raise MemoryError(f"{op}: no memory for sizes {sizes}: {error}") from None


@lru_cache(_geometry.REMEMBERED)
def _table(axis, dtype, transposed):
    low, fraction = _neighbours(*axis)
    start = np.zeros(axis.out + 1, np.int64)
    # The next cell only where it counts: 0 times infinity would be NaN.
    np.cumsum(1 + (fraction > 0), out=start[1:])
    weight = np.empty(start[-1], dtype)
    weight[start[1:] - 1] = fraction
    weight[start[:-1]] = 1 - fraction
    table = _Table(low, start, weight)
    return _transposed(table, axis.size) if transposed else table


def _transposed(table, size):
    """The same weights from target to source, `size` cells; the targets of a source follow on."""
    counts = np.diff(table.start)
    targets = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    sources = np.arange(len(targets)) + np.repeat(table.first - table.start[:-1], counts)
    order = np.argsort(sources, kind="stable")
    start = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(sources, minlength=size), out=start[1:])
    # What no target reads has an empty run where the one of the next source begins.
    first = np.append(targets[order], len(counts))[start[:-1]]
    return _Table(first, start, table.weight[order])


def _neighbours(mode, size, out, scale, align_corners):
    """(low, fraction) of every output cell, which both ascend, the second for equal low."""
    cells = np.arange(out, dtype=np.int64)
    if mode in NEAREST:
        twice_half = mode == "nearest-exact"
        if scale is None:  # in integers, so that no rounding moves a cell
            low = (2 * cells + twice_half) * size // (2 * out)
        else:
            low = np.floor((cells + twice_half / 2) / scale).astype(np.int64)
        return np.minimum(low, size - 1), np.zeros(out)
    if out == size:
        position = cells.astype(float)
    elif align_corners:
        position = cells * ((size - 1) / (out - 1) if out > 1 else 0.0)
    else:
        step = size / out if scale is None else 1 / scale
        position = np.maximum((cells + 0.5) * step - 0.5, 0)
    low = np.minimum(position.astype(np.int64), size - 1)
    return low, np.where(low < size - 1, position - low, 0.0)


# Of the axes that an array lacks.
ONE_CELL = {
    dtype: _table(_Axis("nearest", 1, 1, None, None), dtype, False) for dtype in _arrays.FLOATS
}


def _resample(op, x, tables, copies):
    """The kernel's pass, in the memory order of x; `copies`: every target is one source."""
    last = _arrays.is_channels_last(x)
    shape = x.shape[:2] + tuple(len(table.first) for table in tables)
    y = _arrays.empty_in_order(op, shape, x.dtype, last)
    if not y.size:
        return y
    threads = _threads.effective(op, None, _threads.ELEMENT_WORK * max(x.size, y.size))
    if _kernels.resample[x.dtype.char].resample(
        np.ascontiguousarray(_pool.lines(x, last)), _pool.lines(y, last),
        *_pool.three(tables, ONE_CELL[x.dtype]), copies, threads,
    ):  # fmt: skip
        raise MemoryError(f"{op}: no memory for lines of {x.shape}")
    return y
