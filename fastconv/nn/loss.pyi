from typing import Any

from fastconv._typing import AnyArray, FloatArray
from fastconv.nn.module import Module

class _Loss(Module):
    def __call__(self, output: AnyArray, target: AnyArray) -> Any: ...
    def forward(self, output: AnyArray, target: AnyArray) -> Any: ...
    def backward(self, grad_output: AnyArray = 1.0) -> FloatArray: ...

class CrossEntropyLoss(_Loss):
    options: tuple[str, ...]
    def __init__(
        self,
        weight: AnyArray | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None: ...

class MSELoss(_Loss):
    options: tuple[str, ...]
    def __init__(self, *, reduction: str = "mean") -> None: ...

class BCEWithLogitsLoss(_Loss):
    options: tuple[str, ...]
    def __init__(
        self,
        weight: AnyArray | None = None,
        *,
        reduction: str = "mean",
        pos_weight: AnyArray | None = None,
    ) -> None: ...
