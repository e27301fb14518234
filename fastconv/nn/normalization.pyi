from typing import Any

from numpy.typing import DTypeLike

from fastconv._typing import AnyArray, Array, FloatArray, Sizes
from fastconv.nn.affine import _Affine
from fastconv.nn.module import Parameter

class _Norm(_Affine):
    weight: Parameter
    bias: Parameter | None

class _BatchNorm(_Norm):
    ranks: tuple[int, ...]
    num_features: int
    eps: float
    momentum: float | None
    running_mean: Array | None
    running_var: Array | None
    num_batches_tracked: Array | None
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-05,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = ...,
    ) -> None: ...
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...

class BatchNorm1d(_BatchNorm):
    ranks: tuple[int, ...]

class BatchNorm2d(_BatchNorm):
    ranks: tuple[int, ...]

class BatchNorm3d(_BatchNorm):
    ranks: tuple[int, ...]

class GroupNorm(_Norm):
    num_groups: Any
    num_channels: Any
    eps: float
    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-05,
        affine: bool = True,
        *,
        dtype: DTypeLike = ...,
    ) -> None: ...
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...

class LayerNorm(_Norm):
    normalized_shape: Any
    eps: float
    def __init__(
        self,
        normalized_shape: Sizes,
        eps: float = 1e-05,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = ...,
    ) -> None: ...
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...
