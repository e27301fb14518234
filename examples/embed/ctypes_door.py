"""A convolution from ctypes: no compiler, no copies, the GIL released during the call.

python ctypes_door.py
"""

import ctypes

import numpy as np

from fastconv import embed

forward = embed.ctypes_function("fastconv_conv_forward_f32")
message = embed.ctypes_function("fastconv_status_message")


def convolve(x, weight, y, padding=1, num_threads=0):
    """y (N, O, H, W) = x (N, C, H, W) * weight (O, C, 3, 3); x and y of any strides.

    Pointers know no dtypes and shapes: this is the place to check them.
    """
    for array in (x, weight, y):
        if array.dtype != np.float32:
            raise TypeError(f"arrays must be float32, got {array.dtype}")
    if weight.shape != (y.shape[1], x.shape[1], 3, 3) or not weight.flags.c_contiguous:
        raise ValueError(f"weight must be dense and fit x and y, got {weight.shape}")
    if not y.flags.writeable:
        raise ValueError("y must be writeable")
    problem = embed.Problem.of(x, y, kernel_size=3, padding=padding)
    status = forward(
        ctypes.byref(problem), x.ctypes.data, weight.ctypes.data, None, y.ctypes.data, num_threads
    )
    if status:
        raise ValueError(message(status).decode())


if __name__ == "__main__":
    image, box = np.ones((1, 8, 64, 64), "f"), np.ones((4, 8, 3, 3), "f")
    result = np.empty((1, 4, 64, 64), "f")
    convolve(image, box, result)
    print("corner", result[0, 0, 0, 0], "edge", result[0, 0, 0, 1], "inside", result[0, 0, 1, 1])
