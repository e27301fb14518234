"""From checked arrays to the kernels that walk them once, by element or channel by channel.

A kernel takes contiguous memory.  An array that lies otherwise is copied, in the order in memory
of the first one, which is that of the result.
"""

import numpy as np

from fastconv import _kernels, _threads
from fastconv.functional import _arrays

# Multiply-adds in the time that memory takes for one element.
WORK = 8


def _lines(array, last):
    """The array C-contiguous, with the channels as its last axis where that is the order."""
    return np.ascontiguousarray(_arrays.channels_to_end(array) if last else array)


def planes(array, last):
    """(N, C, *space) as (outer, C, inner), where channels are last with an inner of 1."""
    if last:
        shape = -1, array.shape[1], 1
        array = _arrays.channels_to_end(array)
    else:
        shape = *array.shape[:2], -1
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return array.reshape(shape)


def threads_for(op, num_threads, x):
    return _threads.effective(op, num_threads, WORK * x.size)


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
    _kernels.pointwise[x.dtype.char].rectify(
        *flat[:3], slope, flat[3], threads_for(op, num_threads, x)
    )
    return y


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
        work = WORK * sum([line.size for line, *_ in lines])
        threads = _threads.effective(kernel, None, work)
        if getattr(_kernels.pointwise[kind], kernel)(lines, *numbers, threads):
            raise MemoryError(f"{kernel}: no memory for a table of the parameters")
    for data, line in copies:
        data[...] = line
