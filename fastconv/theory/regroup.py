"""Several channels: slices inverted, and regrouped by the channel that they lead back to."""

import numpy as np

from fastconv.theory._arrays import correlate, cut, grouped_filters, spread
from fastconv.theory._setting import batch, check_size, conv_setting, filters


def regroup_filters(weight, groups=1):
    """(O, I/groups, *k) to (I, O/groups, *k): each spatial slice inverted, the slices regrouped.

    Of 20 filters for 3 channels, 60 slices, come 3 sets of depth 20: a set for each input channel,
    of the slices of all filters that read it.  Applied twice it gives the weight back.

    Raises ValueError when groups do not divide O.  Lecture, "Multichannel case".
    """
    weight, kernel, groups = filters("regroup_filters", weight, groups)
    slices = np.flip(grouped_filters(weight, groups), tuple(range(3, 3 + len(kernel))))
    sets = slices.swapaxes(1, 2)
    return sets.reshape(-1, weight.shape[0] // groups, *kernel)


def grad_input_by_regrouped_filters(
    grad_output, weight, input_size, stride=1, padding=0, dilation=1, groups=1
):
    """Input gradient of a convolution: the convolution of grad_output with the regrouped filters.

    With a stride s it is a convolution of stride 1 all the same, of grad_output with s - 1 zeros
    between its cells: as the window made s steps at a time, s - 1 positions of it were left out.

    Parameters
    ----------
    grad_output : (N, O, *output_size) or (O, *output_size)
    weight : (O, I/groups, *kernel_size)
    input_size : spatial size of the convolution's input
    stride, padding, dilation, groups : those of the convolution

    Returns
    -------
    (N, I, *input_size) or (I, *input_size)

    Raises
    ------
    ValueError, TypeError : shapes or options that do not fit each other

    Notes
    -----
    Lecture: "Backpropagate with newly grouped filters".  The zeros and the border are those of
    Dumoulin & Visin (2016), relationship 14; see `equivalent_transposed`.
    """
    op = "grad_input_by_regrouped_filters"
    weight, kernel, groups = filters(op, weight, groups)
    setting = conv_setting(op, input_size, kernel, stride, padding, dilation)
    g, batched = batch(op, "grad_output", grad_output, len(weight), len(kernel))
    check_size(op, "grad_output", g.shape[2:], setting.small)
    reach = setting.reach
    start = [low - r for low, r in zip(setting.low, reach, strict=True)]
    size = [i + r for i, r in zip(setting.large, reach, strict=True)]
    with_border = cut(spread(g, setting.stride), start, size)
    grad = correlate(with_border, regroup_filters(weight, groups), setting.dilation, groups)
    return grad if batched else grad[0]
