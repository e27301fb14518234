"""Data sets in IDX form: the bundled MNIST, and any folder with the four usual files."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastconv.data.idx import load_idx

MNIST = Path(__file__).parent / "mnist"
MAX_CLASSES = 65536


class Dataset(NamedTuple):
    """Images (N, C, H, W) as stored, mostly uint8, and labels (N,) int64, for training and test."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def image_shape(self):
        """(channels, height, width)."""
        return self.x_train.shape[1:]

    @property
    def num_classes(self):
        """One more than the largest label."""
        return 1 + int(max(self.y_train.max(), self.y_test.max()))


def mnist(folder=None):
    """Handwritten digits: 60,000 training and 10,000 test images of 28 x 28, ten classes.

    Comes with the package, no download; `folder` reads another copy.
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits"; CC BY-SA 3.0.
    """
    return load_folder(MNIST if folder is None else folder)


def fashion_mnist(folder=None):
    """Zalando's articles of clothing, in MNIST's form and sizes.

    Read from `folder`, else from the folder that the environment variable FASTCONV_DATA names, or
    its sub-folder "fashion-mnist".  Raises FileNotFoundError, which says where to get the files.
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747 (2017).
    """
    if folder is None:
        root = os.environ.get("FASTCONV_DATA")
        if not root:
            raise FileNotFoundError(
                "fashion_mnist: put the four *-ubyte.gz files of "
                "https://github.com/zalandoresearch/fashion-mnist in a folder, and pass it as "
                "folder= or in the environment variable FASTCONV_DATA"
            )
        folder = Path(root, "fashion-mnist")
        if not folder.is_dir():
            folder = Path(root)
    return load_folder(folder)


def load_folder(folder):
    """The data set of a folder with four IDX files under MNIST's names, each plain or .gz.

    train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte.  Images are (N, H, W), which becomes (N, 1, H, W), or (N, C, H, W), of
    any size and element type; labels are whole numbers from 0.

    Raises FileNotFoundError for a missing file, and ValueError for a damaged one, for images and
    labels that do not agree, and for test images of another size than the training images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"load_folder: there is no folder {folder}")
    data = Dataset(*_load_split(folder, "train"), *_load_split(folder, "t10k"))
    if data.x_test.shape[1:] != data.image_shape:
        raise ValueError(
            f"{folder}: training and test images must have one size, got (C, H, W) = "
            f"{data.image_shape} and {data.x_test.shape[1:]}"
        )
    return data


def _load_split(folder, split):
    image_file = _find(folder, f"{split}-images-idx3-ubyte")
    label_file = _find(folder, f"{split}-labels-idx1-ubyte")
    images, labels = load_idx(image_file), load_idx(label_file)
    if images.ndim == 3:
        images = images[:, np.newaxis]
    if images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"{image_file}: images must be (N, H, W) or (N, C, H, W), none of these 0, "
            f"got shape {images.shape}"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{label_file}: labels must be one whole number per image, "
            f"got shape {labels.shape} of {labels.dtype}"
        )
    if len(labels) != len(images):
        raise ValueError(
            f"{label_file}: {len(images)} images need as many labels, got {len(labels)}"
        )
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise ValueError(
            f"{label_file}: labels must be 0 to {MAX_CLASSES - 1}, "
            f"got {labels.min()} to {labels.max()}"
        )
    return images, labels.astype(np.int64)


def _find(folder, name):
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder}: there is no {name}, plain or .gz")


def statistics(images):
    """Mean and standard deviation of all pixels, as `normalize` takes them.

    In units of the element type's largest value for integers (uint8: 0 to 1), else as they are.
    The deviation of a constant image set is given as 1, so that it can divide.
    """
    images = np.asarray(images)
    scale = _full_scale(images.dtype)
    if images.dtype == np.uint8:
        # Exact, and without a float copy of the pixels: weigh the 256 values by their counts.
        # A megabyte at a time: bincount makes eight of each byte.
        pixels = images.ravel(order="K")
        parts = np.array_split(pixels, pixels.size // 2**20 + 1)
        counts = sum(np.bincount(part, minlength=256) for part in parts)
        values = np.arange(256.0)
        mean = np.average(values, weights=counts)
        std = np.sqrt(np.average((values - mean) ** 2, weights=counts))
    else:
        mean, std = images.mean(dtype=np.float64), images.std(dtype=np.float64)
    return float(mean / scale), float(std / scale) or 1.0


def normalize(images, mean=0.0, std=1.0, dtype=np.float32):
    """(images - mean) / std as `dtype`, integers first divided by their type's largest value.

    With the defaults uint8 images become numbers from 0 to 1; with the `statistics` of the
    training images, numbers of mean 0 and deviation 1.  The memory order is kept.
    """
    images, real = np.asarray(images), np.dtype(dtype).type
    if images.dtype.kind not in "biuf":
        raise TypeError(f"normalize: images must be real numbers, got {images.dtype}")
    if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
        raise ValueError(f"normalize: mean and std must be finite, std > 0, got {mean} and {std}")
    scale = _full_scale(images.dtype)
    result = np.subtract(images, real(mean * scale), dtype=real, casting="unsafe")
    result *= real(1.0 / (scale * std))
    return result


def _full_scale(dtype):
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
