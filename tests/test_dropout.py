"""Dropout against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv.functional as F


@examples(30)
@given(
    st.sampled_from((0, 0.25, 0.5, 1)),
    st.sampled_from("fd"),
    st.sampled_from(LAYOUTS),
    st.integers(0, 99),
)
def test_dropout(p, dtype, layout, seed):
    x = lay_out((np.arange(4000) + 1.0).reshape(10, 20, 20).astype(dtype), layout)
    x.flags.writeable = False
    y, mask = F.dropout(x, p, np.random.default_rng(seed))
    assert y.dtype == mask.dtype == dtype
    kept = 0 if p == 1 else 1 / (1 - p)
    assert set(np.unique(mask)) <= {0, np.dtype(dtype).type(kept)}
    np.testing.assert_array_equal(y, x * mask)
    np.testing.assert_array_equal(F.dropout_backward(x, mask), y)
    # Of n trials, within 6 standard deviations.
    assert abs(np.count_nonzero(mask) - 4000 * (1 - p)) <= 6 * math.sqrt(4000 * p * (1 - p))
    again, _ = F.dropout(np.array(x, dtype), p, np.random.default_rng(seed))
    np.testing.assert_array_equal(again, y)


X = np.zeros((2, 6, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.dropout(X, 1.5, np.random.default_rng()),
            ValueError,
            "between 0 and 1, got 1.5",
        ),
        (lambda: F.dropout(X, 0.5, np.random), TypeError, "rng must be a numpy.random.Generator"),
        (
            lambda: F.dropout_backward(X, X[:1]),
            ValueError,
            r"must have the mask's shape \(1, 6, 4\)",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
