"""Windows of many taps, far apart, over more channels than other property tests have.

Then a strip holds many runs of cells, some of the channels at a time, and taps are the tile's inner
loop.  Integers, compared exactly.
"""

import math

import checks
import isas
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import Case, examples

import fastconv

MOST_WORK = 4_000_000  # multiply-adds of the reference
MOST_CELLS = 1_000_000_000  # those of the kernel, many of them with padding
LAYOUTS = ("C", "channels_last")
NUMBERS = st.one_of(st.integers(1, 4), st.integers(5, 80))


@st.composite
def wide_cases(draw):
    ndim = draw(st.sampled_from((1, 1, 2, 3)))
    wide = draw(st.integers(0, ndim - 1))
    kernel = [draw(st.integers(5, 80)) if axis == wide else draw(st.integers(1, 3))
              for axis in range(ndim)]  # fmt: skip
    stride = [draw(st.sampled_from((1, 1, 2, 3, 5))) for _ in range(ndim)]
    dilation = [draw(st.sampled_from((1, 1, 2, 7, 40, 70))) for _ in range(ndim)]
    groups = draw(st.sampled_from((1, 1, 1, 2, 3)))
    first, second = draw(NUMBERS), draw(NUMBERS)
    if draw(st.integers(0, 4)) == 0:  # depthwise
        groups, first, second = draw(NUMBERS), 1, draw(st.integers(1, 2))
    batch = draw(st.sampled_from((1, 1, 2, 3, 17)))
    work = batch * groups * first * second * math.prod(kernel)
    small = []
    for _ in range(ndim):
        size = draw(st.integers(1, max(1, min(150, MOST_WORK // work))))
        small.append(size)
        work *= size
    spans = [(o - 1) * s + d * (k - 1) + 1
             for o, s, d, k in zip(small, stride, dilation, kernel, strict=True)]  # fmt: skip
    # Little input under the window, or all of it.
    pads = []
    for span in spans:
        most = span - 1
        low = draw(st.sampled_from((0, most // 2, draw(st.integers(0, most)))))
        high = draw(st.sampled_from((0, low, draw(st.integers(0, most)))))
        pads.append((low, min(high, most - low)))
    large = [span - sum(pad) for span, pad in zip(spans, pads, strict=True)]
    # grad_input meets every tap at every cell of the input.
    assume(batch * groups * first * second * math.prod(kernel) * math.prod(large) < MOST_CELLS)
    transposed = draw(st.booleans())
    return Case(
        transposed=transposed,
        batch=batch,
        in_channels=first * groups,
        out_channels=second * groups,
        groups=groups,
        space=tuple(small if transposed else large),
        out_space=tuple(large if transposed else small),
        kernel=tuple(kernel),
        stride=tuple(stride),
        pads=tuple(pads),
        dilation=tuple(dilation),
        output_padding=(0,) * ndim if transposed else (),
        options={
            "stride": tuple(stride),
            "padding": tuple(pads),
            "dilation": tuple(dilation),
            "groups": groups,
        },
        dtype=draw(st.sampled_from("ffd")),
        layouts=tuple(draw(st.sampled_from(LAYOUTS)) for _ in range(3)),
        num_threads=draw(st.integers(1, 4)),
        isa=draw(st.sampled_from(isas.AVAILABLE)),
        seed=draw(st.integers(0, 99)),
    )


@examples(150)
@given(wide_cases())
def test_forward(case):
    checks.assert_forward_right(case)


@examples(150)
@given(wide_cases())
def test_backward(case):
    checks.assert_backward_right(case)


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("channels", "filters", "taps", "dilation"),
    [
        (16, 64, 31, 1),  # half of the channels at a time, and more taps than channels
        (20, 64, 63, 40),
        (64, 8, 9, 200),  # nine runs of cells in a strip
        (1, 64, 70, 200),
    ],
)
def test_what_was_wrong(channels, filters, taps, dilation, layout, dtype, isa):
    pad = taps // 2 * dilation
    case = Case(
        transposed=False, batch=1, in_channels=channels, out_channels=filters, groups=1,
        space=(300,), out_space=(300 + 2 * pad - dilation * (taps - 1),), kernel=(taps,),
        stride=(1,), pads=((pad, pad),), dilation=(dilation,), output_padding=(),
        options={"padding": pad, "dilation": dilation}, dtype=dtype, layouts=(layout, "C", layout),
        isa=isa,
    )  # fmt: skip
    checks.assert_forward_right(case)
    checks.assert_backward_right(case)


def test_thousands_of_taps_of_which_one_meets_the_image():
    x, weight = np.ones((2, 4, 7), "f"), np.ones((4, 4, 4096), "f")
    apart = 152_699_280
    y = fastconv.conv1d(x, weight, dilation=apart, padding=[(0, 4095 * apart - 2)])
    np.testing.assert_array_equal(y, np.full((2, 4, 5), 4, "f"))
