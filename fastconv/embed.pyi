import ctypes
from typing import Any, Self

from numpy.typing import NDArray

__all__ = ["Problem", "address", "capsule", "ctypes_function", "get_include", "names", "table"]

class Problem(ctypes.Structure):
    struct_size: int
    dimensions: int
    batch: int
    groups: int
    in_channels: int
    out_channels: int
    in_size: ctypes.Array[ctypes.c_int64]
    out_size: ctypes.Array[ctypes.c_int64]
    kernel: ctypes.Array[ctypes.c_int64]
    stride: ctypes.Array[ctypes.c_int64]
    dilation: ctypes.Array[ctypes.c_int64]
    padding: ctypes.Array[ctypes.c_int64]
    in_strides: ctypes.Array[ctypes.c_int64]
    out_strides: ctypes.Array[ctypes.c_int64]
    def __init__(self, **fields: int) -> None: ...
    @classmethod
    def of(
        cls,
        input: NDArray[Any],
        output: NDArray[Any],
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
    ) -> Self: ...

def get_include() -> str: ...
def names() -> list[str]: ...
def capsule(name: str) -> object: ...
def address(name: str) -> int: ...
def ctypes_function(name: str) -> Any: ...
def table() -> int: ...
