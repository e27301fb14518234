"""Up-sampling by s in d dimensions as s**d ordinary convolutions, whose outputs interleave."""

import math
from typing import NamedTuple

import numpy as np

from fastconv import _shapes
from fastconv.theory._arrays import correlate, cut
from fastconv.theory._setting import batch, filters, transposed_setting
from fastconv.theory.regroup import regroup_filters


class Phase(NamedTuple):
    """One of the s**d convolutions: of stride 1, with every (s / gcd(s, d))-th tap, inverted.

    It writes output[..., phase::stride].  Its cell q reads input cell q + first + u * dilation by
    tap u, a zero where there is none.
    """

    phase: tuple
    weight: np.ndarray  # (O, I/groups, *kernel_size), of an ordinary convolution
    taps: tuple  # for each axis, which taps of the whole kernel these are, in their new order
    first: tuple
    dilation: tuple


def phase_filters(weight, stride, padding=0, dilation=1, groups=1):
    """The s**d ordinary filters that make up a transposed convolution of stride s.

    Input cell i reaches output cell i * s - padding + t * dilation by tap t.  Output cells that are
    equal modulo s therefore meet the same taps only, every s-th of the kernel (without dilation),
    and among them the convolution has stride 1.  The other taps would meet the zeros that the
    textbook inserts between the input cells.

    Parameters
    ----------
    weight : (I, O/groups, *kernel_size) of the transposed convolution
    stride : int, or one for each spatial axis
    padding : int, one or a (low, high) pair for each spatial axis; "same" needs an input's size
    dilation : int, or one for each spatial axis
    groups : int

    Returns
    -------
    list of prod(stride) Phases, the last axis fastest; one without taps has an empty weight

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Lecture: "1D Deconvolution with up-sampling factor 2 is equivalent to two 1-D convolutions";
    Shi et al. (2016), "Is the deconvolution layer the same as a convolutional layer?"
    """
    op = "phase_filters"
    weight, kernel, groups = filters(op, weight, groups)
    ndim = len(kernel)
    stride = _shapes.per_axis(op, "stride", stride, ndim, 1)
    dilation = _shapes.per_axis(op, "dilation", dilation, ndim, 1)
    pad = _shapes.padding_pairs(op, padding, ndim)
    if pad == "same":
        raise ValueError(f"{op}: padding must be numbers, got 'same', which depends on the input")
    regrouped = regroup_filters(weight, groups)
    phases = []
    for phase in np.ndindex(*stride):
        taps, first, steps = [], [], []
        for r, k, s, d, (low, _) in zip(phase, kernel, stride, dilation, pad, strict=True):
            # Inverted: the last tap reads first.
            meets = [t for t in reversed(range(k)) if (r + low - t * d) % s == 0]
            taps.append(tuple(meets))
            first.append((r + low - meets[0] * d) // s if meets else 0)
            steps.append(d // math.gcd(d, s))
        # Tap t of the kernel lies at k - 1 - t of the regrouped filters.
        where = [[k - 1 - t for t in each] for k, each in zip(kernel, taps, strict=True)]
        chosen = regrouped
        for axis, each in enumerate(where):
            chosen = chosen.take(np.array(each, int), axis=2 + axis)
        phases.append(Phase(phase, chosen, tuple(taps), tuple(first), tuple(steps)))
    return phases


def conv_transpose_by_phases(
    input, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """A transposed convolution as one ordinary convolution for each phase of its output.

    Parameters
    ----------
    input : (N, I, *input_size) or (I, *input_size)
    weight : (I, O/groups, *kernel_size)
    stride, padding, output_padding, groups, dilation : as for `fastconv.conv_transpose2d`

    Returns
    -------
    (N, O, *output_size) or (O, *output_size)

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Shi et al. (2016); see `phase_filters`.
    """
    op = "conv_transpose_by_phases"
    weight, kernel, groups = filters(op, weight, groups)
    x, batched = batch(op, "input", input, len(weight), len(kernel))
    setting = transposed_setting(op, x.shape[2:], kernel, stride, padding, output_padding, dilation)
    dtype = np.result_type(x, weight)
    y = np.zeros((len(x), weight.shape[1] * groups, *setting.large), dtype)
    for each in phase_filters(weight, setting.stride, setting.pad, setting.dilation, groups):
        slot = y[(..., *map(slice, each.phase, setting.large, setting.stride))]
        if each.weight.size and slot.size:
            reach = [d * (len(t) - 1) for d, t in zip(each.dilation, each.taps, strict=True)]
            size = [n + r for n, r in zip(slot.shape[2:], reach, strict=True)]
            slot[...] = correlate(cut(x, each.first, size), each.weight, each.dilation, groups)
    return y if batched else y[0]
