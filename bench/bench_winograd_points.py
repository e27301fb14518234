"""Which points Winograd's F(4, 3) should use: the error of several sets in float32.

    python bench/bench_winograd_points.py [--channels N]

A tile of 4 x 4 outputs is computed from 6 x 6 inputs through the points 0, a, -a, b, -b and
infinity, all in float32, plainly in NumPy.  The error is over the largest output; the last line is
the direct sum.  The kernels (fastconv/_kernels/winograd_transform.pxi) use a = 3/4, b = 3/2: short
binary fractions make the transforms exact, and of those it is among the best.
"""

import argparse

import numpy as np

SETS = (
    (1, 2), (1, 1 / 2), (1 / 2, 3 / 2), (5 / 8, 3 / 2), (3 / 4, 3 / 2), (3 / 4, 5 / 4),
    (2 / 3, 3 / 2), (2**-0.5, 2**0.5),
)  # fmt: skip
TILES, FILTERS = 64, 32


def matrices(a, b):
    """(B', G, A') of Lavin & Gray (2015), equation 8, for m = 4 outputs and r = 3 taps."""
    points = [0, a, -a, b, -b]
    others = [[y for y in points if y != x] for x in points]
    to_points = np.zeros((6, 6))
    for row, each in enumerate(others):
        to_points[row, :5] = np.poly(each)[::-1]
    to_points[5] = np.poly(points)[::-1]
    slopes = [np.prod([x - y for y in each]) for x, each in zip(points, others, strict=True)]
    powers = np.vander(points, 4, increasing=True)
    of_filter = np.vstack([powers[:, :3] / np.array(slopes)[:, None], [0, 0, 1]])
    to_outputs = np.vstack([powers, [0, 0, 0, 1]]).T
    return [each.astype(np.float32) for each in (to_points, of_filter, to_outputs)]


def both_axes(matrix, tiles):
    """matrix tile matrix', term by term in the type of its arguments."""
    rows = sum(matrix[:, [j]] * tiles[..., [j], :] for j in range(tiles.shape[-2]))
    return sum(rows[..., [j]] * matrix[:, j] for j in range(tiles.shape[-1]))


def by_points(x, w, a, b):
    to_points, of_filter, to_outputs = matrices(a, b)
    inputs, filters = both_axes(to_points, x), both_axes(of_filter, w)
    products = sum(inputs[:, None, c] * filters[None, :, c] for c in range(x.shape[1]))
    return both_axes(to_outputs, products)


def direct(x, w):
    return sum(
        x[:, None, c, i : i + 4, j : j + 4] * w[None, :, c, i, j, None, None]
        for c in range(x.shape[1])
        for i in range(3)
        for j in range(3)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--channels", type=int, default=128, help="default: %(default)s")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((TILES, options.channels, 6, 6), np.float32)
    w = rng.standard_normal((FILTERS, options.channels, 3, 3), np.float32)
    exact = direct(x.astype(np.float64), w.astype(np.float64))

    def show(name, result):
        error = np.abs(result - exact) / np.abs(exact).max()
        print(f"{name:<16} largest {error.max():.1e}  mean {error.mean():.1e}")

    for a, b in SETS:
        show(f"a {a:.3f}  b {b:.3f}", by_points(x, w, a, b))
    show("direct", direct(x, w))


if __name__ == "__main__":
    main()
