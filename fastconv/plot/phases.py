"""A transposed convolution as ordinary convolutions, one for each phase of the output."""

import numpy as np

from fastconv import theory
from fastconv.plot.animation import picture
from fastconv.plot.problem import Problem, sizes_of, tap_shades
from fastconv.plot.sheet import Grid, Sheet, Sign

MOST_PHASES = 16


def draw_phases(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None,
    output_padding=None, *, input=None, weight=None, step=None,
):  # fmt: skip
    """Up-sampling by s in d axes as s**d ordinary convolutions, whose results are interleaved.

    Parameters, returns and errors are those of `draw_transposed`; by default a row of 5 cells,
    4 taps and stride 2.  Each step is a phase.

    Notes
    -----
    Shi et al. (2016), "Is the deconvolution layer the same as a convolutional layer?"
    """
    default = {"input_size": (5,), "kernel_size": 4, "stride": 2}
    p = Problem("draw_phases", default, input_size, kernel_size, stride, padding, dilation,
                output_padding, transposed=True, input=input, weight=weight)  # fmt: skip
    y = p.conv_transpose(p.input)
    count = int(np.prod(p.stride))
    if count > MOST_PHASES:
        raise ValueError(f"{p.op}: there must be at most {MOST_PHASES} phases, got {count}")
    shades = tap_shades(count) if count > 1 else np.array([0.5])
    phases = theory.phase_filters(p.weight[None, None], p.stride, p.pad, p.dilation)
    cell_phase = np.zeros(p.wide, int)
    tap_phase = np.full(p.kernel, -1)
    for at, each in enumerate(phases):
        cell_phase[_slot(p, each)] = at
        if each.weight.size:
            tap_phase[np.ix_(*each.taps)] = at
    unused = tap_phase < 0
    words = np.array([*map(str, range(count)), None], object)

    def sheet(step):
        made = count if step is None else step + 1
        now = None if step is None else step
        first = [
            Grid(p.input, "input", f"input x\n{sizes_of(p.narrow)}"),
            Grid(p.weight, np.where(unused, "empty", "kernel"), f"kernel\n{sizes_of(p.kernel)}",
                 shade=np.where(unused, np.nan, shades[tap_phase]), corner=words[tap_phase]),
        ]  # fmt: skip
        each = []
        for at, phase in enumerate(phases):
            part, taps = y[_slot(p, phase)], phase.weight[0, 0]
            if not part.size:
                continue
            done = at < made
            name = sizes_of(part.shape)
            items = [Sign("\N{ASTERISK OPERATOR} x =", 10)]
            label = f"filter {at}"
            if not taps.size:
                items = [Sign("no tap, zeros:", 9)]
            else:
                items.insert(0, Grid(taps, "kernel", f"{label}\n{sizes_of(taps.shape)}",
                                     shade=shades[at], strong=False))  # fmt: skip
            items.append(
                Grid(part if done else np.full(part.shape, None), "output" if done else "empty",
                     f"phase {at}\n{name}", at == now,
                     np.nan if not done else shades[at])
            )  # fmt: skip
            each.append(items)
        together = 2 if p.ndim == 2 and p.kernel[-1] <= 6 else 1
        rows = []
        for at in range(0, len(each), together):
            apart = [[*items, Sign("   ")] for items in each[at : at + together]]
            rows.append([item for items in apart for item in items][:-1])
        if p.ndim == 3:
            rows = [[item] for items in each for item in items if isinstance(item, Grid)]
        done = cell_phase < made
        last = Grid(
            np.where(done, y, None), np.where(done, "output", "empty"),
            f"output, interleaved\n{sizes_of(p.wide)}",
            np.zeros(p.wide, bool) if now is None else cell_phase == now,
            np.where(done, shades[cell_phase], np.nan), corner=words[cell_phase],
        )  # fmt: skip
        factor = "s" if len(set(p.stride)) > 1 else p.stride[0]
        return Sheet(
            f"Up-sampling by {factor} is {count} ordinary convolution{'s' * (count > 1)}",
            "Output cells of one phase, equal in position modulo the stride, meet the same taps "
            f"only: {', '.join(p.words())}. No zero is inserted. Small: the number of the phase.",
            [first, *rows, [last]],
        )  # fmt: skip

    return picture(p.op, sheet, count, step)


def _slot(p, phase):
    """Where in the output a phase writes."""
    return tuple(slice(first, None, s) for first, s in zip(phase.phase, p.stride, strict=True))
