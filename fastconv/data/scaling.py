"""Pixels as numbers that a network likes: statistics of the images, and normalisation by them."""

import numpy as np


def statistics(images):
    """Mean and standard deviation of all pixels, as `normalize` takes them.

    In units of the element type's largest value for integers (uint8: 0 to 1), else as they are.
    The deviation of a constant image set is given as 1, so that it can divide.
    """
    images = np.asarray(images)
    scale = _full_scale(images.dtype)
    if images.dtype == np.uint8:
        # Exact, and without a float copy of the pixels: weigh the 256 values by their counts.
        counts = _counts(images.ravel(order="K"))
        values = np.arange(256.0)
        mean = np.average(values, weights=counts)
        std = np.sqrt(np.average((values - mean) ** 2, weights=counts))
    else:
        mean, std = images.mean(dtype=np.float64), images.std(dtype=np.float64)
    return float(mean / scale), float(std / scale) or 1.0


def _counts(pixels):
    """How often each of the 256 values is there; two at once, in half the time."""
    pairs = pixels[: pixels.size // 2 * 2].view(np.uint16)
    # A part at a time, which stays in cache: bincount makes eight bytes of each number.
    parts = np.array_split(pairs, pairs.size // 2**17 + 1)
    counts = sum(np.bincount(part, minlength=2**16) for part in parts).reshape(256, 256)
    rest = np.bincount(pixels[2 * pairs.size :], minlength=256)
    return counts.sum(axis=0) + counts.sum(axis=1) + rest


def normalize(images, mean=0.0, std=1.0, dtype=np.float32):
    """(images - mean) / std as `dtype`, integers first divided by their type's largest value.

    mean, std: numbers, or one per channel of images (N, C, *space).  With the defaults uint8 images
    become numbers from 0 to 1; with the `statistics` of the training images, numbers of mean 0 and
    deviation 1.  The memory order is kept.
    """
    images, dtype = np.asarray(images), np.dtype(dtype)
    if images.dtype.kind not in "biuf":
        raise TypeError(f"normalize: images must be real numbers, got {images.dtype}")
    if dtype.kind != "f":
        raise TypeError(f"normalize: dtype must be a float type, got {dtype}")
    mean, std = _per_channel("mean", mean, images), _per_channel("std", std, images)
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise ValueError(
            "normalize: mean and std must be finite, std > 0, "
            f"got {mean.ravel().tolist()} and {std.ravel().tolist()}"
        )
    scale = _full_scale(images.dtype)
    result = np.subtract(images, (mean * scale).astype(dtype), dtype=dtype, casting="unsafe")
    result *= (1.0 / (scale * std)).astype(dtype)
    return result


def _per_channel(name, value, images):
    """A float64 scalar, or an array that stands beside the second axis of the images."""
    value = np.asarray(value, np.float64)
    if value.ndim == 0:
        return value[()]
    if images.ndim < 2 or value.shape != images.shape[1:2]:
        raise ValueError(
            f"normalize: {name} must be a number, or one for each channel of images (N, C, *space) "
            f"of shape {images.shape}, got {value.tolist()}"
        )
    return value.reshape(-1, *(1,) * (images.ndim - 2))


def _full_scale(dtype):
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
