"""Filters of several channels, inverted and regrouped for backpropagation."""

import numpy as np

from fastconv import theory
from fastconv._shapes import integer, shape
from fastconv.plot.animation import picture
from fastconv.plot.problem import check_cells, integers, sizes_of, tap_shades
from fastconv.plot.sheet import Grid, Sheet


def draw_regroup(
    kernel_size=None, in_channels=3, out_channels=20, groups=1, *, weight=None, step=None
):
    """The slices of the filters, inverted and regrouped into one set for each input channel.

    Parameters
    ----------
    kernel_size : int, or one for each axis; an int is a square (default: 3)
    in_channels, out_channels, groups : as for `nn.Conv2d` (default: the lecture's 3 and 20)
    weight : (out_channels, in_channels/groups, *kernel_size), instead of the numbers above
    step : None for the whole picture, k for the state when set k is made, "all" for an Animation

    Returns
    -------
    matplotlib.figure.Figure, or Animation for step="all"

    Raises
    ------
    ImportError : matplotlib is not installed (extra `plot`)
    ValueError, TypeError : groups do not divide the channels, or there is too much to draw
    """
    op = "draw_regroup"
    groups = integer(op, "groups", groups, 1)
    if weight is None:
        kernel = 3 if kernel_size is None else kernel_size
        kernel = shape(op, "kernel_size", (kernel, kernel) if isinstance(kernel, int) else kernel)
        if len(kernel) > 3:
            raise ValueError(f"{op}: kernel_size must have 1 to 3 axes, got {kernel}")
        channels = integer(op, "in_channels", in_channels, 1)
        filters = integer(op, "out_channels", out_channels, 1)
        for name, value in ("in_channels", channels), ("out_channels", filters):
            if value % groups:
                raise ValueError(f"{op}: groups must divide the {value} {name}, got {groups}")
        check_cells(op, (filters, channels // groups, *kernel))
        weight = integers((filters, channels // groups, *kernel), 5)
    weight = np.asarray(weight, np.float64)
    check_cells(op, weight.shape, weight.shape)
    sets = theory.regroup_filters(weight, groups)
    filters, depth = weight.shape[:2]
    channels, set_depth = sets.shape[:2]
    size = weight.shape[2:]
    taps = tap_shades(int(np.prod(size))).reshape(size)
    turned = taps[(slice(None, None, -1),) * taps.ndim]
    # A filter is a column of slices, and a set a row: regrouping reads the same page across.
    before = _slices(weight.swapaxes(0, 1))
    after = _slices(sets)

    def sheet(step):
        made = channels if step is None else step + 1
        box = [((0, o, 0, 0), (depth - 1, o, *_last(before))) for o in range(filters)]
        read = np.zeros(before.shape, bool)
        if step is not None:
            group = step // depth
            read[step % depth, group * set_depth : (group + 1) * set_depth] = True
        upper = Grid(
            before, "kernel", f"{filters} filter{_s(filters)} of depth {depth}\n"
            f"{filters * depth} slices of {sizes_of(size)}, each column a filter",
            shade=np.broadcast_to(_slices(taps[None, None]), before.shape),
            boxes=[(*ends, "kernel") for ends in box],
        )  # fmt: skip
        done = np.broadcast_to(
            (np.arange(channels) < made)[:, None, None, None], after.shape
        )  # fmt: skip
        shade = np.broadcast_to(_slices(turned[None, None]), after.shape)
        lower = Grid(
            np.where(done, after, None), np.where(done, "kernel", "empty"),
            f"{channels} set{_s(channels)} of depth {set_depth}\n"
            "the same slices inverted, each row a set",
            shade=np.where(done, shade, np.nan),
            boxes=[
                ((i, 0, 0, 0), (i, set_depth - 1, *_last(after)), "gradient") for i in range(made)
            ],
        )  # fmt: skip
        if step is not None:
            rows = np.flatnonzero(read.any(axis=(2, 3)).any(axis=1))
            columns = np.flatnonzero(read.any(axis=(2, 3)).any(axis=0))
            upper.boxes = [
                ((rows[0], columns[0], 0, 0), (rows[0], columns[-1], *_last(before)), "gradient")
            ]
            lower.boxes = lower.boxes[-1:]
        return Sheet(
            f"{filters * depth} slices, inverted and regrouped",
            "Backpropagation takes one set for each input channel: its slice of every filter, "
            "turned around. The weights of a slice go from light to dark, and from dark to light "
            "when it is inverted" + (f"; {groups} groups." if groups > 1 else "."),
            [[upper], [lower]], row_gap=0.2,
        )  # fmt: skip

    return picture(op, sheet, channels, step)


def _slices(weight):
    """(rows, columns, *k) with planes last: the slices of a cube lie below each other."""
    rows, columns, *size = weight.shape
    return weight.reshape(rows, columns, -1 if len(size) > 1 else 1, size[-1])


def _last(slices):
    return slices.shape[2] - 1, slices.shape[3] - 1


def _s(count):
    return "s" * (count != 1)
