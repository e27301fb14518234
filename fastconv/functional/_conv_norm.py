"""A convolution and the batch normalization behind it, with fewer passes over what lies between.

The moments of an image are taken while it is in the cache.  Backward, the sums over the batch come
first; then the gradient of what lies between is computed image by image, and is in the cache until
the convolution has used it up.
"""

import math

import numpy as np

from fastconv.functional import _arrays, _conv_images, _passes, _run
from fastconv.functional.normalization import _gradients

LEAST_BYTES = 1024 * 1024  # of what lies between the two: less is in the cache anyway

FORWARD = ("forward",)
BACKWARD = ("grad_input", "grad_weight")


def plan(op, ndim, x, weight, options, algorithm, kernels):
    """The Plan for `forward` or `backward`; None where the two had better run apart.

    kernels: those of the convolution that are to run, FORWARD or BACKWARD.
    """
    found = _conv_images.plan(op, ndim, x, weight, options, algorithm, kernels)
    if found is None or math.prod(found.geometry.narrow_shape) * x.itemsize < LEAST_BYTES:
        return None
    return found


def forward(plan, x, weight, bias, num_threads=None):
    """The output of the convolution, and the mean and variance of its channels, in float64."""
    geometry = plan.geometry
    op = geometry.op
    y = _arrays.empty(op, geometry.narrow_shape, x.dtype, x)
    moments = np.empty(geometry.narrow_channels), np.empty(geometry.narrow_channels)
    status = plan.kernels[x.dtype.char].forward_moments(
        _arrays.expand_space(x), _run.filters(weight, geometry.groups),
        _run.check_bias(op, bias, geometry.narrow_channels, x.dtype), _arrays.expand_space(y),
        _passes.planes(y, _arrays.is_channels_last(y)), *moments,
        plan.together[0], *geometry.kernel_args,
        _conv_images.threads_for(geometry, num_threads),
    )  # fmt: skip
    _run.check_status(op, status)
    return y, moments


def backward(
    plan, grad_output, output, norm_weight, saved, x, weight, needs, slope, num_threads=None,
    plus=None,
):  # fmt: skip
    """The gradients of the convolution, None where not needed, and (grad_weight, grad_bias) behind.

    output: of the convolution; the batch normalization got it and gave `saved`.  `slope` is that of
    the activation whose output x is, `plus` as for `_conv_backward`.
    """
    _, of_norm, scaling = _gradients(
        "batch_norm_backward", grad_output, output, norm_weight, saved, True, num_threads, False
    )
    if not any(needs):
        return (None,) * 3, of_norm
    threads = _conv_images.threads_for(plan.geometry, num_threads)
    images = threads * plan.together[1]
    shape = images, *output.shape[1:]
    between = _arrays.empty(plan.geometry.op, shape, output.dtype, output)
    gradients = _conv_images.backward(
        "backward_scaled", plan, scaling, between, x, weight, needs, slope, plus, threads
    )
    return gradients, of_norm
