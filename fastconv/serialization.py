"""Models on disk, as safetensors: no code in the file, and never half a file."""

import contextlib
import os

import numpy as np

from fastconv.nn import Module


def save(module_or_state_dict, path, metadata=None):
    """Writes a Module's `state_dict`, or a dict of arrays, to a safetensors file.

    metadata: a dict of strings to keep with it.
    The file appears at once and whole: a write that fails leaves the old one and nothing else.
    Raises TypeError for values that safetensors cannot hold, OSError where the disk refuses.
    """
    numpy_format, _ = _safetensors("save")
    state = module_or_state_dict
    if isinstance(state, Module):
        state = state.state_dict()
    metadata = dict(metadata or {})
    if not all(isinstance(text, str) for item in metadata.items() for text in item):
        raise TypeError(f"save: metadata must map strings to strings, got {metadata!r}")
    arrays = {}
    for key, value in state.items():
        if not isinstance(key, str) or key == "__metadata__":
            raise TypeError(f"save: a key must be a string, not '__metadata__', got {key!r}")
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise TypeError(f"save: {key} must hold numbers or booleans, got {array.dtype}")
        # safetensors reads the memory as it lies.
        arrays[key] = np.require(array, array.dtype.newbyteorder("<"), ["C", "A"])
    write_atomically(path, numpy_format.save(arrays, metadata=metadata or None))


def load(path):
    """The arrays of a safetensors file, as a dict for `Module.load_state_dict`.

    Raises OSError if the file cannot be read, ValueError if it is not a whole safetensors file
    or holds an element type that NumPy lacks (bfloat16).
    """
    with _opened("load", path) as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
        for key, array in arrays.items():
            if array.dtype.isbuiltin != 1:  # ml_dtypes, where it is installed, knows bfloat16
                raise TypeError(f"{key} has elements of type {array.dtype}")
        return arrays


def load_metadata(path):
    """The metadata of a safetensors file, a dict of strings; errors as `load`."""
    with _opened("load_metadata", path) as file:
        return dict(file.metadata() or {})


def _safetensors(function):
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            f"fastconv.{function} needs safetensors: pip install 'fastconv[save]'"
        ) from error
    return safetensors.numpy, safetensors


@contextlib.contextmanager
def _opened(function, path):
    _, library = _safetensors(function)
    with open(path, "rb"):  # the plain OSError, which names the file
        pass
    try:
        with library.safe_open(path, framework="numpy") as file:
            yield file
    except (library.SafetensorError, TypeError, KeyError, AttributeError) as error:
        # The last three for an element type that NumPy lacks.
        raise ValueError(
            f"{function}: {os.fspath(path)} is not readable as safetensors: {error}"
        ) from error


def write_atomically(path, data):
    """Writes beside `path` and renames, with everything on the disk before and after.

    What is there and is no file, as /dev/null, is written to.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with open(path, "wb") as file:
            file.write(data)
        return
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):  # Windows has no handle on a folder
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
