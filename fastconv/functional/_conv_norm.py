"""A convolution and the batch normalization behind it, with fewer passes over what lies between.

The moments of an image are taken while it is in the cache.  Backward, the sums over the batch come
first; then the gradient of what lies between is computed image by image, and is in the cache until
the convolution has used it up.
"""

import numpy as np

from fastconv.functional import _arrays, _conv_images, _passes, _run
from fastconv.functional.normalization import _batch_norm_of, _gradients_of

LEAST_BYTES = 1024 * 1024  # of what lies between the two: less is in the cache anyway

FORWARD = ("forward",)
BACKWARD = ("grad_input", "grad_weight")


def plan(op, ndim, x, weight, options, algorithm, kernels):
    """The Plan for `forward` or `backward`; None where the two had better run apart.

    kernels: those of the convolution that are to run, FORWARD or BACKWARD.
    """
    return _conv_images.plan(op, ndim, x, weight, options, algorithm, kernels, least=LEAST_BYTES)


def forward(plan, x, weight, bias, norm, slope, plus=None, num_threads=None):
    """The output of the convolution, and what `_batch_norm` gives of it.

    norm: what that takes from `running_mean` to `eps`; slope and plus: for it, too.
    """
    geometry = plan.geometry
    op = geometry.op
    y = _arrays.empty(op, geometry.narrow_shape, x.dtype, x)
    moments = np.empty(geometry.narrow_channels), np.empty(geometry.narrow_channels)
    forward_moments = plan.kernels[x.dtype.char].forward_moments
    arguments = (
        _arrays.expand_space(x), _run.filters(weight, geometry.groups),
        _run.check_bias(op, bias, geometry.narrow_channels, x.dtype), _arrays.expand_space(y),
        _passes.planes(y, _arrays.is_channels_last(y)), *moments,
        plan.together[0], *geometry.kernel_args,
        _conv_images.threads_for(geometry, num_threads),
    )  # fmt: skip
    normalize = _batch_norm_of(y, *norm, num_threads, slope, moments, plus)
    # One kernel right after the other: to prepare a call takes longer where a kernel has been.
    _run.check_status(op, forward_moments(*arguments))
    return y, *normalize()


def backward(
    plan, grad_output, output, norm_weight, saved, x, weight, needs, slope, num_threads=None,
    plus=None,
):  # fmt: skip
    """The gradients of the convolution, None where not needed, and (grad_weight, grad_bias) behind.

    output: of the convolution; the batch normalization got it and gave `saved`.  `slope` is that of
    the activation whose output x is, `plus` as for `_conv_backward`.
    """
    sums, _, of_norm, scaling = _gradients_of(
        "batch_norm_backward", grad_output, output, norm_weight, saved, True, num_threads, False
    )
    if not any(needs):
        sums()
        return (None,) * 3, of_norm
    threads = _conv_images.threads_for(plan.geometry, num_threads)
    images = threads * plan.together[1]
    shape = images, *output.shape[1:]
    between = _arrays.empty(plan.geometry.op, shape, output.dtype, output)
    gradients = _conv_images.backward(
        "backward_scaled", plan, scaling, between, x, weight, needs, slope, plus, threads, sums
    )
    return gradients, of_norm
