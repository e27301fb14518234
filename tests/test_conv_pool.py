"""A convolution with the max-pool behind it in one call, against the two calls."""

from dataclasses import replace

import checks
import isas
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import cases, examples, lay_out

import fastconv
from fastconv import functional as F
from fastconv import nn
from fastconv.functional import _conv_images, _conv_pool, _sparse

POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
BACK = {1: F.max_pool1d_backward, 2: F.max_pool2d_backward, 3: F.max_pool3d_backward}


@pytest.fixture(autouse=True)
def any_batch(monkeypatch):
    monkeypatch.setattr(_conv_images, "LEAST_BATCH", 1)
    monkeypatch.setattr(_conv_images, "LEAST_BUFFERS", 1)
    _conv_images._plan.cache_clear()
    yield
    _conv_images._plan.cache_clear()


def set_sparse(patch, sparse):
    """Whether gradients are those of the cells that the pool took, where they may be."""
    patch.setattr(_sparse, "LEAST_GAIN", 0 if sparse else np.inf)
    _conv_images._plan.cache_clear()


def plan_of(case, x, weight, window):
    options = {name: case.options[name] for name in case.options if name != "output_size"}
    with isas.using(case.isa):
        return _conv_pool.plan(
            case.name, case.ndim, x, weight, options_of(options), "direct",
            (window, None, 0, 1, False),
        )  # fmt: skip


def options_of(options):
    """(stride, padding, dilation, groups), with lists as tuples."""
    options = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | options
    return tuple(tuple(each) if isinstance(each, list) else each for each in options.values())


@examples(300)
@given(
    case=cases(),
    layout=st.sampled_from(("C", "channels_last")),
    window=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    slope=st.sampled_from((0.0, 1.0, 0.5)),
    before=st.sampled_from((0.0, 1.0, 0.5)),
    flat=st.booleans(),
    needs=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    pixel_bytes=st.sampled_from((0, 64)),
    sparse=st.booleans(),
)
def test_every_option(case, layout, window, slope, before, flat, needs, pixel_bytes, sparse):
    with pytest.MonkeyPatch.context() as patch:  # pixels or planes are pooled, of few channels
        patch.setattr(_conv_images, "PIXEL_BYTES", pixel_bytes)
        set_sparse(patch, sparse)
        check_options(case, layout, window, slope, before, flat, needs)


def check_options(case, layout, window, slope, before, flat, needs):
    case = replace(case, batched=True, layouts=(layout, "C", "C"), data="integers")
    window = tuple(window[: case.ndim])
    x, weight, bias, _ = case.arrays()
    plan = plan_of(case, x, weight, window)
    assume(plan is not None)
    y = checks.forward(case, x, weight, bias)
    rectified = F.leaky_relu(y, slope) if slope else F.relu(y)
    want, places = POOLS[case.ndim](rectified, window, return_indices=True)
    with isas.using(case.isa):
        got, codes = _conv_pool.forward(
            plan, x, weight, bias, slope, True, num_threads=case.num_threads, flat=flat
        )
    np.testing.assert_array_equal(got, want)
    assert got.flags.c_contiguous or not flat
    layout = "C" if flat else layout

    rng = np.random.default_rng(case.seed)
    grad = lay_out(rng.integers(-3, 4, want.shape).astype(case.dtype), layout)
    spread = BACK[case.ndim](grad, places, y.shape)
    wanted = list(checks.backward(case, spread, x, weight, needs=needs))
    if wanted[0] is not None:
        wanted[0] = np.where(x > 0, wanted[0], before * wanted[0])
    with isas.using(case.isa):
        found = _conv_pool.backward(
            plan, grad, codes, x, weight, needs, before, num_threads=case.num_threads
        )
    for each, other in zip(found, wanted, strict=True):
        assert (each is None) == (other is None)
        if each is not None:
            np.testing.assert_array_equal(each, other)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("sparse", [False, True])
def test_same_bits_for_any_number_of_threads(isa, layout, dtype, sparse, monkeypatch):
    set_sparse(monkeypatch, sparse)
    rng = np.random.default_rng(0)
    x = lay_out(rng.standard_normal((37, 6, 19, 18)).astype(dtype), layout)
    weight = rng.standard_normal((20, 6, 3, 3)).astype(dtype)
    with isas.using(isa):
        plan = _conv_pool.plan("test", 2, x, weight, options_of({"padding": 1}), "direct",
                               (2, None, 0, 1, False))  # fmt: skip
        results = []
        for threads in (1, 2, 3, 7):
            y, codes = _conv_pool.forward(plan, x, weight, None, 0.0, True, threads)
            grad = np.cos(np.arange(y.size, dtype=dtype)).reshape(y.shape)
            grads = _conv_pool.backward(
                plan, grad, codes, x, weight, (True, True, True), 0.0, threads
            )
            results.append([each.tobytes() for each in (y, codes, *grads)])
    assert all(each == results[0] for each in results)


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (35, 5, 18, 17), (20, 3, 7, 9)])
def test_a_nan_reaches_its_windows_only(place):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((36, 6, 19, 18)).astype("f")
    weight = rng.standard_normal((8, 6, 3, 3)).astype("f")
    x[place] = np.nan
    plan = _conv_pool.plan("test", 2, x, weight, options_of({}), "direct", (2, None, 0, 1, False))
    y, _ = _conv_pool.forward(plan, x, weight, None, 0.0, True)
    want = F.max_pool2d(F.relu(F.conv2d(x, weight)), 2)
    np.testing.assert_allclose(y, want, 1e-5, 1e-5)


def network(layout, **options):
    fastconv.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, **options), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, **options), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 5 * 4, 10),
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("needs_input_grad", [False, True])
@pytest.mark.parametrize("frozen", [None, "weight", "bias"])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_network_learns_the_same(layout, needs_input_grad, frozen, sparse, monkeypatch):
    set_sparse(monkeypatch, sparse)
    rng = np.random.default_rng(0)
    x = lay_out(rng.standard_normal((6, 3, 26, 22)).astype("f"), layout)
    grad = rng.standard_normal((6, 10)).astype("f")
    found = []
    for least in (1, 1000):
        monkeypatch.setattr(_conv_images, "LEAST_BATCH", least)
        model = network(layout)
        if frozen:
            getattr(model[3], frozen).requires_grad = False
        y = model(x)
        assert [record.plan is not None for _, record in model._steps[:2]] == [least == 1] * 2
        grad_input = model.backward(grad, needs_input_grad)
        found.append([y, grad_input, *(each.grad for each in model.parameters())])
        model.eval()
        np.testing.assert_allclose(model(x), y, 1e-5, 1e-5)
    for each, other in zip(*found, strict=True):
        if other is None:
            assert each is None
        else:
            np.testing.assert_allclose(each, other, 1e-4, 1e-4)


def test_modules_that_ran_in_one_also_go_back_by_themselves():
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((6, 3, 26, 22)).astype("f"), rng.standard_normal((6, 10))
    model = network("C")
    want = model(x), model.backward(grad.astype("f"))
    model(x)
    passed = grad.astype("f")
    for layer in list(model)[:5:-1]:
        passed = layer.backward(passed)
    pooled = model._steps[1][1].output
    passed = model[3].backward(model[4].backward(F.relu_backward(passed, pooled)))
    passed = F.relu_backward(passed, model._steps[0][1].output)
    got = model[0].backward(model[1 + 1].backward(passed))
    np.testing.assert_allclose(got, want[1], 1e-4, 1e-5)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"), nn.ReLU(),
                      nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(3, 2)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2, padding=1)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.1), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(3, 8, 3, 2, algorithm="winograd"), nn.ReLU(), nn.MaxPool2d(2)),
    ],
)  # fmt: skip
def test_others_run_apart(model):
    x = np.random.default_rng(0).standard_normal((4, 3, 12, 12)).astype("f")
    model(x)
    assert not any(record.plan and record.plan.joint for _, record in model._steps)


def test_a_gradient_of_another_shape_is_an_error():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
    model(np.zeros((4, 3, 12, 12), "f"))
    plan = model._steps[0][1].plan
    with pytest.raises(ValueError, match=r"Conv2d.*\(4, 8, 5, 5\)"):
        model[0]._backward_pooled(np.zeros((4, 8, 5, 4), "f"), True, 1.0, model[2], plan)
