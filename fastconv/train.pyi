from collections.abc import Iterable
from typing import Any

from fastconv._typing import AnyArray, FloatArray, Loss, Metrics, StrPath
from fastconv.callbacks import Callback
from fastconv.nn.module import Module
from fastconv.optim.lr_scheduler import LRScheduler
from fastconv.optim.optimizer import Optimizer

BATCH_SIZE: int

class History:
    model: Module
    optimizer: Optimizer
    epochs: int
    lr_scheduler: Any
    train: Any
    validation: Any
    callbacks: list[Callback]
    history: dict[str, list[float]]
    logs: dict[str, float]
    scores: Any
    epoch: int
    batch: int
    samples: int
    phase: str | None
    stop_training: bool
    seconds: float
    epoch_seconds: float
    stop_reason: str | None
    batch_input: Any
    batch_target: Any
    batch_loss: Any
    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        epochs: int,
        lr_scheduler: LRScheduler | None = None,
        train: Any = None,
        validation: Any = None,
    ) -> None: ...
    def stop(self, reason: str) -> None: ...
    def notify(self, event: str) -> None: ...

def fit(
    model: Module,
    train: Any,
    validation: Any = None,
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int = ...,
    metrics: Metrics | None = None,
    lr_scheduler: LRScheduler | None = None,
    lr_step: str | None = None,
    callbacks: Iterable[Callback] = (),
    resume: StrPath | None = None,
    verbose: str | int | bool = "auto",
    num_threads: int | None = None,
) -> History: ...
def evaluate(
    model: Module,
    data: Any,
    *,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    batch_size: int = ...,
    num_threads: int | None = None,
) -> dict[str, float]: ...
def predict(
    model: Module, inputs: AnyArray, batch_size: int = ..., num_threads: int | None = None
) -> FloatArray: ...
