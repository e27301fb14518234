from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn import Module

class GradcheckError(RuntimeError): ...

def gradcheck(
    module_or_pair: Module | tuple[Callable[..., Any], Callable[..., Any]],
    input: Any,
    *,
    eps: float = 1e-06,
    atol: float = 1e-05,
    rtol: float = 0.001,
    rng: np.random.Generator | None = None,
) -> bool: ...
