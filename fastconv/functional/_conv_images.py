"""A convolution and what is behind it, image by image: where that pays, and its gradients.

What lies between the two stays in the cache of a thread and never goes through memory.
"""

import math
from functools import lru_cache

import numpy as np

from fastconv import _algorithm, _kernels, _threads
from fastconv.functional import _arrays, _geometry, _run, _winograd

LEAST_BATCH = 32  # threads share out whole images
MOST_BYTES = 512 * 1024  # of the convolution's output for one image, and of the weights
LEAST_POSITIONS = 256  # of grad_output, for which sums as long as the weights are worth a round
LEAST_BUFFERS = 16  # of a batch, for the threads to share out


def plan(op, ndim, x, weight, options, algorithm, kernels):
    """The Geometry if those kernels of the convolution may run so; None where they had better not.

    options: (stride, padding, dilation, groups) of a layer, which has checked them.
    """
    if not isinstance(x, np.ndarray) or x.ndim != ndim + 2 or len(x) < LEAST_BATCH:
        return None
    if x.dtype != weight.dtype or x.dtype not in _arrays.FLOATS or not x.size:
        return None
    if not x.flags.aligned or not (x.flags.c_contiguous or _arrays.is_channels_last(x)):
        return None
    return _plan(
        op, ndim, x.shape, x.itemsize, weight.shape, options,
        _algorithm.effective(op, algorithm), kernels,
    )  # fmt: skip


@lru_cache(_geometry.REMEMBERED)
def _plan(op, ndim, shape, itemsize, weight, options, algorithm, kernels):
    geometry = _geometry.conv_geometry(op, ndim, shape, weight, *options)
    algorithm = _winograd.check(geometry, algorithm)
    if any(_winograd.choose(geometry, algorithm, each) is not _run for each in kernels):
        return None
    most = max(math.prod(geometry.narrow_shape[1:]), math.prod(weight))
    return geometry if most * itemsize <= MOST_BYTES else None


def backward(kernel, geometry, behind, between, x, weight, needs, slope, plus, threads):
    """(grad_input, grad_weight, grad_bias), None where not needed.

    kernel, behind: what takes the gradient back to the convolution's output, and its arguments.
    between: for each thread, a buffer of as many images as `together` says.  `slope` is that of the
    activation whose output x is, `plus` as for `_conv_backward`.
    """
    op = geometry.op
    need_input, need_weight, need_bias = needs
    grad_input = grad_bias = filters = None
    if need_input:
        grad_input = _arrays.empty(op, x.shape, x.dtype, x)
        filters = _run.regrouped(_run.filters(weight, geometry.groups))
    grad_weight = _arrays.empty(op, weight.shape, x.dtype)
    if need_bias:
        grad_bias = np.empty(geometry.narrow_channels, x.dtype)
    status = getattr(_kernels.conv[x.dtype.char], kernel)(
        *behind, _arrays.expand_space(x), filters, _arrays.expand_space(between),
        _arrays.expand_space(grad_input) if need_input else None,
        _run.filters(grad_weight, geometry.groups), grad_bias,
        *(_run._gate(x, slope, plus) if need_input else (None, None)), slope,
        *geometry.kernel_args, not need_weight, threads,
    )  # fmt: skip
    _run.check_status(op, status)
    return grad_input, grad_weight if need_weight else None, grad_bias


def together(geometry, itemsize):
    """How many images a thread had better take at once: more than one where they are small."""
    image = math.prod(geometry.narrow_shape[1:]) * itemsize
    most = min(
        LEAST_POSITIONS // math.prod(geometry.narrow),
        geometry.batch // LEAST_BUFFERS,
        MOST_BYTES // image,
    )
    return next((n for n in range(most, 1, -1) if geometry.batch % n == 0), 1)


def threads_for(geometry, num_threads):
    return _threads.effective(geometry.op, num_threads, geometry.work)
