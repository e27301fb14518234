"""Pools: the largest element or the mean of every window, in one to three spatial axes.

Each function here is its signature; the work is in `_pool`, once for every number of axes.
"""

from fastconv.functional import _pool

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
]


def max_pool1d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False,
    *, num_threads=None,
):  # fmt: skip
    """Largest element of each window of (N, C, L): `max_pool2d` with one spatial axis."""
    return _pool.max_pool(
        "max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices,
        num_threads,
    )  # fmt: skip


def max_pool2d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False,
    *, num_threads=None,
):  # fmt: skip
    """Largest element of each window.

    input: (N, C, H, W) or (C, H, W), float32 or float64.  kernel_size, stride (default: the
    kernel's), padding (at most half of what the kernel spans; never the largest) and dilation: an
    int or one per axis.  ceil_mode: also the last windows, which reach over the edge.

    Returns the output, or with return_indices (output, indices): an int64 array of positions in the
    flat (H, W) plane.  The first of equal elements wins; a NaN is larger than any number.  A
    dilated window that holds no element at all gives -inf and index -1.

    Raises ValueError or TypeError for arguments outside of these rules.
    """
    return _pool.max_pool(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices,
        num_threads,
    )  # fmt: skip


def max_pool3d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False,
    *, num_threads=None,
):  # fmt: skip
    """Largest element of each window of (N, C, D, H, W): `max_pool2d` with three spatial axes."""
    return _pool.max_pool(
        "max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices,
        num_threads,
    )  # fmt: skip


def max_pool1d_backward(grad_output, indices, input_shape, *, num_threads=None):
    """Gradient of `max_pool1d` with respect to its input, of shape `input_shape`."""
    return _pool.max_pool_backward(
        "max_pool1d_backward", 1, grad_output, indices, input_shape, num_threads
    )


def max_pool2d_backward(grad_output, indices, input_shape, *, num_threads=None):
    """Gradient of `max_pool2d` with respect to its input, of shape `input_shape`.

    Each element of grad_output is added to the place that its index, from the forward pass, names.
    """
    return _pool.max_pool_backward(
        "max_pool2d_backward", 2, grad_output, indices, input_shape, num_threads
    )


def max_pool3d_backward(grad_output, indices, input_shape, *, num_threads=None):
    """Gradient of `max_pool3d` with respect to its input, of shape `input_shape`."""
    return _pool.max_pool_backward(
        "max_pool3d_backward", 3, grad_output, indices, input_shape, num_threads
    )


def avg_pool1d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, *, num_threads=None,
):  # fmt: skip
    """Mean of each window of (N, C, L): `avg_pool2d` with one spatial axis."""
    return _pool.avg_pool(
        "avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, num_threads,
    )  # fmt: skip


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, *, num_threads=None,
):  # fmt: skip
    """Mean of each window.

    input: (N, C, H, W) or (C, H, W), float32 or float64.  kernel_size, stride (default: the
    kernel's) and padding (at most half of the kernel): an int or one per axis.  ceil_mode: also the
    last windows, which reach over the edge.  The sum of a window is divided by its cells, those in
    the padding among them unless count_include_pad is false, or by divisor_override.

    Raises ValueError or TypeError for arguments outside of these rules.
    """
    return _pool.avg_pool(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, num_threads,
    )  # fmt: skip


def avg_pool3d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None, *, num_threads=None,
):  # fmt: skip
    """Mean of each window of (N, C, D, H, W): `avg_pool2d` with three spatial axes."""
    return _pool.avg_pool(
        "avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override, num_threads,
    )  # fmt: skip


def avg_pool1d_backward(
    grad_output, input_shape, kernel_size, stride=None, padding=0, ceil_mode=False,
    count_include_pad=True, divisor_override=None, *, num_threads=None,
):  # fmt: skip
    """Gradient of `avg_pool1d` with respect to its input, of shape `input_shape`."""
    return _pool.avg_pool_backward(
        "avg_pool1d_backward", 1, grad_output, input_shape, kernel_size, stride, padding,
        ceil_mode, count_include_pad, divisor_override, num_threads,
    )  # fmt: skip


def avg_pool2d_backward(
    grad_output, input_shape, kernel_size, stride=None, padding=0, ceil_mode=False,
    count_include_pad=True, divisor_override=None, *, num_threads=None,
):  # fmt: skip
    """Gradient of `avg_pool2d` with respect to its input, of shape `input_shape`.

    Each element of grad_output, over its window's divisor, is added to the window's cells.
    """
    return _pool.avg_pool_backward(
        "avg_pool2d_backward", 2, grad_output, input_shape, kernel_size, stride, padding,
        ceil_mode, count_include_pad, divisor_override, num_threads,
    )  # fmt: skip


def avg_pool3d_backward(
    grad_output, input_shape, kernel_size, stride=None, padding=0, ceil_mode=False,
    count_include_pad=True, divisor_override=None, *, num_threads=None,
):  # fmt: skip
    """Gradient of `avg_pool3d` with respect to its input, of shape `input_shape`."""
    return _pool.avg_pool_backward(
        "avg_pool3d_backward", 3, grad_output, input_shape, kernel_size, stride, padding,
        ceil_mode, count_include_pad, divisor_override, num_threads,
    )  # fmt: skip


def adaptive_avg_pool1d(input, output_size, *, num_threads=None):
    """Means of (N, C, L) over `output_size` windows: `adaptive_avg_pool2d` with one axis."""
    return _pool.adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size, num_threads)


def adaptive_avg_pool2d(input, output_size, *, num_threads=None):
    """Means over as many windows as the output shall have, spread evenly over the input.

    input: (N, C, H, W) or (C, H, W), float32 or float64.  output_size: an int or one per axis;
    None keeps the input's.  Of `o` windows over `i` cells the k-th is floor(k i / o) up to
    ceil((k + 1) i / o), as in PyTorch.
    """
    return _pool.adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size, num_threads)


def adaptive_avg_pool3d(input, output_size, *, num_threads=None):
    """Means of (N, C, D, H, W): `adaptive_avg_pool2d` with three spatial axes."""
    return _pool.adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size, num_threads)


def adaptive_avg_pool1d_backward(grad_output, input_shape, *, num_threads=None):
    """Gradient of `adaptive_avg_pool1d` with respect to its input, of shape `input_shape`."""
    return _pool.adaptive_avg_pool_backward(
        "adaptive_avg_pool1d_backward", 1, grad_output, input_shape, num_threads
    )


def adaptive_avg_pool2d_backward(grad_output, input_shape, *, num_threads=None):
    """Gradient of `adaptive_avg_pool2d` with respect to its input, of shape `input_shape`."""
    return _pool.adaptive_avg_pool_backward(
        "adaptive_avg_pool2d_backward", 2, grad_output, input_shape, num_threads
    )


def adaptive_avg_pool3d_backward(grad_output, input_shape, *, num_threads=None):
    """Gradient of `adaptive_avg_pool3d` with respect to its input, of shape `input_shape`."""
    return _pool.adaptive_avg_pool_backward(
        "adaptive_avg_pool3d_backward", 3, grad_output, input_shape, num_threads
    )
