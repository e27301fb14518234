from fastconv._typing import AnyArray, FloatArray

__all__ = [
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "log_softmax",
    "log_softmax_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]

def relu(input: AnyArray, *, num_threads: int | None = None) -> FloatArray: ...
def relu_backward(
    grad_output: AnyArray, input: AnyArray, *, num_threads: int | None = None
) -> FloatArray: ...
def leaky_relu(
    input: AnyArray, negative_slope: float = 0.01, *, num_threads: int | None = None
) -> FloatArray: ...
def leaky_relu_backward(
    grad_output: AnyArray,
    input: AnyArray,
    negative_slope: float = 0.01,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def sigmoid(input: AnyArray, *, num_threads: int | None = None) -> FloatArray: ...
def sigmoid_backward(
    grad_output: AnyArray, input: AnyArray, *, num_threads: int | None = None
) -> FloatArray: ...
def tanh(input: AnyArray, *, num_threads: int | None = None) -> FloatArray: ...
def tanh_backward(
    grad_output: AnyArray, input: AnyArray, *, num_threads: int | None = None
) -> FloatArray: ...
def silu(input: AnyArray, *, num_threads: int | None = None) -> FloatArray: ...
def silu_backward(
    grad_output: AnyArray, input: AnyArray, *, num_threads: int | None = None
) -> FloatArray: ...
def gelu(
    input: AnyArray, approximate: str = "none", *, num_threads: int | None = None
) -> FloatArray: ...
def gelu_backward(
    grad_output: AnyArray,
    input: AnyArray,
    approximate: str = "none",
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def softplus(
    input: AnyArray,
    beta: float = 1.0,
    threshold: float = 20.0,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def softplus_backward(
    grad_output: AnyArray,
    input: AnyArray,
    beta: float = 1.0,
    threshold: float = 20.0,
    *,
    num_threads: int | None = None,
) -> FloatArray: ...
def softmax(input: AnyArray, axis: int = -1, *, num_threads: int | None = None) -> FloatArray: ...
def softmax_backward(
    grad_output: AnyArray, input: AnyArray, axis: int = -1, *, num_threads: int | None = None
) -> FloatArray: ...
def log_softmax(
    input: AnyArray, axis: int = -1, *, num_threads: int | None = None
) -> FloatArray: ...
def log_softmax_backward(
    grad_output: AnyArray, input: AnyArray, axis: int = -1, *, num_threads: int | None = None
) -> FloatArray: ...
