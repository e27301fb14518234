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
from fastconv.functional._geometry import Geometry


def filters(weight, groups):
    """(O, I/g, *k) as (G, O/g, I/g, kd, kh, kw), C-contiguous; a view if weight is so."""
    outer, inner, *kernel = weight.shape
    missing = (1,) * (3 - len(kernel))
    return np.ascontiguousarray(weight).reshape(groups, outer // groups, inner, *missing, *kernel)


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


def run_forward(
    geometry, x, filters, bias, y, num_threads, slope=1.0, gate=None, plus=None, norm=None
):  # fmt: skip
    """`slope` and `gate`: an activation of y, or the gradient of one, at the kernel's store.

    Without a gate a negative y is multiplied by the slope: ReLU has slope 0, LeakyReLU its own.
    With one, y is multiplied by it where the gate, the activation's output, is not positive, and
    `plus` is added before that.
    norm: the `factors` of a batch normalization before the activation; `plus` comes between these.
    """
    kernel = _kernels.conv[x.dtype.char]
    stride, dilation, pad = geometry.kernel_args
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    status = kernel.forward(
        _arrays.expand_space(x), filters, bias, _arrays.expand_space(y),
        *at_store(slope, gate, plus, norm), slope, stride, dilation, pad, threads,
    )  # fmt: skip
    check_status(geometry.op, status)


def run_grad_input(
    geometry, grad_output, filters, bias, grad, num_threads, slope=1.0, gate=None, plus=None,
    norm=None,
):  # fmt: skip
    """The options as for `run_forward`."""
    kernel = _kernels.conv[grad_output.dtype.char]
    stride, dilation, pad = geometry.kernel_args
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    status = kernel.grad_input(
        _arrays.expand_space(grad_output), regrouped(filters), bias, _arrays.expand_space(grad),
        *at_store(slope, gate, plus, norm), slope, stride, dilation, pad, threads,
    )  # fmt: skip
    check_status(geometry.op, status)


def plan(geometry, kernel, wide, narrow, weight, threads):
    """What one of the kernels would do; the arrays lend shapes and strides, not elements."""
    wide, narrow = _arrays.expand_space(wide), _arrays.expand_space(narrow)
    weight = filters(weight, geometry.groups)
    arrays = {
        "forward": (wide, weight, narrow),
        "grad_input": (narrow, regrouped(weight), wide),
        "grad_weight": (wide, narrow, weight),
    }[kernel]
    door = _kernels.conv[wide.dtype.char]
    found = getattr(door, f"plan_{kernel}")(*arrays, *geometry.kernel_args, threads)
    if found is None:
        raise MemoryError(f"{geometry.op}: no memory for the tables of a plan")
    return found


def behind(y, norm, plus):
    """Options of `run_forward` and `run_grad_input`, `norm` and `plus` giving these for y."""
    if norm is None:
        return {}
    return {"norm": norm(y), "plus": None if plus is None else plus(y)}


def at_store(slope, gate, plus, norm):
    """(gate, norm, plus) as the kernels take them."""
    if norm is None:
        gate, plus = _gate(gate, slope, plus)
        return gate, None, plus
    return None, norm, None if plus is None else _arrays.expand_space(plus)


def _gate(gate, slope, plus=None):
    """Both as the kernels take them: None where the slope leaves nothing to do."""
    if gate is None or slope == 1:
        return None, None
    gate = _arrays.expand_space(gate)
    if plus is None:
        return gate, None
    plus = _arrays.expand_space(plus)
    if plus.strides != gate.strides:  # the kernels walk both with the same steps
        gate, source = gate.copy(order="K"), plus
        plus = np.empty_like(gate)
        plus[...] = source
    return gate, plus


def run_grad_weight(geometry, x, grad_output, weight, needs, num_threads):
    """(grad_weight, grad_bias), None where `needs` has no use for one.

    grad_bias, the sum of grad_output over batch and space, comes from the same pass over it; its
    bits do not depend on whether grad_weight is needed.
    """
    need_weight, need_bias = needs
    grad_weight = _arrays.empty(geometry.op, weight.shape, weight.dtype)
    grad_bias = np.empty(grad_output.shape[1], weight.dtype) if need_bias else None
    if grad_output.size:
        kernel = _kernels.conv[x.dtype.char]
        stride, dilation, pad = geometry.kernel_args
        work = geometry.work if need_weight else _threads.ELEMENT_WORK * grad_output.size
        threads = _threads.effective(geometry.op, num_threads, work)
        status = kernel.grad_weight(
            _arrays.expand_space(x), _arrays.expand_space(grad_output),
            filters(grad_weight, geometry.groups), grad_bias, stride, dilation, pad, threads,
            bias_alone=not need_weight,
        )  # fmt: skip
        check_status(geometry.op, status)
    else:
        grad_weight[...] = 0
        if need_bias:
            grad_bias[...] = 0
    return grad_weight if need_weight else None, grad_bias


def grad_bias(op, grad_output, num_threads):
    """The sum over batch and space by itself, where no grad_weight reads grad_output that way."""
    batch, channels, *space = grad_output.shape
    ndim = len(space)
    geometry = Geometry(
        op, batch, 1, tuple(space), tuple(space), 1, channels,
        (1,) * ndim, (1,) * ndim, ((0, 0),) * ndim, (1,) * ndim,
    )  # fmt: skip
    weight = np.empty((channels, 1, *geometry.kernel), grad_output.dtype)
    needs = (False, True)
    return run_grad_weight(geometry, grad_output[:, :1], grad_output, weight, needs, num_threads)[1]


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
    return tuple(map(bool, needs))
