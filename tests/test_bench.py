"""The benchmark: its baseline is right, its clock is fair, its figures are what README.md says."""

import itertools
import json
import sys

import layers
import numpy as np
import programs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import examples

import fastconv
from fastconv import _kernels
from fastconv.bench import LAYOUTS, PASSES, compare, contestants, problems, race, report
from fastconv.bench import run as runs
from fastconv.bench.im2col import Im2col
from fastconv.bench.roof import Roof
from fastconv.cli import main

TINY = "mb2ic3ih6oc4kh3ph1"
QUICK = ["--rounds", "1", "--block-ms", "1", "--threads", "1"]


def bench(*args, status=0):
    assert main(["bench", *map(str, args), *QUICK]) == status


def measured(tmp_path, *args):
    """The figures of a quick run."""
    path = tmp_path / "figures.json"
    bench("--json", path, *args)
    return json.loads(path.read_text())


# ------------------------------------------------------------------------------------ im2col


@st.composite
def small_problems(draw):
    """Problems of every kind, with something to compute; also those with output padding."""
    ndim = draw(st.integers(1, 3))
    groups, transposed = draw(st.integers(1, 3)), draw(st.booleans())

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    space, kernel, stride, padding = sizes(1, 7), sizes(1, 3), sizes(1, 3), sizes(0, 3)
    dilation = sizes(1, 3)
    largest = map(max, stride, dilation)
    extra = tuple(draw(st.integers(0, most - 1)) for most in largest) if transposed else (0,) * ndim
    problem = problems.Problem(
        in_channels=groups * draw(st.integers(1, 3)),
        out_channels=groups * draw(st.integers(1, 3)),
        space=space, kernel=kernel, stride=stride, padding=padding, dilation=dilation,
        output_padding=extra, groups=groups, batch=draw(st.integers(1, 3)), transposed=transposed,
    )  # fmt: skip
    assume(min(problem.out_space) > 0)
    return problem


@examples(200)
@given(small_problems(), st.integers(1, 3))
def test_im2col_is_exact_on_integers(problem, threads):
    case = layers.as_case(problem, with_bias=False)
    x, weight, _, grad = case.arrays()
    grad_input, grad_weight, _ = case.expected_backward(grad, x, weight)
    passes = Im2col(problem, np.float32, threads)
    for _ in range(2):  # the matrix of the first round must not show in the second
        for got, want in (
            (passes.forward(x, weight), case.expected(x, weight, None)),
            (passes.grad_input(grad, weight), grad_input),
            (passes.grad_weight(grad, x), grad_weight),
        ):
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, want)


def test_im2col_says_how_large_its_matrix_is():
    problem = problems.parse("mb2ic3ih6oc4kh3ph1")
    passes = Im2col(problem)
    x, weight, _ = contestants.draw(problem, "nchw", "float32")
    passes.forward(x, weight)
    assert passes.bytes == 9 * x.nbytes
    passes.grad_weight(np.ones(problem.output_shape, np.float32), x)
    assert passes.bytes == 9 * x.nbytes
    direct = Im2col(problems.parse("mb2ic3ih6oc4kh1"))
    direct.forward(x, weight[:, :, :1, :1].copy())
    assert direct.bytes == 0


# ------------------------------------------------------------------------- clock, roof, memory


def test_contestants_take_turns_block_by_block(monkeypatch):
    """With a clock on which every call lasts 1 s: 2 uncounted and 5 counted calls a block."""
    now, order = [0.0], []
    monkeypatch.setattr(race.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(race.time, "sleep", lambda seconds: None)

    def call(name, seconds):
        def run():
            order.append(name)
            now[0] += seconds

        return run

    times = race.race({"a": call("a", 1.0), "b": call("b", 9.0)}, 3, 5.0)
    blocks = [(name, len(list(each))) for name, each in itertools.groupby(order)]
    assert blocks == [("a", 7), ("b", 2)] * 3
    assert times["a"] == (1.0, 1.0)
    assert times["b"] == (9.0, 9.0)


def test_best_and_median_block(monkeypatch):
    seconds = iter([3.0, 1.0, 7.0])
    monkeypatch.setattr(race, "block", lambda call, block_seconds: next(seconds))
    assert race.race({"a": None}, 3, 0.05) == {"a": (1.0, 3.0)}


@pytest.mark.parametrize("char", "fd")
def test_the_roof_does_the_work_that_it_counts(char):
    """1024 steps of s * 1 + 1/1024 add 1 to every sum, and each step is two operations a sum."""
    rate = _kernels.conv[char].multiply_add_rate
    operations, before = rate(3, 1.0, 0.0, 2)
    same, after = rate(3, 1.0, 2.0**-10, 2)
    assert operations == same > 0
    assert after - before == operations / 2048


def test_the_roof_is_above_every_pass():
    best = Roof("float32", 1).sample(seconds=0.005)
    problem = problems.parse("mb1ic64ih28oc64kh3ph1")
    x, weight, _ = contestants.draw(problem, "nchw", "float32")
    seconds = race.block(lambda: fastconv.conv2d(x, weight, padding=1, num_threads=1), 0.02)
    assert problem.flops / seconds < 1.1 * best


@pytest.mark.parametrize("char", "fd")
def test_scratch_is_that_of_the_calls_since_the_last_look(char):
    kernel = _kernels.conv[char]
    x, weight = np.ones((1, 3, 9, 9), char), np.ones((40, 3, 3, 3), char)
    large = np.ones((1, 64, 9, 9), char)
    kernel.scratch_bytes()
    fastconv.conv2d(large, np.ones((64, 64, 3, 3), char))
    first = kernel.scratch_bytes()
    assert first > large[0].nbytes  # the borders too
    assert kernel.scratch_bytes() == 0
    fastconv.conv2d(x, weight)
    once = kernel.scratch_bytes()
    fastconv.conv2d(x, weight)
    assert 0 < kernel.scratch_bytes() == once < first


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_are_the_same_in_every_layout_and_aligned(layout):
    problem = problems.parse("mb2ic3id4ih5iw6oc7kd1")
    arrays = contestants.draw(problem, layout, "float32")
    for array, plain in zip(arrays, contestants.draw(problem, "nchw", "float32"), strict=True):
        np.testing.assert_array_equal(array, plain)
        assert array.ctypes.data % 64 == 0
    assert [array.shape for array in arrays] == [
        problem.input_shape, problem.weight_shape, problem.output_shape,
    ]  # fmt: skip
    x = arrays[0] if layout == "nchw" else np.moveaxis(arrays[0], 1, -1)
    assert x.flags.c_contiguous


# -------------------------------------------------------------------------------- the command


def test_figures_of_a_run_without_peers(tmp_path, capsys):
    text = f'{TINY},deconvmb1ic4iw9oc2kw4sw2n"up"'
    figures = measured(tmp_path, "--layers", text, "--peers", "none")
    assert set(figures) == {
        "schema", "date", "command", "versions", "cpu", "isa", "threads", "dtype", "rounds",
        "block_seconds", "roof", "layers", "rows",
    }  # fmt: skip
    assert figures["layers"][TINY] == {"problem": TINY, "flops": 2 * 2 * 3 * 4 * 9 * 36}
    assert list(figures["layers"]) == [TINY, "up"]
    assert (figures["threads"], figures["rounds"], figures["isa"]) == (1, 1, _kernels.isa)
    assert figures["versions"]["fastconv"] == fastconv.__version__
    assert figures["command"].startswith("fastconv bench --json ")
    assert figures["roof"] > 1e8
    keys = {(row["layer"], row["pass"], row["layout"]) for row in figures["rows"]}
    assert keys == set(itertools.product([TINY, "up"], PASSES, LAYOUTS))
    for row in figures["rows"]:
        assert row["contestant"] == "fastconv"
        assert 0 < row["best"] == row["median"]  # of one round
        assert row["first"] > 0
        assert row["extra_bytes"] > 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith((TINY, "up ")) for line in lines) == 6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_winograd_is_measured_beside_the_direct_sum_with_its_error(dtype, tmp_path, capsys):
    layer = "mb1ic16ih9oc20kh3ph1"
    figures = measured(tmp_path, "--layers", layer, "--peers", "none", "--dtype", dtype)
    rows = {(row["pass"], row["contestant"], row["layout"]): row for row in figures["rows"]}
    assert set(rows) == set(itertools.product(PASSES, ("fastconv", "winograd"), LAYOUTS))
    unit = np.finfo(dtype).eps
    for (_, name, _), row in rows.items():
        assert 0 <= row["error"] <= (200 if name == "winograd" else 20) * unit
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.strip().startswith("by winograd: nchw ") for line in lines) == 3


def test_peers_are_measured_in_all_their_layouts(tmp_path, capsys):
    for module in ("torch", "onnx", "onnxruntime", "threadpoolctl"):
        pytest.importorskip(module)
    figures = measured(tmp_path, "--layers", TINY, "--layout", "channels_last")
    rows = {(row["pass"], row["contestant"], row["layout"]): row for row in figures["rows"]}
    ours = [("fastconv", "channels_last")]
    others = [("torch", "nchw"), ("torch", "channels_last"), ("im2col", "nchw")]
    for direction in PASSES:
        extra = [("onnxruntime", "nchw")] if direction == "forward" else []
        assert {key[1:] for key in rows if key[0] == direction} == {*ours, *others, *extra}
        assert rows[direction, "im2col", "nchw"]["extra_bytes"] == 9 * 2 * 3 * 36 * 4
        assert rows[direction, "torch", "nchw"]["extra_bytes"] is None
    assert set(figures["versions"]) == {"python", "fastconv", "numpy", "torch", "onnxruntime"}
    assert "best" in capsys.readouterr().out


@pytest.mark.parametrize("peer", ["torch", "onnxruntime", "im2col"])
@pytest.mark.parametrize(
    "text",
    ["g2mb2ic4iw20oc6kw3sw2pw1dw2", "mb1ic3ih9iw8oc4kh3kw2sh2ph1", "mb1ic2id5oc3kd2sd2",
     "deconv g2ic4iw7oc6ow14kw3sw2pw1", "deconvic3ih5oc4oh10kh3sh2ph1", "deconvic2id3oc3kd2dd2"],
)  # fmt: skip
def test_every_peer_computes_every_kind_of_problem(tmp_path, peer, text):
    """Their results are compared with ours, so the run ends well only when they are equal."""
    needed = {"torch": ["torch"], "onnxruntime": ["onnx", "onnxruntime"]}
    for module in needed.get(peer, ["threadpoolctl"]):
        pytest.importorskip(module)
    figures = measured(tmp_path, "--layers", text, "--peers", peer)
    assert {row["contestant"] for row in figures["rows"]} == {"fastconv", peer}


@pytest.mark.parametrize("peer", ["torch", "im2col"])
def test_float64(tmp_path, peer):
    pytest.importorskip({"torch": "torch", "im2col": "threadpoolctl"}[peer])
    figures = measured(tmp_path, "--layers", TINY, "--peers", peer, "--dtype", "float64")
    assert figures["dtype"] == "float64"
    assert {row["contestant"] for row in figures["rows"]} == {"fastconv", peer}


@pytest.mark.parametrize(
    ("peer", "module", "package"),
    [("torch", "torch", "torch"), ("onnxruntime", "onnxruntime", "'fastconv[bench]'"),
     ("onnxruntime", "onnx", "'fastconv[bench]'"),
     ("im2col", "threadpoolctl", "'fastconv[bench]'")],
)  # fmt: skip
def test_a_missing_peer_is_left_out_in_one_line(
    tmp_path, capsys, monkeypatch, peer, module, package
):
    monkeypatch.setitem(sys.modules, module, None)
    if module == "onnxruntime":
        pytest.importorskip("onnx")
    figures = measured(tmp_path, "--layers", TINY, "--peers", peer, "--passes", "forward")
    assert {row["contestant"] for row in figures["rows"]} == {"fastconv"}
    assert capsys.readouterr().err == (
        f"{peer} is left out, {module} is not installed: pip install {package}\n"
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--layers", "nothing"], "'nothing'; the names are keras1, "),
        (["--layers", "g2ic3ih5oc4kh3"], "groups must divide the channels"),
        (["--layers", "ic3ih5oc4kh7"], "there is nothing to compute"),
        (["--passes", "forward,sideways"], "--passes: no 'sideways'; choose from forward, grad_"),
        (["--peers", "abacus"], "--peers: no 'abacus'; choose from torch, onnxruntime, im2col"),
        (["--layout", ""], "--layout: no ''; choose from nchw, channels_last"),
        (["--dtype", "float16"], "'float32', 'float64'"),
        (["--threads", "0"], "at least 1"),
        (["--rounds", "x"], "at least 1"),
        (["--json", "nowhere/at/all.json"], "--json nowhere"),
        (["--plot", "nowhere/at/all.png"], "--plot nowhere"),
        (["--from", "nowhere.json"], "nowhere.json"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
def test_bad_input_is_one_line_and_status_2(capsys, args, says):
    try:
        status = main(["bench", "--layers", TINY, *args])
    except SystemExit as ended:  # argparse
        status = ended.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("fastconv bench: error: ")
    assert says in captured.err


def test_wrong_results_are_not_timed(monkeypatch, capsys):
    """A gradient that is a little too large breaks the identity that needs no peer."""
    backward = fastconv.conv2d_backward

    def wrong(*args, **kwargs):
        return [None if each is None else 1.5 * each for each in backward(*args, **kwargs)]

    monkeypatch.setattr(fastconv, "conv2d_backward", wrong)
    bench("--layers", TINY, "--peers", "none", status=1)
    assert "fastconv bench: wrong result: " in capsys.readouterr().err


def test_a_peer_that_disagrees_is_named(monkeypatch, capsys):
    pytest.importorskip("threadpoolctl")
    forward = Im2col.forward
    monkeypatch.setattr(Im2col, "forward", lambda self, x, w: 1.001 * forward(self, x, w))
    bench("--layers", TINY, "--peers", "im2col", status=1)
    assert "im2col nchw and fastconv differ by" in capsys.readouterr().err


def test_list(capsys):
    bench("--list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [layer.name for layer in problems.load()]
    assert lines[0].split()[1] == "mb128ic1ih28oc32kh3"


def test_the_command_in_a_process(tmp_path):
    args = ["--layers", TINY, "--passes", "forward", "--peers", "none", *QUICK]
    done = programs.command("bench", *args)
    assert (done.returncode, done.stderr) == (0, "")
    assert any(line.startswith(TINY) for line in done.stdout.splitlines())


# ---------------------------------------------------------------------- figures made by hand


def figures(ours, theirs=None, roof=100e9):
    """Two layers forward, from {(layer, layout): seconds} of fastconv and of PyTorch."""
    rows = [
        {"layer": layer, "pass": "forward", "contestant": name, "layout": layout, "best": seconds,
         "median": 1.1 * seconds, "first": 2 * seconds, "extra_bytes": 4096}
        for name, times in (("fastconv", ours), ("torch", theirs or {}))
        for (layer, layout), seconds in times.items()
    ]  # fmt: skip
    return {
        "schema": 1, "date": "", "command": "", "versions": {"fastconv": "1"}, "cpu": "one",
        "isa": "avx2", "threads": 1, "dtype": "float32", "rounds": 5, "block_seconds": 0.05,
        "roof": roof, "rows": rows,
        "layers": {layer: {"problem": "", "flops": 10**9} for layer, _ in ours},
    }  # fmt: skip


OURS = {("a", "nchw"): 0.2, ("a", "channels_last"): 0.1, ("b", "nchw"): 0.4}
THEIRS = {("a", "nchw"): 0.6, ("a", "channels_last"): 0.05, ("b", "nchw"): 0.3}


def test_ratios_as_called_and_of_the_best_formats():
    cells = report.cells(figures(OURS, THEIRS))
    assert cells["a", "forward"].ratio(["torch"], "nchw") == pytest.approx(3)
    assert cells["a", "forward"].ratio(["torch"]) == pytest.approx(0.5)
    assert cells["b", "forward"].ratio(["torch"]) == pytest.approx(0.75)
    lines = list(report.summary(figures(OURS, THEIRS)))
    squeezed = [" ".join(line.split()) for line in lines]
    assert squeezed[0].startswith("roof 100 GFLOP/s")
    assert squeezed[2] == "forward torch NCHW as called 1.50 0.75 1 of 2, least b"  # sqrt(3 * 0.75)
    assert squeezed[3] == "forward torch best 0.61 0.50 2 of 2, least a"


def write(path, figures):
    path.write_text(json.dumps(figures))
    return path


def test_figures_of_a_file_print_and_plot(tmp_path, capsys):
    source = write(tmp_path / "f.json", figures({("a", "nchw"): 0.1}, {("a", "nchw"): 0.35}))
    bench("--from", source)
    assert any(line.startswith("a ") and "3.50" in line
               for line in capsys.readouterr().out.splitlines())  # fmt: skip
    pytest.importorskip("matplotlib")
    bench("--from", source, "--plot", tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")
    bench("--from", source, "--plot", tmp_path / "ratios.svg")
    assert "<svg" in (tmp_path / "ratios.svg").read_text(encoding="utf-8")


def test_what_cannot_be_drawn_is_status_2(tmp_path, capsys, monkeypatch):
    source = write(tmp_path / "f.json", figures({("a", "nchw"): 0.1}, {("a", "nchw"): 0.35}))
    alone = write(tmp_path / "alone.json", figures({("a", "nchw"): 0.1}))
    pytest.importorskip("matplotlib")
    bench("--from", alone, "--plot", tmp_path / "x.png", status=2)
    assert "no peer to compare with" in capsys.readouterr().err
    bench("--from", source, "--plot", tmp_path / "x.nonsense", status=2)
    assert "nonsense" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    bench("--from", source, "--plot", tmp_path / "x.png", status=2)
    assert "fastconv[bench]" in capsys.readouterr().err


def compared(tmp_path, old, new, *args):
    """(exit status, lines) of the plain script, in a process."""
    paths = [write(tmp_path / "old.json", old), write(tmp_path / "new.json", new)]
    done = programs.run(compare.__file__, *map(str, paths), *args)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_compare_finds_what_got_slower(tmp_path):
    slower = {("a", "nchw"): 0.3, ("a", "channels_last"): 0.05, ("b", "nchw"): 0.41}
    status, lines = compared(tmp_path, figures(OURS, THEIRS), figures(slower, THEIRS))
    assert status == 1
    assert [line.split()[:6] for line in lines[1:3]] == [
        ["slower", "1.50x", "a", "forward", "nchw", "by"],
        ["faster", "2.00x", "a", "forward", "channels_last", "by"],
    ]
    assert lines[3].startswith("forward: time x 0.916 (geometric mean of 3), 1 slower, 1 faster")
    assert compared(tmp_path, figures(OURS), figures(slower), "--threshold", "0.6")[0] == 0


def test_compare_takes_out_the_drift_of_the_machine(tmp_path):
    """On a machine half as fast nothing of ours got slower, by the peer or by the roof."""
    half = [{key: 2 * seconds for key, seconds in times.items()} for times in (OURS, THEIRS)]
    old, new = figures(OURS, THEIRS), figures(*half, roof=50e9)
    assert compared(tmp_path, old, new)[0] == 0
    assert compared(tmp_path, old, new, "--by", "roof")[0] == 0
    status, lines = compared(tmp_path, old, new, "--by", "time")
    assert status == 1
    assert "2.00x" in lines[1]


def test_compare_says_what_differs(tmp_path):
    old, new = figures(OURS), figures({("a", "nchw"): 0.2, ("c", "nchw"): 1.0})
    status, lines = compared(tmp_path, old, new | {"threads": 2})
    assert status == 0
    assert lines[0] == "different threads: 1 -> 2"
    assert lines[-2:] == ["only in OLD: 2 measurements", "only in NEW: 1 measurements"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "roof": 1.0, "rows": [{"best": 1}]}']
)
def test_other_files_are_refused(tmp_path, capsys, text):
    good = write(tmp_path / "good.json", figures(OURS))
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    bench("--from", bad, status=2)
    assert capsys.readouterr().err.count("\n") == 1
    assert compare.main([str(good), str(bad)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("compare: error: ")
    assert captured.err.count("\n") == 1


def test_files_of_a_run_compare_with_themselves(tmp_path, capsys):
    measured(tmp_path, "--layers", TINY, "--peers", "none")
    path = str(tmp_path / "figures.json")
    assert compare.main([path, path]) == 0
    assert runs.SCHEMA == 1
