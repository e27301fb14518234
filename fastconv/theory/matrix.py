"""Convolution as a matrix C; backpropagation and deconvolution multiply by its transpose."""

import math

import numpy as np

from fastconv.theory._setting import batch, conv_setting, filters, transposed_setting
from fastconv.theory.elementwise import contributions_of


def conv_matrix(weight, input_size, stride=1, padding=0, dilation=1, groups=1, *, sparse=False):
    """The matrix C of a convolution: conv(x).ravel() == C @ x.ravel() for one example.

    Its rows are the output cells and its columns the input cells, channel by channel; the row of an
    output cell holds the weights that it reads with, at the cells that it reads.  Backpropagation
    is C.T @ grad_output.ravel().  (The lecture prints C transposed: input cells are its rows.)

    Parameters
    ----------
    weight : (O, I/groups, *kernel_size)
    input_size : int, or one for each spatial axis
    stride, padding, dilation, groups : as for `fastconv.conv2d`
    sparse : a SciPy CSR array, which stores only the weights, in place of a dense NumPy one

    Returns
    -------
    (O * prod(output_size), I * prod(input_size)) of the weight's dtype

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other
    ImportError : sparse=True without SciPy (extra `sparse`)

    Notes
    -----
    Lecture, "1-D Convolution Layer with stride 2"; Dumoulin & Visin (2016), section 4.1.
    """
    op = "conv_matrix"
    weight, kernel, groups = filters(op, weight, groups)
    setting = conv_setting(op, input_size, kernel, stride, padding, dilation)
    return matrix_of(setting, weight, groups, sparse)


def matrix_of(setting, weight, groups, sparse=False):
    """C for a Setting, whose small cells may be fewer than would fit."""
    out_channels, group_channels = weight.shape[:2]
    use = contributions_of(setting)
    o = np.arange(out_channels).reshape(-1, 1, 1)
    c = np.arange(group_channels).reshape(-1, 1)
    inputs, outputs = math.prod(setting.large), math.prod(setting.small)
    channel = o // (out_channels // groups) * group_channels + c
    row = np.broadcast_to(o * outputs + use.output_cell, (*weight.shape[:2], len(use.tap)))
    column = channel * inputs + use.input_cell
    value = weight.reshape(*weight.shape[:2], -1)[..., use.tap]
    shape = out_channels * outputs, group_channels * groups * inputs
    if sparse:
        try:
            from scipy.sparse import csr_array
        except ImportError as error:
            raise ImportError(
                "conv_matrix: sparse=True needs SciPy: pip install 'fastconv[sparse]'"
            ) from error
        value = value.astype(value.dtype.newbyteorder("="), copy=False)  # SciPy has no other
        return csr_array((value.ravel(), (row.ravel(), column.ravel())), shape=shape)
    matrix = np.zeros(shape, weight.dtype)
    matrix[row, column] = value
    return matrix


def conv_transpose_by_matrix(
    input, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The deconvolution layer: multiplication by the transpose of a convolution's matrix.

    Parameters
    ----------
    input : (N, I, *input_size) or (I, *input_size)
    weight : (I, O/groups, *kernel_size), the array of the convolution from O to I channels
    stride, padding, output_padding, groups, dilation : as for `fastconv.conv_transpose2d`

    Returns
    -------
    (N, O, *output_size) or (O, *output_size)

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Lecture, "1D Deconvolution Layer"; Dumoulin & Visin (2016), section 4.1.
    """
    op = "conv_transpose_by_matrix"
    weight, kernel, groups = filters(op, weight, groups)
    x, batched = batch(op, "input", input, len(weight), len(kernel))
    setting = transposed_setting(op, x.shape[2:], kernel, stride, padding, output_padding, dilation)
    matrix = matrix_of(setting, weight, groups)
    y = x.reshape(len(x), -1) @ matrix  # row by row, (C.T @ x).T
    y = y.reshape(len(x), weight.shape[1] * groups, *setting.large)
    return y if batched else y[0]
