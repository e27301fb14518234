"""What is drawn: the checked options of a convolution and small integers to run it on."""

import math

import numpy as np

from fastconv import functional
from fastconv._shapes import conv_transpose_out_size, dilated, per_axis, shape
from fastconv.functional import _geometry
from fastconv.plot.sheet import MARGIN, WIDTH, number
from fastconv.plot.style import WORDS, text_width

TIMES, DOT, MINUS = "\N{MULTIPLICATION SIGN}", "\N{DOT OPERATOR}", "\N{MINUS SIGN}"


MOST_CELLS, MOST_PRODUCTS = 20_000, 300_000


def count_axes(op, default, options):
    """The number of axes: that of the longest option; a single number counts for every axis."""
    lengths = [len(each) for each in options if isinstance(each, (list, tuple))]
    input_size = options[0]
    if input_size is not None:
        lengths.append(len(shape(op, "input_size", input_size)))
    ndim = max(lengths, default=len(default))
    if not 1 <= ndim <= 3:
        raise ValueError(f"{op}: there must be 1 to 3 axes, got {ndim}")
    return ndim


def integers(shape, seed, low=-2, high=2):
    """Small whole numbers without zero, which is for padding; the same for the same shape."""
    values = [each for each in range(low, high + 1) if each]
    return np.random.default_rng(seed).choice(np.array(values, float), shape)


def check_cells(op, *shapes):
    """Refuses what no page holds before it is computed."""
    cells = sum(map(math.prod, shapes))
    if cells > MOST_CELLS:
        raise ValueError(f"{op}: a picture must have at most {MOST_CELLS} cells, got {cells}")


class Problem:
    """One input plane and one filter, with what connects them.

    `source` is what the operation is given: the wide side of a convolution, the narrow one of a
    transposed convolution (Geometry's words).
    """

    def __init__(
        self, op, default, input_size, kernel_size, stride, padding, dilation,
        output_padding=None, *, transposed=False, input=None, weight=None,
    ):  # fmt: skip
        if input is not None:
            input = np.asarray(input, np.float64)
            input_size = input.shape
        if weight is not None:
            weight = np.asarray(weight, np.float64)
            kernel_size = weight.shape
        given = (input_size, kernel_size, stride, padding, dilation, output_padding)
        ndim = count_axes(op, default["input_size"], given)
        if input_size is None:
            input_size = default["input_size"]
            input_size = input_size[:1] * ndim if len(input_size) != ndim else input_size
        kernel_size = default["kernel_size"] if kernel_size is None else kernel_size
        self.op, self.ndim = op, ndim
        size = per_axis(op, "input_size", input_size, ndim, 1)
        kernel = per_axis(op, "kernel_size", kernel_size, ndim, 1)
        filters = (1, 1, *kernel)
        # The example as a whole or nothing of it: whoever says something gets PyTorch's defaults.
        example = default if all(each is None for each in given) else {}
        stride = example.get("stride", 1) if stride is None else stride
        padding = example.get("padding", 0) if padding is None else padding
        dilation = 1 if dilation is None else dilation
        if transposed:
            output_padding = 0 if output_padding is None else output_padding
            geometry = _geometry.transpose_geometry(
                op, ndim, (1, 1, *size), filters, stride, padding, output_padding, 1, dilation
            )
        else:
            geometry = _geometry.conv_geometry(
                op, ndim, (1, 1, *size), filters, stride, padding, dilation, 1
            )
        self.geometry, self.size = geometry, size
        self.wide, self.narrow, self.kernel = geometry.wide, geometry.narrow, kernel
        self.stride, self.pad, self.dilation = geometry.stride, geometry.pad, geometry.dilation
        if (
            any(a >= s for a, s in zip(self.output_padding, self.stride, strict=True))
            and transposed
        ):
            raise ValueError(
                f"{op}: output_padding must be smaller than stride in a picture, got "
                f"{self.output_padding} with stride {self.stride}"
            )
        stretched = tuple((n - 1) * s + 1 for n, s in zip(self.narrow, self.stride, strict=True))
        padded = tuple(n + sum(pad) for n, pad in zip(self.wide, self.pad, strict=True))
        check_cells(op, padded, self.narrow, kernel, stretched)
        products = math.prod(self.narrow) * math.prod(kernel)
        if products > MOST_PRODUCTS:
            raise ValueError(
                f"{op}: a picture must have at most {MOST_PRODUCTS} products, got {products}"
            )
        self.input = integers(size, 1, 1, 4) if input is None else input
        self.weight = integers(kernel, 2) if weight is None else weight

    @property
    def options(self):
        return {"stride": self.stride, "padding": self.pad, "dilation": self.dilation}

    @property
    def output_padding(self):
        """Cells on the high side that no window of the convolution reaches."""
        nothing = (0,) * self.ndim
        least = map(conv_transpose_out_size, self.narrow, self.kernel, self.stride, self.pad,
                    nothing, self.dilation)  # fmt: skip
        return tuple(size - low for size, low in zip(self.wide, least, strict=True))

    def conv(self, x):
        """The convolution, by the kernels."""
        run = getattr(functional, f"conv{self.ndim}d")
        return run(x[None, None], self.weight[None, None], **self.options)[0, 0]

    def conv_transpose(self, x):
        """Its transpose, by the kernels: narrow to wide."""
        run = getattr(functional, f"conv_transpose{self.ndim}d")
        found = run(x[None, None], self.weight[None, None], output_size=self.wide, **self.options)
        return found[0, 0]

    def words(self):
        """The options, as far as they are not the simplest."""
        yield f"kernel {sizes_of(self.kernel)}"
        yield f"stride {short(self.stride)}"
        if any(map(any, self.pad)):
            yield f"padding {short(tuple(p if p[0] != p[1] else p[0] for p in self.pad))}"
        if set(self.dilation) != {1}:
            yield f"dilation {short(self.dilation)}"


def sizes_of(values):
    """Never broken between two lines."""
    return f"\N{NO-BREAK SPACE}{TIMES}\N{NO-BREAK SPACE}".join(map(str, values))


def short(values):
    """One number where all axes have the same."""
    return str(values[0]) if len(set(values)) == 1 else str(tuple(values)).replace("'", "")


def span(kernel, dilation):
    return tuple(map(dilated, kernel, dilation))


def at(index):
    return "[" + ", ".join(str(int(each)) for each in index) + "]"


def sum_of_products(name, firsts, seconds, total):
    """`name = 2.1 + 3.0 + ... = 5`, as many of the terms as fit a line."""
    terms = []
    for a, b in zip(firsts, seconds, strict=True):
        first = f"({number(a)})" if a < 0 and terms else number(a)
        terms.append(f"{first}{DOT}{f'({number(b)})' if b < 0 else number(b)}")
    if not terms:
        return f"{name} = {number(total)}, which nothing reaches"
    room = WIDTH - 2 * MARGIN
    for shown in range(len(terms), 0, -1):
        dots = [] if shown == len(terms) else [f"\N{HORIZONTAL ELLIPSIS} ({len(terms)} terms)"]
        text = f"{name} = {' + '.join(terms[:shown] + dots)} = {number(total)}"
        if text_width(text) * WORDS / 72 <= room:
            break
    return text


def tap_shades(count):
    """0 to 1 for the taps in order."""
    return np.linspace(0, 1, count) if count > 1 else np.full(count, 0.4)


def rows_for(ndim, *items):
    """Side by side for planes; below each other for volumes and for rows, without the signs."""
    return [list(items)] if ndim == 2 else [[each] for each in items if hasattr(each, "values")]
