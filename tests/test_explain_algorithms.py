"""fastconv.explain: the algorithm of each pass is the one that runs, and its figures are true."""

import math
import tracemalloc

import isas
import layers
import numpy as np
import pytest
from explanations import (
    BY_WINOGRAD,
    DIRECT_ALONE,
    OF_BOTH,
    figures,
    figures_of,
    plans_of,
)

import fastconv
from fastconv import _kernels
from fastconv.bench import PASSES
from fastconv.functional import _winograd


@pytest.fixture
def ran(monkeypatch):
    """(algorithm, name, arguments) of each call of a kernel, in order."""
    calls = []

    def spy(algorithm, module, name):
        entry = getattr(module, name)

        def call(*args, **options):
            calls.append((algorithm, name, args))
            return entry(*args, **options)

        monkeypatch.setattr(module, name, call)

    for module in _kernels.conv.values():
        for name in PASSES:
            spy("direct", module, name)
    for module in _kernels.winograd.values():
        for name in ("forward", "grad_weight"):
            spy("winograd", module, name)
    return calls


def runs(operation, input_shape, weight_shape, options, algorithm, dtype="f", num_threads=None):
    """{pass: what runs it}; `algorithm` None: the package's."""
    common = {**options, "algorithm": algorithm, "num_threads": num_threads}
    x, weight = np.ones(input_shape, dtype), np.ones(weight_shape, dtype)
    output_shape = fastconv.explain(operation, input_shape, weight_shape, **options, mode="dicts")[
        "output_shape"
    ]

    def backward(*needs):
        function = getattr(fastconv, f"{operation}_backward")
        function(np.ones(output_shape, dtype), x, weight, needs=needs, **common)

    return {
        "forward": lambda: getattr(fastconv, operation)(x, weight, **common),
        "grad_input": lambda: backward(True, False, False),
        "grad_weight": lambda: backward(False, True, False),
    }


def least_products(size, taps):
    """(points, outputs) of the tile along an axis that makes the fewest products in all."""
    if taps == 1:
        return 1, 1
    return min(
        ((m + taps - 1, m) for m in (4, 2)),
        key=lambda tile: -(-size // tile[1]) * tile[0],
    )


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [(name, algorithm) for name in OF_BOTH for algorithm in ("direct", "auto")]
    + [(name, "winograd") for name in BY_WINOGRAD],
)
def test_the_algorithm_of_a_pass_is_the_one_that_runs(name, algorithm, ran):
    found = plans_of(name, algorithm)
    for direction, run in runs(*OF_BOTH[name], algorithm).items():
        ran.clear()
        run()
        plan = found[direction]
        assert {each for each, *_ in ran} == {plan["algorithm"]}
        assert ("gain" in plan) == (algorithm != "direct")
        if plan["algorithm"] == "direct":
            assert len(ran) == 1
            assert "lanes" in plan
            continue
        assert len(ran) == sum(call["times"] for call in plan["calls"])
        of_weight = {entry == "grad_weight" for _, entry, _ in ran}
        assert of_weight == {direction == "grad_weight"}


@pytest.mark.parametrize("name", BY_WINOGRAD)
def test_tiles_of_winograd_are_those_of_its_calls(name, ran):
    found = plans_of(name, "winograd")
    groups = OF_BOTH[name][-1].get("groups", 1)
    for direction, run in runs(*OF_BOTH[name], "winograd").items():
        plan = found[direction]
        if plan["algorithm"] == "direct":
            continue
        ran.clear()
        run()
        want = []
        for _, _, args in ran:
            if direction == "grad_weight":
                _, y, weight, _, stride, *_ = args
            else:
                _, weight, _, _, y, *_, stride, _, _ = args
            size, kernel = y.shape[2:], weight.shape[3:]
            taps = tuple(k // s for k, s in zip(kernel, stride, strict=True))
            points, outputs = zip(*map(least_products, size, taps), strict=True)
            tiles = tuple(-(-n // m) for n, m in zip(size, outputs, strict=True))
            channels = math.prod(weight.shape[1:3])
            products = groups * channels * len(y) * math.prod((*points, *tiles, *stride))
            want.append((outputs, taps, points, tiles, math.prod(stride), products))
        got = [
            tuple(call[key] for key in ("outputs", "taps", "points", "tiles", "phases", "products"))
            for call in plan["calls"]
            for _ in range(call["times"])
        ]
        assert sorted(got) == sorted(want)


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.parametrize("name", BY_WINOGRAD)
def test_memory_of_winograd_is_what_its_calls_take(name, num_threads, dtype):
    line = 64  # to begin on one
    kernel = _kernels.winograd[dtype]
    found = figures_of(name, "winograd", dtype=dtype, num_threads=num_threads)
    for direction, run in runs(*OF_BOTH[name], "winograd", dtype, num_threads).items():
        if found[direction]["algorithm"] == "direct":
            continue
        kernel.scratch_bytes()
        run()
        wanted = []
        for call in found[direction]["calls"]:
            shared = call.get("part_bytes", 0)
            if call.get("transformed") == "once":
                shared += call["filter_bytes"]
            wanted.append(shared + found["num_threads"] * call["scratch_bytes"] + line)
        assert kernel.scratch_bytes() == max(wanted)


@pytest.mark.parametrize("name", ["many channels", "groups", "stride", "uneven", "3-D"])
def test_figures_of_winograd_are_possible(name):
    *_, options = OF_BOTH[name]
    groups, size, line = options.get("groups", 1), 4, 64
    for direction, plan in plans_of(name, "winograd", num_threads=2).items():
        for call in plan["calls"]:
            width = call["vectors"] * call["lane_count"]
            assert call["blocks"] == -(-call["channels"] // width)
            assert 1 <= call["chunk"] <= call["channels"]
            cells = math.prod(call["points"]) * call["phases"] * width  # of an input channel
            if direction == "grad_weight":
                assert 1 <= call["in_chunk"] <= call["in_channels"]
                chunks = -(-call["in_channels"] // call["in_chunk"])
                chunks *= -(-call["channels"] // call["chunk"])
                assert call["tasks"] == groups * chunks * call["parts"]
                assert call["parts"] <= call["units"]
                blocks = -(-call["chunk"] // width)
                assert call["sum_bytes"] >= blocks * call["in_chunk"] * cells * size
                assert call["sum_bytes"] < call["scratch_bytes"]
                continue
            once = call["transformed"] == "once"
            blocks = groups * call["blocks"] if once else -(-call["chunk"] // width)
            least = blocks * call["in_channels"] * cells * size
            assert least <= call["filter_bytes"]
            assert call["filter_bytes"] < least + 2 * line * blocks * math.prod(call["points"])
            assert call["scratch_bytes"] > (0 if once else call["filter_bytes"])
            images = OF_BOTH[name][1][0]
            tiles = images * math.prod(call["tiles"])
            each = groups * -(-call["channels"] // call["chunk"])
            assert once == (call["tasks"] > each)
            assert call["tasks"] * call["task_tiles"] >= each * tiles


def test_threads_cut_the_work_of_winograd_and_decide_no_sum():
    for name in ("many channels", "stride", "uneven"):
        one, *others = (plans_of(name, "winograd", num_threads=number) for number in (1, 2, 5))
        for other in others:
            assert one["grad_weight"] == other["grad_weight"]
            for direction in ("forward", "grad_input"):
                assert one[direction]["gain"] == other[direction]["gain"]
                calls = [*zip(one[direction]["calls"], other[direction]["calls"], strict=True)]
                for key in ("times", "outputs", "taps", "products", "vectors", "blocks"):
                    assert all(a[key] == b[key] for a, b in calls)


@pytest.mark.parametrize("name", ["many channels", "few channels", "stride", "uneven"])
def test_gain_is_what_auto_goes_by(name, ran, monkeypatch):
    for direction, run in runs(*OF_BOTH[name], "auto").items():
        plan = plans_of(name, "auto")[direction]
        assert (plan["algorithm"] == "winograd") == (plan["gain"] >= _winograd.WORTHWHILE)
        for worthwhile, algorithm in (
            (plan["gain"], "winograd"),
            (np.nextafter(plan["gain"], np.inf), "direct"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(_winograd, "WORTHWHILE", worthwhile)
                assert plans_of(name, "auto")[direction]["algorithm"] == algorithm
                ran.clear()
                run()
                assert {each for each, *_ in ran} == {algorithm}


def test_no_gain_where_winograd_cannot_run():
    for name in DIRECT_ALONE:
        assert {plan["gain"] for plan in plans_of(name, "auto").values()} == {None}
    found = plans_of("many phases", "winograd")
    assert found["forward"]["gain"] is found["grad_weight"]["gain"] is None
    assert found["grad_input"]["gain"] < 1


@isas.choices_of_avx512
def test_what_is_known_beforehand_of_winograd():
    problem = layers.problems.parse("mb4ic64ih56oc64kh3ph1")
    found = figures(problem, algorithm="auto")
    for direction in PASSES:
        plan = found[direction]
        assert plan["gain"] > 2
        (call,) = plan["calls"]
        assert (call["times"], call["phases"]) == (1, 1)
        assert call["outputs"] == (1, 4, 4)
        assert call["points"] == (1, 6, 6)
        assert call["tiles"] == (1, 14, 14)
        assert call["products"] * 4 == found["multiply_adds"]
    few = figures(layers.problems.parse("mb4ic3ih56oc64kh3ph1"), algorithm="auto")
    assert all(few[direction]["algorithm"] == "direct" for direction in PASSES)


def test_a_transposed_convolution_by_winograd_runs_on_the_other_s_kernels():
    options = {"stride": 2, "padding": 1, "algorithm": "winograd", "mode": "dicts"}
    found = fastconv.explain("conv2d", (3, 20, 16, 16), (36, 20, 4, 4), **options)
    transposed = fastconv.explain("conv_transpose2d", (3, 36, 8, 8), (36, 20, 4, 4), **options)
    assert transposed["forward"] == found["grad_input"]
    assert transposed["grad_input"] == found["forward"]
    assert transposed["grad_weight"] == found["grad_weight"]


def test_the_algorithm_is_the_package_s_unless_named():
    problem = ("conv2d", (2, 8, 12, 12), (8, 8, 3, 3))

    def asked(**options):
        found = fastconv.explain(*problem, mode="dicts", **options)
        return found["algorithm"], found["forward"]["algorithm"]

    assert asked() == ("direct", "direct")
    with fastconv.algorithm("winograd"):
        assert asked() == ("winograd", "winograd")
        assert asked(algorithm="direct") == ("direct", "direct")
    try:
        fastconv.set_algorithm("auto")
        assert asked()[0] == "auto"
    finally:
        fastconv.set_algorithm(None)
    assert asked() == ("direct", "direct")


@pytest.mark.parametrize("name", DIRECT_ALONE)
def test_winograd_that_cannot_be_is_the_operation_s_error(name):
    messages = []
    with pytest.raises(ValueError, match="explain: algorithm='winograd' needs 2 or 3") as caught:
        plans_of(name, "winograd")
    messages.append(str(caught.value))
    with pytest.raises(ValueError, match="conv2d: algorithm='winograd' needs 2 or 3") as caught:
        runs(*OF_BOTH[name], "winograd")["forward"]()
    messages.append(str(caught.value))
    assert messages[0].removeprefix("explain") == messages[1].removeprefix("conv2d")


def test_nothing_of_the_problem_s_size_is_allocated_for_winograd():
    tracemalloc.start()
    try:
        fastconv.explain(
            "conv3d", (1000, 512, 512, 512, 512), (512, 512, 3, 4, 6), padding=1,
            stride=(1, 2, 2), algorithm="winograd", mode="dicts",
        )  # fmt: skip
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20
