"""Kernels that walk memory once, in every build, order and number of threads, against NumPy."""

import isas
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv
from fastconv import functional as F
from fastconv import nn
from fastconv.functional import _passes
from fastconv.functional._arrays import as_array

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
    size = [abs(each).max() for each in want]
    # A sum may be far smaller than its terms: what rounding leaves of those is a random walk.
    size[4:] = [np.sqrt(np.square(each).sum(axes)).max() for each in (wide_g * normal, wide_g)]
    for got, each, most in zip(results[0], want, size, strict=True):
        np.testing.assert_allclose(got, each, rtol=rounding, atol=rounding * (1 + most))


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
