"""pad against numpy.pad and PyTorch, its backward as the transpose of that."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, examples, lay_out

import fastconv.functional as F

# mode here, mode of numpy.pad
MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@st.composite
def problems(draw):
    """(integer array, (low, high) for some last axes, mode) within the mode's limits."""
    mode = draw(st.sampled_from(list(MODES)))
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    axes = draw(st.integers(0, len(shape)))
    pairs = []
    for size in shape[len(shape) - axes :]:
        side = st.integers(0, {"reflect": size - 1, "circular": size}.get(mode, 7))
        pairs.append((draw(side), draw(side)))
    if draw(st.booleans()) and len(shape) > axes:
        shape[0] = 0
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(-9, 10, shape)
    dtype = draw(st.sampled_from("fd"))
    x = lay_out(x.astype(dtype), draw(st.sampled_from(LAYOUTS)) if len(shape) > 1 else "C")
    x.flags.writeable = False
    return x, pairs, mode


def flat(pairs):
    return tuple(side for pair in reversed(pairs) for side in pair)


def numpys(x, pairs, mode):
    return np.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, MODES[mode])


@examples(250)
@given(problems())
def test_any_array(problem):
    x, pairs, mode = problem
    y = F.pad(x, flat(pairs), mode)
    assert y.dtype == x.dtype.newbyteorder("=")
    assert not np.shares_memory(x, y)
    np.testing.assert_array_equal(y, numpys(x, pairs, mode))


@examples(250)
@given(problems(), st.sampled_from(LAYOUTS), st.integers(0, 99))
def test_backward_is_the_transpose(problem, layout, seed):
    x, pairs, mode = problem
    padded = numpys(x, pairs, mode)
    g = np.random.default_rng(seed).integers(-9, 10, padded.shape).astype(x.dtype)
    g = lay_out(g, layout) if g.ndim > 1 else g
    g.flags.writeable = False
    before = g.copy()
    gx = F.pad_backward(g, flat(pairs), mode)
    np.testing.assert_array_equal(g, before)
    assert gx.dtype == x.dtype.newbyteorder("=")
    # Cell by cell: each padded cell adds to the one that it repeats, the constant to none.
    cells = np.arange(x.size).reshape(x.shape)
    sources = numpys(cells + 1, pairs, mode) - 1  # the constant is -1
    want = np.zeros(x.size)
    np.add.at(want, sources[sources >= 0], g[sources >= 0])
    np.testing.assert_array_equal(gx, want.reshape(x.shape))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_pytorch_agrees(mode, ndim):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 4)[: ndim + 2])
    sides = (1, 2, 3, 0, 2, 2)[: 2 * ndim]
    theirs = torch.tensor(x, requires_grad=True)
    want = torch.nn.functional.pad(theirs, sides, mode)
    np.testing.assert_array_equal(F.pad(x, sides, mode), want.detach())
    g = np.random.default_rng(1).standard_normal(want.shape)
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(F.pad_backward(g, sides, mode), theirs.grad, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layout", ["C", "channels_last"])
def test_memory_order_is_kept(mode, layout):
    x = lay_out(np.ones((2, 3, 4, 5), np.float32), layout)
    for y in (F.pad(x, (1, 2, 1, 0), mode), F.pad_backward(x, (1, 1, 1, 0), mode)):
        packed = np.moveaxis(y, 1, -1) if layout == "channels_last" else y
        assert packed.flags.c_contiguous


def test_value():
    np.testing.assert_array_equal(F.pad(np.ones(2), (1, 2), value=3), [3, 1, 1, 3, 3])
    np.testing.assert_array_equal(F.pad(np.ones(2), (1, 0), "constant", -np.inf), [-np.inf, 1, 1])


X = np.zeros((2, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.pad(X, 1), TypeError, "pad: pad must be a tuple of integers, two for each axis"),
        (lambda: F.pad(X, (1,)), ValueError, r"pad: pad must hold two integers .*got \(1,\)"),
        (lambda: F.pad(X, (0,) * 8), ValueError, "for each of at most 3 axes"),
        (lambda: F.pad(X, (1, -1)), ValueError, "pad: pad must be at least 0, got -1"),
        (lambda: F.pad(X, (1, 1.0)), TypeError, "pad: pad must be an integer, got 1.0"),
        (lambda: F.pad(X, (0, 2**70)), OverflowError, "pad: pad must fit 64 bits"),
        (lambda: F.pad(X, (0, 2**62)), OverflowError, "pad: an output of shape .* too large"),
        (
            lambda: F.pad(X, (1, 1), "mirror"),
            ValueError,
            "mode must be one of constant, .*'mirror'",
        ),
        (lambda: F.pad(X, (1, 1), "reflect", 1.0), ValueError, "value is for mode 'constant'"),
        (lambda: F.pad(X, (1, 1), value="1"), TypeError, "pad: value must be a number, got '1'"),
        (lambda: F.pad(X.astype(int), (1, 1)), TypeError, "input must be float32 or float64"),
        (
            lambda: F.pad(X, (4, 0), "reflect"),
            ValueError,
            r"pad: padding of mode 'reflect' must be smaller than the axis, got \(4, 0\) .* 4 ",
        ),
        (
            lambda: F.pad(X, (0, 5), "circular"),
            ValueError,
            r"must be at most as long as the axis, got \(0, 5\) for an axis of 4 cells",
        ),
        (
            lambda: F.pad(X[..., :0], (0, 1), "replicate"),
            ValueError,
            "must be around at least one cell",
        ),
        (
            lambda: F.pad_backward(X, (2, 3)),
            ValueError,
            r"pad_backward: padding \(2, 3\) must fit its axis of 4 cells",
        ),
        (
            lambda: F.pad_backward(X, (2, 0), "reflect"),
            ValueError,
            r"pad_backward: padding of mode 'reflect' must be smaller than the axis, got \(2, 0\)",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
