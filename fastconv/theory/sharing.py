"""Weight sharing: the derivative of each use of a weight, to be added over the uses."""

import math

import numpy as np

from fastconv import _shapes
from fastconv.theory._arrays import grouped, windows
from fastconv.theory._setting import batch, check_size, conv_setting


def weight_use_gradients(
    grad_output, input, kernel_size, stride=1, padding=0, dilation=1, groups=1
):
    """One derivative for each use of each weight: as if every position had weights of its own.

    At output position p of example n, weight (o, c, tap) is multiplied by the input cell that the
    tap reads there, so its derivative is grad_output[n, o, p] times that cell.  The weights of all
    positions are one and the same: `.sum(axis=0)` is the gradient of the weight.

    Parameters
    ----------
    grad_output : (N, O, *output_size) or (O, *output_size)
    input : (N, I, *input_size) or (I, *input_size)
    kernel_size : int, or one for each spatial axis
    stride, padding, dilation, groups : those of the convolution

    Returns
    -------
    (uses, O, I/groups, *kernel_size): a use for each example and position, positions fastest

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Lecture: "Convert layer-wise derivative to weight-wise derivative and add over shared weights".
    """
    op = "weight_use_gradients"
    x, g = np.asarray(input), np.asarray(grad_output)
    named = isinstance(kernel_size, (list, tuple))
    ndim = len(kernel_size) if named else max(1, x.ndim - 2)
    groups = _shapes.integer(op, "groups", groups, 1)
    if x.ndim not in (ndim + 1, ndim + 2) or g.ndim != x.ndim:
        raise ValueError(
            f"{op}: grad_output and input must be (N, C, *size) or (C, *size), both alike, with "
            f"{ndim} spatial axes, got shapes {g.shape} and {x.shape}"
        )
    for name, channels in ("input", x.shape[-ndim - 1]), ("grad_output", g.shape[-ndim - 1]):
        if channels % groups:
            raise ValueError(
                f"{op}: groups must divide the {channels} channels of {name}, got {groups}"
            )
    x, _ = batch(op, "input", x, x.shape[-ndim - 1], ndim)
    g, _ = batch(op, "grad_output", g, g.shape[-ndim - 1], ndim)
    setting = conv_setting(op, x.shape[2:], kernel_size, stride, padding, dilation)
    check_size(op, "grad_output", g.shape[2:], setting.small)
    if len(g) != len(x):
        raise ValueError(f"{op}: grad_output must have {len(x)} examples, got {len(g)}")
    around = ((0, 0), (0, 0), *setting.pad)
    read = windows(np.pad(x, around), setting.kernel, setting.stride, setting.dilation)
    positions = math.prod(setting.small)
    taps = math.prod(setting.kernel)
    read = read.reshape(len(x), groups, x.shape[1] // groups, positions, taps)
    g = grouped(g, groups).reshape(len(g), groups, g.shape[1] // groups, positions)
    uses = np.einsum("ngkp,ngcpt->npgkct", g, read)
    channels = g.shape[1] * g.shape[2]
    return uses.reshape(len(x) * positions, channels, read.shape[2], *setting.kernel)
