"""Everything but convolutions by its definition, in plain loops and float64: slow, and nobody's but
its own.

Pools: arrays are (N, C, *space); kernel, stride, pad and dilation hold one int per axis.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

# ------------------------------------------------------------------------------------ windows


def axis_windows(size, kernel, stride, pad, dilation, ceil_mode):
    """The cells of every window along one axis; those outside of 0..size-1 are padding.

    A window may reach over the padded end, with `ceil_mode`, by less than one stride, if it starts
    before the end of the input.
    """
    windows = []
    for start in itertools.count(-pad, stride):
        over = start + dilation * (kernel - 1) + 1 - (size + pad)
        if over > 0 and not (ceil_mode and over < stride and start < size):
            return windows
        windows.append([start + tap * dilation for tap in range(kernel)])


def adaptive_windows(size, count):
    return [
        list(range(math.floor(k * size / count), math.ceil((k + 1) * size / count)))
        for k in range(count)
    ]


def windows(space, kernel, stride, pad, dilation, ceil_mode):
    """For each axis, its windows."""
    options = (ceil_mode,) * len(space)
    return list(map(axis_windows, space, kernel, stride, pad, dilation, options))


def positions(axes):
    """(output cell, lists of input cells along each axis) for every window."""
    for cell in np.ndindex(*map(len, axes)):
        yield cell, [axis[o] for axis, o in zip(axes, cell, strict=True)]


def inside(cells, space):
    """The combinations of `cells` that lie in the input, in row-major order."""
    for cell in itertools.product(*cells):
        if all(0 <= i < size for i, size in zip(cell, space, strict=True)):
            yield cell


# -------------------------------------------------------------------------------------- pools


def max_pool(x, axes):
    """(maxima, positions in the flat plane): the first of equals, the last NaN, -1 for nothing."""
    space = x.shape[2:]
    shape = (*x.shape[:2], *map(len, axes))
    y = np.full(shape, -np.inf)
    indices = np.full(shape, -1, np.int64)
    for out, cells in positions(axes):
        at = (slice(None), slice(None), *out)
        for cell in inside(cells, space):
            value = x[(slice(None), slice(None), *cell)]
            take = (value > y[at]) | np.isnan(value) | (indices[at] == -1)
            y[at] = np.where(take, value, y[at])
            indices[at] = np.where(take, np.ravel_multi_index(cell, space), indices[at])
    return y, indices


def max_pool_backward(grad, indices, shape):
    result = np.zeros(shape)
    for at in np.ndindex(*grad.shape):
        if indices[at] != -1:
            cell = np.unravel_index(indices[at], shape[2:])
            result[(*at[:2], *cell)] += grad[at]
    return result


def divisor(cells, space, pad, count_include_pad, divisor_override):
    """Cells of a window, those beyond the padding never among them."""
    if divisor_override is not None:
        return divisor_override
    counts = []
    for axis, size, p in zip(cells, space, pad, strict=True):
        low, high = (-p, size + p) if count_include_pad else (0, size)
        counts.append(sum(low <= cell < high for cell in axis))
    return math.prod(counts)


def avg_pool(x, axes, pad, count_include_pad=True, divisor_override=None):
    space = x.shape[2:]
    y = np.zeros((*x.shape[:2], *map(len, axes)))
    for out, cells in positions(axes):
        at = (slice(None), slice(None), *out)
        for cell in inside(cells, space):
            y[at] += x[(slice(None), slice(None), *cell)]
        y[at] /= divisor(cells, space, pad, count_include_pad, divisor_override)
    return y


def avg_pool_backward(grad, shape, axes, pad, count_include_pad=True, divisor_override=None):
    result = np.zeros(shape)
    for out, cells in positions(axes):
        share = grad[(slice(None), slice(None), *out)].astype(np.float64)
        share /= divisor(cells, shape[2:], pad, count_include_pad, divisor_override)
        for cell in inside(cells, shape[2:]):
            result[(slice(None), slice(None), *cell)] += share
    return result


# -------------------------------------------------------------------------------- activations


def each(function):
    """A function of one number as a function of an array."""
    return lambda x: np.array([function(float(value)) for value in x.flat]).reshape(x.shape)


def _sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x)


def _gelu_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


relu = each(lambda x: x if x > 0 else 0.0)
sigmoid = each(_sigmoid)
tanh = each(math.tanh)
silu = each(lambda x: x * _sigmoid(x))
gelu = each(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))))
gelu_tanh = each(_gelu_tanh)


def leaky_relu(x, negative_slope):
    return each(lambda value: value if value > 0 else negative_slope * value)(x)


def softplus(x, beta, threshold):
    def one(value):
        return value if beta * value > threshold else math.log1p(math.exp(beta * value)) / beta

    return each(one)(x)


def log_softmax(x, axis):
    y = np.empty(x.shape)
    for at in np.ndindex(*np.delete(x.shape, axis)):
        at = list(at)
        at.insert(axis % x.ndim, slice(None))
        line = [float(value) for value in x[tuple(at)]]
        largest = max(line)
        log_sum = largest + math.log(math.fsum(math.exp(value - largest) for value in line))
        y[tuple(at)] = [value - log_sum for value in line]
    return y


# ------------------------------------------------------------------------------ normalization


def moments(values):
    """(mean, biased variance) of some numbers."""
    values = [float(value) for value in np.ravel(values)]
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((value - mean) ** 2 for value in values) / len(values)


def batch_norm(x, mean, variance, weight, bias, eps):
    """By given statistics, one channel after the other."""
    y = np.empty(x.shape)
    for c in range(x.shape[1]):
        y[:, c] = (x[:, c] - mean[c]) / math.sqrt(variance[c] + eps) * weight[c] + bias[c]
    return y


def group_norm(x, num_groups, weight, bias, eps):
    y = np.empty(x.shape)
    size = x.shape[1] // num_groups
    for n, c in np.ndindex(*x.shape[:2]):
        first = c // size * size
        mean, variance = moments(x[n, first : first + size])
        y[n, c] = (x[n, c] - mean) / math.sqrt(variance + eps) * weight[c] + bias[c]
    return y


def layer_norm(x, shape, weight, bias, eps):
    y = np.empty(x.shape)
    for at in np.ndindex(*x.shape[: x.ndim - len(shape)]):
        mean, variance = moments(x[at])
        y[at] = (x[at] - mean) / math.sqrt(variance + eps) * weight + bias
    return y


def normalize_backward(grad, x, weight, eps):
    """(gradient of x, terms of that of the weight) for numbers that are normalized together."""
    grad, x = np.asarray(grad, float), np.asarray(x, float)
    inverse = 1 / math.sqrt(x.var() + eps)
    normal = (x - x.mean()) * inverse
    scaled = grad * weight
    along = (scaled * normal).mean()
    return (scaled - scaled.mean() - normal * along) * inverse, grad * normal


def group_norm_backward(grad, x, num_groups, weight, eps):
    """(grad_input, grad_weight, grad_bias), group after group."""
    grad_input, of_weight = np.empty((2, *x.shape))
    size = x.shape[1] // num_groups
    column = (size, *(1,) * (x.ndim - 2))
    for n, group in np.ndindex(x.shape[0], num_groups):
        at = n, slice(group * size, (group + 1) * size)
        factor = np.reshape(np.asarray(weight, float)[at[1]], column)
        grad_input[at], of_weight[at] = normalize_backward(grad[at], x[at], factor, eps)
    others = (0, *range(2, x.ndim))
    return grad_input, of_weight.sum(others), grad.sum(others, dtype=float)


def layer_norm_backward(grad, x, shape, weight, eps):
    """(grad_input, grad_weight, grad_bias), example after example."""
    grad_input, of_weight = np.empty((2, *x.shape))
    lead = x.shape[: x.ndim - len(shape)]
    for at in np.ndindex(*lead):
        grad_input[at], of_weight[at] = normalize_backward(grad[at], x[at], weight, eps)
    others = tuple(range(len(lead)))
    return grad_input, of_weight.sum(others), grad.sum(others, dtype=float)


# ------------------------------------------------------------------------------------- losses


def cross_entropy(x, target, weight=None, ignore_index=-100, label_smoothing=0.0):
    """(losses, what their sum is divided by for the mean); x is (N, C, *space)."""
    classes = x.shape[1]
    weight = [1.0] * classes if weight is None else [float(each) for each in weight]
    logs = log_softmax(x, 1)
    losses = np.zeros((x.shape[0], *x.shape[2:]))
    total = 0.0
    for at in np.ndindex(*losses.shape):
        line = logs[(at[0], slice(None), *at[1:])]
        if target.shape == x.shape:
            wanted = target[(at[0], slice(None), *at[1:])]
            total += 1
        elif target[at] == ignore_index:
            continue
        else:
            wanted = [float(c == target[at]) for c in range(classes)]
            total += weight[target[at]]
        for c in range(classes):
            smooth = wanted[c] * (1 - label_smoothing) + label_smoothing / classes
            if smooth:
                losses[at] -= weight[c] * smooth * line[c]
    return losses, total


def binary_cross_entropy_with_logits(x, target, weight, pos_weight):
    """All four of one shape."""
    losses = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        s, other = (1 / (1 + math.exp(sign * float(x[at]))) for sign in (-1, 1))  # of x, of -x
        t = float(target[at])
        losses[at] = -weight[at] * (pos_weight[at] * t * math.log(s) + (1 - t) * math.log(other))
    return losses


# ------------------------------------------------------------------------------------ shuffle


def pixel_shuffle(x, factor):
    """(N, C prod(factor), *space), one element after the other."""
    channels = x.shape[1] // math.prod(factor)
    space = [size * r for size, r in zip(x.shape[2:], factor, strict=True)]
    y = np.empty((x.shape[0], channels, *space), x.dtype)
    for n, c, *pixel in np.ndindex(*y.shape):
        part = [p % r for p, r in zip(pixel, factor, strict=True)]
        cell = [p // r for p, r in zip(pixel, factor, strict=True)]
        channel = c
        for p, r in zip(part, factor, strict=True):
            channel = channel * r + p
        y[(n, c, *pixel)] = x[(n, channel, *cell)]
    return y


def unfold(x, kernel, dilation, pad, stride):
    """The windows of (N, C, H, W) as columns, one after the other, in row-major order."""
    n, c = x.shape[:2]
    axes = windows(x.shape[2:], kernel, stride, pad, dilation, False)
    columns = np.zeros((n, c * math.prod(kernel), math.prod(map(len, axes))))
    for column, (_, cells) in enumerate(positions(axes)):
        for channel in range(c):
            for row, cell in enumerate(itertools.product(*cells)):
                if all(0 <= i < size for i, size in zip(cell, x.shape[2:], strict=True)):
                    row += channel * math.prod(kernel)
                    columns[:, row, column] = x[(slice(None), channel, *cell)]
    return columns


def axis_weights(size, out, scale, mode, align_corners):
    """The weights (out, size) of the cells of one axis in `interpolate`."""
    weights = np.zeros((out, size))
    for o in range(out):
        step = Fraction(size, out) if scale is None else 1 / Fraction(str(scale))
        if mode == "nearest":
            weights[o, min(math.floor(o * step), size - 1)] = 1
            continue
        if mode == "nearest-exact":
            weights[o, min(math.floor((o + Fraction(1, 2)) * step), size - 1)] = 1
            continue
        if size == out:
            position = Fraction(o)
        elif align_corners:
            position = Fraction(o * (size - 1), max(out - 1, 1))
        else:
            position = (o + Fraction(1, 2)) * step - Fraction(1, 2)
        position = min(max(position, 0), size - 1)
        low = math.floor(position)
        weights[o, low] += float(1 - (position - low))
        if position > low:
            weights[o, low + 1] += float(position - low)
    return weights


# ------------------------------------------------------------------------------- differences


def gradient(function, x, grad_output, step=1e-6):
    """The derivative of sum(function(x) * grad_output) by each element of x, by differences."""
    x = np.array(x, np.float64)
    result = np.empty(x.shape)
    for at in np.ndindex(*x.shape):
        value = x[at]
        x[at] = value + step
        above = np.sum(function(x) * grad_output)
        x[at] = value - step
        below = np.sum(function(x) * grad_output)
        x[at] = value
        result[at] = (above - below) / (2 * step)
    return result
