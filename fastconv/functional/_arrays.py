"""What every functional does with its arrays: check, bring to kernel form, allocate.

Kernels read any strides, but want native, aligned float32 or float64 elements.  A message names
the operation, the parameter, the value got and the rule.
"""

import math

import numpy as np

from fastconv import _shapes
from fastconv._kernels import memory

RECYCLED_BYTES = 64 * 1024

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

# Indices that add the spatial axes which an array of so many axes lacks.
EXPANDED = {ndim: (slice(None),) * 2 + (np.newaxis,) * (5 - ndim) for ndim in (3, 4, 5)}

# Permutations that put the channels last, and back, for up to NumPy's 64 axes.
TO_END = [(0, *range(2, ndim), 1) for ndim in range(65)]
FROM_END = [(0, ndim - 1, *range(1, ndim - 1)) for ndim in range(65)]

# DLPack's numbers for memory that this processor reads: its own, and what CUDA, ROCm pinned there.
HOST_DEVICES = (1, 3, 11)


def as_numpy(op, name, array):
    """Whatever is an array as one of NumPy, on its own memory where it has any.

    Those of other libraries come through DLPack.  ValueError for one on another device, TypeError
    for one that its library does not hand out, or whose elements NumPy does not know.
    """
    if isinstance(array, np.ndarray) or not hasattr(array, "__dlpack__"):
        return np.asarray(array)
    kind = f"{type(array).__module__}.{type(array).__qualname__}"
    try:
        device, _ = array.__dlpack_device__()
        if device in HOST_DEVICES:
            return np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{op}: {name} must be an array that DLPack can hand to NumPy, got a {kind} of "
            f"{getattr(array, 'dtype', 'unknown dtype')}: {error}"
        ) from None
    where = getattr(array, "device", f"DLPack's device {int(device)}")
    raise ValueError(f"{op}: {name} must be in the memory of the CPU, got a {kind} on {where}")


def as_array(op, name, array, dtype=None):
    """`array` as an aligned, native float32 or float64 ndarray; a copy only where it must be.

    With `dtype` given, any other is a TypeError.
    """
    if (
        type(array) is np.ndarray
        and array.flags.carray
        and (array.dtype in FLOATS if dtype is None else array.dtype is dtype)
    ):
        return array  # nearly always, and at once: between two kernels Python runs cold
    if not isinstance(array, np.ndarray):
        array = as_numpy(op, name, array)
    native = array.dtype if array.dtype in FLOATS else array.dtype.newbyteorder("=")
    if native not in FLOATS:
        raise TypeError(f"{op}: {name} must be float32 or float64, got {array.dtype}")
    if dtype is not None and native != dtype:
        raise TypeError(f"{op}: {name} must be {dtype}, as the input is, got {array.dtype}")
    if array.dtype is not native or not _whole_elements(array):
        array = np.array(array, dtype=native, order="K")
    return array


def _whole_elements(array):
    """Whether the array is aligned and steps from element to element in whole elements."""
    flags = array.flags
    if not flags.aligned:  # which says this of the steps, too, along axes longer than 1
        return False
    if not flags.c_contiguous and min(array.shape) < 2:
        for step in array.strides:
            if step % array.itemsize:
                return False
    return True


def as_like(op, name, array, input):
    """`array` as `as_array` has it, of the input's dtype and shape; ValueError otherwise."""
    array = as_array(op, name, array, input.dtype)
    if array.shape != input.shape:
        raise ValueError(
            f"{op}: {name} must have the input's shape {input.shape}, got {array.shape}"
        )
    return array


def as_batch(op, name, array, ndim):
    """`array` with a batch axis, and whether it had one: (N, C, *space) or (C, *space)."""
    if array.ndim == ndim + 2:
        return array, True
    if array.ndim == ndim + 1:
        return array[np.newaxis], False
    raise ValueError(
        f"{op}: {name} must have {ndim + 2} axes (N, C, space) or {ndim + 1} without a batch, "
        f"got shape {array.shape}"
    )


def expand_space(array):
    """Views (N, C, *space) as (N, C, D, H, W): missing spatial axes of length 1 come first."""
    return array[EXPANDED[array.ndim]]


def channels_to_end(array):
    """(N, C, *space) as (N, *space, C), a view; np.moveaxis takes ten times as long."""
    return array.transpose(TO_END[array.ndim])


def channels_from_end(array):
    """(N, *space, C) as (N, C, *space), a view."""
    return array.transpose(FROM_END[array.ndim])


def is_channels_last(array):
    """Whether the channels of (N, C, *space) are the fastest axis in memory.

    With one channel, or one pixel, both orders are the same memory, and the strides tell.
    """
    if array.ndim < 3:
        return False
    if not array.flags.c_contiguous:
        return channels_to_end(array).flags.c_contiguous
    if array.strides[1] != array.itemsize and array.size:
        return False
    _, channels, *space = array.shape
    pixels = math.prod(space)
    if channels == 1:
        return array.strides[1] == array.itemsize and pixels > 1
    return (pixels == 1 or not array.size) and array.strides[-1] == channels * array.itemsize


def empty(op, shape, dtype, like=None):
    """A new array of `shape` in the memory order of `like`: channels last, or else C order."""
    last = like is not None and like.ndim == len(shape) and is_channels_last(like)
    return empty_in_order(op, shape, dtype, last)


def empty_in_order(op, shape, dtype, last):
    """A new array of `shape`, in memory with the channels last or in C order.

    A large one lies in recycled memory, that need not be mapped again.
    """
    order = (shape[0], *shape[2:], shape[1]) if last else shape
    nbytes = math.prod(shape) * dtype.itemsize
    try:
        if not 0 < nbytes <= _shapes.INT64_MAX:
            _shapes.check_size(op, shape, dtype.itemsize)
        if nbytes < RECYCLED_BYTES:
            array = np.empty(order, dtype)
        else:
            array = np.ndarray(order, dtype, memory.Buffer(nbytes))
    except MemoryError as error:
        raise MemoryError(f"{op}: no memory for an output of shape {shape}: {error}") from None
    return channels_from_end(array) if last else array


def _apart(array):
    """Whether each axis steps over all that the axes with shorter steps reach."""
    reach = array.itemsize
    for step, size in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if size > 1:
            if step < reach:
                return False
            reach += step * (size - 1)
    return True


def check_out(op, out, shape, dtype, inputs):
    """`out` if the result can be written there; ValueError or TypeError otherwise."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{op}: out must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"{op}: out must have shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise ValueError(f"{op}: out must be {dtype}, got {out.dtype}")
    if not _whole_elements(out):
        raise ValueError(f"{op}: out must be aligned to its elements, got strides {out.strides}")
    if not out.flags.writeable:
        raise ValueError(f"{op}: out must be writeable")
    if not out.flags.c_contiguous and not _apart(out):
        raise ValueError(f"{op}: out must not overlap itself, got strides {out.strides}")
    if any(np.may_share_memory(out, each) and np.shares_memory(out, each) for each in inputs):
        raise ValueError(f"{op}: out must not overlap an input")
    return out
