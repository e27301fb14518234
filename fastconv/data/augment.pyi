from collections.abc import Sequence

import numpy as np

from fastconv._typing import AnyArray, Array, Sizes

MOVE_WORK: int
AFFINE_WORK: int
ATTEMPTS: int

def random_shift(
    images: AnyArray, pixels: int, rng: np.random.Generator, fill: float = 0
) -> Array: ...
def random_crop(
    images: AnyArray, size: Sizes, rng: np.random.Generator, padding: Sizes = 0, fill: float = 0
) -> Array: ...
def random_flip(
    images: AnyArray, rng: np.random.Generator, horizontal: float = 0.5, vertical: float = 0.0
) -> Array: ...
def random_affine(
    images: AnyArray,
    degrees: float | tuple[float, float],
    rng: np.random.Generator,
    translate: tuple[float, float] = (0.0, 0.0),
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float | tuple[float, float] = 0.0,
    fill: float = 0,
) -> Array: ...
def random_erase(
    images: AnyArray,
    rng: np.random.Generator,
    p: float = 0.5,
    scale: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
    value: float | str | Sequence[float] = 0,
) -> Array: ...
