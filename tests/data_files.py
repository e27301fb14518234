"""Small data sets as arrays, and in the forms in which they lie on a disk."""

import io
import tarfile

import numpy as np

from fastconv.data import save_idx

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")  # fmt: skip


def arrays(train=6, test=4, size=(5, 7)):
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (train, *size), np.uint8),
        (np.arange(train) % 3).astype(np.uint8),
        rng.integers(0, 256, (test, *size), np.uint8),
        (np.arange(test) % 4).astype(np.uint8),
    ]


def write(folder, parts, suffix=""):
    for name, part in zip(FILES, parts, strict=True):
        save_idx(folder / (name + suffix), part)
    return folder


def cifar_batches(names=("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"), count=5):
    """{file name: content} and {file name: (images, labels)}, written pixel by pixel."""
    rng = np.random.default_rng(0)
    contents, meant = {}, {}
    for name in names:
        images = rng.integers(0, 256, (count, 3, 32, 32), np.uint8)
        labels = rng.integers(0, 10, count)
        contents[name] = b"".join(
            bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True)
        )
        meant[name] = images, labels
    return contents, meant


def save_cifar(folder, contents, archive=False):
    if not archive:
        folder.mkdir(exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return folder
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
