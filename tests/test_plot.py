"""fastconv.plot: what is drawn is what the mathematics says, cell by cell, and can be read."""

import functools
import itertools
import math
import sys

import numpy as np
import pytest
import reference

pytest.importorskip("matplotlib")

from matplotlib.collections import PatchCollection
from matplotlib.colors import to_hex

from fastconv import plot
from fastconv.plot.style import ROLES

# input size, kernel size, stride, padding, dilation
CONVOLUTIONS = (
    (12, 4, 2, 0, 1),
    (9, 3, 1, 2, 2),
    ((5, 5), 3, 1, 0, 1),
    ((6, 5), (3, 2), (2, 1), (1, 0), 1),
    ((7, 7), 3, 2, 1, 2),
    ((3, 4, 4), 2, (1, 2, 1), (0, 1, 0), 1),
)
TRANSPOSED = (
    (4, 4, 2, 0, 1, 0),
    (4, 3, 2, 1, 1, 1),
    (3, 2, 3, 0, 1, 0),
    ((3, 3), 3, 2, 1, 1, 0),
    ((2, 3), (3, 2), (2, 1), (0, 1), 1, (1, 0)),
    ((3, 3), 2, 1, 2, 3, 0),
    ((2, 2, 2), 2, 2, 0, 1, 0),
)
KINDS = {name: getattr(plot, name) for name in plot.__all__ if name.startswith("draw_")}


def grids(figure):
    """Each grid as arrays of numbers (NaN where none is) and of colours, in the drawn places."""
    axes = figure.axes[0]
    found = []
    for collection in axes.collections:
        if not isinstance(collection, PatchCollection):
            continue
        boxes = [path.get_extents() for path in collection.get_paths()]
        xs = sorted({round(box.x0, 4) for box in boxes})
        ys = sorted({round(box.y0, 4) for box in boxes})
        values, colours = np.full((len(ys), len(xs)), np.nan), np.full((len(ys), len(xs)), "", "U7")
        for box, colour in zip(boxes, collection.get_facecolors(), strict=True):
            here = ys.index(round(box.y0, 4)), xs.index(round(box.x0, 4))
            inside = [text for text in axes.texts if box.contains(*text.get_position())]
            if inside:
                largest = max(inside, key=lambda text: text.get_fontsize())
                values[here] = float(largest.get_text().replace("\N{MINUS SIGN}", "-"))
            colours[here] = to_hex(colour)
        found.append((values, colours))
    return found


def numbers(figure):
    return [values for values, _ in grids(figure)]


def volume(values, depth):
    """Slices that lie side by side, as an array."""
    return np.stack(np.split(values, depth, axis=1))


def plane(values, size):
    """A grid's numbers in the shape of what it shows."""
    if isinstance(size, int):
        return values[0]
    return volume(values, size[0]) if len(size) == 3 else values


def tuples(size, *options):
    ndim = 1 if isinstance(size, int) else len(size)
    return [(each,) * ndim if isinstance(each, int) else each for each in (size, *options)]


def conv(x, w, stride, pads, dilation):
    return reference.conv(x[None, None], w[None, None], None, stride, pads, dilation, 1)[0, 0]


def conv_transpose(x, w, stride, pads, output_padding, dilation):
    return reference.conv_transpose(
        x[None, None], w[None, None], None, stride, pads, output_padding, dilation, 1
    )[0, 0]


def texts(figure):
    return " ".join(text.get_text() for text in figure.axes[0].texts)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution_shows_its_numbers(case):
    size, kernel, stride, padding, dilation = tuples(*case)
    drawn = numbers(plot.draw_conv(*case))
    if len(size) == 1:
        w, x, y = (each[0] for each in drawn)
    else:
        x, w, y = drawn
        if len(size) == 3:
            x, w = volume(x, size[0] + 2 * padding[0]), volume(w, kernel[0])
    pads = tuple((p, p) for p in padding)
    inner = tuple(slice(p, p + n) for p, n in zip(padding, size, strict=True))
    outside = x.copy()
    outside[inner] = 0
    assert not outside.any()  # the padding is zeros
    assert x[inner].shape == size
    assert x[inner].all()
    expected = conv(x[inner], w, stride, pads, dilation)
    y = y if len(size) < 3 else volume(y, len(expected))
    np.testing.assert_array_equal(y, expected)


def test_each_step_computes_one_cell_more_under_the_window():
    frames = plot.draw_conv((6, 6), 3, stride=2, padding=1, step="all")
    assert len(frames) == 9
    whole = numbers(plot.draw_conv((6, 6), 3, stride=2, padding=1))[2]
    for step, figure in enumerate(frames):
        (x, inputs), _, (y, outputs) = grids(figure)
        done = np.arange(9).reshape(3, 3) <= step
        np.testing.assert_array_equal(np.isnan(y), ~done)
        np.testing.assert_array_equal(y[done], whole[done])
        row, column = divmod(step, 3)
        assert np.argwhere(outputs == ROLES["output"].strong.lower()).tolist() == [[row, column]]
        strong = [ROLES[role].strong.lower() for role in ("input", "padding")]
        window = np.zeros((8, 8), bool)
        window[2 * row : 2 * row + 3, 2 * column : 2 * column + 3] = True
        np.testing.assert_array_equal(np.isin(inputs, strong), window)
        # The sum is written out and comes to what the cell shows.
        line = next(t.get_text() for t in figure.axes[0].texts if t.get_text()[:7] == "output[")
        line = line.partition("= ")[2]
        line = line.replace("\N{MINUS SIGN}", "-").replace("\N{DOT OPERATOR}", "*")
        left, _, right = line.rpartition(" = ")
        assert eval(left) == float(right) == y[row, column]
        assert x.shape == (8, 8)


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_transposed_convolution_shows_its_numbers(case):
    size, kernel, stride, padding, dilation, output_padding = tuples(*case)
    figure = plot.draw_transposed(*case)
    drawn = numbers(figure)
    x, w = plane(drawn[0], case[0]), plane(drawn[1], case[0])
    if len(size) == 3:
        w = volume(drawn[1], kernel[0])
    pads = tuple((p, p) for p in padding)
    expected = conv_transpose(x, w, stride, pads, output_padding, dilation)
    y = drawn[-1][0] if len(size) == 1 else drawn[-1]
    y = volume(y, len(expected)) if len(size) == 3 else y
    np.testing.assert_array_equal(y, expected)
    if len(size) < 3:
        # And the convolution of stride 1 that is drawn beside it gives the same.
        stretched, flipped = drawn[2:4] if len(size) == 2 else (drawn[3], drawn[2])
        stretched, flipped = plane(stretched, case[0]), plane(flipped, case[0])
        none = ((0, 0),) * len(size)
        again = conv(stretched, flipped, (1,) * len(size), none, dilation)
        np.testing.assert_array_equal(again, expected)
        np.testing.assert_array_equal(flipped, w[(slice(None, None, -1),) * len(size)])


@pytest.mark.parametrize("case", CONVOLUTIONS[:-1], ids=str)
def test_inverted_filter_gives_the_gradient_of_the_input(case):
    size, _, stride, padding, dilation = tuples(*case)
    drawn = numbers(plot.draw_inverted(*case))
    grad, w, grad_input = (plane(each, case[0]) for each in (drawn[0], drawn[1], drawn[-1]))
    pads = tuple((p, p) for p in padding)
    x = np.zeros(size)
    expected = reference.conv_backward(
        grad[None, None], x[None, None], w[None, None], stride, pads, dilation, 1
    )[0][0, 0]
    np.testing.assert_array_equal(grad_input, expected)


def test_inverted_filter_names_the_letters_of_the_lecture():
    axes = plot.draw_inverted((5, 5), 3).axes[0]
    letters = [text.get_text() for text in axes.texts if text.get_text() in "abcdefghi"]
    assert "".join(letters) == "abcdefghi" + "ihgfedcba"


def test_matrix_is_the_one_of_the_lecture():
    y, c, x = numbers(plot.draw_matrix())
    assert c.shape == (5, 12)
    np.testing.assert_array_equal(np.nan_to_num(c) @ x, y)
    # The notes print it transposed: w1 to w4 begin two cells lower in each column.
    for column, entries in enumerate(c):
        assert np.flatnonzero(~np.isnan(entries)).tolist() == [
            2 * column + each for each in range(4)
        ]
        np.testing.assert_array_equal(entries[2 * column : 2 * column + 4], c[0, :4])


def test_equal_weights_of_the_matrix_have_equal_colours():
    _, (c, colours), _ = grids(plot.draw_matrix((4, 4), 3))
    rows = [colours[row][~np.isnan(c[row])] for row in range(4)]
    assert len(set(rows[0])) == 9
    assert all((row == rows[0]).all() for row in rows)


@pytest.mark.parametrize("case", [(), (8, 3, 1, 1, 2), ((4, 3), 2, 1, 0, 1)], ids=str)
def test_deconvolution_layer_is_drawn_as_the_transpose(case):
    x, small, y, large, c, transpose = numbers(plot.draw_deconvolution(*case))
    c = np.nan_to_num(c)
    np.testing.assert_array_equal(np.nan_to_num(transpose), c.T)
    np.testing.assert_array_equal(c @ x.ravel(), y.ravel())
    np.testing.assert_array_equal(c.T @ small.ravel(), large.ravel())


def test_lines_join_the_cells_that_the_matrix_joins():
    figure = plot.draw_deconvolution()
    lines = figure.axes[0].collections[0].get_segments()
    assert len(lines) == 2 * 5 * 4  # both sides, 5 windows of 4 taps
    assert len(plot.draw_conv(12, 4, 2).axes[0].collections[0].get_segments()) == 20


def test_slices_are_inverted_and_regrouped():
    before, after = numbers(plot.draw_regroup(3, in_channels=2, out_channels=4))
    weight = before.reshape(2, 3, 4, 3).transpose(2, 0, 1, 3)  # filter, channel, row, column
    sets = after.reshape(2, 3, 4, 3).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(sets, weight[:, :, ::-1, ::-1].swapaxes(0, 1))


def test_the_sixty_slices_of_the_lecture():
    figure = plot.draw_regroup()
    for values, _ in grids(figure):
        assert values.shape == (3 * 3, 20 * 3)
    assert "60 slices" in texts(figure)
    assert "3 sets of depth 20" in texts(figure)


def test_groups_keep_to_themselves():
    before, after = numbers(plot.draw_regroup((1, 2), in_channels=4, out_channels=2, groups=2))
    weight = before.reshape(2, 1, 2, 2).transpose(2, 0, 1, 3)
    sets = after.reshape(4, 1, 1, 2).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(sets[:2, 0], weight[0][:, :, ::-1])
    np.testing.assert_array_equal(sets[2:, 0], weight[1][:, :, ::-1])


@pytest.mark.parametrize("case", TRANSPOSED[:-1], ids=str)
def test_phases_interleave_to_the_transposed_convolution(case):
    _, _, stride, padding, dilation, output_padding = tuples(*case)
    drawn = numbers(plot.draw_phases(*case))
    x, w, y = (plane(each, case[0]) for each in (drawn[0], drawn[1], drawn[-1]))
    pads = tuple((p, p) for p in padding)
    expected = conv_transpose(x, w, stride, pads, output_padding, dilation)
    np.testing.assert_array_equal(y, expected)
    parts = [each if y.ndim == 2 else each[0] for each in drawn[2:-1]]
    for phase in itertools.product(*map(range, stride)):
        part = expected[tuple(slice(f, None, s) for f, s in zip(phase, stride, strict=True))]
        assert any(part.shape == each.shape and (part == each).all() for each in parts)


@pytest.mark.parametrize("case", TRANSPOSED[:-1], ids=str)
def test_steps_add_up(case):
    size, _, stride, padding, dilation, output_padding = tuples(*case)
    frames = plot.draw_steps(*case, step="all")
    assert len(frames) == math.prod(size)
    total = 0
    for figure in frames:
        x, w, more, sums = (plane(each, case[0]) for each in numbers(figure))
        total = total + np.nan_to_num(more)
        np.testing.assert_array_equal(np.nan_to_num(sums), total)
    pads = tuple((p, p) for p in padding)
    expected = conv_transpose(x, w, stride, pads, output_padding, dilation)
    np.testing.assert_array_equal(total, expected)
    stills = numbers(plot.draw_steps(*case))
    assert len(stills) == 2 + min(len(frames), 12)
    np.testing.assert_array_equal(np.nan_to_num(plane(stills[-1], case[0])), expected)


@pytest.mark.parametrize(
    "case", [(6, 3, 2, 1, 1), (7, 3, 2, 1, 1), (9, 2, 1, 0, 3), (10, 3, 3, "same", 1)], ids=str
)
def test_arithmetic_has_a_row_for_each_window(case):
    size, kernel, stride, padding, dilation = case
    low, high = reference.same_pads(size, kernel, stride, dilation) if padding == "same" else (
        padding, padding
    )  # fmt: skip
    figure = plot.draw_arithmetic(*case)
    (_, colours), (cells, _) = grids(figure)
    starts = range(0, size + low + high - dilation * (kernel - 1), stride)
    assert cells.shape == (len(starts), 1)
    assert colours.shape == (1 + len(starts), size + low + high)
    for row, start in enumerate(starts, 1):
        taps = [start + dilation * each for each in range(kernel)]
        assert np.flatnonzero(colours[row] != "#ffffff").tolist() == taps
    assert f"= {len(starts)}" in texts(figure)
    assert f"= {size}" in texts(figure)


def test_arithmetic_tells_what_is_ambiguous():
    said = texts(plot.draw_arithmetic(6, 3, 2, 1))
    assert "5 or 6 cells give 3" in said
    assert "No window reaches the framed cell" in said
    assert "No window" not in texts(plot.draw_arithmetic(5, 3, 2, 1))
    assert "3 cells give 6" in texts(plot.draw_arithmetic(3, 3, 2, 1, output_padding=1))


@pytest.mark.parametrize(
    "case", [((4, 4), 2), ((5, 5), 3, 2, 1), (9, 3, 2), ((5, 6), 2, 1)], ids=str
)
def test_pool_sends_gradients_to_the_largest_cells(case):
    size, kernel, stride, padding = tuples(*case, *(0,) * (4 - len(case)))
    stride = stride if len(case) > 2 else kernel
    drawn = [plane(each, case[0]) for each in numbers(plot.draw_pool(*case))]
    x, y, grad_input, grad = drawn
    expected = np.zeros(size)
    padded = np.pad(x, [(p, p) for p in padding], constant_values=-np.inf)
    for out in np.ndindex(y.shape):
        window = padded[tuple(slice(o * s, o * s + k)
                              for o, s, k in zip(out, stride, kernel, strict=True))]  # fmt: skip
        assert y[out] == window.max()
        expected[tuple(np.argwhere(x == window.max())[0])] += grad[out]
    np.testing.assert_array_equal(np.nan_to_num(grad_input), expected)


def test_numbers_of_ones_own():
    x, w = np.array([[1.5, 2], [0, -1]]), np.array([[2.0]])
    drawn = numbers(plot.draw_conv(input=x, weight=w))
    np.testing.assert_array_equal(drawn[0], x)
    np.testing.assert_array_equal(drawn[2], 2 * x)


@functools.cache
def drawn(name, **options):
    return KINDS[name](**options)


SETTINGS = [
    (name, options)
    for name in KINDS
    for options in (
        [{}, {"step": 1}]
        if name == "draw_regroup"
        else [{}, {"step": 1}, {"input_size": (4, 5), "kernel_size": 2}, {"input_size": (9, 9)},
              {"input_size": 20, "kernel_size": 4}, {"input_size": (2, 3, 3), "kernel_size": 2}]
    )
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=str)
def test_no_text_overlaps_another_or_leaves_the_page(name, options):
    figure = drawn(name, **options)
    renderer = figure.canvas.get_renderer()
    boxes = [
        text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text().strip()
    ]
    low, high = np.array([box.min for box in boxes]), np.array([box.max for box in boxes])
    assert low.min() >= 0
    assert (high <= figure.bbox.max).all()
    shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    # Boxes have the room of letters with tails; a pixel or three of it may be shared.
    both = (shared > 3).all(axis=2)
    np.fill_diagonal(both, False)
    pairs = [
        (figure.axes[0].texts[a].get_text(), figure.axes[0].texts[b].get_text())
        for a, b in np.argwhere(both)
    ]
    assert not pairs


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=str)
def test_cells_are_square_aligned_and_on_the_page(name, options):
    figure = drawn(name, **options)
    sides = set()
    for collection in figure.axes[0].collections:
        if isinstance(collection, PatchCollection):
            for path in collection.get_paths():
                box = path.get_extents()
                sides |= {round(box.width, 5), round(box.height, 5)}
                assert 0 <= box.x0 < box.x1 <= figure.get_figwidth()
                assert 0 <= box.y0 < box.y1 <= figure.get_figheight()
    assert max(sides) - min(sides) < 1e-4
    assert figure.get_figwidth() == 6.25
    assert figure.get_figheight() <= 9.01


def test_numbers_are_left_out_when_too_small_and_cells_are_not():
    x, w, y = grids(plot.draw_conv((28, 28), 5))
    assert [each[0].shape for each in (x, w, y)] == [(28, 28), (5, 5), (24, 24)]
    assert all(np.isnan(each[0]).all() for each in (x, w, y))
    assert (x[1] == ROLES["input"].strong.lower()).sum() == 25


def test_colours_are_told_apart_by_colour_blind_eyes():
    """Simulated with the matrices of Machado et al. (2009), full deuteranopia and protanopia."""
    for matrix in (
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]],
    ):  # fmt: skip
        seen = {}
        for role in ("input", "kernel", "output", "gradient"):
            colour = ROLES[role].strong
            rgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
            seen[role] = np.array(matrix) @ rgb**2.2
        for one, other in itertools.combinations(seen, 2):
            a, b = (np.clip(seen[each], 0, 1) ** (1 / 2.2) for each in (one, other))
            assert np.linalg.norm(a - b) > 0.15, (one, other)


@pytest.mark.parametrize("name", KINDS)
def test_animation_is_a_gif_of_one_frame_a_step(name, tmp_path):
    image = pytest.importorskip("PIL.Image")
    options = {"input_size": 3 if name in ("draw_transposed", "draw_steps") else 6}
    if name == "draw_regroup":
        options = {"out_channels": 4}
    elif name == "draw_phases":
        options = {"stride": 3}
    frames = KINDS[name](**options, step="all")
    sizes = {tuple(figure.get_size_inches()) for figure in frames}
    assert len(sizes) == 1
    path = tmp_path / "a.gif"
    plot.save(frames, path)
    with image.open(path) as gif:
        assert gif.n_frames == len(frames) >= 2
        seen = set()
        for step in range(gif.n_frames):
            gif.seek(step)
            assert gif.info["duration"] == (2000 if step == len(frames) - 1 else 700)
            seen.add(gif.convert("RGB").tobytes())
        assert len(seen) == len(frames)
        assert gif.info["loop"] == 0


def test_animation_is_a_sequence():
    frames = plot.draw_conv(5, 3, step="all")
    assert len(frames) == len(list(frames)) == 3
    assert texts(frames[-1]) == texts(frames[2]) == texts(plot.draw_conv(5, 3, step=2))
    with pytest.raises(IndexError, match="step 3 of an animation of 3"):
        frames[3]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_picture_is_the_same_file(ending, tmp_path):
    paths = [tmp_path / f"{each}.{ending}" for each in "ab"]
    for path in paths:
        plot.save(plot.draw_pool(), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert len(first) > 1000


def test_pyplot_is_not_touched():
    before = "matplotlib.pyplot" in sys.modules
    plot.draw_conv()
    assert ("matplotlib.pyplot" in sys.modules) == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.draw_conv((2, 2), 3), "draw_conv: .* must fit the padded input"),
        (lambda: plot.draw_conv((2, 2, 2, 2)), "draw_conv: there must be 1 to 3 axes, got 4"),
        (lambda: plot.draw_conv((4000, 4000)), "at most 20000 cells, got"),
        (lambda: plot.draw_conv((100, 100), 50), "at most 300000 products, got"),
        (lambda: plot.draw_conv(5, 3, step=3), "step must be below 3"),
        (lambda: plot.draw_conv(5, 3, step="some"), 'None, a number or "all"'),
        (lambda: plot.draw_conv(5, 3, stride=0), "stride must be at least 1, got 0"),
        (lambda: plot.draw_conv(1500, 3), "sizes that fit a page"),
        (lambda: plot.draw_transposed(3, 3, padding=9), "leaves no output"),
        (lambda: plot.draw_transposed(3, 3, stride=2, output_padding=2), "output_padding must be"),
        (lambda: plot.draw_transposed(3, 3, dilation=2, output_padding=1), "output_padding must"),
        (lambda: plot.draw_phases((3, 3), 3, 5), "at most 16 phases, got 25"),
        (lambda: plot.draw_regroup(groups=3), "groups must divide the 20 out_channels, got 3"),
        (lambda: plot.draw_matrix((30, 30), 3), "at most 20000 cells"),
        (lambda: plot.draw_pool((2, 2), 3), "max_pool2d|draw_pool"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_files_of_the_wrong_kind(tmp_path):
    with pytest.raises(ValueError, match=r"must be a \.png, \.svg or \.pdf"):
        plot.save(plot.draw_conv(5, 3), tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"must be a \.gif"):
        plot.save(plot.draw_conv(5, 3, step="all"), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_missing_libraries_are_named(monkeypatch, tmp_path):
    frames = plot.draw_conv(5, 3, step="all")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "PIL", None)
        with pytest.raises(ImportError, match=r"pip install 'fastconv\[image\]'"):
            plot.save(frames, tmp_path / "a.gif")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'fastconv\[plot\]'"):
        plot.draw_conv()
