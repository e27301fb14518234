from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike

from fastconv._typing import Algorithm, Padding, Sizes

__all__ = ["explain"]

OPERATIONS: Any
LAYOUTS: tuple[Any, ...]

def explain(
    operation: str,
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    output_padding: Sizes = 0,
    layout: str = "nchw",
    dtype: DTypeLike = ...,
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
    mode: str = "stdout",
) -> dict[str, Any] | None: ...
