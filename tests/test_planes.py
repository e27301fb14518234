"""Depthwise convolutions of planes: rows of them slide under groups of rows of taps."""

import isas
import numpy as np
import pytest
import reference
from strategies import lay_out

import fastconv
from fastconv import nn

# space, kernel, stride, padding, dilation
PROBLEMS = [
    ((7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),  # a vector is longer than the row
    ((14, 14), (3, 3), (1, 1), (1, 1), (1, 1)),  # and may run over the rows that follow
    ((28, 30), (5, 5), (1, 1), (2, 2), (1, 1)),
    ((9, 75), (7, 3), (1, 1), (3, 1), (1, 1)),  # several vectors, the last over the one before
    ((5, 33), (2, 2), (1, 1), (0, 0), (1, 1)),
    ((3, 10), (4, 1), (1, 1), (3, 0), (1, 1)),  # three rows of taps, and one
    ((11, 20), (5, 5), (2, 2), (2, 2), (1, 1)),  # three and two: every second row meets them
    ((12, 21), (3, 4), (2, 2), (1, 1), (1, 1)),
    ((13, 16), (4, 5), (3, 3), (3, 2), (1, 1)),
    ((10, 19), (1, 1), (2, 2), (0, 0), (1, 1)),  # phases without taps
    ((12, 17), (3, 3), (1, 1), (4, 4), (4, 4)),
    ((15, 18), (5, 3), (2, 1), (3, 3), (1, 3)),
    ((100, 90), (3, 3), (1, 1), (1, 1), (1, 1)),  # cut into blocks of rows
    ((3, 3000), (40, 3), (2, 2), (38, 1), (1, 1)),  # blocks without rows of the second phase
    ((301,), (3,), (1,), (1,), (1,)),  # pieces of a row in place of rows
    ((9000,), (4,), (1,), (2,), (1,)),
    ((95,), (5,), (2,), (2,), (1,)),
    ((4, 9, 11), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
    ((5, 6, 18), (2, 4, 3), (2, 1, 2), (1, 2, 1), (1, 1, 1)),
]
CHANNELS = 11


def problem_of(problem, dtype="f", channels=CHANNELS):
    space, kernel, stride, padding, dilation = problem
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, channels, *space)).astype(dtype)
    weight = rng.integers(-4, 5, (channels, 1, *kernel)).astype(dtype)
    bias = rng.integers(-4, 5, channels).astype(dtype)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": channels}
    settings = stride, tuple((pad, pad) for pad in padding), dilation, channels
    return x, weight, bias, options, settings


def slides(plan):
    return plan["lanes"] == "columns" and plan["rows_of"] == "rows"


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("layout", ["C", "channels_last", "steps", "reversed"])
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("problem", PROBLEMS)
def test_forward_and_input_gradient_exactly(problem, dtype, layout, isa):
    x, weight, bias, options, settings = problem_of(problem, dtype)
    run = getattr(fastconv, f"conv{len(problem[0])}d")
    back = getattr(fastconv, f"conv{len(problem[0])}d_backward")
    want = reference.conv(x, weight, bias, *settings)
    grad = np.random.default_rng(1).integers(-4, 5, want.shape).astype(dtype)
    with isas.using(isa):
        found = run(lay_out(x, layout), weight, bias, **options)
        grad_input, _, _ = back(
            lay_out(grad, layout), x, weight, **options, needs=(True, False, False)
        )
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(
        grad_input, reference.conv_grad_input(grad, x.shape[2:], weight, *settings)
    )


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_single_plane(problem):
    x, weight, bias, options, settings = problem_of(problem, channels=1)
    run = getattr(fastconv, f"conv{len(problem[0])}d")
    np.testing.assert_array_equal(
        run(x, weight, bias, **options), reference.conv(x, weight, bias, *settings)
    )


def test_planes_are_where_they_are_expected():
    def plan(size, kernel, groups=64):
        return fastconv.explain(
            "conv2d", (4, groups, size, size), (groups, 1, kernel, kernel), padding=kernel // 2,
            groups=groups, mode="dicts",
        )  # fmt: skip

    for name in ("forward", "grad_input"):
        for size in (7, 14, 56, 112):
            assert slides(plan(size, 3)[name])
        assert plan(14, 3)[name]["chain"] == 3
        assert slides(plan(28, 3, groups=1)[name])
        # Of a few cells there is little to compute; of many taps most lie in padding.
        assert plan(4, 3)[name]["lanes"] == "groups"
        assert plan(28, 31)[name]["lanes"] == "groups"


@pytest.mark.parametrize("problem", PROBLEMS)
def test_bits_do_not_depend_on_threads(problem):
    x, weight, bias, options, _ = problem_of(problem, channels=40)
    x = x + np.random.default_rng(2).standard_normal(x.shape).astype("f")
    run = getattr(fastconv, f"conv{len(problem[0])}d")
    first, *others = (run(x, weight, bias, **options, num_threads=n) for n in (1, 2, 3, 8))
    for each in others:
        np.testing.assert_array_equal(each, first)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_nothing_behind_the_output_is_touched(problem, isa):
    """A vector that runs over the end of a row must not run over that of the array."""
    x, weight, bias, options, settings = problem_of(problem)
    want = reference.conv(x, weight, bias, *settings)
    memory = np.full(want.size + 64, 77, "f")
    out = memory[: want.size].reshape(want.shape)
    run = getattr(fastconv, f"conv{len(problem[0])}d")
    for count in (1, 2, 3):
        with isas.using(isa):
            run(x, weight, bias, **options, out=out, num_threads=count)
        np.testing.assert_array_equal(out, want)
        assert np.all(memory[want.size :] == 77)


@pytest.mark.parametrize("slope", [0.0, 0.25])
@pytest.mark.parametrize("stride", [1, 2])
def test_activations_are_taken_at_the_store(stride, slope):
    fastconv.manual_seed(0)
    convolution = nn.Conv2d(CHANNELS, CHANNELS, 3, stride, padding=1, groups=CHANNELS)
    activation = nn.LeakyReLU(slope)
    x = np.random.default_rng(0).standard_normal((2, CHANNELS, 15, 14), np.float32)
    both = nn.Sequential(convolution, activation)
    y = both(x)
    np.testing.assert_array_equal(y, activation(convolution(x)))
    both(x)
    grad = np.random.default_rng(1).standard_normal(y.shape, np.float32)
    found = both.backward(grad)
    convolution(x)
    want = convolution.backward(grad * np.where(y > 0, np.float32(1), np.float32(slope)))
    np.testing.assert_array_equal(found, want)
