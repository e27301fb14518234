"""fastconv.theory: Winograd's identity, against direct sums and in exact numbers."""

from fractions import Fraction

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

import fastconv
from fastconv import theory


@examples(60)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_one_tile_with_fewer_products(outputs, taps, seed):
    rng = np.random.default_rng(seed)
    of_input, of_filter, to_outputs = theory.winograd_matrices(outputs, taps)
    assert len(of_filter) == outputs + taps - 1
    x, w = rng.integers(-3, 4, outputs + taps - 1), rng.integers(-3, 4, taps)
    got = to_outputs @ ((of_filter @ w) * (of_input @ x))
    np.testing.assert_allclose(got, np.correlate(x, w), rtol=0, atol=1e-6)


def test_the_matrices_of_the_paper():
    """Lavin & Gray (2015), F(2, 3): points 0, 1, -1, but for the signs of a row."""
    of_input, of_filter, to_outputs = theory.winograd_matrices(2, 3, points=(0, 1, -1))
    np.testing.assert_array_equal(np.abs(of_filter), [[1, 0, 0], [0.5] * 3, [0.5] * 3, [0, 0, 1]])
    np.testing.assert_array_equal(to_outputs, [[1, 1, 1, 0], [0, 1, -1, 1]])
    np.testing.assert_array_equal(of_input[0], [-1, 0, 1, 0])


def test_the_identity_holds_exactly():
    """In fractions, for the kernels' points: what is left in float32 is rounding."""
    a, b = Fraction(3, 4), Fraction(3, 2)
    points = [0, a, -a, b, -b]
    rng = np.random.default_rng(0)
    x, w = ([Fraction(int(n)) for n in rng.integers(-9, 10, k)] for k in (6, 3))
    of_input, _, to_outputs = (
        [[Fraction(value) for value in row] for row in matrix]  # binary fractions all of them
        for matrix in theory.winograd_matrices(4, 3)
    )
    products = []
    for point, row in zip(points, of_input[:-1], strict=True):
        slope = Fraction(1)
        for other in points:
            slope *= point - other if other != point else 1
        value = sum(tap * Fraction(point) ** i for i, tap in enumerate(w)) / slope
        products.append(value * sum(r * cell for r, cell in zip(row, x, strict=True)))
    products.append(w[-1] * sum(r * cell for r, cell in zip(of_input[-1], x, strict=True)))
    for row, start in zip(to_outputs, range(4), strict=True):
        got = sum(r * p for r, p in zip(row, products, strict=True))
        assert got == sum(x[start + i] * w[i] for i in range(3))


@examples(40)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4),
    st.integers(1, 5), st.integers(0, 2), st.integers(0, 99),
)  # fmt: skip
def test_convolution_by_tiles(ndim, groups, channels, taps, outputs, padding, seed):
    rng = np.random.default_rng(seed)
    space = tuple(rng.integers(taps, taps + 6, ndim))
    x = rng.standard_normal((2, groups * channels, *space))
    w = rng.standard_normal((groups * 2, channels, *(taps,) * ndim))
    got = theory.conv_by_winograd(x, w, padding, groups, outputs)
    ones = (1,) * ndim
    want = reference.conv(x, w, None, ones, ((padding, padding),) * ndim, ones, groups)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("taps", [2, 3])
def test_the_kernels_do_the_same(taps, ndim):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 6, *(9, 7, 5)[:ndim]))
    w = rng.standard_normal((4, 3, *(taps,) * ndim))
    y = getattr(fastconv, f"conv{ndim}d")(x, w, padding=1, groups=2, algorithm="winograd")
    np.testing.assert_allclose(theory.conv_by_winograd(x, w, 1, 2), y, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(theory.conv_by_winograd(x[0], w, 1, 2).shape, y[0].shape)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((0, 3), "at least 1"), ((2, 3, (0, 1)), "3 different"), ((2, 3, (0, 1, 1)), "3 different")],
)
def test_wrong_arguments(arguments, said):
    with pytest.raises(ValueError, match=f"winograd_matrices: .*{said}"):
        theory.winograd_matrices(*arguments)
