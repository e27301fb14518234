"""What many tests do: call fastconv for a `Case` and compare, on so many threads."""

from contextlib import contextmanager
from threading import Lock
from unittest import mock

import isas
import numpy as np
import torch_peer

import fastconv
from fastconv import _threads

_patching = Lock()


@contextmanager
def using_threads(count):
    """Inside, every call runs on so many threads, however small it is; one thread at a time."""
    with (
        _patching,  # of two patches at once, the second would restore what the first has set
        mock.patch.object(_threads, "SERIAL_WORK", 0),
        fastconv.num_threads(count),
    ):
        yield


def forward(case, x, weight, bias, **more):
    with isas.using(case.isa):
        return getattr(fastconv, case.name)(
            x, weight, bias, **case.options, num_threads=case.num_threads, **more
        )


def backward(case, grad, x, weight, **more):
    with isas.using(case.isa):
        return getattr(fastconv, f"{case.name}_backward")(
            grad, x, weight, **case.backward_options, num_threads=case.num_threads, **more
        )


def assert_right(case, got, want, scale):
    """`got` equals `want`: exactly on integers, else within the rounding of its sum.

    `scale` is the same sum over absolute values, which no partial sum exceeds.
    """
    assert got.shape == want.shape
    assert got.dtype == case.dtype
    if case.data == "integers":
        np.testing.assert_array_equal(got, want)
    else:
        assert np.all(np.abs(got - want) <= 8 * np.finfo(case.dtype).eps * scale)


def magnitudes(*arrays):
    return [None if array is None else np.abs(array) for array in arrays]


def assert_forward_right(case):
    arrays = case.arrays()
    x, weight, bias, _ = arrays
    before = [None if array is None else array.copy() for array in arrays]
    y = forward(case, x, weight, bias)
    assert_right(
        case, y, case.expected(x, weight, bias), case.expected(*magnitudes(x, weight, bias))
    )
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def assert_backward_right(case):
    x, weight, _, grad = arrays = case.arrays()
    before = [None if each is None else each.copy() for each in arrays]
    got = backward(case, grad, x, weight)
    want = case.expected_backward(grad, x, weight)
    scales = case.expected_backward(*magnitudes(grad, x, weight))
    for triple in zip(got, want, scales, strict=True):
        assert_right(case, *triple)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def assert_out_filled(case, out):
    """The result appears in `out`, a view of a larger array, and nowhere beside it."""
    x, weight, bias, _ = case.arrays()
    around = out.base
    before = around.copy()
    result = forward(case, x, weight, bias, out=out)
    assert result is out
    np.testing.assert_array_equal(out, forward(case, x, weight, bias))
    out[...] = 77
    np.testing.assert_array_equal(around, before)


def surrounded(shape, dtype):
    """An array of `shape` inside a larger one, both full of 77."""
    around = np.full([2 * size + 1 for size in shape], 77, dtype)
    return around[(slice(1, None, 2),) * len(shape)]


def in_order(array, layout, batched):
    """Whether `array` is packed in memory in the order that `layout` names."""
    if layout == "channels_last":
        array = np.moveaxis(array, int(batched), -1)
    return array.flags.c_contiguous


def assert_order_kept(case, x, result):
    """`result` is packed as `x` is; where `x` is packed in both orders, either will do."""
    orders = [each for each in ("C", "channels_last") if in_order(x, each, case.batched)]
    assert any(in_order(result, each, case.batched) for each in orders)


def assert_poison_contained(case, poison, where):
    """One NaN or infinity in the input changes what the definition says, and nothing else."""
    x, weight, bias, _ = case.arrays()
    if x.size:
        x = x.copy()
        x.flat[where % x.size] = poison
    with np.errstate(invalid="ignore"):
        want = case.expected(x, weight, bias)
    np.testing.assert_array_equal(forward(case, x, weight, bias), want)


def assert_torch_agrees(case):
    x, weight, bias, _ = case.arrays()
    want = torch_peer.forward(case, *torch_peer.tensors(case, x, weight, bias)).numpy()
    scale = 2 * case.expected(*magnitudes(x, weight, bias))
    assert_right(case, forward(case, x, weight, bias), want, scale)
