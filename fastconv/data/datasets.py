"""Data sets: the bundled MNIST, others by download, and whatever lies in a folder or file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastconv.data import cifar, download, image_folder, npz
from fastconv.data.idx import load_idx

MNIST = Path(__file__).parent / "mnist"
MAX_CLASSES = 65536
TEST_FRACTION = 0.2

# SHA-256 of what the files unpack to, as the crate dataset-ml lists them, and others beside those
# of MNIST, which our copy has.  The two of labels were also found from the files in the repository
# of Fashion-MNIST, which have the MD5 that its README gives.
FASHION_MNIST = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
FASHION_MNIST_PAGE = "https://github.com/zalandoresearch/fashion-mnist"
FASHION_MNIST_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

# SHA-256 of the archive as it is, from TensorFlow Datasets (url_checksums/cifar10.txt): all mirrors
# have the author's own.
CIFAR10 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
CIFAR10_MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://cave.cs.toronto.edu/kriz/",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
)
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


class _Arrays(NamedTuple):
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Dataset(_Arrays):
    """Images (N, C, H, W) as stored, mostly uint8, and labels (N,) int64, for training and test.

    A tuple (x_train, y_train, x_test, y_test).  class_names: one for each label from 0, or None.
    """

    class_names = None

    def __new__(cls, x_train, y_train, x_test, y_test, class_names=None):
        data = super().__new__(cls, x_train, y_train, x_test, y_test)
        data.class_names = class_names
        return data

    @property
    def image_shape(self):
        """(channels, height, width)."""
        return self.x_train.shape[1:]

    @property
    def num_classes(self):
        """One more than the largest label, and no less than there are names."""
        largest = int(max(self.y_train.max(), self.y_test.max()))
        return max(1 + largest, len(self.class_names or ()))


def mnist(folder=None):
    """Handwritten digits: 60,000 training and 10,000 test images of 28 x 28, ten classes.

    Comes with the package, no download; `folder` reads another copy.
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits"; CC BY-SA 3.0.
    """
    return _load_idx_files(MNIST if folder is None else Path(folder), tuple("0123456789"))


def fashion_mnist(folder=None):
    """Zalando's articles of clothing, in MNIST's form and sizes.

    Read from `folder`, else from the folder that the environment variable FASTCONV_DATA names or
    its sub-folder "fashion-mnist", else from the cache of the user.  Files that are not there yet
    are downloaded (30 MB; extra `download`) and checked: SHA-256 of what they unpack to.

    Raises FileNotFoundError, which says where to get the files and where to put them, when no
    mirror gives the right ones, and ImportError when they are needed and pooch is missing.
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747 (2017).
    """
    folder = download.folder_of("fashion-mnist", folder, any_of=_names(FASHION_MNIST))
    for name, sha256 in FASHION_MNIST.items():
        if not any((folder / each).is_file() for each in _names([name])):
            download.fetch(
                f"{name}.gz", folder, FASHION_MNIST_MIRRORS, sha256, FASHION_MNIST_PAGE,
                unpacked=True,
            )  # fmt: skip
    return _load_idx_files(folder, FASHION_MNIST_CLASSES)


def cifar10(folder=None):
    """Photographs in ten classes: 50,000 training and 10,000 test images of 32 x 32, RGB.

    Read from `folder`, else from the folder that the environment variable FASTCONV_DATA names or
    its sub-folder "cifar-10", else from the cache of the user.  There lies the archive
    cifar-10-binary.tar.gz, or the folder cifar-10-batches-bin that it unpacks to.  If neither does,
    the archive is downloaded (170 MB; extra `download`) and its SHA-256 checked.

    Raises FileNotFoundError, which says where to get the archive and where to put it, when no
    mirror gives the right one, and ImportError when it is needed and pooch is missing.
    A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """
    folder = download.folder_of("cifar-10", folder, any_of=[cifar.ARCHIVE, cifar.FOLDER])
    if cifar.find(folder) is None:
        download.fetch(cifar.ARCHIVE, folder, CIFAR10_MIRRORS, CIFAR10, CIFAR10_PAGE)
    *arrays, _ = cifar.read(cifar.find(folder))
    return Dataset(*arrays, CIFAR10_CLASSES)


def load_folder(path):
    """The data set that a folder or a file holds, in any of these forms, told by what is there.

    IDX: a folder with four files under MNIST's names, each plain or .gz: train-images-idx3-ubyte,
    train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte.  Images are
    (N, H, W), which becomes (N, 1, H, W), or (N, C, H, W), of any element type.
    CIFAR-10, binary version: a folder with data_batch_*.bin and test_batch.bin, or one that holds
    cifar-10-batches-bin or cifar-10-binary.tar.gz, or such an archive, which is never unpacked.
    NPZ: a file with the arrays x_train, y_train, x_test and y_test, as Keras has it: images as
    above, or (N, H, W, C) with one or three channels.
    Images: a folder with train/CLASS/FILE and test/CLASS/FILE, or only CLASS/FILE, of which a fifth
    of each class is set aside as test images, always the same.  PNG, JPEG and the like, by Pillow
    (extra `image`), all of one size; grey, or RGB where one of them has colour.

    Labels are whole numbers from 0; class names come from the folders, sorted, or from CIFAR's
    batches.meta.txt.  Nothing is ever unpickled.

    Raises FileNotFoundError where nothing of the kind is found or a file is missing, and ValueError
    for a damaged one, for images and labels that do not agree, and for images of different sizes.
    """
    path = Path(path)
    if path.is_file():
        if path.suffix == ".npz":
            return _load_npz(path)
        if ".tar" in path.suffixes or path.suffix == ".tgz":
            return Dataset(*cifar.read(path))
    elif path.is_dir():
        if any((path / name).is_file() for name in _names(FASHION_MNIST)):
            return _load_idx_files(path)
        if (found := cifar.find(path)) is not None:
            return Dataset(*cifar.read(found))
        if image_folder.class_folders(path):
            return Dataset(*image_folder.read(path, TEST_FRACTION))
    else:
        raise FileNotFoundError(f"load_folder: there is no folder {path}, and no file")
    raise FileNotFoundError(
        f"{path}: there is no data set in it; it must be a folder with the four IDX files "
        "(train-images-idx3-ubyte, ...), CIFAR-10 in its binary version, an .npz file with "
        "x_train, y_train, x_test and y_test, or a folder with a folder of images for each class"
    )


def _names(files):
    """IDX files may be gzipped."""
    return [name + suffix for name in files for suffix in ("", ".gz")]


def _load_idx_files(folder, class_names=None):
    if not folder.is_dir():
        raise FileNotFoundError(f"load_folder: there is no folder {folder}")
    parts = []
    for split in ("train", "t10k"):
        for name in (f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"):
            path = next((folder / n for n in _names([name]) if (folder / n).is_file()), None)
            if path is None:
                raise FileNotFoundError(f"{folder}: there is no {name}, plain or .gz")
            parts.append((path, load_idx(path)))
    return _checked(folder, parts, class_names)


def _load_npz(path):
    arrays = npz.read(path)
    return _checked(path, [(f"{path}: {name}", array) for name, array in arrays.items()])


def _checked(where, parts, class_names=None):
    """A Dataset of four (name, array): images and labels for training, and for test."""
    data = Dataset(*_split(*parts[:2]), *_split(*parts[2:]), class_names)
    if data.x_test.shape[1:] != data.image_shape:
        raise ValueError(
            f"{where}: training and test images must have one size, got (C, H, W) = "
            f"{data.image_shape} and {data.x_test.shape[1:]}"
        )
    return data


def _split(named_images, named_labels):
    (image_name, images), (label_name, labels) = named_images, named_labels
    if images.ndim == 3:
        images = images[:, np.newaxis]
    if images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"{image_name}: images must be (N, H, W) or (N, C, H, W), none of these 0, "
            f"got shape {images.shape}"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{label_name}: labels must be one whole number per image, "
            f"got shape {labels.shape} of {labels.dtype}"
        )
    if len(labels) != len(images):
        raise ValueError(
            f"{label_name}: {len(images)} images need as many labels, got {len(labels)}"
        )
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise ValueError(
            f"{label_name}: labels must be 0 to {MAX_CLASSES - 1}, "
            f"got {labels.min()} to {labels.max()}"
        )
    return images, labels.astype(np.int64)
