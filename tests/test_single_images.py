"""Few positions and many weights: threads share out the channels, and each packs its own."""

import isas
import numpy as np
import pytest
import reference
from strategies import lay_out

import fastconv

# (batch, channels, filters, groups, space, kernel, stride, padding)
SMALL = {
    "image": (1, 32, 64, 1, (14, 14), (3, 3), 1, 1),
    "two images": (2, 24, 96, 1, (9, 11), (3, 2), 1, 0),
    "uneven shares": (1, 48, 72, 1, (8, 6), (3, 3), 1, 1),
    "many rows": (1, 20, 64, 1, (31, 29), (3, 3), 1, 1),
    "depths": (1, 400, 64, 1, (5, 7), (3, 3), 1, 1),
    "stride": (1, 64, 128, 1, (15, 15), (3, 3), 2, 1),
    "lone taps": (3, 100, 200, 1, (7, 9), (1, 1), 1, 0),
    "lone taps of phases": (1, 64, 66, 1, (12, 12), (2, 2), 2, 0),
    "groups": (1, 120, 128, 2, (6, 8), (3, 3), 1, 1),
}


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("name", SMALL)
def test_both_passes_exactly_with_any_number_of_threads(name, layout, dtype, isa):
    batch, channels, filters, groups, space, kernel, stride, padding = SMALL[name]
    rng = np.random.default_rng(0)

    def integers(*shape):
        return rng.integers(-4, 5, shape).astype(dtype)

    x = lay_out(integers(batch, channels, *space), layout)
    weight, bias = integers(filters, channels // groups, *kernel), integers(filters)
    settings = (stride,) * 2, ((padding,) * 2,) * 2, (1, 1), groups
    options = {"stride": stride, "padding": padding, "groups": groups}
    want = reference.conv(x, weight, bias, *settings)
    grad = lay_out(integers(*want.shape), layout)
    grad_input = reference.conv_grad_input(grad, space, weight, *settings)
    with isas.using(isa):
        for threads in (1, 2, 3, 8):
            options["num_threads"] = threads
            np.testing.assert_array_equal(fastconv.conv2d(x, weight, bias, **options), want)
            found, _, _ = fastconv.conv2d_backward(
                grad, x, weight, **options, needs=(True, False, False)
            )
            np.testing.assert_array_equal(found, grad_input)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rows", [1, 37, 100, 300])
@pytest.mark.parametrize(("inputs", "outputs"), [(90, 84), (300, 200), (20, 10)])
def test_linear_exactly_with_any_number_of_threads(inputs, outputs, rows, order, dtype, isa):
    rng = np.random.default_rng(0)

    def integers(*shape):
        return rng.integers(-4, 5, shape).astype(dtype)

    x, weight = (np.asarray(integers(*shape), order=order)
                 for shape in ((rows, inputs), (outputs, inputs)))  # fmt: skip
    bias, grad = integers(outputs), integers(rows, outputs)
    want = reference.linear(x, weight, bias)
    wanted = reference.linear_backward(grad, x, weight)
    with isas.using(isa):
        for threads in (1, 2, 3, 8):
            got = fastconv.linear(x, weight, bias, num_threads=threads)
            np.testing.assert_array_equal(got, want)
            found = fastconv.linear_backward(grad, x, weight, num_threads=threads)
            for each, one in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(each, one)
