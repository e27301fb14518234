from collections.abc import Sequence
from typing import Any

from fastconv._typing import AnyArray, FloatArray, Sizes

__all__ = ["interpolate", "interpolate_backward"]

LINEAR: dict[Any, Any]
NEAREST: tuple[Any, ...]

def interpolate(
    input: AnyArray,
    size: Sizes | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> FloatArray: ...
def interpolate_backward(
    grad_output: AnyArray,
    input_shape: Sequence[int],
    size: Sizes | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> FloatArray: ...
