"""Kernels that walk memory once, in every build, order and number of threads, against NumPy."""

import isas
import numpy as np
import pytest
import reference_pointwise as reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv
from fastconv import functional as F
from fastconv import nn
from fastconv.functional import _passes
from fastconv.functional._arrays import as_array, is_channels_last

POISONS = (np.nan, np.inf, -np.inf, -0.0, 1e-40)


def rectified(total, gate, slope):
    keep = gate > 0 if gate is not None else ~(total < 0)
    with np.errstate(invalid="ignore"):
        return np.where(keep, total, total * total.dtype.type(slope) if slope else 0)


@examples(200)
@given(
    shape=st.sampled_from(((0,), (1,), (7,), (33, 5), (2, 3, 4), (2, 17, 5, 3), (1, 40, 40, 40))),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    with_plus=st.booleans(),
    with_gate=st.booleans(),
    slope=st.sampled_from((0.0, 0.1, 1.0, 3.0)),
    dtype=st.sampled_from("fd"),
    num_threads=st.integers(1, 3),
    isa=st.sampled_from(isas.AVAILABLE),
    seed=st.integers(0, 9),
)
def test_rectify(shape, layouts, with_plus, with_gate, slope, dtype, num_threads, isa, seed):
    rng = np.random.default_rng(seed)
    arrays = []
    for layout in layouts:
        array = rng.integers(-3, 4, shape).astype(dtype)
        array[rng.random(shape) < 0.1] = rng.choice(POISONS[:4])
        array = lay_out(array, layout) if array.ndim > 1 else array
        arrays.append(as_array("test", "array", array))
    x, plus, gate = arrays[0], arrays[1] if with_plus else None, arrays[2] if with_gate else None
    with isas.using(isa), np.errstate(invalid="ignore"):
        got = _passes.rectify("test", x, plus, gate, slope, num_threads)
        want = rectified(x if plus is None else x + plus, gate, slope)
    np.testing.assert_array_equal(got, want)
    assert got.dtype == x.dtype


def threaded(call, counts=(1, 2, 3)):
    """What the call returns, after a check that its bits are those of any number of threads."""
    results = [call(num_threads) for num_threads in counts]
    bits = [[np.asarray(each).tobytes() for each in result] for result in results]
    assert all(each == bits[0] for each in bits)
    return results[0]


SHAPES = ((0,), (1,), (7,), (33, 5), (2, 3, 4), (2, 17, 5, 3), (1, 40, 40, 40), (3, 0, 2))


def alike(shape, layouts, dtype, poisoned, seed):
    """Arrays of one shape, some of their values poison."""
    rng = np.random.default_rng(seed)
    for layout in layouts:
        array = rng.standard_normal(shape).astype(dtype)
        if poisoned:
            array[rng.random(shape) < 0.05] = rng.choice(POISONS[:4])
        array = lay_out(array, layout) if array.ndim > 1 else array
        yield as_array("test", "array", array)


pairs = given(
    pair=st.tuples(
        st.sampled_from(SHAPES),
        st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
        st.sampled_from("fd"),
        st.booleans(),
        st.integers(0, 9),
    ),
    isa=st.sampled_from(isas.AVAILABLE),
    factor=st.sampled_from((None, 1, 0.3)),
    count=st.sampled_from((1, 9, 0)),
)


@examples(150)
@pairs
def test_gradients_by_what_came_out(pair, isa, factor, count):
    g, x = alike(*pair)
    with np.errstate(invalid="ignore", over="ignore"):
        sigmoid = 1 / (1 + np.exp(-x))
        cases = (
            ("of_tanh", np.tanh(x), lambda y: (1 - y) * (1 + y)),
            ("of_sigmoid", sigmoid, lambda y: y * (1 - y)),
        )
        for kind, y, slope in cases:
            with isas.using(isa):
                (got,) = threaded(lambda n: [_passes.smooth("test", kind, y, g, num_threads=n)])  # noqa: B023
            want = g * slope(y)
            np.testing.assert_allclose(got, want, rtol=4 * np.finfo(y.dtype).eps)
            assert got.dtype == y.dtype
            assert not y.size or is_channels_last(got) == is_channels_last(y)


@examples(150)
@pairs
def test_squares(pair, isa, factor, count):
    a, b = alike(*pair)
    with isas.using(isa):
        mean, apart = threaded(lambda n: _passes.squares("test", a, b, count, factor, n))
    with np.errstate(invalid="ignore", divide="ignore"):
        want = (a - b) * a.dtype.type(factor or 0)
        total = np.divide(np.sum(np.square(a.astype("d") - b)), count)
    eps = np.finfo(a.dtype).eps
    np.testing.assert_allclose(mean, total, rtol=10 * eps)
    assert mean.dtype == a.dtype
    if factor is None:
        assert apart is None
    else:
        np.testing.assert_allclose(apart, want, rtol=4 * eps)
        assert not a.size or is_channels_last(apart) == is_channels_last(a)


@examples(200)
@given(
    pair=st.tuples(
        st.sampled_from(SHAPES),
        st.tuples(*[st.sampled_from(LAYOUTS)] * 4),
        st.sampled_from("fd"),
        st.just(False),
        st.integers(0, 9),
    ),
    weighted=st.booleans(),
    positive=st.booleans(),
    with_losses=st.booleans(),
    with_gradient=st.booleans(),
    count=st.sampled_from((1, 9, 0)),
    isa=st.sampled_from(isas.AVAILABLE),
)
def test_binary_cross_entropy(pair, weighted, positive, with_losses, with_gradient, count, isa):
    x, target, weight, times = alike(*pair)
    x, target, times = x * 5, np.abs(np.tanh(target)), np.abs(times)
    weight, times = weight if weighted else None, times if positive else None

    def call(num_threads):
        found = _passes.binary_cross_entropy(
            "test", x, target, weight, times, count, with_losses, with_gradient, num_threads
        )
        return [np.zeros(0) if each is None else each for each in found]

    with isas.using(isa):
        losses, total, gradient = threaded(call)
    wide, q = x.astype("d"), target.astype("d")
    w, t = (1.0 if each is None else each.astype("d") for each in (weight, times))
    minus_log = np.log1p(np.exp(-np.abs(wide))) - np.minimum(wide, 0)
    want = w * ((1 - q) * wide + (1 + (t - 1) * q) * minus_log)
    slope = w * ((1 - q) - (1 + (t - 1) * q) / (1 + np.exp(wide))) / max(count, 1)
    eps = np.finfo(x.dtype).eps
    size = 1 + np.max(np.abs(want), initial=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_allclose(
            total, np.divide(want.sum(), count), rtol=20 * eps, atol=eps * (1 + want.size) * size
        )
    assert total.dtype == x.dtype
    for wanted, got, each in ((with_losses, losses, want), (with_gradient, gradient, slope)):
        if wanted:
            np.testing.assert_allclose(got, each, rtol=20 * eps, atol=20 * eps * size)
            assert not x.size or is_channels_last(got) == is_channels_last(x)


# More positions than one task's, more classes than a block's elements.
LOGITS = (
    (1, 1), (5, 3), (700, 10), (3, 1000), (3, 5000), (4, 3, 1), (3, 4, 65), (2, 1, 7),
    (2, 21, 40, 37), (0, 3), (0, 3, 2),
)  # fmt: skip


@examples(300)
@given(
    shape=st.sampled_from(LOGITS),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
    dtype=st.sampled_from("fd"),
    spread=st.sampled_from((1, 30, 1000)),
    poisoned=st.booleans(),
    weighted=st.booleans(),
    smoothing=st.sampled_from((0.0, 0.1, 1.0)),
    ignored=st.sampled_from((-100, 0, 1)),
    with_indices=st.booleans(),
    mean=st.booleans(),
    seed=st.integers(0, 9),
)
def test_cross_entropy(
    shape, layouts, dtype, spread, poisoned, weighted, smoothing, ignored, with_indices, mean, seed
):
    rng = np.random.default_rng(seed)
    batch, classes, *space = shape
    x = (rng.standard_normal(shape) * spread).astype(dtype)
    if poisoned:
        x[rng.random(shape) < 0.01] = rng.choice((np.nan, np.inf, -np.inf))
    weight = rng.random(classes).astype(dtype) if weighted else None
    column = (classes, *(1,) * len(space))
    factors = weight.astype("d").reshape(column) if weighted else np.ones(column)
    if with_indices:
        target = rng.integers(0, classes, (batch, *space))
        target[rng.random(target.shape) < 0.2] = ignored
        counted = np.expand_dims(target != ignored, 1)
        q = np.expand_dims(target, 1) == np.arange(classes).reshape(column)
        count = np.sum(q * counted * factors)
        targets = target.ravel(), None
    else:
        target = rng.random(shape).astype(dtype) * (rng.random(shape) < 0.7)
        q, counted, count = target.astype("d"), 1, batch * int(np.prod(space))
        targets = None, as_array("test", "target", lay_out(target, layouts[1]))
    x = as_array("test", "input", lay_out(x, layouts[0]))

    def call(num_threads, with_gradient=True):
        return _passes.cross_entropy(
            "test", x, *targets, weight, ignored, smoothing, mean, with_gradient, num_threads
        )

    wrong, losses, value, gradient = threaded(call)
    assert wrong == -1
    assert losses.dtype == value.dtype == gradient.dtype == x.dtype
    assert not x.size or is_channels_last(gradient) == is_channels_last(x)
    np.testing.assert_array_equal(call(1, False)[1], losses)
    np.testing.assert_array_equal(call(1, False)[2], value)

    wanted = (q * (1 - smoothing) + smoothing / classes) * factors * counted
    divisor = count if mean else 1
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x.astype("d") - x.max(1, keepdims=True)
        powers = np.exp(shifted)
        sums = powers.sum(1, keepdims=True)
        want = -np.where(wanted != 0, wanted * (shifted - np.log(sums)), 0).sum(1)
        slope = powers / sums * wanted.sum(1, keepdims=True) - wanted
        slope *= 1 / divisor if divisor else 0
        total = np.divide(np.sum(losses.astype("d")), divisor)
    eps = np.finfo(dtype).eps
    rounding = 20 * eps + classes * np.finfo("d").eps  # sums are in double
    size = np.max(np.abs(wanted).sum(1), initial=0) * (1 / divisor if divisor else 0)
    np.testing.assert_allclose(losses, want, rtol=rounding, atol=rounding)
    np.testing.assert_allclose(gradient, slope, rtol=rounding, atol=4 * eps * size)
    np.testing.assert_allclose(value, total, rtol=rounding)


def test_exponentials_of_float32():
    """The softmax of two classes, over all that a logit can lie below the largest."""
    below = np.linspace(0, 120, 20001)
    x = np.stack([np.zeros(below.size), -below], 1).astype("f")
    target = np.zeros(len(x), np.int64)
    _, losses, _, gradient = _passes.cross_entropy(
        "test", x, target, None, None, -100, 0.0, False, True
    )
    powers = np.exp(x[:, 1].astype("d"))
    np.testing.assert_allclose(losses, np.log1p(powers), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(gradient[:, 1], powers / (1 + powers), rtol=3e-7, atol=2e-38)


@examples(150)
@given(
    batch=st.sampled_from((1, 2, 5, 70)),
    channels=st.sampled_from((1, 3, 16, 24, 37)),
    space=st.sampled_from(((), (1,), (9,), (5, 7), (4, 3, 6), (130, 70))),
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from("fd"),
    affine=st.booleans(),
    isa=st.sampled_from(isas.AVAILABLE),
    seed=st.integers(0, 9),
)
def test_batch_norm(batch, channels, space, layout, dtype, affine, isa, seed):
    rng = np.random.default_rng(seed)
    shape = (batch, channels, *space)
    if batch * int(np.prod(space)) < 2 or np.prod(shape) > 2e6:
        return
    x, g = (lay_out(rng.standard_normal(shape).astype(dtype), layout) for _ in range(2))
    x = (x + x.dtype.type(3)) if layout == "C" else x
    weight, bias = rng.standard_normal((2, channels)).astype(dtype) if affine else (None, None)
    results = []
    with isas.using(isa):
        for num_threads in (1, 2, 3):
            y, saved = F.batch_norm(x, None, None, weight, bias, True, num_threads=num_threads)
            back = F.batch_norm_backward(g, x, weight, saved, True, num_threads=num_threads)
            results.append([y, *saved, *back])
    for result in results[1:]:
        assert [each.tobytes() for each in result] == [each.tobytes() for each in results[0]]
    wide, wide_g = x.astype("d"), g.astype("d")
    axes = (0, *range(2, x.ndim))
    mean = wide.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(wide.var(axes, keepdims=True) + 1e-5)
    normal = (wide - mean) * inverse
    factor = np.ones(channels) if weight is None else weight.astype("d")
    factor = factor.reshape(1, -1, *(1,) * len(space))
    want_y = normal * factor + (0 if bias is None else bias.reshape(factor.shape))
    scaled = wide_g * factor
    along = (scaled * normal).mean(axes, keepdims=True)
    want_gx = inverse * (scaled - scaled.mean(axes, keepdims=True) - normal * along)
    want = [want_y, mean.ravel(), inverse.ravel(), want_gx, (wide_g * normal).sum(axes),
            wide_g.sum(axes)]  # fmt: skip
    rounding = np.finfo(dtype).eps * 50 * (1 + inverse.max())
    # A sum that happens to be small was as large on its way as other sums of such terms are.
    usual = [10 * np.sqrt(np.square(terms).sum(axes)).max() for terms in (wide_g * normal, wide_g)]
    sizes = [*(abs(each).max() for each in want[:-2]), *usual]
    sizes[3] *= 1 + inverse.max()  # a difference of terms as much larger
    for got, each, size in zip(results[0], want, sizes, strict=True):
        np.testing.assert_allclose(got, each, rtol=rounding, atol=rounding * (1 + size))


# Groups of one run and of many rows, blocks for all threads and for few of them.
GROUPED = (
    (1, 6), (70, 48), (3, 12, 1), (2, 48, 9), (70, 6, 2, 2), (5, 40, 7, 8), (2, 12, 8, 8),
    (40, 6, 8, 9), (1, 64, 18, 17), (3, 34, 4, 3, 6), (2, 6, 70, 130), (1, 300, 20, 5), (9, 1, 20),
)  # fmt: skip


def assert_normalized(got, want, terms, dtype, axes):
    """got, want: (y, mean, inverse, *gradients); terms: those that the last two are sums of."""
    rounding = 50 * np.finfo(dtype).eps
    sizes = [1 + abs(each).max() for each in want[:4]]
    sizes[3] *= 1 + want[2].max()  # a difference of terms as much larger
    # A sum that happens to be small was as large on its way as other sums of such terms are.
    sizes += [1 + 10 * np.sqrt(np.square(each).sum(axes)).max() for each in terms]
    for each, right, size in zip(got, want, sizes, strict=True):
        assert each.dtype == dtype
        assert each.shape == right.shape
        atol = rounding * (1 + want[2].max()) * size
        np.testing.assert_allclose(each, right, rtol=rounding, atol=atol)


def within_examples(shapes):
    return given(
        shape=st.sampled_from(shapes),
        count=st.integers(1, 5),
        layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
        dtype=st.sampled_from("fd"),
        affine=st.booleans(),
        mean=st.sampled_from((0, 3)),
        eps=st.sampled_from((1e-5, 0.5)),
        isa=st.sampled_from(isas.AVAILABLE),
        seed=st.integers(0, 9),
    )


def normalized(call, x, isa):
    """What the call returns for any number of threads; output and grad_input have x's order."""
    with isas.using(isa):
        got = threaded(call, (1, 2, 3, 8))
    last = is_channels_last(as_array("test", "input", x))
    assert [is_channels_last(each) for each in (got[0], got[3])] == [last, last]
    return got


@examples(200)
@within_examples(GROUPED)
def test_group_norm(shape, count, layouts, dtype, affine, mean, eps, isa, seed):
    rng = np.random.default_rng(seed)
    x, g = ((rng.standard_normal(shape) + shift).astype(dtype) for shift in (mean, 0))
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype) if affine else (None, None)
    divisors = [each for each in range(1, shape[1] + 1) if shape[1] % each == 0]
    groups = divisors[count * len(divisors) // 6]
    laid_x, laid_g = map(lay_out, (x, g), layouts)

    def call(num_threads):
        y, saved = F.group_norm(laid_x, groups, weight, bias, eps, num_threads=num_threads)
        return y, *saved, *F.group_norm_backward(
            laid_g, laid_x, groups, weight, saved, num_threads=num_threads
        )  # fmt: skip

    got = normalized(call, laid_x, isa)
    wide = x.astype("d").reshape(shape[0], groups, -1)
    means, inverse = wide.mean(-1), 1 / np.sqrt(wide.var(-1) + eps)
    column = (-1, *(1,) * (len(shape) - 2))
    factor = np.ones(shape[1]) if weight is None else weight
    normal = ((wide - means[..., None]) * inverse[..., None]).reshape(shape)
    y = normal * factor.reshape(column) + (0 if bias is None else bias.reshape(column))
    gradients = reference.group_norm_backward(g, x, groups, factor, eps)
    want = y, means, inverse, *gradients
    assert_normalized(got, want, (g * normal, g), dtype, (0, *range(2, len(shape))))


LAYERED = (
    (7,), (300, 5), (70, 48), (3, 12, 17), (2, 48, 9), (7, 6, 2, 33), (5, 40, 7, 8), (200, 20),
    (2, 3, 4, 3, 6), (33, 1, 5000), (1, 6, 70, 130),
)  # fmt: skip


@examples(200)
@within_examples(LAYERED)
def test_layer_norm(shape, count, layouts, dtype, affine, mean, eps, isa, seed):
    rng = np.random.default_rng(seed)
    x, g = ((rng.standard_normal(shape) + shift).astype(dtype) for shift in (mean, 0))
    over = shape[-min(count, len(shape)) :]
    weight, bias = rng.standard_normal((2, *over)).astype(dtype) if affine else (None, None)
    laid_x, laid_g = map(lay_out, (x, g), layouts) if len(shape) > 1 else (x, g)

    def call(num_threads):
        y, saved = F.layer_norm(laid_x, over, weight, bias, eps, num_threads=num_threads)
        return y, *saved, *F.layer_norm_backward(
            laid_g, laid_x, over, weight, saved, num_threads=num_threads
        )  # fmt: skip

    got = normalized(call, laid_x, isa)
    axes = tuple(range(len(shape) - len(over), len(shape)))
    wide = x.astype("d")
    means = wide.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(wide.var(axes, keepdims=True) + eps)
    factor = np.ones(over) if weight is None else weight
    normal = (wide - means) * inverse
    y = normal * factor + (0 if bias is None else bias)
    want = y, means, inverse, *reference.layer_norm_backward(g, x, over, factor, eps)
    assert_normalized(got, want, (g * normal, g), dtype, tuple(range(len(shape) - len(over))))


@examples(150)
@given(
    ndim=st.integers(1, 3),
    channels=st.sampled_from((16, 17, 24, 40)),
    kernel=st.sampled_from((1, 2, 3)),
    dtype=st.sampled_from("fd"),
    poisoned=st.booleans(),
    num_threads=st.integers(1, 3),
    isa=st.sampled_from(isas.AVAILABLE),
    seed=st.integers(0, 9),
)
def test_pools_that_tile(ndim, channels, kernel, dtype, poisoned, num_threads, isa, seed):
    """The same values and gradients as those of the functional, which keeps places."""
    rng = np.random.default_rng(seed)
    space = rng.integers(kernel, 9, ndim)
    x = rng.integers(-2, 3, (rng.integers(1, 4), channels, *space)).astype(dtype)
    if poisoned:
        x[rng.random(x.shape) < 0.2] = rng.choice(POISONS)
    name = f"max_pool{ndim}d"
    want, indices = getattr(F, name)(x, kernel, return_indices=True)
    g = rng.standard_normal(want.shape).astype(dtype)
    want_gx = getattr(F, f"{name}_backward")(g, indices, x.shape)
    pool = getattr(nn, f"MaxPool{ndim}d")(kernel)
    with isas.using(isa), fastconv.num_threads(num_threads):
        for grad in (g, F.channels_last(g)):
            got = pool(F.channels_last(x))
            np.testing.assert_array_equal(got, want)
            np.testing.assert_array_equal(pool.backward(grad), want_gx)
        np.testing.assert_array_equal(pool.eval()(F.channels_last(x)), want)


def test_a_tiling_pool_refuses_a_gradient_of_another_shape():
    pool = nn.MaxPool2d(2)
    pool(F.channels_last(np.zeros((2, 16, 4, 4), np.float32)))
    with pytest.raises(ValueError, match="grad_output must have shape"):
        pool.backward(np.zeros((2, 16, 4, 4), np.float32))


def test_a_single_channel_is_channels_last_by_its_stride():
    x = np.zeros((2, 1, 5, 4), np.float32)
    weight = np.ones((3, 1, 3, 3), np.float32)
    last = F.channels_last(x)
    assert np.shares_memory(last, x)
    assert F.conv2d(x, weight).flags.c_contiguous
    assert F.conv2d(last, weight).transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("size", [1, 15, 1000, 40000])
def test_optimizer_steps_do_not_depend_on_threads(isa, size):
    from fastconv import optim

    results = []
    for num_threads in (1, 2, 3):
        rng = np.random.default_rng(0)
        state = b""
        with isas.using(isa), fastconv.num_threads(num_threads):
            for make in (
                lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
                lambda p: optim.AdamW(p, 0.1, amsgrad=True),
            ):
                parameter = nn.Parameter(rng.standard_normal(size).astype(np.float32))
                optimizer = make([parameter])
                for _ in range(3):
                    parameter.grad = rng.standard_normal(size).astype(np.float32)
                    optimizer.step()
                state += parameter.data.tobytes()
        results.append(state)
    assert results[0] == results[1] == results[2]
