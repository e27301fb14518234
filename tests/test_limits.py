"""Absurd sizes and arbitrary arguments: the right result or a Python exception, never a crash."""

import re

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases, examples

import fastconv

FAR = 10_000  # beyond any image here
HUGE = 2**48  # an output of this many cells fits 64 bits, and no memory


def ones(*shape):
    return np.ones(shape, "f")


@pytest.mark.parametrize(
    ("operation", "parameter", "value", "kind"),
    [
        ("conv", "padding", HUGE, MemoryError),
        ("conv", "padding", 2**62, OverflowError),
        ("conv_transpose", "stride", HUGE, MemoryError),
        ("conv_transpose", "stride", 2**62, OverflowError),
        ("conv_transpose", "dilation", HUGE, MemoryError),
        ("conv_transpose", "dilation", 2**62, OverflowError),
    ],
)
def test_an_output_too_large_for_any_memory(operation, parameter, value, kind):
    operation = f"{operation}1d"
    with pytest.raises(kind) as caught:
        getattr(fastconv, operation)(ones(1, 2, 5), ones(2, 2, 3), **{parameter: value})
    assert str(caught.value).startswith(f"{operation}: ")


@pytest.mark.parametrize("operation", ["conv1d", "conv_transpose1d"])
def test_arrays_of_no_memory_at_all(operation):
    """One element repeated for ever by a stride of zero: such inputs exist, their output cannot."""
    endless = np.broadcast_to(np.float32(1), (1, 1, HUGE))
    with pytest.raises(MemoryError):
        getattr(fastconv, operation)(endless, ones(1, 1, 1))
    with pytest.raises(MemoryError):
        getattr(fastconv, f"{operation}_backward")(endless, endless, ones(1, 1, 1))
    filters = np.broadcast_to(np.float32(1), (HUGE, 1, 1))
    if operation == "conv_transpose1d":
        filters = filters.swapaxes(0, 1)
    with pytest.raises(MemoryError):
        getattr(fastconv, operation)(ones(1, 1, 5), filters)


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation"),
    [
        (3, FAR, (0, 0), 1),
        (3, FAR, (FAR, 0), 1),
        (3, FAR, (FAR, FAR + 4), 1),
        (1, 1, (0, 0), FAR),
        (2, 1, (FAR, 0), FAR),
        (2, 1, (0, FAR), FAR),
        (2, 2, (FAR // 2, FAR // 2), FAR),
        (3, FAR, (FAR, FAR), FAR),
    ],
)
def test_options_far_beyond_the_image(kernel, stride, pad, dilation):
    assert_passes_right(kernel, stride, pad, dilation)


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation"),
    [
        (3, HUGE, (0, 0), 1),
        (3, HUGE, (HUGE, HUGE + 4), 1),
        (1, 1, (0, 0), HUGE),
        (2, 2, (HUGE // 2, HUGE // 2), HUGE),
        (3, HUGE, (HUGE, HUGE), HUGE),
        (3, 2**62, (0, 0), 1),
        (1, 2**63 - 1, (0, 0), 1),
        (1, 1, (0, 0), 2**63 - 1),
        (2, 2**61, (2**63 - 1, 3), 1),
        (2, 2**61, (3, 2**63 - 1), 1),
        (2, 2**61, (2**61, 2**61), 2**61),
        (3, 2**61, (2**63 - 1, 2**63 - 1), 2**62),
        (2, 2**63 - 1, (2, 2**62 + 5), 2**62 + 5),
    ],
)
def test_options_of_no_real_array_are_right_or_refused(kernel, stride, pad, dilation):
    message = "conv1d"
    try:
        assert_passes_right(kernel, stride, pad, dilation)
    except (OverflowError, MemoryError) as error:
        message = str(error)
    assert re.match("conv(_transpose)?1d", message)


def assert_passes_right(kernel, stride, pad, dilation):
    rng = np.random.default_rng(0)
    x, weight = (rng.integers(-3, 4, shape).astype("f") for shape in ((1, 2, 5), (3, 2, kernel)))
    geometry = ((stride,), (pad,), (dilation,), 1)
    options = {"stride": stride, "padding": [pad], "dilation": dilation}
    want = reference.conv(x, weight, None, *geometry)
    np.testing.assert_array_equal(fastconv.conv1d(x, weight, **options), want)
    grad = np.ones(want.shape, "f")
    got = fastconv.conv1d_backward(grad, x, weight, **options)
    for gradient, right in zip(
        got, reference.conv_backward(grad, x, weight, *geometry), strict=True
    ):
        np.testing.assert_array_equal(gradient, right)
    least = reference.transposed_size(want.shape[2], kernel, stride, pad, dilation, 0)
    back = fastconv.conv_transpose1d(grad, weight, **options, output_size=max(5, least))
    np.testing.assert_array_equal(back, got[0])


@pytest.mark.parametrize("stride", [10**6, 2**22, 2**32, 2**40])
def test_strides_whose_product_overflows(stride):
    """There are stride**3 output phases of grad_input; only those of the image's cells matter."""
    x, weight, grad = ones(1, 1, 3, 4, 5), 2 * ones(1, 1, 1, 2, 3), ones(1, 1, 1, 1, 1)
    grad_input, grad_weight, _ = fastconv.conv3d_backward(grad, x, weight, stride=stride)
    want = np.zeros_like(x)
    want[0, 0, :1, :2, :3] = 2
    np.testing.assert_array_equal(grad_input, want)
    np.testing.assert_array_equal(grad_weight, np.ones_like(weight))


def test_an_empty_batch_of_images_too_large():
    with pytest.raises(OverflowError, match=r"^conv3d: an output of shape \(0, 1, .* is too large"):
        fastconv.conv3d(ones(0, 1, 1, 1, 1), ones(1, 1, 1, 1, 1), padding=2**48)


# ----------------------------------------------------------------------------------- anything

NUMBERS = st.one_of(
    st.integers(-2, 5),
    st.sampled_from((HUGE, 2**62, 2**63 - 1, 2**63, -(2**63), 2**70, None, True, 1.0, "same", "1")),
)
ANYTHING = st.one_of(
    NUMBERS,
    st.lists(NUMBERS, max_size=4).map(tuple),
    st.lists(st.lists(NUMBERS, max_size=3), max_size=4),
)
SHAPES = st.one_of(
    st.lists(st.integers(0, 5), max_size=6).map(tuple),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.tuples(*[st.integers(1, 4)] * 4),
)
ARRAYS = st.builds(np.ones, SHAPES, st.sampled_from(("f", "f", "f", "d", "i4", "O")))
ARRAY_NAMES = ("grad_output", "input", "weight", "bias", "out")


def good_arguments(case, suffix):
    x, weight, bias, grad = case.arrays()
    if suffix == "_backward":
        arguments = {"grad_output": grad, "input": x, "weight": weight, **case.backward_options}
        arguments["needs"] = (True, True, True)
    else:
        arguments = {"input": x, "weight": weight, "bias": bias, "out": None, **case.options}
        if case.transposed:
            arguments.setdefault("output_size", None)
    return arguments | {"num_threads": case.num_threads}


@pytest.mark.parametrize("suffix", ["", "_backward"])
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "conv_transpose"])
@examples(400)
@given(data=st.data())
def test_nothing_crashes(transposed, suffix, data):
    """Whatever replaces a good argument: a result, or an exception that names the operation."""
    case = data.draw(cases(transposed, data="integers"))
    arguments = good_arguments(case, suffix)
    operation = case.name + suffix
    for name in data.draw(st.sets(st.sampled_from(sorted(arguments)), min_size=1, max_size=3)):
        arguments[name] = data.draw(ARRAYS if name in ARRAY_NAMES else ANYTHING, label=name)
    message = f"{operation}: "
    try:
        getattr(fastconv, operation)(**arguments)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        message = str(error)
    assert message.startswith(f"{operation}: ")
