from collections.abc import Sequence
from typing import Any

from fastconv._typing import AnyArray, FloatArray

__all__ = ["pad", "pad_backward"]

MODES: tuple[Any, ...]

def pad(
    input: AnyArray, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> FloatArray: ...
def pad_backward(
    grad_output: AnyArray, pad: Sequence[int], mode: str = "constant"
) -> FloatArray: ...
