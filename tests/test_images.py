"""Arrays as image files."""

import sys

import numpy as np
import pytest

from fastconv.images import make_grid, read_images, save_image


def test_make_grid_by_hand():
    images = np.arange(1, 7).reshape(3, 1, 1, 2)
    expected = [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 2, 0, 3, 4, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 5, 6, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(make_grid(images, nrow=2, padding=1), [expected])
    np.testing.assert_array_equal(make_grid(images[:, 0], nrow=2, padding=1), [expected])
    wide = make_grid(images, padding=0, pad_value=9)
    np.testing.assert_array_equal(wide, [[[1, 2, 3, 4, 5, 6]]])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_make_grid_has_every_image_in_its_place(channels, count):
    images = np.random.default_rng(0).random((count, channels, 3, 4))
    grid = make_grid(images, nrow=3, padding=2, pad_value=np.nan)
    for index, image in enumerate(images):
        row, column = divmod(index, 3)
        place = grid[:, 2 + 5 * row : 5 + 5 * row, 2 + 6 * column : 6 + 6 * column]
        np.testing.assert_array_equal(place, image)
    assert np.count_nonzero(~np.isnan(grid)) == images.size


@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (0, 1, 2, 2), (1, 2, 0, 2), (1, 1, 1, 1, 1)])
def test_make_grid_refuses_what_is_no_images(shape):
    with pytest.raises(ValueError, match="make_grid: images must be"):
        make_grid(np.zeros(shape))


def test_make_grid_refuses_bad_numbers():
    with pytest.raises(ValueError, match="make_grid: nrow must be at least 1, got 0"):
        make_grid(np.zeros((1, 2, 2)), nrow=0)
    with pytest.raises(ValueError, match="make_grid: padding must be at least 0, got -1"):
        make_grid(np.zeros((1, 2, 2)), padding=-1)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_saved_is_read_again(tmp_path, channels):
    pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), np.uint8)
    path = tmp_path / "image.png"
    save_image(image, path)
    ((_, again),) = read_images(path, image.shape)
    np.testing.assert_array_equal(again, image)
    save_image(image.astype(np.float32) / 255, path)
    np.testing.assert_array_equal(read_images(path, image.shape)[0][1], image)
    save_image(np.stack([image, image]), path, padding=0)
    ((_, pair),) = read_images(path, (channels, 5, 14))
    np.testing.assert_array_equal(pair, np.concatenate([image, image], axis=2))


def test_floats_outside_0_to_1_are_cut(tmp_path):
    pytest.importorskip("PIL.Image")
    save_image(np.array([[-1.0, 0.5, 7.0]]), tmp_path / "image.png")
    ((_, image),) = read_images(tmp_path / "image.png", (1, 1, 3))
    np.testing.assert_array_equal(image, [[[0, 128, 255]]])


def test_what_cannot_be_saved(tmp_path, monkeypatch):
    pytest.importorskip("PIL.Image")
    path = tmp_path / "image.png"
    for shape in ((2, 3, 3), (0, 3), (3,), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match="must be"):
            save_image(np.zeros(shape), path)
    with pytest.raises(TypeError, match="save_image: images must be uint8 or floats, got int64"):
        save_image(np.zeros((3, 3), np.int64), path)
    with pytest.raises(ValueError, match="save_image: images must not hold NaN"):
        save_image(np.full((3, 3), np.nan), path)
    with pytest.raises(ValueError, match="extension"):
        save_image(np.zeros((3, 3)), tmp_path / "image.what")
    with pytest.raises(OSError, match="No such file"):
        save_image(np.zeros((3, 3)), tmp_path / "absent" / "image.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'fastconv\[image\]'"):
        save_image(np.zeros((3, 3)), path)
    assert not path.exists()
