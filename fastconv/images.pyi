from collections.abc import Sequence
from typing import Any

from fastconv._typing import AnyArray, Array, StrPath

PILLOW_MODES: dict[Any, Any]
GREY_MODES: tuple[Any, ...]

def read_images(path: StrPath, image_shape: Sequence[int]) -> Array: ...
def image_shape(path: StrPath) -> tuple[int, ...]: ...
def make_grid(
    images: AnyArray, nrow: int = 8, padding: int = 2, pad_value: float = 0.0
) -> Array: ...
def save_image(images: AnyArray, path: StrPath, nrow: int = 8, padding: int = 2) -> None: ...
