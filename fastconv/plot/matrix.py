"""A convolution as a matrix, and the deconvolution layer, which is its transpose."""

import math

import numpy as np

from fastconv import theory
from fastconv.plot.animation import picture
from fastconv.plot.problem import (
    Problem,
    check_cells,
    integers,
    sizes_of,
    sum_of_products,
    tap_shades,
)  # fmt: skip
from fastconv.plot.sheet import Grid, Link, Sheet, Sign
from fastconv.plot.style import fill

NOTES = {"input_size": (12,), "kernel_size": 4, "stride": 2}  # the lecture's example
MOST_LINKS = 600


def _taps(p):
    """(outputs, inputs) array of which tap an entry of the matrix is, -1 for none."""
    use = theory.contributions(p.wide, p.kernel, p.stride, p.pad, p.dilation)
    taps = np.full((int(np.prod(p.narrow)), int(np.prod(p.wide))), -1)
    taps[use.output_cell, use.input_cell] = use.tap
    return taps


def _matrix_grid(p, matrix, taps, label, strong=False, heads=((), ()), **options):
    shades = np.append(tap_shades(p.weight.size), np.nan)[taps]
    return Grid(
        np.where(taps < 0, None, matrix), np.where(taps < 0, "empty", "kernel"), label, strong,
        shades, heads=heads, **options,
    )  # fmt: skip


def _names(letter, count):
    low = str.maketrans("0123456789", "\N{SUBSCRIPT ZERO}\N{SUBSCRIPT ONE}\N{SUBSCRIPT TWO}"
                        "\N{SUBSCRIPT THREE}\N{SUBSCRIPT FOUR}\N{SUBSCRIPT FIVE}\N{SUBSCRIPT SIX}"
                        "\N{SUBSCRIPT SEVEN}\N{SUBSCRIPT EIGHT}\N{SUBSCRIPT NINE}")  # fmt: skip
    return tuple(letter + str(each + 1).translate(low) for each in range(count))


def draw_matrix(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None, *,
    input=None, weight=None, step=None,
):  # fmt: skip
    """A convolution as a matrix: y = C x, with equal weights in equal colours.

    Parameters, returns and errors are those of `draw_conv`; by default the lecture's example of 12
    cells, 4 taps and stride 2.  Each step is a row of C.

    Notes
    -----
    Dumoulin & Visin (2016), section 4.1.
    """
    p = Problem("draw_matrix", NOTES, input_size, kernel_size, stride, padding, dilation,
                input=input, weight=weight)  # fmt: skip
    check_cells(p.op, (math.prod(p.narrow), math.prod(p.wide)))
    y = p.conv(p.input).reshape(-1, 1)
    x = p.input.reshape(-1, 1)
    matrix = theory.conv_matrix(p.weight[None, None], p.wide, **p.options)
    taps = _taps(p)

    def sheet(step):
        chosen, shown = (len(y) // 2, len(y)) if step is None else (step, step + 1)
        row = np.arange(len(y)) == chosen
        read = taps[chosen] >= 0
        done = np.arange(len(y))[:, None] < shown
        names = _names("y", len(y)), _names("x", len(x))
        grid = _matrix_grid(
            p, matrix, taps, f"C, made of the {p.weight.size} weights\n"
            f"{len(y)} \N{MULTIPLICATION SIGN} {len(x)}",
            heads=((), names[1]), boxes=[((chosen, 0), (chosen, len(x) - 1), "output")],
        )  # fmt: skip
        return Sheet(
            f"Convolution as a matrix: {sizes_of(p.wide)} to {sizes_of(p.narrow)} cells",
            "Each row of C holds the kernel where its window lies; entries of one colour are one "
            f"weight, shared: {', '.join(p.words())}. Backpropagation multiplies by the transpose.",
            [[
                Grid(np.where(done, y, None), np.where(done, "output", "empty"), "output\ny",
                     row[:, None], heads=(names[0], ())),
                Sign("="), grid, Sign("\N{MULTIPLICATION SIGN}"),
                Grid(x, "input", "input\nx", read[:, None], heads=(names[1], ())),
            ]],
            sum_of_products(names[0][chosen], matrix[chosen, read], x[read, 0], y[chosen, 0]), 1,
        )  # fmt: skip

    return picture(p.op, sheet, len(y), step)


def draw_deconvolution(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None, *,
    input=None, weight=None, step=None,
):  # fmt: skip
    """The deconvolution layer beside the convolution: the same lines backwards, C transposed.

    Parameters, returns and errors are those of `draw_matrix`.  Each step is a cell of the narrow
    side: the convolution gathers into it, the deconvolution layer scatters from it.

    Notes
    -----
    Shi et al. (2016), "Is the deconvolution layer the same as a convolutional layer?"
    """
    p = Problem("draw_deconvolution", NOTES, input_size, kernel_size, stride, padding, dilation,
                input=input, weight=weight)  # fmt: skip
    check_cells(p.op, (math.prod(p.narrow), math.prod(p.wide)))
    y = p.conv(p.input)
    small = integers(p.narrow, 4, 1, 3)
    large = p.conv_transpose(small)
    matrix = theory.conv_matrix(p.weight[None, None], p.wide, **p.options)
    taps = _taps(p)
    transpose = "C\N{MODIFIER LETTER CAPITAL T}"

    def sheet(step):
        rows, columns = taps.shape
        chosen = None if step is None else step
        thick = np.zeros(rows, bool)
        touched = np.zeros(columns, bool)
        boxes = [[], []]
        if chosen is not None:
            thick[chosen] = True
            touched = taps[chosen] >= 0
            boxes = [
                [((chosen, 0), (chosen, columns - 1), "output")],
                [((0, chosen), (columns - 1, chosen), "input")],
            ]
        wide, narrow = sizes_of(p.wide), sizes_of(p.narrow)
        names = _names("x", columns), _names("y", rows)
        upper = [
            Grid(p.input, "input", f"convolution: input x\n{wide}",
                 touched.reshape(p.wide)),
            Grid(small, "input", f"deconvolution layer: input y\n{narrow}",
                 thick.reshape(p.narrow)),
        ]  # fmt: skip
        lower = [
            Grid(y, "output", f"output C x\n{narrow}", thick.reshape(p.narrow), below=True),
            Grid(large, "output", f"output {transpose} y\n{wide}", touched.reshape(p.wide),
                 below=True),
        ]  # fmt: skip
        last = [
            _matrix_grid(p, matrix, taps, f"C\n{rows} \N{MULTIPLICATION SIGN} {columns}",
                         heads=names[::-1], boxes=boxes[0]),
            _matrix_grid(p, matrix.T, taps.T, f"{transpose}, the transpose\n"
                         f"{columns} \N{MULTIPLICATION SIGN} {rows}", heads=names, boxes=boxes[1]),
        ]  # fmt: skip
        links = []
        if p.ndim == 1 and np.count_nonzero(taps >= 0) <= MOST_LINKS:
            shades = tap_shades(p.weight.size)
            for row, column in np.argwhere(taps >= 0):
                colour = fill("kernel", shade=0.25 + 0.75 * shades[taps[row, column]])
                width = 2.4 if row == chosen else 0.9
                links.append(Link(upper[0], (column,), lower[0], (row,), colour, width))
                links.append(Link(upper[1], (row,), lower[1], (column,), colour, width))
        return Sheet(
            "Convolution, and the deconvolution layer, its transpose",
            "The same weights join the same cells; the deconvolution layer goes the other way and "
            f"multiplies by C transposed, which is no inverse: {', '.join(p.words())}.",
            [upper, lower, last], links=links, row_gap=(0.42, 0.12), columns=True,
            top=True,
        )  # fmt: skip

    return picture(p.op, sheet, len(taps), step)
