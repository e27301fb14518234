from collections.abc import Iterator
from typing import Any

from fastconv._typing import AnyArray, Array, Transform

class DataLoader:
    inputs: Array
    targets: Array
    batch_size: int
    seed: int
    shuffle: bool
    drop_last: bool
    transform: Transform | None
    prefetch: int
    def __init__(
        self,
        inputs: AnyArray,
        targets: AnyArray,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        *,
        seed: int | None = None,
        transform: Transform | None = None,
        prefetch: int = 0,
    ) -> None: ...
    @property
    def epoch(self) -> int: ...
    @epoch.setter
    def epoch(self, epoch: int) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[Array, Array]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
