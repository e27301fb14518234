"""A filter of SciPy's that runs a fastconv kernel on every line: scipy.LowLevelCallable.

pip install scipy
python scipy_door.py
"""

import ctypes

import numpy as np
from scipy import LowLevelCallable, ndimage

from fastconv import embed

prepare = embed.ctypes_function("fastconv_conv_prepare_f64")
release = embed.ctypes_function("fastconv_release")
message = embed.ctypes_function("fastconv_status_message")


def correlate1d(image, weights, axis=-1, mode="reflect"):
    """scipy.ndimage.correlate1d: SciPy brings lines and their borders, fastconv the sums.

    The weights are packed once, for all lines.
    """
    weights = np.ascontiguousarray(weights, np.float64)
    length = image.shape[axis]
    line, result = np.empty((1, 1, length + len(weights) - 1)), np.empty((1, 1, length))
    problem = embed.Problem.of(line, result, kernel_size=len(weights))
    filters = ctypes.c_void_p()
    status = prepare(
        ctypes.byref(problem), 0, weights.ctypes.data, None, ctypes.addressof(filters), 1
    )
    if status:
        raise ValueError(message(status).decode())
    try:
        kernel = LowLevelCallable(embed.capsule("fastconv_filter_line_f64"), filters)
        return ndimage.generic_filter1d(image, kernel, len(weights), axis=axis, mode=mode)
    finally:
        release(filters)


if __name__ == "__main__":
    print(correlate1d(np.arange(8.0), [0.25, 0.5, 0.25]))
