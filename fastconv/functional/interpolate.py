"""Resizing by neighbours: nearest, and linear along one to three spatial axes.

Each axis by itself is a table: output cell o is (1 - f) of input cell `low` and f of the next one.
With in and out cells, o lies in the input at

    o (in - 1) / (out - 1)              align_corners: the centres of the outer cells coincide
    (o + 1/2) in / out - 1/2            otherwise, their outer edges; at least 0

and "nearest" takes the cell floor(o in / out), "nearest-exact" floor((o + 1/2) in / out).  Where a
`scale_factor` was given, 1 / scale_factor stands for in / out, as in PyTorch; the linear modes copy
an axis that keeps its size.
"""

import math
import operator
from numbers import Real
from typing import NamedTuple

import numpy as np

from fastconv import _shapes
from fastconv.functional import _arrays

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
    # The last axis first: there cells are moved one by one, so it had better be short yet.
    return _each_axis(_resample, op, x, axes[::-1])


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
    expected = input_shape[:2] + tuple(len(table.low) for _, table in axes)
    if g.shape != expected:
        raise ValueError(
            f"{op}: grad_output must have the shape {expected} of the output, got {g.shape}"
        )
    return _each_axis(_gather, op, g, axes)


class _Table(NamedTuple):
    """One axis: output cell o = (1 - fraction[o]) input[low[o]] + fraction[o] input[low[o] + 1]."""

    size: int  # of the input
    low: np.ndarray
    fraction: np.ndarray | None  # None: all 0


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
    """(axis, table) for every spatial axis."""
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
    try:
        tables = [
            _table(mode, n, out, scale, align_corners)
            for n, out, scale in zip(space, sizes, scales, strict=True)
        ]
    except (MemoryError, ValueError) as error:  # ValueError: beyond what NumPy addresses
        raise MemoryError(f"{op}: no memory for sizes {sizes}: {error}") from None
    return list(enumerate(tables, 2))


def _table(mode, size, out, scale, align_corners):
    cells = np.arange(out)
    if mode in NEAREST:
        twice_half = mode == "nearest-exact"
        if scale is None:  # in integers, so that no rounding moves a cell
            low = (2 * cells + twice_half) * size // (2 * out)
        else:
            low = np.floor((cells + twice_half / 2) / scale).astype(np.intp)
        return _Table(size, np.minimum(low, size - 1), None)
    if out == size:
        position = cells.astype(float)
    elif align_corners:
        position = cells * ((size - 1) / (out - 1) if out > 1 else 0.0)
    else:
        step = size / out if scale is None else 1 / scale
        position = np.maximum((cells + 0.5) * step - 0.5, 0)
    low = np.minimum(position.astype(np.intp), size - 1)
    return _Table(size, low, np.where(low < size - 1, position - low, 0.0))


def _each_axis(function, op, x, axes):
    """Applied for one axis after the other; channels that lie last are moved as a whole."""
    last = _arrays.is_channels_last(x)
    if last:
        x = np.moveaxis(x, 1, -1)
    for axis, table in axes:
        x = function(op, x, axis - last, table)
    return np.moveaxis(x, -1, 1) if last else x


def _resample(op, x, axis, table):
    y = _take(op, x, axis, table.low)
    if table.fraction is None:
        return y
    y *= _weights(1 - table.fraction, x, axis)
    # Only where the next cell counts: 0 times infinity would be NaN.
    mixed = np.flatnonzero(table.fraction)
    nexts = _take(op, x, axis, table.low[mixed] + 1)
    nexts *= _weights(table.fraction[mixed], x, axis)
    y[_at(axis, mixed)] += nexts
    return y


def _gather(op, g, axis, table):
    """The transpose of `_resample`."""
    if table.fraction is None:
        return _sum_by_cell(op, g, axis, table.low, table.size)
    y = _sum_by_cell(op, g * _weights(1 - table.fraction, g, axis), axis, table.low, table.size)
    mixed = np.flatnonzero(table.fraction)
    nexts = g[_at(axis, mixed)] * _weights(table.fraction[mixed], g, axis)
    y += _sum_by_cell(op, nexts, axis, table.low[mixed] + 1, table.size)
    return y


def _at(axis, cells):
    """The index of ascending `cells` of an axis: a slice, and so a view, where there is no gap."""
    if len(cells) and cells[-1] - cells[0] == len(cells) - 1:
        cells = slice(cells[0], cells[-1] + 1)
    return (slice(None),) * axis + (cells,)


def _take(op, x, axis, cells):
    shape = (*x.shape[:axis], len(cells), *x.shape[axis + 1 :])
    y = _arrays.empty(op, shape, x.dtype, x)
    np.take(x, cells, axis, out=y, mode="clip")  # in range anyway; "raise" would make a copy
    return y


def _sum_by_cell(op, g, axis, cells, size):
    """Adds up the slices of g that belong to one cell; `cells` ascend."""
    shape = (*g.shape[:axis], size, *g.shape[axis + 1 :])
    y = _arrays.empty(op, shape, g.dtype, g)
    y[...] = 0
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    counts = np.diff(starts, append=len(cells))
    for nth in range(counts.max(initial=0)):
        starts = starts[counts > nth]
        counts = counts[counts > nth]
        y[_at(axis, cells[starts])] += _take(op, g, axis, starts + nth)
    return y


def _weights(values, x, axis):
    return values.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))
