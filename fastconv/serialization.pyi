from collections.abc import Mapping
from typing import Any

from fastconv._typing import StateDict, StrPath
from fastconv.nn import Module

def save(
    module_or_state_dict: Module | Mapping[str, Any],
    path: StrPath,
    metadata: dict[str, str] | None = None,
) -> None: ...
def load(path: StrPath) -> StateDict: ...
def load_metadata(path: StrPath) -> dict[str, str]: ...
def write_atomically(path: StrPath, data: Any) -> None: ...
