"""Data for training: readers of IDX files, the bundled MNIST, batches, augmentation."""

from fastconv.data.augment import (
    random_affine,
    random_crop,
    random_erase,
    random_flip,
    random_shift,
)
from fastconv.data.datasets import (
    Dataset,
    fashion_mnist,
    load_folder,
    mnist,
    normalize,
    statistics,
)
from fastconv.data.idx import load_idx, save_idx
from fastconv.data.loader import DataLoader

__all__ = [
    "DataLoader",
    "Dataset",
    "fashion_mnist",
    "load_folder",
    "load_idx",
    "mnist",
    "normalize",
    "random_affine",
    "random_crop",
    "random_erase",
    "random_flip",
    "random_shift",
    "save_idx",
    "statistics",
]
