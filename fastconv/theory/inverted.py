"""Backpropagation with an inverted filter, for a single channel."""

import numpy as np

from fastconv.theory._setting import filters
from fastconv.theory.regroup import grad_input_by_regrouped_filters


def invert_filter(w):
    """The filter of backpropagation: every axis reversed, a..i becomes i..a.

    w : array of spatial axes only, in any number.  Returns a copy; inverting twice gives w back.

    Lecture, "Backpropagation with an Inverted Filter [Single Channel]".
    """
    return np.flip(np.asarray(w)).copy()


def grad_input_by_inverted_filter(grad_output, weight, input_size, stride=1, padding=0, dilation=1):
    """Input gradient of a convolution of one channel: a convolution with the inverted filter.

    An input cell is read by the output cells before it through the last taps, and by those after it
    through the first taps: seen from the input the filter runs backwards.

    Parameters
    ----------
    grad_output : spatial axes only, of the convolution's output size
    weight : spatial axes only
    input_size, stride, padding, dilation : those of the convolution

    Returns
    -------
    array of input_size

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Dumoulin & Visin (2016), relationships 8 to 14: stride 1, stride - 1 zeros between the cells of
    grad_output, and a border of kernel_size - 1 - padding zeros.  One channel is the case of
    `grad_input_by_regrouped_filters` where one slice is inverted and nothing is regrouped.
    """
    op = "grad_input_by_inverted_filter"
    weight, _, _ = filters(op, np.asarray(weight)[np.newaxis, np.newaxis], 1)
    g = np.asarray(grad_output)[np.newaxis]
    if g.ndim != weight.ndim - 1:
        raise ValueError(
            f"{op}: grad_output and weight must have the same axes, all of them spatial, got "
            f"shapes {g.shape[1:]} and {weight.shape[2:]}"
        )
    return grad_input_by_regrouped_filters(g, weight, input_size, stride, padding, dilation)[0]
