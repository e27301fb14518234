"""Sizes of convolutions: checked integer arithmetic, and nothing else.

The notation is that of Dumoulin & Visin, "A guide to convolution arithmetic for deep learning"
(2016): input i, kernel k, stride s, padding p, output o; with dilation d the kernel spans
d(k - 1) + 1 cells.  Python integers do not overflow; `check_size` refuses what 64 bits cannot hold.
"""

import math
import operator

INT64_MAX = 2**63 - 1


def integer(op, name, value, minimum):
    """`value` as an int of at least `minimum`; TypeError or ValueError otherwise."""
    if type(value) is int and minimum <= value <= INT64_MAX:
        return value
    if isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{op}: {name} must be at least {minimum}, got {value!r}")
    if number > INT64_MAX:
        raise OverflowError(f"{op}: {name} must fit 64 bits, got {value!r}")
    return number


def per_axis(op, name, value, ndim, minimum):
    """An int, or one int per spatial axis, as a tuple of `ndim` ints."""
    if isinstance(value, (list, tuple)):
        if type(value) is tuple and len(value) == ndim:
            for each in value:
                if type(each) is not int or not minimum <= each <= INT64_MAX:
                    break
            else:
                return value  # nearly always
        if len(value) == 1:
            value = tuple(value) * ndim
        if len(value) != ndim:
            raise ValueError(
                f"{op}: {name} must be an integer or {ndim} of them, one per spatial axis, "
                f"got {value!r}"
            )
        return tuple([integer(op, name, each, minimum) for each in value])
    return (integer(op, name, value, minimum),) * ndim


def shape(op, name, value):
    """An int, or a list or tuple of at least one, as a tuple of ints of at least 1."""
    if not isinstance(value, (list, tuple)):
        value = (value,)
    if not value:
        raise ValueError(f"{op}: {name} must name at least one axis, got {value!r}")
    return tuple(integer(op, name, each, 1) for each in value)


def dilated(kernel, dilation):
    """Cells that a dilated kernel spans: d(k - 1) + 1."""
    return dilation * (kernel - 1) + 1


def same_padding(size, kernel, stride, dilation):
    """(low, high) zeros for an output of ceil(i / s); an odd one goes to the high side."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + dilated(kernel, dilation) - size)
    return total // 2, total - total // 2


def padding_pairs(op, padding, ndim):
    """Any form of `padding` as one (low, high) pair per spatial axis, or "same".

    An int, one int per axis, one (low, high) pair per axis, "valid" or "same".
    """
    if type(padding) is int:
        padding = integer(op, "padding", padding, 0)
        return ((padding, padding),) * ndim
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * ndim
        if padding == "same":
            return padding
        raise ValueError(f"{op}: padding must be 'valid' or 'same' as a word, got {padding!r}")
    pairs = isinstance(padding, (list, tuple)) and [
        isinstance(each, (list, tuple)) for each in padding
    ]
    if not pairs or not any(pairs):
        per_side = per_axis(op, "padding", padding, ndim, 0)
        return tuple([(each, each) for each in per_side])
    if len(padding) != ndim or not all(pairs) or any(len(each) != 2 for each in padding):
        raise ValueError(
            f"{op}: padding must be an integer, {ndim} integers or {ndim} (low, high) pairs, "
            f"got {padding!r}"
        )
    return tuple(tuple(integer(op, "padding", p, 0) for p in pair) for pair in padding)


def conv_out_size(size, kernel, stride, pad, dilation):
    """floor((i + 2p - d(k - 1) - 1) / s) + 1, with `pad` = (low, high) in place of 2p.

    Dumoulin & Visin, relationships 6 and 15.  Zero or negative when the kernel does not fit.
    """
    return (size + pad[0] + pad[1] - dilated(kernel, dilation)) // stride + 1


def conv_transpose_out_size(size, kernel, stride, pad, output_padding, dilation):
    """(i - 1)s - 2p + d(k - 1) + 1 + output_padding: the input of the convolution it transposes.

    Dumoulin & Visin, relationship 14.
    """
    return (size - 1) * stride - pad[0] - pad[1] + dilated(kernel, dilation) + output_padding


def pool_out_size(size, kernel, stride, pad, dilation, ceil_mode):
    """Windows of a pool; with `ceil_mode` also one that starts in the input or low padding."""
    span = size + pad[0] + pad[1] - dilated(kernel, dilation)
    if not ceil_mode:
        return span // stride + 1
    count = -(-span // stride) + 1
    return count - 1 if (count - 1) * stride >= size + pad[0] else count


def check_size(op, shape, itemsize):
    """Bytes of an array of `shape`; OverflowError when 64 bits cannot address it."""
    nbytes = math.prod(shape) * itemsize
    # Empty axes count as 1 here: NumPy refuses (0, huge, huge) too.
    if (nbytes or math.prod(length or 1 for length in shape) * itemsize) > INT64_MAX:
        raise OverflowError(f"{op}: an output of shape {shape} is too large for 64-bit sizes")
    return nbytes
