"""`fastconv draw`."""

import argparse
import inspect
import re
from pathlib import Path

from fastconv import plot
from fastconv.commands import common

DESCRIPTION = (
    "Pictures are computed, not sketched: the numbers come from the kernels. Without options each "
    "kind draws an example; 12 is a row of cells, 5x5 a plane, 3x4x4 a volume, drawn as its "
    "slices. Needs the extra: fastconv[plot], and for a GIF fastconv[image]"
)
KINDS = {
    "conv": plot.draw_conv,
    "transposed": plot.draw_transposed,
    "matrix": plot.draw_matrix,
    "deconvolution": plot.draw_deconvolution,
    "inverted": plot.draw_inverted,
    "regroup": plot.draw_regroup,
    "phases": plot.draw_phases,
    "steps": plot.draw_steps,
    "arithmetic": plot.draw_arithmetic,
    "pool": plot.draw_pool,
}
STILL, MOVING = (".png", ".svg", ".pdf"), (".gif",)


def _sizes(text):
    """5 as an int; 5x4 or 5,4 as a tuple."""
    if not re.fullmatch(r"\d{1,9}([x,]\d{1,9})*", text):
        raise argparse.ArgumentTypeError(f"must be as 5 or 5x4, got {text!r}")
    values = tuple(map(int, re.split("[x,]", text)))
    return values if len(values) > 1 else values[0]


_step = common.number(int, lambda n: n >= 0, "a whole number of at least 0")


def _padding(text):
    return text if text in ("same", "valid") else _sizes(text)


# The drawing functions' own names.
OPTIONS = {
    "input_size": (_sizes, "cells of the input"),
    "kernel_size": (_sizes, "cells of the kernel"),
    "stride": (_sizes, "step of the window"),
    "padding": (_padding, "zeros on each side, or same, or valid"),
    "dilation": (_sizes, "distance of the kernel's taps"),
    "output_padding": (
        _sizes,
        "cells more at the end of a transposed convolution; makes arithmetic one of these",
    ),
    "in_channels": (common.count, "of regroup"),
    "out_channels": (common.count, "of regroup: how many filters"),
    "groups": (common.count, "of regroup"),
    "step": (_step, "the state at this step, from 0, instead of the whole"),
}


def _flag(name):
    return f"--{name.replace('_', '-')}"


def add_options(parser):
    # Only what is given becomes an attribute: an option that a kind does not know is an error.
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument(
        "kind", choices=KINDS, metavar="KIND",
        help="conv; transposed, as the convolution that it equals; matrix, of a convolution; "
        "deconvolution, beside the convolution that it transposes; inverted and regroup, the "
        "filters of backpropagation; phases, of up-sampling; steps, the deconvolution of one cell "
        "after another; arithmetic, why an output has its size; pool, and its gradient",
    )  # fmt: skip
    for name, (kind, help) in OPTIONS.items():
        parser.add_argument(_flag(name), type=kind, metavar="N", help=help)
    parser.add_argument(
        "-o", "--output", metavar="FILE",
        help=".png, .svg or .pdf, or .gif with a frame for each step (default: KIND.png)",
    )  # fmt: skip


def run(args):
    draw = KINDS[args.kind]
    options = {name: getattr(args, name) for name in OPTIONS if hasattr(args, name)}
    known = [name for name in OPTIONS if name in inspect.signature(draw).parameters]
    for name in options:
        if name not in known:
            takes = ", ".join(map(_flag, known))
            raise ValueError(f"{_flag(name)} is no option of {args.kind}, which takes {takes}")
    path = Path(getattr(args, "output", f"{args.kind}.png"))
    ending = path.suffix.lower()
    if ending not in STILL + MOVING:
        raise ValueError(f"-o {path}: the name must end in {', '.join(STILL + MOVING)}")
    common.check_writable("-o", path)
    if ending in MOVING:
        if "step" in options:
            raise ValueError(f"-o {path}: a GIF shows all steps, --step must be left out")
        options["step"] = "all"
    drawing = draw(**options)
    plot.save(drawing, path)
    frames = f", {len(drawing)} frames" if ending in MOVING else ""
    print(f"{path}{frames}")
    return common.DONE
