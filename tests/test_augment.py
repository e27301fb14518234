"""Augmentations against plain loops and exact special cases."""

import math

import numpy as np
import pytest

from fastconv.data import random_affine, random_shift

DTYPES = ["uint8", "float32", "float64"]


def batch(dtype, *shape):
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


class Fixed:
    """Stands in for a Generator: every draw is the upper end of its interval."""

    def uniform(self, low, high, size):
        return np.full(size, float(high))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("space", [(9,), (6, 8), (3, 4, 5)])
def test_shift_moves_every_image_as_a_whole(dtype, space):
    images = batch(dtype, 40, 2, *space)
    before = images.copy()
    shifted = random_shift(images, 2, np.random.default_rng(1), fill=250)
    assert shifted.shape == images.shape
    assert shifted.dtype == images.dtype
    np.testing.assert_array_equal(images, before)
    seen = set()
    for old, new in zip(images, shifted, strict=True):
        matches = []
        for move in np.ndindex(*(5,) * len(space)):
            expected = np.full_like(old, 250)
            for position in np.ndindex(*space):
                source = tuple(p + m - 2 for p, m in zip(position, move, strict=True))
                if all(0 <= s < size for s, size in zip(source, space, strict=True)):
                    expected[(slice(None), *position)] = old[(slice(None), *source)]
            if np.array_equal(new, expected):
                matches.append(move)
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 4
    assert {step for move in seen for step in move} == set(range(5))


def test_shift_by_nothing():
    images = batch("uint8", 3, 1, 4, 4)
    np.testing.assert_array_equal(random_shift(images, 0, np.random.default_rng(0)), images)
    assert random_shift(images[:0], 2, np.random.default_rng(0)).shape == (0, 1, 4, 4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_affine_without_change_is_exact(dtype):
    images = batch(dtype, 5, 3, 7, 4)
    same = random_affine(images, 0, np.random.default_rng(0))
    np.testing.assert_array_equal(same, images, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_affine_quarter_turn_and_whole_shift_are_exact(dtype):
    images = batch(dtype, 5, 2, 6, 6)
    turned = random_affine(images, 90, Fixed())
    np.testing.assert_allclose(turned, np.rot90(images, -1, axes=(2, 3)), atol=1e-3)
    moved = random_affine(images, 0, Fixed(), translate=(1 / 6, 2 / 6), fill=9)
    expected = np.full_like(images, 9)
    expected[:, :, 2:, 1:] = images[:, :, :-2, :-1]
    np.testing.assert_allclose(moved, expected, atol=1e-3)


def affine_loop(image, degrees, translate, scale, shear, fill):
    """One plane, pixel by pixel: matrices out in full, bilinear weights by their definition."""
    height, width = image.shape
    turn = math.radians(degrees)
    rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    slant = np.array([[1, math.tan(math.radians(shear))], [0, 1]])
    back = np.linalg.inv(scale * rotate @ slant)  # acts on (x, y), y pointing down
    result = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            target = np.array([
                j - (width - 1) / 2 - translate[0] * width,
                i - (height - 1) / 2 - translate[1] * height,
            ])  # fmt: skip
            x, y = back @ target + ((width - 1) / 2, (height - 1) / 2)
            total = 0.0
            for row in (math.floor(y), math.floor(y) + 1):
                for column in (math.floor(x), math.floor(x) + 1):
                    inside = 0 <= row < height and 0 <= column < width
                    value = image[row, column] if inside else fill
                    total += (1 - abs(y - row)) * (1 - abs(x - column)) * value
            result[i, j] = total
    return result


@pytest.mark.parametrize(
    "change",
    [
        dict(degrees=30),
        dict(degrees=0, scale=(0.5, 1.7)),
        dict(degrees=0, scale=(0.5, 0.6)),
        dict(degrees=0, shear=25),
        dict(degrees=17, translate=(0.21, 0.13), scale=(0.5, 1.3), shear=10),
        dict(degrees=0, translate=(3, 5)),
    ],
    ids=str,
)
def test_affine_is_the_bilinear_definition(change):
    images = batch("float64", 2, 2, 7, 9)
    options = dict(translate=(0.0, 0.0), scale=(1.0, 1.0), shear=0.0) | change
    result = random_affine(images, rng=Fixed(), fill=5, **options)
    options["scale"] = options["scale"][1]
    for image, got in zip(images.reshape(-1, 7, 9), result.reshape(-1, 7, 9), strict=True):
        np.testing.assert_allclose(got, affine_loop(image, fill=5, **options), atol=1e-9)


def test_affine_is_random_per_image_and_reproducible():
    images = np.repeat(batch("uint8", 1, 1, 12, 12), 8, axis=0)
    results = [random_affine(images, 20, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*results)
    assert len({image.tobytes() for image in results[0]}) == 8


def test_arguments_are_checked():
    rng, images = np.random.default_rng(0), np.zeros((2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"random_shift: images must be.*got shape \(4, 4\)"):
        random_shift(np.zeros((4, 4)), 1, rng)
    with pytest.raises(ValueError, match="random_shift: pixels must be at least 0, got -1"):
        random_shift(images, -1, rng)
    with pytest.raises(ValueError, match=r"random_affine: images must be \(N, C, H, W\)"):
        random_affine(images[0], 1, rng)
    for wrong in (dict(degrees=-1), dict(degrees=np.nan), dict(degrees=0, scale=(0, 1)),
                  dict(degrees=0, scale=(2, 1)), dict(degrees=0, shear=90)):  # fmt: skip
        with pytest.raises(ValueError, match="random_affine: degrees and translate must be"):
            random_affine(images, rng=rng, **wrong)
