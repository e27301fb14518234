"""interpolate against a matrix for each axis, in exact fractions, and PyTorch."""

import isas
import numpy as np
import pytest
import reference_pointwise as reference
from checks import using_threads
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv.functional as F
from fastconv.functional._arrays import is_channels_last

LINEAR = (None, "linear", "bilinear", "trilinear")
SCALES = (0.3, 0.5, 0.75, 1, 1.0, 1.25, 1.6, 2, 2.5, 3)


@st.composite
def problems(draw, scales=SCALES):
    """(input shape, options of interpolate, output sizes), with an output."""
    ndim = draw(st.integers(1, 3))
    space = tuple(draw(st.integers(1, 9 // ndim)) for _ in range(ndim))
    mode = draw(st.sampled_from(("nearest", "nearest-exact", LINEAR[ndim])))
    options = {"mode": mode}
    if mode == LINEAR[ndim]:
        options["align_corners"] = draw(st.sampled_from((None, False, True)))
    if draw(st.booleans()):
        sizes = tuple(draw(st.integers(1, 24 // ndim)) for _ in range(ndim))
        options["size"] = sizes
    else:
        scale = tuple(draw(st.sampled_from(scales)) for _ in range(ndim))
        sizes = tuple(int(n * s) for n, s in zip(space, scale, strict=True))
        options["scale_factor"] = scale
        options["recompute_scale_factor"] = draw(st.sampled_from((None, False, True)))
        if min(sizes) < 1:
            space = sizes = (4,) * ndim
            options["scale_factor"] = 1
    return (draw(st.sampled_from((1, 2, 0))), 3, *space), options, sizes


def matrices(shape, options, sizes):
    """For each spatial axis the matrix (out, in) that `interpolate` multiplies by."""
    scale = options.get("scale_factor")
    if scale is None or options["recompute_scale_factor"]:
        scale = (None,) * len(sizes)
    elif scale == 1:
        scale = (1,) * len(sizes)
    more = options["mode"], options.get("align_corners")
    axes = zip(shape[2:], sizes, scale, strict=True)
    return [reference.axis_weights(n, out, s, *more) for n, out, s in axes]


def apply(matrices, x):
    for axis, matrix in enumerate(matrices, 2):
        x = np.moveaxis(np.tensordot(x, matrix, (axis, 1)), -1, axis)
    return x


@examples(300)
@given(problems(), st.sampled_from("fd"), st.sampled_from(LAYOUTS), st.integers(0, 99))
def test_any_grid(problem, dtype, layout, seed):
    shape, options, sizes = problem
    x = lay_out(np.random.default_rng(seed).standard_normal(shape).astype(dtype), layout)
    x.flags.writeable = False
    y = F.interpolate(x, **options)
    assert y.dtype == np.dtype(dtype)
    want = apply(matrices(shape, options, sizes), x)
    np.testing.assert_allclose(y, want, atol=1e-5 if dtype == "f" else 1e-13)
    if "nearest" in options["mode"]:
        np.testing.assert_array_equal(y, want)
    if layout == "channels_last" and y.size and min(x.shape[2:]) > 1:
        assert np.moveaxis(y, 1, -1).flags.c_contiguous


@examples(300)
@given(problems(), st.sampled_from("fd"), st.sampled_from(LAYOUTS), st.integers(0, 99))
def test_backward_is_the_transpose(problem, dtype, layout, seed):
    shape, options, sizes = problem
    g = np.random.default_rng(seed).integers(-9, 10, (*shape[:2], *sizes))
    g = lay_out(g.astype(dtype), layout)
    g.flags.writeable = False
    before = g.copy()
    gx = F.interpolate_backward(g, shape, **options)
    np.testing.assert_array_equal(g, before)
    assert gx.dtype == np.dtype(dtype)
    assert gx.shape == shape
    want = apply([matrix.T for matrix in matrices(shape, options, sizes)], g)
    np.testing.assert_allclose(gx, want, atol=1e-4 if dtype == "f" else 1e-12)


# (shape, output sizes): fewer channels than lanes, whole vectors and parts of them; rows of several
# tasks, and runs longer than those; rows that leave lanes empty.
GRIDS = (
    ((1, 1, 5), (11,)),
    ((3, 5, 700), (1400,)),
    ((1, 1, 5000), (7001,)),
    ((2, 40, 900), (451,)),
    ((1, 17, 3), (2900,)),
    ((1, 2, 2900), (3,)),
    ((2, 3, 9, 11), (18, 22)),
    ((2, 16, 7, 10), (7, 20)),
    ((1, 33, 12, 8), (5, 31)),
    ((1, 7, 40, 70), (80, 140)),
    ((2, 4, 3, 5, 7), (6, 10, 14)),
    ((1, 19, 5, 4, 6), (2, 9, 6)),
)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize(("shape", "sizes"), GRIDS)
def test_every_build_order_and_number_of_threads(shape, sizes, dtype, isa):
    """Values, gradients, and <interpolate(x), g> = <x, interpolate_backward(g)>."""
    rng = np.random.default_rng(0)
    # A place between two cells is as good as double has it.
    eps = np.finfo(dtype).eps + max(shape + sizes) * np.finfo("d").eps
    x = rng.integers(-9, 10, shape).astype(dtype)
    g = rng.integers(-9, 10, (*shape[:2], *sizes)).astype(dtype)
    for mode in ("nearest", LINEAR[len(sizes)]):
        options = {"size": sizes, "mode": mode}
        weights = matrices(shape, options, sizes)
        transposed = [matrix.T for matrix in weights]
        want, want_gx = apply(weights, x), apply(transposed, g)
        room = 0 if mode == "nearest" else 9 * eps * apply(transposed, abs(g)).max()
        for order in (np.ascontiguousarray, F.channels_last):
            found = []
            for num_threads in (1, 2, 3, 8):
                with isas.using(isa), using_threads(num_threads):
                    y = F.interpolate(order(x), **options)
                    gx = F.interpolate_backward(order(g), shape, **options)
                found.append(y.tobytes() + gx.tobytes())
            assert len(set(found)) == 1
            np.testing.assert_allclose(y, want, rtol=0, atol=min(room, 99 * eps))
            np.testing.assert_allclose(gx, want_gx, rtol=0, atol=room)
            assert is_channels_last(y) == is_channels_last(order(g))
            assert is_channels_last(gx) == is_channels_last(order(x))
            products = [np.vdot(y.astype("d"), g), np.vdot(x, gx.astype("d"))]
            assert abs(products[0] - products[1]) <= room * abs(x).sum()


@examples(200)
@given(
    problem=problems(),
    channels=st.sampled_from((1, 2, 5, 16, 19, 64)),
    dtype=st.sampled_from("fd"),
    layout=st.sampled_from(LAYOUTS),
    num_threads=st.sampled_from((1, 2, 3, 8)),
    isa=st.sampled_from(isas.AVAILABLE),
    seed=st.integers(0, 99),
)
def test_any_number_of_channels(problem, channels, dtype, layout, num_threads, isa, seed):
    shape, options, sizes = problem
    shape = (shape[0], channels, *shape[2:])
    rng = np.random.default_rng(seed)
    x = lay_out(rng.standard_normal(shape).astype(dtype), layout)
    g = lay_out(rng.standard_normal((*shape[:2], *sizes)).astype(dtype), layout)
    with isas.using(isa), using_threads(num_threads):
        y, gx = F.interpolate(x, **options), F.interpolate_backward(g, shape, **options)
    weights = matrices(shape, options, sizes)
    rounding = 1e-4 if dtype == "f" else 1e-12
    np.testing.assert_allclose(y, apply(weights, x), atol=rounding)
    np.testing.assert_allclose(gx, apply([each.T for each in weights], g), atol=rounding)
    products = np.vdot(y.astype("d"), g), np.vdot(x, gx.astype("d"))
    np.testing.assert_allclose(*products, atol=rounding * (1 + x.size + g.size))


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("shape", [(1, 3, 7, 5), (2, 24, 9, 13)])
def test_nearest_keeps_every_bit(shape, dtype, isa):
    """Denormal numbers, -0 and the NaN of any payload among them."""
    size = np.dtype(dtype).itemsize
    bits = np.random.default_rng(0).integers(0, 256, (*shape, size), np.uint8)
    x = bits.view(dtype)[..., 0]
    x[..., 0, :2] = np.finfo(dtype).smallest_subnormal, -0.0
    want = x.view(f"u{size}").repeat(2, 2).repeat(3, 3)
    for order in (np.ascontiguousarray, F.channels_last):
        for num_threads in (1, 3):
            with isas.using(isa), using_threads(num_threads):
                y = F.interpolate(order(x), scale_factor=(2, 3))
            np.testing.assert_array_equal(y.view(f"u{size}"), want)


@examples(150)
@given(problems(scales=(0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)), st.integers(0, 99))
def test_pytorch_agrees(problem, seed):
    torch = pytest.importorskip("torch")
    shape, options, sizes = problem
    shape = (2, *shape[1:])
    special = any(out in (n, 2 * n) for n, out in zip(shape[2:], sizes, strict=True))
    if special and options["mode"] == "nearest" and "scale_factor" in options:
        return  # there some of its kernels go by the sizes and some by the factors
    x = np.random.default_rng(seed).standard_normal(shape)
    tensor = torch.tensor(x, requires_grad=True)
    want = torch.nn.functional.interpolate(tensor, **options)
    np.testing.assert_allclose(F.interpolate(x, **options), want.detach(), atol=1e-13)
    g = np.random.default_rng(seed).standard_normal(want.shape)
    want.backward(torch.tensor(g))
    got = F.interpolate_backward(g, shape, **options)
    np.testing.assert_allclose(got, tensor.grad, atol=1e-12)


@pytest.mark.parametrize("factors", [2, (3, 1), (1, 2)])
def test_whole_factors_repeat(factors):
    x = np.arange(24.0).reshape(2, 2, 2, 3)
    rows, columns = (factors, factors) if isinstance(factors, int) else factors
    want = x.repeat(rows, axis=2).repeat(columns, axis=3)
    np.testing.assert_array_equal(F.interpolate(x, scale_factor=factors), want)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [4, 5, 9])
def test_nan_and_infinity_stay_where_they_count(size, align_corners, poison):
    weights = reference.axis_weights(5, size, None, "linear", align_corners)
    for cell in range(5):
        x = np.ones((1, 1, 5))
        x[..., cell] = poison
        y = F.interpolate(x, size, mode="linear", align_corners=align_corners)
        np.testing.assert_array_equal(np.isfinite(y[0, 0]), weights[:, cell] == 0)
        g = np.ones((1, 1, size))
        g[..., cell % size] = poison
        gx = F.interpolate_backward(g, x.shape, size, mode="linear", align_corners=align_corners)
        np.testing.assert_array_equal(np.isfinite(gx[0, 0]), weights[cell % size] == 0)


X = np.zeros((1, 2, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.interpolate(X), ValueError, "interpolate: one of size and scale_factor is"),
        (lambda: F.interpolate(X, 2, 2), ValueError, "one of size and scale_factor is needed"),
        (lambda: F.interpolate(X, (2, 2, 2)), ValueError, "size must be an integer or 2 of them"),
        (lambda: F.interpolate(X, None, (2, 2, 2)), ValueError, "must be a number or 2 of them"),
        (lambda: F.interpolate(X, -1), ValueError, "size must be at least 1, got -1"),
        (lambda: F.interpolate(X, True), TypeError, "size must be an integer, got True"),
        (lambda: F.interpolate(X, None, 0.3), ValueError, r"leaves nothing of \(4, 3\)"),
        (lambda: F.interpolate(X, None, np.nan), ValueError, "must be finite and above 0, got nan"),
        (lambda: F.interpolate(X, None, 1e300), OverflowError, "scale_factor 1e.300 is too large"),
        (lambda: F.interpolate(X, 2**62), OverflowError, "an output of shape .* is too large"),
        (lambda: F.interpolate(X, (2**58, 1)), MemoryError, "interpolate: no memory for sizes"),
        (lambda: F.interpolate(X, 2, mode="cubic"), ValueError, "mode must be one of nearest,"),
        (lambda: F.interpolate(X, 2, mode="linear"), ValueError, "'linear' is for 1 spatial axes"),
        (
            lambda: F.interpolate(X, 2, align_corners=False),
            ValueError,
            "align_corners is for the linear modes, got it with 'nearest'",
        ),
        (lambda: F.interpolate(X[0, 0], 2), ValueError, r"must be \(N, C, \*space\) of 1 to 3"),
        (lambda: F.interpolate(X[:, :, :0], 2), ValueError, "must have no empty spatial axis"),
        (lambda: F.interpolate(X.astype(int), 2), TypeError, "must be float32 or float64"),
        (
            lambda: F.interpolate_backward(X, (1, 2, 2, 2), scale_factor=2),
            ValueError,
            r"grad_output must have the shape \(1, 2, 4, 4\) of the output, got \(1, 2, 4, 3\)",
        ),
        (
            lambda: F.interpolate_backward(X, 3, scale_factor=2),
            TypeError,
            "interpolate_backward: input_shape must be a tuple of integers, got 3",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
