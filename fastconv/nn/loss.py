"""Losses: `loss(output, target)` is the value, then `loss.backward()` its gradient by `output`."""

from fastconv.functional.loss import _binary, _cross_entropy, _mse, _times
from fastconv.nn.module import Module


class _Loss(Module):
    """Computes the gradient with the value, in one walk over the arrays."""

    _op = None
    _compute = None  # (op, output, target, **options, with_gradient) -> (value, gradient)

    def forward(self, output, target):
        value, gradient = self._compute(
            self._op, output, target, **self.options, with_gradient=self.training
        )
        self.save_for_backward(gradient)
        return value

    def backward(self, grad_output=1.0):
        """The gradient of the last output; `grad_output`, that of the loss, for "none" an array."""
        (gradient,) = self.saved_for_backward()
        return _times(
            self._op, gradient, grad_output, self.options["reduction"], self._class_axis(gradient)
        )

    @staticmethod
    def _class_axis(gradient):
        """The axis that the loss of each position lacks, or None."""
        return None


class CrossEntropyLoss(_Loss):
    """-log softmax(output)[target], weighted by class and averaged as in PyTorch.

    output: logits (N, C) or (N, C, *space); target: class indices (N,) or (N, *space), or class
    probabilities in the shape of `output`.  `ignore_index` is a target that does not count.
    """

    _op = "cross_entropy"
    _compute = staticmethod(_cross_entropy)

    def __init__(self, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        self.options = {
            "weight": weight,
            "ignore_index": ignore_index,
            "reduction": reduction,
            "label_smoothing": label_smoothing,
        }

    @staticmethod
    def _class_axis(gradient):
        return min(1, gradient.ndim - 1)


class MSELoss(_Loss):
    """(output - target)^2, averaged, summed or as it is."""

    _op = "mse_loss"
    _compute = staticmethod(_mse)

    def __init__(self, *, reduction="mean"):
        self.options = {"reduction": reduction}


class BCEWithLogitsLoss(_Loss):
    """-target log sigmoid(output) - (1 - target) log(1 - sigmoid(output)).

    weight: a factor for each element; pos_weight: one for the positive term of each class.
    """

    _op = "binary_cross_entropy_with_logits"
    _compute = staticmethod(_binary)

    def __init__(self, weight=None, *, reduction="mean", pos_weight=None):
        self.options = {"weight": weight, "reduction": reduction, "pos_weight": pos_weight}
