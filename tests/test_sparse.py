"""Gradients from the cells that a max-pool took: blocks, panels and words of more than one."""

import isas
import numpy as np
import pytest
from strategies import lay_out
from test_conv_pool import BACK, POOLS, options_of

import fastconv
from fastconv import functional as F
from fastconv import nn
from fastconv.functional import _conv_images, _conv_pool, _sparse

FORWARD = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
BACKWARD = {1: F.conv1d_backward, 2: F.conv2d_backward, 3: F.conv3d_backward}

# (channels, filters, image, kernel, window, options): several blocks of windows along each axis,
# rows of filters in several tiles, more filters than bits in a word.
PROBLEMS = {
    "rows": (8, 20, (70, 61), (3, 3), (2, 2), {"padding": 1}),
    "columns": (70, 9, (9, 90), (3, 5), (2, 3), {"padding": (2, 1)}),
    "filters": (3, 150, (17, 18), (7, 7), (3, 2), {"stride": (1, 2), "padding": 3}),
    "wide rows": (100, 64, (12, 13), (3, 3), (2, 2), {}),
    "depth": (12, 70, (9, 11, 10), (3, 2, 3), (2, 2, 2), {"padding": 1}),
    "deep rows": (5, 4, (12, 20, 21), (2, 6, 3), (1, 3, 3), {"dilation": (2, 1, 1)}),
    "line": (40, 33, (900,), (9,), (4,), {"stride": 2, "padding": 4}),
    "many cells": (20, 30, (40, 40), (3, 3), (12, 8), {}),
    "gaps": (6, 5, (40, 41), (2, 3), (2, 2), {"stride": (4, 5)}),
    "more padding than image": (7, 6, (2, 3), (3, 3), (2, 2), {"padding": (6, 5)}),
}


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr(_conv_images, "LEAST_BATCH", 1)
    monkeypatch.setattr(_conv_images, "MOST_BYTES", 2**30)
    monkeypatch.setattr(_sparse, "LEAST_GAIN", 0)
    _conv_images._plan.cache_clear()
    yield
    _conv_images._plan.cache_clear()


def arrays(channels, filters, image, kernel, dtype, layout):
    rng = np.random.default_rng(0)
    x = lay_out(rng.integers(-2, 3, (3, channels, *image)).astype(dtype), layout)
    return x, rng.integers(-2, 3, (filters, channels, *kernel)).astype(dtype)


def plan_of(x, weight, options, window, algorithm="direct"):
    behind = (window, None, 0, 1, False)
    return _conv_pool.plan("test", x.ndim - 2, x, weight, options_of(options), algorithm, behind)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_as_if_spread(problem, dtype, layout, isa):
    *sizes, window, options = PROBLEMS[problem]
    x, weight = arrays(*sizes, dtype, layout)
    ndim = x.ndim - 2
    with isas.using(isa):
        plan = plan_of(x, weight, options, window)
        assert plan.sparse
        y = FORWARD[ndim](x, weight, None, **options)
        want, places = POOLS[ndim](F.relu(y), window, return_indices=True)
        got, codes = _conv_pool.forward(plan, x, weight, None, 0.0, True)
        np.testing.assert_array_equal(got, want)
        rng = np.random.default_rng(1)
        grad = rng.integers(-2, 3, want.shape).astype(dtype)
        wanted = BACKWARD[ndim](BACK[ndim](grad, places, y.shape), x, weight, **options)
        for order in ("C", "channels_last"):
            found = _conv_pool.backward(
                plan, lay_out(grad, order), codes, x, weight, (True, True, True), 1.0
            )
            for each, other in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(each, other)


@pytest.mark.parametrize("layout", ["C", "channels_last"])
def test_with_another_branch(layout):
    x, weight = arrays(20, 40, (30, 31), (3, 3), "f", layout)
    plan = plan_of(x, weight, {"padding": 1}, 2)
    y, codes = _conv_pool.forward(plan, x, weight, None, 0.0, True)
    rng = np.random.default_rng(1)
    grad, plus = (rng.integers(-2, 3, shape).astype("f") for shape in (y.shape, x.shape))
    alone, *_ = _conv_pool.backward(plan, grad, codes, x, weight, (True, False, False), 1.0)
    both, *rest = _conv_pool.backward(
        plan, grad, codes, x, weight, (True, False, False), 0.5, plus=plus
    )
    np.testing.assert_array_equal(both, np.where(x > 0, alone + plus, 0.5 * (alone + plus)))
    assert rest == [None, None]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_reaches_what_its_window_saw(value):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 20, 20)).astype("f")
    weight = rng.standard_normal((8, 5, 3, 3)).astype("f")
    plan = plan_of(x, weight, {}, 2)
    y, codes = _conv_pool.forward(plan, x, weight, None, 0.0, True)
    grad = np.zeros_like(y)
    grad[1, 3, 4, 5] = value
    grad_input, grad_weight, grad_bias = _conv_pool.backward(
        plan, grad, codes, x, weight, (True, True, True), 1.0
    )
    row, column = np.unravel_index(codes[1, 3, 4, 5], (2, 2)) + 2 * np.array([4, 5])
    met = np.zeros(x.shape, bool)
    met[1, :, row : row + 3, column : column + 3] = True
    np.testing.assert_array_equal(np.isfinite(grad_input), ~met)
    for gradient in (grad_weight, grad_bias):
        np.testing.assert_array_equal(np.isfinite(gradient[3]), False)
        assert np.isfinite(np.delete(gradient, 3, 0)).all()


def test_forward_by_winograd():
    x, weight = arrays(32, 64, (26, 26), (3, 3), "f", "channels_last")
    plan = plan_of(x, weight, {}, 2, "winograd")
    assert plan.winograd
    assert plan.sparse
    _, codes = _conv_pool.forward(plan, x, weight, None, 0.0, True)
    direct = plan_of(x, weight, {}, 2)
    grad = np.random.default_rng(1).standard_normal(codes.shape).astype("f")
    for each, other in zip(
        *(
            _conv_pool.backward(which, grad, codes, x, weight, (True, True, True), 1.0)
            for which in (plan, direct)
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(each, other)


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_a_network_whose_forward_passes_run_apart(algorithm, layout, monkeypatch):
    monkeypatch.setattr(_conv_images, "MOST_BYTES", 0)
    monkeypatch.setattr(_conv_images, "MOST_FILTER_BYTES", 0)
    rng = np.random.default_rng(0)
    x = lay_out(rng.standard_normal((6, 3, 26, 22)).astype("f"), layout)
    grad = rng.standard_normal((6, 16, 5, 4)).astype("f")
    found = []
    for gain in (0, np.inf):
        monkeypatch.setattr(_sparse, "LEAST_GAIN", gain)
        _conv_images._plan.cache_clear()
        fastconv.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3), nn.MaxPool2d(2), nn.ReLU(),
        )  # fmt: skip
        with fastconv.algorithm(algorithm):
            y = model(x)
            assert [record.plan is None for _, record in model._steps] == [gain > 0] * 2
            assert not any(record.plan and record.plan.joint for _, record in model._steps)
            grad_input = model.backward(grad)
        found.append([y, grad_input, *(each.grad for each in model.parameters())])
    for each, other in zip(*found, strict=True):
        np.testing.assert_allclose(each, other, 1e-4, 1e-4)


@pytest.mark.parametrize(
    "options", [{"groups": 2}, {"dilation": (1, 2)}], ids=["groups", "columns apart"]
)
def test_not_where_a_row_of_a_filter_is_in_pieces(options):
    x, weight = arrays(8, 4, (20, 20), (3, 3), "f", "C")
    assert not plan_of(x, weight[:, :: options.get("groups", 1)], options, 2).sparse
