from fastconv._typing import AnyArray, Array, FloatArray, Gradients, Sizes

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "group_norm",
    "group_norm_backward",
    "layer_norm",
    "layer_norm_backward",
]

def batch_norm(
    input: AnyArray,
    running_mean: Array | None,
    running_var: Array | None,
    weight: AnyArray | None = None,
    bias: AnyArray | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-05,
    *,
    num_threads: int | None = None,
) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]: ...
def batch_norm_backward(
    grad_output: AnyArray,
    input: AnyArray,
    weight: AnyArray | None,
    saved: tuple[AnyArray, AnyArray],
    training: bool,
    *,
    num_threads: int | None = None,
) -> Gradients: ...
def group_norm(
    input: AnyArray,
    num_groups: int,
    weight: AnyArray | None = None,
    bias: AnyArray | None = None,
    eps: float = 1e-05,
    *,
    num_threads: int | None = None,
) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]: ...
def group_norm_backward(
    grad_output: AnyArray,
    input: AnyArray,
    num_groups: int,
    weight: AnyArray | None,
    saved: tuple[AnyArray, AnyArray],
    *,
    num_threads: int | None = None,
) -> Gradients: ...
def layer_norm(
    input: AnyArray,
    normalized_shape: Sizes,
    weight: AnyArray | None = None,
    bias: AnyArray | None = None,
    eps: float = 1e-05,
    *,
    num_threads: int | None = None,
) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]: ...
def layer_norm_backward(
    grad_output: AnyArray,
    input: AnyArray,
    normalized_shape: Sizes,
    weight: AnyArray | None,
    saved: tuple[AnyArray, AnyArray],
    *,
    num_threads: int | None = None,
) -> Gradients: ...
