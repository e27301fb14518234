"""Statistics of images, and normalisation by them."""

import numpy as np
import pytest

from fastconv.data import normalize, statistics


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


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("space", [(), (4,), (4, 5), (2, 3, 4)])
def test_normalize_per_channel(dtype, space):
    images = np.random.default_rng(0).integers(0, 100, (6, 3, *space)).astype(dtype)
    mean, std = (0.1, 0.2, 0.3), [0.5, 1.5, 2.5]
    normal = normalize(images, mean, std)
    assert normal.dtype == np.float32
    for channel in range(3):
        alone = normalize(images[:, channel], mean[channel], std[channel])
        np.testing.assert_array_equal(normal[:, channel], alone)
    mixed = normalize(images, mean)
    np.testing.assert_allclose(mixed[:, 1], normal[:, 1] * 1.5, rtol=1e-5)


def test_normalize_per_channel_keeps_memory_order():
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5, 3).transpose(0, 3, 1, 2)
    normal = normalize(images, (0.1, 0.2, 0.3), (1, 2, 3))
    assert normal.transpose(0, 2, 3, 1).flags.c_contiguous


def test_normalize_refuses():
    with pytest.raises(TypeError, match="real numbers, got complex128"):
        normalize(np.zeros(3, complex))
    for mean, std in ((0, 0), (0, -1), (np.nan, 1), (0, np.inf)):
        with pytest.raises(ValueError, match="mean and std must be finite, std > 0"):
            normalize(np.zeros(3), mean, std)
    for wrong in ((0, 1), np.zeros((3, 1)), ()):
        with pytest.raises(ValueError, match="normalize: mean must be a number, or one for each"):
            normalize(np.zeros((2, 3, 4, 4)), wrong)
    with pytest.raises(ValueError, match=r"std > 0, got .* and .1.0, 0.0, 1.0."):
        normalize(np.zeros((2, 3, 4, 4)), 0, (1, 0, 1))


@pytest.mark.parametrize("size", [1, 2, 3, 1001, 2**18 + 5])
def test_statistics_of_bytes_in_any_layout(size):
    pixels = np.random.default_rng(size).integers(0, 256, 2 * size + 1, np.uint8)
    for images in (pixels[:size], pixels[1 : size + 1], pixels[: 2 * size : 2], pixels[size::-1]):
        mean, std = statistics(images)
        assert mean == pytest.approx(images.mean(dtype=np.float64) / 255, rel=1e-12)
        expected = images.std(dtype=np.float64) / 255
        assert std == pytest.approx(expected, rel=1e-12) if expected else std == 1


def test_normalize_gives_floats_only():
    for dtype in (np.int32, bool, complex):
        with pytest.raises(TypeError, match="normalize: dtype must be a float type"):
            normalize(np.zeros((1, 1, 2, 2), np.uint8), dtype=dtype)
