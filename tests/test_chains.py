"""Taps that read neighbouring pixels, taken together by one step of the tile."""

import isas
import numpy as np
import pytest
import reference
from strategies import lay_out

import fastconv

CHANNELS = 9
KERNELS = range(1, 10)
# One to four vectors of the widest lanes, the last of them full or not.
FILTERS = (13, 16, 33, 48, 60)


def plan(kernel, filters, stride=1, dilation=1, transposed=False, layout="channels_last"):
    return fastconv.explain(
        "conv_transpose1d" if transposed else "conv1d",
        (1, 64, 64), (64, filters, kernel) if transposed else (filters, 64, kernel),
        stride=stride, dilation=dilation, layout=layout, mode="dicts",
    )  # fmt: skip


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (2, 3), (1, 5), (2, 4)]
)
def test_any_row_of_taps_exactly(stride, dilation, transposed, layout, isa):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, CHANNELS, 3, 37)).astype(np.float32)
    x = lay_out(x, layout)
    for kernel in KERNELS:
        pad = dilation * (kernel // 2)
        for filters in FILTERS:
            weight = rng.integers(-4, 5, (filters, CHANNELS, 2, kernel)).astype(np.float32)
            arguments = {
                "stride": (1, stride), "padding": (1, pad), "dilation": (1, dilation),
            }  # fmt: skip
            settings = (1, stride), ((1, 1), (pad, pad))
            if transposed:
                weight = np.ascontiguousarray(weight.swapaxes(0, 1))
                want = reference.conv_transpose(
                    x, weight, None, *settings, (0, 0), (1, dilation), 1
                )
                run = fastconv.conv_transpose2d
            else:
                want = reference.conv(x, weight, None, *settings, (1, dilation), 1)
                run = fastconv.conv2d
            with isas.using(isa):
                np.testing.assert_array_equal(run(x, weight, **arguments), want)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("filters", [13, 33, 48])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (3, 1), (3, 2), (4, 2), (5, 1)])
def test_short_rows_between_borders_exactly(kernel, stride, filters, isa):
    """A tile that reaches from border to border, or to one, leaves out what it meets there."""
    rng = np.random.default_rng(0)
    for columns in range(1, 18):
        x = lay_out(rng.integers(-4, 5, (2, CHANNELS, 3, columns)).astype("f"), "channels_last")
        weight = rng.integers(-4, 5, (filters, CHANNELS, 3, kernel)).astype("f")
        back = np.ascontiguousarray(weight.swapaxes(0, 1))
        for pad in range(kernel):
            if columns + 2 * pad < kernel or (columns - 1) * stride + kernel <= 2 * pad:
                continue
            steps, pads = (1, stride), ((1, 1), (pad, pad))
            with isas.using(isa):
                y = fastconv.conv2d(x, weight, stride=steps, padding=(1, pad))
                z = fastconv.conv_transpose2d(x, back, stride=steps, padding=(1, pad))
            np.testing.assert_array_equal(
                y, reference.conv(x, weight, None, steps, pads, (1, 1), 1)
            )
            np.testing.assert_array_equal(
                z, reference.conv_transpose(x, back, None, steps, pads, (0, 0), (1, 1), 1)
            )


def test_infinite_weights_beside_the_border_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((64, 64, 3, 3)).astype("f")
    weight[..., 0], weight[..., 2] = np.inf, -np.inf
    for columns in 5, 7, 8, 13, 30, 100:
        x = lay_out(rng.standard_normal((1, 64, 9, columns)).astype("f"), "channels_last")
        one, *others = (
            fastconv.conv2d(x, weight, padding=1, num_threads=threads) for threads in (1, 2, 3, 16)
        )
        assert all(one.tobytes() == each.tobytes() for each in others)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("channels", [1, 3, 4, 18])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (7, 2), (5, 3), (3, 1), (4, 4)])
def test_first_layers_exactly(kernel, stride, channels, isa):
    """Few channels of pixels: strips hold rows as they are, and taps and channels are one loop."""
    rng = np.random.default_rng(0)
    x = lay_out(rng.integers(-4, 5, (3, channels, 20, 23)).astype("f"), "channels_last")
    for filters in FILTERS:
        weight = rng.integers(-4, 5, (filters, channels, kernel, kernel)).astype("f")
        pads = ((kernel // 2,) * 2,) * 2
        want = reference.conv(x, weight, None, (stride,) * 2, pads, (1, 1), 1)
        g = rng.integers(-4, 5, want.shape).astype("f")
        with isas.using(isa):
            y = fastconv.conv2d(x, weight, stride=stride, padding=kernel // 2)
            _, grad, _ = fastconv.conv2d_backward(
                g, x, weight, stride=stride, padding=kernel // 2, needs=(False, True, False)
            )
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(
            grad,
            reference.conv_grad_weight(g, x, (kernel,) * 2, (stride,) * 2, pads, (1, 1), 1),
        )


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("kernel", [(3, 1), (5, 1), (3, 1, 1), (3, 3, 1), (1, 3, 1)])
def test_padded_rows_are_read_in_place(kernel, isa):
    """Where columns see no padding; a NaN beside the image must not be read."""
    rng = np.random.default_rng(0)
    space = (6, 5, 9)[-len(kernel) :]
    pad = tuple(k // 2 for k in kernel)
    wide = np.full((4, *space, CHANNELS), np.nan, "f")
    wide[1:3] = rng.integers(-4, 5, (2, *space, CHANNELS))
    x = np.moveaxis(wide[1:3], -1, 1)
    weight = rng.integers(-4, 5, (33, CHANNELS, *kernel)).astype("f")
    ones, pads = (1,) * len(kernel), tuple((p, p) for p in pad)
    with isas.using(isa):
        y = getattr(fastconv, f"conv{len(kernel)}d")(x, weight, padding=pad)
    np.testing.assert_array_equal(y, reference.conv(x, weight, None, ones, pads, ones, 1))


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)])
def test_weight_gradients_of_any_row_of_taps_exactly(stride, dilation, layout, isa):
    """Rows longer than a chain, as long, and shorter; a single channel and more than a tile's."""
    rng = np.random.default_rng(0)
    for kernel in (*KERNELS, 11):
        for columns in (1, 2, 3, 4, 5, 8, 23):
            for channels, filters in ((1, 13), (5, 60), (19, 33)):
                size = stride * (columns - 1) + dilation * (kernel - 1) + 1
                pad = min(1, size - 1)
                x = rng.integers(-4, 5, (3, channels, 3, size - pad)).astype(np.float32)
                weight = np.empty((filters, channels, 2, kernel), np.float32)
                g = rng.integers(-4, 5, (3, filters, 2, columns)).astype(np.float32)
                pads = (0, 0), (pad, 0)
                want = reference.conv_grad_weight(
                    g, x, (2, kernel), (1, stride), pads, (1, dilation), 1
                )
                with isas.using(isa):
                    _, found, _ = fastconv.conv2d_backward(
                        lay_out(g, layout), lay_out(x, layout), weight, (1, stride), pads,
                        (1, dilation), needs=(False, True, False),
                    )  # fmt: skip
                np.testing.assert_array_equal(found, want)


@isas.choices_of_avx512
def test_the_last_part_of_a_row_may_be_shorter_than_a_chain():
    rng = np.random.default_rng(0)
    columns, kernel, channels = 16385, 3, 70
    x = rng.integers(-2, 3, (1, channels, columns + kernel - 1)).astype(np.float32)
    g = rng.integers(-2, 3, (1, 16, columns)).astype(np.float32)
    weight = np.empty((16, channels, kernel), np.float32)
    chosen = fastconv.explain(
        "conv1d", x.shape, weight.shape, layout="channels_last", mode="dicts"
    )["grad_weight"]
    assert columns % chosen["block"][2] == 2 < chosen["chain"]
    want = np.stack([g[0] @ x[0, :, tap : tap + columns].T for tap in range(kernel)], axis=-1)
    x, g = lay_out(x, "channels_last"), lay_out(g, "channels_last")
    _, found, _ = fastconv.conv1d_backward(g, x, weight, needs=(False, True, False))
    np.testing.assert_array_equal(found, want)


@isas.choices_of_avx512
def test_weight_gradients_have_chains():
    assert plan(3, 64)["grad_weight"]["chain"] == 3
    assert plan(5, 16)["grad_weight"]["chain"] == 5
    assert plan(1, 64)["grad_weight"]["chain"] == 1
    assert plan(3, 64, dilation=2)["grad_weight"]["chain"] == 1
    assert plan(3, 64, layout="nchw")["grad_weight"]["chain"] == 3


@isas.choices_of_avx512
@pytest.mark.parametrize(
    ("kernel", "chain"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 5), (6, 3), (9, 3)]
)
def test_a_row_is_cut_into_equal_chains(kernel, chain):
    assert plan(kernel, 16)["forward"]["chain"] == chain


@isas.choices_of_avx512
def test_under_dilation_positions_apart_share_cells():
    assert plan(3, 16, dilation=2)["forward"]["chain"] == 3
    assert plan(3, 16, dilation=4, stride=2)["forward"]["chain"] == 3


def test_taps_far_apart_form_no_chain():
    assert plan(3, 16, dilation=9)["forward"]["chain"] == 1
    assert plan(3, 16, dilation=3, stride=2)["forward"]["chain"] == 1


def test_a_stride_parts_neighbours():
    # Of three taps, the outer ones read neighbouring cells of the same remainder.
    assert plan(3, 16, stride=2)["forward"]["chain"] == 2
    assert plan(3, 16, stride=3)["forward"]["chain"] == 1


def test_a_phase_has_chains_of_its_own():
    assert plan(4, 16, stride=2, transposed=True)["forward"]["chain"] == 2
    assert plan(2, 16, stride=2, transposed=True)["forward"]["chain"] == 1


def test_a_pixel_that_is_not_read_does_no_harm():
    """A chain's broadcasts reach over all rows of the tile: no further than its taps."""
    x = np.full((1, 8, 40), np.nan, np.float32)
    x[..., 4:36] = 1
    found = fastconv.conv1d(x, np.ones((16, 8, 5), np.float32))
    assert np.isfinite(found[..., 4:32]).all()
    assert np.isnan(found[..., :4]).all()
    assert np.isnan(found[..., 32:]).all()
