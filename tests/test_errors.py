"""Bad arguments: a Python exception that names the operation and the parameter, never a crash."""

import numpy as np
import pytest

import fastconv


def ones(*shape, dtype="f"):
    return np.ones(shape, dtype)


def read_only(array):
    array.flags.writeable = False
    return array


def unaligned(*shape):
    array = np.zeros(4 * int(np.prod(shape)) + 1, np.uint8)[1:]
    return array.view("f").reshape(shape)


# A good call of each operation, from which every test below departs in one argument.
GOOD = {
    "conv2d": {
        "input": ones(2, 4, 7, 6),
        "weight": ones(6, 2, 3, 3),
        "bias": ones(6),
        "groups": 2,
    },
    "conv2d_backward": {
        "grad_output": ones(2, 6, 5, 4),
        "input": ones(2, 4, 7, 6),
        "weight": ones(6, 2, 3, 3),
        "groups": 2,
    },
    "conv_transpose2d": {
        "input": ones(2, 4, 5, 4),
        "weight": ones(4, 3, 3, 3),
        "bias": ones(6),
        "groups": 2,
    },
    "conv_transpose2d_backward": {
        "grad_output": ones(2, 6, 7, 6),
        "input": ones(2, 4, 5, 4),
        "weight": ones(4, 3, 3, 3),
        "groups": 2,
    },
    "linear": {"input": ones(5, 4), "weight": ones(3, 4), "bias": ones(3)},
    "linear_backward": {
        "grad_output": ones(5, 3),
        "input": ones(5, 4),
        "weight": ones(3, 4),
    },
    "regroup_filters": {"weight": ones(6, 2, 3, 3), "groups": 2},
}

NO_FLOATS = [ones(2, 4, 7, 6, dtype=dtype) for dtype in ("i8", "f2", "c16", "?", "O", "U3")]
FEW_OR_BAD_INTEGERS = [
    (ValueError, 0), (ValueError, -1), (ValueError, (1, 0)), (ValueError, (1, 2, 3)),
    (ValueError, ()), (OverflowError, 2**70), (TypeError, 1.5), (TypeError, 2.0), (TypeError, "2"),
    (TypeError, None), (TypeError, True), (TypeError, (1, 2.0)), (TypeError, (True, 1)),
    (TypeError, np.float32(1)), (TypeError, [1, None]), (TypeError, {1: 2}),
]  # fmt: skip
BAD_PADDING = [
    (ValueError, -1), (ValueError, (0, -1)), (ValueError, (1, 2, 3)), (ValueError, "full"),
    (ValueError, "SAME"), (ValueError, ((1, 1),)), (ValueError, ((1, 1, 1), (0, 0))),
    (ValueError, ((0, -1), (0, 0))), (ValueError, (1, (1, 1))), (ValueError, ()),
    (OverflowError, 2**70), (TypeError, 1.5), (TypeError, None), (TypeError, True),
    (TypeError, (1, 2.0)), (TypeError, ((0, 1.5), (0, 0))), (TypeError, ("same", "same")),
]  # fmt: skip
BAD_THREADS = [
    (ValueError, 0), (ValueError, -2), (TypeError, 1.5), (TypeError, "2"), (TypeError, True),
    (OverflowError, 2**70),
]  # fmt: skip
BAD_NEEDS = [(ValueError, (True, True)), (ValueError, ()), (TypeError, True), (TypeError, None)]
GEOMETRY = [
    *(("stride", *each) for each in FEW_OR_BAD_INTEGERS),
    *(("dilation", *each) for each in FEW_OR_BAD_INTEGERS),
    *(("padding", *each) for each in BAD_PADDING),
    *(("groups", ValueError, each) for each in (0, -1)),
    *(("groups", TypeError, each) for each in (1.0, None, "1", True, (1, 1))),
    *(("num_threads", *each) for each in BAD_THREADS),
    *(("input", TypeError, each) for each in [*NO_FLOATS, None, "x", object()]),
    ("input", ValueError, ones(4, 7)),
    ("input", ValueError, ones(1, 2, 4, 7, 6)),
    ("input", ValueError, ones(2, 3, 7, 6)),
    ("input", ValueError, ones(2, 0, 7, 6)),
    ("input", ValueError, np.float32(1)),
    ("weight", TypeError, ones(6, 2, 3, 3, dtype="d")),
    ("weight", TypeError, None),
    ("weight", ValueError, ones(6, 2, 3)),
    ("weight", ValueError, ones(6, 2, 3, 0)),
    ("weight", ValueError, ones(0, 2, 3, 3)),
    ("weight", ValueError, np.float32(1)),
]
BIAS = [
    ("bias", ValueError, ones(5)),
    ("bias", ValueError, ones(6, 1)),
    ("bias", ValueError, np.float32(1)),
    ("bias", TypeError, ones(6, dtype="d")),
    ("bias", TypeError, [1, 1, 1, 1, 1, 1]),
    ("bias", TypeError, True),
]


def bad_out(*shape):
    return [
        ("out", ValueError, ones(*shape[:-1], shape[-1] + 1)),
        ("out", ValueError, ones(*shape[1:])),
        ("out", ValueError, ones(*shape, dtype="d")),
        ("out", ValueError, ones(*shape, dtype=">f4")),
        ("out", ValueError, read_only(ones(*shape))),
        ("out", ValueError, unaligned(*shape)),
        ("out", ValueError, np.lib.stride_tricks.as_strided(ones(1), shape, (0,) * len(shape))),
        ("out", ValueError, np.lib.stride_tricks.as_strided(ones(99), shape, (4,) * len(shape))),
        ("out", TypeError, ones(*shape).tolist()),
        ("out", TypeError, "out"),
    ]


def bad_grad_output(*shape):
    return [
        ("grad_output", ValueError, ones(*shape[:-1], shape[-1] + 1)),
        ("grad_output", ValueError, ones(*shape[1:])),
        ("grad_output", ValueError, ones(1, *shape)),
        ("grad_output", TypeError, ones(*shape, dtype="d")),
        ("grad_output", TypeError, ones(*shape, dtype="i4")),
        ("grad_output", TypeError, None),
    ]


BAD = {
    "conv2d": [
        *GEOMETRY,
        *BIAS,
        *bad_out(2, 6, 5, 4),
        ("groups", ValueError, 3),
        ("weight", ValueError, ones(6, 2, 8, 3)),  # larger than the image
        ("dilation", ValueError, 4),  # so that the kernel is
        ("dilation", ValueError, 2**62),
    ],
    "conv2d_backward": [
        *GEOMETRY,
        *bad_grad_output(2, 6, 5, 4),
        *(("needs", *each) for each in BAD_NEEDS),
        ("groups", ValueError, 3),
        ("weight", ValueError, ones(6, 2, 8, 3)),
        ("dilation", ValueError, 4),
    ],
    "conv_transpose2d": [
        *GEOMETRY,
        *BIAS,
        *bad_out(2, 6, 7, 6),
        ("groups", ValueError, 3),
        ("output_padding", ValueError, 1),
        ("output_padding", ValueError, (0, 1)),
        ("output_padding", ValueError, -1),
        ("output_padding", ValueError, (0, 0, 0)),
        ("output_padding", TypeError, 0.0),
        ("output_padding", TypeError, True),
        ("output_padding", TypeError, None),
        ("output_size", ValueError, (6, 6)),
        ("output_size", ValueError, (7, 7)),
        ("output_size", ValueError, (-7, 6)),
        ("output_size", ValueError, (7, 6, 5)),
        ("output_size", ValueError, 2**62),
        ("output_size", TypeError, (7.0, 6.0)),
        ("output_size", TypeError, "same"),
        ("padding", ValueError, 4),  # nothing is left
    ],
    "conv_transpose2d_backward": [
        *GEOMETRY,
        *bad_grad_output(2, 6, 7, 6),
        *(("needs", *each) for each in BAD_NEEDS),
        ("groups", ValueError, 3),
        ("output_padding", ValueError, 1),
        ("output_padding", TypeError, 0.0),
        ("padding", ValueError, 4),
    ],
    "linear": [
        *(("bias", kind, value) for _, kind, value in BIAS if np.shape(value) != (6,)),
        *(("num_threads", *each) for each in BAD_THREADS),
        *bad_out(5, 3),
        ("out", ValueError, ones(5, 6)[:, ::2]),
        ("input", ValueError, ones(5, 3)),
        ("input", ValueError, np.float32(1)),
        ("input", TypeError, ones(5, 4, dtype="i4")),
        ("weight", ValueError, ones(3)),
        ("weight", ValueError, ones(3, 4, 1)),
        ("weight", ValueError, ones(0, 4)),
        ("weight", TypeError, ones(3, 4, dtype="d")),
    ],
    "linear_backward": [
        *bad_grad_output(5, 3),
        *(("needs", *each) for each in BAD_NEEDS),
        *(("num_threads", *each) for each in BAD_THREADS),
        ("input", ValueError, ones(5, 3)),
        ("weight", ValueError, ones(3)),
    ],
    "regroup_filters": [
        ("groups", ValueError, 0),
        ("groups", ValueError, 4),
        ("groups", TypeError, 2.0),
        ("weight", ValueError, ones(6, 2)),
        ("weight", ValueError, ones(6, 2, 3, 3, 3, 3)),
        ("weight", ValueError, ones(6, 0, 3, 3)),
        ("weight", TypeError, ones(6, 2, 3, 3, dtype="i4")),
    ],
}


def describe(value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}".replace(" ", "")
    return str(value)[:24].replace(" ", "") if isinstance(value, (str, int, float, tuple)) else ""


@pytest.mark.parametrize("operation", GOOD)
def test_the_good_call_is_good(operation):
    assert getattr(fastconv, operation)(**GOOD[operation]) is not None


@pytest.mark.parametrize(
    ("operation", "parameter", "kind", "value"),
    [
        pytest.param(operation, *bad, id=f"{operation}-{bad[0]}-{describe(bad[2])}")
        for operation, several in BAD.items()
        for bad in several
    ],
)
def test_a_bad_argument_is_named(operation, parameter, kind, value):
    arguments = {**GOOD[operation], parameter: value}
    with pytest.raises(kind) as caught:
        getattr(fastconv, operation)(**arguments)
    message = str(caught.value)
    assert message.startswith(f"{operation}: ")
    assert parameter in message


def test_the_filters_must_divide_into_the_groups():
    arguments = {**GOOD["conv2d"], "weight": ones(5, 2, 3, 3)}
    with pytest.raises(ValueError, match=r"^conv2d: groups must divide .* got groups=2"):
        fastconv.conv2d(**arguments)


def test_output_size_and_output_padding_exclude_each_other():
    with pytest.raises(ValueError, match="conv_transpose2d: output_size and output_padding"):
        fastconv.conv_transpose2d(
            **GOOD["conv_transpose2d"], stride=2, output_padding=1, output_size=(12, 10)
        )


@pytest.mark.parametrize("operation", ["conv2d", "conv_transpose2d", "linear"])
@pytest.mark.parametrize("parameter", ["input", "weight", "bias"])
def test_out_must_not_overlap_an_input(operation, parameter):
    arguments = dict(GOOD[operation])
    out = getattr(fastconv, operation)(**arguments)
    shape = arguments[parameter].shape
    memory = np.ones(out.size + arguments[parameter].size, "f")
    arguments[parameter] = memory[: arguments[parameter].size].reshape(shape)
    first = arguments[parameter].size - 1  # one element is in both
    shared = memory[first : first + out.size].reshape(out.shape)
    with pytest.raises(ValueError, match=f"{operation}: out must not overlap"):
        getattr(fastconv, operation)(**arguments, out=shared)
    beside = memory[first + 1 :].reshape(out.shape)
    getattr(fastconv, operation)(**arguments, out=beside)
    np.testing.assert_array_equal(beside, out)


def test_numpy_integers_are_integers():
    arguments = {"stride": np.int64(2), "padding": (np.uint8(1), 0), "groups": np.int32(2)}
    y = fastconv.conv2d(**GOOD["conv2d"] | arguments)
    assert y.shape == (2, 6, 4, 2)
