from typing import Any

from fastconv._typing import AnyArray, FloatArray

__all__ = [
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "mse_loss",
    "mse_loss_backward",
]

def cross_entropy(
    input: AnyArray,
    target: AnyArray,
    weight: AnyArray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any: ...
def cross_entropy_backward(
    input: AnyArray,
    target: AnyArray,
    weight: AnyArray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    grad_output: AnyArray = 1.0,
) -> FloatArray: ...
def mse_loss(input: AnyArray, target: AnyArray, reduction: str = "mean") -> Any: ...
def mse_loss_backward(
    input: AnyArray, target: AnyArray, reduction: str = "mean", grad_output: AnyArray = 1.0
) -> FloatArray: ...
def binary_cross_entropy_with_logits(
    input: AnyArray,
    target: AnyArray,
    weight: AnyArray | None = None,
    reduction: str = "mean",
    pos_weight: AnyArray | None = None,
) -> Any: ...
def binary_cross_entropy_with_logits_backward(
    input: AnyArray,
    target: AnyArray,
    weight: AnyArray | None = None,
    reduction: str = "mean",
    pos_weight: AnyArray | None = None,
    grad_output: AnyArray = 1.0,
) -> FloatArray: ...
