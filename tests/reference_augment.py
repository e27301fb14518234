"""Augmentation in whole-array NumPy: slow, and the random numbers drawn in the documented order."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def windows(images, size, padding, corners, fill=0):
    """The part of `size` at corners (ndim, N) of every padded image."""
    border = ((0, 0), (0, 0), *((p, p) for p in padding))
    padded = np.pad(images, border, constant_values=fill)
    every = sliding_window_view(padded, size, axis=tuple(range(2, images.ndim)))
    return every[np.arange(len(images)), :, *corners]


def random_affine(images, degrees, rng, translate=(0.0, 0.0), scale=(1.0, 1.0), shear=0.0, fill=0):
    n, _, height, width = images.shape
    angle = np.radians(rng.uniform(-degrees, degrees, n))
    slope = np.tan(np.radians(rng.uniform(-shear, shear, n)))
    shift_x = rng.uniform(-translate[0], translate[0], n) * width
    shift_y = rng.uniform(-translate[1], translate[1], n) * height
    factor = rng.uniform(*scale, n)

    def column(per_image):
        return per_image[:, np.newaxis, np.newaxis]

    y = np.arange(height)[:, np.newaxis] - (height - 1) / 2 - column(shift_y)
    x = np.arange(width) - (width - 1) / 2 - column(shift_x)
    cos, sin = column(np.cos(angle) / factor), column(np.sin(angle) / factor)
    turned_y = cos * y - sin * x
    turned_x = cos * x + sin * y - column(slope) * turned_y
    return bilinear(images, turned_y + (height - 1) / 2, turned_x + (width - 1) / 2, fill)


def bilinear(images, y, x, fill):
    """images (N, C, H, W) at the positions y, x (N, H, W), in float64; outside lies `fill`."""
    n, channels, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill)
    pixels = padded.reshape(n, channels, -1).astype(np.float64)
    y, x = np.clip(y, -1, height) + 1, np.clip(x, -1, width) + 1
    top = np.minimum(y.astype(np.intp), height)
    left = np.minimum(x.astype(np.intp), width)
    corner = (top * (width + 2) + left).reshape(n, 1, -1)

    def at(offset):
        return np.take_along_axis(pixels, corner + offset, axis=2)

    down, right = (y - top).reshape(n, 1, -1), (x - left).reshape(n, 1, -1)
    upper = at(0) * (1 - right) + at(1) * right
    lower = at(width + 2) * (1 - right) + at(width + 3) * right
    return (upper * (1 - down) + lower * down).reshape(images.shape)
