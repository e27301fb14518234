from collections.abc import Iterable, Mapping
from typing import Any

from fastconv._typing import Array, FloatArray
from fastconv.nn import Parameter

class Optimizer:
    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    state: dict[Any, Any]
    def __init__(
        self, params: Iterable[Parameter] | Iterable[dict[str, Any]], defaults: dict[str, Any]
    ) -> None: ...
    def add_param_group(self, param_group: dict[str, Any]) -> None: ...
    def check_group(self, group: dict[str, Any]) -> None: ...
    def zero_grad(self) -> None: ...
    def step(self) -> None: ...
    def update(
        self, data: Any, grad: FloatArray, state: dict[str, Any], group: dict[str, Any]
    ) -> None: ...
    def update_group(
        self,
        parameters: Iterable[tuple[Any, FloatArray, dict[str, Any]]],
        group: dict[str, Any],
    ) -> None: ...
    def scratch(self, like: Array, name: str = "scratch") -> Any: ...
    def decayed(self, data: Any, grad: FloatArray, weight_decay: float) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None: ...

class SGD(Optimizer):
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.001,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None: ...
    def check_group(self, group: dict[str, Any]) -> None: ...
    def update_group(
        self,
        parameters: Iterable[tuple[Any, FloatArray, dict[str, Any]]],
        group: dict[str, Any],
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-08,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
    ) -> None: ...
    def check_group(self, group: dict[str, Any]) -> None: ...
    def update(
        self, data: Any, grad: FloatArray, state: dict[str, Any], group: dict[str, Any]
    ) -> None: ...

class Adam(Optimizer):
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        amsgrad: bool = False,
    ) -> None: ...
    def check_group(self, group: dict[str, Any]) -> None: ...
    def update_group(
        self,
        parameters: Iterable[tuple[Any, FloatArray, dict[str, Any]]],
        group: dict[str, Any],
    ) -> None: ...
    def adapt(
        self,
        parameters: Iterable[tuple[Any, FloatArray, dict[str, Any]]],
        group: dict[str, Any],
        decay: float = 0.0,
        shrink: float = 1.0,
    ) -> None: ...

class AdamW(Adam):
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
    ) -> None: ...
    def update_group(
        self,
        parameters: Iterable[tuple[Any, FloatArray, dict[str, Any]]],
        group: dict[str, Any],
    ) -> None: ...

def zeros(state: dict[str, Any], name: str, data: Any) -> Any: ...
def running_mean(mean: Any, keep: float, term: Any, scratch: Any) -> None: ...
