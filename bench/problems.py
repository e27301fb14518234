"""Convolution problems as short strings, shared by the benchmarks and the tests.

    g1mb64ic1ih28oc20kh5sh1ph0dh1n"mnist:conv1"
    deconvmb64ic256ih8oc128kh4sh2ph1n"dcgan3"

The style is that of oneDNN's benchdnn, except that dilation counts from 1 (dense) as in PyTorch.

    deconv          first: a transposed convolution, whose input is ic, id, ih, iw
    g  mb           groups (1), batch (1)
    ic oc           channels in and out, of all groups together
    id ih iw        input size; the axes named here make the problem 1-D (iw), 2-D (ih) or 3-D (id)
    od oh ow        output size; computed when absent, checked when given.  That of a transposed
                    convolution also says how much output padding there is
    kd kh kw        kernel size
    sd sh sw        stride (1)
    pd ph pw        padding on both sides (0)
    dd dh dw        dilation (1)
    n"..."          a name

A size that is not named is that of the axis before it: `ih28` is `ih28iw28`, `id8ih4` is
`id8ih4iw4`.  Spaces are ignored outside the name.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

FILE = Path(__file__).with_name("problems.txt")
AXES = "dhw"
_TOKEN = re.compile(r"(mb|ic|oc|g|[iokspd][dhw])(\d+)")


@dataclass(frozen=True)
class Problem:
    """One convolution: its sizes, and from them shapes, arguments and work."""

    in_channels: int
    out_channels: int
    space: tuple
    kernel: tuple
    stride: tuple
    padding: tuple
    dilation: tuple
    output_padding: tuple
    groups: int = 1
    batch: int = 1
    transposed: bool = False
    name: str = ""

    @property
    def ndim(self):
        return len(self.space)

    @property
    def operation(self):
        """The name of the function that computes this problem."""
        return f"conv{'_transpose' if self.transposed else ''}{self.ndim}d"

    @property
    def input_shape(self):
        return (self.batch, self.in_channels, *self.space)

    @property
    def weight_shape(self):
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel)

    @property
    def output_shape(self):
        return (self.batch, self.out_channels, *self.out_space)

    @property
    def out_space(self):
        axes = zip(self.space, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        if not self.transposed:
            return tuple((i + 2 * p - d * (k - 1) - 1) // s + 1 for i, k, s, p, d in axes)
        return tuple(
            (i - 1) * s - 2 * p + d * (k - 1) + 1 + extra
            for (i, k, s, p, d), extra in zip(axes, self.output_padding, strict=True)
        )

    @property
    def arguments(self):
        """Keyword arguments of the operation, and of its `_backward`."""
        arguments = {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }
        if self.transposed:
            arguments["output_padding"] = self.output_padding
        return arguments

    def __str__(self):
        """The string that describes this problem: the whole of it, but for the name."""
        axes = AXES[-self.ndim :]

        def sizes(letter, values, default=None):
            if set(values) == {default}:
                return ""
            before = (None, *values)
            return "".join(
                f"{letter}{axis}{value}"
                for axis, value, previous in zip(axes, values, before, strict=False)
                if value != previous
            )

        return (
            f"{'deconv' * self.transposed}{f'g{self.groups}' * (self.groups > 1)}mb{self.batch}"
            f"ic{self.in_channels}{sizes('i', self.space)}"
            f"oc{self.out_channels}{sizes('o', self.out_space) * any(self.output_padding)}"
            f"{sizes('k', self.kernel)}{sizes('s', self.stride, 1)}{sizes('p', self.padding, 0)}"
            f"{sizes('d', self.dilation, 1)}"
        )

    @property
    def flops(self):
        """Floating-point operations of one pass, borders counted in full: 2 per multiply-add."""
        cells = self.space if self.transposed else self.out_space
        filters = self.in_channels * self.out_channels // self.groups
        return 2 * self.batch * filters * math.prod(self.kernel) * math.prod(cells)


def parse(text):
    """The `Problem` that a string describes; ValueError when it describes none."""
    head, _, name = text.strip().partition('n"')
    head = "".join(head.split())
    transposed = head.startswith("deconv")
    body = head.removeprefix("deconv")
    tokens = _TOKEN.findall(body)
    if "".join(key + value for key, value in tokens) != body or name[-1:] not in ("", '"'):
        raise ValueError(f"not a problem string: {text.strip()!r}")
    given = {key: int(value) for key, value in tokens}
    axes = next((AXES[at:] for at, axis in enumerate(AXES) if f"i{axis}" in given), "")
    known = {"g", "mb", "ic", "oc", *(letter + axis for letter in "iokspd" for axis in axes)}
    if not axes or not {"ic", "oc", f"k{axes[0]}"} <= given.keys() or len(given) < len(tokens):
        raise ValueError(f"ic, oc, an input and a kernel size are needed once: {text.strip()!r}")
    if given.keys() - known:
        raise ValueError(f"{given.keys() - known} name no axis of the input: {text.strip()!r}")

    def sizes(letter, default):
        values = []
        for axis in axes:
            values.append(given.get(letter + axis, values[-1] if values else default))
        return tuple(values)

    ndim = len(axes)
    problem = Problem(
        in_channels=given["ic"],
        out_channels=given["oc"],
        space=sizes("i", None),
        kernel=sizes("k", None),
        stride=sizes("s", 1),
        padding=sizes("p", 0),
        dilation=sizes("d", 1),
        output_padding=(0,) * ndim,
        groups=given.get("g", 1),
        batch=given.get("mb", 1),
        transposed=transposed,
        name=name.removesuffix('"'),
    )
    counts = (problem.groups, problem.batch, *problem.space, *problem.kernel, *problem.stride)
    if min(*counts, *problem.dilation) < 1:
        raise ValueError(f"sizes, strides and dilations count from 1: {text.strip()!r}")
    if problem.in_channels % problem.groups or problem.out_channels % problem.groups:
        raise ValueError(f"groups must divide the channels: {text.strip()!r}")
    if min(problem.in_channels, problem.out_channels, *problem.out_space) < 1:
        raise ValueError(f"there is nothing to compute: {text.strip()!r}")
    if f"o{axes[0]}" not in given:
        return problem
    wanted = sizes("o", None)
    extra = tuple(w - o for w, o in zip(wanted, problem.out_space, strict=True))
    if transposed and min(extra) >= 0:
        return replace(problem, output_padding=extra)
    if any(extra):
        raise ValueError(f"the output is {problem.out_space}, not {wanted}: {text.strip()!r}")
    return problem


def load(path=FILE):
    """The problems of a file: one string a line, # begins a comment line."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [parse(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def find(text, path=FILE):
    """The problem of the file that has this name, or else the one that the string describes."""
    known = {problem.name: problem for problem in load(path)}
    if text in known:
        return known[text]
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{error}; the names are {', '.join(known)}") from error
