"""The bundled MNIST, folders of IDX files, and normalisation."""

import gzip
import hashlib

import numpy as np
import pytest

from fastconv.data import fashion_mnist, load_folder, mnist, normalize, save_idx, statistics
from fastconv.data.datasets import MNIST

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


def test_mnist_is_the_published_one():
    data = mnist()
    assert [each.shape for each in data] == [
        (60000, 1, 28, 28), (60000,), (10000, 1, 28, 28), (10000,)
    ]  # fmt: skip
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert (data.image_shape, data.num_classes) == ((1, 28, 28), 10)
    # Counts of the digits, from the authors' page and the literature.
    assert np.bincount(data.y_train).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949
    ]  # fmt: skip
    assert data.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The well-known constants of MNIST preprocessing.
    mean, std = statistics(data.x_train)
    assert (round(mean, 4), round(std, 4)) == (0.1307, 0.3081)


def test_mnist_files_are_the_authors():
    # MD5 of the unpacked files, as many copies of MNIST list them.
    published = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
    for name, checksum in published.items():
        content = gzip.decompress((MNIST / f"{name}.gz").read_bytes())
        assert hashlib.md5(content).hexdigest() == checksum


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_load_folder(tmp_path, suffix):
    parts = arrays()
    data = load_folder(write(tmp_path, parts, suffix))
    np.testing.assert_array_equal(data.x_train[:, 0], parts[0], strict=True)
    np.testing.assert_array_equal(data.y_train, parts[1])
    np.testing.assert_array_equal(data.x_test[:, 0], parts[2], strict=True)
    np.testing.assert_array_equal(data.y_test, parts[3])
    assert (data.image_shape, data.num_classes) == ((1, 5, 7), 4)
    assert mnist(tmp_path).image_shape == (1, 5, 7)


def test_four_axes_hold_channels(tmp_path):
    parts = arrays(size=(3, 8, 9))
    assert load_folder(write(tmp_path, parts)).image_shape == (3, 8, 9)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        load_folder(tmp_path / "absent")
    write(tmp_path, arrays())
    (tmp_path / FILES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=r"no t10k-labels-idx1-ubyte, plain or .gz"):
        load_folder(tmp_path)


def change(index, array):
    parts = arrays()
    parts[index] = array
    return parts


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (change(1, np.zeros(5, np.uint8)), "train-labels.*6 images need as many labels, got 5"),
        (change(1, np.int8([0, 1, 2, 0, 1, -1])), "train-labels.*labels must be 0 to.*got -1"),
        (change(1, np.int32([0, 1, 2, 0, 1, 2**30])), "train-labels.*labels must be 0 to"),
        (change(1, np.zeros((6, 1), np.uint8)), "train-labels.*one whole number per image"),
        (change(3, np.zeros(4, np.float32)), "t10k-labels.*one whole number per image"),
        (change(2, np.zeros((4, 5, 8), np.uint8)), r"one size.*\(1, 5, 7\) and \(1, 5, 8\)"),
        (change(0, np.zeros((6, 5), np.uint8)), r"train-images.*\(N, H, W\).*got shape \(6, 5\)"),
        (change(2, np.zeros((0, 5, 7), np.uint8)), "t10k-images.*none of these 0"),
    ],
)
def test_files_must_agree(tmp_path, parts, message):
    write(tmp_path, parts)
    with pytest.raises(ValueError, match=message):
        load_folder(tmp_path)


def test_fashion_mnist_is_found_or_explained(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTCONV_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"github.com/zalandoresearch.*FASTCONV_DATA"):
        fashion_mnist()
    inner = tmp_path / "fashion-mnist"
    inner.mkdir()
    write(inner, arrays(size=(2, 3)))
    assert fashion_mnist(inner).image_shape == (1, 2, 3)
    for folder in (tmp_path, inner):
        monkeypatch.setenv("FASTCONV_DATA", str(folder))
        assert fashion_mnist().image_shape == (1, 2, 3)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_normalised_training_images_have_mean_0_and_deviation_1(dtype):
    images = np.random.default_rng(0).integers(0, 100, (50, 1, 9, 9)).astype(dtype)
    for result in (np.float32, np.float64):
        normal = normalize(images, *statistics(images), dtype=result)
        assert normal.dtype == result
        assert abs(normal.mean(dtype=np.float64)) < 1e-6
        assert abs(normal.std(dtype=np.float64) - 1) < 1e-6


def test_normalize_scales_by_the_type():
    np.testing.assert_allclose(normalize(np.uint8([0, 51, 255])), [0, 0.2, 1], rtol=1e-6)
    np.testing.assert_allclose(normalize(np.float64([0, 0.2, 1]), 0.5, 2), [-0.25, -0.15, 0.25],
                               rtol=1e-6)  # fmt: skip
    blank = np.full((2, 1, 3, 3), 7, np.uint8)
    assert not normalize(blank, *statistics(blank)).any()


def test_normalize_keeps_memory_order_and_input():
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5, 3).transpose(0, 3, 1, 2)
    images.flags.writeable = False
    normal = normalize(images, 0.1, 0.5)
    assert normal.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_allclose(normal, (images / 255 - 0.1) / 0.5, rtol=1e-5, atol=1e-6)


def test_normalize_refuses():
    with pytest.raises(TypeError, match="real numbers, got complex128"):
        normalize(np.zeros(3, complex))
    for mean, std in ((0, 0), (0, -1), (np.nan, 1), (0, np.inf)):
        with pytest.raises(ValueError, match="mean and std must be finite, std > 0"):
            normalize(np.zeros(3), mean, std)
