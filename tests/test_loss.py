"""Losses against loops over the math module, and finite differences."""

import math

import numpy as np
import pytest
import reference_pointwise as reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv.functional as F
from fastconv import nn

REDUCTIONS = ("mean", "sum", "none")


def reduced(losses, reduction, total):
    """By a plain sum; a mean over nothing is NaN."""
    if reduction == "none":
        return losses
    loss = math.fsum(losses.flat)
    return loss if reduction == "sum" else loss / total if total else math.nan


@st.composite
def cross_entropies(draw):
    """(input, target, options of the loss, reduction), the arrays read-only."""
    classes = draw(st.integers(1, 5))
    space = draw(st.lists(st.integers(1, 3), max_size=2))
    n = draw(st.sampled_from((1, 2, 5, 0)))
    dtype = draw(st.sampled_from("fd"))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = lay_out(
        (rng.standard_normal((n, classes, *space)) * draw(st.sampled_from((1, 20)))).astype(dtype),
        draw(st.sampled_from(LAYOUTS)),
    )
    x.flags.writeable = False
    options = {"label_smoothing": draw(st.sampled_from((0.0, 0.0, 0.3, 1.0)))}
    if draw(st.booleans()):
        options["weight"] = (rng.random(classes) + 0.5).astype(dtype)
    if draw(st.booleans()):
        target = rng.random(x.shape).astype(dtype)
    else:
        target = rng.integers(0, classes, (n, *space)).astype(draw(st.sampled_from("bilB")))
        if draw(st.booleans()):
            options["ignore_index"] = draw(st.integers(0, classes - 1))
    target.flags.writeable = False
    return x, target, options, draw(st.sampled_from(REDUCTIONS))


@examples(150)
@given(cross_entropies())
def test_cross_entropy(problem):
    x, target, options, reduction = problem
    losses, total = reference.cross_entropy(x, target, **options)
    got = F.cross_entropy(x, target, **options, reduction=reduction)
    want = reduced(losses, reduction, total)
    eps = np.finfo(x.dtype).eps
    assert got.dtype == x.dtype.newbyteorder("=")
    np.testing.assert_allclose(got, want, rtol=200 * eps, atol=200 * eps * max(1, np.sum(losses)))


@examples(60)
@given(cross_entropies(), st.sampled_from((1.0, -2.5)))
def test_cross_entropy_backward(problem, factor):
    x, target, options, reduction = problem
    rng = np.random.default_rng(0)
    shape = (x.shape[0], *x.shape[2:])
    grad = rng.standard_normal(shape) if reduction == "none" else factor

    def loss(x):
        losses, total = reference.cross_entropy(x, target, **options)
        return reduced(losses, reduction, total) if total else 0 * losses

    got = F.cross_entropy_backward(
        x, target, **options, reduction=reduction, grad_output=np.asarray(grad, x.dtype)
    )
    assert got.dtype == x.dtype.newbyteorder("=")
    want = reference.gradient(loss, x, grad)
    np.testing.assert_allclose(got, want, atol=1e-5 if x.itemsize == 4 else 1e-6, rtol=1e-5)


@examples(60)
@given(cross_entropies(), st.sampled_from((1.0, -2.5)))
def test_the_layer_is_the_function(problem, factor):
    x, target, options, reduction = problem
    options["reduction"] = reduction
    grad = np.full((x.shape[0], *x.shape[2:]) if reduction == "none" else (), factor, x.dtype)
    loss = nn.CrossEntropyLoss(**options)
    want = F.cross_entropy(x, target, **options)
    np.testing.assert_array_equal(loss(x, target), want)
    got = loss.backward(grad)
    want_grad = F.cross_entropy_backward(x, target, **options, grad_output=grad)
    np.testing.assert_array_equal(got, want_grad)
    np.testing.assert_array_equal(loss.eval()(x, target), want)
    if target.shape == x.shape:
        loss = nn.MSELoss(reduction=reduction)
        grad = np.full(x.shape if reduction == "none" else (), factor, x.dtype)
        np.testing.assert_array_equal(loss(x, target), F.mse_loss(x, target, reduction))
        want_grad = F.mse_loss_backward(x, target, reduction, grad)
        np.testing.assert_array_equal(loss.backward(grad), want_grad)


def test_cross_entropy_without_a_batch():
    x = np.array([1.0, 2.0, 0.5])
    want = math.log(math.fsum(map(math.exp, x))) - 2
    np.testing.assert_allclose(F.cross_entropy(x, 1), want)
    np.testing.assert_allclose(F.cross_entropy(x, np.array([0.0, 1.0, 0.0])), want)
    softmax = np.exp(x) / math.fsum(map(math.exp, x))
    np.testing.assert_allclose(F.cross_entropy_backward(x, np.int64(1)), softmax - [0, 1, 0])
    none = {"reduction": "none"}
    for target in (1, np.array([0.0, 1.0, 0.0])):
        assert np.shape(F.cross_entropy(x, target, **none)) == ()
        got = F.cross_entropy_backward(x, target, **none, grad_output=np.array(2.0))
        np.testing.assert_allclose(got, 2 * (softmax - [0, 1, 0]))


def test_cross_entropy_of_excluded_classes():
    """A logit of -inf excludes a class; it is no NaN while it is not the target."""
    x = np.array([[0.0, -np.inf, 0.0]])
    np.testing.assert_allclose(F.cross_entropy(x, np.array([0])), math.log(2))
    np.testing.assert_allclose(F.cross_entropy_backward(x, np.array([0])), [[-0.5, 0, 0.5]])
    assert F.cross_entropy(x, np.array([1])) == np.inf


@pytest.mark.parametrize("last", [False, True])
def test_a_poisoned_position_is_alone(last):
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 3)).astype(np.float32)
    target = np.tile(np.arange(9).reshape(3, 3) % 4, (2, 1, 1))
    target[0, 0, 2] = -7
    clean = F.cross_entropy(x, target, ignore_index=-7, reduction="none")
    x[0, 1, 0, 0] = np.nan
    x[0, 2, 0, 2] = np.nan  # where the target does not count
    x[1, 3, 2, 1] = np.inf
    x[1, :, 1, 1] = -np.inf
    losses = F.cross_entropy(
        F.channels_last(x) if last else x, target, ignore_index=-7, reduction="none"
    )
    poisoned = np.zeros(target.shape, bool)
    poisoned[0, 0, 0] = poisoned[1, 2, 1] = poisoned[1, 1, 1] = True
    np.testing.assert_allclose(losses, np.where(poisoned, np.nan, clean), rtol=1e-6)
    gradient = F.cross_entropy_backward(x, target, ignore_index=-7, reduction="sum")
    poisoned[0, 0, 2] = True
    np.testing.assert_array_equal(np.isnan(gradient).all(1), poisoned)
    np.testing.assert_array_equal(np.isnan(gradient).any(1), poisoned)


def test_a_sum_beyond_float32_is_infinite():
    """Warnings are errors here."""
    x = np.array([[3e38, 0], [3e38, 0]], np.float32)
    target = np.array([1, 1])
    assert F.cross_entropy(x, target, reduction="sum") == np.inf
    assert F.cross_entropy(x, target) == np.float32(3e38)
    assert F.mse_loss(x, np.zeros_like(x)) == np.inf


@pytest.mark.parametrize("options", [{}, {"ignore_index": 2}])
def test_a_mean_over_no_target_is_nan_and_has_no_gradient(options):
    x = np.zeros((3 if options else 0, 4), np.float32)
    target = np.full(len(x), 2)
    assert np.isnan(F.cross_entropy(x, target, **options))
    np.testing.assert_array_equal(F.cross_entropy_backward(x, target, **options), np.zeros(x.shape))
    assert F.cross_entropy(x, target, **options, reduction="sum") == 0


def test_losses_far_away_do_not_overflow():
    far = np.array([[1e30, -1e30, 1e4, -1e4]], np.float32)
    target = np.array([[1, 0, 0, 1]], np.float32)
    none = {"reduction": "none"}
    got = F.binary_cross_entropy_with_logits(far, target, **none)
    np.testing.assert_array_equal(got, np.float32([[0, 0, 1e4, 1e4]]))
    got = F.binary_cross_entropy_with_logits_backward(far, target, **none)
    np.testing.assert_array_equal(got, [[0, 0, 1, -1]])
    np.testing.assert_array_equal(F.cross_entropy(far, np.array([2]), **none), np.float32([1e30]))
    np.testing.assert_array_equal(
        F.cross_entropy_backward(far, np.array([2]), **none), [[1, 0, -1, 0]]
    )


@st.composite
def pairs(draw):
    """(input, target in 0..1, random generator, reduction)."""
    shape = draw(st.lists(st.integers(0, 4), min_size=2, max_size=4))
    dtype = draw(st.sampled_from("fd"))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = lay_out(rng.standard_normal(shape).astype(dtype) * 3, draw(st.sampled_from(LAYOUTS)))
    target = rng.random(shape).astype(dtype)
    x.flags.writeable = target.flags.writeable = False
    return x, target, rng, draw(st.sampled_from(REDUCTIONS))


def check(x, reduction, losses, loss, backward, factor=1.5):
    """`loss()` and `backward(grad_output)` against losses(x)."""
    count = x.size if reduction == "mean" else 1
    dtype = x.dtype.newbyteorder("=")
    eps = np.finfo(dtype).eps
    got = loss()
    want = reduced(losses(x), reduction, count)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=100 * eps, atol=100 * eps)
    grad = np.full(x.shape, factor) * (np.arange(x.size).reshape(x.shape) - 1)
    grad = grad if reduction == "none" else np.asarray(factor)
    got = backward(grad.astype(dtype))
    assert got.dtype == dtype
    want = reference.gradient(losses, x, grad) / max(1, count)
    # Differences of losses of many units: rounding of the reference.
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 if dtype == "f" else 1e-6)


@examples(50)
@given(pairs())
def test_mse_loss(pair):
    x, target, _, reduction = pair
    check(
        x,
        reduction,
        lambda x: (x - target.astype(float)) ** 2,
        lambda: F.mse_loss(x, target, reduction),
        lambda grad: F.mse_loss_backward(x, target, reduction, grad),
    )


@examples(60)
@given(pairs(), st.booleans(), st.booleans())
def test_binary_cross_entropy_with_logits(pair, weighted, positive):
    x, target, rng, reduction = pair
    ones = np.ones(x.shape)
    weight = rng.random((x.shape[0], *(1,) * (x.ndim - 1))).astype(target.dtype)
    pos_weight = (rng.random(x.shape[-1]) + 0.5).astype(target.dtype)
    options = {
        "weight": weight if weighted else None,
        "reduction": reduction,
        "pos_weight": pos_weight if positive else None,
    }
    weight, pos_weight = (
        weight * ones if weighted else ones,
        pos_weight * ones if positive else ones,
    )
    name = F.binary_cross_entropy_with_logits
    name_backward = F.binary_cross_entropy_with_logits_backward
    check(
        x,
        reduction,
        lambda x: reference.binary_cross_entropy_with_logits(x, target, weight, pos_weight),
        lambda: name(x, target, **options),
        lambda grad: name_backward(x, target, **options, grad_output=grad),
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("form", ["indices", "probabilities"])
def test_pytorch_agrees_on_cross_entropy(form, smoothing, reduction):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((4, 5, 3)), rng.random(5)
    target = rng.random(x.shape) if form == "probabilities" else rng.integers(0, 5, (4, 3))
    options = {"reduction": reduction, "label_smoothing": smoothing}
    if form == "indices":
        options["ignore_index"] = 2
    theirs = torch.tensor(x, requires_grad=True)
    want = torch.nn.functional.cross_entropy(
        theirs, torch.tensor(target), torch.tensor(weight), **options
    )
    grad = rng.standard_normal(want.shape)
    want.backward(torch.tensor(grad))
    got = F.cross_entropy(x, target, weight, **options)
    np.testing.assert_allclose(got, want.detach(), rtol=1e-12)
    got = F.cross_entropy_backward(x, target, weight, **options, grad_output=grad)
    np.testing.assert_allclose(got, theirs.grad, atol=1e-13)


@pytest.mark.parametrize("ignore_index", [-3, 1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pytorch_agrees_on_a_map_of_channels_last(dtype, smoothing, ignore_index):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = F.channels_last((rng.standard_normal((2, 6, 9, 8)) * 3).astype(dtype))
    weight, target = rng.random(6).astype(dtype), rng.integers(0, 6, (2, 9, 8))
    target[rng.random(target.shape) < 0.3] = ignore_index
    options = {"ignore_index": ignore_index, "label_smoothing": smoothing}
    theirs = torch.tensor(x, requires_grad=True)
    want = torch.nn.CrossEntropyLoss(torch.tensor(weight), **options)(theirs, torch.tensor(target))
    want.backward()
    loss = nn.CrossEntropyLoss(weight, **options)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(loss(x, target), want.detach(), rtol=10 * eps)
    got = loss.backward()
    np.testing.assert_allclose(got, theirs.grad, atol=eps)
    assert got.strides == x.strides


X = np.zeros((2, 3), np.float32)
T = np.zeros(2, int)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.cross_entropy(X, T + 3), ValueError, r"target must lie in 0\.\.2 .*, got 3"),
        (lambda: F.cross_entropy(X, T - 1), ValueError, r"ignore_index=-100, got -1"),
        (
            lambda: F.cross_entropy(np.zeros((2, 3, 2)), np.array([[0, 2], [-100, 7]])),
            ValueError,
            "got 7",
        ),
        (
            lambda: F.cross_entropy(X, (T - 100).astype(np.uint64)),
            ValueError,
            f"ignore_index=-100, got {2**64 - 100}",
        ),
        (lambda: nn.CrossEntropyLoss()(X, T + 3), ValueError, r"^cross_entropy: target must lie"),
        (lambda: F.cross_entropy(X, T[:1]), ValueError, r"target must have shape \(2,\) for class"),
        (
            lambda: F.cross_entropy(X, T > 0),
            TypeError,
            "integer class indices or float32 class pro",
        ),
        (lambda: F.cross_entropy(X, X[:1]), ValueError, "target must have the input's shape"),
        (lambda: F.cross_entropy(X, X.astype(float)), TypeError, "target must be float32, as the"),
        (
            lambda: F.cross_entropy(X, X, ignore_index=1),
            ValueError,
            "ignore_index is for class ind",
        ),
        (lambda: F.cross_entropy(X, T, X[0, :2]), ValueError, r"weight must have shape \(3,\)"),
        (lambda: F.cross_entropy(X, T, reduction="all"), ValueError, "reduction must be 'mean'"),
        (
            lambda: F.cross_entropy(X, T, label_smoothing=2),
            ValueError,
            r"must lie in 0\.\.1, got 2",
        ),
        (lambda: F.cross_entropy(X[0, 0], 0), ValueError, "input must be .*, got a number"),
        (lambda: F.cross_entropy(X.astype(int), T), TypeError, "must be float32 or float64"),
        (lambda: F.mse_loss(X, X[:1]), ValueError, "mse_loss: target must have the input's shape"),
        (lambda: F.mse_loss(X, X, "avg"), ValueError, "reduction must be .*, got 'avg'"),
        (
            lambda: F.mse_loss_backward(X, X, "mean", X),
            ValueError,
            r"grad_output must be a number or, .* got shape \(2, 3\) with reduction='mean'",
        ),
        (
            lambda: F.binary_cross_entropy_with_logits(X, X, X[:, :2]),
            ValueError,
            r"weight must broadcast to the input's shape \(2, 3\), got \(2, 2\)",
        ),
        (
            lambda: F.binary_cross_entropy_with_logits(X, X, pos_weight=X.astype(float)),
            TypeError,
            "pos_weight must be float32",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
