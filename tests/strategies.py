"""Hypothesis strategies for whole convolution problems: every option at once, little arithmetic.

A `Case` holds what a user would write (`padding="same"`, one stride for all axes, ...) and what
it means (`pads`, one stride per axis).  Its arrays follow from `seed`, so that a failing case
prints in one line and can be built again.
"""

import math
import os
from dataclasses import dataclass, replace

import isas
import numpy as np
import reference
from hypothesis import settings
from hypothesis import strategies as st

# The reference does this many multiply-adds in a few milliseconds.
MOST_WORK = 150_000

EFFORT = int(os.environ.get("FASTCONV_TEST_EFFORT", "1"))


def examples(count):
    """Decorator: try this many examples, times FASTCONV_TEST_EFFORT."""
    return settings(max_examples=count * EFFORT)


LAYOUTS = (
    "C",
    "channels_last",
    "transposed",
    "steps",
    "reversed",
    "unaligned",
    "swapped_bytes",
)


def lay_out(array, layout):
    """`array`, of shape (N, C, ...), in another arrangement of the same values in memory."""
    if layout == "channels_last":
        array = np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
    elif layout == "transposed":
        array = np.asfortranarray(array)
    elif layout == "steps":
        sparse = np.full([2 * size for size in array.shape], 77, array.dtype)
        every_second = sparse[(slice(1, None, 2),) * array.ndim]
        every_second[...] = array
        array = every_second
    elif layout == "reversed":
        backwards = (slice(None, None, -1),) * array.ndim
        array = np.ascontiguousarray(array[backwards])[backwards]
    elif layout == "unaligned":
        odd = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        odd[...] = array
        array = odd
    elif layout == "swapped_bytes":
        array = array.astype(array.dtype.newbyteorder())
    return array


@dataclass(frozen=True)
class Case:
    """One call of a convolution or a transposed convolution, and of its backward."""

    transposed: bool
    batch: int
    in_channels: int
    out_channels: int
    groups: int
    space: tuple
    out_space: tuple
    kernel: tuple
    stride: tuple
    pads: tuple
    dilation: tuple
    output_padding: tuple
    options: dict  # as a user writes them
    batched: bool = True
    with_bias: bool = True
    dtype: str = "f"
    data: str = "integers"
    layouts: tuple = ("C", "C", "C")  # of the input, the weight and grad_output
    num_threads: int = 1
    isa: str = isas.AVAILABLE[-1]
    seed: int = 0

    @property
    def ndim(self):
        return len(self.space)

    @property
    def name(self):
        return f"conv{'_transpose' if self.transposed else ''}{self.ndim}d"

    @property
    def weight_shape(self):
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel)

    @property
    def geometry(self):
        """The arguments of the reference's gradients, after the arrays."""
        return self.stride, self.pads, self.dilation, self.groups

    @property
    def backward_options(self):
        """The options of the backward, which takes the output padding and not the size."""
        options = dict(self.options)
        if options.pop("output_size", None):
            options["output_padding"] = self.output_padding
        return options

    def arrays(self):
        """(input, weight, bias, grad_output): read-only, bias None without one."""
        rng = np.random.default_rng(self.seed)

        def numbers(shape, layout):
            if self.data == "integers":
                values = rng.integers(-3, 4, shape)
            else:
                values = rng.standard_normal(shape)
            array = lay_out(values.astype(self.dtype), layout)
            array.flags.writeable = False
            return array

        x = numbers((self.batch, self.in_channels, *self.space), self.layouts[0])
        weight = numbers(self.weight_shape, self.layouts[1])
        grad = numbers((self.batch, self.out_channels, *self.out_space), self.layouts[2])
        bias = numbers((self.out_channels,), "C") if self.with_bias else None
        return (x, weight, bias, grad) if self.batched else (x[0], weight, bias, grad[0])

    def expected(self, x, weight, bias):
        """The reference's result for arrays of this case."""
        x = x if self.batched else x[np.newaxis]
        if self.transposed:
            y = reference.conv_transpose(
                x, weight, bias, self.stride, self.pads, self.output_padding, *self.geometry[2:]
            )
        else:
            y = reference.conv(x, weight, bias, *self.geometry)
        return y if self.batched else y[0]

    def expected_backward(self, grad, x, weight):
        """The reference's three gradients for arrays of this case."""
        if not self.batched:
            grad, x = grad[np.newaxis], x[np.newaxis]
        backward = reference.conv_transpose_backward if self.transposed else reference.conv_backward
        gx, gw, gb = backward(grad, x, weight, *self.geometry)
        return (gx if self.batched else gx[0]), gw, gb


CHANNELS = st.one_of(st.sampled_from((1, 2, 3, 8, 16, 17, 20, 24, 32, 48, 64)), st.integers(1, 70))


@st.composite
def _channels(draw, taps):
    """(in_channels, out_channels, groups) with not too many weights."""
    kind = draw(st.sampled_from(("dense", "dense", "grouped", "small groups", "depthwise")))
    if kind == "depthwise":
        groups = draw(CHANNELS)
        multiplier = draw(st.integers(1, 3))
        pair = (1, multiplier) if draw(st.booleans()) else (multiplier, 1)
    elif kind == "small groups":
        groups = draw(st.integers(2, 40))
        pair = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    else:
        groups = 1 if kind == "dense" else draw(st.integers(2, 5))
        most = 70 // groups
        pair = [min(draw(CHANNELS), most), min(draw(CHANNELS), most)]
        while pair[0] * pair[1] * groups * taps > MOST_WORK:
            larger = pair.index(max(pair))
            pair[larger] = pair[larger] // 2 + 1
    return pair[0] * groups, pair[1] * groups, groups


def _as_spoken(draw, values):
    """One number for all axes where a user could write that."""
    return values[0] if len(set(values)) == 1 and draw(st.booleans()) else values


def _padding(draw, room):
    """(as written, as pairs) of at most `room` zeros along each axis; "same" has no pairs yet."""
    form = draw(st.sampled_from(("int", "per axis", "pairs", "pairs", "same", "valid")))
    if form == "same":
        return form, None
    if form == "valid":
        return form, ((0, 0),) * len(room)
    if form == "int":
        padding = draw(st.integers(0, min(7, min(room) // 2)))
        return padding, ((padding, padding),) * len(room)
    if form == "per axis":
        padding = tuple(draw(st.integers(0, min(7, most // 2))) for most in room)
        return padding, tuple((each, each) for each in padding)
    low = [draw(st.integers(0, min(7, most))) for most in room]
    pairs = tuple(
        (each, draw(st.integers(0, min(7, most - each))))
        for each, most in zip(low, room, strict=True)
    )
    return pairs, pairs


@st.composite
def cases(draw, transposed=False, ndim=None, data=None, **fixed):
    """A `Case` whose every option is drawn; `fixed` ones are set afterwards."""
    ndim = ndim or draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 5)) for _ in range(ndim))
    stride = tuple(draw(st.integers(1, 4)) for _ in range(ndim))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(ndim))
    if draw(st.booleans()):
        stride, dilation = stride[:1] * ndim, dilation[:1] * ndim
    first, second, groups = draw(_channels(math.prod(kernel)))
    batch = draw(st.sampled_from((1, 2, 3, 1, 2, 3, 0)))

    # `small` is the side with one cell for each window, `large` the side that the windows cover.
    cells = MOST_WORK // (max(1, batch) * first * second // groups * math.prod(kernel))
    small = []
    for axis in range(ndim):
        size = draw(st.integers(1, max(1, min(40 if axis == 0 else 9, cells))))
        cells //= size
        small.insert(0, size)
    small = tuple(small)

    by_size = draw(st.booleans())
    spare = tuple(
        draw(st.integers(0, max(s, d if transposed and not by_size else s) - 1))
        for s, d in zip(stride, dilation, strict=True)
    )
    span = tuple(
        (o - 1) * s + d * (k - 1) + 1 + more
        for o, s, k, d, more in zip(small, stride, kernel, dilation, spare, strict=True)
    )
    padding, pads = _padding(draw, [each - 1 for each in span])
    if padding == "same":
        most = [s - 1 for s in stride] if transposed else spare
        large = tuple(
            (o - 1) * s + 1 + more for o, s, more in zip(small, stride, most, strict=True)
        )
        pads = tuple(map(reference.same_pads, large, kernel, stride, dilation))
    else:
        large = tuple(each - sum(pad) for each, pad in zip(span, pads, strict=True))

    options = {
        "stride": _as_spoken(draw, stride),
        "padding": padding,
        "dilation": _as_spoken(draw, dilation),
        "groups": groups,
    }
    output_padding = ()
    if transposed:
        nothing = (0,) * ndim
        least = map(reference.transposed_size, small, kernel, stride, pads, dilation, nothing)
        output_padding = tuple(size - low for size, low in zip(large, least, strict=True))
        if padding != "same" and by_size:
            options["output_size"] = large
        elif padding != "same":
            options["output_padding"] = _as_spoken(draw, output_padding)
    case = Case(
        transposed=transposed,
        batch=batch,
        in_channels=first,
        out_channels=second,
        groups=groups,
        space=small if transposed else large,
        out_space=large if transposed else small,
        kernel=kernel,
        stride=stride,
        pads=pads,
        dilation=dilation,
        output_padding=output_padding,
        options=options,
        batched=batch != 1 or draw(st.booleans()),
        with_bias=draw(st.booleans()),
        dtype=draw(st.sampled_from("fd")),
        data=data or draw(st.sampled_from(("integers", "integers", "normal"))),
        layouts=draw(
            st.one_of(
                st.just(("channels_last", "C", "channels_last")),
                st.tuples(*(st.sampled_from(LAYOUTS) for _ in range(3))),
            )
        ),
        num_threads=draw(st.integers(1, 4)),
        isa=draw(st.sampled_from(isas.AVAILABLE)),
        seed=draw(st.integers(0, 99)),
    )
    return replace(case, **fixed)
