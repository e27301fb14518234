"""The elementwise approach: which input cell contributes to which output cell, by which weight."""

import math
from typing import NamedTuple

import numpy as np

from fastconv.theory._arrays import grouped, grouped_filters
from fastconv.theory._setting import batch, check_size, conv_setting, filters


class Contributions(NamedTuple):
    """Three int arrays of equal length: entry by entry, `output_cell` reads `input_cell` by `tap`.

    Flat indices into the output's plane, the input's plane and the kernel.
    """

    output_cell: np.ndarray
    input_cell: np.ndarray
    tap: np.ndarray


def contributions(input_size, kernel_size, stride=1, padding=0, dilation=1):
    """Which input cell contributes to which output cell, through which tap of the kernel.

    Along each axis output cell o reads input cell o * stride - padding + t * dilation by tap t.
    Where that is outside of the input it reads a zero of the padding, and has no entry.

    Parameters
    ----------
    input_size, kernel_size : int, or one for each of d axes
    stride, padding, dilation : as for `fastconv.conv2d`

    Returns
    -------
    Contributions, sorted by output cell and then tap.  No two entries share both of output cell and
    input cell.

    Raises
    ------
    ValueError, TypeError : the kernel does not fit the padded input, or a number is none

    Notes
    -----
    Lecture: "Elementwise approach of computing which cell in input contributes to which cell in
    output".  The same list serves all passes: the forward sums over the entries of an output cell,
    the input gradient over those of an input cell, the weight gradient over those of a tap.
    """
    setting = conv_setting("contributions", input_size, kernel_size, stride, padding, dilation)
    return contributions_of(setting)


def contributions_of(setting):
    """The Contributions of a Setting, whose small cells may be fewer than would fit."""
    ndim = len(setting.kernel)
    shape = setting.small + setting.kernel
    inside = np.ones(shape, bool)
    input_cell = np.zeros(shape, int)
    for axis, (size, o, k, s, (low, _), d) in enumerate(zip(*setting, strict=True)):
        reads = np.arange(o)[:, np.newaxis] * s - low + np.arange(k) * d
        along = [1] * (2 * ndim)
        along[axis], along[ndim + axis] = o, k
        reads = reads.reshape(along)
        inside &= (reads >= 0) & (reads < size)
        input_cell = input_cell * size + reads
    taps = math.prod(setting.kernel)
    entry = np.flatnonzero(inside)
    return Contributions(entry // taps, input_cell.ravel()[entry], entry % taps)


def grad_input_elementwise(
    grad_output, weight, input_size, stride=1, padding=0, dilation=1, groups=1
):
    """Input gradient of a convolution, entry by entry of `contributions`.

    Where output cell o reads input cell i through weight w, dL/dx[i] receives w * dL/dy[o].

    Parameters
    ----------
    grad_output : (N, O, *output_size) or (O, *output_size)
    weight : (O, I/groups, *kernel_size)
    input_size : spatial size of the convolution's input

    Returns
    -------
    (N, I, *input_size) or (I, *input_size)

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Lecture: "Derivative of loss with respect to each cell is backpropagated."
    """
    op = "grad_input_elementwise"
    weight, kernel, groups = filters(op, weight, groups)
    setting = conv_setting(op, input_size, kernel, stride, padding, dilation)
    g, batched = batch(op, "grad_output", grad_output, len(weight), len(kernel))
    check_size(op, "grad_output", g.shape[2:], setting.small)
    use = contributions_of(setting)
    g = grouped(g, groups).reshape(len(g), groups, -1, math.prod(setting.small))
    w = grouped_filters(weight, groups)
    w = w.reshape(*w.shape[:3], math.prod(kernel))
    terms = np.einsum("ngke,gkce->ngce", g[..., use.output_cell], w[..., use.tap])
    grad = np.zeros((*terms.shape[:3], math.prod(setting.large)), terms.dtype)
    np.add.at(grad, (..., use.input_cell), terms)
    grad = grad.reshape(len(grad), -1, *setting.large)
    return grad if batched else grad[0]
