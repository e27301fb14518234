"""A convolution that runs together with the batch normalization behind it."""

from dataclasses import replace
from unittest import mock

import checks
import isas
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import LAYOUTS, cases, examples, lay_out
from test_conv_pool import options_of

import fastconv
from fastconv import functional, nn
from fastconv.functional import _conv_images, _conv_norm
from fastconv.nn import normalization


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(_conv_images, "LEAST_BATCH", 1)
    monkeypatch.setattr(_conv_norm, "LEAST_BYTES", 0)


def over_channels(values, y):
    return values.reshape(-1, *(1,) * (y.ndim - 2))


def norm_backward(grad, y, scale, mean, inverse):
    """(grad_input, the same of magnitudes, grad_weight, grad_bias) as in Ioffe & Szegedy 2015."""
    axes = (0, *range(2, y.ndim))
    centred = y - over_channels(mean, y)
    inverse = over_channels(inverse, y)
    of_g = over_channels(scale, y) * inverse

    def gradient(g, c, sign):
        along = inverse**2 * (g * c).mean(axes, keepdims=True)
        return of_g * (g + sign * (g.mean(axes, keepdims=True) + c * along))

    return (
        gradient(grad, centred, -1), gradient(np.abs(grad), np.abs(centred), 1),
        (grad * centred * inverse).sum(axes), grad.sum(axes),
    )  # fmt: skip


def plan_of(case, x, weight, kernels):
    with isas.using(case.isa):
        return _conv_norm.plan(
            case.name, case.ndim, x, weight, options_of(case.options), "direct", kernels
        )


def forward_moments(plan, x, weight, bias, num_threads):
    """(what lies between, its normalization, its mean and variance), these by a momentum of 1."""
    mean, variance = np.zeros((2, len(weight)), x.dtype)
    y, normal, saved = _conv_norm.forward(
        plan, x, weight, bias, (mean, variance, None, None, True, 1.0, 0.1), 1.0, None, num_threads
    )
    np.testing.assert_array_equal(saved[0], mean)
    count = y.size // y.shape[1]
    return y, normal, (mean, variance * ((count - 1) / count))


@examples(200)
@given(case=cases(), layout=st.sampled_from(("C", "channels_last")), far=st.sampled_from((0, 1000)))
def test_forward_with_every_option(case, layout, far):
    case = replace(case, batched=True, layouts=(layout, "C", "C"), data="integers")
    x, weight, bias, _ = case.arrays()
    bias = None if bias is None else bias + np.array(far, case.dtype)
    geometry = plan_of(case, x, weight, _conv_norm.FORWARD)
    want = checks.forward(case, x, weight, bias)
    assume(geometry is not None and want.size > want.shape[1])
    with isas.using(case.isa):
        y, normal, (mean, variance) = forward_moments(geometry, x, weight, bias, case.num_threads)
    np.testing.assert_array_equal(y, want)
    assert y.strides == want.strides or 1 in y.shape
    axes = (0, *range(2, y.ndim))
    eps = np.finfo(case.dtype).eps
    wide = want.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axes), 8 * eps, 8 * eps * np.abs(wide).max())
    # Far from zero the values themselves are known to that rounding only.
    np.testing.assert_allclose(variance, wide.var(axes), 64 * eps, eps * (1 + np.abs(wide).max()))
    apart = wide - wide.mean(axes, keepdims=True)
    close = 64 * eps * (1 + np.abs(wide).max())
    np.testing.assert_allclose(
        normal, apart / np.sqrt(wide.var(axes, keepdims=True) + 0.1), close, close
    )


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_its_moments_are_those_that_the_normalization_takes(dtype, layout):
    """To rounding: units are cut within an image, and those of the normalization are not."""
    x = image(dtype, layout)
    model = network(dtype)[:2]
    model(x)
    conv, norm = model
    apart = nn.BatchNorm2d(8, dtype=dtype)
    apart(conv(x))
    for name in ("running_mean", "running_var"):
        close = 20 * np.finfo(dtype).eps
        np.testing.assert_allclose(getattr(norm, name), getattr(apart, name), close, close)
    np.testing.assert_allclose(norm._saved[1], apart._saved[1], close, close)


@examples(300)
@given(
    case=cases(),
    layout=st.sampled_from(("C", "channels_last")),
    of_grad=st.sampled_from(LAYOUTS),
    together=st.integers(1, 4),
    affine=st.booleans(),
    before=st.sampled_from((0.0, 1.0, 0.5)),
    branch=st.sampled_from((None, "C", "channels_last", "steps")),
    needs=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_backward_with_every_option(case, layout, of_grad, together, affine, before, branch, needs):
    case = replace(case, batched=True, layouts=(layout, "C", "C"), data="integers")
    x, weight, bias, _ = case.arrays()
    plan = plan_of(case, x, weight, _conv_norm.BACKWARD)
    y = checks.forward(case, x, weight, bias)
    assume(plan is not None and y.size > y.shape[1])
    rng = np.random.default_rng(case.seed)
    axes = (0, *range(2, y.ndim))
    mean = y.mean(axes, dtype=np.float64).astype(case.dtype)
    inverse = (1 / np.sqrt(y.var(axes, dtype=np.float64) + 0.1)).astype(case.dtype)
    scale = rng.uniform(0.5, 2, len(mean)).astype(case.dtype) if affine else None
    grad = lay_out(rng.integers(-3, 4, y.shape).astype(case.dtype), of_grad)
    plus = None
    if branch is not None and before != 1:  # beside an activation only
        plus = lay_out(rng.integers(-3, 4, x.shape).astype(case.dtype), branch)
    images = 1 if case.batch % together else together
    plan = plan._replace(together=(images, images))
    with isas.using(case.isa):
        found, of_norm = _conv_norm.backward(
            plan, grad, y, scale, (mean, inverse), x, weight, needs, before, case.num_threads,
            plus,
        )  # fmt: skip

    wide = [each.astype(np.float64) for each in (grad, y, mean, inverse)]
    between, magnitude, *want_of_norm = norm_backward(
        *wide[:2], np.ones(len(mean)) if scale is None else scale, *wide[2:]
    )
    wanted = case.expected_backward(between, x.astype(np.float64), weight.astype(np.float64))
    bounds = case.expected_backward(magnitude, np.abs(x), np.abs(weight))
    grad_input = wanted[0] if plus is None else wanted[0] + plus
    wanted = np.where(x > 0, grad_input, before * grad_input), *wanted[1:]
    for each, want, bound, needed in zip(found, wanted, bounds, needs, strict=True):
        assert (each is not None) == needed
        if needed:
            assert each.dtype == case.dtype
            assert each.shape == want.shape
            assert np.all(np.abs(each - want) <= 64 * np.finfo(case.dtype).eps * bound)
    for each, want in zip(of_norm, want_of_norm, strict=True):
        np.testing.assert_allclose(each, want, 1e-4, 1e-3)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("space", [(19, 18), (7, 5)])
def test_same_bits_for_any_number_of_threads(isa, layout, dtype, space):
    rng = np.random.default_rng(0)
    x = lay_out(rng.standard_normal((36, 6, *space)).astype(dtype), layout)
    grad = lay_out(rng.standard_normal((36, 20, *space)).astype(dtype), layout)
    weight = rng.standard_normal((20, 6, 3, 3)).astype(dtype)
    saved = np.zeros(20, dtype), np.ones(20, dtype)
    with isas.using(isa):
        geometry = _conv_norm.plan(
            "test", 2, x, weight, options_of({"padding": 1}), "direct", _conv_norm.BACKWARD
        )
        results = []
        for threads in (1, 2, 3, 7):
            y, normal, moments = forward_moments(geometry, x, weight, None, threads)
            gradients, of_norm = _conv_norm.backward(
                geometry, grad, y, None, saved, x, weight, (True,) * 3, 0.0, threads
            )
            results.append([each.tobytes() for each in (y, normal, *moments, *gradients, *of_norm)])
    assert all(each == results[0] for each in results)


def network(dtype, **options):
    rng = np.random.default_rng(0)

    def conv(*args, **more):
        return nn.Conv2d(*args, **more, **options, dtype=dtype, rng=rng)

    return nn.Sequential(
        conv(3, 8, 3, padding=1), nn.BatchNorm2d(8, dtype=dtype), nn.ReLU(),
        conv(8, 12, 3, 2), nn.BatchNorm2d(12, dtype=dtype), nn.LeakyReLU(0.1),
        conv(12, 8, 3, groups=2), nn.BatchNorm2d(8, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
        conv(8, 6, 1), nn.BatchNorm2d(6, dtype=dtype, affine=False),
    )  # fmt: skip


def image(dtype, layout="C", batch=6):
    rng = np.random.default_rng(1)
    return lay_out(rng.standard_normal((batch, 3, 22, 18)).astype(dtype), layout)


def gradient_of(y):
    return np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)


@pytest.fixture
def together(monkeypatch):
    """The channels of the normalizations that went back together with their convolutions."""
    seen = []
    original = _conv_norm.backward

    def backward(*args, **options):
        seen.append(args[0].geometry.narrow_channels)
        return original(*args, **options)

    def refuse_moments(*args):
        assert all(isinstance(each, np.ndarray) for each in args[-2]), "moments by themselves"
        return forward(*args)

    forward = normalization._batch_norm
    refuse = mock.Mock(side_effect=AssertionError("the gradient of a normalization by itself"))
    monkeypatch.setattr(normalization, "_batch_norm", refuse_moments)
    monkeypatch.setattr(_conv_norm, "backward", backward)
    monkeypatch.setattr(functional, "batch_norm_backward", refuse)
    return seen


def one_by_one(model, x, grad):
    for layer in model:
        x = layer(x)
    needed = grad
    for layer in list(model)[::-1]:
        needed = layer.backward(needed)
    return [x, needed, *(each.grad for each in model.parameters())]


@pytest.mark.parametrize("layout", ["C", "channels_last", "steps"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_values_are_those_of_the_modules(layout, bias, dtype):
    x = image(dtype, layout)
    model = network(dtype, bias=bias)
    y = model(x)
    grad = gradient_of(y)
    grad_input = model.backward(grad)
    found = [y, grad_input, *(each.grad for each in model.parameters())]
    found += model.state_dict().values()
    model = network(dtype, bias=bias)
    wanted = one_by_one(model, x, grad)
    wanted += model.state_dict().values()
    close = 1e-4 if dtype == "f" else 1e-12
    for each, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(each, other, close, close * np.abs(grad).sum())


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("order", ["C", "channels_last", "steps"])
def test_all_run_together(layout, order, together):
    model = network("f")
    model.backward(lay_out(gradient_of(model(image("f", layout))), order))
    assert together == [6, 8, 12, 8]


@pytest.mark.parametrize("needs_input_grad", [False, True])
@pytest.mark.parametrize(
    "frozen",
    [("0.weight",), ("0.bias",), ("0.weight", "0.bias"), ("3.weight", "3.bias"), ("1.weight",)],
)
def test_what_is_frozen_has_no_gradient(frozen, needs_input_grad, together):
    found = []
    for names in ((), frozen):
        model = network("f")
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name not in names
        grad_input = model.backward(gradient_of(model(image("f"))), needs_input_grad)
        assert (grad_input is None) == (not needs_input_grad)
        grads = {name: each.grad for name, each in model.named_parameters()}
        assert {name for name in grads if grads[name] is None} == set(names)
        found.append({"input": grad_input} | grads)
    for name in found[0].keys() - frozen:
        np.testing.assert_array_equal(found[0][name], found[1][name])
    assert together == [6, 8, 12, 8] * 2


def test_gradients_add_up(together):
    model = network("f")
    model.backward(gradient_of(model(image("f"))))
    once = [each.grad.copy() for each in model.parameters()]
    model.backward(gradient_of(model(image("f"))))
    for each, other in zip(model.parameters(), once, strict=True):
        np.testing.assert_array_equal(each.grad, 2 * other)


def test_gradcheck(together):
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.LeakyReLU(0.3), nn.Conv2d(2, 3, 3, padding=1, dtype="d", rng=rng),
        nn.BatchNorm2d(3, dtype="d"), nn.ReLU(), nn.Conv2d(3, 2, 2, dtype="d", rng=rng),
        nn.BatchNorm2d(2, dtype="d"),
    )  # fmt: skip
    x = rng.standard_normal((4, 2, 4, 3))
    assert fastconv.gradcheck(model, x, atol=1e-6, rtol=1e-5)
    assert together


def test_modules_that_ran_since_go_back_by_themselves():
    x = image("f")
    wanted = one_by_one(network("f"), x, grad := gradient_of(network("f")(x)))
    model = network("f")
    model(2 * x)
    for layer in model:
        x = layer(x)
    with mock.patch.object(_conv_norm, "backward", side_effect=AssertionError):
        grad_input = model.backward(grad)
    np.testing.assert_array_equal(grad_input, wanted[1])


def test_modules_that_ran_in_one_also_go_back_by_themselves():
    model = network("f")[:9]
    grad = gradient_of(model(image("f")))
    want = model.backward(grad)
    model(image("f"))
    for layer in list(model)[::-1]:
        grad = layer.backward(grad)
    np.testing.assert_allclose(grad, want, 1e-4, 1e-4)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("method", ["forward", "backward"])
def test_what_a_user_wraps_is_called(index, method, monkeypatch):
    model = network("f")[:3]
    x = image("f")
    want = model.backward(gradient_of(model(x)))
    calls = []
    original = getattr(model[index], method)

    def wrapped(*args, **options):
        calls.append(args)
        return original(*args, **options)

    monkeypatch.setattr(model[index], method, wrapped)
    got = model.backward(gradient_of(model(x)))
    assert len(calls) == 1
    np.testing.assert_allclose(got, want, 1e-4, 1e-4)


@pytest.mark.parametrize("index", [0, 1])
def test_each_needs_a_forward_in_training_mode(index):
    model = network("f")[:3]
    model[index].eval()
    y = model(image("f"))
    with pytest.raises(RuntimeError, match=f"{type(model[index]).__name__}: backward needs"):
        model.backward(gradient_of(y))


def evaluated(dtype="f", algorithm=None):
    model = nn.Sequential(
        *network(dtype), nn.ConvTranspose2d(6, 9, 4, 2, algorithm=algorithm, dtype=dtype),
        nn.BatchNorm2d(9, dtype=dtype), nn.ReLU(), nn.Residual(nn.Sequential(
            nn.Conv2d(9, 8, 3, padding=1, algorithm=algorithm, dtype=dtype),
            nn.BatchNorm2d(8, dtype=dtype),
        ), nn.Conv2d(9, 8, 1, dtype=dtype)), nn.ReLU(),
    )  # fmt: skip
    for _ in range(3):
        model(image(dtype))
    return model.eval()


@pytest.mark.parametrize("layout", ["C", "channels_last", "steps"])
@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("batch", [1, 5])
def test_convolutions_evaluate_what_is_behind(layout, algorithm, dtype, batch, monkeypatch):
    model = evaluated(dtype, algorithm)
    x = image(dtype, layout, batch)
    wanted = x
    for layer in list(model)[:-2]:
        wanted = layer(wanted)
    conv, norm = model[-2].body
    wanted = functional.relu(norm(conv(wanted)) + model[-2].shortcut(wanted))
    refuse = mock.Mock(side_effect=AssertionError("a normalization by itself"))
    monkeypatch.setattr(normalization, "_batch_norm", refuse)
    for _ in range(2):  # the second time with what is kept of the first
        found = model(x)
        np.testing.assert_array_equal(found, wanted)


def test_evaluation_sees_what_has_changed():
    model = evaluated()
    before = model(image("f"))
    for change in (model[0].weight.data, model[1].running_mean, model[1].bias.data):
        change += 1
        wanted = image("f")
        for layer in model:
            wanted = layer(wanted)
        y = model(image("f"))
        np.testing.assert_array_equal(y, wanted)
        assert not np.array_equal(y, before)
        before = y


@pytest.mark.parametrize(
    ("conv", "norm", "shape", "message"),
    [
        (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(6), (2, 3, 9, 9), r"running_mean.*\(8,\)"),
        (nn.Conv2d(3, 8, 3), nn.BatchNorm1d(8), (2, 3, 9, 9), "BatchNorm1d: input must have"),
        (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), (3, 9, 9), "BatchNorm2d: input must have"),
        (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), (2, 4, 9, 9), "conv2d: input must have 3"),
    ],
)
def test_evaluation_refuses_what_the_modules_do(conv, norm, shape, message):
    with pytest.raises(ValueError, match=message):
        nn.Sequential(conv, norm).eval()(np.zeros(shape, "f"))


def test_a_normalization_without_statistics_takes_those_of_the_batch():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)).eval()
    np.testing.assert_allclose(model(image("f")).mean((0, 2, 3)), 0, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 9, 9), (2, 3, 3, 3)])
def test_evaluation_of_next_to_nothing(shape):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    assert model(np.ones(shape, "f")).shape == (shape[0], 8, shape[2] - 2, shape[3] - 2)


@pytest.mark.parametrize(
    "conv",
    [
        lambda: nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"),
        lambda: nn.Conv2d(3, 8, 4, 2, padding=1, algorithm="winograd"),
        lambda: nn.ConvTranspose2d(3, 8, 3),
    ],
)
def test_others_run_apart(conv, monkeypatch):
    for way in ("forward", "backward"):
        monkeypatch.setattr(_conv_norm, way, mock.Mock(side_effect=AssertionError))
    model = nn.Sequential(conv(), nn.BatchNorm2d(8), nn.ReLU())
    assert model.backward(model(image("f", batch=40))).shape == (40, 3, 22, 18)


def test_few_or_small_images_run_apart(monkeypatch):
    monkeypatch.undo()
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    seen = []
    for batch in (31, 64, 130):
        with mock.patch.object(_conv_norm, "backward", wraps=_conv_norm.backward) as spy:
            model.backward(model(image("f", batch=batch)))
        seen.append(spy.called)
    assert seen == [False, False, True]


def test_a_gradient_of_another_shape_is_an_error():
    model = network("f")[:2]
    model(image("f"))
    with pytest.raises(ValueError, match=r"batch_norm_backward: grad_output.*\(6, 8, 22, 18\)"):
        model.backward(np.zeros((6, 8, 22, 17), "f"))
