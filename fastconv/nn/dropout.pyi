from typing import Any

import numpy as np

from fastconv._typing import AnyArray, FloatArray
from fastconv.nn.module import Module

class Dropout(Module):
    p: Any
    rng: Any
    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None) -> None: ...
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...

class _ChannelDropout(Dropout):
    ndim: int
    def forward(self, input: AnyArray) -> FloatArray: ...
    def backward(self, grad_output: AnyArray, needs_input_grad: bool = True) -> FloatArray: ...

class Dropout1d(_ChannelDropout):
    ndim: int

class Dropout2d(_ChannelDropout):
    ndim: int

class Dropout3d(_ChannelDropout):
    ndim: int
