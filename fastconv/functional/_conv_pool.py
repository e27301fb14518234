"""A convolution, its activation and a max-pool whose windows tile, in one pass over the images.

What the convolution stores stays in the cache until it is pooled, and so does what the gradient of
the pool hands back: between the two it never goes through memory.  Where that pays, that is not
even spread: only the cells that a pool took have a gradient, and the convolution's gradients are
sums of what these give (_sparse.py).
"""

import numpy as np

from fastconv.functional import _arrays, _conv_images, _pool, _run, _sparse

KERNELS = ("forward", "grad_input", "grad_weight")


def plan(op, ndim, x, weight, options, algorithm, pool):
    """The Plan for `backward`, and `forward` if it is joint; None for both to run apart.

    options: (stride, padding, dilation, groups) of a layer; `pool` of the pool behind:
    (kernel_size, stride, padding, dilation, ceil_mode).
    """
    window = _pool.tiling(ndim, *pool)
    if window is None:
        return None
    return _conv_images.plan(op, ndim, x, weight, options, algorithm, KERNELS, window)


def forward(plan, x, weight, bias, slope, placed, num_threads=None, flat=False):
    """The pooled output, and if `placed` the codes that `backward` wants.

    flat: the output in C order, whatever that of x is, as it is to be flattened.
    """
    geometry, tiles = plan.geometry, plan.tiles
    op, shape = geometry.op, tiles.out_shape
    bias = _run.check_bias(op, bias, geometry.narrow_channels, x.dtype)
    last = _arrays.is_channels_last(x) and not flat
    y = _arrays.empty_in_order(op, shape, x.dtype, last)
    codes = tiles.empty(op, shape, _pool.UINT8) if placed else None
    threads = _conv_images.threads_for(geometry, num_threads)
    status = plan.kernels[x.dtype.char].forward_max_tiles(
        _arrays.expand_space(x), _run.filters(weight, geometry.groups), bias,
        _arrays.expand_space(_between(plan, threads * plan.together[0])),
        _pool.lines(y, last), tiles.lines(codes) if placed else None,
        tiles.channels_last, tiles.channels_last != last, slope, *geometry.kernel_args,
        _pool.three(tiles.kernel, 1), threads,
    )  # fmt: skip
    _run.check_status(op, status)
    return y, codes


def backward(plan, grad_output, codes, x, weight, needs, slope, num_threads=None, plus=None):
    """(grad_input, grad_weight, grad_bias), None where not needed.

    grad_output is that of the pooled output before its activation; `slope` is that of the
    activation whose output x is, `plus` as for `_conv_backward`.
    """
    geometry, tiles = plan.geometry, plan.tiles
    op = geometry.op
    g = _arrays.as_array(op, "grad_output", grad_output, x.dtype)
    if g.shape != codes.shape:
        raise ValueError(f"{op}: grad_output must have shape {codes.shape}, got {g.shape}")
    threads = _conv_images.threads_for(geometry, num_threads)
    if plan.sparse:
        return _sparse.backward(geometry, tiles, g, codes, x, weight, needs, slope, plus, threads)
    last = _arrays.is_channels_last(g) or not g.flags.c_contiguous
    lines = np.ascontiguousarray(_pool.lines(g, last))
    turned = tiles.channels_last != last
    behind = lines, tiles.lines(codes), tiles.channels_last, turned, _pool.three(tiles.kernel, 1)
    return _conv_images.backward(
        "backward_max_tiles", plan, behind, _between(plan, threads * plan.together[1]),
        x, weight, needs, slope, plus, threads,
    )  # fmt: skip


def _between(plan, images):
    """A buffer for what the convolution gives of so many images."""
    shape = (images, *plan.geometry.narrow_shape[1:])
    return plan.tiles.empty(plan.geometry.op, shape, plan.tiles.dtype)
