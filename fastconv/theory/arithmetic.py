"""Convolution arithmetic: sizes, after Dumoulin & Visin (2016), with the reasons in words.

The notation is theirs: input i, kernel k, stride s, padding p (at each end), output o; dilation d.
"""

from typing import NamedTuple

from fastconv import _shapes
from fastconv.theory._setting import axes_of, conv_setting, transposed_setting


def _like(size, result, *said):
    """One number for one axis where the user wrote plain numbers."""
    return size if any(isinstance(each, (list, tuple)) for each in said) else result


def output_size(input_size, kernel_size, stride=1, padding=0, dilation=1, *, exact=False):
    """Output size of a convolution or pool: floor((i + 2p - d(k - 1) - 1) / s) + 1.

    The window spans d(k - 1) + 1 cells of the i + 2p.  It fits once, and once more for every s
    cells that are left over; what remains of the division is never read.

    Relationships 1 (no padding: i - k + 1), 2 (i - k + 2p + 1), 3 ("same" for odd k: i),
    4 ("full", p = k - 1: i + k - 1), 5 and 6 (strides), 7 (pooling), 15 (dilation).

    Parameters
    ----------
    input_size, kernel_size : int, or one for each axis
    stride, padding, dilation : as for `fastconv.conv2d`
    exact : refuse a size that does not come out whole

    Returns
    -------
    int, or a tuple where input_size or kernel_size is one

    Raises
    ------
    ValueError : the window does not fit; or, with `exact`, cells are left over that no window reads
    TypeError : a number that is none
    """
    op = "output_size"
    setting = conv_setting(op, input_size, kernel_size, stride, padding, dilation)
    for i, _, k, s, pad, d in zip(*setting, strict=True) if exact else ():
        room = i + sum(pad) - _shapes.dilated(k, d)
        over = room % s
        if over:
            raise ValueError(
                f"{op}: ({i} + {sum(pad)} - {_shapes.dilated(k, d)}) / {s} does not come out "
                f"whole, so the last {over} of {i + sum(pad)} cells are read by no window; "
                f"{i - over} or {i + s - over} cells of input come out whole, or {s - over} "
                "more of padding"
            )
    return _like(setting.small, setting.small[0], input_size, kernel_size)


def transposed_output_size(
    input_size, kernel_size, stride=1, padding=0, output_padding=0, dilation=1
):
    """Output size of a transposed convolution: (i - 1)s - 2p + d(k - 1) + 1 + output_padding.

    The windows of i cells lie s apart; this is what they span, less the padding: the input size of
    the convolution which it transposes.  A stride s rounds down, so s input sizes lead to the same
    output size, and the way back is ambiguous: output_padding, 0 to s - 1, says which one is meant.
    It adds no zeros to anything, but cells at the far end.

    Relationships 8 to 13 (its cases without stride, without padding, ...) and 14.

    Parameters
    ----------
    input_size, kernel_size : int, or one for each axis
    stride, padding, dilation : as for `fastconv.conv_transpose2d`
    output_padding : int, or one for each axis; None asks for the only size there is

    Returns
    -------
    int, or a tuple where input_size or kernel_size is one

    Raises
    ------
    ValueError : output_padding is not below stride or dilation; or it is None, and there are
        several sizes; or padding leaves nothing
    TypeError : a number that is none
    """
    op = "transposed_output_size"
    extra = 0 if output_padding is None else output_padding
    setting = transposed_setting(op, input_size, kernel_size, stride, padding, extra, dilation)
    ambiguous = output_padding is None and padding != "same"
    for large, small, s in zip(setting.large, setting.small, setting.stride, strict=True):
        if ambiguous and s > 1:
            raise ValueError(
                f"{op}: a convolution of stride {s} gives {small} for every input of {large} to "
                f"{large + s - 1} cells; say which by output_padding, 0 to {s - 1}"
            )
    return _like(setting.large, setting.large[0], input_size, kernel_size)


def same_padding(kernel_size, dilation=1, stride=1, input_size=None):
    """(low, high) zeros for an output of ceil(i / s) cells, an odd one at the high end.

    With stride 1 it is d(k - 1) zeros in all: a window reads that many cells more than the one
    it replaces.  For odd k they are half on each side (relationship 3).  With a stride it depends
    on the input size, too: the last window begins at (ceil(i / s) - 1)s, and only the zeros that
    it needs are added.

    Parameters
    ----------
    kernel_size, dilation, stride : int, or one for each axis
    input_size : int, or one for each axis; needed with a stride

    Returns
    -------
    (low, high), or a tuple of such pairs where kernel_size or input_size is a tuple

    Raises
    ------
    ValueError : a stride without input_size
    TypeError : a number that is none
    """
    op = "same_padding"
    sizes = {"kernel_size": kernel_size}
    if input_size is not None:
        sizes["input_size"] = input_size
    ndim = axes_of(op, **sizes)
    kernel = _shapes.per_axis(op, "kernel_size", kernel_size, ndim, 1)
    dilation = _shapes.per_axis(op, "dilation", dilation, ndim, 1)
    stride = _shapes.per_axis(op, "stride", stride, ndim, 1)
    if input_size is None and max(stride) > 1:
        raise ValueError(
            f"{op}: 'same' with stride {stride} means ceil(input / stride) cells, not as many as "
            "the input; the zeros for it depend on the input: give input_size"
        )
    # With stride 1 any size gives the same answer.
    large = _shapes.per_axis(op, "input_size", 1 if input_size is None else input_size, ndim, 1)
    pairs = tuple(map(_shapes.same_padding, large, kernel, stride, dilation))
    return _like(pairs, pairs[0], kernel_size, input_size)


class EquivalentConvolution(NamedTuple):
    """The direct convolution that is the transpose of another; one entry for each axis.

    It takes `input_size` cells with `zeros_between` zeros between neighbours and `border`
    (low, high) zeros around (less than none: cells cut off), and slides the inverted kernel over
    them with stride 1 and this dilation.
    """

    input_size: tuple
    zeros_between: tuple
    border: tuple
    kernel_size: tuple
    dilation: tuple
    output_size: tuple


def equivalent_transposed(input_size, kernel_size, stride=1, padding=0, dilation=1):
    """The direct convolution that computes the transpose of a convolution of `input_size` cells.

    Between the cells lie s - 1 zeros: the convolution left out s - 1 of s positions.  The border is
    d(k - 1) - p: the first cell of the input is read by one window only if there is no padding,
    so all but one tap must meet zeros; padding brings in windows that began before it.  At
    the high end are a = (i + 2p - d(k - 1) - 1) mod s more, the cells that no window reached:
    this is what output_padding stands for.

    Relationships 8 (no padding, p' = k - 1), 9 (p' = k - p - 1), 10 ("same"), 11 ("full"),
    12 to 14 (strides: s - 1 zeros between, a at the end).  The convolution's input and output sizes
    change places: its output is this one's input.

    Parameters
    ----------
    input_size, kernel_size : int, or one for each axis, of the convolution
    stride, padding, dilation : as for `fastconv.conv2d`

    Returns
    -------
    EquivalentConvolution of tuples

    Raises
    ------
    ValueError, TypeError : the window does not fit, or a number is none
    """
    op = "equivalent_transposed"
    setting = conv_setting(op, input_size, kernel_size, stride, padding, dilation)
    border = []
    for i, o, s, (low, _), reach in zip(
        setting.large, setting.small, setting.stride, setting.pad, setting.reach, strict=True
    ):
        high = i + reach - (reach - low) - ((o - 1) * s + 1)
        border.append((reach - low, high))
    return EquivalentConvolution(
        input_size=setting.small,
        zeros_between=tuple(s - 1 for s in setting.stride),
        border=tuple(border),
        kernel_size=setting.kernel,
        dilation=setting.dilation,
        output_size=setting.large,
    )
