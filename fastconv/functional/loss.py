"""Losses: a value, or one for each element, and its gradient by the input.

`reduction` is "mean", "sum" or "none".  A backward takes the arguments of its loss and
`grad_output`, the gradient of what follows: a number, or with "none" an array of the loss's shape.
TypeError for a wrong dtype, ValueError for a wrong shape or value.
"""

import numpy as np

from fastconv.functional import _arrays, _passes

__all__ = [
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "mse_loss",
    "mse_loss_backward",
]


def cross_entropy(
    input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """-sum_c weight_c q_c log softmax(x)_c, with q the wanted distribution over the classes.

    input: logits (N, C), (N, C, *space) or (C,).  target: class indices (N,), (N, *space) or (),
    or the class probabilities q in the shape of `input`.  q of an index is 1 there, smoothed:
    q (1 - label_smoothing) + label_smoothing / C.  weight: a factor for each class, (C,).  Targets
    of `ignore_index` do not count.  The mean is over targets, and over their weights where these
    are indices, as in PyTorch.
    """
    return _cross_entropy(
        "cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing, False
    )[0]


def cross_entropy_backward(
    input,
    target,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
    grad_output=1.0,
):
    """Gradient of `cross_entropy`: softmax(x) times the weight of all classes, less weight q."""
    op = "cross_entropy_backward"
    _, gradient = _cross_entropy(
        op, input, target, weight, ignore_index, reduction, label_smoothing, True
    )
    return _times(op, gradient, grad_output, reduction, class_axis=min(1, gradient.ndim - 1))


def mse_loss(input, target, reduction="mean"):
    """(input - target)^2."""
    return _mse("mse_loss", input, target, reduction, False)[0]


def mse_loss_backward(input, target, reduction="mean", grad_output=1.0):
    """Gradient of `mse_loss`: 2 (input - target)."""
    op = "mse_loss_backward"
    _, gradient = _mse(op, input, target, reduction, True)
    return _times(op, gradient, grad_output, reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, reduction="mean", pos_weight=None):
    """-weight (pos_weight t log s + (1 - t) log(1 - s)), with s = sigmoid(x) and t the target.

    target: in the shape of `input`, from 0 to 1.  weight and pos_weight broadcast to that shape.
    """
    op = "binary_cross_entropy_with_logits"
    return _binary(op, input, target, weight, reduction, pos_weight, False)[0]


def binary_cross_entropy_with_logits_backward(
    input, target, weight=None, reduction="mean", pos_weight=None, grad_output=1.0
):
    """Gradient of `binary_cross_entropy_with_logits`: weight (s - t) where pos_weight is 1."""
    op = "binary_cross_entropy_with_logits_backward"
    _, gradient = _binary(op, input, target, weight, reduction, pos_weight, True)
    return _times(op, gradient, grad_output, reduction)


def _check_reduction(op, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def _grad_scale(op, grad_output, shape, dtype, reduction):
    """grad_output as an array of no axes or, with "none", of `shape`."""
    scale = np.asarray(grad_output, dtype)
    if scale.shape not in ((), shape if reduction == "none" else ()):
        raise ValueError(
            f"{op}: grad_output must be a number or, with reduction='none', have the loss's shape "
            f"{shape}, got shape {scale.shape} with reduction={reduction!r}"
        )
    return scale


def _times(op, gradient, grad_output, reduction, class_axis=None):
    """A gradient times that of its loss, in place; the loss has no axis of classes."""
    shape = gradient.shape
    if class_axis is not None:
        shape = shape[:class_axis] + shape[class_axis + 1 :]
    scale = _grad_scale(op, grad_output, shape, gradient.dtype, reduction)
    if scale.ndim:
        gradient *= scale if class_axis is None else np.expand_dims(scale, class_axis)
    elif scale != 1:
        gradient *= scale
    return gradient


def _same_shapes(op, input, target, reduction):
    _check_reduction(op, reduction)
    x = _arrays.as_array(op, "input", input)
    return x, _arrays.as_like(op, "target", target, x)


def _binary(op, input, target, weight, reduction, pos_weight, with_gradient):
    """(the loss, its gradient or None), as `_mse` has them."""
    x, target = _same_shapes(op, input, target, reduction)
    weight, positive = _factor(op, "weight", weight, x), _factor(op, "pos_weight", pos_weight, x)
    count = x.size if reduction == "mean" else 1
    losses, value, gradient = _passes.binary_cross_entropy(
        op, x, target, weight, positive, count, reduction == "none", with_gradient
    )
    return losses if reduction == "none" else value, gradient


def _factor(op, name, factor, x):
    if factor is None:
        return None
    factor = _arrays.as_array(op, name, factor, x.dtype)
    try:
        return np.broadcast_to(factor, x.shape)
    except ValueError:
        raise ValueError(
            f"{op}: {name} must broadcast to the input's shape {x.shape}, got {factor.shape}"
        ) from None


def _mse(op, input, target, reduction, with_gradient):
    """(the loss, its gradient or None); that is the caller's own, to be scaled in place."""
    x, target = _same_shapes(op, input, target, reduction)
    if reduction == "none":
        apart = x - target
        return np.square(apart), 2 * apart if with_gradient else None
    count = x.size if reduction == "mean" else 1
    return _passes.squares(op, x, target, count, 2 / max(count, 1) if with_gradient else None)


def _cross_entropy(
    op, input, target, weight, ignore_index, reduction, label_smoothing, with_gradient
):
    """(the loss, its gradient if wanted), as `_mse` has them."""
    _check_reduction(op, reduction)
    x = _arrays.as_array(op, "input", input)
    if x.ndim == 0:
        raise ValueError(f"{op}: input must be (N, C), (N, C, *space) or (C,), got a number")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing must lie in 0..1, got {label_smoothing!r}")
    batch = x[np.newaxis] if x.ndim == 1 else x
    classes = batch.shape[1]
    if weight is not None:
        weight = _arrays.as_array(op, "weight", weight, x.dtype)
        if weight.shape != (classes,):
            raise ValueError(
                f"{op}: weight must have shape ({classes},), one for each class, got {weight.shape}"
            )
        weight = np.ascontiguousarray(weight)
    target = _arrays.as_numpy(op, "target", target)
    indices = probabilities = None
    if target.dtype.kind == "f":
        if ignore_index >= 0:
            raise ValueError(
                f"{op}: ignore_index is for class indices, got {ignore_index} and probabilities"
            )
        probabilities = _arrays.as_like(op, "target", target, x).reshape(batch.shape)
    else:
        indices = _indices(op, x, target)
    wrong, losses, value, gradient = _passes.cross_entropy(
        op, batch, indices, probabilities, weight, ignore_index, label_smoothing,
        reduction == "mean", with_gradient,
    )  # fmt: skip
    if wrong >= 0:
        raise ValueError(
            f"{op}: target must lie in 0..{classes - 1} or be ignore_index={ignore_index}, "
            f"got {target.flat[wrong]}"
        )
    if x.ndim == 1:
        losses, gradient = losses[0], gradient[0]
    return losses if reduction == "none" else value, gradient


def _indices(op, x, target):
    """Class indices, one for each position, as the kernel takes them."""
    shape = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"{op}: target must be integer class indices or {x.dtype} class probabilities, "
            f"got {target.dtype}"
        )
    if target.shape != shape:
        raise ValueError(
            f"{op}: target must have shape {shape} for class indices, with input {x.shape}, "
            f"got {target.shape}"
        )
    if target.dtype.char in "LQ":  # beyond int64 is wrong, and not some negative number
        target = np.minimum(target, np.iinfo(np.int64).max)
    return np.ascontiguousarray(target, np.int64).reshape(-1)
