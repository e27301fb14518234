"""The convolutions by their definition, in plain NumPy and float64: slow, and nobody's but its own.

Arrays are (N, C, *space), a convolution's weight is (O, C / groups, *kernel).  `stride` and
`dilation` hold one int per axis, `pads` one (low, high) pair per axis.  Everything rests on one
sentence: output cell o uses input cell o * stride - low + tap * dilation through weight[tap],
where that cell exists.  Integer data give exact results.
"""

import itertools
import math

import numpy as np

# ------------------------------------------------------------------------------------ sizes


def out_size(size, kernel, stride, pad, dilation):
    """How many windows fit: counted one by one."""
    count = 0
    while count * stride + dilation * (kernel - 1) < size + sum(pad):
        count += 1
    return count


def transposed_size(size, kernel, stride, pad, dilation, output_padding):
    """One past the last cell that a transposed convolution reaches, and the output padding."""
    return (size - 1) * stride + dilation * (kernel - 1) + 1 - sum(pad) + output_padding


def same_pads(size, kernel, stride, dilation):
    """The fewest zeros, an odd one on the high side, for an output of ceil(size / stride)."""
    for zeros in itertools.count():
        pad = (zeros // 2, zeros - zeros // 2)
        if out_size(size, kernel, stride, pad, dilation) >= math.ceil(size / stride):
            return pad


def out_space(space, kernel, stride, pads, dilation):
    return tuple(map(out_size, space, kernel, stride, pads, dilation))


# ---------------------------------------------------------------------------- uses of a weight


def uses(in_space, space, kernel, stride, pads, dilation):
    """For every tap: the output cells that use it, and the input cell that each of them reads."""
    for tap in np.ndindex(*kernel):
        outs, ins = [], []
        for axis, size in enumerate(space):
            pairs = [
                (o, o * stride[axis] - pads[axis][0] + tap[axis] * dilation[axis])
                for o in range(size)
            ]
            pairs = [(o, i) for o, i in pairs if 0 <= i < in_space[axis]]
            outs.append([o for o, _ in pairs])
            ins.append([i for _, i in pairs])
        if all(outs):
            everything = slice(None), slice(None), slice(None)
            yield (everything + tap, _cells(outs), _cells(ins))


def _cells(indices):
    """Index of the cells at every combination of `indices`, behind (N, group, channel)."""
    grid = np.ix_(*indices)
    return (slice(None), slice(None), slice(None), *grid)


def _grouped(array, groups):
    """(N, C, *space) as (N, groups, C / groups, *space), in float64."""
    array = np.asarray(array, np.float64)
    return array.reshape(array.shape[0], groups, array.shape[1] // groups, *array.shape[2:])


def _filters(weight, groups):
    """(O, C / groups, *kernel) as (groups, O / groups, C / groups, *kernel), in float64."""
    weight = np.asarray(weight, np.float64)
    return weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])


def _ungrouped(array):
    return array.reshape(array.shape[0], array.shape[1] * array.shape[2], *array.shape[3:])


def _positions(array):
    """(N, groups, channels, *cells) with all cells in one axis."""
    return array.reshape(*array.shape[:3], math.prod(array.shape[3:]))


def _through(matrices, array):
    """A matrix for each group times the channels of every cell."""
    y = matrices @ _positions(array)
    return y.reshape(*y.shape[:3], *array.shape[3:])


def _products(a, b):
    """For each group, the products of two cells' channels, added over batch and cells."""
    return (_positions(a) @ _positions(b).swapaxes(2, 3)).sum(axis=0)


# ------------------------------------------------------------------------------- convolution


def conv(x, weight, bias, stride, pads, dilation, groups):
    space = out_space(x.shape[2:], weight.shape[2:], stride, pads, dilation)
    x, w = _grouped(x, groups), _filters(weight, groups)
    y = np.zeros((x.shape[0], groups, w.shape[1], *space))
    for tap, out, into in uses(x.shape[3:], space, w.shape[3:], stride, pads, dilation):
        y[out] += _through(w[tap], x[into])
    return _with_bias(_ungrouped(y), bias)


def conv_grad_input(grad, in_space, weight, stride, pads, dilation, groups):
    """Every output cell hands its gradient back to the cells that it read."""
    g, w = _grouped(grad, groups), _filters(weight, groups)
    gx = np.zeros((g.shape[0], groups, w.shape[2], *in_space))
    for tap, out, into in uses(in_space, g.shape[3:], w.shape[3:], stride, pads, dilation):
        gx[into] += _through(w[tap].swapaxes(1, 2), g[out])
    return _ungrouped(gx)


def conv_grad_weight(grad, x, kernel, stride, pads, dilation, groups):
    """The derivative for every use of a weight, added over the cells that share it."""
    g, x = _grouped(grad, groups), _grouped(x, groups)
    gw = np.zeros((groups, g.shape[2], x.shape[2], *kernel))
    for tap, out, into in uses(x.shape[3:], g.shape[3:], kernel, stride, pads, dilation):
        gw[tap] += _products(g[out], x[into])
    return gw.reshape(-1, *gw.shape[2:])


def grad_bias(grad):
    return np.asarray(grad, np.float64).sum(axis=(0, *range(2, grad.ndim)))


def conv_backward(grad, x, weight, stride, pads, dilation, groups):
    return (
        conv_grad_input(grad, x.shape[2:], weight, stride, pads, dilation, groups),
        conv_grad_weight(grad, x, weight.shape[2:], stride, pads, dilation, groups),
        grad_bias(grad),
    )


def _with_bias(y, bias):
    if bias is None:
        return y
    return y + np.asarray(bias, np.float64).reshape(-1, *[1] * (y.ndim - 2))


# ------------------------------------------------------------------- transposed convolution
#
# The transpose of the linear map x -> conv(x): the weight is (C, O / groups, *kernel), the array
# of the convolution from O to C channels.  Its gradients follow from those of that convolution.


def conv_transpose(x, weight, bias, stride, pads, output_padding, dilation, groups):
    space = tuple(
        map(transposed_size, x.shape[2:], weight.shape[2:], stride, pads, dilation, output_padding)
    )
    return _with_bias(conv_grad_input(x, space, weight, stride, pads, dilation, groups), bias)


def conv_transpose_backward(grad, x, weight, stride, pads, dilation, groups):
    # Not conv(grad): where output_padding leaves room for one more window, x has no cell for it.
    g, x, w = _grouped(grad, groups), _grouped(x, groups), _filters(weight, groups)
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for tap, small, large in uses(g.shape[3:], x.shape[3:], w.shape[3:], stride, pads, dilation):
        gx[small] += _through(w[tap], g[large])
        gw[tap] += _products(x[small], g[large])
    return _ungrouped(gx), gw.reshape(-1, *gw.shape[2:]), grad_bias(grad)


# ------------------------------------------------------------------------------- by definition


def dense_matrix(weight, in_space, stride, pads, dilation, groups):
    """The matrix C of a convolution: y.ravel() = C @ x.ravel() for one image, entry by entry."""
    out_channels, group_channels, *kernel = weight.shape
    space = out_space(in_space, kernel, stride, pads, dilation)
    y_shape = (out_channels, *space)
    x_shape = (group_channels * groups, *in_space)
    matrix = np.zeros((math.prod(y_shape), math.prod(x_shape)))
    for k, c in np.ndindex(out_channels, group_channels):
        for o, tap in itertools.product(np.ndindex(*space), np.ndindex(*kernel)):
            i = [
                a * s - p[0] + t * d
                for a, s, p, t, d in zip(o, stride, pads, tap, dilation, strict=True)
            ]
            if all(0 <= cell < size for cell, size in zip(i, in_space, strict=True)):
                channel = k // (out_channels // groups) * group_channels + c
                row = np.ravel_multi_index((k, *o), y_shape)
                column = np.ravel_multi_index((channel, *i), x_shape)
                matrix[row, column] += weight[(k, c, *tap)]
    return matrix


def regroup_filters(weight, groups=1):
    """(O, C / g, *k) -> (C, O / g, *k): every slice inverted, and the slices regrouped."""
    out_channels, group_channels, *kernel = weight.shape
    group_filters = out_channels // groups
    result = np.empty((group_channels * groups, group_filters, *kernel), weight.dtype)
    for g, k, c in np.ndindex(groups, group_filters, group_channels):
        for tap in np.ndindex(*kernel):
            inverted = tuple(size - 1 - t for size, t in zip(kernel, tap, strict=True))
            result[(g * group_channels + c, k, *inverted)] = weight[
                (g * group_filters + k, c, *tap)
            ]
    return result


def linear(x, weight, bias):
    y = np.zeros((*x.shape[:-1], weight.shape[0]))
    for k in range(weight.shape[0]):
        y[..., k] = (x.astype(np.float64) * weight[k]).sum(axis=-1) + (
            0 if bias is None else bias[k]
        )
    return y


def linear_backward(grad, x, weight):
    rows = list(np.ndindex(*x.shape[:-1]))
    gx, gw, gb = np.zeros(x.shape), np.zeros(weight.shape), np.zeros(weight.shape[0])
    for row in rows:
        for k in range(weight.shape[0]):
            gx[row] += np.float64(grad[(*row, k)]) * weight[k]
            gw[k] += np.float64(grad[(*row, k)]) * x[row]
            gb[k] += grad[(*row, k)]
    return gx, gw, gb
