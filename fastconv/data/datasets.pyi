from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from fastconv._typing import Array, StrPath

MNIST: Any
MAX_CLASSES: int
TEST_FRACTION: float
FASHION_MNIST: dict[Any, Any]
FASHION_MNIST_PAGE: str
FASHION_MNIST_MIRRORS: tuple[Any, ...]
FASHION_MNIST_CLASSES: tuple[Any, ...]
CIFAR10: str
CIFAR10_PAGE: str
CIFAR10_MIRRORS: tuple[Any, ...]
CIFAR10_CLASSES: tuple[Any, ...]

class _Arrays(NamedTuple):
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array

class Dataset(_Arrays):
    class_names: Sequence[str] | None
    def __new__(
        cls,
        x_train: Array,
        y_train: Array,
        x_test: Array,
        y_test: Array,
        class_names: Sequence[str] | None = None,
    ) -> Self: ...
    @property
    def image_shape(self) -> tuple[int, ...]: ...
    @property
    def num_classes(self) -> int: ...

def mnist(folder: StrPath | None = None) -> Dataset: ...
def fashion_mnist(folder: StrPath | None = None) -> Dataset: ...
def cifar10(folder: StrPath | None = None) -> Dataset: ...
def load_folder(path: StrPath) -> Dataset: ...
