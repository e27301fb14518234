"""Max-pooling: which cell of each window goes on, and where its gradient returns."""

import numpy as np

from fastconv import functional, theory
from fastconv._shapes import padding_pairs, per_axis
from fastconv.plot.animation import picture
from fastconv.plot.problem import check_cells, count_axes, integers, short, sizes_of, span
from fastconv.plot.sheet import Grid, Sheet, Sign, number


def draw_pool(
    input_size=None, kernel_size=None, stride=None, padding=None, dilation=None, *, input=None,
    step=None,
):  # fmt: skip
    """Max-pooling and its gradient: each window passes its largest cell, and back to that cell.

    Parameters
    ----------
    input_size, kernel_size : int or one for each of 1 to 3 axes (default: 4 x 4 and 2)
    stride, padding, dilation : as for `fastconv.max_pool2d`; stride is kernel_size by default
    input : an array, instead of its size (default: small integers)
    step : None for the whole picture, k for the state at window k, "all" for an Animation

    Returns
    -------
    matplotlib.figure.Figure, or Animation for step="all"

    Raises
    ------
    ImportError : matplotlib is not installed (extra `plot`)
    ValueError, TypeError : an option breaks the rules of `max_pool2d`, or too much to draw
    """
    op = "draw_pool"
    if input is not None:
        input = np.asarray(input, np.float64)
        input_size = input.shape
    ndim = count_axes(op, (4, 4), (input_size, kernel_size, stride, padding, dilation))
    size = per_axis(op, "input_size", 4 if input_size is None else input_size, ndim, 1)
    kernel = per_axis(op, "kernel_size", 2 if kernel_size is None else kernel_size, ndim, 1)
    stride = per_axis(op, "stride", kernel if stride is None else stride, ndim, 1)
    padding = per_axis(op, "padding", 0 if padding is None else padding, ndim, 0)
    dilation = per_axis(op, "dilation", 1 if dilation is None else dilation, ndim, 1)
    check_cells(op, size, kernel)
    x = _ranks(size) if input is None else input
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    y = getattr(functional, f"max_pool{ndim}d")(x[None, None], kernel, **options)[0, 0]
    grad_output = integers(y.shape, 8, 1, 4)
    routes = np.asarray(theory.max_pool_routes(x[None, None], kernel, **options)).reshape(y.shape)
    pads = padding_pairs(op, padding, ndim)
    reach = span(kernel, dilation)

    def sheet(step):
        made = y.size if step is None else step + 1
        done = np.arange(y.size).reshape(y.shape) < made
        chosen = np.zeros(size, bool)
        chosen.flat[routes[done]] = True
        grad_input = np.zeros(size)
        np.add.at(grad_input.reshape(-1), routes[done], grad_output[done])
        now = np.zeros(y.shape, bool)
        boxes = []
        if step is not None:
            where = np.unravel_index(step, y.shape)
            now[where] = True
            low = [int(o) * s - p for o, s, (p, _) in zip(where, stride, pads, strict=True)]
            high = [a + r - 1 for a, r in zip(low, reach, strict=True)]
            low = tuple(max(a, 0) for a in low)
            high = tuple(min(a, n - 1) for a, n in zip(high, size, strict=True))
            boxes = [(low, high, "kernel")]
        else:
            now[...] = True
        first = [
            Grid(x, "input", f"input\n{sizes_of(size)}", chosen, boxes=boxes),
            Sign("\N{RIGHTWARDS ARROW}"),
            Grid(np.where(done, y, None), np.where(done, "output", "empty"),
                 f"output\n{sizes_of(y.shape)}", now),
        ]  # fmt: skip
        second = [
            Grid(np.where(chosen, grad_input, None), np.where(chosen, "gradient", "empty"),
                 f"input's gradient\n{sizes_of(size)}", chosen),
            Sign("\N{LEFTWARDS ARROW}"),
            Grid(grad_output, "gradient", f"output's gradient\n{sizes_of(y.shape)}", now),
        ]  # fmt: skip
        rows = [first, second]
        if ndim == 3:
            rows = [[item] for row in rows for item in row if isinstance(item, Grid)]
        below = ""
        if step is not None:
            goes = tuple(int(each) for each in np.unravel_index(routes.flat[step], size))
            below = (
                f"window {step + 1} of {y.size}: its largest cell, input{list(goes)} = "
                f"{number(y.flat[step])}, goes on and gets the gradient "
                f"{number(grad_output.flat[step])}"
            )
        return Sheet(
            f"Max-pooling: {sizes_of(size)} to {sizes_of(y.shape)} cells",
            "Each window passes on its largest cell, and its gradient goes back to that cell alone"
            f": kernel {sizes_of(kernel)}, stride {short(stride)}"
            + (f", padding {short(padding)}" if any(padding) else "")
            + (f", dilation {short(dilation)}" if set(dilation) != {1} else "")
            + (". What several windows send to a cell adds up." if _overlap(routes) else "."),
            rows, below, 0 if step is None else 1, columns=True,
        )  # fmt: skip

    return picture(op, sheet, y.size, step)


def _ranks(size):
    """1, 2, 3, ... in some order: no two cells are equally large."""
    count = int(np.prod(size))
    return np.random.default_rng(6).permutation(count).reshape(size) + 1.0


def _overlap(routes):
    return len(np.unique(routes)) < routes.size
