"""Data for training: data sets, readers of files and folders, batches, augmentation."""

from fastconv.data.augment import (
    random_affine,
    random_crop,
    random_erase,
    random_flip,
    random_shift,
)
from fastconv.data.datasets import Dataset, cifar10, fashion_mnist, load_folder, mnist
from fastconv.data.idx import load_idx, save_idx
from fastconv.data.loader import DataLoader
from fastconv.data.scaling import normalize, statistics

__all__ = [
    "DataLoader",
    "Dataset",
    "cifar10",
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
