"""Images of next to no columns: those of a batch share the rows of a tile."""

import numpy as np
import pytest
import reference
from strategies import lay_out

import fastconv

# (channels, filters, groups, space, kernel, stride, padding): many weights, or few; groups.
TINY = {
    "kernel as large as the image": (40, 300, 1, (4, 4), (4, 4), 1, 0),
    "small filters": (5, 7, 1, (3, 4), (3, 3), 1, 0),
    "last stage": (160, 130, 1, (2, 2), (3, 3), 1, 1),
    "one row": (9, 6, 1, (5, 2), (3, 1), 2, 1),
    "lone taps": (70, 20, 1, (2, 2), (1, 1), 1, 0),
    "squeeze": (33, 9, 1, (1, 1), (1, 1), 1, 0),
    "groups": (12, 18, 6, (2, 2), (3, 3), 1, 1),
    "padding alone": (6, 5, 1, (1, 1), (3, 3), 2, 1),
}


def integers(rng, *shape):
    return rng.integers(-4, 5, shape).astype(np.float32)


@pytest.mark.parametrize("slope", [1.0, 0.25])
@pytest.mark.parametrize("layout", ["C", "channels_last", "reversed"])
@pytest.mark.parametrize("batch", [1, 2, 3, 37])
@pytest.mark.parametrize("name", TINY)
def test_all_passes_exactly(name, batch, layout, slope):
    channels, filters, groups, space, kernel, stride, padding = TINY[name]
    rng = np.random.default_rng(batch)
    x = lay_out(integers(rng, batch, channels, *space), layout)
    weight = integers(rng, filters, channels // groups, *kernel)
    bias = integers(rng, filters)
    strides, pads = (stride,) * 2, ((padding,) * 2,) * 2
    options = {"stride": stride, "padding": padding, "groups": groups}
    want = reference.conv(x, weight, bias, strides, pads, (1, 1), groups)
    got = fastconv.conv2d(x, weight, bias, **options)
    np.testing.assert_array_equal(got, want)
    layer = fastconv.nn.Sequential(
        fastconv.nn.Conv2d(channels, filters, kernel, **options), fastconv.nn.LeakyReLU(slope)
    )
    layer[0].weight.data[...], layer[0].bias.data[...] = weight, bias
    np.testing.assert_array_equal(layer(x), np.where(want > 0, want, slope * want))
    grad = lay_out(integers(rng, *want.shape), layout)
    wanted = reference.conv_backward(grad, x, weight, strides, pads, (1, 1), groups)
    found = fastconv.conv2d_backward(grad, x, weight, **options)
    for each, one in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(each, one)


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 0)])
@pytest.mark.parametrize(("channels", "filters"), [(7, 5), (100, 130)])
def test_from_a_single_pixel(channels, filters, stride, padding, layout):
    """The first layer of a generator: each pixel of the output has one tap."""
    rng = np.random.default_rng(0)
    x = lay_out(integers(rng, 21, channels, 1, 1), layout)
    weight = integers(rng, channels, filters, 4, 4)
    settings = (stride,) * 2, ((padding,) * 2,) * 2
    options = {"stride": stride, "padding": padding}
    want = reference.conv_transpose(x, weight, None, *settings, (0, 0), (1, 1), 1)
    np.testing.assert_array_equal(fastconv.conv_transpose2d(x, weight, **options), want)
    grad = lay_out(integers(rng, *want.shape), layout)
    found = fastconv.conv_transpose2d_backward(grad, x, weight, **options)
    wanted = reference.conv_transpose_backward(grad, x, weight, *settings, (1, 1), 1)
    for each, one in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(each, one)


@pytest.mark.parametrize("kernel", [(1, 1, 1), (1, 3, 1), (1, 1, 3)])
@pytest.mark.parametrize("pads", [(1, 0), (1, 1), (2, 3), (0, 1)])
@pytest.mark.parametrize("batch", [2, 3, 32])
def test_the_only_window_along_an_axis_may_lie_on_padding(batch, pads, kernel):
    """The images move to the columns only where the first axis is free, and padding is no axis."""
    rng = np.random.default_rng(0)
    stride, space = (7, 1, 1), (1, *kernel[1:])
    x, weight = integers(rng, batch, 4, *space), integers(rng, 3, 4, *kernel)
    options = {"stride": stride, "padding": (pads, (0, 0), (0, 0))}
    settings = weight, stride, options["padding"], (1, 1, 1), 1
    want = reference.conv(x, weight, None, *settings[1:])
    np.testing.assert_array_equal(fastconv.conv3d(x, weight, **options), want)
    grad = integers(rng, *want.shape)
    found = fastconv.conv3d_backward(grad, x, weight, **options)
    wanted = reference.conv_backward(grad, x, *settings)
    for each, one in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(each, one)
    back = fastconv.conv_transpose3d(grad, weight, output_padding=(pads[0] + 3, 0, 0), **options)
    assert back.shape[2] > 1 or not back.size or np.isfinite(back).all()


def test_images_are_the_columns():
    arguments = "conv2d", (64, 256, 4, 4), (64, 256, 4, 4)
    assert fastconv.explain(*arguments, mode="dicts")["forward"]["columns"] == 64
    one = (1, 256, 4, 4), arguments[2]
    assert fastconv.explain("conv2d", *one, mode="dicts")["forward"]["columns"] == 1
    wide = (64, 256, 8, 8), arguments[2]
    assert fastconv.explain("conv2d", *wide, mode="dicts")["forward"]["columns"] == 5
