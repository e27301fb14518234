"""Data sets in one NumPy archive, as Keras ships MNIST: four arrays, and no pickles."""

import zlib

import numpy as np

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
CHANNELS = (1, 3)  # of images (N, H, W, C)


def read(path):
    """{name: array} of the four `ARRAYS`; images are (N, H, W) or (N, C, H, W).

    Keras' (N, H, W, C) with one or three channels becomes (N, C, H, W), a view, where the second
    axis has another length; its labels (N, 1) become (N,).
    Raises ValueError for a missing or pickled array and for a damaged file.
    """
    import zipfile  # here, as it costs the start of every program

    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an .npz file, which is a zip archive")
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ARRAYS if name not in archive]
            if missing:
                raise ValueError(
                    f"the arrays must be {', '.join(ARRAYS)}, got {', '.join(archive) or 'none'}"
                )
            for name in ARRAYS:
                arrays[name] = _array(name, archive)
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error
    return arrays


def _array(name, archive):
    try:
        array = archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError(f"{name} is pickled, which can run code and is not read") from None
        raise
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must hold real numbers, got {getattr(array, 'dtype', 'no array')}"
        )
    if name.startswith("x"):
        if array.ndim == 4 and array.shape[3] in CHANNELS and array.shape[1] not in CHANNELS:
            array = array.transpose(0, 3, 1, 2)
    elif array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return array
