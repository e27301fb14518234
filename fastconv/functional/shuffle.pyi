from collections.abc import Sequence

from fastconv._typing import AnyArray, FloatArray, Sizes

__all__ = [
    "channels_last",
    "fold",
    "fold_backward",
    "pixel_shuffle",
    "pixel_shuffle_backward",
    "pixel_unshuffle",
    "pixel_unshuffle_backward",
    "unfold",
    "unfold_backward",
]

def channels_last(input: AnyArray) -> FloatArray: ...
def pixel_shuffle(input: AnyArray, upscale_factor: int) -> FloatArray: ...
def pixel_shuffle_backward(grad_output: AnyArray, upscale_factor: int) -> FloatArray: ...
def pixel_unshuffle(input: AnyArray, downscale_factor: int) -> FloatArray: ...
def pixel_unshuffle_backward(grad_output: AnyArray, downscale_factor: int) -> FloatArray: ...
def unfold(
    input: AnyArray, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> FloatArray: ...
def unfold_backward(
    grad_output: AnyArray,
    input_shape: Sequence[int],
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> FloatArray: ...
def fold(
    input: AnyArray,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> FloatArray: ...
def fold_backward(
    grad_output: AnyArray,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> FloatArray: ...
