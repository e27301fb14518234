"""Convolution in 1-D, 2-D and 3-D, and its gradients.

"Convolution" is the field's word for cross-correlation: filters are not flipped.  Sizes follow
Dumoulin & Visin, "A guide to convolution arithmetic for deep learning" (2016).
"""

import numpy as np

from fastconv import _shapes
from fastconv.functional import _arrays, _geometry, _run, _winograd

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "regroup_filters",
]


def regroup_filters(weight, groups=1):
    """Inverts every spatial slice of the filters and regroups the slices by input channel.

    With 20 filters over 3 channels there are 60 slices; each is inverted and they form 3 sets of
    depth 20.  Backpropagation through a convolution of stride 1 is a convolution with these.

    Parameters
    ----------
    weight : (O, I/groups, *kernel_size), float32 or float64
    groups : int, divides O

    Returns
    -------
    (I, O/groups, *kernel_size) array of its own memory

    Raises
    ------
    ValueError, TypeError : wrong shape, groups or dtype

    Notes
    -----
    Dumoulin & Visin (2016), relationship 8; applying it twice gives the weight back.
    """
    op = "regroup_filters"
    weight = _arrays.as_array(op, "weight", weight)
    groups = _shapes.integer(op, "groups", groups, 1)
    if weight.ndim not in (3, 4, 5):
        raise ValueError(f"{op}: weight must have 3 to 5 axes, got shape {weight.shape}")
    out_channels, per_group, kernel = _geometry.weight_shape(
        op, weight.ndim - 2, weight.shape, groups, "output channels"
    )
    regrouped = _run.regrouped(_run.filters(weight, groups))
    shape = (per_group * groups, out_channels // groups, *kernel)
    return np.ascontiguousarray(regrouped).reshape(shape)


def _conv(
    ndim, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, out=None,
    num_threads=None, algorithm=None, slope=1.0, kept=None, norm=None, plus=None,
):  # fmt: skip
    """All three, and the activation behind: negative results are multiplied by `slope`.

    kept: a layer's KeptFilters.  norm: a function that gives, for the output to be, the factors of
    a batch normalization before the activation; plus: one for what is added between these two.
    """
    op = f"conv{ndim}d"
    x = _arrays.as_array(op, "input", input)
    weight = _arrays.as_array(op, "weight", weight, x.dtype)
    x, batched = _arrays.as_batch(op, "input", x, ndim)
    geometry = _geometry.conv_geometry(
        op, ndim, x.shape, weight.shape, stride, padding, dilation, groups
    )
    algorithm = _winograd.check(geometry, algorithm)
    bias = _run.check_bias(op, bias, geometry.narrow_channels, x.dtype)
    inputs = [x, weight] + ([] if bias is None else [bias])
    y, result = _run.output(op, geometry.narrow_shape, x.dtype, x, batched, out, inputs)
    filters = _run.filters(weight, geometry.groups)
    run = _winograd.choose(geometry, algorithm, "forward")
    options = _run.behind(y, norm, plus)
    if run is not _run:
        options["kept"] = kept
    run.run_forward(geometry, x, filters, bias, y, num_threads, slope, **options)
    return result


def _conv_backward(
    ndim, grad_output, input, weight, stride=1, padding=0, dilation=1, groups=1,
    needs=(True, True, True), num_threads=None, algorithm=None, slope=1.0, plus=None,
):  # fmt: skip
    """All three, and the activation before: `input` is its output, grad_input by its own.

    `plus`: what another branch behind that activation adds to grad_input; needs a slope.
    """
    op = f"conv{ndim}d_backward"
    x = _arrays.as_array(op, "input", input)
    weight = _arrays.as_array(op, "weight", weight, x.dtype)
    x, batched = _arrays.as_batch(op, "input", x, ndim)
    geometry = _geometry.conv_geometry(
        op, ndim, x.shape, weight.shape, stride, padding, dilation, groups
    )
    algorithm = _winograd.check(geometry, algorithm)
    g = _run.check_grad_output(op, grad_output, ndim, geometry.narrow_shape, batched, x.dtype)
    need_input, *needs = _run.check_needs(op, needs)
    grad_input = grad_weight = grad_bias = None
    if need_input:
        if plus is not None and not batched:
            plus = plus[np.newaxis]
        grad, grad_input = _run.output(op, geometry.wide_shape, x.dtype, x, batched, None, ())
        filters = _run.filters(weight, geometry.groups)
        run = _winograd.choose(geometry, algorithm, "grad_input")
        run.run_grad_input(geometry, g, filters, None, grad, num_threads, slope, x, plus)
    if any(needs):
        run = _winograd.choose(geometry, algorithm, "grad_weight")
        grad_weight, grad_bias = run.run_grad_weight(geometry, x, g, weight, needs, num_threads)
    return grad_input, grad_weight, grad_bias


def conv1d(
    input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *,
    out=None, num_threads=None, algorithm=None,
):  # fmt: skip
    """1-D convolution; `conv2d` and `conv3d` are the same with two and three spatial axes.

        output[n, o, m] = bias[o] + sum over c, r of weight[o, c, r] input[n, c, s m + d r - p]

    Parameters
    ----------
    input : (N, C, L) or (C, L), float32 or float64, any strides; of NumPy or, on the CPU, of any
        library that knows DLPack, as all arrays here
    weight : (O, C/groups, k), dtype of the input
    bias : (O,) or None
    stride, dilation : int >= 1, or one for each spatial axis
    padding : int, one int for each axis, one (low, high) pair for each axis, "valid" (none) or
        "same" (output of ceil(L / stride), an odd zero on the high side)
    groups : int, divides C and O; group g of the output sees only group g of the input
    out : array for the result, of its shape and dtype, overlapping no input
    num_threads : int >= 1; default: see `set_num_threads`.  The result's bits do not depend on it
    algorithm : "direct", "winograd" (2 or 3 taps for each stride only: kernel size 2 or 3 at stride
        1, 3 to 6 at stride 2, and so on, and dilation 1; an error of some units more in the last
        place, also where a receptive field holds only zeros; a NaN or infinity reaches the whole
        tile of outputs), or "auto" (winograd where it is expected to be faster); default: see
        `set_algorithm`

    Returns
    -------
    (N, O, L_out) or (O, L_out), in the memory order of the input, with
    L_out = floor((L + 2p - d(k - 1) - 1) / s) + 1

    Raises
    ------
    ValueError, TypeError : an argument breaks a rule above
    OverflowError, MemoryError : the output is too large to address, or to allocate

    Notes
    -----
    Dumoulin & Visin (2016), relationships 6 and 15.  Denormal numbers count as zero, and results
    that small become zero.
    """
    return _conv(
        1, input, weight, bias, stride, padding, dilation, groups, out, num_threads, algorithm
    )


def conv2d(
    input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *,
    out=None, num_threads=None, algorithm=None,
):  # fmt: skip
    """2-D convolution of (N, C, H, W); see `conv1d`."""
    return _conv(
        2, input, weight, bias, stride, padding, dilation, groups, out, num_threads, algorithm
    )


def conv3d(
    input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *,
    out=None, num_threads=None, algorithm=None,
):  # fmt: skip
    """3-D convolution of (N, C, D, H, W); see `conv1d`."""
    return _conv(
        3, input, weight, bias, stride, padding, dilation, groups, out, num_threads, algorithm
    )


def conv1d_backward(
    grad_output, input, weight, stride=1, padding=0, dilation=1, groups=1, *,
    needs=(True, True, True), num_threads=None, algorithm=None,
):  # fmt: skip
    """Gradients of `conv1d`; the 2-D and 3-D ones are the same with more spatial axes.

    grad_input is the convolution of grad_output, stretched by the stride, with the regrouped
    inverted filters (`regroup_filters`).  grad_weight is the derivative for every use of a weight,
    added over batch and positions.  grad_bias is the sum of grad_output over both.

    Parameters
    ----------
    grad_output : (N, O, L_out) or (O, L_out), derivative of the loss by the output
    input, weight, stride, padding, dilation, groups, num_threads, algorithm : as for `conv1d`
    needs : which of the three gradients to compute

    Returns
    -------
    (grad_input, grad_weight, grad_bias), None where not needed; shapes of input, weight, (O,)

    Raises
    ------
    ValueError, TypeError, OverflowError, MemoryError : as `conv1d`
    """
    return _conv_backward(
        1, grad_output, input, weight, stride, padding, dilation, groups, needs, num_threads,
        algorithm,
    )  # fmt: skip


def conv2d_backward(
    grad_output, input, weight, stride=1, padding=0, dilation=1, groups=1, *,
    needs=(True, True, True), num_threads=None, algorithm=None,
):  # fmt: skip
    """Gradients of `conv2d`; see `conv1d_backward`."""
    return _conv_backward(
        2, grad_output, input, weight, stride, padding, dilation, groups, needs, num_threads,
        algorithm,
    )  # fmt: skip


def conv3d_backward(
    grad_output, input, weight, stride=1, padding=0, dilation=1, groups=1, *,
    needs=(True, True, True), num_threads=None, algorithm=None,
):  # fmt: skip
    """Gradients of `conv3d`; see `conv1d_backward`."""
    return _conv_backward(
        3, grad_output, input, weight, stride, padding, dilation, groups, needs, num_threads,
        algorithm,
    )  # fmt: skip
