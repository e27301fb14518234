"""Gradients of a convolution behind which a max-pool tiles, from the cells that the pool took."""

import math

import numpy as np

from fastconv import _kernels
from fastconv.functional import _arrays, _pool, _run

LEAST_GAIN = 1.0
# Of a padded image of the input, which a thread has, and of the weights, whose sums a part has.
MOST_BYTES = 1024 * 1024


def pays(geometry, window, itemsize):
    """Whether `backward` is expected to be faster than spreading the pool's gradient.

    A row of a filter must be one piece of a row of pixels.
    """
    if geometry.groups > 1 or geometry.dilation[-1] > 1:
        return False
    padded = (n + low + high for n, (low, high) in zip(geometry.wide, geometry.pad, strict=True))
    image = geometry.wide_channels * math.prod(padded)
    weights = geometry.wide_channels * geometry.narrow_channels * math.prod(geometry.kernel)
    if max(image, weights) * itemsize > MOST_BYTES:
        return False
    gain = _kernels.sparse["f" if itemsize == 4 else "d"].gain
    cells = math.prod(window)
    return gain(geometry.wide_channels, _pool.three(geometry.kernel, 1), cells) > LEAST_GAIN


def backward(geometry, tiles, g, codes, x, weight, needs, slope, plus, threads):
    """(grad_input, grad_weight, grad_bias), None where not needed, of one group.

    g, codes: the gradient of the pool's output, and the cells that it took.  `slope` is that of the
    activation whose output x is, `plus` as for `_conv_backward`.
    """
    need_input, need_weight, need_bias = needs
    grad_input = _arrays.empty(geometry.op, x.shape, x.dtype, x) if need_input else None
    grad_weight = _arrays.empty(geometry.op, weight.shape, x.dtype) if need_weight else None
    grad_bias = np.empty(geometry.narrow_channels, x.dtype) if need_bias else None
    status = _kernels.sparse[x.dtype.char].backward_max_tiles(
        _arrays.expand_space(g), _arrays.expand_space(codes), _pool.three(tiles.kernel, 1),
        _arrays.expand_space(x), _arrays.is_channels_last(x), _run.filters(weight, 1),
        _arrays.expand_space(grad_input) if need_input else None,
        _run.filters(grad_weight, 1) if need_weight else None, grad_bias,
        *(_run._gate(x, slope, plus) if need_input else (None, None)), slope,
        *geometry.kernel_args, threads,
    )  # fmt: skip
    _run.check_status(geometry.op, status)
    return grad_input, grad_weight, grad_bias
