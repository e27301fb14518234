"""Normalizations: (x - mean) / sqrt(variance + eps) * weight + bias over some of the axes."""

import numpy as np

from fastconv import _kernels, _shapes
from fastconv.functional import _arrays, _passes

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "group_norm",
    "group_norm_backward",
    "layer_norm",
    "layer_norm_backward",
]


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


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalizes each of `num_groups` groups of channels of each example of (N, C, *space).

    weight and bias: (C,).  Returns (output, saved); `saved` = (mean, 1 / sqrt(variance + eps)),
    each (N, num_groups).  Wu & He 2018, "Group normalization".  Raises ValueError when num_groups
    does not divide C.
    """
    op = "group_norm"
    x = _with_channels(op, input)
    groups = _in_groups(op, x, num_groups)
    weight, bias = _affine(op, weight, bias, x)
    if x.size == 0:
        return x.copy(order="K"), (np.zeros(groups.shape[:2], x.dtype),) * 2
    centred, mean, variance = _centre(groups, tuple(range(2, groups.ndim)))
    inverse = 1 / np.sqrt(variance + eps)
    centred *= inverse
    saved = mean.reshape(groups.shape[:2]), inverse.reshape(groups.shape[:2])
    return _times_plus(centred.reshape(x.shape), weight, bias), saved


def group_norm_backward(grad_output, input, num_groups, weight, saved):
    """Gradients of `group_norm`: (grad_input, grad_weight, grad_bias)."""
    op = "group_norm_backward"
    x = _with_channels(op, input)
    g = _arrays.as_like(op, "grad_output", grad_output, x)
    groups = _in_groups(op, x, num_groups)
    weight, _ = _affine(op, weight, None, x)
    lead = groups.shape[:2]
    inner = (1,) * (groups.ndim - 2)
    mean, inverse = (each.reshape(*lead, *inner) for each in _saved(op, saved, lead, x))
    normal = (groups - mean) * inverse
    axes = (0, *range(2, x.ndim))
    grad_weight, grad_bias = (g * normal.reshape(x.shape)).sum(axes), g.sum(axes)
    if weight is not None:
        g = g * weight
    if x.size:
        g = _without_mean(g.reshape(groups.shape), normal, tuple(range(2, groups.ndim)))
    return (g.reshape(groups.shape) * inverse).reshape(x.shape), grad_weight, grad_bias


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalizes each example over its last axes, those of `normalized_shape`.

    normalized_shape: the size of the last axis, or a tuple of those of the last axes.  weight and
    bias: of that shape.  Returns (output, saved); `saved` = (mean, 1 / sqrt(variance + eps)), in
    the input's shape with 1 for the normalized axes.  Ba et al. 2016, "Layer normalization".
    Raises ValueError when the input does not end in normalized_shape.
    """
    op = "layer_norm"
    x, shape, axes = _last_axes(op, input, normalized_shape)
    weight, bias = _affine_over(op, weight, bias, shape, x)
    if x.size == 0:
        return x.copy(order="K"), (np.zeros(_kept(x, axes), x.dtype),) * 2
    centred, mean, variance = _centre(x, axes)
    inverse = 1 / np.sqrt(variance + eps)
    centred *= inverse
    return _times_plus(centred, weight, bias), (mean, inverse)


def layer_norm_backward(grad_output, input, normalized_shape, weight, saved):
    """Gradients of `layer_norm`: (grad_input, grad_weight, grad_bias)."""
    op = "layer_norm_backward"
    x, shape, axes = _last_axes(op, input, normalized_shape)
    g = _arrays.as_like(op, "grad_output", grad_output, x)
    weight, _ = _affine_over(op, weight, None, shape, x)
    mean, inverse = _saved(op, saved, _kept(x, axes), x)
    normal = (x - mean) * inverse
    lead = tuple(range(axes[0]))
    grad_weight, grad_bias = (g * normal).sum(lead), g.sum(lead)
    if weight is not None:
        g = g * weight
    if x.size:
        g = _without_mean(g, normal, axes)
    return g * inverse, grad_weight, grad_bias


def _last_axes(op, input, normalized_shape):
    """(input, normalized_shape as a tuple, the axes of the input that it names)."""
    x = _arrays.as_array(op, "input", input)
    shape = _shapes.shape(op, "normalized_shape", normalized_shape)
    if x.shape[-len(shape) :] != shape:
        raise ValueError(
            f"{op}: input must end in the axes normalized_shape={shape}, got shape {x.shape}"
        )
    return x, shape, tuple(range(x.ndim - len(shape), x.ndim))


def _kept(x, axes):
    return x.shape[: axes[0]] + (1,) * len(axes)


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


def _in_groups(op, x, num_groups):
    """(N, C, *space) as (N, G, C / G, *space), a view."""
    num_groups = _shapes.integer(op, "num_groups", num_groups, 1)
    if x.shape[1] % num_groups:
        raise ValueError(
            f"{op}: num_groups must divide the {x.shape[1]} input channels, got {num_groups}"
        )
    return x.reshape(x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:])


def _over_channels(values, x):
    """(C,) in a shape that broadcasts over (N, C, *space)."""
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def _fits(values, x):
    """Whether the kernel takes `values` (C,) of the input x as they lie."""
    if type(values) is not np.ndarray or values.dtype != x.dtype or values.ndim != 1:
        return False
    flags = values.flags
    return len(values) == x.shape[1] and flags.c_contiguous and flags.aligned


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


def _affine(op, weight, bias, x):
    return tuple(
        None if values is None else _over_channels(values, x)
        for values in (_per_channel(op, "weight", weight, x), _per_channel(op, "bias", bias, x))
    )


def _running(op, name, values, x, training):
    """As `_per_channel`; when training, of an array that the caller can write to."""
    if values is None:
        if training:
            return None
        raise ValueError(f"{op}: {name} is needed unless training=True, got None")
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


def _centre(x, axes):
    """x - mean, the mean and the (biased) variance over `axes`, which are kept."""
    mean = x.mean(axes, keepdims=True)
    centred = x - mean
    return centred, mean, np.square(centred).mean(axes, keepdims=True)


def _times_plus(values, factor, term):
    """values * factor + term, in place; None stands for none."""
    if factor is not None:
        values *= factor
    if term is not None:
        values += term
    return values


def _without_mean(g, normal, axes):
    """g less its components along 1 and along `normal`, which normalizing takes away."""
    along = (g * normal).mean(axes, keepdims=True)
    return g - g.mean(axes, keepdims=True) - normal * along
