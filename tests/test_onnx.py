"""ONNX's own test cases for convolutions, pools and batch normalisation, through the public API.

Each function below is an ONNX operator in terms of ours: what a converter would write.
"""

import importlib
import math

import numpy as np
import pytest

import fastconv

pytest.importorskip("onnx")

from onnx import helper
from onnx.backend.test.case import node as onnx_cases

# onnx.backend.test.loader would build the cases of every operator, which takes seconds and warns;
# a case registers itself when its module is imported.
MODULES = (
    "conv", "convtranspose", "maxpool", "averagepool", "batch_normalization", "globalaveragepool",
    "globalmaxpool",
)  # fmt: skip
for name in MODULES:
    importlib.import_module(f"{onnx_cases.__name__}.{name}")
SAME = (b"SAME_UPPER", b"SAME_LOWER")
CASES = {case.name: case for case in onnx_cases._NodeTestCases}


def operation(name, ndim):
    return getattr(fastconv, f"{name}{ndim}d")


def window(attributes, ndim):
    """(stride, dilation)"""
    return attributes.get("strides", [1] * ndim), attributes.get("dilations", [1] * ndim)


def given_pads(attributes, ndim):
    """ONNX lists all low sides, then all high ones."""
    pads = attributes.get("pads", [0] * (2 * ndim))
    return list(zip(pads[:ndim], pads[ndim:], strict=True))


def padding_of(attributes, sizes, kernel):
    """(low, high) pairs; an odd zero is on the high side for SAME_UPPER, else on the low one."""
    if attributes.get("auto_pad") not in SAME:
        return given_pads(attributes, len(sizes))
    result = []
    for size, k, s, d in zip(sizes, kernel, *window(attributes, len(sizes)), strict=True):
        zeros = max(0, (math.ceil(size / s) - 1) * s + d * (k - 1) + 1 - size)
        few, many = zeros // 2, zeros - zeros // 2
        result.append((few, many) if attributes["auto_pad"] == b"SAME_UPPER" else (many, few))
    return result


def conv(attributes, x, weight, bias=None):
    ndim = x.ndim - 2
    stride, dilation = window(attributes, ndim)
    padding = padding_of(attributes, x.shape[2:], weight.shape[2:])
    groups = attributes.get("group", 1)
    return [operation("conv", ndim)(x, weight, bias, stride, padding, dilation, groups)]


def conv_transpose(attributes, x, weight, bias=None):
    ndim = x.ndim - 2
    stride, dilation = window(attributes, ndim)
    options = {"stride": stride, "dilation": dilation, "groups": attributes.get("group", 1)}
    if attributes.get("auto_pad") in SAME:
        large = [size * step for size, step in zip(x.shape[2:], stride, strict=True)]
        padding = padding_of(attributes, large, weight.shape[2:])
        options |= {"padding": padding, "output_size": large}
    elif "output_shape" in attributes:
        options |= {"output_size": attributes["output_shape"][-ndim:]}
    else:
        extra = attributes.get("output_padding", [0] * ndim)
        options |= {"padding": given_pads(attributes, ndim), "output_padding": extra}
    return [operation("conv_transpose", ndim)(x, weight, bias, **options)]


def max_pool(attributes, x):
    ndim = x.ndim - 2
    kernel = attributes["kernel_shape"]
    stride, dilation = window(attributes, ndim)
    padding = padding_of(attributes, x.shape[2:], kernel)
    own = own_padding(padding, kernel)
    floats = x.astype(x.dtype if x.dtype.kind == "f" else np.float32)
    if own is None:  # a cell of -inf is never the largest
        floats = np.pad(floats, [(0, 0), (0, 0), *padding], constant_values=-np.inf)
    y, indices = operation("max_pool", ndim)(
        floats, kernel, stride, own or 0, dilation, bool(attributes.get("ceil_mode")), True
    )
    plane = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
    if attributes.get("storage_order"):  # column by column
        plane = np.arange(plane.size).reshape(plane.shape[::-1]).T
    elif own is None:
        return [y.astype(x.dtype)]  # positions would count the padding
    image = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], *[1] * ndim) * plane.size
    return [y.astype(x.dtype), image + plane.ravel()[indices]]


def average_pool(attributes, x):
    ndim = x.ndim - 2
    kernel = attributes["kernel_shape"]
    stride, dilation = window(attributes, ndim)
    ceil_mode = bool(attributes.get("ceil_mode"))
    count_include_pad = bool(attributes.get("count_include_pad"))
    padding = padding_of(attributes, x.shape[2:], kernel)
    own = own_padding(padding, kernel)
    if own is not None and set(dilation) == {1}:
        return [operation("avg_pool", ndim)(x, kernel, stride, own, ceil_mode, count_include_pad)]
    # The sum of a window is a depthwise convolution with ones; so is the count of its cells.
    channels = x.shape[1]
    ones = np.ones((channels, 1, *kernel), x.dtype)
    counted = np.ones_like(x)
    if count_include_pad:
        x, counted = (
            np.pad(each, [(0, 0), (0, 0), *padding], constant_values=fill)
            for each, fill in ((x, 0), (counted, 1))
        )
        padding = [(0, 0)] * ndim
    if ceil_mode:
        padding = [
            (low, high + -(size + low + high - d * (k - 1) - 1) % s)
            for (low, high), size, k, s, d in zip(
                padding, x.shape[2:], kernel, stride, dilation, strict=True
            )
        ]
    total, count = (
        operation("conv", ndim)(each, ones, None, stride, padding, dilation, channels)
        for each in (x, counted)
    )
    return [total / count]


def own_padding(padding, kernel):
    """As our pools take it, the same on both sides and at most half a kernel; None if it is not."""
    if any(low != high or low > k // 2 for (low, high), k in zip(padding, kernel, strict=True)):
        return None
    return [low for low, _ in padding]


def batch_normalization(attributes, x, scale, bias, mean, variance):
    training = bool(attributes.get("training_mode", 0))
    keep, eps = attributes.get("momentum", 0.9), attributes.get("epsilon", 1e-5)
    mean, old = mean.copy(), variance.copy()
    y, (_, inverse_deviation) = fastconv.batch_norm(
        x, mean, variance.copy(), scale, bias, training, 1 - keep, eps
    )
    if not training:
        return [y]
    # ONNX keeps the plain variance where PyTorch, and so fastconv, keeps the unbiased one.
    return [y, mean, keep * old + (1 - keep) * (inverse_deviation**-2.0 - eps)]


def global_average_pool(attributes, x):
    return [operation("adaptive_avg_pool", x.ndim - 2)(x, 1)]


def global_max_pool(attributes, x):
    return [operation("max_pool", x.ndim - 2)(x, x.shape[2:])]


OPERATORS = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    case = CASES[name]
    (node,) = case.model.graph.node
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    (inputs, outputs), *more = case.data_sets
    assert not more
    results = OPERATORS[node.op_type](attributes, *inputs)
    assert len(results) >= len(outputs)
    for result, output in zip(results, outputs, strict=False):
        assert result.shape == output.shape
        assert result.dtype == output.dtype
        np.testing.assert_allclose(result, output, rtol=case.rtol, atol=case.atol)


def test_cases_were_found():
    found = [case.model.graph.node[0].op_type for case in CASES.values()]
    least = {"Conv": 5, "ConvTranspose": 10, "MaxPool": 15, "AveragePool": 12}
    assert {name: found.count(name) >= count for name, count in least.items()} == dict.fromkeys(
        least, True
    )
    assert found.count("BatchNormalization") >= 4
