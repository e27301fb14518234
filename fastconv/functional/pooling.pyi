from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from fastconv._typing import AnyArray, FloatArray, Sizes

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
]

@overload
def max_pool1d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
@overload
def max_pool1d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    num_threads: int | None = None,
) -> tuple[FloatArray, NDArray[np.int64]]: ...
@overload
def max_pool1d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    num_threads: int | None = None,
) -> FloatArray | tuple[FloatArray, NDArray[np.int64]]: ...
@overload
def max_pool2d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
@overload
def max_pool2d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    num_threads: int | None = None,
) -> tuple[FloatArray, NDArray[np.int64]]: ...
@overload
def max_pool2d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    num_threads: int | None = None,
) -> FloatArray | tuple[FloatArray, NDArray[np.int64]]: ...
@overload
def max_pool3d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
@overload
def max_pool3d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    num_threads: int | None = None,
) -> tuple[FloatArray, NDArray[np.int64]]: ...
@overload
def max_pool3d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    num_threads: int | None = None,
) -> FloatArray | tuple[FloatArray, NDArray[np.int64]]: ...
def max_pool1d_backward(
    grad_output: AnyArray,
    indices: AnyArray,
    input_shape: Sequence[int],
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def max_pool2d_backward(
    grad_output: AnyArray,
    indices: AnyArray,
    input_shape: Sequence[int],
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def max_pool3d_backward(
    grad_output: AnyArray,
    indices: AnyArray,
    input_shape: Sequence[int],
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def avg_pool1d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def avg_pool2d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def avg_pool3d(
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def avg_pool1d_backward(
    grad_output: AnyArray,
    input_shape: Sequence[int],
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def avg_pool2d_backward(
    grad_output: AnyArray,
    input_shape: Sequence[int],
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def avg_pool3d_backward(
    grad_output: AnyArray,
    input_shape: Sequence[int],
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def adaptive_avg_pool1d(
    input: AnyArray, output_size: Sizes, *, num_threads: int | None = None
) -> FloatArray: ...
def adaptive_avg_pool2d(
    input: AnyArray, output_size: Sizes, *, num_threads: int | None = None
) -> FloatArray: ...
def adaptive_avg_pool3d(
    input: AnyArray, output_size: Sizes, *, num_threads: int | None = None
) -> FloatArray: ...
def adaptive_avg_pool1d_backward(
    grad_output: AnyArray, input_shape: Sequence[int], *, num_threads: int | None = None
) -> FloatArray: ...
def adaptive_avg_pool2d_backward(
    grad_output: AnyArray, input_shape: Sequence[int], *, num_threads: int | None = None
) -> FloatArray: ...
def adaptive_avg_pool3d_backward(
    grad_output: AnyArray, input_shape: Sequence[int], *, num_threads: int | None = None
) -> FloatArray: ...
