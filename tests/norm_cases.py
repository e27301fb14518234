"""Inputs with weights and biases of their channels, for all normalizations."""

import numpy as np
from hypothesis import strategies as st
from strategies import LAYOUTS, lay_out

SHAPES = [(3, 4), (2, 4, 3), (2, 4, 2, 3), (2, 4, 2, 1, 3)]


@st.composite
def problems(draw, channels=(1, 2, 3, 6)):
    """(input, weight or None, bias or None, eps), all read-only."""
    ndim = draw(st.integers(0, 3))
    space = draw(st.lists(st.integers(1, 4), min_size=ndim, max_size=ndim))
    c = draw(st.sampled_from(channels))
    dtype = draw(st.sampled_from("fd"))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal((draw(st.sampled_from((2, 3, 5, 0))), c, *space)) * 3 + 1
    x = lay_out(x.astype(dtype), draw(st.sampled_from(LAYOUTS)))
    x.flags.writeable = False
    weight, bias = (rng.standard_normal(c).astype(dtype) for _ in range(2))
    weight, bias = (each if draw(st.booleans()) else None for each in (weight, bias))
    return x, weight, bias, draw(st.sampled_from((1e-5, 0.5)))


def filled(weight, bias, channels):
    """Weight and bias, or the ones and zeros that None stands for."""
    return (
        np.ones(channels) if weight is None else weight,
        np.zeros(channels) if bias is None else bias,
    )


def assert_close(got, want, dtype, digits=100):
    assert got.dtype == np.dtype(dtype).newbyteorder("=")
    assert got.shape == want.shape
    tolerance = digits * np.finfo(dtype).eps
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
