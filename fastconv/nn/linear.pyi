from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from fastconv.nn.affine import _AffineMap
from fastconv.nn.module import Parameter

class Linear(_AffineMap):
    in_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | None
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = ...,
        rng: np.random.Generator | None = None,
    ) -> None: ...
    def multiply_adds(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> int: ...
