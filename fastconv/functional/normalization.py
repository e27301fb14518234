"""Normalizations: (x - mean) / sqrt(variance + eps) * weight + bias over some of the axes."""

import math

import numpy as np

from fastconv import _kernels, _shapes
from fastconv.functional import _arrays, _order, _passes

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "group_norm",
    "group_norm_backward",
    "layer_norm",
    "layer_norm_backward",
]

# Of a channel, from which on its elements are not worth a weight each.
FEW_PIXELS = 64


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1,
    eps=1e-5, *, num_threads=None,
):  # fmt: skip
    """Normalizes each channel of (N, C, *space) or (N, C).

    training: by the mean and variance over batch and space; running_mean and running_var, unless
    None, move towards them, in place, by `momentum` (towards the unbiased variance, as in PyTorch).
    Otherwise: by running_mean and running_var.  All of these and weight and bias are (C,).

    Returns (output, saved); `saved` = (mean, 1 / sqrt(variance + eps)), what was used, each (C,).
    Ioffe & Szegedy 2015, "Batch normalization".  Raises ValueError when training on a single value
    per channel, which has no variance.
    """
    return _batch_norm(
        input, running_mean, running_var, weight, bias, training, momentum, eps, num_threads
    )


def _batch_norm(*arguments, **options):
    """The same, and the activation behind; see `_batch_norm_of`."""
    return _batch_norm_of(*arguments, **options)()


def _batch_norm_of(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1,
    eps=1e-5, num_threads=None, slope=1.0, moments=(None, None), plus=None,
):  # fmt: skip
    """A function that computes the same, of a packed input and moments that may be yet to be.

    slope: of the activation behind, which multiplies negative results by it.
    moments: mean and variance of each channel in float64, if they are not to be taken.
    plus: a function that gives what is added before the activation, in the shape of its argument.
    """
    op = "batch_norm"
    x = _with_channels(op, input)
    channels, dtype = x.shape[1], x.dtype
    moving_mean = _running(op, "running_mean", running_mean, x, training)
    moving_var = _running(op, "running_var", running_var, x, training)
    weight = _per_channel(op, "weight", weight, x)
    bias = _per_channel(op, "bias", bias, x)
    if training and 0 < x.size == channels:
        raise ValueError(
            f"{op}: training needs more than one value per channel, got shape {x.shape}"
        )
    last = _arrays.is_channels_last(x)
    if plus is not None:
        plus = _passes.planes(plus(x), last)
    y = _arrays.empty_in_order(op, x.shape, dtype, last)
    found = np.empty((4, channels), dtype)
    normalize = _kernels.norm[dtype.char].normalize
    arguments = (
        _passes.planes(x, last), *moments, moving_mean, moving_var, training, momentum, weight,
        bias, eps, plus, slope, _passes.planes(y, last), found,
        _passes.threads_for(op, num_threads, x),
    )  # fmt: skip

    def run():
        if x.size == 0:
            mean, var = np.zeros((2, channels), dtype) if training else (moving_mean, moving_var)
            return y, (mean.copy(), 1 / np.sqrt(var + eps))
        _check_status(op, normalize(*arguments))
        if training:  # those that the kernel could not take as they lie
            if moving_mean is not running_mean:
                running_mean[...] = moving_mean
            if moving_var is not running_var:
                running_var[...] = moving_var
        return y, (found[0], found[1])

    return run


def _factors_of(input, running_mean, running_var, weight, bias, eps):
    """What a kernel needs that normalizes an array like `input` by the running statistics."""
    op = "batch_norm"
    found = np.empty((4, input.shape[1]), input.dtype)
    _kernels.norm[input.dtype.char].factors(
        _running(op, "running_mean", running_mean, input, False),
        _running(op, "running_var", running_var, input, False),
        _per_channel(op, "weight", weight, input), _per_channel(op, "bias", bias, input),
        eps, found,
    )  # fmt: skip
    return found


def batch_norm_backward(grad_output, input, weight, saved, training, *, num_threads=None):
    """Gradients of `batch_norm`: (grad_input, grad_weight, grad_bias).

    saved: what the forward pass returned.  weight: None where there was none.  training: whether
    the mean and the variance were those of the input, and so depend on it.
    """
    run, grad_input, of_affine, _ = _gradients_of(
        "batch_norm_backward", grad_output, input, weight, saved, training, num_threads
    )
    run()
    return grad_input, *of_affine


def _gradients_of(op, grad_output, input, weight, saved, training, num_threads, scaled=True):
    """(a function that computes them, grad_input, (grad_weight, grad_bias), the way to grad_input).

    Not `scaled`, grad_input is None, and the way to it is what `backward_scaled` takes.
    """
    x = _with_channels(op, input)
    g = _arrays.as_like(op, "grad_output", grad_output, x)
    weight = _per_channel(op, "weight", weight, x)
    mean, inverse = saved
    if not (_fits(mean, x) and _fits(inverse, x)):
        mean, inverse = map(np.ascontiguousarray, _saved(op, saved, (x.shape[1],), x))
    last = _arrays.is_channels_last(x)
    grad = _arrays.empty_in_order(op, x.shape, x.dtype, last) if scaled else None
    found = np.empty((5, x.shape[1]), x.dtype)
    g_planes, x_planes = _passes.planes(g, last), _passes.planes(x, last)
    normalize_backward = _kernels.norm[x.dtype.char].normalize_backward
    arguments = (
        g_planes, x_planes, mean, inverse, weight, training,
        _passes.planes(grad, last) if scaled else None, found,
        _passes.threads_for(op, num_threads, x),
    )  # fmt: skip

    def run():
        if x.size == 0:
            found[...] = 0
        else:
            _check_status(op, normalize_backward(*arguments))

    return run, grad, (found[3], found[4]), (g_planes, x_planes, mean, *found[:3])


def _check_status(op, status):
    if status:
        raise MemoryError(f"{op}: no memory for the sums")


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, *, num_threads=None):
    """Normalizes each of `num_groups` groups of channels of each example of (N, C, *space).

        output = (input - mean) / sqrt(variance + eps) * weight + bias

    by the mean and the (biased) variance of C / num_groups channels of one example.  Input and
    output are float32 or float64, (N, C, *space) or (N, C); weight and bias: (C,), of that dtype.
    Returns (output, saved); `saved` = (mean, 1 / sqrt(variance + eps)), each (N, num_groups).
    Wu & He 2018, "Group normalization".  Raises ValueError when num_groups does not divide C.
    """
    op = "group_norm"
    x = _with_channels(op, input)
    groups = _groups(op, x, num_groups)
    weight = _per_channel(op, "weight", weight, x)
    bias = _per_channel(op, "bias", bias, x)
    kept = x.shape[0], groups
    if x.size == 0:
        return x.copy(order="K"), (np.zeros(kept, x.dtype),) * 2
    last = _arrays.is_channels_last(x)
    y = _arrays.empty_in_order(op, x.shape, x.dtype, last)
    x_planes, y_planes = _passes.planes(x, last), _passes.planes(y, last)
    found = np.empty((2, *kept), x.dtype)
    threads = _passes.threads_for(op, num_threads, x)
    if _is_of_elements(x, last):
        weight, bias = (_of_elements(each, x) for each in (weight, bias))
        shape = *kept, x[0].size // groups
        _normalize_runs(x_planes.reshape(shape), weight, bias, eps, y_planes.reshape(shape), found,
                        threads)  # fmt: skip
    else:
        normalize = _kernels.group_norm[x.dtype.char].normalize
        factors = np.empty((4, x.shape[0] * x.shape[1]), x.dtype)
        _check_status(op, normalize(
            x_planes, *kept, weight, bias, eps, y_planes, found.reshape(2, -1), factors, threads
        ))  # fmt: skip
    return y, (found[0], found[1])


def group_norm_backward(grad_output, input, num_groups, weight, saved, *, num_threads=None):
    """Gradients of `group_norm`: (grad_input, grad_weight, grad_bias).

    saved: what the forward pass returned.  weight: None where there was none.
    """
    op = "group_norm_backward"
    x = _with_channels(op, input)
    g = _arrays.as_like(op, "grad_output", grad_output, x)
    groups = _groups(op, x, num_groups)
    weight = _per_channel(op, "weight", weight, x)
    kept = x.shape[0], groups
    found = np.stack(_saved(op, saved, kept, x))
    last = _arrays.is_channels_last(x)
    grad = _arrays.empty_in_order(op, x.shape, x.dtype, last)
    of_affine = np.zeros((2, x.shape[1]), x.dtype)
    planes = [_passes.planes(each, last) for each in (g, x, grad)]
    threads = _passes.threads_for(op, num_threads, x)
    if x.size == 0:
        pass
    elif _is_of_elements(x, last):
        runs = [each.reshape(*kept, x[0].size // groups) for each in planes]
        _runs_backward(op, *runs, _of_elements(weight, x), found, of_affine, threads)
    else:
        normalize_backward = _kernels.group_norm[x.dtype.char].normalize_backward
        factors = np.empty((4, x.shape[0] * x.shape[1]), x.dtype)
        _check_status(op, normalize_backward(
            *planes[:2], *kept, weight, found.reshape(2, -1), planes[2], of_affine, factors, threads
        ))  # fmt: skip
    return grad, of_affine[0], of_affine[1]


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, *, num_threads=None):
    """Normalizes each example over its last axes, those of `normalized_shape`.

        output = (input - mean) / sqrt(variance + eps) * weight + bias

    by the mean and the (biased) variance of these axes.  Input and output are float32 or float64;
    normalized_shape: the size of the last axis, or a tuple of those of the last axes; weight and
    bias: of that shape and the input's dtype.  Returns (output, saved); `saved` =
    (mean, 1 / sqrt(variance + eps)), in the input's shape with 1 for the normalized axes.
    Ba, Kiros & Hinton 2016, "Layer normalization".  Raises ValueError when the input does not end
    in normalized_shape.
    """
    op = "layer_norm"
    x, shape = _last_axes(op, input, normalized_shape)
    weight, bias = _affine_over(op, weight, bias, shape, x)
    kept = x.shape[: x.ndim - len(shape)] + (1,) * len(shape)
    if x.size == 0:
        return x.copy(order="K"), (np.zeros(kept, x.dtype),) * 2
    last = _arrays.is_channels_last(x)
    whole = last and len(shape) == x.ndim - 1
    y = _arrays.empty_in_order(op, x.shape, x.dtype, whole)
    runs = [_runs(op, each, shape, whole, num_threads) for each in (x, y)]
    weight, bias = (_in_order_of_runs(op, each, whole, num_threads) for each in (weight, bias))
    found = np.empty((2, *kept), x.dtype)
    threads = _passes.threads_for(op, num_threads, x)
    _normalize_runs(runs[0], weight, bias, eps, runs[1], found, threads)
    if last and not whole:
        y = _order.to_channels_last(op, y, num_threads)
    return y, (found[0], found[1])


def layer_norm_backward(
    grad_output, input, normalized_shape, weight, saved, *, num_threads=None
):  # fmt: skip
    """Gradients of `layer_norm`: (grad_input, grad_weight, grad_bias).

    saved: what the forward pass returned.  weight: None where there was none.
    """
    op = "layer_norm_backward"
    x, shape = _last_axes(op, input, normalized_shape)
    g = _arrays.as_like(op, "grad_output", grad_output, x)
    weight, _ = _affine_over(op, weight, None, shape, x)
    found = np.stack(_saved(op, saved, x.shape[: x.ndim - len(shape)] + (1,) * len(shape), x))
    last = _arrays.is_channels_last(x)
    whole = last and len(shape) == x.ndim - 1
    grad = _arrays.empty_in_order(op, x.shape, x.dtype, whole)
    of_affine = np.zeros((2, math.prod(shape)), x.dtype)
    if x.size:
        runs = [_runs(op, each, shape, whole, num_threads) for each in (g, x, grad)]
        weight = _in_order_of_runs(op, weight, whole, num_threads)
        threads = _passes.threads_for(op, num_threads, x)
        _runs_backward(op, *runs, weight, found, of_affine, threads)
    if last and not whole:
        grad = _order.to_channels_last(op, grad, num_threads)
    if whole:
        of_affine = of_affine.reshape(2, *shape[1:], shape[0])
        of_affine = _order.to_c_order(op, _arrays.channels_from_end(of_affine), num_threads)
    grad_weight, grad_bias = of_affine.reshape(2, *shape)
    return grad, grad_weight, grad_bias


def _normalize_runs(x, weight, bias, eps, y, found, threads):
    """Each run of (images, groups, run); weight and bias are those of the elements, or None."""
    size = x[0].size
    weight = np.ones(size, x.dtype) if weight is None else weight
    bias = np.zeros(size, x.dtype) if bias is None else bias
    normalize_runs = _kernels.group_norm[x.dtype.char].normalize_runs
    normalize_runs(x, weight, bias, eps, y, found.reshape(2, -1), threads)


def _runs_backward(op, g, x, grad, weight, found, of_affine, threads):
    weight = np.ones(x[0].size, x.dtype) if weight is None else weight
    normalize_runs_backward = _kernels.group_norm[x.dtype.char].normalize_runs_backward
    found = found.reshape(2, -1)
    _check_status(op, normalize_runs_backward(g, x, weight, found, grad, of_affine, threads))


def _is_of_elements(x, last):
    """Whether a group is one run of memory in which a channel's elements are few, or one."""
    pixels = math.prod(x.shape[2:])
    return pixels == 1 or (not last and pixels < FEW_PIXELS)


def _of_elements(values, x):
    """Values of the channels as those of every element of an example; None stays None."""
    return None if values is None else np.repeat(values, math.prod(x.shape[2:]))


def _runs(op, x, shape, whole, num_threads):
    """(examples, 1, elements of `shape`): in C order, or, of `whole` examples, channels last."""
    lines = _arrays.channels_to_end(x) if whole else _order.to_c_order(op, x, num_threads)
    return np.ascontiguousarray(lines).reshape(-1, 1, math.prod(shape))


def _in_order_of_runs(op, values, whole, num_threads):
    """Values of normalized_shape, flat, as `_runs` has its elements; None stays None."""
    if values is None:
        return None
    if whole:
        values = _arrays.channels_to_end(_order.to_channels_last(op, values[None], num_threads))
    return np.ascontiguousarray(values).reshape(-1)


def _last_axes(op, input, normalized_shape):
    """(input, normalized_shape as a tuple)."""
    x = _arrays.as_array(op, "input", input)
    shape = _shapes.shape(op, "normalized_shape", normalized_shape)
    if x.shape[-len(shape) :] != shape:
        raise ValueError(
            f"{op}: input must end in the axes normalized_shape={shape}, got shape {x.shape}"
        )
    return x, shape


def _affine_over(op, weight, bias, shape, x):
    """weight and bias of `shape`, or None."""
    checked = []
    for name, values in (("weight", weight), ("bias", bias)):
        if values is not None:
            values = _arrays.as_array(op, name, values, x.dtype)
            if values.shape != shape:
                raise ValueError(
                    f"{op}: {name} must have shape {shape}, that of normalized_shape, "
                    f"got {values.shape}"
                )
        checked.append(values)
    return checked


def _with_channels(op, input):
    x = _arrays.as_array(op, "input", input)
    if x.ndim < 2:
        raise ValueError(f"{op}: input must be (N, C, *space) or (N, C), got shape {x.shape}")
    return x


def _groups(op, x, num_groups):
    num_groups = _shapes.integer(op, "num_groups", num_groups, 1)
    if x.shape[1] % num_groups:
        raise ValueError(
            f"{op}: num_groups must divide the {x.shape[1]} input channels, got {num_groups}"
        )
    return num_groups


def _fits(values, x):
    """Whether a kernel takes `values` (C,) of the input x as they lie, also to write to them."""
    return (
        type(values) is np.ndarray
        and values.dtype is x.dtype
        and values.shape == x.shape[1:2]
        and values.flags.carray
    )


def _per_channel(op, name, values, x):
    """`values` (C,), contiguous; None stands for none."""
    if values is None or _fits(values, x):
        return values
    values = _arrays.as_array(op, name, values, x.dtype)
    if values.shape != (x.shape[1],):
        raise ValueError(
            f"{op}: {name} must have shape ({x.shape[1]},), one for each channel, "
            f"got {values.shape}"
        )
    return np.ascontiguousarray(values)


def _running(op, name, values, x, training):
    """As `_per_channel`; when training, of an array that the caller can write to."""
    if values is None:
        if training:
            return None
        raise ValueError(f"{op}: {name} is needed unless training=True, got None")
    if _fits(values, x):
        return values
    checked = _per_channel(op, name, values, x)
    if training and not (isinstance(values, np.ndarray) and values.flags.writeable):
        raise ValueError(f"{op}: {name} must be a writeable NumPy array when training")
    return checked


def _saved(op, saved, shape, x):
    mean, inverse = (_arrays.as_array(op, "saved", each, x.dtype) for each in saved)
    if mean.shape != shape or inverse.shape != shape:
        raise ValueError(
            f"{op}: saved must be two arrays of shape {shape}, as the forward pass returned them, "
            f"got {mean.shape} and {inverse.shape}"
        )
    return mean, inverse
