"""A convolution, its activation and a max-pool whose windows tile, in one pass over the images.

What the convolution stores stays in the cache until it is pooled, and so does what the gradient of
the pool hands back: between the two it never goes through memory.
"""

import math

import numpy as np

from fastconv import _kernels, _threads
from fastconv.functional import _arrays, _geometry, _pool, _run, _winograd

LEAST_BATCH = 32  # threads share out whole images
MOST_BYTES = 512 * 1024  # of the convolution's output for one image, and of the weights


def plan(op, ndim, x, weight, options, algorithm, pool):
    """(geometry, tiles) for `forward` and `backward`; None where the two had better run apart.

    `options` of the convolution, `pool` of the pool: (kernel_size, stride, padding, dilation,
    ceil_mode).
    """
    if not isinstance(x, np.ndarray) or x.ndim != ndim + 2 or len(x) < LEAST_BATCH:
        return None
    if x.dtype != weight.dtype or x.dtype not in _arrays.FLOATS or not x.size:
        return None
    if not x.flags.aligned or not (x.flags.c_contiguous or _arrays.is_channels_last(x)):
        return None
    geometry = _geometry.conv_geometry(op, ndim, x.shape, weight, **options)
    algorithm = _winograd.check(geometry, algorithm)
    kernels = ("forward", "grad_input", "grad_weight")
    if any(_winograd.choose(geometry, algorithm, each) is not _run for each in kernels):
        return None
    image = math.prod(geometry.narrow_shape[1:])
    if max(image, weight.size) * x.itemsize > MOST_BYTES:
        return None
    last = _arrays.is_channels_last(x)
    tiles = _pool.tiles_of(geometry.narrow_shape, x.dtype, last, *pool)
    return None if tiles is None else (geometry, tiles)


def forward(geometry, tiles, x, weight, bias, slope, placed, num_threads=None):
    """The pooled output, and if `placed` the codes that `backward` wants."""
    out = tuple(size // k for size, k in zip(geometry.narrow, tiles.kernel, strict=True))
    shape = (geometry.batch, geometry.narrow_channels, *out)
    bias = _run.check_bias(geometry.op, bias, geometry.narrow_channels, x.dtype)
    y = tiles.empty(geometry.op, shape, x.dtype)
    codes = tiles.empty(geometry.op, shape, np.dtype(np.uint8)) if placed else None
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    status = _kernels.conv[x.dtype.char].forward_max_tiles(
        _arrays.expand_space(x), _run.filters(weight, geometry.groups), bias,
        _between(geometry, tiles, threads), tiles.lines(y), tiles.lines(codes) if placed else None,
        slope, *geometry.kernel_args, _pool.three(tiles.kernel, 1), threads,
    )  # fmt: skip
    _run.check_status(geometry.op, status)
    return y, codes


def backward(geometry, tiles, grad_output, codes, x, weight, needs, slope, num_threads=None):
    """(grad_input, grad_weight, grad_bias), None where not needed.

    grad_output is that of the pooled output before its activation; `slope` is that of the
    activation whose output x is.
    """
    op = geometry.op
    g = _arrays.as_array(op, "grad_output", grad_output, x.dtype)
    if g.shape != codes.shape:
        raise ValueError(f"{op}: grad_output must have shape {codes.shape}, got {g.shape}")
    need_input, need_weight, need_bias = needs
    grad_input = grad_bias = filters = None
    if need_input:
        grad_input = _arrays.empty(op, x.shape, x.dtype, x)
        filters = _run.regrouped(_run.filters(weight, geometry.groups))
    grad_weight = _arrays.empty(op, weight.shape, x.dtype)
    if need_bias:
        grad_bias = np.empty(geometry.narrow_channels, x.dtype)
    threads = _threads.effective(op, num_threads, geometry.work)
    status = _kernels.conv[x.dtype.char].backward_max_tiles(
        np.ascontiguousarray(tiles.lines(g)), tiles.lines(codes), _arrays.expand_space(x), filters,
        _between(geometry, tiles, threads),
        _arrays.expand_space(grad_input) if need_input else None,
        _run.filters(grad_weight, geometry.groups), grad_bias,
        _run._gate(x, slope) if need_input else None, slope,
        *geometry.kernel_args, _pool.three(tiles.kernel, 1), not need_weight, threads,
    )  # fmt: skip
    _run.check_status(op, status)
    return grad_input, grad_weight if need_weight else None, grad_bias


def _between(geometry, tiles, threads):
    """A buffer of one image for each thread."""
    shape = (threads, *geometry.narrow_shape[1:])
    return _arrays.expand_space(tiles.empty(geometry.op, shape, tiles.dtype))
