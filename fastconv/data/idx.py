"""IDX, the file format of MNIST and its relatives: two functions, and no trust in the header.

A file is two zero bytes, the element type, the number of axes, one big-endian 32-bit length per
axis, then the elements, big-endian, in C order (http://yann.lecun.com/exdb/mnist/).
"""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_AXES = 32  # what every NumPy can hold
MAX_BYTES = 2**63 - 1
CHUNK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"


def load_idx(path):
    """The array that an IDX file holds, plain or gzipped (told by its first bytes).

    The result has the shape of the header and its element type (uint8, int8, int16, int32,
    float32 or float64) in native byte order.  Memory grows with the data that are really there, and
    never beyond the promised size, whatever the header claims or a gzip stream unpacks to.

    Raises FileNotFoundError for a missing file, and ValueError, naming the file and the rule, for
    one that is not IDX, truncated, oversized or damaged.
    """
    path = Path(path)
    with path.open("rb") as file:
        zipped = file.peek(2)[:2] == GZIP_MAGIC
        try:
            if zipped:
                with gzip.open(file) as stream:
                    return _parse(path, stream)
            return _parse(path, file, os.fstat(file.fileno()).st_size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged gzip data ({error})") from None


def save_idx(path, array):
    """Write `array` as an IDX file, gzipped when `path` ends in .gz.

    uint8, int8, int16, int32, float32 and float64 have a code in the format: any other type is a
    TypeError.  The array must have 1 to 32 axes, none longer than 2**32 - 1 (ValueError).
    """
    path, array = Path(path), np.asarray(array)
    dtype = array.dtype.newbyteorder(">")
    code = next((code for code, each in DTYPES.items() if np.dtype(each) == dtype), None)
    if code is None:
        raise TypeError(
            "save_idx: array must be uint8, int8, int16, int32, float32 or float64, "
            f"got {array.dtype}"
        )
    if not 1 <= array.ndim <= MAX_AXES or max(array.shape) >= 2**32:
        raise ValueError(
            f"save_idx: array must have 1 to {MAX_AXES} axes shorter than 2**32, "
            f"got shape {array.shape}"
        )
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as stream:
        stream.write(header)
        stream.write(np.ascontiguousarray(array, dtype).data)


def _parse(path, stream, file_size=None):
    """`file_size`: the bytes of a plain file, which tell a lying header before any data is read."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES:
        raise ValueError(
            f"{path}: not an IDX file: it must begin with two zero bytes and an element type of "
            f"{', '.join(map(hex, DTYPES))}, got {magic.hex(' ') or 'an empty file'}"
        )
    dtype, ndim = np.dtype(DTYPES[magic[2]]), magic[3]
    if not 1 <= ndim <= MAX_AXES:
        raise ValueError(f"{path}: an IDX array must have 1 to {MAX_AXES} axes, got {ndim}")
    lengths = stream.read(4 * ndim)
    if len(lengths) < 4 * ndim:
        raise ValueError(f"{path}: truncated: it ends within the header")
    shape = tuple(np.frombuffer(lengths, ">u4").tolist())
    # Empty axes count as 1 here: NumPy refuses (0, huge, huge) too.
    if math.prod(max(length, 1) for length in shape) * dtype.itemsize > MAX_BYTES:
        raise ValueError(f"{path}: its header promises shape {shape}, too large for 64-bit sizes")
    promised = math.prod(shape) * dtype.itemsize
    rule = f"its header promises {promised} bytes of data, shape {shape} of {dtype.name}"
    if file_size is not None and file_size - 4 - 4 * ndim != promised:
        problem = "truncated" if file_size - 4 - 4 * ndim < promised else "oversized"
        raise ValueError(f"{path}: {problem}: {rule}, the file holds {file_size - 4 - 4 * ndim}")
    data = _read(stream, promised)
    if len(data) < promised:
        raise ValueError(f"{path}: truncated: {rule}, the file holds {len(data)}")
    if stream.read(1):
        raise ValueError(f"{path}: oversized: {rule}, the file holds more")
    array = data.view(dtype).reshape(shape)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder())
    return array


def _read(stream, count):
    """Up to `count` bytes of `stream`, in a buffer that only grows as they arrive."""
    data = np.empty(min(count, CHUNK), np.uint8)
    filled = 0
    while filled < count and (chunk := stream.read(min(CHUNK, count - filled))):
        if filled + len(chunk) > data.size:
            # In place: the allocator moves pages, no second buffer.  Nobody else refers to it.
            data.resize(min(count, 2 * data.size), refcheck=False)
        data[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    return data[:filled]
