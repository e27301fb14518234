from collections.abc import Sequence
from dataclasses import dataclass

from fastconv.nn.module import Module

@dataclass(frozen=True)
class Row:
    name: str
    layer: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int

@dataclass(frozen=True, repr=False)
class Summary:
    rows: tuple[Row, ...]
    batch_size: int
    trainable: int
    frozen: int
    parameter_bytes: int
    @property
    def parameters(self) -> int: ...
    @property
    def multiply_adds(self) -> int: ...
    @property
    def activation_bytes(self) -> int: ...

def summary(model: Module, input_shape: Sequence[int], batch_size: int = 1) -> Summary: ...
