from collections.abc import Sequence

from fastconv._typing import AnyArray, Array, FloatArray, Gradients

__all__ = ["linear", "linear_backward"]

def linear(
    input: AnyArray,
    weight: AnyArray,
    bias: AnyArray | None = None,
    *,
    out: Array | None = None,
    num_threads: int | None = None,
) -> FloatArray: ...
def linear_backward(
    grad_output: AnyArray,
    input: AnyArray,
    weight: AnyArray,
    *,
    needs: Sequence[bool] = (True, True, True),
    num_threads: int | None = None,
) -> Gradients: ...
