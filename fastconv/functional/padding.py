"""Padding by more than zeros, and its transpose, which folds a border back.

Along one axis of the cells a b c d, padded by (2, 3):

    constant    0 0 | a b c d | 0 0 0
    reflect     c b | a b c d | c b a      the border mirrors the inside, the edge is not repeated
    replicate   a a | a b c d | d d d      the edge goes on
    circular    c d | a b c d | a b c      the axis is a ring

Padding is multiplication by a matrix P of zeros and ones: one row for each padded cell, with its
one at the cell that it repeats.  `pad_backward` multiplies by the transpose, so what arrives at a
cell of the border is added to the cell that it came from; a constant came from nowhere.
"""

import math
from numbers import Real

from fastconv import _shapes
from fastconv.functional import _arrays

__all__ = ["pad", "pad_backward"]

MODES = ("constant", "reflect", "replicate", "circular")


def pad(input, pad, mode="constant", value=None):
    """Longer along the last axes of `input`, of any rank.

    Parameters
    ----------
    input : float32 or float64 array
    pad : (low, high) of the last axis, then of the one before it, ..., all in one flat tuple of
        ints of at least 0, as in PyTorch
    mode : "constant", "reflect", "replicate" or "circular"
    value : of the border in mode "constant", 0 by default

    Returns
    -------
    an array of its own memory, of the input's dtype and memory order

    Raises
    ------
    ValueError, TypeError : a wrong form; a border of at least the size of its axis with "reflect",
        longer than it with "circular", around nothing with "replicate"
    """
    op = "pad"
    x = _arrays.as_array(op, "input", input)
    _check_mode(op, mode)
    if value is None:
        value = 0.0
    elif mode != "constant":
        raise ValueError(f"{op}: value is for mode 'constant', got {value!r} with mode {mode!r}")
    if not isinstance(value, Real):
        raise TypeError(f"{op}: value must be a number, got {value!r}")
    return pad_axes(op, x, _pairs(op, pad, x.ndim), mode, value)


def pad_backward(grad_output, pad, mode="constant"):
    """Gradient of `pad`: without the border, which is added to the cells that it repeats.

    grad_output: in the shape of the output; pad, mode and errors as for `pad`.
    """
    op = "pad_backward"
    g = _arrays.as_array(op, "grad_output", grad_output)
    _check_mode(op, mode)
    return fold_axes(op, g, _pairs(op, pad, g.ndim), mode)


def pad_axes(op, x, pairs, mode, value=0.0):
    """`pad` of a checked array by (low, high) pairs of the last axes, in the order of the axes."""
    lead = x.ndim - len(pairs)
    inner, outer = x.shape[lead:], []
    for size, (low, high) in zip(inner, pairs, strict=True):
        _check_border(op, mode, size, low, high)
        outer.append(low + size + high)
    y = _arrays.empty(op, (*x.shape[:lead], *outer), x.dtype, x)
    if mode == "constant":
        y[...] = value
    y[(..., *_inside(inner, pairs))] = x
    # Corners come along with the later axes, whose borders are copied over the whole width.
    for axis, border, source in _borders(mode, lead, inner, pairs):
        _cut(y, axis, border)[...] = _cut(y, axis, source)
    return y


def fold_axes(op, g, pairs, mode):
    """`pad_backward` of a checked array by (low, high) pairs, in the order of the axes."""
    lead = g.ndim - len(pairs)
    inner = []
    for size, (low, high) in zip(g.shape[lead:], pairs, strict=True):
        if low + high > size:
            raise ValueError(
                f"{op}: padding ({low}, {high}) must fit its axis of {size} cells, got shape "
                f"{g.shape}"
            )
        _check_border(op, mode, size - low - high, low, high)
        inner.append(size - low - high)
    inside = (..., *_inside(inner, pairs))
    y = _arrays.empty(op, (*g.shape[:lead], *inner), g.dtype, g)
    if mode != "constant" and any(map(any, pairs)):
        g = g.copy(order="K")
        for axis, border, source in reversed(list(_borders(mode, lead, inner, pairs))):
            share = _cut(g, axis, border)
            if mode == "replicate":
                share = share.sum(axis, keepdims=True)
            _cut(g, axis, source)[...] += share
    y[...] = g[inside]
    return y


def _check_mode(op, mode):
    if mode not in MODES:
        raise ValueError(f"{op}: mode must be one of {', '.join(MODES)}, got {mode!r}")


def _pairs(op, pad, ndim):
    """The flat, last-axis-first form as (low, high) pairs in the order of the axes."""
    if not isinstance(pad, (list, tuple)):
        raise TypeError(f"{op}: pad must be a tuple of integers, two for each axis, got {pad!r}")
    if len(pad) % 2 or len(pad) > 2 * ndim:
        raise ValueError(
            f"{op}: pad must hold two integers for each of at most {ndim} axes, got {pad!r}"
        )
    sides = [_shapes.integer(op, "pad", each, 0) for each in pad]
    return tuple(zip(sides[::2], sides[1::2], strict=True))[::-1]


def _check_border(op, mode, size, low, high):
    most, rule = {
        "constant": (math.inf, ""),
        "reflect": (max(0, size - 1), "smaller than the axis"),
        "replicate": (math.inf if size else 0, "around at least one cell"),
        "circular": (size, "at most as long as the axis"),
    }[mode]
    if max(low, high) > most:
        raise ValueError(
            f"{op}: padding of mode {mode!r} must be {rule}, "
            f"got ({low}, {high}) for an axis of {size} cells"
        )


def _inside(inner, pairs):
    return tuple(slice(low, low + size) for size, (low, _) in zip(inner, pairs, strict=True))


def _borders(mode, lead, inner, pairs):
    """(axis, border, source) for each side of each axis: slices of the padded axis.

    The border's cells repeat those of the source in order, or all of them the one.
    """
    for axis, (size, (low, high)) in enumerate(zip(inner, pairs, strict=True), lead):
        end = low + size
        below, above = {
            "constant": (None, None),
            "reflect": (_backwards(2 * low, low), _backwards(end - 2, high)),
            "replicate": (slice(low, low + 1), slice(end - 1, end)),
            "circular": (slice(size, end), slice(low, low + high)),
        }[mode]
        if low and below:
            yield axis, slice(0, low), below
        if high and above:
            yield axis, slice(end, end + high), above


def _backwards(start, count):
    """`count` cells from `start` down."""
    return slice(start, start - count if start >= count else None, -1)


def _cut(array, axis, cells):
    return array[(slice(None),) * axis + (cells,)]
