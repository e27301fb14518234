"""A convolution and what is behind it, image by image: where that pays, and its gradients.

What lies between the two stays in the cache of a thread and never goes through memory.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastconv import _algorithm, _kernels, _threads
from fastconv.functional import _arrays, _geometry, _pool, _run, _sparse, _winograd

LEAST_BATCH = 32  # threads share out whole images
MOST_BYTES = 512 * 1024  # of the convolution's output for one image, and of the weights
MOST_FILTER_BYTES = 96 * 1024  # of those that Winograd makes four times as large, for L2
LEAST_POSITIONS = 256  # of grad_output, for which sums as long as the weights are worth a round
LEAST_TILES = 40  # of 4 outputs along each axis, for which loading Winograd's filters is
LEAST_BUFFERS = 16  # of a batch, for the threads to share out
PIXEL_BYTES = 64  # of the channels of a pixel: those that fill a vector


class Plan(NamedTuple):
    """How a convolution runs image by image."""

    geometry: _geometry.Geometry
    winograd: bool
    sparse: bool  # the gradients behind a max-pool, whatever the forward pass is
    joint: bool  # else the forward passes had better run apart
    together: tuple  # images that a thread had better take at once, forward and backward
    tiles: _pool.Tiles | None = None  # the max-pool behind

    @property
    def kernels(self):
        return _kernels.winograd if self.winograd else _kernels.conv


def plan(op, ndim, x, weight, options, algorithm, kernels, window=None, least=0):
    """The Plan if those kernels of the convolution may run so; None where they had better not.

    options: (stride, padding, dilation, groups) of a layer, which has checked them.
    window: that of a max-pool which tiles, if one is behind.  least: bytes of what lies between.
    """
    if not isinstance(x, np.ndarray) or x.ndim != ndim + 2 or len(x) < LEAST_BATCH:
        return None
    if x.dtype != weight.dtype or x.dtype not in _arrays.FLOATS or not x.size:
        return None
    last = _arrays.is_channels_last(x)
    if not x.flags.aligned or not (last or x.flags.c_contiguous):
        return None
    return _plan(
        op, ndim, x.shape, x.dtype, last, weight.shape, options,
        _algorithm.effective(op, algorithm), kernels, window, least,
    )  # fmt: skip


@lru_cache(_geometry.REMEMBERED)
def _plan(op, ndim, shape, dtype, last, weight, options, algorithm, kernels, window, least):
    geometry = _geometry.conv_geometry(op, ndim, shape, weight, *options)
    itemsize = dtype.itemsize
    if math.prod(geometry.narrow_shape) * itemsize < least:
        return None
    algorithm = _winograd.check(geometry, algorithm)
    sparse = window is not None and _sparse.pays(geometry, window, itemsize)
    if sparse:
        kernels = ("forward",)
    chosen = {_winograd.choose(geometry, algorithm, each) for each in kernels}
    winograd = chosen == {_winograd}
    most = MOST_FILTER_BYTES if winograd else MOST_BYTES
    small = math.prod(weight) * itemsize <= most and _image(geometry) * itemsize <= MOST_BYTES
    joint = small and len(chosen) == 1 and not (winograd and {*geometry.stride} != {1})
    if not (joint or sparse):
        return None
    together = tuple(_together(geometry, winograd, itemsize, back) for back in (False, True))
    found = Plan(geometry, winograd, sparse, joint, together)
    if window is None:
        return found
    # Of few channels planes are pooled, in vectors of columns, and pixels only where these end.
    pixels = last and (winograd or weight[0] * itemsize >= PIXEL_BYTES)
    tiles = _pool.tiles_of(geometry.narrow_shape, dtype, pixels, window)
    return None if tiles is None else found._replace(tiles=tiles)


def _image(geometry):
    """Elements of the convolution's output for one image."""
    return math.prod(geometry.narrow_shape[1:])


def backward(kernel, plan, behind, between, x, weight, needs, slope, plus, threads, before=None):
    """(grad_input, grad_weight, grad_bias), None where not needed.

    kernel, behind: what takes the gradient back to the convolution's output, and its arguments,
    which `before` computes.
    between: for each thread, a buffer of as many images as `plan.together` says.  `slope` is that
    of the activation whose output x is, `plus` as for `_conv_backward`.
    """
    geometry = plan.geometry
    op = geometry.op
    need_input, need_weight, need_bias = needs
    grad_input = grad_bias = filters = None
    if need_input:
        grad_input = _arrays.empty(op, x.shape, x.dtype, x)
        filters = _run.regrouped(_run.filters(weight, geometry.groups))
    grad_weight = _arrays.empty(op, weight.shape, x.dtype)
    if need_bias:
        grad_bias = np.empty(geometry.narrow_channels, x.dtype)
    run = getattr(plan.kernels[x.dtype.char], kernel)
    arguments = (
        *behind, _arrays.expand_space(x), filters, _arrays.expand_space(between),
        _arrays.expand_space(grad_input) if need_input else None,
        _run.filters(grad_weight, geometry.groups), grad_bias,
        *(_run._gate(x, slope, plus) if need_input else (None, None)), slope,
        *geometry.kernel_args, not need_weight, threads,
    )  # fmt: skip
    if before is not None:
        before()
    _run.check_status(op, run(*arguments))
    return grad_input, grad_weight if need_weight else None, grad_bias


def _together(geometry, winograd, itemsize, is_backward):
    """How many images a thread had better take at once: more than one where they are small."""
    if winograd:
        tiles = math.prod([-(-n // 4) for n in geometry.narrow])
        most = -(-LEAST_TILES // tiles)
    else:
        most = LEAST_POSITIONS // math.prod(geometry.narrow) if is_backward else 1
    most = min(
        most, geometry.batch // LEAST_BUFFERS, MOST_BYTES // max(1, _image(geometry) * itemsize)
    )
    return next((n for n in range(most, 1, -1) if geometry.batch % n == 0), 1)


def threads_for(geometry, num_threads):
    return _threads.effective(geometry.op, num_threads, geometry.work)
