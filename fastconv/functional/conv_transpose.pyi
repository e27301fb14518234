from collections.abc import Sequence

from fastconv._algorithm import Algorithm
from fastconv._typing import AnyArray, Array, FloatArray, Gradients, Padding, Sizes

__all__ = [
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
]

def conv_transpose1d(
    input: AnyArray,
    weight: AnyArray,
    bias: AnyArray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    output_size: Sizes | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> FloatArray: ...
def conv_transpose2d(
    input: AnyArray,
    weight: AnyArray,
    bias: AnyArray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    output_size: Sizes | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> FloatArray: ...
def conv_transpose3d(
    input: AnyArray,
    weight: AnyArray,
    bias: AnyArray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    output_size: Sizes | None = None,
    out: Array | None = None,
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> FloatArray: ...
def conv_transpose1d_backward(
    grad_output: AnyArray,
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    needs: Sequence[bool] = (True, True, True),
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> Gradients: ...
def conv_transpose2d_backward(
    grad_output: AnyArray,
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    needs: Sequence[bool] = (True, True, True),
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> Gradients: ...
def conv_transpose3d_backward(
    grad_output: AnyArray,
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    needs: Sequence[bool] = (True, True, True),
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> Gradients: ...
