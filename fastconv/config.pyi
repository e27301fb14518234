from typing import Any

EXTRAS: dict[Any, Any]

def show_config(mode: str = "stdout") -> dict[str, Any] | None: ...
