from typing import Any

from fastconv._typing import AnyArray, FloatArray, Sizes
from fastconv.nn.module import Module

class _MaxPool(Module):
    ndim: int
    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    ceil_mode: Any
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        *,
        ceil_mode: bool = False,
    ) -> None: ...
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...

class MaxPool1d(_MaxPool):
    ndim: int

class MaxPool2d(_MaxPool):
    ndim: int

class MaxPool3d(_MaxPool):
    ndim: int

class _AvgPool(Module):
    kernel_size: Any
    stride: Any
    padding: Any
    ceil_mode: Any
    count_include_pad: Any
    divisor_override: Any
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None: ...
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...

class AvgPool1d(_AvgPool): ...
class AvgPool2d(_AvgPool): ...
class AvgPool3d(_AvgPool): ...

class _AdaptiveAvgPool(Module):
    output_size: Any
    def __init__(self, output_size: Sizes) -> None: ...
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...

class AdaptiveAvgPool1d(_AdaptiveAvgPool): ...
class AdaptiveAvgPool2d(_AdaptiveAvgPool): ...
class AdaptiveAvgPool3d(_AdaptiveAvgPool): ...
