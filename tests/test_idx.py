"""load_idx: what it accepts, and that no header can make it allocate or crash."""

import gzip
import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.data import load_idx, save_idx

CODES = dict(uint8=0x08, int8=0x09, int16=0x0B, int32=0x0C, float32=0x0D, float64=0x0E)
LETTERS = dict(uint8="B", int8="b", int16="h", int32="i", float32="f", float64="d")


def header(code, *shape):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def encode(values, dtype, *shape):
    """An IDX file by struct, one big-endian value after the other."""
    return header(CODES[dtype], *shape) + struct.pack(f">{len(values)}{LETTERS[dtype]}", *values)


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_every_element_type(tmp_path, dtype, pack):
    values = [0, 1, 2, 100, 127, 7] if dtype in ("uint8", "int8") else [0, 1, -2, 300, 32767, 7]
    array = load_idx(write(tmp_path / "file", pack(encode(values, dtype, 2, 1, 3))))
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array.shape == (2, 1, 3)
    assert array.ravel().tolist() == values
    array[0] = 0  # the caller's own


@given(
    dtype=st.sampled_from(sorted(CODES)),
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    suffix=st.sampled_from(["", ".gz"]),
)
def test_save_and_load_are_inverse(tmp_path_factory, dtype, shape, suffix):
    array = np.random.default_rng(0).integers(-100, 100, shape).astype(dtype)
    path = tmp_path_factory.mktemp("idx") / f"file{suffix}"
    save_idx(path, np.asfortranarray(array))
    content = path.read_bytes()
    plain = gzip.decompress(content) if suffix else content
    assert plain == encode(array.ravel().tolist(), dtype, *shape)
    np.testing.assert_array_equal(load_idx(path), array, strict=True)


def test_save_refuses_what_the_format_lacks(tmp_path):
    with pytest.raises(TypeError, match=r"save_idx: array must be uint8.*got int64"):
        save_idx(tmp_path / "file", np.arange(3))
    with pytest.raises(ValueError, match=r"1 to 32 axes.*got shape \(\)"):
        save_idx(tmp_path / "file", np.uint8(1))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        load_idx(tmp_path / "nothing-here")


GOOD = encode(range(12), "uint8", 3, 4)

BAD = {
    "empty": (b"", "not an IDX file.*empty"),
    "short magic": (b"\0\0\x08", "not an IDX file"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(20), "not an IDX file.*89 50 4e 47"),
    "unknown element type": (header(0x0A, 2) + bytes(2), "not an IDX file.*element type"),
    "no axes": (b"\0\0\x08\0" + bytes(1), "1 to 32 axes, got 0"),
    "too many axes": (header(0x08, *[1] * 33) + bytes(1), "1 to 32 axes, got 33"),
    "header cut": (header(0x08, 3, 4)[:-1], "truncated.*header"),
    "data cut": (GOOD[:-1], r"truncated.*12 bytes.*\(3, 4\) of uint8.*holds 11"),
    "one byte more": (GOOD + b"\0", "oversized.*12 bytes"),
    "half an element": (encode([1, 2], "int32", 2)[:-2], "truncated.*8 bytes.*holds 6"),
    "absurd length": (header(0x0E, 2**32 - 1) + bytes(8), "truncated.*34359738360 bytes"),
    "beyond 64 bits": (header(0x0E, *[2**32 - 1] * 3), "too large for 64-bit"),
    "empty but absurd": (header(0x0E, 0, *[2**32 - 1] * 3), "too large for 64-bit"),
    "wide multiplication": (header(0x08, *[2**32 - 1] * 32), "too large for 64-bit"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", BAD)
def test_bad_files_name_the_file_and_the_rule(tmp_path, name, pack):
    content, message = BAD[name]
    path = write(tmp_path / "the-file", pack(content))
    with pytest.raises(ValueError, match=f"the-file: .*{message}"):
        load_idx(path)


def test_damaged_gzip(tmp_path):
    packed = gzip.compress(GOOD)
    flipped = bytearray(packed)
    flipped[-6] ^= 1  # the checksum
    for content in (packed[:-4], packed[:15], bytes(flipped), packed + b"junk", b"\x1f\x8b\xff"):
        with pytest.raises(ValueError, match="the-file: damaged gzip data"):
            load_idx(write(tmp_path / "the-file", content))


def test_empty_arrays(tmp_path):
    path = write(tmp_path / "file", header(0x0B, 0, 2**31, 2**20))
    assert load_idx(path).shape == (0, 2**31, 2**20)


@given(
    fields=st.lists(st.integers(0, 255), max_size=4),
    lengths=st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 4), max_size=5),
    data=st.binary(max_size=64),
    pack=st.sampled_from([bytes, gzip.compress]),
)
def test_any_bytes_load_or_are_refused(tmp_path_factory, fields, lengths, data, pack):
    content = bytes(fields) + struct.pack(f">{len(lengths)}I", *lengths) + data
    path = write(tmp_path_factory.mktemp("fuzz") / "file", pack(content))
    try:
        array = load_idx(path)
    except ValueError as refusal:
        if str(path) not in str(refusal):
            raise
    else:
        assert len(content) == 4 + 4 * array.ndim + array.nbytes


@given(
    dtype=st.sampled_from(sorted(CODES)),
    shape=st.lists(st.integers(0, 4) | st.sampled_from([2**16, 2**32 - 1]), min_size=1, max_size=4),
    surplus=st.integers(-3, 3),
)
def test_near_misses(tmp_path_factory, dtype, shape, surplus):
    """Well-formed headers over a few bytes too many or too few."""
    promised = math.prod(shape) * struct.calcsize(LETTERS[dtype])
    held = min(max(0, promised + surplus), 4096)
    content = header(CODES[dtype], *shape) + bytes(held)
    path = write(tmp_path_factory.mktemp("near") / "file", content)
    if held == promised and max(shape) <= 2**16:
        assert load_idx(path).shape == tuple(shape)
    elif held != promised:
        with pytest.raises(ValueError, match=r"truncated|oversized|too large"):
            load_idx(path)


def peak_of_refusal(path):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"truncated|oversized"):
            load_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def gzip_bomb(start, megabytes):
    """A small gzip file that unpacks to `start` and many zeros."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    parts = [packer.compress(start)] + [packer.compress(zeros) for _ in range(megabytes)]
    return b"".join([*parts, packer.flush()])


MIB = 1 << 20


def test_a_lying_plain_header_allocates_nothing(tmp_path):
    path = write(tmp_path / "file", header(0x0E, 2**20, 2**20) + bytes(100))
    assert peak_of_refusal(path) < MIB // 4


def test_a_lying_gzip_header_allocates_what_is_there(tmp_path):
    path = write(tmp_path / "file", gzip.compress(header(0x0E, 2**20, 2**20) + bytes(100)))
    assert peak_of_refusal(path) < 4 * MIB


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    bomb = gzip_bomb(header(0x08, 1000), 256)
    assert len(bomb) < MIB
    assert peak_of_refusal(write(tmp_path / "file", bomb)) < 4 * MIB


def test_memory_stays_below_the_promise_and_a_chunk(tmp_path):
    promised = 33 * MIB + 12345
    path = write(tmp_path / "file", gzip_bomb(header(0x08, promised), 64))
    # From 2.5 on, NumPy counts a buffer that grows in place twice for a moment.
    counted = 2 if np.lib.NumpyVersion(np.__version__) >= "2.5.0" else 1
    assert peak_of_refusal(path) < counted * promised + 4 * MIB
