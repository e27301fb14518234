"""Layers: arguments, and outputs against plain NumPy and the functionals."""

import inspect
import math

import numpy as np
import pytest
from nn_cases import CASES, small_net
from strategies import LAYOUTS, lay_out

import fastconv
from fastconv import nn, optim

BAD_ARGUMENTS = [
    (nn.Conv2d, (0, 1, 3), {}, ValueError, "Conv2d: in_channels must be at least 1, got 0"),
    (nn.Conv2d, (1, 2.0, 3), {}, TypeError, "Conv2d: out_channels must be an integer, got 2.0"),
    (nn.Conv2d, (1, 1, 0), {}, ValueError, "Conv2d: kernel_size must be at least 1"),
    (nn.Conv2d, (1, 1, (3, 3, 3)), {}, ValueError, "kernel_size must be an integer or 2"),
    (nn.Conv1d, (1, 1, 3), {"stride": 0}, ValueError, "Conv1d: stride must be at least 1"),
    (nn.Conv1d, (1, 1, 3), {"padding": -1}, ValueError, "Conv1d: padding must be at least 0"),
    (nn.Conv1d, (1, 1, 3), {"padding": "full"}, ValueError, "padding must be 'valid' or 'same'"),
    (nn.Conv3d, (1, 1, 3), {"dilation": (1, 2)}, ValueError, "Conv3d: dilation must be"),
    (nn.Conv2d, (3, 4, 3), {"groups": 2}, ValueError, "groups must divide in_channels=3, got 2"),
    (nn.Conv2d, (4, 3, 3), {"groups": 2}, ValueError, "groups must divide out_channels=3, got 2"),
    (nn.Conv2d, (1, 1, 3), {"padding_mode": "mirror"}, ValueError, "one of zeros, reflect, .*'mir"),
    (nn.ConvTranspose1d, (1, 1, 3), {"padding_mode": None}, ValueError, "1d: padding_mode"),
    (nn.Conv2d, (1, 1, 3), {"dtype": np.int32}, TypeError, "float32 or float64, got int32"),
    (nn.ConvTranspose2d, (4, 3, 3), {"groups": 2}, ValueError, "divide out_channels=3"),
    (nn.ConvTranspose1d, (1, 1, 3), {"output_padding": -1}, ValueError, "output_padding"),
    (nn.Linear, (0, 3), {}, ValueError, "Linear: in_features must be at least 1, got 0"),
    (nn.Linear, (3, "3"), {}, TypeError, "Linear: out_features must be an integer, got '3'"),
    (nn.BatchNorm2d, (0,), {}, ValueError, "BatchNorm2d: num_features must be at least 1, got 0"),
    (nn.GroupNorm, (3, 4), {}, ValueError, "num_groups must divide num_channels=4, got 3"),
    (nn.Dropout, (1.5,), {}, ValueError, r"Dropout: p must be in \[0, 1\], got 1.5"),
    (nn.Dropout, (-0.1,), {}, ValueError, r"Dropout: p must be in \[0, 1\], got -0.1"),
    (nn.PixelShuffle, (0,), {}, ValueError, "upscale_factor must be at least 1, got 0"),
    (nn.PixelUnshuffle, (1.5,), {}, TypeError, "downscale_factor must be an integer, got 1.5"),
    (nn.LayerNorm, (0,), {}, ValueError, "LayerNorm: normalized_shape must be at least 1, got 0"),
    (nn.LayerNorm, ((),), {}, ValueError, r"LayerNorm: normalized_shape must name .*got \(\)"),
    (nn.LayerNorm, (2.0,), {}, TypeError, "normalized_shape must be an integer, got 2.0"),
    (nn.Upsample, (), {}, ValueError, "Upsample: one of size and scale_factor is needed"),
    (nn.Upsample, (2, 2), {}, ValueError, "Upsample: one of size and scale_factor is needed"),
    (nn.Upsample, (2,), {"mode": "bicubic"}, ValueError, "mode must be one of nearest, .*'bic"),
    (nn.Upsample, (0,), {}, ValueError, "Upsample: size must be at least 1, got 0"),
    (nn.Upsample, (2.5,), {}, TypeError, "Upsample: size must be an integer, got 2.5"),
    (nn.Upsample, (), {"scale_factor": 0}, ValueError, "scale_factor must be finite and above 0"),
    (nn.Upsample, (), {"scale_factor": "2"}, TypeError, "scale_factor must be a number, got '2'"),
    (nn.Upsample, (2,), {"align_corners": True}, ValueError, "align_corners is for the linear"),
    (nn.Upsample, (2,), {"recompute_scale_factor": True}, ValueError, "needs a scale_factor, got"),
    (nn.LazyConv2d, (0, 3), {}, ValueError, "Conv2d: out_channels must be at least 1, got 0"),
    (nn.LazyConv1d, (4, 3), {"groups": 3}, ValueError, "groups must divide out_channels=4, got 3"),
    (nn.LazyConvTranspose2d, (4, 3), {"groups": 0}, ValueError, "groups must be at least 1, got 0"),
    (nn.LazyLinear, (2,), {"rng": 3}, TypeError, "rng must be a numpy.random.Generator"),
    (nn.LazyLinear, (2, 3), {"in_features": 3}, TypeError, "in_features"),
    (nn.LazyLinear, (), {}, TypeError, "out_features"),
    (nn.LazyBatchNorm2d, (), {"dtype": np.int32}, TypeError, "float32 or float64, got int32"),
    (nn.Identity, (1,), {}, TypeError, "argument"),
    (nn.ReLU, (True,), {}, TypeError, "argument"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "args", "options", "error", "match"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused_at_once(make, args, options, error, match):
    with pytest.raises(error, match=match):
        make(*args, **options)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(2), (2, 2, 2, 2)),
        (nn.BatchNorm2d(2), (2, 2, 2)),
        (nn.BatchNorm3d(2), (2, 2, 2, 2)),
        (nn.Conv2d(2, 2, 1, padding_mode="reflect"), (2, 2)),
        (nn.ConvTranspose2d(2, 2, 1, padding_mode="reflect"), (2, 2, 2, 2, 2)),
        (nn.Dropout2d(), (2, 2)),
        (nn.LazyLinear(2), ()),
        (nn.LazyConv2d(2, 1), (2, 2)),
        (nn.LazyBatchNorm2d(), (2, 2, 2)),
        (nn.Flatten(2, 1), (2, 2, 2)),
        (nn.Flatten(1, 3), (2, 2, 2)),
    ],
)
def test_inputs_of_a_wrong_rank(layer, shape):
    with pytest.raises(ValueError, match=rf"{type(layer).__name__}: .*got shape \("):
        layer(np.zeros(shape, np.float32))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_eval_output_keeps_the_type(case, dtype):
    assert case.make(dtype).eval()(case.input(dtype)).dtype == dtype


NOT_IN_TORCH = ("Module", "Parameter", "Residual", "Concat")  # or of another make there
SHARED_WITH_TORCH = [
    name for name in nn.__all__ if isinstance(getattr(nn, name), type) and name not in NOT_IN_TORCH
]


@pytest.mark.parametrize("name", SHARED_WITH_TORCH)
def test_arguments_have_the_names_order_and_defaults_of_torch(name):
    torch = pytest.importorskip("torch")
    assert_like(getattr(nn, name), getattr(torch.nn, name))


@pytest.mark.parametrize("name", [name for name in vars(nn.init) if name.endswith("_")])
def test_initializers_have_the_names_order_and_defaults_of_torch(name):
    torch = pytest.importorskip("torch")
    if not name.startswith("_"):
        assert_like(getattr(nn.init, name), getattr(torch.nn.init, name))


def assert_like(ours, theirs):
    ours, theirs = (inspect.signature(each).parameters for each in (ours, theirs))
    positional = [name for name, each in ours.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    for own, other in zip(positional, theirs, strict=False):
        assert own == other or theirs[other].kind is inspect.Parameter.VAR_POSITIONAL
    for name in (ours.keys() & theirs.keys()) - {"dtype"}:
        assert ours[name].default in (theirs[name].default, inspect.Parameter.empty)


def test_layers_are_their_functionals():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 6, 5))
    conv = nn.Conv2d(4, 6, 3, 2, (1, 0), 1, 2, False, dtype=np.float64)
    np.testing.assert_array_equal(
        conv(x), fastconv.conv2d(x, conv.weight.data, None, 2, (1, 0), 1, 2)
    )
    up = nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, True, 1, dtype=np.float64)
    np.testing.assert_array_equal(
        up(x), fastconv.conv_transpose2d(x, up.weight.data, up.bias.data, 2, 1, 1, 2)
    )
    linear = nn.Linear(5, 3, dtype=np.float64)
    np.testing.assert_allclose(
        linear(x), x @ linear.weight.data.T + linear.bias.data, rtol=1e-12, atol=1e-12
    )


def test_batch_norm_running_statistics():
    rng = np.random.default_rng(0)
    batches = rng.normal(2.0, 3.0, size=(4, 5, 2, 3, 3))
    norm = nn.BatchNorm2d(2, momentum=0.3, dtype=np.float64)
    mean, var = np.zeros(2), np.ones(2)
    for batch in batches:
        norm(batch)
        mean = 0.7 * mean + 0.3 * batch.mean((0, 2, 3))
        var = 0.7 * var + 0.3 * batch.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(norm.running_var, var, rtol=1e-12)
    assert norm.num_batches_tracked.dtype == np.int64
    assert norm.num_batches_tracked == 4
    norm.eval()
    expected = (batches[0] - mean.reshape(2, 1, 1)) / np.sqrt(var + 1e-5).reshape(2, 1, 1)
    np.testing.assert_allclose(norm(batches[0]), expected, rtol=1e-10)
    assert norm.num_batches_tracked == 4


def test_batch_norm_without_momentum_is_the_mean_over_batches():
    batches = np.random.default_rng(0).normal(size=(4, 5, 2))
    norm = nn.BatchNorm1d(2, momentum=None, dtype=np.float64)
    for batch in batches:
        norm(batch)
    np.testing.assert_allclose(norm.running_mean, batches.mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(
        norm.running_var, np.mean([batch.var(0, ddof=1) for batch in batches], 0), rtol=1e-12
    )


def test_batch_norm_without_running_statistics_uses_the_batch():
    norm = nn.BatchNorm1d(2, track_running_stats=False, affine=False)
    assert norm.state_dict() == {}
    x = np.random.default_rng(0).normal(3, 2, (100, 2))
    for output in (norm(x), norm.eval()(x)):
        np.testing.assert_allclose(output.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(output.var(0), 1, rtol=1e-4)


def test_dropout():
    x = np.ones((100, 100), np.float32)
    layer = nn.Dropout(0.3, rng=np.random.default_rng(0))
    output = layer(x)
    assert sorted(np.unique(output)) == pytest.approx([0, 1 / 0.7])
    assert np.mean(output == 0) == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / x.size))
    np.testing.assert_array_equal(layer.backward(x), output)
    assert np.any(layer(x) != output)
    assert layer.eval()(x) is x
    assert not nn.Dropout(1.0)(x).any()
    np.testing.assert_array_equal(nn.Dropout(0.0)(x), x)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dropout_of_channels(layout):
    x = np.random.default_rng(0).standard_normal((3, 40, 4, 5)).astype(np.float32)
    layer = nn.Dropout2d(0.3, rng=np.random.default_rng(0))
    y = layer(lay_out(x, layout))
    kept = np.abs(y).max((2, 3), keepdims=True) > 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_array_equal(y, np.where(kept, x * np.float32(1 / 0.7), 0))
    np.testing.assert_array_equal(layer.backward(lay_out(x, layout)), y)
    layer(x)
    with pytest.raises(ValueError, match=r"Dropout2d: grad_output must have the output's shape"):
        layer.backward(x[:1])


def test_dropout_follows_the_seed():
    x = np.ones(50)
    for make in (nn.Dropout, lambda: nn.Sequential(nn.Dropout())):
        layer = make()
        fastconv.manual_seed(3)
        first = layer(x)
        fastconv.manual_seed(3)
        np.testing.assert_array_equal(layer(x), first)


@pytest.mark.parametrize("factors", [2, (3, 1), (1, 2)])
def test_upsample_repeats(factors):
    x = np.arange(24.0).reshape(2, 2, 2, 3)
    rows, columns = (factors, factors) if isinstance(factors, int) else factors
    np.testing.assert_array_equal(
        nn.Upsample(scale_factor=factors)(x), x.repeat(rows, axis=2).repeat(columns, axis=3)
    )


def channels_last(array):
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)).transpose(0, 3, 1, 2)


def test_upsample_keeps_channels_last():
    x = np.arange(24.0).reshape(2, 2, 2, 3)
    layer = nn.Upsample(scale_factor=2)
    output = layer(channels_last(x))
    np.testing.assert_array_equal(output, layer(x))
    assert np.moveaxis(output, 1, -1).flags.c_contiguous


def test_flatten():
    x = np.arange(24.0).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(nn.Flatten()(x), x.reshape(2, 12))
    np.testing.assert_array_equal(nn.Flatten()(channels_last(x)), x.reshape(2, 12))
    np.testing.assert_array_equal(nn.Flatten(0, -2)(x), x.reshape(12, 2))
    layer = nn.Flatten(1, 2)
    grad = np.arange(24.0).reshape(2, 6, 2)
    assert layer(x).shape == grad.shape
    np.testing.assert_array_equal(layer.backward(grad), grad.reshape(x.shape))


def test_max_pool_returns_the_same_in_both_modes():
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 6))
    layer = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
    np.testing.assert_array_equal(layer(x), layer.eval()(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tanh_takes_its_gradient_from_its_output(dtype):
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal((2, 5, 7)) * 4).astype(dtype), rng.standard_normal((2, 5, 7))
    grad = grad.astype(dtype)
    layer = nn.Tanh()
    y = layer(x)
    want = fastconv.tanh_backward(grad, x)
    x[:] = 0
    got = layer.backward(grad)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(got, grad * (1 - np.square(y.astype("d"))), atol=1e-6)
    layer(x)
    with pytest.raises(ValueError, match="tanh_backward: grad_output must have the input's shape"):
        layer.backward(grad[:1])


def test_a_small_network_learns():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 1, 8, 8)).astype(np.float32)
    target = (x[:, 0, :4].mean((1, 2)) > x[:, 0, 4:].mean((1, 2))).astype(np.int64)
    net = small_net()
    loss = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), 0.01)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        values.append(float(loss(net(x), target)))
        net.backward(loss.backward(), needs_input_grad=False)
        optimizer.step()
    assert values[-1] < 0.2 * values[0]


@pytest.mark.parametrize(
    "pool", [nn.AdaptiveAvgPool2d(1), nn.AvgPool2d((6, 5)), nn.MaxPool2d((6, 5))]
)
@pytest.mark.parametrize("last", [False, True])
def test_memory_order_survives_a_single_pixel(pool, last):
    """Both orders of (N, C, 1, 1) are the same memory, but not for what comes before."""
    x = np.random.default_rng(0).standard_normal((4, 8, 6, 5)).astype("f")
    x = fastconv.channels_last(x) if last else x
    model = nn.Sequential(nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 3))
    y = model(x)
    grad = model.backward(np.ones_like(y))
    assert (grad.strides[1] == grad.itemsize) == last
    assert pool(x).reshape(4, 8).flags.c_contiguous
