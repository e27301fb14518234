"""A page of grids: layout in inches, cells of one size, and the matplotlib Figure of it.

A Sheet is a title, a statement, rows of Grids and Signs, and lines below.  Each page is as wide as
a README shows a picture, so that text has the same size in all; cells are as large as fit.
"""

from dataclasses import dataclass, field

import numpy as np

from fastconv.plot.style import (
    INK,
    LABEL,
    LEAST,
    LINE,
    QUIET,
    RC,
    ROLES,
    TITLE,
    WORDS,
    fill,
    ink,
    text_width,
    wrapped,
)  # fmt: skip

WIDTH, TALLEST, MARGIN = 6.25, 9.0, 0.12  # inches; 600 pixels of 96 per inch
DPI = 192
LARGEST_CELL, SMALLEST_CELL = 0.40, 0.02
SLICE_GAP = 0.7  # cells between the slices of a volume
GAP, ROW_GAP = 0.22, 0.16  # inches between what stands in a row, and between rows
LINE_HEIGHT = 1.32  # of the font size
COMFORTABLE = 0.62  # of a cell's height: its number


def number(value):
    """A number as a cell shows it."""
    value = float(value)
    text = f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"
    return ("0" if text == "-0" else text).replace("-", "\N{MINUS SIGN}")


def height(lines, size):
    return lines * LINE_HEIGHT * size / 72


@dataclass(eq=False)
class Grid:
    """The cells of an array: a row, a plane, slices side by side, or rows and columns of slices.

    values: numbers or texts, of the shape that is drawn; None is a cell without text
    role: what the cells are, or an array of roles, one a cell
    label: lines above it, the first in the role's colour
    strong: mask of the cells that the present step touches
    shade: array from 0 to 1, the place among taps or phases; NaN for none
    corner: array of small texts for the lower right corner of a cell, or None
    boxes: (low, high, role): outlines around the cells low <= index <= high
    """

    values: object
    role: object
    label: str = ""
    strong: object = False
    shade: object = np.nan
    corner: object = None
    boxes: list = field(default_factory=list)
    heads: tuple = ((), ())  # texts left of the rows and above the columns
    sunk: int = 0  # rows of cells left free above it
    below: bool = False  # the label lies under the cells, where Links end above them

    def __post_init__(self):
        values = np.asarray(self.values, object)
        self.shape = values.shape
        spread = (1,) * (4 - values.ndim) + values.shape
        self.volume = spread
        if values.ndim == 3 and self.label:
            self.label += ", as slices"
        self.texts = [v if v is None or isinstance(v, str) else number(v) for v in values.ravel()]
        self.roles = np.broadcast_to(np.asarray(self.role, object), self.shape).ravel()
        self.strong = np.broadcast_to(self.strong, self.shape).ravel()
        self.shade = np.broadcast_to(np.asarray(self.shade, float), self.shape).ravel()
        if self.corner is not None:
            self.corner = np.broadcast_to(np.asarray(self.corner, object), self.shape).ravel()

    @property
    def across(self):
        _, depth, _, columns = self.volume
        return depth * columns + (depth - 1) * SLICE_GAP + self._aside[0] + self._frame

    @property
    def down(self):
        many, _, rows, _ = self.volume
        return many * rows + (many - 1) * SLICE_GAP + self._aside[1] + self._frame + self.sunk

    @property
    def _aside(self):
        """Cells across and down for the heads."""
        return 0.95 * bool(self.heads[0]), 0.8 * bool(self.heads[1])

    @property
    def _frame(self):
        """Cells across and down for the boxes around slices."""
        return 0.6 if len(self.shape) == 4 else 0

    @property
    def label_lines(self):
        return self.label.splitlines()

    def width(self, cell):
        words = [text_width(line, bold=not at) for at, line in enumerate(self.label_lines)]
        return max(self.across * cell, max(words, default=0) * LABEL / 72)

    def height(self, cell):
        return height(len(self.label_lines), LABEL) + self.down * cell

    def place(self, left, top, cell):
        """Centres the cells in their box, under the label."""
        self.cell = cell
        self.left, self.top = left, top
        self.x = left + (self.width(cell) - self.across * cell) / 2
        self.x += (self._aside[0] + self._frame / 2) * cell
        self.y = top + (self._aside[1] + self._frame / 2 + self.sunk) * cell
        if not self.below:
            self.y += height(len(self.label_lines), LABEL)

    def corner_of(self, index):
        """Upper left corner of a cell, in inches."""
        down, along, row, column = (0,) * (4 - len(index)) + tuple(int(each) for each in index)
        x = along * (self.volume[3] + SLICE_GAP) + column
        y = down * (self.volume[2] + SLICE_GAP) + row
        return self.x + x * self.cell, self.y + y * self.cell

    def middle(self, index, edge):
        """The middle of a cell's upper (edge 0) or lower edge (edge 1)."""
        x, y = self.corner_of(index)
        return x + self.cell / 2, y + edge * self.cell


@dataclass(eq=False)
class Sign:
    """A mark between grids: an operator, an arrow."""

    text: str
    size: float = 15.0
    label: str = ""
    label_lines = ()
    down = across = 0

    def width(self, cell):
        return text_width(self.text) * self.size / 72

    def height(self, cell):
        return height(1, self.size)

    def place(self, left, top, cell):
        self.left, self.top = left, top


@dataclass(eq=False)
class Link:
    """A line from the lower edge of one grid's cell to the upper edge of another's."""

    above: Grid
    start: tuple
    below: Grid
    end: tuple
    colour: str
    width: float = 0.8


@dataclass
class Sheet:
    """Rows of Grids and Signs, and a text below, which has room for `lines` even when empty."""

    title: str
    statement: str
    rows: list
    below: str = ""
    lines: int = 0
    links: list = field(default_factory=list)
    row_gap: object = ROW_GAP  # one for all rows, or one between each two
    columns: bool = False  # what stands below each other is as wide
    top: bool = False  # what stands in a row hangs from one line, and is not centred on one

    def __post_init__(self):
        between = len(self.rows) - 1
        gaps = self.row_gap
        self.gaps = [*gaps] if isinstance(gaps, (list, tuple)) else [gaps] * between
        self.below = wrapped(self.below, WORDS, WIDTH - 2 * MARGIN)
        self.lines = max(self.lines, len(self.below))

    def figure(self):
        """The matplotlib Figure; ImportError without matplotlib, ValueError for too many cells."""
        try:
            from matplotlib import rc_context
        except ImportError as error:
            raise ImportError(
                "fastconv.plot needs matplotlib: pip install 'fastconv[plot]'"
            ) from error
        with rc_context(RC):
            return self._draw()

    # ---- layout

    def _cell_size(self, words):
        """The largest cell with which everything fits."""

        def fits(cell):
            wide = max(self._row_width(row, cell) for row in self.rows)
            return wide <= WIDTH - 2 * MARGIN and words + self._body(cell) <= TALLEST

        if fits(LARGEST_CELL):
            return LARGEST_CELL
        low, high = 0.0, LARGEST_CELL
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        if low < SMALLEST_CELL:
            across = max(sum(item.across for item in row) for row in self.rows)
            down = sum(max(item.down for item in row) for row in self.rows)
            raise ValueError(
                "a picture must have sizes that fit a page, got one of "
                f"{across:.0f} x {down:.0f} cells in {len(self.rows)} rows"
            )
        return low

    def _widths(self, row, cell):
        if not self.columns:
            return [item.width(cell) for item in row]
        return [
            max(other[at].width(cell) for other in self.rows if at < len(other))
            for at in range(len(row))
        ]

    def _row_width(self, row, cell):
        return sum(self._widths(row, cell)) + GAP * (len(row) - 1)

    def _body(self, cell):
        heights = [
            max(map(self._label, row)) + max(item.height(cell) - self._label(item) for item in row)
            for row in self.rows
        ]
        return sum(heights) + sum(self.gaps)

    def _place(self, top, cell):
        for row, gap in zip(self.rows, [*self.gaps, 0], strict=True):
            left = (WIDTH - self._row_width(row, cell)) / 2
            label = max(self._label(item) for item in row)
            body = max(item.height(cell) - self._label(item) for item in row)
            for item, width in zip(row, self._widths(row, cell), strict=True):
                own = self._label(item)
                drop = 0 if self.top else (body - item.height(cell) + own) / 2
                side = (width - item.width(cell)) / 2
                item.place(left + side, top + label - own + drop, cell)
                left += width + GAP
            top += label + body + gap

    @staticmethod
    def _label(item):
        """Height of what stands above the cells and not with them."""
        return 0 if getattr(item, "below", False) else height(len(item.label_lines), LABEL)

    # ---- drawing

    def _draw(self):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        inner = WIDTH - 2 * MARGIN
        statement = wrapped(self.statement, WORDS, inner)
        head = MARGIN + height(1, TITLE) + height(len(statement), WORDS) + 0.12
        foot = MARGIN + (0.12 + height(self.lines, WORDS) if self.lines else 0)
        cell = self._cell_size(head + foot)
        tall = head + self._body(cell) + foot
        self._place(head, cell)

        figure = Figure(figsize=(WIDTH, tall), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(tall, 0))
        axes.set_axis_off()

        write(axes, MARGIN, MARGIN, self.title, TITLE, INK, weight="bold")
        for at, line in enumerate(statement):
            y = MARGIN + height(1, TITLE) + height(at, WORDS)
            write(axes, MARGIN, y, line, WORDS, QUIET)
        for at, line in enumerate(self.below):
            y = tall - foot + 0.12 + height(at, WORDS)
            write(axes, MARGIN, y, line, WORDS, INK)
        grids = [item for row in self.rows for item in row if isinstance(item, Grid)]
        self._draw_links(axes)
        font = font_size(grids, cell)
        for row in self.rows:
            for item in row:
                if isinstance(item, Grid):
                    draw_grid(axes, item, font)
                else:
                    y = item.top + item.height(cell) / 2
                    x = item.left + item.width(cell) / 2
                    axes.text(x, y, item.text, size=item.size, color=QUIET, ha="center",
                              va="center", parse_math=False)  # fmt: skip
        return figure

    def _draw_links(self, axes):
        from matplotlib.collections import LineCollection

        lines = [
            (link.above.middle(link.start, 1), link.below.middle(link.end, 0))
            for link in self.links
        ]
        axes.add_collection(
            LineCollection(
                lines, colors=[link.colour for link in self.links],
                linewidths=[link.width for link in self.links], zorder=1,
            )
        )  # fmt: skip


def write(axes, x, y, text, size, colour, **options):
    """A line of text whose box begins at y; its height is that of `height`."""
    y += 0.5 * height(1, size)
    axes.text(x, y, text, size=size, color=colour, va="center_baseline", parse_math=False,
              **options)  # fmt: skip


def font_size(grids, cell):
    """Points of the numbers in all cells: the same everywhere, fit to the widest."""
    widest = max((text_width(t) for grid in grids for t in grid.texts if t), default=1)
    corners = any(grid.corner is not None for grid in grids)
    room = 0.72 if corners else 0.84
    return min(COMFORTABLE * cell * 72 * (0.8 if corners else 1), room * cell * 72 / widest, 11)


def draw_grid(axes, grid, font):
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    cell = grid.cell
    first = next((role for role in grid.roles if role not in ("padding", "empty")), "padding")
    for at, line in enumerate(grid.label_lines):
        colour = ROLES[first].label if at == 0 else QUIET
        # Over the middle of the cells, but within the grid's own room.
        half = text_width(line, bold=not at) * LABEL / 144
        x = grid.x + (grid.across - grid._aside[0] - grid._frame) * cell / 2
        x = min(max(x, grid.left + half), grid.left + grid.width(cell) - half)
        y = grid.top + height(at, LABEL) + (grid.down * cell + 0.03 if grid.below else 0)
        write(axes, x, y, line, LABEL, colour, ha="center",
              weight="bold" if at == 0 else "normal")  # fmt: skip
    fills, patches = [], []
    small = 0.52 * font
    for at, index in enumerate(np.ndindex(*grid.shape)):
        x, y = grid.corner_of(index)
        shade = None if np.isnan(grid.shade[at]) else grid.shade[at]
        colour = fill(grid.roles[at], grid.strong[at], shade)
        fills.append(colour)
        patches.append(Rectangle((x, y), cell, cell))
        corner = grid.corner[at] if grid.corner is not None else None
        cornered = corner is not None and small >= LEAST - 0.6
        text = grid.texts[at]
        if text and font >= LEAST:
            quiet = grid.roles[at] == "padding" and not grid.strong[at]
            dx, dy = (-0.09, -0.10) if cornered else (0, 0)
            axes.text(x + (0.5 + dx) * cell, y + (0.5 + dy) * cell, text, size=font,
                      color="#8c8c8c" if quiet else ink(colour), ha="center",
                      va="center_baseline", parse_math=False, zorder=4)  # fmt: skip
        if cornered:
            axes.text(x + 0.94 * cell, y + 0.92 * cell, corner, size=small, ha="right",
                      va="baseline", color=ink(colour), parse_math=False, zorder=4)  # fmt: skip
    line = min(0.8, 4 * cell)
    axes.add_collection(
        PatchCollection(patches, facecolor=fills, edgecolor=LINE, linewidth=line, zorder=2)
    )
    for low, high, role in grid.boxes:
        draw_box(axes, grid, low, high, ROLES[role].label)
    draw_heads(axes, grid, font)


def draw_box(axes, grid, low, high, colour):
    """An outline around the cells from low to high: in each slice of a volume, or of slices."""
    from matplotlib.patches import Rectangle

    margin = 0.0
    parts = [((0,) * (3 - len(low)) + tuple(low), (0,) * (3 - len(high)) + tuple(high))]
    if len(low) == 4:
        margin = 0.17 * grid.cell
    else:
        ((low, high),) = parts
        parts = [((at, *low[1:]), (at, *high[1:])) for at in range(low[0], high[0] + 1)]
    for low, high in parts:
        x0, y0 = grid.corner_of(low)
        x1, y1 = (end + grid.cell for end in grid.corner_of(high))
        axes.add_patch(
            Rectangle((x0 - margin, y0 - margin), x1 - x0 + 2 * margin, y1 - y0 + 2 * margin,
                      fill=False, edgecolor=colour, linewidth=min(1.8, 7 * grid.cell), zorder=5,
                      joinstyle="miter")
        )  # fmt: skip


def draw_heads(axes, grid, font):
    rows, columns = grid.heads
    size = min(font, LABEL)
    if size < LEAST:
        return
    for at, text in enumerate(rows):
        x, y = grid.corner_of((at, 0))
        axes.text(x - 0.12 * grid.cell, y + grid.cell / 2, text, size=size, color=QUIET, ha="right",
                  va="center_baseline", parse_math=False)  # fmt: skip
    for at, text in enumerate(columns):
        x, y = grid.corner_of((0, at))
        axes.text(x + grid.cell / 2, y - 0.12 * grid.cell, text, size=size, color=QUIET,
                  ha="center", va="baseline", parse_math=False)  # fmt: skip
