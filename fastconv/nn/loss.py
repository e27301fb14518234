"""Losses: `loss(output, target)` is the value, then `loss.backward()` its gradient by `output`."""

from fastconv import functional as F
from fastconv.functional.loss import _cross_entropy, _mse, _times
from fastconv.nn.module import Module


class _Loss(Module):
    function = None
    function_backward = None

    def forward(self, output, target):
        self.save_for_backward(output, target)
        return self.function(output, target, **self.options)

    def backward(self, grad_output=1.0):
        """The gradient of the last output; `grad_output`, that of the loss, for "none" an array."""
        return self.function_backward(
            *self.saved_for_backward(), **self.options, grad_output=grad_output
        )


class CrossEntropyLoss(_Loss):
    """-log softmax(output)[target], weighted by class and averaged as in PyTorch.

    output: logits (N, C) or (N, C, *space); target: class indices (N,) or (N, *space), or class
    probabilities in the shape of `output`.  `ignore_index` is a target that does not count.
    """

    def __init__(self, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        self.options = {
            "weight": weight,
            "ignore_index": ignore_index,
            "reduction": reduction,
            "label_smoothing": label_smoothing,
        }

    def forward(self, output, target):
        value, gradient = _cross_entropy(
            "cross_entropy", output, target, **self.options, with_gradient=self.training
        )
        self.save_for_backward(gradient)
        return value

    def backward(self, grad_output=1.0):
        (gradient,) = self.saved_for_backward()
        return _times(
            "cross_entropy", gradient, grad_output, self.options["reduction"],
            class_axis=min(1, gradient.ndim - 1),
        )  # fmt: skip


class MSELoss(_Loss):
    """(output - target)^2, averaged, summed or as it is."""

    def __init__(self, *, reduction="mean"):
        self.options = {"reduction": reduction}

    def forward(self, output, target):
        value, gradient = _mse(
            "mse_loss", output, target, **self.options, with_gradient=self.training
        )
        self.save_for_backward(gradient)
        return value

    def backward(self, grad_output=1.0):
        (gradient,) = self.saved_for_backward()
        return _times("mse_loss", gradient, grad_output, self.options["reduction"])


class BCEWithLogitsLoss(_Loss):
    """-target log sigmoid(output) - (1 - target) log(1 - sigmoid(output)).

    weight: a factor for each element; pos_weight: one for the positive term of each class.
    """

    function = staticmethod(F.binary_cross_entropy_with_logits)
    function_backward = staticmethod(F.binary_cross_entropy_with_logits_backward)

    def __init__(self, weight=None, *, reduction="mean", pos_weight=None):
        self.options = {"weight": weight, "reduction": reduction, "pos_weight": pos_weight}
