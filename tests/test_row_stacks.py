"""A few filters: a tile of row lanes takes several rows of output at once."""

import isas
import numpy as np
import pytest
import reference
from strategies import lay_out

import fastconv

FILTERS = range(1, 9)  # a single one slides over rows, and seven are the most that stack


def stacks(filters, columns, rows=16):
    problem = (1, 64, rows + 2, columns + 2), (filters, 64, 3, 3)
    return fastconv.explain("conv2d", *problem, mode="dicts")["forward"]["stacked"]


@isas.choices_of_avx512
def test_rows_are_stacked_where_one_has_too_few_sums():
    assert stacks(3, 16)
    assert stacks(6, 14)
    assert not stacks(1, 16)
    assert not stacks(3, 64)  # by four vectors of a row
    assert not stacks(3, 16, rows=1)
    assert not stacks(8, 16)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_any_number_of_rows_exactly(stride, dilation, transposed, layout, isa):
    """Rows at the edge see other taps than those within, and there are any number of both."""
    rng = np.random.default_rng(0)
    for filters in FILTERS:
        for rows, columns in ((1, 5), (2, 14), (7, 16), (11, 33)):
            kernel = (5, 3)
            pads = dilation * 2, dilation
            x = lay_out(rng.integers(-4, 5, (2, 19, rows, columns)).astype(np.float32), layout)
            weight = rng.integers(-4, 5, (filters, 19, *kernel)).astype(np.float32)
            bias = rng.integers(-4, 5, filters).astype(np.float32)
            arguments = {"stride": stride, "padding": pads, "dilation": dilation}
            settings = (stride, stride), tuple((pad, pad) for pad in pads)
            if transposed:
                weight = np.ascontiguousarray(weight.swapaxes(0, 1))
                want = reference.conv_transpose(
                    x, weight, bias, *settings, (0, 0), (dilation, dilation), 1
                )
                run = fastconv.conv_transpose2d
            else:
                want = reference.conv(x, weight, bias, *settings, (dilation, dilation), 1)
                run = fastconv.conv2d
            with isas.using(isa):
                np.testing.assert_array_equal(run(x, weight, bias, **arguments), want)


@pytest.mark.parametrize("columns", [14, 16, 40])
def test_bits_do_not_depend_on_how_rows_are_shared_out(columns):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 48, 61, columns), np.float32)
    weight = rng.standard_normal((3, 48, 5, 5), np.float32)
    found = [fastconv.conv2d(x, weight, padding=2, num_threads=n) for n in (1, 2, 3, 8)]
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])
    # And so a row is what it is by itself, without neighbours to be stacked with.
    for row in (0, 30, 60):
        first, last = max(0, row - 2), min(61, row + 3)
        pads = (max(0, 2 - row), max(0, row - 58)), (2, 2)
        alone = fastconv.conv2d(x[:, :, first:last], weight, padding=pads)
        np.testing.assert_array_equal(alone[:, :, 0], found[0][:, :, row])
