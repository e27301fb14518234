"""Transposed convolution in 1-D, 2-D and 3-D, and its gradients."""

from fastconv.functional import _arrays, _geometry, _run, _winograd

__all__ = [
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
]


def _conv_transpose(
    ndim, input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1,
    output_size=None, out=None, num_threads=None, algorithm=None, slope=1.0, norm=None, plus=None,
):  # fmt: skip
    """All three, and the activation behind; `slope`, `norm` and `plus` as for `_conv`."""
    op = f"conv_transpose{ndim}d"
    x = _arrays.as_array(op, "input", input)
    weight = _arrays.as_array(op, "weight", weight, x.dtype)
    x, batched = _arrays.as_batch(op, "input", x, ndim)
    geometry = _geometry.transpose_geometry(
        op, ndim, x.shape, weight.shape, stride, padding, output_padding, groups, dilation,
        output_size,
    )  # fmt: skip
    algorithm = _winograd.check(geometry, algorithm)
    bias = _run.check_bias(op, bias, geometry.wide_channels, x.dtype)
    inputs = [x, weight] + ([] if bias is None else [bias])
    y, result = _run.output(op, geometry.wide_shape, x.dtype, x, batched, out, inputs)
    filters = _run.filters(weight, geometry.groups)
    run = _winograd.choose(geometry, algorithm, "grad_input")
    options = _run.behind(y, norm, plus)
    run.run_grad_input(geometry, x, filters, bias, y, num_threads, slope, **options)
    return result


def _conv_transpose_backward(
    ndim, grad_output, input, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1,
    needs=(True, True, True), num_threads=None, algorithm=None, slope=1.0,
):  # fmt: skip
    """All three, and the activation before: `input` is its output, grad_input by its own."""
    op = f"conv_transpose{ndim}d_backward"
    x = _arrays.as_array(op, "input", input)
    weight = _arrays.as_array(op, "weight", weight, x.dtype)
    x, batched = _arrays.as_batch(op, "input", x, ndim)
    geometry = _geometry.transpose_geometry(
        op, ndim, x.shape, weight.shape, stride, padding, output_padding, groups, dilation
    )
    algorithm = _winograd.check(geometry, algorithm)
    g = _run.check_grad_output(op, grad_output, ndim, geometry.wide_shape, batched, x.dtype)
    need_input, need_weight, need_bias = _run.check_needs(op, needs)
    grad_input = grad_weight = grad_bias = None
    if need_input:
        grad, grad_input = _run.output(op, geometry.narrow_shape, x.dtype, x, batched, None, ())
        filters = _run.filters(weight, geometry.groups)
        run = _winograd.choose(geometry, algorithm, "forward")
        run.run_forward(geometry, g, filters, None, grad, num_threads, slope, gate=x)
    if need_weight:
        run = _winograd.choose(geometry, algorithm, "grad_weight")
        grad_weight, _ = run.run_grad_weight(geometry, g, x, weight, (True, False), num_threads)
    if need_bias:
        # Not beside grad_weight: there grad_output plays the input.
        grad_bias = _run.grad_bias(op, g, num_threads)
    return grad_input, grad_weight, grad_bias


def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
    output_size=None, out=None, num_threads=None, algorithm=None,
):  # fmt: skip
    """1-D transposed convolution; the 2-D and 3-D ones are the same with more spatial axes.

    The adjoint of `conv1d` with the same weight, stride, padding and dilation: multiplication by
    the transpose of its matrix, and not an inverse.  Computed by phases: output positions of equal
    remainder modulo the stride are one ordinary convolution (Shi et al. 2016, "Is the
    deconvolution layer the same as a convolutional layer?").

    Parameters
    ----------
    input : (N, I, L) or (I, L), float32 or float64, any strides
    weight : (I, O/groups, k): the very array of the convolution it transposes
    bias : (O,) or None
    stride, dilation : int >= 1, or one for each spatial axis
    padding : as for `conv1d`; it crops the output.  "same" gives an output of L times stride
    output_padding : cells more on the high side, fewer than stride or dilation
    groups : int, divides I and O
    output_size : the spatial size wanted, instead of output_padding
    out, num_threads : as for `conv1d`
    algorithm : as for `conv1d`

    Returns
    -------
    (N, O, L_out) or (O, L_out), in the memory order of the input, with
    L_out = (L - 1)s - 2p + d(k - 1) + 1 + output_padding

    Raises
    ------
    ValueError, TypeError, OverflowError, MemoryError : as `conv1d`

    Notes
    -----
    Dumoulin & Visin (2016), relationship 14.
    """
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation, output_size,
        out, num_threads, algorithm,
    )  # fmt: skip


def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
    output_size=None, out=None, num_threads=None, algorithm=None,
):  # fmt: skip
    """2-D transposed convolution of (N, I, H, W); see `conv_transpose1d`."""
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation, output_size,
        out, num_threads, algorithm,
    )  # fmt: skip


def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
    output_size=None, out=None, num_threads=None, algorithm=None,
):  # fmt: skip
    """3-D transposed convolution of (N, I, D, H, W); see `conv_transpose1d`."""
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation, output_size,
        out, num_threads, algorithm,
    )  # fmt: skip


def conv_transpose1d_backward(
    grad_output, input, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
    needs=(True, True, True), num_threads=None, algorithm=None,
):  # fmt: skip
    """Gradients of `conv_transpose1d`; the 2-D and 3-D ones are the same with more spatial axes.

    grad_input is `conv1d` of grad_output with the same weight; grad_weight is that of the
    convolution with input and grad_output exchanged.

    Parameters
    ----------
    grad_output : (N, O, L_out) or (O, L_out); with output_size in the forward pass, name the
        output_padding that it amounted to
    input, weight, stride, padding, output_padding, groups, dilation, num_threads, algorithm :
        as for `conv_transpose1d`
    needs : which of the three gradients to compute

    Returns
    -------
    (grad_input, grad_weight, grad_bias), None where not needed; shapes of input, weight, (O,)

    Raises
    ------
    ValueError, TypeError, OverflowError, MemoryError : as `conv_transpose1d`
    """
    return _conv_transpose_backward(
        1, grad_output, input, weight, stride, padding, output_padding, groups, dilation, needs,
        num_threads, algorithm,
    )  # fmt: skip


def conv_transpose2d_backward(
    grad_output, input, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
    needs=(True, True, True), num_threads=None, algorithm=None,
):  # fmt: skip
    """Gradients of `conv_transpose2d`; see `conv_transpose1d_backward`."""
    return _conv_transpose_backward(
        2, grad_output, input, weight, stride, padding, output_padding, groups, dilation, needs,
        num_threads, algorithm,
    )  # fmt: skip


def conv_transpose3d_backward(
    grad_output, input, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
    needs=(True, True, True), num_threads=None, algorithm=None,
):  # fmt: skip
    """Gradients of `conv_transpose3d`; see `conv_transpose1d_backward`."""
    return _conv_transpose_backward(
        3, grad_output, input, weight, stride, padding, output_padding, groups, dilation, needs,
        num_threads, algorithm,
    )  # fmt: skip
