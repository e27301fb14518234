"""ReLU and max-pooling: where the gradient passes."""

import numpy as np

from fastconv import _shapes
from fastconv.theory._arrays import windows
from fastconv.theory._setting import conv_setting


def relu_gradient_mask(x):
    """True where a ReLU passes its gradient: where its input was positive.

    relu(x) = max(x, 0) has slope 1 for x > 0 and 0 for x < 0; at 0 and for NaN the gradient
    stops, as in all frameworks.  Backpropagation is `grad_output * relu_gradient_mask(x)`.

    Lecture: "passes gradient to a previous layer only if the original input value was positive".
    """
    return np.asarray(x) > 0


def max_pool_routes(x, kernel_size, stride=None, padding=0, dilation=1):
    """Which input cell feeds which output cell of a max-pooling: the largest of its window.

    Parameters
    ----------
    x : (N, C, *size); with a tuple as kernel_size, any axes before the spatial ones
    kernel_size : int, or one for each spatial axis
    stride : defaults to kernel_size
    padding, dilation : int, or one for each spatial axis; padding is never the largest

    Returns
    -------
    int array of the output's shape: the flat index of the cell within its plane of x.  Of equal
    cells the first has it, as in PyTorch.

    Raises
    ------
    ValueError : the window does not fit, or lies in the padding with more than its half

    Notes
    -----
    Lecture: "passes the gradient flow through the largest cell in the input volume".  The output is
    x at these cells, and backpropagation adds each gradient to its one cell.
    """
    op = "max_pool_routes"
    x = np.asarray(x)
    ndim = len(kernel_size) if isinstance(kernel_size, (list, tuple)) else x.ndim - 2
    if ndim < 1 or x.ndim < ndim:
        raise ValueError(f"{op}: x must be (N, C, *size), got shape {x.shape}")
    stride = kernel_size if stride is None else stride
    size = x.shape[x.ndim - ndim :]
    padding = _shapes.per_axis(op, "padding", padding, ndim, 0)
    setting = conv_setting(op, size, kernel_size, stride, padding, dilation)
    if any(2 * p > r + 1 for p, r in zip(padding, setting.reach, strict=True)):
        raise ValueError(
            f"{op}: padding must be at most half of what the kernel spans, got {padding} for "
            f"kernel_size {setting.kernel} and dilation {setting.dilation}"
        )
    around = [(0, 0)] * (x.ndim - ndim) + [*setting.pad]
    cell = np.arange(np.prod(size)).reshape(size)
    moves = setting.kernel, setting.stride, setting.dilation
    space = setting.small

    def taps(array):
        view = windows(array, *moves)
        return view.reshape(*view.shape[: view.ndim - ndim], -1)

    cell = taps(np.pad(cell, setting.pad, constant_values=-1))
    value = taps(np.pad(x, around))
    real = np.broadcast_to(cell >= 0, value.shape)
    least = -np.inf if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype).min
    largest = np.max(value, axis=-1, where=real, initial=least, keepdims=True)
    # A NaN is the largest; it equals only itself by being no number.
    winner = real & ((value == largest) | (value != value))
    first = winner.argmax(axis=-1)
    lead = x.shape[: x.ndim - ndim]
    cell = np.broadcast_to(cell, (*lead, *space, cell.shape[-1]))
    return np.take_along_axis(cell, first[..., np.newaxis], -1)[..., 0]
