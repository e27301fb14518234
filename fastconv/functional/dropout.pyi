import numpy as np

from fastconv._typing import AnyArray, FloatArray

__all__ = ["dropout", "dropout_backward"]

def dropout(
    input: AnyArray, p: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]: ...
def dropout_backward(grad_output: AnyArray, mask: AnyArray) -> FloatArray: ...
