"""Which points Winograd's F(4, 3) and F(4, 2) should use: the error of several sets in float32.

    python bench/bench_winograd_points.py [--channels N]

A tile of 4 x 4 outputs is computed from 6 x 6 inputs through the points 0, a, -a, b, -b and
infinity, or of 2 x 2 taps from 5 x 5 inputs through 0, a, -a, b and infinity, all in float32,
plainly in NumPy.  The error is over the largest output; the last line is the direct sum.  The
kernels (fastconv/_kernels/winograd_transform.pxi) use a = 3/4, b = 3/2 for both: short binary
fractions make the transforms exact, and of those it is among the best.
"""

import argparse

import numpy as np

from fastconv import theory

SETS = (
    (1, 2), (1, 1 / 2), (1 / 2, 3 / 2), (5 / 8, 3 / 2), (3 / 4, 3 / 2), (3 / 4, 5 / 4),
    (2 / 3, 3 / 2), (2**-0.5, 2**0.5),
)  # fmt: skip
TILES, FILTERS, OUTPUTS = 64, 32, 4


def both_axes(matrix, tiles):
    """matrix tile matrix', term by term in the type of its arguments."""
    rows = sum(matrix[:, [j]] * tiles[..., [j], :] for j in range(tiles.shape[-2]))
    return sum(rows[..., [j]] * matrix[:, j] for j in range(tiles.shape[-1]))


def by_points(x, w, points):
    matrices = theory.winograd_matrices(OUTPUTS, w.shape[-1], points)
    of_input, of_filter, to_outputs = (each.astype(np.float32) for each in matrices)
    inputs, filters = both_axes(of_input, x), both_axes(of_filter, w)
    products = sum(inputs[:, None, c] * filters[None, :, c] for c in range(x.shape[1]))
    return both_axes(to_outputs, products)


def direct(x, w):
    taps = range(w.shape[-1])
    return sum(
        x[:, None, c, i : i + OUTPUTS, j : j + OUTPUTS] * w[None, :, c, i, j, None, None]
        for c in range(x.shape[1])
        for i in taps
        for j in taps
    )


def compare(taps, channels):
    rng = np.random.default_rng(0)
    size = OUTPUTS + taps - 1
    x = rng.standard_normal((TILES, channels, size, size), np.float32)
    w = rng.standard_normal((FILTERS, channels, taps, taps), np.float32)
    exact = direct(x.astype(np.float64), w.astype(np.float64))

    def show(name, result):
        error = np.abs(result - exact) / np.abs(exact).max()
        print(f"{name:<16} largest {error.max():.1e}  mean {error.mean():.1e}")

    print(f"{taps} taps")
    for a, b in SETS:
        show(f"a {a:.3f}  b {b:.3f}", by_points(x, w, (0, a, -a, b, -b)[: size - 1]))
    show("direct", direct(x, w))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--channels", type=int, default=128, help="default: %(default)s")
    options = parser.parse_args()
    for taps in 3, 2:
        compare(taps, options.channels)


if __name__ == "__main__":
    main()
