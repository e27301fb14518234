from fastconv._typing import AnyArray, FloatArray
from fastconv.nn.module import Module, Parameter

class _Affine(Module):
    weight: Parameter
    bias: Parameter | None

class _AffineMap(_Affine):
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...
