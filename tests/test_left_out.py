"""Taps that lie in padding along a row, which are left out: integers, compared exactly."""

import checks
import isas
import numpy as np
import pytest
from strategies import Case

import fastconv

# (channels, filters, groups), space, kernel, stride, padding, dilation
PROBLEMS = [
    ((16, 24, 1), (33,), (3,), (1,), 18, (18,)),  # runs of many columns
    ((20, 33, 1), (17, 17), (3, 3), (1, 1), 12, (12, 12)),
    ((40, 16, 2), (9, 13), (1, 5), (1, 2), 9, (3, 5)),
    ((9, 17, 1), (7,), (5,), (1,), 1, (2,)),  # one run, of the taps in the middle
    ((9, 16, 1), (2,), (7,), (1,), 7, (2,)),  # columns that see padding alone
    ((16, 16, 1), (60,), (59,), (1,), 29, (1,)),  # every column sees other taps
    ((4, 16, 1), (5, 30), (3, 31), (1, 1), 15, (9, 1)),
    ((32, 32, 32), (14, 14), (7, 7), (1, 1), 3, (1, 1)),
    ((48, 48, 48), (9, 28), (5, 31), (1, 1), 15, (4, 1)),
    ((19, 38, 19), (21,), (13,), (2,), 6, (1,)),
    ((32, 32, 8), (12, 12), (5, 5), (1, 1), 6, (3, 3)),
    ((16, 32, 16), (5, 6, 7), (3, 3, 5), (1, 1, 1), 2, (1, 1, 1)),
]


def case_of(problem, layout, dtype="f", isa=isas.AVAILABLE[-1], num_threads=2):
    (channels, filters, groups), space, kernel, stride, padding, dilation = problem
    sizes = zip(space, kernel, stride, dilation, strict=True)
    return Case(
        transposed=False,
        batch=2,
        in_channels=channels,
        out_channels=filters,
        groups=groups,
        space=space,
        out_space=tuple((n + 2 * padding - d * (k - 1) - 1) // s + 1 for n, k, s, d in sizes),
        kernel=kernel,
        stride=stride,
        pads=((padding, padding),) * len(space),
        dilation=dilation,
        output_padding=(),
        options={"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
        dtype=dtype,
        layouts=(layout, "C", layout),
        num_threads=num_threads,
        isa=isa,
    )


@pytest.mark.parametrize("isa", isas.AVAILABLE)
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_is_left_out_adds_nothing(problem, layout, dtype, isa):
    case = case_of(problem, layout, dtype, isa)
    checks.assert_forward_right(case)
    checks.assert_backward_right(case)


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_bits_do_not_depend_on_threads(problem, layout):
    case = case_of(problem, layout)
    x, weight, bias, _ = case.arrays()
    rng = np.random.default_rng(0)
    x = (x + rng.standard_normal(x.shape)).astype("f")
    results = []
    for count in (1, 2, 3, 8):
        with checks.using_threads(count):
            results.append(getattr(fastconv, case.name)(x, weight, bias, **case.options))
    for each in results[1:]:
        np.testing.assert_array_equal(each, results[0])


def plan_of(problem, layout):
    (channels, filters, groups), space, kernel, stride, padding, dilation = problem
    return fastconv.explain(
        f"conv{len(space)}d", (8, channels, *space), (filters, channels // groups, *kernel),
        stride=stride, padding=padding, dilation=dilation, groups=groups, layout=layout,
        mode="dicts",
    )["forward"]  # fmt: skip


def test_how_many_are_left_out():
    # 15 columns see two taps of three, as many at the other side, and 3 columns see one: by
    # themselves, or together with others.
    far = plan_of(((256, 256, 1), (33, 33), (3, 3), (1, 1), 18, (18, 18)), "channels_last")
    assert far["in_padding"] == pytest.approx(1 - 63 / 99)
    assert 33 / 99 <= far["taps_in_padding"] <= 1 - 62.9 / 99
    near = plan_of(((256, 256, 1), (33, 33), (3, 3), (1, 1), 1, (1, 1)), "channels_last")
    assert near["taps_in_padding"] <= 2 / 99
    # Columns one by one are many calls of little: tiles meet some padding, in a strip.
    wide = plan_of(((64, 64, 64), (28, 28), (31, 31), (1, 1), 15, (1, 1)), "channels_last")
    assert wide["lanes"] == "groups"
    assert not wide["in_place"]
    exact = 1 - sum(min(28, i + 16) - max(0, i - 15) for i in range(28)) / (28 * 31)
    assert wide["taps_in_padding"] < exact
    # A column at either side pays for reading all others in place.
    small = plan_of(((64, 64, 64), (56, 56), (3, 3), (1, 1), 1, (1, 1)), "channels_last")
    assert small["in_place"]
    assert small["taps_in_padding"] == pytest.approx(2 / (3 * 56))
