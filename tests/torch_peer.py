"""The same cases in PyTorch, where it is installed."""

import numpy as np
import pytest


def tensors(case, *arrays):
    torch = pytest.importorskip("torch")
    return [
        None if each is None else torch.tensor(np.ascontiguousarray(each, case.dtype))
        for each in arrays
    ]


def forward(case, x, weight, bias):
    """Without PyTorch's own padding, which is the same on both sides: zeros or a cut instead."""
    torch = pytest.importorskip("torch")
    operation = getattr(torch.nn.functional, case.name)
    options = {"stride": case.stride, "dilation": case.dilation, "groups": case.groups}
    if not case.transposed:
        return operation(_pad(x, case.pads), weight, bias, **options)
    full = _pad(operation(x, weight, **options), [(0, extra) for extra in case.output_padding])
    inner = [
        slice(low, low + size) for (low, _), size in zip(case.pads, case.out_space, strict=True)
    ]
    y = full[(..., *inner)]
    return y if bias is None else y + bias.reshape(-1, *[1] * case.ndim)


def _pad(tensor, pairs):
    torch = pytest.importorskip("torch")
    last_axis_first = [side for pair in reversed(pairs) for side in pair]
    return torch.nn.functional.pad(tensor, last_axis_first)
