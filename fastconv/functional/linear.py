"""The fully connected layer: a convolution of one tap whose positions are the batch."""

import math

import numpy as np

from fastconv import _kernels, _threads
from fastconv.functional import _arrays, _geometry, _run

__all__ = ["linear", "linear_backward"]


def _check(op, input, weight):
    x = _arrays.as_array(op, "input", input)
    weight = _arrays.as_array(op, "weight", weight, x.dtype)
    return x, weight, _geometry.linear_geometry(op, x.shape, weight.shape)


def _rows(array):
    """(*, features) as a matrix, a view where memory allows."""
    if array.ndim == 2:
        return array
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def _linear(input, weight, bias=None, out=None, num_threads=None, slope=1.0):
    """The same, and the activation behind: negative results are multiplied by `slope`."""
    op = "linear"
    x, weight, geometry = _check(op, input, weight)
    bias = _run.check_bias(op, bias, weight.shape[0], x.dtype)
    shape = (*x.shape[:-1], weight.shape[0])
    if out is None:
        out = _arrays.empty(op, shape, x.dtype)
    else:
        _arrays.check_out(op, out, shape, x.dtype, [x, weight] + ([] if bias is None else [bias]))
        if not out.flags.c_contiguous:
            raise ValueError(f"{op}: out must be C-contiguous, got strides {out.strides}")
    threads = _threads.effective(op, num_threads, geometry.work)
    status = _kernels.conv[x.dtype.char].linear(_rows(x), weight, bias, _rows(out), slope, threads)
    _run.check_status(op, status)
    return out


def _linear_backward(
    grad_output, input, weight, needs=(True, True, True), num_threads=None, slope=1.0
):
    """The same, and the activation before: `input` is its output, grad_input by its own."""
    op = "linear_backward"
    x, weight, geometry = _check(op, input, weight)
    g = _arrays.as_array(op, "grad_output", grad_output, x.dtype)
    shape = (*x.shape[:-1], weight.shape[0])
    if g.shape != shape:
        raise ValueError(
            f"{op}: grad_output must have the shape {shape} of the output, got {g.shape}"
        )
    need_input, need_weight, need_bias = _run.check_needs(op, needs)
    grad_input = _arrays.empty(op, x.shape, x.dtype) if need_input else None
    grad_weight = _arrays.empty(op, weight.shape, x.dtype) if need_weight else None
    grad_bias = np.empty(shape[-1], x.dtype) if need_bias else None
    if g.size:
        threads = _threads.effective(op, num_threads, geometry.work)
        status = _kernels.conv[x.dtype.char].linear_backward(
            _rows(x), _rows(g), weight, _rows(grad_input) if need_input else None,
            grad_weight, grad_bias, slope, threads,
        )  # fmt: skip
        _run.check_status(op, status)
    else:
        for grad in (grad_weight, grad_bias):
            if grad is not None:
                grad[...] = 0
    return grad_input, grad_weight, grad_bias


def linear(input, weight, bias=None, *, out=None, num_threads=None):
    """output[n, o] = bias[o] + sum over i of weight[o, i] input[n, i].

    Parameters
    ----------
    input : (*, I), float32 or float64
    weight : (O, I), dtype of the input
    bias : (O,) or None
    out : C-contiguous array for the result, overlapping no input
    num_threads : int >= 1; default: see `set_num_threads`

    Returns
    -------
    (*, O) array

    Raises
    ------
    ValueError, TypeError : wrong shape, dtype or option
    OverflowError, MemoryError : the output is too large to address, or to allocate

    Notes
    -----
    Up to eight rows are summed in another order than more, so the last bits of a row may depend on
    how many there are; never on the number of threads.
    """
    return _linear(input, weight, bias, out, num_threads)


def linear_backward(grad_output, input, weight, *, needs=(True, True, True), num_threads=None):
    """Gradients of `linear`.

    Parameters
    ----------
    grad_output : (*, O), derivative of the loss by the output
    input, weight, num_threads : as for `linear`
    needs : which of the three gradients to compute

    Returns
    -------
    (grad_input, grad_weight, grad_bias), None where not needed; shapes of input, weight, (O,)

    Raises
    ------
    ValueError, TypeError, OverflowError, MemoryError : as `linear`
    """
    return _linear_backward(grad_output, input, weight, needs, num_threads)
