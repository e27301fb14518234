from typing import Any

from fastconv._typing import AnyArray, Array, StrPath

DTYPES: dict[Any, Any]
MAX_AXES: int
MAX_BYTES: Any
CHUNK: Any
GZIP_MAGIC: bytes

def load_idx(path: StrPath) -> Array: ...
def save_idx(path: StrPath, array: AnyArray) -> None: ...
