"""How good an output is: means over all samples, gathered batch by batch, and counts by class.

What `fit` and `evaluate` take as `metrics`: "accuracy", "top_5_accuracy" (any number), "mse",
"mae", or a function metric(output, target) that gives the mean over a batch.
"""

import re

import numpy as np

from fastconv._shapes import integer


def accuracy(output, target):
    """Share of positions whose largest output is that of the target class.

    output: (N, C, *space); target: class indices (N, *space).
    """
    return _mean(*_right(*_labelled("accuracy", output, target)))


def top_k_accuracy(output, target, k=5):
    """Share of positions at which fewer than `k` classes have a larger output than the target's.

    Shapes as for `accuracy`, which is k = 1: of equal outputs the first counts as larger.  An
    output that is not a number counts as larger than any, and the target's as smaller.
    Raises ValueError for a target that is no class.
    """
    k = integer("top_k_accuracy", "k", k, 1)
    return _mean(*_among_top(*_labelled("top_k_accuracy", output, target), k))


def mean_squared_error(output, target):
    """Mean of (output - target)^2 over all elements, in float64; both of one shape."""
    return _mean(*_squared(*_alike("mean_squared_error", output, target)))


def mean_absolute_error(output, target):
    """Mean of |output - target| over all elements, in float64; both of one shape."""
    return _mean(*_absolute(*_alike("mean_absolute_error", output, target)))


def confusion_matrix(y_true, y_pred, num_classes=None):
    """(classes, classes) counts: row i, column j for samples of class i that were taken for j.

    y_true, y_pred: class indices of one shape.  Arguments in scikit-learn's order.
    num_classes: one more than the largest index, if not given.
    Raises ValueError for indices out of range.
    """
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    if (
        true.shape != predicted.shape
        or true.dtype.kind not in "iu"
        or predicted.dtype.kind not in "iu"
    ):
        raise ValueError(
            "confusion_matrix: y_true and y_pred must be class indices of one shape, got "
            f"{true.dtype} {true.shape} and {predicted.dtype} {predicted.shape}"
        )
    largest = max((int(each.max()) for each in (true, predicted) if each.size), default=-1)
    smallest = min((int(each.min()) for each in (true, predicted) if each.size), default=0)
    if num_classes is None:
        num_classes = largest + 1
    num_classes = integer("confusion_matrix", "num_classes", num_classes, 0)
    if smallest < 0 or largest >= num_classes:
        raise ValueError(
            f"confusion_matrix: classes must be 0 to {num_classes - 1}, got {smallest} to {largest}"
        )
    cells = true.ravel().astype(np.intp) * num_classes + predicted.ravel().astype(np.intp)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def precision_recall_fscore_support(y_true, y_pred, num_classes=None):
    """Four arrays (classes,): precision, recall, F1 and the number of samples of each class.

    precision: share of what was taken for the class that is of it; recall: share of what is of the
    class that was taken for it; F1: 2 precision recall / (precision + recall).  0 where there is
    nothing to take a share of.  Arguments as for `confusion_matrix`.
    """
    counts = confusion_matrix(y_true, y_pred, num_classes)
    right, support, taken = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return (
        right / np.maximum(taken, 1),
        right / np.maximum(support, 1),
        2 * right / np.maximum(taken + support, 1),
        support,
    )


class Scores:
    """Means of loss and metrics over the samples seen, whatever the sizes of the batches.

    metrics: see above; None for "accuracy" where the targets are class indices.
    """

    def __init__(self, metrics=None):
        self._metrics = None if metrics is None else [_metric(each) for each in metrics]
        self.samples = 0
        self._sums = {}

    def add(self, output, target, loss=None):
        """Takes one more batch, of which `loss` is the mean."""
        target = np.asarray(target)
        count = len(target)
        self.samples += count
        if loss is not None:
            self._add("loss", float(loss) * count, count)
        if self._metrics is not None:
            for name, sums in self._metrics:
                self._add(name, *sums(output, target))
        elif _are_labels(output, target):
            self._add("accuracy", *_right(output, target))

    def _add(self, name, total, count):
        so_far, counted = self._sums.get(name, (0.0, 0))
        self._sums[name] = so_far + total, counted + count

    def means(self):
        """{"loss": ..., "accuracy": ...}."""
        return {name: total / (count or 1) for name, (total, count) in self._sums.items()}

    def state_dict(self):
        return {"samples": self.samples, "sums": dict(self._sums)}

    def load_state_dict(self, state):
        self.samples, self._sums = state["samples"], dict(state["sums"])


# ---- each metric as (sum, count) of a batch, whose quotient is its mean


def _right(output, target):
    # The largest of what is not a number is none.
    right = (output.argmax(axis=1) == target) & ~np.isnan(output).any(axis=1)
    return np.count_nonzero(right), target.size


def _among_top(output, target, k):
    if target.size and not (target.min() >= 0 and target.max() < output.shape[1]):
        raise ValueError(
            f"top_k_accuracy: targets must be 0 to {output.shape[1] - 1}, "
            f"got {target.min()} to {target.max()}"
        )
    place = np.expand_dims(target.astype(np.intp), 1)
    own = np.take_along_axis(output, place, 1)
    classes = np.arange(output.shape[1]).reshape(-1, *(1,) * (target.ndim - 1))
    larger = ~(output <= own) | ((output == own) & (classes < place))
    return np.count_nonzero(larger.sum(axis=1) < k), target.size


def _squared(output, target):
    return float(np.square(np.subtract(output, target, dtype=np.float64)).sum()), target.size


def _absolute(output, target):
    return float(np.abs(np.subtract(output, target, dtype=np.float64)).sum()), target.size


def _mean(total, count):
    return float(total / (count or 1))


def _metric(metric):
    """(name, sums): sums(output, target) gives (sum, count)."""
    if callable(metric):
        name = getattr(metric, "__name__", type(metric).__name__)

        def of_batch(output, target):
            return float(metric(output, target)) * len(target), len(target)

        return name, of_batch
    top = re.fullmatch(r"top_([1-9]\d*)_accuracy", str(metric))
    if metric == "accuracy":
        return metric, lambda output, target: _right(*_labelled(metric, output, target))
    if top:
        k = int(top[1])
        return metric, lambda output, target: _among_top(*_labelled(metric, output, target), k)
    if metric in ("mse", "mean_squared_error"):
        return metric, lambda output, target: _squared(*_alike(metric, output, target))
    if metric in ("mae", "mean_absolute_error"):
        return metric, lambda output, target: _absolute(*_alike(metric, output, target))
    raise ValueError(
        'metrics must hold "accuracy", "top_5_accuracy" or the like, "mse", "mae" or functions '
        f"metric(output, target), got {metric!r}"
    )


def _are_labels(output, target):
    return target.dtype.kind in "iu" and target.ndim == output.ndim - 1


def _labelled(metric, output, target):
    output, target = np.asarray(output), np.asarray(target)
    fits = _are_labels(output, target) and target.shape == output.shape[:1] + output.shape[2:]
    if not fits:
        raise ValueError(
            f"{metric}: output must be (N, classes, ...) and target class indices (N, ...), got "
            f"{output.dtype} {output.shape} and {target.dtype} {target.shape}"
        )
    return output, target


def _alike(metric, output, target):
    output, target = np.asarray(output), np.asarray(target)
    if output.shape != target.shape:
        raise ValueError(
            f"{metric}: output and target must have one shape, got {output.shape} and "
            f"{target.shape}"
        )
    return output, target
