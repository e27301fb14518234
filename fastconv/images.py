"""Image files as arrays of a wanted shape, and arrays as image files: Pillow, and NumPy's .npy."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fastconv._shapes import integer

PILLOW_MODES = {1: "L", 3: "RGB"}  # by number of channels
GREY_MODES = ("1", "L", "LA", "La")


def read_images(path, image_shape):
    """[(name, image)] of one file; an image is an array (channels, height, width) = `image_shape`.

    A .npy file holds one image (C, H, W), or (H, W) of one channel, or a stack of these along
    further axes in front; integers count from 0 to their type's largest value, floats from 0 to 1.
    Any other file is read by Pillow (extra `image`) and turned to grey or RGB.

    Raises OSError for a file that cannot be opened, ValueError for one that is damaged or of
    another size, ImportError without Pillow.
    """
    path = Path(path)
    if path.suffix != ".npy":
        return [(str(path), _read_with_pillow(path, image_shape))]
    # Mapped, not read: the header's promise is held against the file before anything is allocated.
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(f"{path}: not a readable .npy file: {error}") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: an image must hold real numbers, got {array.dtype}")
    channels, *space = image_shape
    whole, plane = array.shape[-3:] == tuple(image_shape), array.shape[-2:] == tuple(space)
    if not (whole or (channels == 1 and plane)):
        raise ValueError(f"{path}: {_rule(image_shape)}, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: an image must not hold NaN or infinite values")
    images = np.reshape(array, (-1, *image_shape))
    if array.ndim <= 3 and len(images) == 1:
        return [(str(path), images[0])]
    return [(f"{path}[{index}]", image) for index, image in enumerate(images)]


def image_shape(path):
    """(channels, height, width) of a file for Pillow: 1 channel if it is grey, else 3.

    Raises what `read_images` does.
    """
    with _opened(Path(path)) as image:
        return 1 if image.mode in GREY_MODES else 3, image.height, image.width


def _read_with_pillow(path, image_shape):
    channels, height, width = image_shape
    if channels not in PILLOW_MODES:
        raise ValueError(f"{path}: the model takes {channels} channels, which only .npy can hold")
    with _opened(path) as image:
        size = image.size
        if size == (width, height):
            array = np.asarray(image.convert(PILLOW_MODES[channels]))
    if size != (width, height):
        raise ValueError(
            f"{path}: {_rule(image_shape)}, got {size[0]} x {size[1]}: resize it first"
        )
    return array.reshape(height, width, channels).transpose(2, 0, 1)


@contextmanager
def _opened(path):
    """Pillow's image; whatever goes wrong with it within is a ValueError."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"{path}: reading it needs Pillow: pip install 'fastconv[image]'; .npy needs nothing"
        ) from error
    with path.open("rb") as file:
        try:
            with Image.open(file) as image:
                if image.mode[0] in "IF":  # Pillow would clip it to 8 bits
                    raise ValueError("more than 8 bits per channel, which only .npy can hold")
                yield image
        except Exception as error:  # each of Pillow's decoders has its own kinds
            raise ValueError(f"{path}: not a readable image: {error}") from error


def _rule(image_shape):
    channels, height, width = image_shape
    return f"images must be {width} wide and {height} high, {channels} channel(s)"


def make_grid(images, nrow=8, padding=2, pad_value=0.0):
    """Images (N, C, H, W) or (N, H, W) side by side, `nrow` in a row, as one image (C, H', W').

    `padding` pixels of `pad_value` lie between and around them.  The arguments are those of
    torchvision.utils.make_grid.  Raises ValueError for arrays without an image.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[:, np.newaxis]
    if images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"make_grid: images must be (N, C, H, W) or (N, H, W), none of these 0, "
            f"got shape {images.shape}"
        )
    nrow = integer("make_grid", "nrow", nrow, 1)
    padding = integer("make_grid", "padding", padding, 0)
    count, channels, height, width = images.shape
    columns = min(nrow, count)
    rows = -(-count // columns)
    height, width = height + padding, width + padding
    shape = channels, rows * height + padding, columns * width + padding
    grid = np.full(shape, pad_value, images.dtype)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        y, x = row * height + padding, column * width + padding
        grid[:, y : y + image.shape[1], x : x + image.shape[2]] = image
    return grid


def save_image(images, path, nrow=8, padding=2):
    """Writes one image (C, H, W) or (H, W), or several as the grid of `make_grid`, with Pillow.

    images: grey (C = 1) or RGB (C = 3); uint8, or floats of which 0 to 1 is shown and the rest cut.
    The name of the file decides its format.  Raises ValueError for other arrays and for a name
    that Pillow does not know, OSError for a file that cannot be written, and ImportError without
    Pillow (extra `image`).
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(f"{path}: writing it needs Pillow: pip install 'fastconv[image]'") from (
            error
        )
    images = np.asarray(images)
    image = make_grid(images, nrow, padding) if images.ndim == 4 else images
    image = image if image.ndim == 3 else image[np.newaxis]
    if image.ndim != 3 or image.size == 0 or len(image) not in PILLOW_MODES:
        raise ValueError(
            f"save_image: images must be (C, H, W) of 1 or 3 channels, got shape {images.shape}"
        )
    if image.dtype.kind == "f":
        if np.isnan(image).any():
            raise ValueError("save_image: images must not hold NaN")
        image = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    if image.dtype != np.uint8:
        raise TypeError(f"save_image: images must be uint8 or floats, got {image.dtype}")
    pixels = np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    Image.fromarray(pixels).save(path)
