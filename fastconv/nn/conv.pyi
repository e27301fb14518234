from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._typing import Algorithm, AnyArray, FloatArray, Padding, Sizes
from fastconv.nn.affine import _AffineMap
from fastconv.nn.module import Parameter

PADDING_MODES: tuple[Any, ...]

class _ConvNd(_AffineMap):
    ndim: int
    options: tuple[str, ...]
    transposed: bool
    in_channels: int
    out_channels: int
    kernel_size: Any
    stride: Any
    dilation: Any
    groups: int
    padding: Any
    padding_mode: str
    weight: Parameter
    bias: Parameter | None
    def multiply_adds(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> int: ...

class _Conv(_ConvNd):
    options: tuple[str, ...]
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Padding = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        algorithm: Algorithm | None = None,
        dtype: DTypeLike = ...,
        rng: np.random.Generator | None = None,
    ) -> None: ...

class _ConvTranspose(_ConvNd):
    options: tuple[str, ...]
    transposed: bool
    output_padding: Any
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Padding = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        *,
        algorithm: Algorithm | None = None,
        dtype: DTypeLike = ...,
        rng: np.random.Generator | None = None,
    ) -> None: ...
    def forward(self, input: AnyArray, output_size: Sizes | None = None) -> FloatArray: ...

class Conv1d(_Conv):
    ndim: int

class Conv2d(_Conv):
    ndim: int

class Conv3d(_Conv):
    ndim: int

class ConvTranspose1d(_ConvTranspose):
    ndim: int

class ConvTranspose2d(_ConvTranspose):
    ndim: int

class ConvTranspose3d(_ConvTranspose):
    ndim: int
