"""Run by test_isa.py under each FASTCONV_ISA: every kernel, exact on integers.

Prints one JSON object: the instruction set in use, and a digest of all results.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import checks
from layers import LAYERS, as_case

import fastconv
from fastconv import _kernels, functional


def results(dtype):
    for layer in LAYERS:
        case = as_case(layer, dtype=dtype, isa=_kernels.isa)
        x, weight, bias, grad = case.arrays()
        yield checks.forward(case, x, weight, bias), case.expected(x, weight, bias)
        got, want = checks.backward(case, grad, x, weight), case.expected_backward(grad, x, weight)
        yield from zip(got, want, strict=True)
    x = np.arange(2 * 3 * 7 * 9, dtype=dtype).reshape(2, 3, 7, 9) % 11
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), (2, 3))[:, :, ::2, ::2]
    yield fastconv.max_pool2d(x, 2), windows.max((-1, -2))
    yield fastconv.avg_pool2d(x, 2), windows.mean((-1, -2))
    repeated = x.repeat(2, 2).repeat(2, 3)
    yield functional.interpolate(x, scale_factor=2), repeated
    yield functional.interpolate_backward(repeated, x.shape, scale_factor=2), 4 * x
    yield functional.interpolate(x[..., :1], (7, 4), mode="bilinear"), x[..., :1].repeat(4, 3)
    for order in (np.ascontiguousarray, functional.channels_last):
        pixels = functional.pixel_unshuffle(order(repeated), 2)
        yield pixels, x.repeat(4, 1)
        yield functional.pixel_shuffle(pixels, 2), repeated


digest = hashlib.sha256()
for dtype in "fd":
    for got, want in results(dtype):
        np.testing.assert_array_equal(got, want)
        digest.update(np.ascontiguousarray(got, float).tobytes())
print(json.dumps({"isa": _kernels.isa, "digest": digest.hexdigest()}))
