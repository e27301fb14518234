"""What the planners of the convolution kernels chose for one problem, and why, in words."""

import math

import numpy as np

from fastconv import _kernels, _shapes, _threads
from fastconv.functional import _arrays, _geometry, _run

__all__ = ["explain"]

OPERATIONS = {
    f"conv{middle}{ndim}d": (ndim, bool(middle))
    for middle in ("", "_transpose")
    for ndim in (1, 2, 3)
}
OF_LANES = {
    "channels": "channels of one group",
    "columns": "columns",
    "groups": "channels of all groups",
}
LAYOUTS = ("nchw", "channels_last")


def explain(
    operation, input_shape, weight_shape, *, stride=1, padding=0, dilation=1, groups=1,
    output_padding=0, layout="nchw", dtype=np.float32, num_threads=None, mode="stdout",
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
    mode : "stdout", or "dicts" to return the figures behind the words instead of printing

    Returns
    -------
    None, or {"forward": {...}, "grad_input": {...}, "grad_weight": {...}} and the sizes of the
    problem; costs are estimates of the planner, good for comparison only

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
    shape = geometry.wide_shape if transposed else geometry.narrow_shape
    _shapes.check_size(op, shape, dtype.itemsize)
    y = _phantom(shape, dtype, "channels_last" if _arrays.is_channels_last(x) else "nchw")
    threads = _threads.effective(op, num_threads, geometry.work)
    wide, narrow = (y, x) if transposed else (x, y)
    plans = _run.plans(geometry, wide, narrow, weight, threads)
    if transposed:  # its passes run on each other's kernels, see _run
        plans["forward"], plans["grad_input"] = plans["grad_input"], plans["forward"]
    found = {
        "operation": operation,
        "input_shape": x.shape,
        "weight_shape": weight.shape,
        "output_shape": y.shape,
        "groups": geometry.groups,
        "layout": layout,
        "dtype": dtype.name,
        "isa": _kernels.isa,
        "num_threads": threads,
        "multiply_adds": geometry.work,
        "bytes": dtype.itemsize * sum(math.prod(each.shape) for each in (x, weight, y)),
        **plans,
    }
    if mode == "dicts":
        return found
    for line in _lines(found):
        print(line)
    return None


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


# ---------------------------------------------------------------------------------- words


def _lines(found):
    transposed = OPERATIONS[found["operation"]][1]
    yield (
        f"{found['operation']} of {found['input_shape']} with filters {found['weight_shape']}: "
        f"output {found['output_shape']}"
    )
    serial = found["num_threads"] == 1 and found["multiply_adds"] < _threads.SERIAL_WORK
    reason = ", as work is little" if serial else ""
    groups = f"; {found['groups']} groups, of one of them below" if found["groups"] > 1 else ""
    if any(found[name]["lanes"] == "groups" for name in ("forward", "grad_input", "grad_weight")):
        groups += " unless lanes are those of all"
    yield (
        f"{found['dtype']}, {found['layout']}; {found['isa']}, "
        f"{_plural(found['num_threads'], 'thread')}{reason}{groups}"
    )
    yield (
        f"a pass: {_count(found['multiply_adds'])} multiply-adds, {_bytes(found['bytes'])} of "
        f"arrays, {found['multiply_adds'] / found['bytes']:.3g} for each byte"
    )
    # A window moves over one array; each of its positions is a cell of the other.
    turned_round = transposed != found["grad_weight"]["exchanged"]
    pair = ("grad_output", "input") if turned_round else ("input", "grad_output")
    for name, words, over, cells in (
        ("forward", _correlate_words, "input", "output"),
        ("grad_input", _correlate_words, "grad_output", "grad_input"),
        ("grad_weight", _weight_words, *pair),
    ):
        yield ""
        yield name
        for label, text in words(found[name], over, cells):
            yield f"  {label:<12}{text}"


def _correlate_words(plan, over, cells):
    yield "lanes", _lanes(plan, cells)
    yield "tile", _tile(plan, "vector")
    yield "depth", _depth(plan, over)
    phases = f" of each of {plan['phases']} phases" if plan["phases"] > 1 else ""
    yield (
        "tasks",
        (
            f"{plan['tasks']}: {_block(plan['block'])} positions{phases}, "
            f"{_part(plan['chunk'], plan['channels'], cells)} each"
        ),
    )
    yield (
        over,
        _window(plan)
        + ("" if plan["in_place"] else f", meant to be at most {_bytes(plan['strip_limit'])}"),
    )
    if plan["in_padding"]:
        yield "padding", f"{plan['in_padding']:.1%} of the rows of taps lie in it and are skipped"
    yield "weights", f"packed {plan['packed']}, {_bytes(plan['weight_bytes'])}"
    sums = f", of it {_bytes(plan['sum_bytes'])} of unfinished sums" if plan["sum_bytes"] else ""
    yield "scratch", f"{_bytes(plan['scratch_bytes'])} a thread{sums}"


def _weight_words(plan, over, cells):
    yield "lanes", _lanes(plan, cells)
    yield "tile", _tile(plan, "tap" if plan["lanes"] == "columns" else "vector", of_each_tap=True)
    images = f" of {plan['images']} images" if plan["images"] > 1 else ""
    yield "units", f"{plan['units']}: {_block(plan['block'])} positions{images} each"
    parts = (
        f"{plan['parts']} parts, added in order" if plan["parts"] > 1 else "one part"
    ) + f", {_bytes(plan['part_bytes'])}"
    yield "sum", f"{parts}; so for any number of threads"
    yield (
        "tasks",
        (f"{plan['tasks']}: a part, {_part(plan['chunk'], plan['channels'], cells)} each"),
    )
    yield over, _window(plan)
    if plan["skips_padding"]:
        yield "padding", "rows of taps that lie in it are skipped"
    yield cells, plan["cells"]
    yield "scratch", f"{_bytes(plan['scratch_bytes'])} a thread"


def _lanes(plan, cells):
    """Which lanes, how many of them have work, and what the other choice would have cost."""
    chosen = plan["lanes"]
    count, lanes = plan["columns" if chosen == "columns" else "channels"], plan["lane_count"]
    used = count / (-(-count // lanes) * lanes)
    noun = "column" if chosen == "columns" else "channel"
    every = ", those of all groups," if chosen == "groups" else ""
    others = ", ".join(
        f"{OF_LANES[name] if 'groups' in plan['cost'] else name} would cost "
        f"{cost / max(1, plan['cost'][chosen]):.2f} times as much"
        for name, cost in plan["cost"].items()
        if name != chosen
    )
    return (
        f"{_plural(count, noun)} of {cells}{every} in vectors of {lanes}, {used:.0%} in use; "
        f"{others}"
    )


def _tile(plan, across, of_each_tap=False):
    """`of_each_tap`: whether the taps of a chain have sums of their own."""
    chain = plan["chain"]
    sums = plan["rows"] * plan["vectors"] * (chain if of_each_tap else 1)
    rows = plan["rows_of"] if plan["rows"] > 1 else plan["rows_of"].removesuffix("s")
    taps = f"; {chain} neighbouring taps share what is loaded" if chain > 1 else ""
    return (
        f"{plan['rows']} {rows} by {_plural(plan['vectors'], across)}: "
        f"{_plural(sums, 'sum')} in registers{taps}"
    )


def _part(some, every, cells):
    share = f"{some} of" if some < every else "all" if every > 1 else "the"
    return f"{share} {_plural(every, 'channel')} of {cells}"


def _depth(plan, over):
    if plan["lanes"] == "groups":
        return f"each lane has {_plural(plan['depth'], 'channel')} of {over} of its own"
    held = f"a strip holds {_part(plan['depth'], plan['in_channels'], over)}"
    if plan["depth"] == plan["in_channels"]:
        return held
    ratio = plan["whole_cost"] / max(1, plan["depth_cost"])
    return (
        f"{held} at a time; with all it would hold {_block(plan['whole_block'])} positions, and "
        f"filling it cost {ratio:.2f} times as much"
    )


def _window(plan):
    if plan["leaves_out"]:
        return "read in place: taps that lie in padding are left out"
    if plan["in_place"]:
        return "read in place: nothing is padded, and neighbours lie close in memory"
    changes = ["padded with zeros"] * plan["padded"] + ["turned to pixels"] * plan["turned"]
    how = f", {' and '.join(changes)}," if changes else ""
    return f"copied{how} into strips of {_bytes(plan['strip_bytes'])}"


def _block(block):
    """The positions of a block, without the leading axes that it does not have."""
    while len(block) > 1 and block[0] == 1:
        block = block[1:]
    return " x ".join(map(str, block))


def _plural(count, noun):
    return f"{count} {noun}" + "s" * (count != 1)


def _count(number):
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return str(number)


def _bytes(number):
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number} bytes"
