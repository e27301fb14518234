from collections.abc import Sequence

from fastconv._typing import Algorithm, AnyArray, Array, FloatArray, Gradients, Padding, Sizes

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "regroup_filters",
]

def regroup_filters(weight: AnyArray, groups: int = 1) -> FloatArray: ...
def conv1d(
    input: AnyArray,
    weight: AnyArray,
    bias: AnyArray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> FloatArray: ...
def conv2d(
    input: AnyArray,
    weight: AnyArray,
    bias: AnyArray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> FloatArray: ...
def conv3d(
    input: AnyArray,
    weight: AnyArray,
    bias: AnyArray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> FloatArray: ...
def conv1d_backward(
    grad_output: AnyArray,
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    needs: Sequence[bool] = (True, True, True),
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> Gradients: ...
def conv2d_backward(
    grad_output: AnyArray,
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    needs: Sequence[bool] = (True, True, True),
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> Gradients: ...
def conv3d_backward(
    grad_output: AnyArray,
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    needs: Sequence[bool] = (True, True, True),
    num_threads: int | None = None,
    algorithm: Algorithm | None = None,
) -> Gradients: ...
