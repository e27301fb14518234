"""Convolution through the values of polynomials at a few points, after Winograd."""

import numpy as np

from fastconv.theory._arrays import cut, grouped, grouped_filters, windows
from fastconv.theory._setting import batch, conv_setting, filters

POINTS = (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)  # those of the kernels; infinity is the last one


def winograd_matrices(outputs=4, taps=3, points=None):
    """The matrices of F(outputs, taps) along one axis.

        output = to_outputs @ ((of_filter @ filter) * (of_input @ input))

    computes `outputs` cells of a convolution with outputs + taps - 1 products in place of
    outputs * taps, for an input of outputs + taps - 1 cells.

    Parameters
    ----------
    outputs, taps : int >= 1
    points : outputs + taps - 2 different numbers; infinity is added.  Default: 0, 3/4, -3/4, 3/2,
        -3/2 as far as they go, then whole numbers

    Returns
    -------
    (of_input, of_filter, to_outputs), float64

    Raises
    ------
    ValueError : fewer than one output or tap, points that are too few, too many or repeated

    Notes
    -----
    A filter and a row of outputs are polynomials, whose product is fixed by its values at as many
    points as it has coefficients; a convolution is the transpose of that product.  Winograd,
    "Arithmetic complexity of computations" (1980); Lavin & Gray (2015), "Fast algorithms for
    convolutional neural networks", equations 5 to 8.
    """
    op = "winograd_matrices"
    if outputs < 1 or taps < 1:
        raise ValueError(f"{op}: outputs and taps must be at least 1, got {outputs} and {taps}")
    size = outputs + taps - 1
    if points is None:
        points = (*POINTS, *range(2, size))[: size - 1]
    if len(set(points)) != size - 1 or len(points) != size - 1:
        raise ValueError(f"{op}: points must be {size - 1} different numbers, got {points!r}")
    points = np.asarray(points, float)
    others = [np.delete(points, i) for i in range(size - 1)]
    of_input = np.zeros((size, size))
    for row, each in enumerate(others):
        of_input[row, :-1] = _coefficients(each)
    of_input[-1] = _coefficients(points)
    slopes = np.array([np.prod(x - each) for x, each in zip(points, others, strict=True)])
    of_filter = np.vander(points, taps, increasing=True) / slopes[:, np.newaxis]
    to_outputs = np.vander(points, outputs, increasing=True).T
    # At infinity a polynomial's value is its last coefficient.
    of_filter = np.vstack([of_filter, np.eye(taps)[-1]])
    to_outputs = np.hstack([to_outputs, np.eye(outputs)[:, -1:]])
    return of_input, of_filter, to_outputs


def conv_by_winograd(input, weight, padding=0, groups=1, outputs=4):
    """A convolution of stride 1, tile by tile: at each point a product of matrices over channels.

    Parameters
    ----------
    input : (N, C, *size) or (C, *size)
    weight : (O, C/groups, *kernel_size)
    padding, groups : as for `fastconv.conv2d`
    outputs : cells of a tile along each axis

    Returns
    -------
    (N, O, *output_size) or (O, *output_size), float64: the convolution, but for rounding

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Lavin & Gray (2015), algorithm 1; along several axes the matrices act one after the other.
    """
    op = "conv_by_winograd"
    weight, kernel, groups = filters(op, weight, groups)
    ndim = len(kernel)
    x, batched = batch(op, "input", input, weight.shape[1] * groups, ndim)
    setting = conv_setting(op, x.shape[2:], kernel, 1, padding, 1)
    matrices = [winograd_matrices(outputs, k) for k in kernel]
    tiles = [-(-size // outputs) for size in setting.small]
    # Every tile reads outputs + taps - 1 cells, and the next one begins `outputs` cells further.
    reads = [outputs + k - 1 for k in kernel]
    wide = [(n - 1) * outputs + each for n, each in zip(tiles, reads, strict=True)]
    x = cut(x, [-low for low in setting.low], wide)
    x = windows(grouped(x, groups), reads, (outputs,) * ndim, (1,) * ndim)
    values = _along_axes(x, [of_input for of_input, _, _ in matrices])
    w = _along_axes(grouped_filters(weight, groups), [of_filter for _, of_filter, _ in matrices])
    values = values.reshape(*x.shape[:3], np.prod(tiles), -1)
    w = w.reshape(*w.shape[:3], -1)
    products = np.einsum("ngctp,gkcp->ngktp", values, w).reshape(len(x), -1, *tiles, *reads)
    y = _along_axes(products, [to_outputs for _, _, to_outputs in matrices])
    # (N, O, *tiles, *outputs) to (N, O, tile, output, tile, output, ...)
    pairs = [axis for i in range(ndim) for axis in (2 + i, 2 + ndim + i)]
    y = y.transpose(0, 1, *pairs).reshape(*y.shape[:2], *(n * outputs for n in tiles))
    y = y[(..., *map(slice, setting.small))].copy()
    return y if batched else y[0]


def _coefficients(roots):
    """Of the polynomial with these roots, the lowest first."""
    return np.atleast_1d(np.poly(roots))[::-1]


def _along_axes(x, matrices):
    """A matrix applied to each of the last axes."""
    for axis, matrix in zip(range(-len(matrices), 0), matrices, strict=True):
        x = np.moveaxis(np.tensordot(x, matrix, (axis, 1)), -1, axis)
    return x
