from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv.nn.module import Parameter

def uniform_(
    tensor: Any, a: float = 0.0, b: float = 1.0, *, rng: np.random.Generator | None = None
) -> Any: ...
def normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, *, rng: np.random.Generator | None = None
) -> Any: ...
def constant_(tensor: Any, val: float) -> Any: ...
def zeros_(tensor: Any) -> Any: ...
def ones_(tensor: Any) -> Any: ...
def calculate_gain(nonlinearity: str, param: float | None = None) -> float: ...
def fans(tensor: Any) -> tuple[int, int]: ...
def xavier_uniform_(
    tensor: Any, gain: float = 1.0, *, rng: np.random.Generator | None = None
) -> Any: ...
def xavier_normal_(
    tensor: Any, gain: float = 1.0, *, rng: np.random.Generator | None = None
) -> Any: ...
def kaiming_uniform_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: np.random.Generator | None = None,
) -> Any: ...
def kaiming_normal_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: np.random.Generator | None = None,
) -> Any: ...
def weight_and_bias(
    shape: Any, out_features: int, bias: bool, dtype: DTypeLike, rng: np.random.Generator | None
) -> tuple[Parameter, Parameter | None]: ...
