"""From one memory order of an array (N, C, *space) to the other: channels last, or C order."""

import numpy as np

from fastconv import _kernels, _threads
from fastconv.functional import _arrays


def to_channels_last(op, array, num_threads=None):
    """The array in that order: a view where no element has to move."""
    lines = _arrays.channels_to_end(array)
    if _is_matrices(array) and not lines.flags.c_contiguous:
        batch, channels, *space = array.shape
        lines = _arrays.empty(op, (batch, *space, channels), array.dtype)
        _transpose(op, array.reshape(batch, channels, -1), lines.reshape(batch, -1, channels),
                   num_threads)  # fmt: skip
    # Through one axis: the stride of a single channel has to say what it is.
    lines = np.ascontiguousarray(lines)
    return _arrays.channels_from_end(lines.reshape(-1).reshape(lines.shape))


def to_c_order(op, array, num_threads=None):
    """The array in C order: itself where it is so."""
    if array.ndim < 3 or array.flags.c_contiguous:
        return array
    lines = _arrays.channels_to_end(array)
    if not _is_matrices(lines):
        return np.ascontiguousarray(array)
    batch, channels, *_ = array.shape
    planes = _arrays.empty(op, array.shape, array.dtype)
    _transpose(op, lines.reshape(batch, -1, channels), planes.reshape(batch, channels, -1),
               num_threads)  # fmt: skip
    return planes


def _is_matrices(array):
    flags = array.flags
    return array.dtype in _arrays.FLOATS and array.size > 0 and flags.c_contiguous and flags.aligned


def _transpose(op, source, target, num_threads):
    threads = _threads.effective(op, num_threads, _threads.ELEMENT_WORK * source.size)
    _kernels.conv[source.dtype.char].transpose(source, target, threads)
