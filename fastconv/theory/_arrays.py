"""The three moves that the statements are made of: correlate, cut with zeros outside, spread."""

import numpy as np


def grouped(array, groups):
    """(N, C, *size) as (N, groups, C / groups, *size), and filters by their axis 0 likewise."""
    return array.reshape(len(array), groups, -1, *array.shape[2:])


def grouped_filters(weight, groups):
    """(O, I / groups, *k) as (groups, O / groups, I / groups, *k)."""
    return weight.reshape(groups, -1, *weight.shape[1:])


def windows(x, kernel, stride, dilation):
    """All windows of the trailing axes: (..., *positions, *kernel), a view."""
    ndim = len(kernel)
    axes = tuple(range(x.ndim - ndim, x.ndim))
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, span, axes)
    steps = (*stride, *dilation)
    return view[(..., *(slice(None, None, step) for step in steps))]


def correlate(x, weight, dilation, groups):
    """The plain convolution of (N, I, *size) and (O, I / groups, *k): stride 1, no padding."""
    kernel = weight.shape[2:]
    view = windows(x, kernel, (1,) * len(kernel), dilation)
    space = view.shape[2 : 2 + len(kernel)]
    view = view.reshape(len(x), groups, -1, int(np.prod(space)), int(np.prod(kernel)))
    taps = grouped_filters(weight, groups).reshape(groups, -1, weight.shape[1], view.shape[-1])
    y = np.einsum("ngcpt,gkct->ngkp", view, taps)
    return y.reshape(len(x), weight.shape[0], *space)


def cut(x, start, size):
    """The `size` cells of the trailing axes from `start` on; zeros where x has none."""
    y = np.zeros((*x.shape[: x.ndim - len(size)], *size), x.dtype)
    here, there = [], []
    for at, count, have in zip(start, size, x.shape[x.ndim - len(size) :], strict=True):
        low, high = max(at, 0), max(min(at + count, have), max(at, 0))
        here.append(slice(low - at, high - at))
        there.append(slice(low, high))
    y[(..., *here)] = x[(..., *there)]
    return y


def spread(x, stride):
    """`stride` - 1 zeros between the cells of the trailing axes: (o - 1)s + 1 of them."""
    lead = x.ndim - len(stride)
    size = [(o - 1) * s + 1 for o, s in zip(x.shape[lead:], stride, strict=True)]
    y = np.zeros((*x.shape[:lead], *size), x.dtype)
    y[(..., *(slice(None, None, s) for s in stride))] = x
    return y
