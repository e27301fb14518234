"""Winograd's kernels image by image, with the pool or the normalization behind: as one by one."""

from dataclasses import replace

import checks
import isas
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import examples, lay_out
from test_conv_norm import forward_moments
from test_conv_pool import BACK, POOLS, options_of
from test_winograd import cases

import fastconv
from fastconv import functional as F
from fastconv import nn
from fastconv.functional import _conv_images, _conv_norm, _conv_pool, _sparse

ORDERS = st.sampled_from(("C", "channels_last"))
NEEDS = st.tuples(st.booleans(), st.booleans(), st.booleans())


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    for name, value in (
        ("LEAST_BATCH", 1),
        ("LEAST_BUFFERS", 1),
        ("MOST_FILTER_BYTES", 2**30),
    ):
        monkeypatch.setattr(_conv_images, name, value)
    monkeypatch.setattr(_conv_norm, "LEAST_BYTES", 1)
    monkeypatch.setattr(_sparse, "LEAST_GAIN", np.inf)
    _conv_images._plan.cache_clear()
    yield
    _conv_images._plan.cache_clear()


def plan_of(plan, case, x, weight, behind):
    with isas.using(case.isa):
        return plan(
            case.name, case.ndim, x, weight, options_of(case.options | {"stride": case.stride}),
            "winograd", behind,
        )  # fmt: skip


def some_images(plan, case, together):
    count = 1 if case.batch % together else together
    return plan._replace(together=(count, count))


def assert_same_gradients(case, found, wanted, needs):
    for each, want, needed in zip(found, wanted, needs, strict=True):
        assert (each is not None) == needed
        if needed:
            # Sums of all images, and images by themselves: rounding of as many terms.
            close = 200 * np.finfo(case.dtype).eps * max(1, np.abs(want).max())
            np.testing.assert_allclose(each, want, 0, close)


@examples(150)
@given(
    case=cases(), layout=ORDERS, window=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    together=st.integers(1, 3), slope=st.sampled_from((0.0, 1.0, 0.5)),
    before=st.sampled_from((0.0, 1.0, 0.5)), needs=NEEDS,
)  # fmt: skip
def test_a_pool(case, layout, window, together, slope, before, needs):
    case = replace(case, batched=True, layouts=(layout, "C", layout))
    window = tuple(window[: case.ndim])
    x, weight, bias, _ = case.arrays()
    plan = plan_of(_conv_pool.plan, case, x, weight, (window, None, 0, 1, False))
    assume(plan is not None)
    assert plan.winograd
    plan = some_images(plan, case, together)
    y = checks.forward(case, x, weight, bias, algorithm="winograd")
    rectified = F.leaky_relu(y, slope) if slope else F.relu(y)
    want, places = POOLS[case.ndim](rectified, window, return_indices=True)
    rng = np.random.default_rng(case.seed)
    grad = lay_out(rng.standard_normal(want.shape).astype(case.dtype), layout)
    with isas.using(case.isa):
        got, codes = _conv_pool.forward(
            plan, x, weight, bias, slope, True, num_threads=case.num_threads
        )
        found = _conv_pool.backward(
            plan, grad, codes, x, weight, needs, before, num_threads=case.num_threads
        )
    np.testing.assert_array_equal(got, want)
    spread = BACK[case.ndim](grad, places, y.shape)
    wanted = checks.backward(case, spread, x, weight, algorithm="winograd")
    wanted = np.where(x > 0, wanted[0], before * wanted[0]), *wanted[1:]
    assert_same_gradients(case, found, wanted, needs)


@examples(150)
@given(
    case=cases(), layout=ORDERS, together=st.integers(1, 3),
    before=st.sampled_from((0.0, 1.0, 0.5)), branch=st.booleans(), needs=NEEDS,
)  # fmt: skip
def test_a_normalization(case, layout, together, before, branch, needs):
    case = replace(case, batched=True, layouts=(layout, "C", layout))
    x, weight, bias, grad = case.arrays()
    forward, backward = (
        plan_of(_conv_norm.plan, case, x, weight, kernels)
        for kernels in (_conv_norm.FORWARD, _conv_norm.BACKWARD)
    )
    want = checks.forward(case, x, weight, bias, algorithm="winograd")
    assume(forward is not None and backward is not None and want.size > want.shape[1])
    assert forward.winograd
    assert backward.winograd
    forward, backward = (some_images(each, case, together) for each in (forward, backward))
    axes = (0, *range(2, want.ndim))
    mean = want.mean(axes, dtype=np.float64)
    saved = mean.astype(case.dtype), (1 / np.sqrt(want.var(axes) + 0.1)).astype(case.dtype)
    plus = None
    if branch and before != 1:
        plus = np.random.default_rng(case.seed).standard_normal(x.shape).astype(case.dtype)
    with isas.using(case.isa):
        y, _, moments = forward_moments(forward, x, weight, bias, case.num_threads)
        found, of_norm = _conv_norm.backward(
            backward, grad, y, None, saved, x, weight, needs, before, case.num_threads, plus
        )
    np.testing.assert_array_equal(y, want)
    close = 64 * np.finfo(case.dtype).eps * max(1, np.abs(want).max())
    np.testing.assert_allclose(moments[0], mean, 0, close)
    np.testing.assert_allclose(moments[1], want.var(axes, dtype=np.float64), close, close)

    with isas.using(case.isa):
        between, *want_of_norm = F.batch_norm_backward(grad, y, None, saved, True)
    wanted = checks.backward(case, between, x, weight, algorithm="winograd")
    grad_input = wanted[0] if plus is None else wanted[0] + plus
    wanted = np.where(x > 0, grad_input, before * grad_input), *wanted[1:]
    assert_same_gradients(case, found, wanted, needs)
    for each, other in zip(of_norm, want_of_norm, strict=True):
        np.testing.assert_array_equal(each, other)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
def test_same_bits_for_any_number_of_threads(isa, layout):
    rng = np.random.default_rng(0)
    x = lay_out(rng.standard_normal((36, 20, 9, 10)).astype("f"), layout)
    weight = rng.standard_normal((40, 20, 3, 3)).astype("f")
    options = options_of({"padding": 1})
    with isas.using(isa):
        plan = _conv_pool.plan("test", 2, x, weight, options, "winograd", (2, None, 0, 1, False))
        results = []
        for threads in (1, 2, 3, 7):
            y, codes = _conv_pool.forward(plan, x, weight, None, 0.0, True, threads)
            grad = np.cos(np.arange(y.size, dtype="f")).reshape(y.shape)
            grads = _conv_pool.backward(
                plan, grad, codes, x, weight, (True, True, True), 0.0, threads
            )
            results.append([each.tobytes() for each in (y, codes, *grads)])
    assert all(each == results[0] for each in results)


def test_a_layer_runs_so(monkeypatch):
    seen = []
    original = _conv_images.backward

    def backward(kernel, plan, *rest):
        seen.append((kernel, plan.winograd))
        return original(kernel, plan, *rest)

    monkeypatch.setattr(_conv_images, "backward", backward)
    model = nn.Sequential(
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 8, 3, algorithm="direct"), nn.BatchNorm2d(8),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((4, 8, 20, 24)).astype("f")
    with fastconv.algorithm("winograd"):
        model.backward(model(x))
    # Phases of a stride are calls of their own.
    assert seen == [
        ("backward_scaled", False), ("backward_scaled", True), ("backward_max_tiles", True),
    ]  # fmt: skip
