"""A transposed convolution, one input cell at a time: the scatter of each and the running sum."""

import numpy as np

from fastconv import theory
from fastconv.plot.animation import picture
from fastconv.plot.problem import Problem, at, sizes_of, span, tap_shades
from fastconv.plot.sheet import Grid, Sheet, Sign, number

MOST_STILL = 12


def draw_steps(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None,
    output_padding=None, *, input=None, weight=None, step=None,
):  # fmt: skip
    """A deconvolution layer step by step: each input cell adds its multiple of the kernel.

    Parameters, returns and errors are those of `draw_transposed`; padding is 0 by default.  The
    whole picture shows the sums after the steps 0 -> 1, 0 -> 2, ...; step k shows one step, and
    "all" is the Animation of one frame for each input cell.
    """
    default = {"input_size": (3, 3), "kernel_size": 3, "stride": 2}
    p = Problem("draw_steps", default, input_size, kernel_size, stride, padding, dilation,
                output_padding, transposed=True, input=input, weight=weight)  # fmt: skip
    found = theory.deconvolution_steps(
        p.input[None], p.weight[None, None], p.stride, p.pad, p.output_padding,
        dilation=p.dilation,
    )  # fmt: skip
    scatters, sums = (np.asarray(each).reshape(-1, *p.wide) for each in found)
    count = len(sums)
    use = theory.contributions(p.wide, p.kernel, p.stride, p.pad, p.dilation)

    def touched(step):
        mask = np.zeros(p.wide, bool)
        mask.flat[use.input_cell[use.output_cell == step]] = True
        return mask

    def sheet(step):
        title = f"Deconvolution, one input cell at a time: {sizes_of(p.narrow)} to "
        title += f"{sizes_of(p.wide)} cells"
        statement = (
            "Each input cell multiplies the kernel and adds it to the output, at its position "
            f"times the stride: {', '.join(p.words())}."
        )
        if step is None:
            return Sheet(title, statement, _contact_sheet(p, sums, touched))
        now = np.arange(count).reshape(p.narrow)
        value = p.input.flat[step]
        where = np.unravel_index(step, p.narrow)
        mask, reached = touched(step), np.logical_or.reduce([*map(touched, range(step + 1))])
        grids = [
            Grid(p.input, "input", f"input\n{sizes_of(p.narrow)}", now == step),
            Grid(p.weight, "kernel", "kernel",
                 shade=tap_shades(p.weight.size).reshape(p.kernel)),
            Grid(np.where(mask, scatters[step], None), np.where(mask, "output", "empty"),
                 f"what input{at(where)} adds\n{number(value)} times the kernel",
                 boxes=_window(p, where)),
            Grid(np.where(reached, sums[step], None), np.where(reached, "output", "empty"),
                 f"sum 0 \N{RIGHTWARDS ARROW} {step + 1}\n{sizes_of(p.wide)}", mask),
        ]  # fmt: skip
        x, w, more, total = grids
        rows = [
            [x, Sign("\N{MULTIPLICATION SIGN}"), w],
            [more, Sign("\N{RIGHTWARDS ARROW}"), total],
        ]
        if p.ndim != 2:
            rows = [[x], [w], [more], [total]] if p.ndim == 3 else [[x, w], [more], [total]]
        words = f"step {step + 1} of {count}: input{at(where)} = {number(value)} times the kernel"
        return Sheet(title, statement, rows, words, 1)

    return picture(p.op, sheet, count, step)


def _window(p, where):
    """The box of the kernel's reach in the output, cut at its edges."""
    reach = span(p.kernel, p.dilation)
    low, high = [], []
    for o, s, (pad, _), r, size in zip(where, p.stride, p.pad, reach, p.wide, strict=True):
        low.append(max(0, int(o) * s - pad))
        high.append(min(size, int(o) * s - pad + r) - 1)
    if any(a > b for a, b in zip(low, high, strict=True)):
        return []
    return [(tuple(low), tuple(high), "kernel")]


def _contact_sheet(p, sums, touched):
    """The input and the kernel, then the sums, as many as a page holds: the first and the last."""
    count = len(sums)
    shown = list(range(count))
    if count > MOST_STILL:
        shown = [*range(MOST_STILL - 1), count - 1]
    reached = np.zeros(p.wide, bool)
    small = []
    for step in range(count):
        mask = touched(step)
        reached |= mask
        if step in shown:
            end = f" of {count}" if step == count - 1 else ""
            small.append(
                Grid(np.where(reached, sums[step], None), np.where(reached, "output", "empty"),
                     f"0 \N{RIGHTWARDS ARROW} {step + 1}{end}", mask)
            )  # fmt: skip
    columns = 1 if p.ndim == 3 or (p.ndim == 1 and p.wide[0] > 10) else 2 if p.ndim == 1 else 3
    first = [
        Grid(p.input, "input", f"input\n{sizes_of(p.narrow)}"),
        Grid(p.weight, "kernel", f"kernel\n{sizes_of(p.kernel)}",
             shade=tap_shades(p.weight.size).reshape(p.kernel)),
    ]  # fmt: skip
    rows = [[each] for each in first] if p.ndim == 3 else [first]
    return rows + [small[at : at + columns] for at in range(0, len(small), columns)]
