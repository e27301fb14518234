"""Batch normalization against loops, and what holds for all normalizations."""

import isas
import numpy as np
import pytest
import reference_pointwise as reference
from hypothesis import given
from hypothesis import strategies as st
from norm_cases import SHAPES, assert_close, filled, problems
from strategies import LAYOUTS, examples, lay_out

import fastconv.functional as F
from fastconv.functional.normalization import _batch_norm


def channel_moments(x):
    return map(np.array, zip(*[reference.moments(x[:, c]) for c in range(x.shape[1])], strict=True))


@examples(80)
@given(problems(), st.sampled_from((0.1, 0.7)))
def test_batch_norm_training(problem, momentum):
    x, weight, bias, eps = problem
    dtype = x.dtype.newbyteorder("=")
    channels = x.shape[1]
    running = np.full(channels, 2, dtype), np.full(channels, 3, dtype)
    y, (mean, inverse) = F.batch_norm(x, *running, weight, bias, True, momentum, eps)
    if x.size == 0:
        assert y.shape == x.shape
        np.testing.assert_array_equal(running, [[2] * channels, [3] * channels])
        return
    expected_mean, variance = channel_moments(x)
    assert_close(mean, expected_mean, x.dtype)
    assert_close(inverse, 1 / np.sqrt(variance + eps), x.dtype, 1000)
    want = reference.batch_norm(x, expected_mean, variance, *filled(weight, bias, channels), eps)
    assert_close(y, want, x.dtype, 1000)
    count = x.size // channels
    assert_close(running[0], 2 * (1 - momentum) + momentum * expected_mean, x.dtype)
    unbiased = variance * count / (count - 1)
    assert_close(running[1], 3 * (1 - momentum) + momentum * unbiased, x.dtype)


@examples(50)
@given(problems())
def test_batch_norm_by_running_statistics(problem):
    x, weight, bias, eps = problem
    channels = x.shape[1]
    dtype = x.dtype.newbyteorder("=")
    running = np.arange(channels, dtype=dtype), np.arange(1, channels + 1, dtype=dtype)
    for each in running:
        each.flags.writeable = False
    y, (mean, inverse) = F.batch_norm(x, *running, weight, bias, eps=eps)
    want = reference.batch_norm(x, *running, *filled(weight, bias, channels), eps)
    assert_close(y, want, x.dtype)
    np.testing.assert_array_equal(mean, running[0])
    assert_close(inverse, 1 / np.sqrt(running[1] + eps), x.dtype)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("slope", [1.0, 0.25, 0.0])
def test_moments_that_are_known(slope, dtype, layout, isa):
    """Not those of the input, whatever they are: nothing is taken from it."""
    rng = np.random.default_rng(0)
    x = lay_out(rng.standard_normal((3, 37, 4, 5)).astype(dtype), layout)
    weight, bias = rng.standard_normal((2, 37)).astype(dtype)
    running = np.full(37, 2, dtype), np.full(37, 3, dtype)
    moments = rng.standard_normal(37), rng.uniform(0.5, 2, 37)
    with isas.using(isa):
        y, (mean, inverse) = _batch_norm(
            x, *running, weight, bias, True, 0.3, 0.1, slope=slope, moments=moments
        )
    np.testing.assert_array_equal(mean, moments[0].astype(dtype))
    np.testing.assert_array_equal(inverse, (1 / np.sqrt(moments[1] + 0.1)).astype(dtype))
    want = reference.batch_norm(x, *moments, weight, bias, 0.1)
    assert_close(y, np.where(want < 0, slope * want, want), dtype)
    assert_close(running[0], 0.7 * 2 + 0.3 * moments[0], dtype, 4)
    assert_close(running[1], 0.7 * 3 + 0.3 * moments[1] * 60 / 59, dtype, 4)


class Kind(np.ndarray):
    pass


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ["steps", "reversed", "unaligned", "swapped_bytes", "subclass"])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_running_statistics_as_they_lie(dtype, kind, training):
    x = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(dtype)
    plain = np.arange(3, dtype=dtype), np.arange(1, 4, dtype=dtype)
    if kind == "subclass":
        odd = [each.copy().view(Kind) for each in plain]
    else:
        odd = [lay_out(each, kind) for each in plain]
    y, saved = F.batch_norm(x, *odd, training=training, momentum=0.3)
    want, want_saved = F.batch_norm(x, *plain, training=training, momentum=0.3)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(saved, want_saved)
    np.testing.assert_array_equal(odd, plain)


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_the_running_statistics(which):
    x = np.random.default_rng(0).standard_normal((5, 3, 4))
    both = [np.zeros(3), np.ones(3)]
    want, _ = F.batch_norm(x, *both, training=True)
    one = [np.zeros(3), None] if which == 0 else [None, np.ones(3)]
    y, _ = F.batch_norm(x, *one, training=True)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(one[which], both[which])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("layout", ["C", "channels_last"])
def test_what_is_no_number_stays_in_its_channel(layout, training):
    x = np.random.default_rng(0).standard_normal((2, 24, 3, 5))
    want, _ = F.batch_norm(x, np.zeros(24), np.ones(24), training=training)
    x[1, 7, 2, 2] = np.nan
    running = np.zeros(24), np.ones(24)
    y, (mean, inverse) = F.batch_norm(lay_out(x, layout), *running, training=training)
    others = np.arange(24) != 7
    np.testing.assert_allclose(y[:, others], want[:, others], 1e-12, 1e-12)
    assert np.isnan(y[1, 7, 2, 2])
    for each in (mean, inverse, *running):
        assert np.isnan(each[7]) == training
        assert np.isfinite(each[others]).all()
    back = F.batch_norm_backward(np.ones_like(x), x, None, (mean, inverse), training)
    assert np.isfinite(back[0][:, others]).all()
    assert np.isnan(back[1][7])
    np.testing.assert_array_equal(back[2], 30)


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 3, 0), (2, 0, 4), (0, 3)])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_of_nothing(training, shape):
    x, channels = np.zeros(shape, np.float32), shape[1]
    running = np.full(channels, 2, np.float32), np.full(channels, 3, np.float32)
    y, saved = F.batch_norm(x, *running, training=training, eps=1.0)
    gradients = F.batch_norm_backward(x, x, None, saved, training)
    for each, values in ((y, x), (gradients[0], x), (running[0], [2] * channels)):
        np.testing.assert_array_equal(each, values)
    np.testing.assert_array_equal(saved[0], 0 if training else running[0])
    np.testing.assert_allclose(saved[1], 1 if training else np.full(channels, 0.5))
    for each in (y, *saved, *gradients):
        assert each.dtype == np.float32
    for each in gradients[1:]:
        np.testing.assert_array_equal(each, np.zeros(channels))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_backward(shape, training, affine):
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal(shape), rng.standard_normal(shape)
    weight, bias = (rng.standard_normal(4), rng.standard_normal(4)) if affine else (None, None)
    running = rng.standard_normal(4), rng.random(4) + 1

    def norm(x, weight=weight, bias=bias):
        mean, variance = channel_moments(x) if training else running
        return reference.batch_norm(x, mean, variance, *filled(weight, bias, 4), 0.1)

    copies = running[0].copy(), running[1].copy()
    _, saved = F.batch_norm(x, *copies, weight, bias, training, eps=0.1)
    gx, gw, gb = F.batch_norm_backward(grad, x, weight, saved, training)
    np.testing.assert_allclose(gx, reference.gradient(norm, x, grad), atol=1e-7)
    weight, bias = filled(weight, bias, 4)
    want = reference.gradient(lambda w: norm(x, w, bias), weight, grad)
    np.testing.assert_allclose(gw, want, atol=1e-7)
    want = reference.gradient(lambda b: norm(x, weight, b), bias, grad)
    np.testing.assert_allclose(gb, want, atol=1e-7)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_order_and_dtype_are_kept(layout):
    rng = np.random.default_rng(0)
    x = lay_out(rng.standard_normal((3, 4, 5, 6)).astype("f"), layout)
    weight = np.ones(4, np.float32)
    outputs = []
    y, saved = F.batch_norm(x, None, None, weight, weight, True)
    outputs += [y, F.batch_norm_backward(x, x, weight, saved, True)[0]]
    outputs += [F.batch_norm_backward(x, x, weight, saved, False)[0]]
    y, saved = F.group_norm(x, 2, weight, weight)
    outputs += [y, F.group_norm_backward(x, x, 2, weight, saved)[0]]
    y, saved = F.layer_norm(x, 6, x[0, 0, 0], x[0, 0, 0])
    outputs += [y, F.layer_norm_backward(x, x, 6, x[0, 0, 0], saved)[0]]
    outputs += F.dropout(x, 0.5, rng)
    for y in outputs:
        assert y.dtype == np.float32
        if layout in ("C", "channels_last"):
            assert y.strides == x.strides


def test_a_large_mean_does_not_drown_the_variance():
    x = np.random.default_rng(0).standard_normal((64, 1, 8, 8))
    far = (x + 1000).astype(np.float32)
    y, _ = F.batch_norm(far, None, None, training=True)
    want = (far - far.mean(dtype=float)) / far.std(dtype=float)
    np.testing.assert_allclose(y, want, atol=1e-3)


def test_batch_norm_without_running_statistics():
    x = np.random.default_rng(0).standard_normal((4, 3))
    y, _ = F.batch_norm(x, None, None, training=True)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-12)


def test_pytorch_agrees():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((2, 4, 6, 5, 3))
    weight, bias = rng.standard_normal((2, 6))
    ours, theirs = [np.zeros(6), np.ones(6)], [torch.zeros(6).double(), torch.ones(6).double()]
    for training in (True, False):
        tensors = [torch.tensor(each, requires_grad=True) for each in (x, weight, bias)]
        want = torch.nn.functional.batch_norm(tensors[0], *theirs, *tensors[1:], training, 0.3)
        want.backward(torch.tensor(grad))
        y, saved = F.batch_norm(x, *ours, weight, bias, training, 0.3)
        np.testing.assert_allclose(y, want.detach(), atol=1e-12)
        got = F.batch_norm_backward(grad, x, weight, saved, training)
        for each, tensor in zip(got, tensors, strict=True):
            np.testing.assert_allclose(each, tensor.grad, atol=1e-12)
        for each, tensor in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(each, tensor, atol=1e-12)
    tensors = [torch.tensor(each, requires_grad=True) for each in (x, weight, bias)]
    want = torch.nn.functional.group_norm(tensors[0], 3, *tensors[1:])
    want.backward(torch.tensor(grad))
    y, saved = F.group_norm(x, 3, weight, bias)
    np.testing.assert_allclose(y, want.detach(), atol=1e-12)
    got = F.group_norm_backward(grad, x, 3, weight, saved)
    for each, tensor in zip(got, tensors, strict=True):
        np.testing.assert_allclose(each, tensor.grad, atol=1e-12)


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_pytorch_agrees_on_running_statistics(dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    ours = np.zeros(6, dtype), np.ones(6, dtype)
    theirs = [torch.tensor(each) for each in ours]
    for momentum in (0.1, 0.9, 1, 0):
        x = (3 * rng.standard_normal((4, 6, 5, 3)) + 1).astype(dtype)
        torch.nn.functional.batch_norm(torch.tensor(x), *theirs, None, None, True, momentum)
        F.batch_norm(x, *ours, training=True, momentum=momentum)
        for each, tensor in zip(ours, theirs, strict=True):
            assert_close(each, tensor.numpy(), dtype, 20)


X = np.zeros((2, 6, 4), np.float32)
C = np.zeros(6, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.batch_norm(C, C, C), ValueError, r"batch_norm: input must be \(N, C, \*space\)"),
        (lambda: F.batch_norm(X, None, C), ValueError, "running_mean is needed unless training"),
        (lambda: F.batch_norm(X, C, C[:5]), ValueError, r"running_var must have shape \(6,\), one"),
        (lambda: F.batch_norm(X, C, C, C[:1]), ValueError, r"weight must have shape \(6,\)"),
        (lambda: F.batch_norm(X, C, C, C, C[:1]), ValueError, r"bias must have shape \(6,\)"),
        (lambda: F.batch_norm(X, C, C, C.astype(float)), TypeError, "weight must be float32, as"),
        (lambda: F.batch_norm(X.astype(int), C, C), TypeError, "must be float32 or float64"),
        (
            lambda: F.batch_norm(X[:1, :, 0], None, None, training=True),
            ValueError,
            r"needs more than one value per channel, got shape \(1, 6\)",
        ),
        (
            lambda: F.batch_norm(X, list(C), C, training=True),
            ValueError,
            "running_mean must be a writeable NumPy array when training",
        ),
        (
            lambda: F.batch_norm(X, np.broadcast_to(C[:1], 6), C, training=True),
            ValueError,
            "running_mean must be a writeable NumPy array when training",
        ),
        (
            lambda: F.batch_norm_backward(X[:1], X, None, (C, C), True),
            ValueError,
            r"grad_output must have the input's shape \(2, 6, 4\), got \(1, 6, 4\)",
        ),
        (
            lambda: F.batch_norm_backward(X, X, None, (C, C[:1]), True),
            ValueError,
            r"saved must be two arrays of shape \(6,\)",
        ),
        (lambda: F.group_norm(X, 4), ValueError, "must divide the 6 input channels, got 4"),
        (lambda: F.group_norm(X, 0), ValueError, "num_groups must be at least 1, got 0"),
        (lambda: F.group_norm(C, 1), ValueError, r"group_norm: input must be \(N, C, \*space\)"),
        (lambda: F.group_norm(X, 2, C[:5]), ValueError, r"weight must have shape \(6,\), one"),
        (lambda: F.group_norm(X, 2, C, C.astype(float)), TypeError, "bias must be float32, as"),
        (
            lambda: F.group_norm_backward(X[:1], X, 2, None, (C, C)),
            ValueError,
            r"grad_output must have the input's shape \(2, 6, 4\), got \(1, 6, 4\)",
        ),
        (
            lambda: F.group_norm_backward(X, X, 2, None, (C, C)),
            ValueError,
            r"saved must be two arrays of shape \(2, 2\)",
        ),
        (
            lambda: F.layer_norm(X, 6),
            ValueError,
            r"layer_norm: input must end in the axes normalized_shape=\(6,\), got shape \(2, ",
        ),
        (lambda: F.layer_norm(X, (1, 2, 6, 4)), ValueError, "layer_norm: input must end in"),
        (lambda: F.layer_norm(np.float32(1), 1), ValueError, r"input must end in .*got shape \(\)"),
        (lambda: F.layer_norm(X, ()), ValueError, "normalized_shape must name at least one axis"),
        (lambda: F.layer_norm(X, 4.0), TypeError, "normalized_shape must be an integer, got 4.0"),
        (lambda: F.layer_norm(X, 4, C), ValueError, r"weight must have shape \(4,\), .*got \(6,\)"),
        (lambda: F.layer_norm(X, 4, None, C), ValueError, r"bias must have shape \(4,\), that of"),
        (
            lambda: F.layer_norm_backward(X, X, 4, None, (X, X)),
            ValueError,
            r"saved must be two arrays of shape \(2, 6, 1\)",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
