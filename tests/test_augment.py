"""Augmentations against plain loops and exact special cases."""

import math

import numpy as np
import pytest
import reference_augment as reference
from strategies import LAYOUTS, lay_out

from fastconv import _threads
from fastconv.data import random_affine, random_crop, random_erase, random_flip, random_shift

DTYPES = ["uint8", "float32", "float64"]
ALL = {
    "shift": lambda images, rng: random_shift(images, 2, rng, fill=3),
    "crop": lambda images, rng: random_crop(images, (5, 8), rng, padding=(1, 2), fill=3),
    "flip": lambda images, rng: random_flip(images, rng, horizontal=0.4, vertical=0.6),
    "affine": lambda images, rng: random_affine(images, 25, rng, (0.2, 0.1), (0.8, 1.3), 9, 3),
    "erase": lambda images, rng: random_erase(images, rng, p=0.8, value=(3, 5)),
}


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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(20, 2, 9, 7), (3, 1, 5, 150), (5, 3, 1, 1)])
def test_affine_agrees_with_whole_array_numpy(dtype, shape):
    images = batch(dtype, *shape)
    options = dict(translate=(0.3, 0.2), scale=(0.4, 1.6), shear=20, fill=7)
    result = random_affine(images, 180, np.random.default_rng(5), **options)
    expected = reference.random_affine(images, 180, np.random.default_rng(5), **options)
    if dtype == "uint8":  # rounded: half, and what differs in the last place, if it is close to one
        assert np.abs(result - expected).max() <= 0.5 + 1e-9
    else:
        np.testing.assert_allclose(result, expected, rtol=1e-6 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "float16", ">f4", ">i2"])
def test_affine_of_other_dtypes(dtype):
    images = batch("uint8", 8, 2, 9, 7) // 2
    expected = reference.random_affine(images, 30, np.random.default_rng(5), shear=5)
    result = random_affine(images.astype(dtype), 30, np.random.default_rng(5), shear=5)
    assert result.dtype == dtype
    atol = 0.5 + 1e-4 if np.dtype(dtype).kind in "iu" else 0.05
    np.testing.assert_allclose(result, expected, atol=atol)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float16", "int32", "float64", ">i4"])
@pytest.mark.parametrize("space", [(9,), (6, 8), (3, 4, 5)])
def test_crop_is_a_window_of_the_padded_image(dtype, space):
    images = batch("int64", 30, 2, *space).astype(dtype)
    size = tuple(n - 1 for n in space)
    result = random_crop(images, size, np.random.default_rng(2), padding=2, fill=1)
    rng = np.random.default_rng(2)
    corners = [rng.integers(0, 5, size=30, endpoint=True) for _ in space]
    assert {step for axis in corners for step in axis.tolist()} == set(range(6))
    expected = reference.windows(images, size, (2,) * len(space), corners, fill=1)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == images.dtype


def test_crop_larger_than_the_image_and_of_empty_ones():
    images = batch("uint8", 4, 1, 2, 3)
    result = random_crop(images, 6, np.random.default_rng(0), padding=(2, 9), fill=9)
    assert result.shape == (4, 1, 6, 6)
    for image in result:
        assert set(image.ravel().tolist()) <= {9, *images.ravel().tolist()}
    empty = random_crop(images[:, :, :0], 1, np.random.default_rng(0), padding=1, fill=9)
    assert empty.shape == (4, 1, 1, 1)
    assert (empty == 9).all()


def test_shift_draws_as_ever():
    images = batch("uint8", 20, 1, 6, 6)
    corners = np.random.default_rng(4).integers(0, 6, size=(2, 20), endpoint=True)
    expected = reference.windows(images, (6, 6), (3, 3), corners, fill=5)
    result = random_shift(images, 3, np.random.default_rng(4), fill=5)
    np.testing.assert_array_equal(result, expected)


def test_shift_beyond_the_image():
    images = batch("float32", 50, 1, 2, 2)
    shifted = random_shift(images, 1000, np.random.default_rng(0), fill=-1)
    assert (shifted == -1).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_flip(dtype):
    images = batch(dtype, 400, 2, 3, 5)
    turned = {(0, 0): images, (1, 0): images[:, :, ::-1], (0, 1): images[..., ::-1],
              (1, 1): images[:, :, ::-1, ::-1]}  # fmt: skip
    counts = dict.fromkeys(turned, 0)
    for new, *old in zip(
        random_flip(images, np.random.default_rng(0), vertical=0.25), *turned.values(), strict=True
    ):
        matches = [key for key, each in zip(turned, old, strict=True) if np.array_equal(new, each)]
        assert len(matches) == 1
        counts[matches[0]] += 1
    # Binomial, within four deviations.
    assert abs(counts[1, 0] + counts[1, 1] - 100) < 4 * math.sqrt(400 * 0.25 * 0.75)
    assert abs(counts[0, 1] + counts[1, 1] - 200) < 4 * math.sqrt(400 * 0.5 * 0.5)
    for (vertical, horizontal), expected in turned.items():
        result = random_flip(images, np.random.default_rng(0), horizontal, vertical)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_erase_overwrites_one_rectangle(dtype):
    images = batch(dtype, 300, 2, 30, 20)
    before = images.copy()
    result = random_erase(images, np.random.default_rng(0), p=0.6, value=(0, 255))
    np.testing.assert_array_equal(images, before)
    areas, ratios, erased = [], [], 0
    for old, new in zip(images, result, strict=True):
        changed = (old != new).any(axis=0)
        if not changed.any():
            np.testing.assert_array_equal(new, old)
            continue
        erased += 1
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        assert (new[(0, *box)] == 0).all()
        assert (new[(1, *box)] == 255).all()
        expected = old.copy()
        expected[(slice(None), *box)] = new[(slice(None), *box)]
        np.testing.assert_array_equal(new, expected)
        height, width = changed[box].shape
        areas.append(height * width / changed.size)
        ratios.append(height / width)
    assert abs(erased - 180) < 4 * math.sqrt(300 * 0.6 * 0.4)
    # scale=(0.02, 0.33), ratio=(0.3, 3.3), but for rounded sides.
    assert 0.015 < min(areas) < 0.05 < 0.25 < max(areas) < 0.36
    assert 0.2 < min(ratios) < 0.5 < 2 < max(ratios) < 4.5


def test_erase_with_noise_and_without_room():
    images = np.zeros((200, 1, 24, 24), np.float32)
    result = random_erase(images, np.random.default_rng(0), p=1, scale=(0.3, 0.3), value="random")
    noise = result[result != 0]
    assert 0.25 < noise.size / images.size < 0.35
    assert abs(noise.mean()) < 4 / math.sqrt(noise.size)
    assert abs(noise.std() - 1) < 0.02
    # A rectangle has less than the image's height and width.
    one = np.ones((5, 1, 1, 8), np.uint8)
    np.testing.assert_array_equal(random_erase(one, np.random.default_rng(0), p=1), one)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_arrangement_does_not_matter(name, layout, dtype):
    images = batch(dtype, 6, 2, 6, 7)
    arranged = lay_out(images, layout)
    arranged.flags.writeable = False
    result = ALL[name](arranged, np.random.default_rng(0))
    np.testing.assert_array_equal(result, ALL[name](images, np.random.default_rng(0)))
    assert result.dtype == arranged.dtype
    if layout == "channels_last":
        assert result.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_number_of_threads(name, dtype):
    images = batch(dtype, 101, 2, 30, 31)  # enough for a parallel region
    results = []
    for threads in (1, 2, 3, 7):
        with _threads.num_threads(threads):
            results.append(ALL[name](images, np.random.default_rng(0)).tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("name", ALL)
def test_no_images(name):
    images = np.zeros((0, 2, 6, 7), np.float32)
    assert len(ALL[name](images, np.random.default_rng(0))) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_stay_where_they_are(dtype):
    images = batch(dtype, 3, 1, 5, 5)
    images[0, 0, 2, 2], images[1, 0, 2, 2] = np.nan, np.inf
    shifted = random_shift(images, 0, np.random.default_rng(0))
    np.testing.assert_array_equal(shifted, images)
    turned = random_affine(images, 20, np.random.default_rng(0))
    assert 1 <= np.isnan(turned[0]).sum() <= 9
    assert not np.isfinite(turned[1]).all()
    assert np.isfinite(turned[2]).all()


def test_arguments_are_checked():
    rng, images = np.random.default_rng(0), np.zeros((2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"random_shift: images must be.*got shape \(4, 4\)"):
        random_shift(np.zeros((4, 4)), 1, rng)
    with pytest.raises(ValueError, match="random_shift: pixels must be at least 0, got -1"):
        random_shift(images, -1, rng)
    with pytest.raises(ValueError, match=r"random_affine: images must be \(N, C, H, W\)"):
        random_affine(images[0], 1, rng)
    for wrong in (dict(degrees=-1), dict(degrees=np.nan), dict(degrees=0, scale=(0, 1)),
                  dict(degrees=0, scale=(2, 1)), dict(degrees=0, shear=90),
                  dict(degrees=np.inf), dict(degrees=0, translate=(0, np.nan))):  # fmt: skip
        with pytest.raises(ValueError, match="random_affine: degrees and translate must be"):
            random_affine(images, rng=rng, **wrong)
    with pytest.raises(ValueError, match=r"random_affine: translate must be two numbers, got 0\.1"):
        random_affine(images, 0, rng, translate=0.1)
    with pytest.raises(ValueError, match=r"random_crop: size must be at most.*\(7, 7\).*\(4, 4\)"):
        random_crop(images, 7, rng, padding=1)
    with pytest.raises(ValueError, match="random_crop: size must be at least 1, got 0"):
        random_crop(images, 0, rng)
    with pytest.raises(ValueError, match="random_crop: padding must be an integer or 2 of them"):
        random_crop(images, 4, rng, padding=(1, 2, 3, 4))
    with pytest.raises(
        ValueError, match=r"random_flip: horizontal must be a probability.*got 1\.5"
    ):
        random_flip(images, rng, 1.5)
    with pytest.raises(ValueError, match=r"random_flip: images must be \(N, C, H, W\)"):
        random_flip(images[0], rng)
    with pytest.raises(ValueError, match=r"random_erase: p must be a probability.*got nan"):
        random_erase(images, rng, math.nan)
    for wrong in (dict(scale=(0.5, 1.5)), dict(scale=(0.3, 0.2)), dict(ratio=(0, 1))):
        with pytest.raises(ValueError, match="random_erase: scale must be an interval within 0"):
            random_erase(images, rng, **wrong)
    for value in ((1, 2), "noise", None):
        with pytest.raises(ValueError, match="random_erase: value must be a number, or 1 of them"):
            random_erase(images, rng, value=value)
    for fill in (256, -1, 0.5, math.nan, "a", (1, 2)):
        with pytest.raises(ValueError, match="fill must be a number that uint8 holds, got"):
            random_shift(images.astype(np.uint8), 1, rng, fill)
    with pytest.raises(TypeError, match="random_erase: value 'random' needs float images, got int"):
        random_erase(images.astype(np.int64), rng, value="random")
    with pytest.raises(TypeError, match=r"random_shift: images must be real numbers.*complex128"):
        random_shift(images.astype(complex), 1, rng)
