from collections.abc import Sequence
from typing import Any, NamedTuple

from fastconv._typing import AnyArray, Array, FloatArray, Padding, Sizes
from fastconv.nn.module import Module

__all__ = [
    "Contributions",
    "DeconvolutionSteps",
    "EquivalentConvolution",
    "Phase",
    "ReceptiveField",
    "contributions",
    "conv_by_winograd",
    "conv_matrix",
    "conv_transpose_by_matrix",
    "conv_transpose_by_phases",
    "deconvolution_steps",
    "equivalent_transposed",
    "grad_input_by_inverted_filter",
    "grad_input_by_regrouped_filters",
    "grad_input_elementwise",
    "invert_filter",
    "max_pool_routes",
    "output_size",
    "phase_filters",
    "receptive_field",
    "regroup_filters",
    "relu_gradient_mask",
    "same_padding",
    "subpixel_weights",
    "transposed_output_size",
    "transposed_weights",
    "weight_use_gradients",
    "winograd_matrices",
]

class Contributions(NamedTuple):
    output_cell: Array
    input_cell: Array
    tap: Array

class DeconvolutionSteps(NamedTuple):
    scatter: Array
    total: Array

class EquivalentConvolution(NamedTuple):
    input_size: tuple[Any, ...]
    zeros_between: tuple[Any, ...]
    border: tuple[Any, ...]
    kernel_size: tuple[Any, ...]
    dilation: tuple[Any, ...]
    output_size: tuple[Any, ...]

class Phase(NamedTuple):
    phase: tuple[Any, ...]
    weight: Array
    taps: tuple[Any, ...]
    first: tuple[Any, ...]
    dilation: tuple[Any, ...]

class ReceptiveField(NamedTuple):
    size: tuple[Any, ...]
    stride: tuple[Any, ...]
    start: tuple[Any, ...]

def contributions(
    input_size: Sizes,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
) -> Contributions: ...
def conv_by_winograd(
    input: AnyArray, weight: AnyArray, padding: Padding = 0, groups: int = 1, outputs: int = 4
) -> FloatArray: ...
def conv_matrix(
    weight: AnyArray,
    input_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    sparse: bool = False,
) -> Any: ...
def conv_transpose_by_matrix(
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Array: ...
def conv_transpose_by_phases(
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Array: ...
def deconvolution_steps(
    input: AnyArray,
    weight: AnyArray,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> DeconvolutionSteps: ...
def equivalent_transposed(
    input_size: Sizes,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
) -> EquivalentConvolution: ...
def grad_input_by_inverted_filter(
    grad_output: AnyArray,
    weight: AnyArray,
    input_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
) -> Array: ...
def grad_input_by_regrouped_filters(
    grad_output: AnyArray,
    weight: AnyArray,
    input_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array: ...
def grad_input_elementwise(
    grad_output: AnyArray,
    weight: AnyArray,
    input_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array: ...
def invert_filter(w: AnyArray) -> Array: ...
def max_pool_routes(
    x: AnyArray,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
) -> Array: ...
def output_size(
    input_size: Sizes,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    *,
    exact: bool = False,
) -> Any: ...
def phase_filters(
    weight: AnyArray, stride: Sizes, padding: Padding = 0, dilation: Sizes = 1, groups: int = 1
) -> list[Phase]: ...
def receptive_field(model: Module) -> ReceptiveField: ...
def regroup_filters(weight: AnyArray, groups: int = 1) -> Array: ...
def relu_gradient_mask(x: AnyArray) -> Array: ...
def same_padding(
    kernel_size: Sizes, dilation: Sizes = 1, stride: Sizes = 1, input_size: Sizes | None = None
) -> Any: ...
def subpixel_weights(weight: AnyArray, stride: Sizes, groups: int = 1) -> Array: ...
def transposed_output_size(
    input_size: Sizes,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes | None = 0,
    dilation: Sizes = 1,
) -> Any: ...
def transposed_weights(
    subpixel: AnyArray, stride: Sizes, groups: int = 1, kernel_size: Sizes | None = None
) -> Array: ...
def weight_use_gradients(
    grad_output: AnyArray,
    input: AnyArray,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array: ...
def winograd_matrices(
    outputs: int = 4, taps: int = 3, points: Sequence[float] | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]: ...
