from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._typing import Algorithm, FloatArray, Padding, Sizes
from fastconv.nn.module import Module

class _Lazy(Module):
    def forward(self, input: Any, *args: Any, **kwargs: Any) -> FloatArray: ...
    def backward(self, grad_output: Any, needs_input_grad: bool = True) -> FloatArray: ...

class LazyBatchNorm1d(_Lazy):
    def __init__(
        self,
        eps: float = 1e-05,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = ...,
    ) -> None: ...

class LazyBatchNorm2d(_Lazy):
    def __init__(
        self,
        eps: float = 1e-05,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = ...,
    ) -> None: ...

class LazyBatchNorm3d(_Lazy):
    def __init__(
        self,
        eps: float = 1e-05,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = ...,
    ) -> None: ...

class LazyConv1d(_Lazy):
    def __init__(
        self,
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

class LazyConv2d(_Lazy):
    def __init__(
        self,
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

class LazyConv3d(_Lazy):
    def __init__(
        self,
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

class LazyConvTranspose1d(_Lazy):
    def __init__(
        self,
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

class LazyConvTranspose2d(_Lazy):
    def __init__(
        self,
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

class LazyConvTranspose3d(_Lazy):
    def __init__(
        self,
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

class LazyLinear(_Lazy):
    def __init__(
        self,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = ...,
        rng: np.random.Generator | None = None,
    ) -> None: ...
