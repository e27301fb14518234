"""Winograd's algorithm against the reference, its error against the direct one, and who chooses it.

Its sums are not those of a direct convolution, so integers do not come out exactly.  The bounds are
multiples of the direct error: what users are told in the README.
"""

import math
from dataclasses import replace

import checks
import isas
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from programs import run
from strategies import LAYOUTS, Case, examples

import fastconv
from fastconv.functional import _geometry, _winograd

# Of the largest output, over the rounding of the type: what 36 or 216 points cost at most.
UNITS = {1: 30, 2: 60, 3: 250}


@st.composite
def cases(draw, transposed=False, most_stride=1):
    """A `Case` for which winograd applies, all other options drawn."""
    ndim = draw(st.integers(1, 3))
    stride = draw(st.integers(1, most_stride))
    groups = draw(st.sampled_from((1, 1, 1, 2, 3)))
    most = (70, 40, 18)[ndim - 1] // groups
    # Whole vectors of channels go ways of their own.
    counts = st.one_of(st.integers(1, most), st.sampled_from((8, 16)))
    channels = [groups * draw(counts) for _ in range(2)]
    kernel = tuple(draw(st.integers(stride + 1, 3 * stride)) for _ in range(ndim))
    pads = tuple(
        (draw(st.integers(0, min(3, k - 1))), draw(st.integers(0, min(3, k - 1)))) for k in kernel
    )
    side = (40, 14, 7)[ndim - 1]
    small = tuple(draw(st.integers(1, side)) for _ in range(ndim))
    large = tuple(
        (size - 1) * stride + k - sum(pad) for size, k, pad in zip(small, kernel, pads, strict=True)
    )
    if min(large) < 1:
        pads = ((0, 0),) * ndim
        large = tuple((size - 1) * stride + k for size, k in zip(small, kernel, strict=True))
    return Case(
        transposed=transposed,
        batch=draw(st.integers(1, 3)),
        in_channels=channels[0],
        out_channels=channels[1],
        groups=groups,
        space=small if transposed else large,
        out_space=large if transposed else small,
        kernel=kernel,
        stride=(stride,) * ndim,
        pads=pads,
        dilation=(1,) * ndim,
        output_padding=(0,) * ndim,
        options={"padding": pads, "groups": groups, "stride": stride},
        batched=True,
        with_bias=draw(st.booleans()),
        dtype=draw(st.sampled_from("fd")),
        data="normal",
        layouts=draw(
            st.one_of(
                st.just(("channels_last", "C", "channels_last")),
                st.tuples(*(st.sampled_from(LAYOUTS) for _ in range(3))),
            )
        ),
        num_threads=draw(st.integers(1, 3)),
        isa=draw(st.sampled_from(isas.AVAILABLE)),
        seed=draw(st.integers(0, 99)),
    )


def assert_close(case, got, want):
    assert got.shape == want.shape
    assert got.dtype == case.dtype
    bound = UNITS[case.ndim] * np.finfo(case.dtype).eps * max(1, np.abs(want).max())
    assert np.abs(got - want).max() <= bound


def wide(*arrays):
    return [None if array is None else array.astype(np.float64) for array in arrays]


@examples(150)
@given(cases())
def test_forward_of_every_option(case):
    x, weight, bias, _ = case.arrays()
    y = checks.forward(case, x, weight, bias, algorithm="winograd")
    assert_close(case, y, case.expected(*wide(x, weight, bias)))


@examples(150)
@given(cases())
def test_gradients_of_every_option(case):
    x, weight, _, grad = case.arrays()
    got = checks.backward(case, grad, x, weight, algorithm="winograd")
    for each, want in zip(got, case.expected_backward(*wide(grad, x, weight)), strict=True):
        assert_close(case, each, want)


@examples(80)
@given(st.booleans().flatmap(lambda transposed: cases(transposed, most_stride=3)))
def test_strides_by_phases(case):
    x, weight, bias, grad = case.arrays()
    y = checks.forward(case, x, weight, bias, algorithm="winograd")
    assert_close(case, y, case.expected(*wide(x, weight, bias)))
    got = checks.backward(case, grad, x, weight, algorithm="winograd")
    for each, want in zip(got, case.expected_backward(*wide(grad, x, weight)), strict=True):
        assert_close(case, each, want)


@examples(30)
@given(cases(most_stride=2))
def test_bits_do_not_depend_on_the_number_of_threads(case):
    x, weight, bias, grad = case.arrays()
    runs = []
    for threads in (1, 2, 5):
        at = replace(case, num_threads=threads)
        y = checks.forward(at, x, weight, bias, algorithm="winograd")
        runs.append([y, *checks.backward(at, grad, x, weight, algorithm="winograd")])
    for other in runs[1:]:
        for got, want in zip(other, runs[0], strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize(
    ("batch", "channels", "out", "size", "groups"),
    [
        (3, 64, 96, (28, 30), 1),
        (1, 200, 72, (9, 70), 1),
        (9, 48, 34, (6, 7), 2),
        (2, 33, 65, (57,), 1),
    ],
)
def test_more_than_one_task(batch, channels, out, size, groups, layout):
    """Several blocks of channels, runs, tasks and parts of a sum."""
    rng = np.random.default_rng(0)
    ndim = len(size)
    x = rng.standard_normal((batch, channels, *size))
    weight = rng.standard_normal((out, channels // groups, *(3,) * ndim))
    grad = rng.standard_normal((batch, out, *size))
    geometry = (1,) * ndim, ((1, 1),) * ndim, (1,) * ndim, groups
    want = [
        reference.conv(x, weight, None, *geometry),
        *reference.conv_backward(grad, x, weight, *geometry),
    ]
    arrays = [each.astype("f") for each in (x, weight, grad)]
    if layout == "channels_last":
        arrays[0], arrays[2] = map(fastconv.channels_last, arrays[::2])
    x, weight, grad = arrays
    options = {"padding": 1, "groups": groups, "algorithm": "winograd"}
    got = [
        getattr(fastconv, f"conv{ndim}d")(x, weight, **options),
        *getattr(fastconv, f"conv{ndim}d_backward")(grad, x, weight, **options),
    ]
    for each, expected in zip(got, want, strict=True):
        assert np.abs(each - expected).max() <= 60 * np.finfo("f").eps * np.abs(expected).max()


# ------------------------------------------------------------------------ the error

DATA = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "large mean": lambda rng, shape: 100 + rng.standard_normal(shape),
    "wide range": lambda rng, shape: np.exp(3 * rng.standard_normal(shape)),
    "spikes": lambda rng, shape: (
        np.where(rng.random(shape) < 0.01, 1e4, 1) * rng.standard_normal(shape)
    ),
    "half zeros": lambda rng, shape: np.maximum(0, rng.standard_normal(shape)),
}


def errors(algorithm, x, weight, grad, stride, want):
    """Of (output, grad_input, grad_weight): the largest, over the largest value."""
    ndim = x.ndim - 2
    options = {"padding": 1, "stride": stride, "algorithm": algorithm}
    got = [
        getattr(fastconv, f"conv{ndim}d")(x, weight, **options),
        *getattr(fastconv, f"conv{ndim}d_backward")(
            grad, x, weight, needs=(True, True, False), **options
        )[:2],
    ]
    return np.array([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(got, want, strict=True)])


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(
    ("shape", "most"), [((2, 32, 90), 4), ((2, 32, 24, 24), 6), ((1, 16, 10, 10, 10), 12)]
)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (2, 1), (4, 2)])
def test_error_is_a_small_multiple_of_the_direct_one(kernel, stride, shape, most, data):
    rng = np.random.default_rng(0)
    ndim = len(shape) - 2
    x = DATA[data](rng, shape)
    weight = rng.standard_normal((24, shape[1], *(kernel,) * ndim))
    small = ((size + 2 - kernel) // stride + 1 for size in shape[2:])
    grad = rng.standard_normal((shape[0], 24, *small))
    narrow = [each.astype("f") for each in (x, weight, grad)]
    exact = wide(*narrow)
    geometry = (stride,) * ndim, ((1, 1),) * ndim, (1,) * ndim, 1
    want = [
        reference.conv(exact[0], exact[1], None, *geometry),
        *reference.conv_backward(exact[2], *exact[:2], *geometry)[:2],
    ]
    direct, winograd = (errors(each, *narrow, stride, want) for each in ("direct", "winograd"))
    # Sums over phases are longer, and on AVX2 the direct ones then come in more exact parts.
    assert (winograd <= most * stride * direct).all()
    assert (winograd < 1e-5).all()


def test_nan_stays_within_its_tiles_and_their_neighbours():
    x = np.zeros((1, 16, 20, 20), "f")
    x[0, 3, 10, 10] = np.nan
    y = fastconv.conv2d(x, np.ones((16, 16, 3, 3), "f"), padding=1, algorithm="winograd")
    assert np.isnan(y[:, :, 8:12, 8:12]).all()
    assert not np.isnan(y[:, :, :7]).any()
    assert not np.isnan(y[:, :, :, 13:]).any()


# ------------------------------------------------------------------------ who chooses

IMPOSSIBLE = (
    ({"kernel": (5, 5)}, {}),
    ({"kernel": (3, 1)}, {}),
    ({"kernel": (4, 3)}, {}),
    ({"kernel": (3, 3)}, {"stride": 3}),
    ({"kernel": (7, 7)}, {"stride": 2}),
    ({"kernel": (3, 3)}, {"dilation": (1, 2)}),
)


@pytest.mark.parametrize(("shape", "options"), IMPOSSIBLE)
def test_winograd_that_cannot_be_is_an_error_that_says_why(shape, options):
    x, weight = np.ones((1, 2, 9, 9), "f"), np.ones((4, 2, *shape["kernel"]), "f")
    with pytest.raises(ValueError, match="conv2d: algorithm='winograd' needs 2 or 3 taps for"):
        fastconv.conv2d(x, weight, **options, algorithm="winograd")
    y = fastconv.conv2d(x, weight, **options)
    np.testing.assert_array_equal(fastconv.conv2d(x, weight, **options, algorithm="auto"), y)
    with pytest.raises(ValueError, match="conv2d_backward: algorithm='winograd' needs"):
        fastconv.conv2d_backward(y, x, weight, **options, algorithm="winograd")


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (4, 1), (2, 2), (7, 2)])
def test_transposed_winograd_needs_taps_in_every_phase(kernel, stride):
    x, weight = np.ones((1, 2, 9, 9), "f"), np.ones((2, 4, kernel, kernel), "f")
    with pytest.raises(ValueError, match="conv_transpose2d: algorithm='winograd' needs 2 or 3"):
        fastconv.conv_transpose2d(x, weight, stride=stride, algorithm="winograd")


def test_more_taps_than_the_kernels_sum_over_are_direct():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 2, 40, 40)).astype("f")
    weight = rng.standard_normal((3, 2, 20, 20)).astype("f")
    options = {"stride": 10}
    y = fastconv.conv2d(x, weight, **options)
    np.testing.assert_array_equal(fastconv.conv2d(x, weight, **options, algorithm="winograd"), y)
    want = fastconv.conv2d_backward(y, x, weight, **options)
    got = fastconv.conv2d_backward(y, x, weight, **options, algorithm="winograd")
    assert not np.array_equal(got[0], want[0])
    np.testing.assert_allclose(got[0], want[0], rtol=0, atol=1e-5 * np.abs(want[0]).max())
    np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize("name", ["fast", "", 3, "Winograd"])
def test_unknown_algorithm(name):
    x, weight = np.ones((1, 2, 9, 9), "f"), np.ones((4, 2, 3, 3), "f")
    for call in (
        lambda: fastconv.conv2d(x, weight, algorithm=name),
        lambda: fastconv.set_algorithm(name),
        lambda: fastconv.nn.Conv2d(2, 4, 3, algorithm=name),
        lambda: fastconv.algorithm(name).__enter__(),
    ):
        with pytest.raises(ValueError, match="algorithm must be one of direct, winograd, auto"):
            call()


def test_call_goes_before_setting_goes_before_default():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 32, 20, 20)).astype("f")
    weight = rng.standard_normal((32, 32, 3, 3)).astype("f")
    direct = fastconv.conv2d(x, weight, algorithm="direct")
    winograd = fastconv.conv2d(x, weight, algorithm="winograd")
    assert not np.array_equal(direct, winograd)
    assert fastconv.get_algorithm() == "direct"
    np.testing.assert_array_equal(fastconv.conv2d(x, weight), direct)
    with fastconv.algorithm("winograd"):
        assert fastconv.get_algorithm() == "winograd"
        np.testing.assert_array_equal(fastconv.conv2d(x, weight), winograd)
        np.testing.assert_array_equal(fastconv.conv2d(x, weight, algorithm="direct"), direct)
        with fastconv.algorithm(None):
            assert fastconv.get_algorithm() == "direct"
    assert fastconv.get_algorithm() == "direct"


@pytest.mark.parametrize(("value", "status"), [("auto", 0), ("quick", 1)])
def test_environment(value, status):
    done = run("-c", "import fastconv; print(fastconv.get_algorithm())", FASTCONV_ALGORITHM=value)
    assert done.returncode == status
    if status == 0:
        assert done.stdout.strip() == value
    else:
        assert "FASTCONV_ALGORITHM: algorithm must be one of" in done.stderr


def geometry(shape, weight, stride=1):
    ndim = len(weight) - 2
    return _geometry.conv_geometry("conv", ndim, shape, weight, stride, 1, 1, 1)


def chosen(algorithm, *args, kernel="forward"):
    return _winograd.choose(geometry(*args), algorithm, kernel) is _winograd


def test_auto_takes_winograd_where_channels_are_many():
    for kernel in ("forward", "grad_input", "grad_weight"):
        assert chosen("auto", (8, 64, 56, 56), (64, 64, 3, 3), kernel=kernel)
        assert not chosen("auto", (8, 3, 32, 32), (3, 3, 3, 3), kernel=kernel)
        assert not chosen("auto", (1, 512, 3, 3), (512, 512, 3, 3), kernel=kernel)
        assert not chosen("direct", (8, 64, 56, 56), (64, 64, 3, 3), kernel=kernel)
        assert chosen("auto", (64, 64, 16, 16), (128, 64, 4, 4), 2, kernel=kernel)
        assert not chosen("auto", (64, 3, 32, 32), (64, 3, 4, 4), 2, kernel=kernel)


def test_empty_batch():
    weight = np.ones((4, 2, 3, 3), "f")
    y = fastconv.conv2d(np.ones((0, 2, 9, 9), "f"), weight, algorithm="winograd")
    assert y.shape == (0, 4, 7, 7)
    x = np.ones((0, 2, 9, 9), "f")
    _, grad, _ = fastconv.conv2d_backward(y, x, weight, algorithm="winograd")
    np.testing.assert_array_equal(grad, np.zeros_like(weight))


# ------------------------------------------------------------------------ layers


def network(algorithm):
    nn = fastconv.nn
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1, algorithm=algorithm, rng=rng), nn.ReLU(),
        nn.Conv2d(24, 40, 3, algorithm=algorithm, rng=rng), nn.LeakyReLU(0.1),
        nn.Conv2d(40, 16, 3, padding=1, padding_mode="reflect", algorithm=algorithm, rng=rng),
        nn.ReLU(), nn.MaxPool2d(2),
        nn.ConvTranspose2d(16, 24, 5, stride=2, algorithm=algorithm, rng=rng), nn.ReLU(),
        nn.Conv2d(24, 16, 4, stride=2, padding=1, algorithm=algorithm, rng=rng), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1, algorithm=algorithm, rng=rng),
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["C", "channels_last"])
def test_layers_with_their_fused_activations(layout):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 3, 18, 17)).astype("f")
    if layout == "channels_last":
        x = fastconv.channels_last(x)
    results = []
    for algorithm in ("direct", "winograd"):
        model = network(algorithm)
        y = model(x)
        grad = model.backward(np.cos(np.arange(y.size, dtype="f")).reshape(y.shape))
        results.append([y, grad, *(p.grad for p in model.parameters())])
    for direct, winograd in zip(*results, strict=True):
        scale = np.abs(direct).max()
        np.testing.assert_allclose(winograd, direct, rtol=0, atol=2e-5 * scale)


def test_kept_filters_follow_the_weight():
    rng = np.random.default_rng(0)
    layer = fastconv.nn.Conv2d(20, 36, 3, padding=1, algorithm="winograd").eval()
    for shape in (2, 20, 12, 12), (5, 20, 12, 12), (1, 20, 2, 9):
        x = rng.standard_normal(shape).astype("f")
        for _ in range(2):
            want = fastconv.conv2d(
                x, layer.weight.data, layer.bias.data, padding=1, algorithm="winograd"
            )
            np.testing.assert_array_equal(layer(x), want)
            np.testing.assert_array_equal(layer(x), want)
            layer.weight.data[3, 1, 0, 2] += 1  # in place, behind the layer's back


def test_training_keeps_no_filters():
    layer = fastconv.nn.Conv2d(20, 36, 3, padding=1, algorithm="winograd")
    layer(np.ones((2, 20, 12, 12), "f"))
    assert layer._kept._prepared is None


def test_scratch_does_not_grow_with_the_input():
    """Tiles of a task for each thread, and the transformed filters."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((32, 32, 3, 3)).astype("f")
    kernel = fastconv._kernels.winograd["f"]
    taken = []
    for batch in 4, 64:
        x = rng.standard_normal((batch, 32, 40, 40)).astype("f")
        kernel.scratch_bytes()
        y = fastconv.conv2d(x, weight, padding=1, algorithm="winograd", num_threads=2)
        fastconv.conv2d_backward(y, x, weight, padding=1, algorithm="winograd", num_threads=2)
        taken.append(kernel.scratch_bytes())
    assert taken[1] <= 1.5 * taken[0]
    assert taken[1] < math.prod(y.shape) * y.itemsize
