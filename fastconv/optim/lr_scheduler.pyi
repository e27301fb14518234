from collections.abc import Mapping
from typing import Any

from fastconv.optim.optimizer import Optimizer

class LRScheduler:
    optimizer: Optimizer
    base_lrs: list[float]
    last_epoch: int
    def __init__(self, optimizer: Optimizer) -> None: ...
    def get_lr(self) -> list[float]: ...
    def get_last_lr(self) -> list[float]: ...
    def step(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None: ...

class StepLR(LRScheduler):
    step_size: Any
    gamma: Any
    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None: ...
    def get_lr(self) -> list[float]: ...

class CosineAnnealingLR(LRScheduler):
    T_max: Any
    eta_min: Any
    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None: ...
    def get_lr(self) -> list[float]: ...

class OneCycleLR(LRScheduler):
    total_steps: Any
    anneal_strategy: Any
    cycle_momentum: Any
    pct_start: Any
    three_phase: Any
    max_lrs: Any
    base_momentums: Any
    max_momentums: Any
    final_div_factor: Any
    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 10000.0,
        three_phase: bool = False,
    ) -> None: ...
    def get_lr(self) -> list[float]: ...
