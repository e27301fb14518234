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
from fastconv import _kernels


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


digest = hashlib.sha256()
for dtype in "fd":
    for got, want in results(dtype):
        np.testing.assert_array_equal(got, want)
        digest.update(np.ascontiguousarray(got, float).tobytes())
print(json.dumps({"isa": _kernels.isa, "digest": digest.hexdigest()}))
