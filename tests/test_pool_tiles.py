"""Max-pools whose windows tile: layers keep bytes in place of indices."""

import isas
import numpy as np
import pytest
from strategies import lay_out

import fastconv.functional as F
from fastconv import nn

TILED = [
    ((3, 5, 67, 131), (2, 2)),
    ((2, 3, 40, 63), (3, 3)),
    ((2, 16, 33, 20), (2, 2)),
    ((2, 33, 21, 17), (2, 3)),
    ((1, 1, 300, 70), (1, 2)),
    ((2, 7, 50, 9), (2, 1)),
    ((1, 4, 64, 90), (5, 8)),
    ((70, 6, 7, 5), (2, 2)),
    ((3, 2, 2000), (2,)),
    ((2, 9, 8, 11, 13), (2, 2, 2)),
    ((2, 20, 8, 11, 13), (2, 3, 2)),
]


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize(("shape", "kernel"), TILED)
def test_layers_whose_windows_tile_do_what_the_functional_does(shape, kernel, dtype, layout, isa):
    """They keep bytes in place of indices; ties, NaN and the cells that no window reaches, too."""
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, shape).astype(dtype)
    for value in (np.nan, np.inf, -np.inf):
        x.flat[rng.integers(0, x.size, x.size // 50)] = value
    x = lay_out(x, layout)
    ndim = len(kernel)
    layer = getattr(nn, f"MaxPool{ndim}d")(kernel)
    with isas.using(isa):
        y = layer(x)
        assert layer._saved[0].dtype == np.uint8
        want, places = getattr(F, f"max_pool{ndim}d")(x, kernel, return_indices=True)
        np.testing.assert_array_equal(y, want)
        grad = lay_out(rng.standard_normal(y.shape).astype(dtype), layout)
        got = layer.backward(grad)
        np.testing.assert_array_equal(
            got, getattr(F, f"max_pool{ndim}d_backward")(grad, places, shape)
        )
        assert layer.eval()(x).tobytes() == y.tobytes()
