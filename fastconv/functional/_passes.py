"""From checked arrays to the kernels that walk them once, by element or channel by channel.

A kernel takes contiguous memory.  An array that lies otherwise is copied, in the order in memory
of the first one, which is that of the result.
"""

import math

import numpy as np

from fastconv import _kernels, _threads
from fastconv._kernels import loss
from fastconv.functional import _arrays, _order

# Multiply-adds in the time that an exponential takes: one of those in vectors, and of others.
SMOOTH_WORK = 24
EXP_WORK = 80

# Of a fused function; to choose by the arrays takes longer than a small call.
CROSS_ENTROPY = {"f": loss.cross_entropy["float"], "d": loss.cross_entropy["double"]}


def _lines(array, last):
    """The array C-contiguous, with the channels as its last axis where that is the order."""
    return np.ascontiguousarray(_arrays.channels_to_end(array) if last else array)


def planes(array, last):
    """(N, C, *space) as (outer, C, inner), where channels are last with an inner of 1."""
    if last:
        array = _arrays.channels_to_end(array)
        *outer, channels = array.shape
        shape = math.prod(outer), channels, 1  # not -1: the array may have no elements
    else:
        outer, channels, *space = array.shape
        shape = outer, channels, math.prod(space)
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return array.reshape(shape)


def threads_for(op, num_threads, x):
    return _threads.effective(op, num_threads, _threads.ELEMENT_WORK * x.size)


def rectify(op, x, plus=None, gate=None, slope=0.0, num_threads=None):
    """x, or x + plus, times `slope` where it is negative; with a gate, where that is not positive.

    The second is the gradient of the first, `gate` being its output or, without `plus`, its input.
    The result has the gate's order in memory, if there is one: gradients come back in that of what
    they are gradients of.
    """
    like = x if gate is None else gate
    y = _arrays.empty(op, x.shape, x.dtype, like)
    last = _arrays.is_channels_last(like)
    flat = [None if each is None else _lines(each, last).reshape(-1) for each in (x, plus, gate, y)]
    _kernels.activation[x.dtype.char].rectify(
        *flat[:3], slope, flat[3], threads_for(op, num_threads, x)
    )
    return y


def smooth(op, kind, x, g=None, beta=1.0, threshold=20.0, num_threads=None):
    """A smooth activation of x, or g times its derivative there, in the order of x.

    kind: one that the kernel lists, of which softplus has a `beta` and a `threshold`.
    """
    y = _arrays.empty(op, x.shape, x.dtype, x)
    last = _arrays.is_channels_last(x)
    flat = [None if each is None else _lines(each, last).reshape(-1) for each in (x, g, y)]
    threads = _threads.effective(op, num_threads, SMOOTH_WORK * x.size)
    _kernels.activation[x.dtype.char].smooth(kind, *flat, beta, threshold, threads)
    return y


def softmax(op, x, axis, g=None, logarithm=False, num_threads=None):
    """Softmax of x or its logarithm; with g the gradient by the input, x being the output then."""
    y = _arrays.empty(op, x.shape, x.dtype, x)
    last = _arrays.is_channels_last(x)
    lines = [None if each is None else _lines(each, last) for each in (x, g, y)]
    shape, axis = lines[0].shape, axis % x.ndim
    if last and axis > 0:
        axis = axis - 1 if axis > 1 else x.ndim - 1
    around = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    lines = [None if each is None else each.reshape(around) for each in lines]
    threads = _threads.effective(op, num_threads, SMOOTH_WORK * x.size)
    _kernels.activation[x.dtype.char].softmax(*lines, logarithm, threads)
    return y


def squares(op, a, b, count, factor=None, num_threads=None):
    """The sum of (a - b)^2 over `count`, and factor (a - b), in the order of a, or None."""
    last = _arrays.is_channels_last(a)
    b = (_order.to_channels_last if last else _order.to_c_order)(op, b, num_threads)
    y = None if factor is None else _arrays.empty(op, a.shape, a.dtype, a)
    flat = [None if each is None else _lines(each, last).reshape(-1) for each in (a, b, y)]
    mean = np.empty(1, a.dtype)
    if _kernels.pointwise[a.dtype.char].squares(
        *flat[:2], factor or 0, count, flat[2], mean, threads_for(op, num_threads, a)
    ):
        raise MemoryError(f"{op}: no memory for the sums")
    return mean[0], y


def binary_cross_entropy(
    op, x, target, weight, positive, count, with_losses, with_gradient, num_threads=None
):  # fmt: skip
    """(losses, their sum over `count`, its gradient), the arrays in the order of x, or None."""
    last = _arrays.is_channels_last(x)
    made = [
        _arrays.empty(op, x.shape, x.dtype, x) if wanted else None
        for wanted in (with_losses, with_gradient)
    ]
    flat = [
        None if each is None else _lines(each, last).reshape(-1)
        for each in (x, target, weight, positive, *made)
    ]
    total = np.empty(1, x.dtype)
    threads = _threads.effective(op, num_threads, SMOOTH_WORK * x.size)
    if _kernels.pointwise[x.dtype.char].binary_cross_entropy(
        *flat[:4], 1 / max(count, 1), count, *flat[4:], total, threads
    ):
        raise MemoryError(f"{op}: no memory for the sums")
    return made[0], total[0], made[1]


def cross_entropy(
    op, x, indices, probabilities, weight, ignore_index, smoothing, mean, with_gradient,
    num_threads=None,
):  # fmt: skip
    """(position of a wrong index or -1, losses, their sum or mean, gradient).

    x and probabilities are (N, C, *space), losses (N, *space), and indices int64 in the order of
    these.  Without `with_gradient` the last array holds nothing of use.
    """
    grad = _arrays.empty(op, x.shape, x.dtype, x)
    last = _arrays.is_channels_last(x)
    losses = np.empty(math.prod(x.shape[2:], start=x.shape[0]), x.dtype)
    wrong, total = CROSS_ENTROPY[x.dtype.char](
        planes(x, last), indices, None if probabilities is None else planes(probabilities, last),
        weight, ignore_index, smoothing, mean, with_gradient, losses, planes(grad, last),
        _threads.effective(op, num_threads, EXP_WORK * x.size),
    )  # fmt: skip
    losses = losses.reshape(x.shape[:1] + x.shape[2:])
    return wrong, losses, x.dtype.type(total), grad


def update(kernel, parameters, *numbers):
    """One step of the optimizer `kernel` for (data, grad, *what it has of each parameter).

    Data and states change; these are C-contiguous, or None.
    """
    kinds, copies = {}, []
    for data, grad, *own in parameters:
        line = data
        if not data.flags.c_contiguous:
            line = np.ascontiguousarray(data)
            copies.append((data, line))
        grad = np.ascontiguousarray(grad, data.dtype)
        kinds.setdefault(data.dtype.char, []).append((line, grad, *own))
    for kind, lines in kinds.items():
        work = _threads.ELEMENT_WORK * sum([line.size for line, *_ in lines])
        threads = _threads.effective(kernel, None, work)
        if getattr(_kernels.pointwise[kind], kernel)(lines, *numbers, threads):
            raise MemoryError(f"{kernel}: no memory for a table of the parameters")
    for data, line in copies:
        data[...] = line
