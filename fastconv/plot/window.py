"""A kernel that moves over its input: convolution, transposed convolution, inverted filter."""

import numpy as np

from fastconv import theory
from fastconv.plot.animation import picture
from fastconv.plot.problem import (
    TIMES,
    Problem,
    at,
    integers,
    rows_for,
    short,
    sizes_of,
    span,
    sum_of_products,
    tap_shades,
)  # fmt: skip
from fastconv.plot.sheet import Grid, Link, Sheet, Sign, number
from fastconv.plot.style import fill

MOST_LINKS = 600


class Sweep:
    """A kernel over an array with borders: which cells and taps make each result.

    values: what is read, borders and inserted zeros included; zeros: mask of these
    """

    def __init__(self, values, zeros, kernel, results, stride, dilation):
        self.values, self.zeros, self.kernel, self.results = values, zeros, kernel, results
        self.stride, self.dilation = stride, dilation
        self.use = theory.contributions(values.shape, kernel.shape, stride, 0, dilation)

    def reads(self, result):
        """(flat cells of the array, flat taps) of one result, in the order of the taps."""
        mine = self.use.output_cell == result
        order = np.argsort(self.use.tap[mine], kind="stable")
        return self.use.input_cell[mine][order], self.use.tap[mine][order]

    def grids(self, chosen, shown, roles, labels):
        """Grids of array, kernel and results with the `chosen` result's window marked."""
        source, result = roles
        cells, taps = self.reads(chosen)
        strong = np.zeros(self.values.shape, bool)
        strong.flat[cells] = True
        corner = np.full(self.values.shape, None, object)
        for cell, tap in zip(cells, taps, strict=True):
            corner.flat[cell] = f"{TIMES}{number(self.kernel.flat[tap])}"
        where = np.unravel_index(chosen, self.results.shape)
        low = tuple(int(o) * s for o, s in zip(where, self.stride, strict=True))
        reach = span(self.kernel.shape, self.dilation)
        high = tuple(a + b - 1 for a, b in zip(low, reach, strict=True))
        shades = tap_shades(self.kernel.size).reshape(self.kernel.shape)
        done = np.arange(self.results.size).reshape(self.results.shape) < shown
        marked = np.zeros(self.results.shape, bool)
        marked[where] = True
        return (
            Grid(
                self.values, np.where(self.zeros, "padding", source), labels[0], strong,
                corner=corner, boxes=[(low, high, "kernel")],
            ),
            Grid(self.kernel, "kernel", labels[1], shade=shades),
            Grid(
                np.where(done, self.results, None), np.where(done, result, "empty"), labels[2],
                marked, below=self.values.ndim == 1,
            ),
        )  # fmt: skip

    def equation(self, name, chosen):
        """The sum in numbers, without what is multiplied by the zeros of border and gaps."""
        cells, taps = self.reads(chosen)
        real = ~self.zeros.flat[cells]
        cells, taps = cells[real], taps[real]
        where = np.unravel_index(chosen, self.results.shape)
        return sum_of_products(
            name + at(where), self.values.flat[cells], self.kernel.flat[taps],
            self.results.flat[chosen],
        )  # fmt: skip

    def links(self, above, below, chosen, shown):
        """Lines from cells to results in one dimension, in the colours of the taps."""
        if self.values.ndim != 1 or len(self.use.tap) > MOST_LINKS:
            return []
        shades = tap_shades(self.kernel.size)
        found = []
        for result, cell, tap in zip(*self.use, strict=True):
            if result < shown:
                width = 2.4 if result == chosen else 0.9
                colour = fill("kernel", shade=0.25 + 0.75 * shades[tap])
                found.append(Link(above, (cell,), below, (result,), colour, width))
        return found


def _state(step, shape):
    """(the result to mark, how many are computed); a still marks the one in the middle."""
    if step is None:
        middle = tuple(size // 2 for size in shape)
        return int(np.ravel_multi_index(middle, shape)), int(np.prod(shape))
    return step, step + 1


def _frame(values, pad):
    return np.pad(values, pad), np.pad(np.zeros(values.shape, bool), pad, constant_values=True)


def draw_conv(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None, *,
    input=None, weight=None, step=None,
):  # fmt: skip
    """A convolution: the window on the padded input, the kernel, the output.

    Parameters
    ----------
    input_size, kernel_size : int or one for each of 1 to 3 axes (default: 5 x 5 and 3)
    stride, padding, dilation : as for `fastconv.conv2d`
    input, weight : arrays of one plane, instead of their sizes (default: small integers)
    step : None for the whole picture, k for the state when output cell k is computed, "all" for
        an Animation of one frame for each output cell

    Returns
    -------
    matplotlib.figure.Figure, or Animation for step="all"

    Raises
    ------
    ImportError : matplotlib is not installed (extra `plot`)
    ValueError, TypeError : an option breaks the rules of `conv2d`, or there is too much to draw

    Notes
    -----
    Dumoulin & Visin (2016), chapter 2; dilation: relationship 15.
    """
    default = {"input_size": (5, 5), "kernel_size": 3}
    p = Problem("draw_conv", default, input_size, kernel_size, stride, padding, dilation,
                input=input, weight=weight)  # fmt: skip
    y = p.conv(p.input)
    sweep = Sweep(*_frame(p.input, p.pad), p.weight, y, p.stride, p.dilation)
    padded = "" if not any(map(any, p.pad)) else ", padded"
    labels = (
        f"input\n{sizes_of(p.wide)}{padded}",
        f"kernel\n{sizes_of(p.kernel)}",
        f"output\n{sizes_of(p.narrow)}",
    )

    def sheet(step):
        chosen, shown = _state(step, y.shape)
        x, w, out = sweep.grids(chosen, shown, ("input", "output"), labels)
        rows = rows_for(p.ndim, x, Sign("\N{ASTERISK OPERATOR}"), w, Sign("="), out)
        if p.ndim == 1:
            rows = [[w], [x], [out]]
        return Sheet(
            f"Convolution: {sizes_of(p.wide)} to {sizes_of(p.narrow)} cells",
            "Each output cell is the sum of the products of the kernel and the window under it: "
            + ", ".join(p.words()) + ".",
            rows, sweep.equation("output", chosen), 1, sweep.links(x, out, chosen, shown),
            row_gap=0.5 if p.ndim == 1 else 0.16,
        )  # fmt: skip

    return picture(p.op, sheet, y.size, step)


def _stretched(values, p):
    """(array, mask of its zeros): a narrow array with zeros between and around its cells."""
    direct = theory.equivalent_transposed(p.wide, p.kernel, **p.options)
    spread = tuple((n - 1) * s + 1 for n, s in zip(values.shape, p.stride, strict=True))
    wide, zeros = np.zeros(spread), np.ones(spread, bool)
    cells = tuple(slice(None, None, s) for s in p.stride)
    wide[cells], zeros[cells] = values, False
    kept = tuple(
        slice(max(0, -low), size - max(0, -high))
        for size, (low, high) in zip(spread, direct.border, strict=True)
    )
    around = [[max(0, each) for each in border] for border in direct.border]
    return np.pad(wide[kept], around), np.pad(zeros[kept], around, constant_values=True)


def _direct(p, values, results, title, statement, source, result, names, step):
    """The transpose as a convolution of stride 1 with the inverted kernel."""
    flipped = theory.invert_filter(p.weight)
    sweep = Sweep(*_stretched(values, p), flipped, results, (1,) * p.ndim, p.dilation)
    shades = tap_shades(flipped.size).reshape(flipped.shape)
    turned = shades[(slice(None, None, -1),) * p.ndim]
    letters = _letters(p.kernel)
    zeros = "with zeros" if sweep.zeros.any() else "no zeros needed"
    labels = (
        f"{names[0]}, {zeros}\n{sizes_of(sweep.values.shape)}",
        "inverted kernel",
        f"{names[1]}\n{sizes_of(p.wide)}",
    )

    def sheet(step):
        chosen, shown = _state(step, results.shape)
        x, w, out = sweep.grids(chosen, shown, (source, result), labels)
        w = Grid(flipped, "kernel", labels[1], shade=turned,
                 corner=letters[(slice(None, None, -1),) * p.ndim])  # fmt: skip
        first = [
            Grid(values, source, f"{names[0]}\n{sizes_of(p.narrow)}"),
            Grid(p.weight, "kernel", "kernel", shade=shades, corner=letters),
        ]
        rows = rows_for(p.ndim, x, Sign("\N{ASTERISK OPERATOR}"), w, Sign("="), out)
        if p.ndim == 1:
            first, rows = [*first, Sign("\N{RIGHTWARDS ARROW}"), w], [[x], [out]]
        return Sheet(
            title, statement, [first, *rows], sweep.equation(names[2], chosen), 1,
            sweep.links(x, out, chosen, shown), row_gap=0.45 if p.ndim == 1 else 0.2,
        )  # fmt: skip

    return picture(p.op, sheet, results.size, step)


def _letters(kernel):
    """a, b, c, ... for as many taps as there are letters."""
    count = int(np.prod(kernel))
    names = [chr(ord("a") + each) if count <= 26 else None for each in range(count)]
    return np.array(names, object).reshape(kernel)


def _zeros_in_words(p):
    direct = theory.equivalent_transposed(p.wide, p.kernel, **p.options)
    between, border = direct.zeros_between, tuple(low for low, _ in direct.border)
    parts = []
    if any(between):
        zeros = "zero" if set(between) == {1} else "zeros"
        parts.append(f"{short(between)} {zeros} between its cells")
    if any(each > 0 for each in border):
        zeros = "zero" if set(border) == {1} else "zeros"
        parts.append(f"a border of {short(border)} {zeros}")
    if any(each < 0 for each in border):
        parts.append("its edge cut off by the padding")
    return " and ".join(parts) or "nothing added"


def draw_transposed(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None,
    output_padding=None, *, input=None, weight=None, step=None,
):  # fmt: skip
    """A transposed convolution as the convolution that it equals.

    The input gets stride - 1 zeros between its cells and a border of d(k - 1) - p zeros; a
    convolution of stride 1 with the inverted kernel follows.  fastconv computes no such zeros.

    Parameters, returns and errors are those of `draw_conv`; stride is 2 and padding 1 by default,
    and output_padding is as for `fastconv.conv_transpose2d`.

    Notes
    -----
    Dumoulin & Visin (2016), chapter 4, relationships 8 to 14.
    """
    default = {"input_size": (3, 3), "kernel_size": 3, "stride": 2, "padding": 1}
    p = Problem("draw_transposed", default, input_size, kernel_size, stride, padding, dilation,
                output_padding, transposed=True, input=input, weight=weight)  # fmt: skip
    more = "" if not any(p.output_padding) else f", output_padding {short(p.output_padding)}"
    return _direct(
        p, p.input, p.conv_transpose(p.input),
        f"Transposed convolution: {sizes_of(p.narrow)} to {sizes_of(p.wide)} cells",
        f"It equals a convolution of stride 1 with the inverted kernel over the input with "
        f"{_zeros_in_words(p)}: {', '.join(p.words())}{more}.",
        "input", "output", ("input", "output", "output"), step,
    )  # fmt: skip


def draw_inverted(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None, *,
    weight=None, step=None,
):  # fmt: skip
    """Backpropagation through a convolution: the output's gradient under the inverted filter.

    Parameters, returns and errors are those of `draw_conv`; each step is a cell of the input's
    gradient.  The letters a, b, c, ... are those of the lecture.

    Notes
    -----
    Dumoulin & Visin (2016), relationships 8 to 13.
    """
    default = {"input_size": (5, 5), "kernel_size": 3}
    p = Problem("draw_inverted", default, input_size, kernel_size, stride, padding, dilation,
                weight=weight)  # fmt: skip
    grad_output = integers(p.narrow, 3)
    return _direct(
        p, grad_output, p.conv_transpose(grad_output),
        "Backpropagation with an inverted filter",
        f"The gradient of the input is the gradient of the output, with {_zeros_in_words(p)}, "
        f"under the filter turned around: {', '.join(p.words())}.",
        "gradient", "gradient", ("output's gradient", "input's gradient", "grad_input"), step,
    )  # fmt: skip
