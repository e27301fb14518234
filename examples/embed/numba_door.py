"""A convolution inside numba's compiled code, without the GIL: filter, then count what is positive.

pip install numba
python numba_door.py
"""

import numpy as np
from numba import njit

from fastconv import embed

forward = embed.ctypes_function("fastconv_conv_forward_f32")


@njit(nogil=True)
def count_positive(problem, x, weight, bias, y):
    """How many cells of y = bias + x * weight are above zero; -1 - status where that is not 0."""
    status = forward(problem.ctypes, x.ctypes, weight.ctypes, bias.ctypes, y.ctypes, np.int64(1))
    if status != 0:
        return -1 - status
    count = 0
    for value in y.flat:
        count += value > 0
    return count


def describe(x, y, **options):
    """fastconv_problem as numba takes it: nothing but int64."""
    return np.frombuffer(embed.Problem.of(x, y, **options), np.int64)


if __name__ == "__main__":
    image, box = np.ones((1, 8, 64, 64), "f"), np.ones((4, 8, 3, 3), "f")
    result, bias = np.empty((1, 4, 64, 64), "f"), np.full(4, -40, "f")
    problem = describe(image, result, kernel_size=3, padding=1)
    print("positive", count_positive(problem, image, box, bias, result))
