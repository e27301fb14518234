"""Random changes of image batches: more training data from the same images.

Each function takes a batch (N, C, *space) of any real dtype and a NumPy Generator, and returns a
new batch of the same dtype and memory order; what comes in from outside an image is `fill`.  Random
numbers are drawn first, one vector for each parameter: a result depends on the generator alone, not
on the threads that apply it.  In a DataLoader:

    def transform(images, rng):
        images = random_crop(images, 32, rng, padding=4)
        images = random_flip(images, rng)
        return normalize(images, mean, std)
"""

import math

import numpy as np

from fastconv import _threads
from fastconv._kernels import augment as kernel
from fastconv._shapes import integer, per_axis
from fastconv.functional._arrays import expand_space

# Multiply-adds that take as long as a cell of the output; more threads hardly move memory faster.
MOVE_WORK = 1
AFFINE_WORK = 200
ATTEMPTS = 10  # at a rectangle that fits, as torchvision has it


def random_shift(images, pixels, rng, fill=0):
    """Each image moved by up to `pixels` whole pixels along every spatial axis (1-D, 2-D or 3-D).

    Raises ValueError for a batch without a spatial axis or a negative number of pixels.
    """
    images = _batch("random_shift", images)
    pixels = integer("random_shift", "pixels", pixels, 0)
    ndim = images.ndim - 2
    corners = rng.integers(0, 2 * pixels, size=(ndim, len(images)), endpoint=True)
    return _move("random_shift", images, images.shape[2:], corners - pixels, 1, fill)


def random_crop(images, size, rng, padding=0, fill=0):
    """A part of `size` from a random place of each image (1-D, 2-D or 3-D), padded before.

    size, padding: an int, or one int per spatial axis; padding goes to both sides.

    As torchvision.transforms.RandomCrop; He et al., "Deep residual learning for image recognition"
    (2015), section 4.2, trains on CIFAR-10 with size 32 and padding 4.  Raises ValueError for a
    size below 1 or larger than the padded image.
    """
    op = "random_crop"
    images = _batch(op, images)
    space = images.shape[2:]
    size = per_axis(op, "size", size, len(space), 1)
    padding = per_axis(op, "padding", padding, len(space), 0)
    room = [n + 2 * p - s for n, p, s in zip(space, padding, size, strict=True)]
    if min(room) < 0:
        raise ValueError(
            f"{op}: size must be at most that of the image and its padding, got {size} for "
            f"{space} with padding {padding}"
        )
    corners = [
        rng.integers(0, most, size=len(images), endpoint=True) - p
        for most, p in zip(room, padding, strict=True)
    ]
    return _move(op, images, size, np.array(corners), 1, fill)


def random_flip(images, rng, horizontal=0.5, vertical=0.0):
    """Each image (2-D) mirrored left to right, and top to bottom, with these probabilities.

    torchvision.transforms.RandomHorizontalFlip and RandomVerticalFlip in one.  Raises ValueError
    for a batch that is not (N, C, H, W) and a probability outside 0 to 1.
    """
    images = _batch("random_flip", images, plane=True)
    space = np.array(images.shape[2:])[:, np.newaxis]
    chances = [
        _probability("random_flip", "vertical", vertical),
        _probability("random_flip", "horizontal", horizontal),
    ]
    flipped = np.array([rng.random(len(images)) < chance for chance in chances])
    return _move("random_flip", images, images.shape[2:], flipped * (space - 1), 1 - 2 * flipped)


def random_affine(images, degrees, rng, translate=(0.0, 0.0), scale=(1.0, 1.0), shear=0.0, fill=0):
    """Each image (2-D) turned, moved, scaled and sheared about its centre, with bilinear sampling.

    degrees: the angle is drawn from -degrees to degrees.
    translate: largest shift as fractions (of the width, of the height).
    scale: the interval of the factor.
    shear: the angle of the horizontal shear is drawn from -shear to shear, in degrees.

    The parameters are torchvision.transforms.RandomAffine's.  Pixels are weighed in float64, and
    rounded for integer images.  Raises ValueError for a batch that is not (N, C, H, W) and for
    intervals out of order.
    """
    op = "random_affine"
    images = _batch(op, images, plane=True)
    fill = float(_element(op, "fill", fill, images.dtype))
    wide, high = _interval(op, "translate", translate)
    smallest, largest = _interval(op, "scale", scale)
    if not (
        0 <= 2 * degrees < np.inf
        and 0 <= shear < 90
        and 0 <= 2 * wide < np.inf
        and 0 <= 2 * high < np.inf
        and 0 < smallest <= largest < np.inf
    ):
        raise ValueError(
            f"{op}: degrees and translate must be at least 0, shear 0 to 90, "
            "scale an interval of positive factors, got "
            f"degrees={degrees}, translate={translate}, scale={scale}, shear={shear}"
        )
    n, _, height, width = images.shape
    angle = np.radians(rng.uniform(-degrees, degrees, n))
    slope = np.tan(np.radians(rng.uniform(-shear, shear, n)))
    shift_x = rng.uniform(-wide, wide, n) * width
    shift_y = rng.uniform(-high, high, n) * height
    factor = rng.uniform(smallest, largest, n)

    # Every output pixel looks up where it came from: the inverse of turn after shear and scaling.
    cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x_of_x, x_of_y = cos + slope * sin, sin - slope * cos
    moved_x, moved_y = centre_x + shift_x, centre_y + shift_y
    matrix = np.stack(
        [
            x_of_x, x_of_y, centre_x - x_of_x * moved_x - x_of_y * moved_y,
            -sin, cos, centre_y + sin * moved_x - cos * moved_y,
        ],
        axis=1,
    )  # fmt: skip
    return _sample(images, matrix, fill)


def random_erase(images, rng, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0):
    """A random rectangle of each image (2-D) overwritten, with probability `p`.

    scale: the interval of its area, as a fraction of the image's; ratio: that of its height by its
    width, drawn on a logarithmic scale.  An image that no rectangle out of ten fits into stays.
    value: a number, one for each channel, or "random" for normal noise in float images.

    The parameters are torchvision.transforms.RandomErasing's: Zhong et al., "Random erasing data
    augmentation", arXiv:1708.04896 (2017).  Raises ValueError for a batch that is not (N, C, H, W)
    and for intervals out of order, TypeError for noise in integer images.
    """
    op = "random_erase"
    images = _batch(op, images, plane=True)
    p = _probability(op, "p", p)
    least, most = _interval(op, "scale", scale)
    flattest, tallest = _interval(op, "ratio", ratio)
    if not (0 <= least <= most <= 1 and 0 < flattest <= tallest < np.inf):
        raise ValueError(
            f"{op}: scale must be an interval within 0 to 1, ratio one of positive numbers, "
            f"got scale={scale}, ratio={ratio}"
        )
    n, channels, height, width = images.shape
    noise = isinstance(value, str) and value == "random"
    if noise and images.dtype.kind != "f":
        raise TypeError(f"{op}: value 'random' needs float images, got {images.dtype}")
    if not noise:
        value = _element(op, "value", value, images.dtype, channels)

    erased = rng.random(n) < p
    area = height * width * rng.uniform(least, most, (ATTEMPTS, n))
    root = np.exp(rng.uniform(math.log(flattest), math.log(tallest), (ATTEMPTS, n)) / 2)
    heights, widths = np.rint(np.sqrt(area) * root), np.rint(np.sqrt(area) / root)
    fits = (heights < height) & (widths < width)
    erased &= fits.any(axis=0)
    chosen = fits.argmax(axis=0), np.arange(n)
    heights, widths = heights[chosen], widths[chosen]
    tops = np.floor(rng.random(n) * (height - heights + 1))
    lefts = np.floor(rng.random(n) * (width - widths + 1))

    result = images.copy(order="K")
    boxes = np.stack([tops, tops + heights, lefts, lefts + widths], axis=1).astype(np.intp)
    for i in np.flatnonzero(erased):
        top, bottom, left, right = boxes[i]
        box = result[i, :, top:bottom, left:right]
        box[...] = rng.standard_normal(box.shape) if noise else value
    return result


def _batch(op, images, plane=False):
    """The images as an array of real numbers with one to three spatial axes, or with two."""
    images = np.asarray(images)
    if not (images.ndim == 4 if plane else 3 <= images.ndim <= 5):
        rule = "(N, C, H, W)" if plane else "(N, C, *space) with 1 to 3 spatial axes"
        raise ValueError(f"{op}: images must be {rule}, got shape {images.shape}")
    if images.dtype.kind not in "biuf" or images.itemsize > 8:
        raise TypeError(f"{op}: images must be real numbers of 1 to 8 bytes, got {images.dtype}")
    return images


def _element(op, name, value, dtype, channels=None):
    """`value` as an element of the images, or where that is allowed one per channel, (C, 1, 1).

    Raises ValueError for a number that their dtype does not have.
    """
    shapes = [()] if channels is None else [(), (channels,)]
    try:
        element = np.array(value, dtype)
        same = dtype.kind == "f" or (element == value).all()
        if np.asarray(value).dtype.kind in "biuf" and element.shape in shapes and same:
            return element[:, np.newaxis, np.newaxis] if element.ndim else element
    except (OverflowError, ValueError, TypeError):
        pass
    rule = "a number" if channels is None else f"a number, or {channels} of them,"
    raise ValueError(f"{op}: {name} must be {rule} that {dtype} holds, got {value!r}")


def _interval(op, name, value):
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        raise ValueError(f"{op}: {name} must be two numbers, got {value!r}") from None
    return low, high


def _probability(op, name, value):
    if not 0 <= value <= 1:
        raise ValueError(f"{op}: {name} must be a probability, 0 to 1, got {value!r}")
    return value


def _move(op, images, space, start, sign, fill=0):
    """result[n, c, i...] = images[n, c, start + sign * i...] with the n-th column of both.

    start: (ndim, N); sign: of that shape or one for all.
    """
    fill = _element(op, "fill", fill, images.dtype)
    result = np.empty_like(images, shape=(*images.shape[:2], *space))
    if not images.size:
        result[...] = fill
        return result
    n, ndim = len(images), len(space)
    starts, signs = np.zeros((n, 3), np.int64), np.ones((n, 3), np.int64)
    starts[:, 3 - ndim :] = start.T
    signs[:, 3 - ndim :] = np.transpose(sign)
    if not images.flags.aligned:
        images = images.copy(order="K")
    # Nothing is computed, so elements of any type are as good as integers of their size.
    bits = f"u{images.itemsize}"
    threads = _threads.effective(op, None, MOVE_WORK * result.size)
    kernel.move(
        expand_space(images.view(bits)), expand_space(result.view(bits)), starts, signs,
        int(fill.view(bits)), threads,
    )  # fmt: skip
    return result


def _sample(images, matrix, fill):
    """The images (N, C, H, W) at the positions that `matrix` (N, 6) gives: see the kernel."""
    dtype, work = images.dtype, images.dtype.newbyteorder("=")
    if work not in (np.uint8, np.float32, np.float64):
        work = np.dtype(np.float32 if np.can_cast(dtype, np.float32) else np.float64)
    if dtype != work or not images.flags.aligned:
        images = images.astype(work, order="K")
    result = np.empty_like(images)
    if images.size:
        threads = _threads.effective("random_affine", None, AFFINE_WORK * images.size)
        kernel.affine(images, result, matrix, fill, threads)
    if work != dtype and dtype.kind in "biu":
        result = np.rint(result)
    return result.astype(dtype, order="K", copy=False)
