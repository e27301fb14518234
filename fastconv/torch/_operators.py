"""The three operators, `torch.ops.fastconv.*`: their arrays, their shapes, their gradients.

`padding` is flat here: low and high of each axis in turn.  output_padding is below the stride, so
that the convolution that is the gradient of a transposed one ends where that one began.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fastconv import _shapes, _threads
from fastconv.functional.conv import _conv, _conv_backward
from fastconv.functional.conv_transpose import _conv_transpose

FLOATS = (torch.float32, torch.float64)


@torch.library.custom_op("fastconv::conv", mutates_args=())
def conv(
    input: Tensor, weight: Tensor, bias: Tensor | None,
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int,
) -> Tensor:  # fmt: skip
    op = _name("conv", weight)
    x, w, b = _array(op, "input", input), _array(op, "weight", weight), _array(op, "bias", bias)
    with _threads.at_most(torch.get_num_threads()):
        y = _conv(w.ndim - 2, x, w, b, tuple(stride), _pairs(padding), tuple(dilation), groups)
    return torch.from_numpy(y)


@torch.library.custom_op("fastconv::conv_transpose", mutates_args=())
def conv_transpose(
    input: Tensor, weight: Tensor, bias: Tensor | None,
    stride: Sequence[int], padding: Sequence[int], output_padding: Sequence[int],
    dilation: Sequence[int], groups: int,
) -> Tensor:  # fmt: skip
    op = _name("conv_transpose", weight)
    x, w, b = _array(op, "input", input), _array(op, "weight", weight), _array(op, "bias", bias)
    with _threads.at_most(torch.get_num_threads()):
        y = _conv_transpose(
            w.ndim - 2, x, w, b,
            tuple(stride), _pairs(padding), tuple(output_padding), groups, tuple(dilation),
        )  # fmt: skip
    return torch.from_numpy(y)


@torch.library.custom_op("fastconv::conv_grad_weight", mutates_args=())
def conv_grad_weight(
    wide: Tensor, narrow: Tensor, kernel_size: Sequence[int],
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int,
) -> Tensor:  # fmt: skip
    ndim = len(kernel_size)
    op = f"conv{ndim}d_backward"
    x, g = _array(op, "input", wide), _array(op, "grad_output", narrow)
    shape = _weight_shape(wide, narrow, kernel_size, groups)
    with _threads.at_most(torch.get_num_threads()):
        _, grad_weight, _ = _conv_backward(
            ndim, g, x, np.empty(shape, x.dtype),
            tuple(stride), _pairs(padding), tuple(dilation), groups, needs=(False, True, False),
        )  # fmt: skip
    return torch.from_numpy(grad_weight)


def _name(family, weight):
    return f"{family}{weight.ndim - 2}d"


def _pairs(padding):
    return tuple(zip(padding[::2], padding[1::2], strict=True))


def _array(op, name, tensor):
    """The tensor's memory as an array."""
    if tensor is None:
        return None
    if tensor.device.type != "cpu":
        raise ValueError(f"{op}: {name} must be on the CPU, got a tensor on {tensor.device}")
    if tensor.dtype not in FLOATS:
        raise TypeError(f"{op}: {name} must be float32 or float64, got {tensor.dtype}")
    return tensor.detach().numpy()


def _weight_shape(wide, narrow, kernel_size, groups):
    axis = -1 - len(kernel_size)
    return (narrow.shape[axis], wide.shape[axis] // groups, *kernel_size)


def _sizes(rule, tensor, kernel_size, *options):
    """The spatial sizes that a rule of `_shapes` gives, axis by axis."""
    space = tensor.shape[tensor.ndim - len(kernel_size) :]
    return [rule(*axis) for axis in zip(space, kernel_size, *options, strict=True)]


def _empty(like, channels, space):
    """A tensor in the memory order of `like`, as `fastconv.functional` chooses it."""
    batch = like.shape[: like.ndim - len(space) - 1]
    lines = like if batch else like[None]
    lines = lines.movedim(1, -1)
    last = lines.is_contiguous() and (
        not like.is_contiguous()
        or (lines.shape[-1] == 1 and lines.stride(-1) == 1 and math.prod(lines.shape[1:-1]) > 1)
    )
    if last:
        return like.new_empty((*batch, *space, channels)).movedim(-1, len(batch))
    return like.new_empty((*batch, channels, *space))


@conv.register_fake
def _(input, weight, bias, stride, padding, dilation, groups):
    pads, kernel = _pairs(padding), weight.shape[2:]
    space = _sizes(_shapes.conv_out_size, input, kernel, stride, pads, dilation)
    return _empty(input, weight.shape[0], space)


@conv_transpose.register_fake
def _(input, weight, bias, stride, padding, output_padding, dilation, groups):
    pads, kernel = _pairs(padding), weight.shape[2:]
    rule = _shapes.conv_transpose_out_size
    space = _sizes(rule, input, kernel, stride, pads, output_padding, dilation)
    return _empty(input, weight.shape[1] * groups, space)


@conv_grad_weight.register_fake
def _(wide, narrow, kernel_size, stride, padding, dilation, groups):
    return wide.new_empty(_weight_shape(wide, narrow, kernel_size, groups))


def _beyond(wide, kernel_size, stride, padding, dilation):
    """Cells of `wide` on the high side that no window reaches: what output_padding restores."""

    def rule(size, kernel, stride, pad, dilation):
        return (size + pad[0] + pad[1] - _shapes.dilated(kernel, dilation)) % stride

    return _sizes(rule, wide, kernel_size, stride, _pairs(padding), dilation)


def _grad_bias(grad_output, kernel_size):
    channels = grad_output.ndim - len(kernel_size) - 1
    return grad_output.sum([axis for axis in range(grad_output.ndim) if axis != channels])


def _keep(ctx, inputs, output):
    tensors, ctx.options = inputs[:2], inputs[2:]
    ctx.save_for_backward(*tensors)


def _conv_gradients(ctx, grad_output):
    input, weight = ctx.saved_tensors
    _, stride, padding, dilation, groups = ctx.options
    kernel = weight.shape[2:]
    grad_input = grad_weight = grad_bias = None
    if ctx.needs_input_grad[0]:
        beyond = _beyond(input, kernel, stride, padding, dilation)
        grad_input = conv_transpose(
            grad_output, weight, None, stride, padding, beyond, dilation, groups
        )
    if ctx.needs_input_grad[1]:
        grad_weight = conv_grad_weight(
            input, grad_output, kernel, stride, padding, dilation, groups
        )
    if ctx.needs_input_grad[2]:
        grad_bias = _grad_bias(grad_output, kernel)
    return grad_input, grad_weight, grad_bias, None, None, None, None


def _conv_transpose_gradients(ctx, grad_output):
    input, weight = ctx.saved_tensors
    _, stride, padding, _, dilation, groups = ctx.options
    kernel = weight.shape[2:]
    grad_input = grad_weight = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_input = conv(grad_output, weight, None, stride, padding, dilation, groups)
    if ctx.needs_input_grad[1]:
        grad_weight = conv_grad_weight(
            grad_output, input, kernel, stride, padding, dilation, groups
        )
    if ctx.needs_input_grad[2]:
        grad_bias = _grad_bias(grad_output, kernel)
    return grad_input, grad_weight, grad_bias, None, None, None, None, None


def _conv_grad_weight_gradients(ctx, grad):
    wide, narrow = ctx.saved_tensors
    kernel, stride, padding, dilation, groups = ctx.options
    grad_wide = grad_narrow = None
    if ctx.needs_input_grad[0]:
        beyond = _beyond(wide, kernel, stride, padding, dilation)
        grad_wide = conv_transpose(narrow, grad, None, stride, padding, beyond, dilation, groups)
    if ctx.needs_input_grad[1]:
        grad_narrow = conv(wide, grad, None, stride, padding, dilation, groups)
    return grad_wide, grad_narrow, None, None, None, None, None


conv.register_autograd(_conv_gradients, setup_context=_keep)
conv_transpose.register_autograd(_conv_transpose_gradients, setup_context=_keep)
conv_grad_weight.register_autograd(_conv_grad_weight_gradients, setup_context=_keep)

for _operator in (conv, conv_transpose, conv_grad_weight):
    # Where autocast gives lower precisions to other layers, these take and return float32.
    _operator.register_autocast("cpu", torch.float32)
