from collections.abc import Sequence

from numpy.typing import DTypeLike

from fastconv._typing import AnyArray, Array, FloatArray

def statistics(images: AnyArray) -> tuple[float, float]: ...
def normalize(
    images: AnyArray,
    mean: float | Sequence[float] | Array = 0.0,
    std: float | Sequence[float] | Array = 1.0,
    dtype: DTypeLike = ...,
) -> FloatArray: ...
