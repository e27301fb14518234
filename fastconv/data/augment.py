"""Random changes of image batches, in plain NumPy: more training data from the same images.

Each takes a batch (N, C, *space) of any real dtype and a NumPy Generator, and returns a new batch
of the same shape and dtype; what comes in from outside an image is `fill`.  In a DataLoader:

    transform=lambda images, rng: normalize(random_shift(images, 2, rng), mean, std)
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastconv._shapes import integer


def random_shift(images, pixels, rng, fill=0):
    """Each image moved by up to `pixels` whole pixels along every spatial axis (1-D, 2-D or 3-D).

    Raises ValueError for a batch without a spatial axis or a negative number of pixels.
    """
    images = np.asarray(images)
    pixels = integer("random_shift", "pixels", pixels, 0)
    ndim = images.ndim - 2
    if ndim < 1:
        raise ValueError(f"random_shift: images must be (N, C, *space), got shape {images.shape}")
    border = ((0, 0), (0, 0)) + ((pixels, pixels),) * ndim
    padded = np.pad(images, border, constant_values=fill)
    # windows[n, :, y, x] is image n with its corner at (y, x) of the padded one.
    windows = sliding_window_view(padded, images.shape[2:], axis=tuple(range(2, images.ndim)))
    corners = rng.integers(0, 2 * pixels, size=(ndim, len(images)), endpoint=True)
    return windows[np.arange(len(images)), :, *corners]


def random_affine(images, degrees, rng, translate=(0.0, 0.0), scale=(1.0, 1.0), shear=0.0, fill=0):
    """Each image (2-D) turned, moved, scaled and sheared about its centre, with bilinear sampling.

    degrees: the angle is drawn from -degrees to degrees.
    translate: largest shift as fractions (of the width, of the height).
    scale: the interval of the factor.
    shear: the angle of the horizontal shear is drawn from -shear to shear, in degrees.

    The parameters are torchvision.transforms.RandomAffine's.  Raises ValueError for a batch that
    is not (N, C, H, W) and for intervals out of order.
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"random_affine: images must be (N, C, H, W), got shape {images.shape}")
    if not (degrees >= 0 and 0 <= shear < 90 and min(translate) >= 0 and 0 < scale[0] <= scale[1]):
        raise ValueError(
            "random_affine: degrees and translate must be at least 0, shear 0 to 90, "
            "scale an interval of positive factors, got "
            f"degrees={degrees}, translate={translate}, scale={scale}, shear={shear}"
        )
    n, _, height, width = images.shape
    angle = np.radians(rng.uniform(-degrees, degrees, n))
    slope = np.tan(np.radians(rng.uniform(-shear, shear, n)))
    shift_x = rng.uniform(-translate[0], translate[0], n) * width
    shift_y = rng.uniform(-translate[1], translate[1], n) * height
    factor = rng.uniform(*scale, n)

    # Every output pixel looks up where it came from: the inverse of turn after shear and scaling.
    def column(per_image):
        return per_image[:, np.newaxis, np.newaxis]

    y = np.arange(height)[:, np.newaxis] - (height - 1) / 2 - column(shift_y)
    x = np.arange(width) - (width - 1) / 2 - column(shift_x)
    cos, sin = column(np.cos(angle) / factor), column(np.sin(angle) / factor)
    turned_y = cos * y - sin * x
    turned_x = cos * x + sin * y - column(slope) * turned_y
    return _bilinear(images, turned_y + (height - 1) / 2, turned_x + (width - 1) / 2, fill)


def _bilinear(images, y, x, fill):
    """images (N, C, H, W) at the positions y, x (N, H, W); outside lies `fill`."""
    n, channels, height, width = images.shape
    real = np.result_type(images.dtype, np.float32)
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill)
    pixels = padded.reshape(n, channels, -1)
    # One border of fill is enough: further out is as good as there.
    y, x = np.clip(y, -1, height) + 1, np.clip(x, -1, width) + 1
    top = np.minimum(y.astype(np.intp), height)
    left = np.minimum(x.astype(np.intp), width)
    corner = (top * (width + 2) + left).reshape(n, 1, -1)

    def at(offset):
        return np.take_along_axis(pixels, corner + offset, axis=2)

    down = (y - top).reshape(n, 1, -1).astype(real)
    right = (x - left).reshape(n, 1, -1).astype(real)
    upper = at(0) * (1 - right) + at(1) * right
    lower = at(width + 2) * (1 - right) + at(width + 3) * right
    result = upper * (1 - down) + lower * down
    if images.dtype.kind in "iu":
        result = np.rint(result)
    return result.astype(images.dtype).reshape(images.shape)
