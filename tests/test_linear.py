"""linear and its gradients against loops."""

import itertools

import isas
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv

ROWS = st.sampled_from(((), (0,), (1,), (3,), (8,), (9,), (40,), (2, 3), (2, 0, 3), (3, 2, 4)))
FEATURES = st.one_of(st.integers(1, 40), st.sampled_from((64, 65, 100)))


def numbers(seed, shape, dtype, layout="C"):
    array = np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)
    array = lay_out(array, layout) if len(shape) > 1 else array
    array.flags.writeable = False
    return array


@examples(150)
@given(
    rows=ROWS,
    features=FEATURES,
    outputs=FEATURES,
    dtype=st.sampled_from("fd"),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    with_bias=st.booleans(),
    num_threads=st.integers(1, 4),
    isa=st.sampled_from(isas.AVAILABLE),
)
def test_against_loops(rows, features, outputs, dtype, layouts, with_bias, num_threads, isa):
    x = numbers(0, (*rows, features), dtype, layouts[0])
    weight = numbers(1, (outputs, features), dtype, layouts[1])
    grad = numbers(2, (*rows, outputs), dtype, layouts[2])
    bias = numbers(3, (outputs,), dtype) if with_bias else None
    with isas.using(isa):
        y = fastconv.linear(x, weight, bias, num_threads=num_threads)
        gradients = fastconv.linear_backward(grad, x, weight, num_threads=num_threads)
    wanted = [reference.linear(x, weight, bias), *reference.linear_backward(grad, x, weight)]
    for got, want in zip([y, *gradients], wanted, strict=True):
        assert got.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(got, want)
        assert got.shape == want.shape


def test_random_data_within_rounding():
    rng = np.random.default_rng(0)
    for dtype in "fd":
        x, weight, bias = (
            rng.standard_normal(shape).astype(dtype) for shape in ((31, 300), (77, 300), (77,))
        )
        scale = reference.linear(np.abs(x), np.abs(weight), np.abs(bias))
        error = fastconv.linear(x, weight, bias) - reference.linear(x, weight, bias)
        assert np.all(np.abs(error) <= 8 * np.finfo(dtype).eps * scale)


# Wide and narrow, few rows and many: kernels exchange the arrays of grad_weight for some of them,
# cut the sums of others into depths, or leave them where the weights are, in one go or in several.
SHAPES = (
    (1, 700, 30), (3, 9000, 40), (7, 403, 500), (9, 40, 5000), (40, 2100, 90), (130, 300, 7),
    (900, 33, 50), (64, 3072, 128), (700, 512, 48),
)  # fmt: skip


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize(("rows", "features", "outputs"), SHAPES)
def test_large_layers(rows, features, outputs, dtype, isa):
    rng = np.random.default_rng(0)
    x, weight, bias, grad = (
        rng.standard_normal(shape).astype(dtype)
        for shape in ((rows, features), (outputs, features), (outputs,), (rows, outputs))
    )
    found = []
    with isas.using(isa):
        for threads in 1, 2, 3:
            y = fastconv.linear(x, weight, bias, num_threads=threads)
            gradients = fastconv.linear_backward(grad, x, weight, num_threads=threads)
            found.append((y, *gradients))
    arrays = [each.astype(np.longdouble) for each in (x, weight, bias, grad)]
    for exact, sizes, got, *others in zip(
        dense(*arrays), dense(*map(np.abs, arrays)), *found, strict=True
    ):
        assert np.all(np.abs(got - exact) <= 16 * np.finfo(dtype).eps * sizes)
        assert all(each.tobytes() == got.tobytes() for each in others)


def dense(x, weight, bias, grad):
    return x @ weight.T + bias, grad @ weight, grad.T @ x, grad.sum(0)


def test_out_and_needs():
    x, weight, grad = numbers(0, (4, 5), "f"), numbers(1, (3, 5), "f"), numbers(2, (4, 3), "f")
    out = np.full((4, 3), np.nan, "f")
    assert fastconv.linear(x, weight, out=out) is out
    np.testing.assert_array_equal(out, x @ weight.T)
    everything = fastconv.linear_backward(grad, x, weight)
    for needs in itertools.product((True, False), repeat=3):
        some = fastconv.linear_backward(grad, x, weight, needs=needs)
        assert [each is not None for each in some] == list(needs)
        for each, full in zip(some, everything, strict=True):
            assert each is None or each.tobytes() == full.tobytes()


@pytest.mark.parametrize("row", [0, 2, 4])
def test_nan_stays_in_its_row(row):
    x, weight = numbers(0, (5, 7), "f").copy(), numbers(1, (6, 7), "f")
    x[row, 3] = np.nan
    assert np.isnan(fastconv.linear(x, weight)).any(axis=1).tolist() == [r == row for r in range(5)]
