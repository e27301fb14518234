"""Losses: a value, or one for each element, and its gradient by the input.

`reduction` is "mean", "sum" or "none".  A backward takes the arguments of its loss and
`grad_output`, the gradient of what follows: a number, or with "none" an array of the loss's shape.
TypeError for a wrong dtype, ValueError for a wrong shape or value.
"""

import numpy as np

from fastconv.functional import _arrays
from fastconv.functional.activation import log_softmax, sigmoid

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
    terms = _Terms("cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing)
    return terms.loss()


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
    terms = _Terms(
        "cross_entropy_backward", input, target, weight, ignore_index, reduction, label_smoothing
    )
    return terms.gradient(grad_output)


def mse_loss(input, target, reduction="mean"):
    """(input - target)^2."""
    x, target = _same_shapes("mse_loss", input, target, reduction)
    return _reduce(np.square(x - target), reduction, x.size)


def mse_loss_backward(input, target, reduction="mean", grad_output=1.0):
    """Gradient of `mse_loss`: 2 (input - target)."""
    op = "mse_loss_backward"
    x, target = _same_shapes(op, input, target, reduction)
    return (x - target) * (2 * _grad_scale(op, grad_output, x.shape, x.dtype, reduction, x.size))


def binary_cross_entropy_with_logits(input, target, weight=None, reduction="mean", pos_weight=None):
    """-weight (pos_weight t log s + (1 - t) log(1 - s)), with s = sigmoid(x) and t the target.

    target: in the shape of `input`, from 0 to 1.  weight and pos_weight broadcast to that shape.
    """
    x, target, weight, positive = _binary(
        "binary_cross_entropy_with_logits", input, target, weight, reduction, pos_weight
    )
    minus_log = np.log1p(np.exp(-np.abs(x))) - np.minimum(x, 0)  # -log sigmoid(x)
    return _reduce(weight * ((1 - target) * x + positive * minus_log), reduction, x.size)


def binary_cross_entropy_with_logits_backward(
    input, target, weight=None, reduction="mean", pos_weight=None, grad_output=1.0
):
    """Gradient of `binary_cross_entropy_with_logits`: weight (s - t) where pos_weight is 1."""
    op = "binary_cross_entropy_with_logits_backward"
    x, target, weight, positive = _binary(op, input, target, weight, reduction, pos_weight)
    grad = weight * ((1 - target) - positive * sigmoid(-x))
    return grad * _grad_scale(op, grad_output, x.shape, x.dtype, reduction, x.size)


def _check_reduction(op, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def _reduce(losses, reduction, count):
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    # A mean over nothing is NaN, as in PyTorch.
    return total / losses.dtype.type(count) if count else losses.dtype.type(np.nan)


def _grad_scale(op, grad_output, shape, dtype, reduction, count):
    """grad_output, over `count` for a mean, as an array of no axes or, with "none", of `shape`."""
    scale = np.asarray(grad_output, dtype)
    if scale.shape not in ((), shape if reduction == "none" else ()):
        raise ValueError(
            f"{op}: grad_output must be a number or, with reduction='none', have the loss's shape "
            f"{shape}, got shape {scale.shape} with reduction={reduction!r}"
        )
    if reduction == "mean":
        scale = np.asarray(scale / count if count else scale * 0, dtype)
    return scale


def _same_shapes(op, input, target, reduction):
    _check_reduction(op, reduction)
    x = _arrays.as_array(op, "input", input)
    return x, _arrays.as_like(op, "target", target, x)


def _binary(op, input, target, weight, reduction, pos_weight):
    """(input, target, weight, weight of the log of s), all arrays that broadcast to the input."""
    x, target = _same_shapes(op, input, target, reduction)
    weight = _factor(op, "weight", weight, x)
    positive = _factor(op, "pos_weight", pos_weight, x)
    return x, target, weight, 1 + (positive - 1) * target


def _factor(op, name, factor, x):
    if factor is None:
        return x.dtype.type(1)
    factor = _arrays.as_array(op, name, factor, x.dtype)
    try:
        return np.broadcast_to(factor, x.shape)
    except ValueError:
        raise ValueError(
            f"{op}: {name} must broadcast to the input's shape {x.shape}, got {factor.shape}"
        ) from None


class _Terms:
    """What the value and the gradient of a cross entropy have in common."""

    def __init__(self, op, input, target, weight, ignore_index, reduction, label_smoothing):
        self.op, self.reduction = op, reduction
        x, self.axis, self.wanted, self.count = _wanted(
            op, input, target, weight, ignore_index, reduction, label_smoothing
        )
        self.logs = log_softmax(x, self.axis)

    def loss(self):
        # Only where it counts: 0 times the log of 0 would be NaN.
        products = np.zeros_like(self.logs)
        np.multiply(self.wanted, self.logs, out=products, where=self.wanted != 0)
        return _reduce(-products.sum(self.axis), self.reduction, self.count)

    def gradient(self, grad_output):
        axis, shape = self.axis, self.logs.shape
        grad = np.exp(self.logs) * self.wanted.sum(axis, keepdims=True) - self.wanted
        shape = shape[:axis] + shape[axis + 1 :]
        scale = _grad_scale(
            self.op, grad_output, shape, self.logs.dtype, self.reduction, self.count
        )
        return grad * (np.expand_dims(scale, axis) if scale.ndim else scale)


def _wanted(op, input, target, weight, ignore_index, reduction, label_smoothing):
    """(logits, class axis, weight q in their shape, what a mean divides by)."""
    _check_reduction(op, reduction)
    x = _arrays.as_array(op, "input", input)
    if x.ndim == 0:
        raise ValueError(f"{op}: input must be (N, C), (N, C, *space) or (C,), got a number")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing must lie in 0..1, got {label_smoothing!r}")
    axis = min(1, x.ndim - 1)
    classes = x.shape[axis]
    if weight is not None:
        weight = _arrays.as_array(op, "weight", weight, x.dtype)
        if weight.shape != (classes,):
            raise ValueError(
                f"{op}: weight must have shape ({classes},), one for each class, got {weight.shape}"
            )
    target = _arrays.as_numpy(op, "target", target)
    if target.dtype.kind == "f":
        if ignore_index >= 0:
            raise ValueError(
                f"{op}: ignore_index is for class indices, got {ignore_index} and probabilities"
            )
        wanted = _arrays.as_like(op, "target", target, x).copy()
        counted, count = None, x.size // max(classes, 1)
    else:
        wanted, counted, count = _from_indices(op, x, axis, target, ignore_index, weight)
    if label_smoothing:
        wanted *= x.dtype.type(1 - label_smoothing)
        wanted += x.dtype.type(label_smoothing / max(classes, 1))
    if weight is not None:
        wanted *= weight.reshape(-1, *(1,) * (x.ndim - 1 - axis))
    if counted is not None:
        wanted *= np.expand_dims(counted, axis)
    return x, axis, wanted, count


def _from_indices(op, x, axis, target, ignore_index, weight):
    """(q before smoothing, which targets count or None for all, their weights' sum) of indices."""
    shape = x.shape[:axis] + x.shape[axis + 1 :]
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
    classes = x.shape[axis]
    counted = target != ignore_index
    wrong = counted & ((target < 0) | (target >= classes))
    if np.count_nonzero(wrong):  # any() takes ten times as long
        raise ValueError(
            f"{op}: target must lie in 0..{classes - 1} or be ignore_index={ignore_index}, "
            f"got {target[wrong].flat[0]}"
        )
    numbers = np.arange(classes).reshape(-1, *(1,) * (x.ndim - 1 - axis))
    wanted = (np.expand_dims(target, axis) == numbers).astype(x.dtype)
    number = np.count_nonzero(counted)
    count = x.dtype.type(number) if weight is None else weight[target[counted]].sum()
    return wanted, None if number == counted.size else counted, count
