"""fastconv.explain: the planners' choices in figures and in words, without running anything."""

import json
import math
import re
import tracemalloc

import isas
import layers
import numpy as np
import pytest
from explanations import (
    BY_WINOGRAD,
    DIRECT_ALONE,
    OF_BOTH,
    PROBLEMS,
    figures,
    plans,
    plans_of,
)

import fastconv
from fastconv import _kernels
from fastconv.bench import LAYOUTS, PASSES
from fastconv.cli import main

# What decides in which order sums are taken; the rest may follow the number of threads.
OF_CORRELATE = ("lanes", "cost", "vectors", "depth", "inner", "phases", "in_padding")
MAY_CHANGE_IN_GRAD_WEIGHT = {"chunk", "tasks", "scratch_bytes"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_threads_cut_the_work_and_decide_no_sum(name, layout):
    for dtype in (np.float32, np.float64):
        one, *others = (
            plans(PROBLEMS[name], layout=layout, dtype=dtype, num_threads=number)
            for number in (1, 2, 5)
        )
        for other in others:
            for direction in ("forward", "grad_input"):
                for key in OF_CORRELATE:
                    assert one[direction][key] == other[direction][key]
            for key in one["grad_weight"].keys() - MAY_CHANGE_IN_GRAD_WEIGHT:
                assert one["grad_weight"][key] == other["grad_weight"][key]


def test_exchanged_arrays(capsys):
    wide = ("conv1d", (1, 9216, 64), (128, 9216, 1))
    for layout, exchanged in ("channels_last", True), ("nchw", False):
        plan = fastconv.explain(*wide, layout=layout, mode="dicts")["grad_weight"]
        assert plan["exchanged"] == exchanged
        assert plan["channels"] == (9216 if exchanged else 128)
        fastconv.explain(*wide, layout=layout)
        words = capsys.readouterr().out.split("grad_weight")[1]
        cells = "input" if exchanged else "grad_output"
        assert f"{plan['channels']} channels of {cells} in vectors" in words


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_figures_are_possible(name, layout):
    problem = PROBLEMS[name]
    found = figures(problem, layout=layout)
    assert found["output_shape"] == problem.output_shape
    assert found["multiply_adds"] == problem.flops // 2
    for direction in PASSES:
        plan = found[direction]
        assert plan["rows"] * plan["vectors"] <= 28
        assert 1 <= plan["chunk"] <= plan["channels"]
        assert plan["tasks"] >= 1
        assert all(plan["cost"].values())
        assert plan["lanes"] == min(plan["cost"], key=plan["cost"].get)
        assert plan["in_place"] == (plan["strip_bytes"] == 0)
        assert not (plan["in_place"] and plan["padded"])
        assert plan["scratch_bytes"] >= plan["strip_bytes"]
        if direction != "grad_weight":
            assert plan["depth"] <= plan["in_channels"]
            assert 0 <= plan["in_padding"] < 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["cifar3", "res3_s2", "dw3x3", "wavenet", "c3d1"])
def test_plans_are_those_of_real_arrays(name, layout):
    """The planners are asked with no memory behind the arrays; here as calls ask them."""
    problem = layers.cut(PROBLEMS[name])

    def zeros(shape):
        if layout == "nchw":
            return np.zeros(shape, "f")
        return np.moveaxis(np.zeros((shape[0], *shape[2:], shape[1]), "f"), -1, 1)

    def five_axes(array):
        return array[(slice(None),) * 2 + (np.newaxis,) * (3 - problem.ndim)]

    def three_axes(name, default):
        return (default,) * (3 - problem.ndim) + problem.arguments[name]

    x, y = five_axes(zeros(problem.input_shape)), five_axes(zeros(problem.output_shape))
    first, second, *_ = problem.weight_shape
    kernel = (1,) * (3 - problem.ndim) + problem.kernel
    weight = np.zeros((problem.groups, first // problem.groups, second, *kernel), "f")
    args = (three_axes("stride", 1), three_axes("dilation", 1), three_axes("padding", 0), 2)
    regrouped = weight[:, :, :, ::-1, ::-1, ::-1].swapaxes(1, 2)
    door = _kernels.conv["f"]
    assert plans(problem, layout=layout, num_threads=2) == {
        "forward": door.plan_forward(x, weight, y, *args),
        "grad_input": door.plan_grad_input(y, regrouped, x, *args),
        "grad_weight": door.plan_grad_weight(x, y, weight, *args),
    }


@isas.choices_of_avx512
def test_what_is_known_beforehand():
    found = plans(layers.problems.parse("mb4ic64ih56oc64kh3ph1"))
    # 3 rows of taps for each of 56 rows, and the first and the last row see one of padding.
    assert found["forward"]["in_padding"] == pytest.approx(2 / (3 * 56))
    assert found["grad_weight"]["skips_padding"]
    pointwise = plans(PROBLEMS["res4_1x1"], layout="channels_last")
    assert all(plan["in_place"] for plan in pointwise.values())
    # Tiny planes of many groups are turned to pixels; large ones of a few are not.
    for groups, size, lanes in ((64, 3, "groups"), (4, 56, "columns")):
        depthwise = fastconv.explain(
            "conv2d", (1, groups, size, size), (groups, 1, 3, 3), padding=1, groups=groups,
            mode="dicts",
        )  # fmt: skip
        passes = [depthwise[name] for name in ("forward", "grad_input", "grad_weight")]
        assert {plan["lanes"] for plan in passes} == {lanes}
        assert {plan["turned"] for plan in passes} == {lanes == "groups"}
    for name in ("dw3x3", "resnext"):
        small = plans(PROBLEMS[name], layout="channels_last")
        assert {plan["lanes"] for plan in small.values()} == {"groups"}
    # A depthwise convolution leaves out what lies in padding, where channels fill vectors.
    assert plans(PROBLEMS["dw3x3"], layout="channels_last")["forward"]["leaves_out"]
    assert not small["forward"]["leaves_out"]
    assert not small["forward"]["in_place"]
    stretched = plans(PROBLEMS["dcgan3"])
    assert stretched["forward"]["phases"] == 4
    assert stretched["grad_input"]["phases"] == 1
    deep = plans(PROBLEMS["res5_3x3_b1"])["forward"]
    assert deep["depth"] < deep["in_channels"] == 512
    assert deep["depth_cost"] < deep["whole_cost"]


def test_a_transposed_convolution_runs_on_the_kernels_of_the_one_it_transposes():
    options = {"stride": 2, "padding": 1, "num_threads": 2}
    there = ("conv2d", (3, 20, 16, 16), (36, 20, 4, 4))
    back = ("conv_transpose2d", (3, 36, 8, 8), (36, 20, 4, 4))
    found = fastconv.explain(*there, **options, mode="dicts")
    transposed = fastconv.explain(*back, **options, mode="dicts")
    assert transposed["output_shape"] == there[1]
    assert transposed["forward"] == found["grad_input"]
    assert transposed["grad_input"] == found["forward"]
    assert transposed["grad_weight"] == found["grad_weight"]


def test_nothing_of_the_problem_s_size_is_allocated():
    tracemalloc.start()
    try:
        found = fastconv.explain(
            "conv3d", (1000, 512, 512, 512, 512), (512, 512, 3, 3, 3), padding=1, mode="dicts"
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found["bytes"] > 2**47
    assert peak < 2**20


def test_rows_in_padding_are_not_counted_one_by_one():
    far = fastconv.explain("conv2d", (1, 2, 2**40, 9), (1, 2, 3, 3), padding=(3, 1), mode="dicts")
    # Of three rows of taps, the first rows of output, and the last, see 3, 2 and 1 in padding.
    assert far["forward"]["in_padding"] == pytest.approx(2 * 6 / (3 * (2**40 + 4)))


# --------------------------------------------------------------------------------------- words


def said(capsys, *arguments, **options):
    """{pass: {label: words}}, and the lines before them."""
    assert fastconv.explain(*arguments, **options) is None
    head, *sections = capsys.readouterr().out.strip().split("\n\n")
    words = {}
    for section in sections:
        name, *lines = section.splitlines()
        words[name] = {line[2:14].strip(): line[14:] for line in lines}
    return head, words


def numbers(text):
    return [int(each) for each in re.findall(r"\d+", text)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_words_agree_with_figures(name, layout, capsys):
    problem = PROBLEMS[name]
    found = figures(problem, layout=layout)
    head, words = said(
        capsys, problem.operation, problem.input_shape, problem.weight_shape,
        **problem.arguments, layout=layout,
    )  # fmt: skip
    assert list(words) == list(PASSES)
    for text in (problem.operation, str(problem.input_shape), str(problem.output_shape), layout):
        assert text in head
    assert ("groups" in head) == (problem.groups > 1)
    for direction, lines in words.items():
        plan = found[direction]
        lanes = plan["columns" if plan["lanes"] == "columns" else "channels"]
        assert numbers(lines["lanes"])[:2] == [lanes, plan["lane_count"]]
        assert ("those of all groups" in lines["lanes"]) == (plan["lanes"] == "groups")
        assert lines["lanes"].count("would cost") == len(plan["cost"]) - 1
        tile = [plan["rows"], plan["vectors"], plan["rows"] * plan["vectors"]]
        if plan["chain"] > 1:
            tile[2] *= plan["chain"] if direction == "grad_weight" else 1
            tile.append(plan["chain"])
        assert numbers(lines["tile"]) == tile
        assert numbers(lines["tasks"])[0] == plan["tasks"]
        moved = "input" if direction == "forward" else "grad_output"
        if direction == "grad_weight" and problem.transposed == plan["exchanged"]:
            moved = "input"
        assert lines[moved].startswith("read in place" if plan["in_place"] else "copied")
        assert ("padded with zeros" in lines[moved]) == plan["padded"]
        if direction == "grad_weight":
            assert numbers(lines["units"])[0] == plan["units"]
            assert lines["sum"].startswith("one part" if plan["parts"] == 1 else f"{plan['parts']}")
            assert ("padding" in lines) == plan["skips_padding"]
        else:
            whole = plan["depth"] == plan["in_channels"]
            assert ("at a time" in lines["depth"]) != whole
            assert plan["depth"] in numbers(lines["depth"])
            skipped = plan["in_padding"] + plan["taps_in_padding"]
            assert ("padding" in lines) == (skipped > 0)


@pytest.mark.parametrize("algorithm", ["direct", "winograd", "auto"])
@pytest.mark.parametrize("name", BY_WINOGRAD)
def test_words_name_the_algorithm_and_its_figures(name, algorithm, capsys):
    *problem, arguments = OF_BOTH[name]
    head, words = said(capsys, *problem, **arguments, algorithm=algorithm)
    assert f"algorithm {algorithm};" in head
    for direction, plan in plans_of(name, algorithm).items():
        lines = words[direction]
        assert lines["algorithm"].startswith(plan["algorithm"])
        if plan.get("gain") is not None:
            assert f"{plan['gain']:.2f} times as fast" in lines["algorithm"]
            below = plan["algorithm"] == "direct"
            assert ("below 1.15" in lines["algorithm"]) == below
        if plan["algorithm"] == "direct":
            assert "products" not in lines
            continue
        # Of the last call, which overwrote the lines of the others.
        call, every = plan["calls"][-1], sum(each["times"] for each in plan["calls"])
        axes = [axis for axis, points in enumerate(call["points"]) if points > 1]
        outputs, taps, tiles = (
            [call[key][axis] for axis in axes] for key in ("outputs", "taps", "tiles")
        )
        products = [math.prod(call["points"]), math.prod(outputs) * math.prod(taps)]
        assert numbers(lines["tile"]) == [*outputs, *taps, *products]
        assert ("adjoint" in lines["tile"]) == (direction == "grad_weight")
        lanes = [call[key] for key in ("channels", "lane_count")]
        assert numbers(lines["lanes"])[:2] == lanes
        assert numbers(lines["lanes"])[-2:] == [call["blocks"], call["vectors"]]
        assert numbers(lines["tiles"]) == tiles
        assert numbers(lines["tasks"])[0] == call["tasks"]
        phases = [call["times"]] * (call["times"] < every) + [every] if every > 1 else []
        phases = [call["phases"]] if call["phases"] > 1 else phases
        assert numbers(lines.get("phases", "")) == phases
        if direction == "grad_weight":
            assert numbers(lines["units"]) == [call["units"], call["unit_tiles"]]
        else:
            assert lines["weights"].startswith(f"transformed {call['transformed']}, ")


def test_words_say_why_a_pass_is_direct(capsys):
    for name in DIRECT_ALONE:
        *problem, arguments = OF_BOTH[name]
        for lines in said(capsys, *problem, **arguments, algorithm="auto")[1].values():
            assert "needs 2 or 3 taps for each stride" in lines["algorithm"]
    *problem, arguments = OF_BOTH["many phases"]
    _, words = said(capsys, *problem, **arguments, algorithm="winograd")
    assert "of 256 taps at most" in words["forward"]["algorithm"]
    assert words["grad_input"]["algorithm"].startswith("winograd")


def test_words_tell_of_zeros_for_taps(capsys):
    # The two phases along an axis have 2 and 1 taps, or 2 and 2, ...; those to be summed as many.
    for kernel, of_sums, of_one in ((3, True, True), (4, False, False), (5, True, False)):
        _, words = said(
            capsys, "conv2d", (2, 8, 13, 14), (8, 8, kernel, kernel), stride=2, padding=2,
            algorithm="winograd",
        )  # fmt: skip
        lacking = {direction: "taps" in lines for direction, lines in words.items()}
        assert lacking == {"forward": of_sums, "grad_input": of_one, "grad_weight": of_sums}


def test_little_work_is_said_to_run_on_one_thread(capsys):
    head, _ = said(capsys, "conv1d", (1, 2, 9), (3, 2, 3))
    assert "1 thread, as work is little" in head
    assert fastconv.explain("conv1d", (1, 2, 9), (3, 2, 3), mode="dicts")["num_threads"] == 1


GOOD = {
    "operation": "conv2d",
    "input_shape": (2, 4, 7, 6),
    "weight_shape": (6, 2, 3, 3),
    "groups": 2,
}


@pytest.mark.parametrize(
    ("parameter", "value", "kind"),
    [
        ("operation", "conv4d", ValueError),
        ("operation", None, ValueError),
        ("input_shape", 7, TypeError),
        ("input_shape", (2, 4, 7), ValueError),
        ("input_shape", (0, 4, 7, 6), ValueError),
        ("input_shape", (2, 4, 7.0, 6), TypeError),
        ("input_shape", (2**40, 4, 2**40, 6), OverflowError),
        ("weight_shape", (6, 2, 3), ValueError),
        ("weight_shape", (6, 2, 3, 0), ValueError),
        ("weight_shape", (6, 3, 3, 3), ValueError),
        ("weight_shape", (6, 2, 9, 9), ValueError),
        ("stride", 0, ValueError),
        ("padding", "full", ValueError),
        ("padding", 2**70, OverflowError),
        ("dilation", 1.5, TypeError),
        ("groups", 4, ValueError),
        ("output_padding", 1, ValueError),
        ("layout", "nhwc", ValueError),
        ("dtype", np.float16, TypeError),
        ("dtype", "words", TypeError),
        ("dtype", None, TypeError),
        ("num_threads", 0, ValueError),
        ("algorithm", "fast", ValueError),
        ("mode", "file", ValueError),
    ],
)
def test_a_bad_argument_is_named(parameter, value, kind):
    with pytest.raises(kind) as caught:
        fastconv.explain(**(GOOD | {parameter: value}))
    message = str(caught.value)
    assert message.startswith("explain: ")
    assert parameter.removesuffix("_shape") in message


def test_an_output_that_cannot_be_addressed():
    with pytest.raises(OverflowError, match="explain: an output of shape"):
        fastconv.explain(**(GOOD | {"padding": 2**50}))


# ------------------------------------------------------------------------------- command line


def test_the_command_line(capsys):
    assert main(["explain", "cifar3", "--layout", "channels_last", "--num-threads", "2"]) == 0
    by_name = capsys.readouterr().out
    assert by_name.startswith("conv2d of (64, 3, 32, 32) with filters (20, 3, 5, 5)")
    string = "mb64ic3ih32oc20kh5ph2"
    options = ["--layout", "channels_last", "--num-threads", "2", "--json"]
    assert main(["explain", string, *options]) == 0
    words, _, last = capsys.readouterr().out.strip().rpartition("\n")
    assert words.strip() == by_name.strip()
    want = figures(layers.problems.parse(string), layout="channels_last", num_threads=2)
    assert json.loads(last) == json.loads(json.dumps(want))


def test_the_algorithm_of_the_command_line(capsys):
    string = "mb4ic64ih56oc64kh3ph1"
    assert main(["explain", string, "--algorithm", "winograd", "--json"]) == 0
    words, _, last = capsys.readouterr().out.strip().rpartition("\n")
    assert words.count("winograd, expected to be") == 3
    want = figures(layers.problems.parse(string), algorithm="winograd")
    assert json.loads(last) == json.loads(json.dumps(want))
    with pytest.raises(SystemExit):
        main(["explain", string, "--algorithm", "fast"])
    assert "--algorithm: invalid choice: 'fast'" in capsys.readouterr().err
    assert main(["explain", "mb2ic4ih9oc4kh5", "--algorithm", "winograd"]) == 2
    assert "algorithm='winograd' needs 2 or 3 taps" in capsys.readouterr().err


def test_a_problem_that_is_none(capsys):
    assert main(["explain", "resnet"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("fastconv explain: error: ")
    assert "resnet" in message
    assert "res3_3x3" in message
