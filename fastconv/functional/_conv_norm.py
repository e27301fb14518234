"""The gradients of a convolution and of the batch normalization behind it, in one pass over images.

The sums over the batch come first.  Then the gradient of what lies between the two is computed
image by image, and is in the cache until the convolution has used it up.
"""

import math

from fastconv.functional import _arrays, _conv_images, _passes
from fastconv.functional.normalization import _gradients

LEAST_BYTES = 1024 * 1024  # of what lies between the two: less is in the cache anyway


def plan(op, ndim, x, weight, options, algorithm):
    """The Geometry for `backward`; None where the two had better go back apart."""
    kernels = ("grad_input", "grad_weight")
    geometry = _conv_images.plan(op, ndim, x, weight, options, algorithm, kernels)
    if geometry is None or math.prod(geometry.narrow_shape) * x.itemsize < LEAST_BYTES:
        return None
    return geometry


def backward(
    geometry, grad_output, output, norm_weight, saved, x, weight, needs, slope, num_threads=None
):
    """The gradients of the convolution, None where not needed, and (grad_weight, grad_bias) behind.

    output: of the convolution; the batch normalization got it and gave `saved`.  `slope` is that of
    the activation whose output x is.
    """
    (y, g, *factors), *of_norm = _gradients(
        "batch_norm_backward", grad_output, output, norm_weight, saved, True, num_threads
    )
    if not any(needs):
        return (None,) * 3, of_norm
    last = _arrays.is_channels_last(y)
    threads = _conv_images.threads_for(geometry, num_threads)
    images = threads * _conv_images.together(geometry, y.itemsize)
    between = _arrays.empty(geometry.op, (images, *y.shape[1:]), y.dtype, y)
    gradients = _conv_images.backward(
        "backward_scaled", geometry, (_passes.planes(g, last), _passes.planes(y, last), *factors),
        between, x, weight, needs, slope, threads,
    )  # fmt: skip
    return gradients, of_norm
