"""Deconvolution, one input cell at a time."""

from typing import NamedTuple

import numpy as np

from fastconv.theory._arrays import cut, grouped, grouped_filters
from fastconv.theory._setting import batch, filters, transposed_setting


class DeconvolutionSteps(NamedTuple):
    """`scatter[k]`: what input cell k adds to the output; `total[k]`: the sum of cells 0 to k."""

    scatter: np.ndarray
    total: np.ndarray


def deconvolution_steps(input, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """A transposed convolution, written out: each input cell scatters its multiple of the filter.

    Input cell i is multiplied with the whole filter, and the product is added to the output, its
    first tap at cell i * stride - padding.  What falls outside is cut off.

    Parameters
    ----------
    input : (N, I, *input_size) or (I, *input_size)
    weight : (I, O/groups, *kernel_size)
    stride, padding, output_padding, groups, dilation : as for `fastconv.conv_transpose2d`

    Returns
    -------
    DeconvolutionSteps of two arrays (steps, N, O, *output_size), or without N: a step for each
    spatial cell, in the order of memory.  `total[-1]` is the transposed convolution.

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Lecture, "2-D Deconvolution" with its pictures 0 -> 1 to 0 -> 8, and "3-D Deconvolution".
    """
    op = "deconvolution_steps"
    weight, kernel, groups = filters(op, weight, groups)
    x, batched = batch(op, "input", input, len(weight), len(kernel))
    setting = transposed_setting(op, x.shape[2:], kernel, stride, padding, output_padding, dilation)
    w = grouped_filters(weight, groups)
    span = [r + 1 for r in setting.reach]
    whole = [(o - 1) * s + r for o, s, r in zip(setting.small, setting.stride, span, strict=True)]
    scatter = []
    for cell in np.ndindex(*setting.small):
        value = grouped(x, groups)[(..., *cell)]
        written = tuple(
            slice(i * s, i * s + r, d)
            for i, s, r, d in zip(cell, setting.stride, span, setting.dilation, strict=True)
        )
        product = np.einsum("ngc,gck...->ngk...", value, w)
        product = product.reshape(len(x), -1, *kernel)
        plane = np.zeros((*product.shape[:2], *whole), product.dtype)
        plane[(..., *written)] = product
        scatter.append(cut(plane, setting.low, setting.large))
    scatter = np.array(scatter)
    scatter = scatter if batched else scatter[:, 0]
    return DeconvolutionSteps(scatter, np.cumsum(scatter, axis=0, dtype=scatter.dtype))
