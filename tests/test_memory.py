"""Promise: extra memory is a few tiles per thread, and not the kernel's area times the input."""

import sys

import pytest
from programs import output

# Prints how far the peak of resident memory rises in one pass, in bytes.
PROGRAM = """
import resource, sys
import numpy as np
import fastconv

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def convolve(size, which):
    x = np.ones((1, 8, size, size), np.float32)
    weight = np.ones((8, 8, 5, 5), np.float32)
    before = peak()
    if which == "conv":
        fastconv.conv2d(x, weight, padding=2, num_threads=2)
    elif which == "conv_transpose":
        fastconv.conv_transpose2d(x, weight, padding=2, num_threads=2)
    else:
        needs = [which == each for each in ("grad_input", "grad_weight", "grad_bias")]
        fastconv.conv2d_backward(x, x, weight, padding=2, needs=needs, num_threads=2)
    return peak() - before

convolve(32, "{which}")  # code and threads are loaded
print(convolve(1000, "{which}"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
@pytest.mark.parametrize(
    "which", ["conv", "conv_transpose", "grad_input", "grad_weight", "grad_bias"]
)
def test_extra_memory_is_a_fraction_of_the_input(which):
    image = 8 * 1000 * 1000 * 4  # im2col would hold 25 of these
    result = 0 if which in ("grad_weight", "grad_bias") else image
    extra = int(output(PROGRAM.replace("{which}", which))) - result
    assert extra < image // 2
