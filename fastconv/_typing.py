"""The types that the stubs beside the modules are written in; nothing imports this at run time."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray


class SupportsDLPack(Protocol):
    """An array of another library."""

    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, Any]: ...


# What goes in: anything that is an array, of whatever library.  What comes out: float32 or float64.
AnyArray: TypeAlias = ArrayLike | SupportsDLPack
FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
Array: TypeAlias = NDArray[Any]

# One for all spatial axes, or one for each.
Sizes: TypeAlias = int | Sequence[int]
Padding: TypeAlias = int | str | Sequence[int] | Sequence[Sequence[int]]
Algorithm: TypeAlias = Literal["direct", "winograd", "auto"]
Gradients: TypeAlias = tuple[FloatArray | None, FloatArray | None, FloatArray | None]

StrPath: TypeAlias = str | os.PathLike[str]
StateDict: TypeAlias = dict[str, Array]
Loss: TypeAlias = Callable[..., Any]
Metrics: TypeAlias = Iterable[str | Callable[..., Any]] | dict[str, str | Callable[..., Any]]
Transform: TypeAlias = Callable[[Any, np.random.Generator], Any]
