"""From checked arrays to one call of a convolution kernel.

Three kernels serve six operations:

    ===========  ======================  ========================================
    kernel       convolution             transposed convolution
    ===========  ======================  ========================================
    forward      output                  grad_input
    grad_input   grad_input              output
    grad_weight  grad_weight             grad_weight, with its two arrays exchanged
    ===========  ======================  ========================================
"""

import numpy as np

from fastconv import _kernels, _threads
from fastconv.functional import _arrays


def filters(weight, groups):
    """(O, I/g, *k) as (G, O/g, I/g, kd, kh, kw), C-contiguous; a view if weight is so."""
    split = np.ascontiguousarray(weight).reshape(
        groups, weight.shape[0] // groups, *weight.shape[1:]
    )
    return _arrays.expand_space(split, lead=3)


def regrouped(filters):
    """(G, O/g, I/g, *k) as (G, I/g, O/g, *k) with every slice inverted, a view."""
    return filters[:, :, :, ::-1, ::-1, ::-1].swapaxes(1, 2)


def check_bias(op, bias, channels, dtype):
    if bias is None:
        return None
    bias = _arrays.as_array(op, "bias", bias, dtype)
    if bias.shape != (channels,):
        raise ValueError(
            f"{op}: bias must have shape ({channels},), one for each output channel, "
            f"got {bias.shape}"
        )
    return np.ascontiguousarray(bias)


def check_status(op, status):
    if status:
        raise MemoryError(f"{op}: no memory for packed weights and scratch")


def output(op, shape, dtype, like, batched, out, inputs):
    """Where the result goes, with its batch axis; and what to return."""
    if out is None:
        result = _arrays.empty(op, shape, dtype, like)
        return result, result if batched else result[0]
    _arrays.check_out(op, out, shape if batched else shape[1:], dtype, inputs)
    return out if batched else out[np.newaxis], out


def run_forward(geometry, x, filters, bias, y, num_threads, slope=1.0, gate=None):
    """`slope` and `gate`: an activation of y, or the gradient of one, at the kernel's store.

    Without a gate a negative y is multiplied by the slope: ReLU has slope 0, LeakyReLU its own.
    With one, y is multiplied by it where the gate, the activation's output, is not positive.
    """
    kernel = _kernels.conv[x.dtype.char]
    stride, dilation, pad = geometry.kernel_args()
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    status = kernel.forward(
        _arrays.expand_space(x), filters, bias, _arrays.expand_space(y),
        _gate(gate, slope), slope, stride, dilation, pad, threads,
    )  # fmt: skip
    check_status(geometry.op, status)


def run_grad_input(geometry, grad_output, filters, bias, grad, num_threads, slope=1.0, gate=None):
    """`slope` and `gate` as for `run_forward`."""
    kernel = _kernels.conv[grad_output.dtype.char]
    stride, dilation, pad = geometry.kernel_args()
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    status = kernel.grad_input(
        _arrays.expand_space(grad_output), regrouped(filters), bias, _arrays.expand_space(grad),
        _gate(gate, slope), slope, stride, dilation, pad, threads,
    )  # fmt: skip
    check_status(geometry.op, status)


def _gate(gate, slope):
    """As the kernels take it: None where the slope leaves nothing to do."""
    return None if gate is None or slope == 1 else _arrays.expand_space(gate)


def run_grad_weight(geometry, x, grad_output, weight, num_threads):
    grad = _arrays.empty(geometry.op, weight.shape, weight.dtype)
    if x.size == 0 or grad_output.size == 0:
        grad[...] = 0
        return grad
    kernel = _kernels.conv[x.dtype.char]
    stride, dilation, pad = geometry.kernel_args()
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    status = kernel.grad_weight(
        _arrays.expand_space(x), _arrays.expand_space(grad_output),
        filters(grad, geometry.groups), stride, dilation, pad, threads,
    )  # fmt: skip
    check_status(geometry.op, status)
    return grad


def grad_bias(op, grad_output, num_threads):
    """The sum over batch and space: grad_weight of a 1x1 convolution whose input is all ones."""
    channels = grad_output.shape[1]
    if grad_output.size == 0:
        return np.zeros(channels, grad_output.dtype)
    grad = np.empty((1, channels, 1, 1, 1, 1), grad_output.dtype)
    grad_output = _arrays.expand_space(grad_output)
    ones = np.broadcast_to(
        np.ones(1, grad.dtype), (grad_output.shape[0], 1, *grad_output.shape[2:])
    )
    threads = _threads.effective(op, num_threads, grad_output.size)
    status = _kernels.conv[grad.dtype.char].grad_weight(
        ones, grad_output, grad, (1, 1, 1), (1, 1, 1), (0, 0, 0), threads
    )
    check_status(op, status)
    return grad.reshape(channels)


def check_grad_output(op, grad_output, ndim, shape, batched, dtype):
    grad_output = _arrays.as_array(op, "grad_output", grad_output, dtype)
    expected = shape if batched else shape[1:]
    if grad_output.shape != expected:
        raise ValueError(
            f"{op}: grad_output must have the shape {expected} of the output, "
            f"got {grad_output.shape}"
        )
    return _arrays.as_batch(op, "grad_output", grad_output, ndim)[0]


def check_needs(op, needs):
    if not isinstance(needs, (list, tuple)):
        raise TypeError(f"{op}: needs must be a tuple of three booleans, got {needs!r}")
    if len(needs) != 3:
        raise ValueError(f"{op}: needs must hold three booleans, got {needs!r}")
    return tuple(bool(need) for need in needs)
