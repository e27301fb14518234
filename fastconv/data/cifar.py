"""CIFAR-10 in its binary version: a label byte and 3 x 32 x 32 pixel bytes for each image.

https://www.cs.toronto.edu/~kriz/cifar.html; the Python version there is pickled, and not read.
"""

import re
import zlib
from pathlib import PurePosixPath

import numpy as np

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
IMAGE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
CLASSES = 10
BATCH = re.compile(r"data_batch_(\d+)\.bin")
TEST, NAMES = "test_batch.bin", "batches.meta.txt"


def find(folder):
    """Where the batches are: this folder, the one the archive unpacks to, the archive; or None."""
    for each in (folder, folder / FOLDER):
        if each.is_dir() and any(_wanted(path.name) for path in each.iterdir()):
            return each
    return folder / ARCHIVE if (folder / ARCHIVE).is_file() else None


def read(path):
    """(x_train, y_train, x_test, y_test, class names) of a folder or a tar archive, read in place.

    Images (N, 3, 32, 32) uint8, labels (N,) int64; class names are None without batches.meta.txt.
    Raises FileNotFoundError for a missing batch, ValueError for a damaged one.
    """
    contents = _in_folder(path) if path.is_dir() else _in_archive(path)
    batches = sorted((int(found[1]), name) for name in contents if (found := BATCH.match(name)))
    wanted = [f"data_batch_{i + 1}.bin" for i in range(max(len(batches), 1))] + [TEST]
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise FileNotFoundError(
            f"{path}: there is no {missing[0]}; CIFAR-10 is read in its binary version, not in the "
            "Python version, which is pickled"
        )
    train = [_records(path, name, contents[name]) for _, name in batches]
    test = [_records(path, TEST, contents[TEST])]
    names = contents.get(NAMES, b"").decode("utf-8", "replace").split("\n")
    names = tuple(name.strip() for name in names if name.strip())
    count = 1 + max(records[:, 0].max() for records in train + test)
    if names and len(names) < count:
        raise ValueError(
            f"{path}: {NAMES} must name the {count} classes that there are, got {len(names)} names"
        )
    return (*_arrays(train), *_arrays(test), names or None)


def _wanted(name):
    return BATCH.fullmatch(name) or name in (TEST, NAMES)


def _in_folder(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if _wanted(path.name)}


def _in_archive(path):
    """Only regular files of known names are read, and none is written anywhere."""
    import tarfile  # here, as it costs the start of every program

    contents = {}
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.isreg() and not member.issparse() and _wanted(name):
                    contents[name] = archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, which names the file
        raise ValueError(f"{path}: damaged archive ({error})") from error
    return contents


def _records(path, name, content):
    if not content or len(content) % RECORD:
        raise ValueError(
            f"{path}: {name} must hold records of {RECORD} bytes, got {len(content)} bytes"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= CLASSES:
        raise ValueError(
            f"{path}: {name}: labels must be 0 to {CLASSES - 1}, got {records[:, 0].max()}"
        )
    return records


def _arrays(batches):
    images = np.concatenate([records[:, 1:].reshape(-1, *IMAGE) for records in batches])
    return images, np.concatenate([records[:, 0] for records in batches]).astype(np.int64)
