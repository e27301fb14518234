"""The fully connected layer: a convolution of one tap whose positions are the batch."""

import numpy as np

from fastconv.functional import _arrays, _geometry, _run

__all__ = ["linear", "linear_backward"]


def _signal(array):
    """(*, features) as a channels-last signal (1, features, rows), a view where memory allows."""
    rows = array.size // array.shape[-1] if array.shape[-1] else 0
    return array.reshape(rows, array.shape[-1]).T[np.newaxis]


def _check(op, input, weight):
    x = _arrays.as_array(op, "input", input)
    weight = _arrays.as_array(op, "weight", weight, x.dtype)
    return x, weight, _geometry.linear_geometry(op, x.shape, weight.shape)


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
    filters = _run.filters(weight, 1)
    _run.run_forward(geometry, _signal(x), filters, bias, _signal(out), num_threads, slope)
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
    need_input, *needs = _run.check_needs(op, needs)
    x_signal, g_signal = _signal(x), _signal(g)
    grad_input = grad_weight = grad_bias = None
    if need_input:
        grad_input = _arrays.empty(op, x.shape, x.dtype)
        _run.run_grad_input(
            geometry, g_signal, _run.filters(weight, 1), None, _signal(grad_input), num_threads,
            slope, gate=x_signal,
        )  # fmt: skip
    if any(needs):
        grad_weight, grad_bias = _run.run_grad_weight(
            geometry, x_signal, g_signal, weight, needs, num_threads
        )
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
