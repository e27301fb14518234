"""The functions of `torch.nn.functional` under their names, on tensors.

Arguments, shapes and errors are those of `fastconv.conv2d` and its relatives: what PyTorch accepts
means the same here, and padding may also be (low, high) pairs, or "same" with any stride.
"""

from torch import Tensor, nn
from torch.autograd import forward_ad

from fastconv import _shapes
from fastconv.torch import _operators


def _conv(ndim, input, weight, bias, stride, padding, dilation, groups):
    op = f"conv{ndim}d"
    _check_axes(op, ndim, input, weight)
    stride = _shapes.per_axis(op, "stride", stride, ndim, 1)
    dilation = _shapes.per_axis(op, "dilation", dilation, ndim, 1)
    pads = _shapes.padding_pairs(op, padding, ndim)
    if pads == "same":
        pads = map(_shapes.same_padding, input.shape[-ndim:], weight.shape[2:], stride, dilation)
    return _operators.conv(input, weight, bias, stride, _flat(pads), dilation, groups)


def _conv_transpose(ndim, input, weight, bias, stride, padding, output_padding, groups, dilation):
    op = f"conv_transpose{ndim}d"
    _check_axes(op, ndim, input, weight)
    stride = _shapes.per_axis(op, "stride", stride, ndim, 1)
    dilation = _shapes.per_axis(op, "dilation", dilation, ndim, 1)
    output_padding = _shapes.per_axis(op, "output_padding", output_padding, ndim, 0)
    pads = _shapes.padding_pairs(op, padding, ndim)
    if pads == "same":
        raise ValueError(f"{op}: padding must be numbers for tensors, got {padding!r}")
    if any(s <= a < d for a, s, d in zip(output_padding, stride, dilation, strict=True)):
        input, output_padding = _whole_strides(input, stride, output_padding)
    return _operators.conv_transpose(
        input, weight, bias, stride, _flat(pads), output_padding, dilation, groups
    )


def _whole_strides(input, stride, output_padding):
    """The same with an output_padding below the stride: a zero more at the end for each stride."""
    border = [
        side
        for a, s in zip(reversed(output_padding), reversed(stride), strict=True)
        for side in (0, a // s)
    ]
    rest = [a % s for a, s in zip(output_padding, stride, strict=True)]
    return nn.functional.pad(input, border), rest


def _refuse_tangents(op, *tensors):
    """Operators of `torch.library` would pass them over, as if they were zero."""
    if forward_ad._current_level < 0:
        return
    for tensor in tensors:
        if isinstance(tensor, Tensor) and forward_ad.unpack_dual(tensor).tangent is not None:
            raise NotImplementedError(
                f"{op}: derivatives in forward mode are not computed here; take reverse mode"
            )


def _check_axes(op, ndim, input, weight):
    """The operators tell the rank from the weight, and their shapes are taken from both."""
    _refuse_tangents(op, input, weight)
    for name, tensor in (("input", input), ("weight", weight)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{op}: {name} must be a tensor, got {type(tensor).__name__}")
    if weight.ndim != ndim + 2:
        raise ValueError(f"{op}: weight must have {ndim + 2} axes, got shape {tuple(weight.shape)}")
    if input.ndim not in (ndim + 1, ndim + 2):
        raise ValueError(
            f"{op}: input must have {ndim + 2} axes (N, C, space) or {ndim + 1} without a batch, "
            f"got shape {tuple(input.shape)}"
        )


def _flat(pairs):
    return [side for pair in pairs for side in pair]


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """`torch.nn.functional.conv1d`: (N, C, L) with weight (O, C/groups, k)."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """`torch.nn.functional.conv2d`: (N, C, H, W) with weight (O, C/groups, *k)."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """`torch.nn.functional.conv3d`: (N, C, D, H, W) with weight (O, C/groups, *k)."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """`torch.nn.functional.conv_transpose1d`: (N, I, L) with weight (I, O/groups, k)."""
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """`torch.nn.functional.conv_transpose2d`: (N, I, H, W) with weight (I, O/groups, *k)."""
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """`torch.nn.functional.conv_transpose3d`: (N, I, D, H, W) with weight (I, O/groups, *k)."""
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )
