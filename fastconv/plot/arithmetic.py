"""Convolution arithmetic: why an output has its size, window by window."""

import numpy as np

from fastconv import theory
from fastconv.plot.animation import picture
from fastconv.plot.problem import MINUS, Problem, sizes_of, span
from fastconv.plot.sheet import Grid, Sheet

DOT = "\N{DOT OPERATOR}"


def draw_arithmetic(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None,
    output_padding=None, *, step=None,
):  # fmt: skip
    """The size of an output: every position of the window on the padded axis, one below another.

    Parameters
    ----------
    input_size, kernel_size : int or one for each of 1 to 3 axes (default: 6 and 3)
    stride, padding, dilation : as for `fastconv.conv2d` (default: 2, 1 and 1)
    output_padding : given, input_size is that of a transposed convolution
    step : None for the whole picture, k for window k of the first axis, "all" for an Animation

    Returns
    -------
    matplotlib.figure.Figure, or Animation for step="all"

    Raises
    ------
    ImportError : matplotlib is not installed (extra `plot`)
    ValueError, TypeError : the sizes give no output, or there is too much to draw

    Notes
    -----
    Dumoulin & Visin (2016), relationships 6, 14 and 15.
    """
    default = {"input_size": (6,), "kernel_size": 3, "stride": 2, "padding": 1}
    p = Problem("draw_arithmetic", default, input_size, kernel_size, stride, padding, dilation,
                output_padding, transposed=output_padding is not None)  # fmt: skip
    axes = list(zip(p.wide, p.narrow, p.kernel, p.stride, p.pad, p.dilation, p.output_padding,
                    strict=True))  # fmt: skip
    alike = len(set(axes)) == 1
    shown_axes = axes[:1] if alike else axes
    steps = axes[0][1]
    transposed = output_padding is not None

    def sheet(step):
        rows, below = [], []
        for at, axis in enumerate(shown_axes):
            name = "" if p.ndim == 1 else "each axis: " if alike else f"axis {at}: "
            rows.append(_staircase(axis, name, step if at == 0 else None, transposed))
            below += _formulas(axis, name, transposed)
        wide, narrow = sizes_of(p.wide), sizes_of(p.narrow)
        title = f"Convolution arithmetic: {wide} cells give {narrow}"
        rule = "One row for each position of the window: there are as many as fit, a stride apart."
        if transposed:
            title = f"Transposed convolution arithmetic: {narrow} cells give {wide}"
            rule = "Each input cell writes a window, a stride apart: the output is what they span."
        return Sheet(
            title, f"{rule} {', '.join(p.words()).capitalize()}.", rows, "\n".join(below),
            row_gap=0.25,
        )  # fmt: skip

    return picture(p.op, sheet, steps, step)


def _staircase(axis, name, step, transposed):
    size, count, kernel, stride, (low, high), dilation, spare = axis
    length = low + size + high
    wide_role, narrow_role = ("output", "input") if transposed else ("input", "output")
    values = np.full((1 + count, length), None, object)
    roles = np.full(values.shape, "empty", object)
    roles[0] = "padding"
    roles[0, low : low + size] = wide_role
    values[0, low : low + size] = [str(each) for each in range(size)]
    values[0, :low] = values[0, low + size :] = "0"
    use = theory.contributions((length,), (kernel,), stride, 0, dilation)
    made = count if step is None else step + 1
    strong = np.zeros(values.shape, bool)
    for window, cell in zip(use.output_cell, use.input_cell, strict=True):
        if window < made:
            roles[1 + window, cell] = "kernel"
            if window == step:
                strong[1 + window, cell] = True
                strong[0, cell] = True
    reach = span((kernel,), (dilation,))[0]
    boxes = [((1 + w, w * stride), (1 + w, w * stride + reach - 1), "kernel") for w in range(made)]
    if spare:
        boxes.append(((0, length - spare), (0, length - 1), "empty"))
    left = Grid(
        values, roles, f"{name}{wide_role}\n{size} cells" + _padding_words(low, high), strong,
        np.where(roles == "kernel", 0.45, np.nan), boxes=boxes,
    )  # fmt: skip
    done = np.arange(count)[:, None] < made
    right = Grid(
        np.where(done, np.array([*map(str, range(count))], object)[:, None], None),
        np.where(done, narrow_role, "empty"),
        f"{narrow_role}\n{count} cell{'s' * (count != 1)}",
        (np.arange(count) == step)[:, None], sunk=1,
    )  # fmt: skip
    return [left, right]


def _padding_words(low, high):
    if not low and not high:
        return ""
    return f" and {low} + {high} of padding"


def _formulas(axis, name, transposed):
    """Both directions in numbers, and what the rounding leaves open."""
    size, count, kernel, stride, (low, high), dilation, spare = axis
    pads = f"2{DOT}{low}" if low == high else f"{low} {MINUS} {high}"
    plus = pads.replace(MINUS, "+")
    reach = f"({dilation}{DOT}({kernel} {MINUS} 1) + 1)" if dilation > 1 else str(kernel)
    there = (
        f"{name}\N{LEFT FLOOR}(i + 2p {MINUS} k) / s\N{RIGHT FLOOR} + 1 = "
        f"\N{LEFT FLOOR}({size} + {plus} {MINUS} {reach}) / {stride}\N{RIGHT FLOOR} + 1 = {count}"
    )
    back = (
        f"{name}(o {MINUS} 1){DOT}s {MINUS} 2p + k + output_padding = "
        f"({count} {MINUS} 1){DOT}{stride} {MINUS} {pads} + {reach} + {spare} = {size}"
    )
    yield from (back, there) if transposed else (there, back)
    if stride > 1:
        least, most = size - spare, size - spare + stride - 1
        to = "or" if stride == 2 else "to"
        yield (
            f"{least} {to} {most} cells give {count}, rounded down; on the way back output_padding "
            f"0 {to} {stride - 1} says which."
        )
    if spare:
        yield f"No window reaches the framed {'cell' if spare == 1 else f'{spare} cells'}."
