"""What the planners of the convolution kernels chose for one problem, and why, in words."""

import math

import numpy as np

from fastconv import _kernels, _shapes, _threads
from fastconv.functional import _arrays, _explain_words, _geometry, _winograd
from fastconv.functional._explain_words import PASSES

__all__ = ["explain"]

OPERATIONS = {
    f"conv{middle}{ndim}d": (ndim, bool(middle))
    for middle in ("", "_transpose")
    for ndim in (1, 2, 3)
}
LAYOUTS = ("nchw", "channels_last")


def explain(
    operation, input_shape, weight_shape, *, stride=1, padding=0, dilation=1, groups=1,
    output_padding=0, layout="nchw", dtype=np.float32, num_threads=None, algorithm=None,
    mode="stdout",
):  # fmt: skip
    """Prints how the three passes of a convolution would run, and why; computes nothing.

        fastconv.explain("conv2d", (4, 64, 56, 56), (64, 64, 3, 3), padding=1)

    Parameters
    ----------
    operation : "conv1d" to "conv3d", "conv_transpose1d" to "conv_transpose3d"
    input_shape : (N, C, *space), with nothing empty
    weight_shape : as the operation wants it
    stride, padding, dilation, groups, output_padding : as the operation takes them
    layout : "nchw", or "channels_last" of input, output and their gradients
    dtype : float32 or float64
    num_threads : as for the operation.  It decides how finely the work is cut and nothing else
    algorithm : as for the operation: "direct", "winograd" or "auto"; default: see `set_algorithm`
    mode : "stdout", or "dicts" to return the figures behind the words instead of printing

    Returns
    -------
    None, or {"forward": {...}, "grad_input": {...}, "grad_weight": {...}} and the sizes of the
    problem; costs are estimates of the planner, good for comparison only.  The "algorithm" of a
    pass is "direct" or "winograd", whose figures are in "calls": an entry for each kind of call of
    a kernel, and how many "times" it is called, once for each phase where these are not summed.
    Unless "direct" was asked for, "gain" says how many times as fast winograd is expected to be,
    None where it cannot run.

    Raises
    ------
    ValueError, TypeError, OverflowError : an argument breaks a rule above
    MemoryError : no memory for the tables of a plan
    """
    op = "explain"
    for name, value, choices in (
        ("operation", operation, tuple(OPERATIONS)),
        ("layout", layout, LAYOUTS),
        ("mode", mode, ("stdout", "dicts")),
    ):
        if value not in choices:
            raise ValueError(f"{op}: {name} must be one of {', '.join(choices)}, got {value!r}")
    ndim, transposed = OPERATIONS[operation]
    dtype = _dtype(op, dtype)
    x = _phantom(_shape(op, "input_shape", input_shape, ndim, dtype), dtype, layout)
    weight = _phantom(_shape(op, "weight_shape", weight_shape, ndim, dtype), dtype, "nchw")
    if transposed:
        geometry = _geometry.transpose_geometry(
            op, ndim, x.shape, weight.shape, stride, padding, output_padding, groups, dilation
        )
    else:
        if output_padding not in (0, (0,) * ndim):
            raise ValueError(
                f"{op}: output_padding must be 0 for {operation}, got {output_padding!r}"
            )
        geometry = _geometry.conv_geometry(
            op, ndim, x.shape, weight.shape, stride, padding, dilation, groups
        )
    algorithm = _winograd.check(geometry, algorithm)
    shape = geometry.wide_shape if transposed else geometry.narrow_shape
    _shapes.check_size(op, shape, dtype.itemsize)
    y = _phantom(shape, dtype, "channels_last" if _arrays.is_channels_last(x) else "nchw")
    threads = _threads.effective(op, num_threads, geometry.work)
    wide, narrow = (y, x) if transposed else (x, y)
    # Passes of a transposed convolution run on each other's kernels, see _run.
    kernels = ("grad_input", "forward", "grad_weight") if transposed else PASSES
    found = {
        "operation": operation,
        "input_shape": x.shape,
        "weight_shape": weight.shape,
        "output_shape": y.shape,
        "groups": geometry.groups,
        "layout": layout,
        "algorithm": algorithm,
        "dtype": dtype.name,
        "isa": _kernels.isa,
        "num_threads": threads,
        "serial": threads == 1 and geometry.work < _threads.SERIAL_WORK,
        "multiply_adds": geometry.multiply_adds,
        "bytes": dtype.itemsize * sum(math.prod(each.shape) for each in (x, weight, y)),
        **{
            name: _plan(geometry, algorithm, kernel, wide, narrow, weight, threads)
            for name, kernel in zip(PASSES, kernels, strict=True)
        },
    }
    if mode == "dicts":
        return found
    for line in _explain_words.lines(found, transposed):
        print(line)
    return None


def _plan(geometry, algorithm, kernel, wide, narrow, weight, threads):
    """What one of the kernels would do, by the algorithm that is chosen for it."""
    run = _winograd.choose(geometry, algorithm, kernel)
    found = run.plan(geometry, kernel, wide, narrow, weight, threads)
    if algorithm != "direct":
        found["gain"] = _winograd.gain(geometry, kernel)
    return found


def _dtype(op, dtype):
    try:
        found = np.dtype(dtype)
        if dtype is not None and found in _arrays.FLOATS:
            return found
    except TypeError:
        pass
    raise TypeError(f"{op}: dtype must be float32 or float64, got {dtype!r}")


def _shape(op, name, shape, ndim, dtype):
    if not isinstance(shape, (list, tuple)):
        raise TypeError(f"{op}: {name} must be a tuple of integers, got {shape!r}")
    if len(shape) != ndim + 2:
        raise ValueError(f"{op}: {name} must have {ndim + 2} axes, got {shape!r}")
    sizes = tuple(_shapes.integer(op, name, each, 1) for each in shape)
    if math.prod(sizes) * dtype.itemsize > _shapes.INT64_MAX:
        raise OverflowError(f"{op}: {name} must be addressable with 64 bits, got {shape!r}")
    return sizes


def _phantom(shape, dtype, layout):
    """An array of this shape and layout, one element of memory behind it: planners read none."""
    order = [0, *range(2, len(shape)), 1] if layout == "channels_last" else range(len(shape))
    strides, step = [0] * len(shape), dtype.itemsize
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides)
