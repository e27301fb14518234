"""Runs the benchmark: for every layer all results are compared, and then all passes timed."""

import contextlib
import datetime
import importlib.metadata
import math
import platform
from pathlib import Path

import numpy as np

import fastconv
from fastconv import _kernels
from fastconv.bench import PASSES, contestants
from fastconv.bench.problems import parse
from fastconv.bench.race import first_call, race
from fastconv.bench.roof import Roof

SCHEMA = 1
OURS = contestants.Fastconv.name
WINOGRAD = contestants.Winograd.name
WINOGRAD_ERROR = 250  # units of rounding, of the largest value
WARM_UP = parse("mb8ic16ih16oc32kh3ph1")  # loads code and starts threads before any first call


class WrongResult(Exception):
    """Two contestants differ by more than rounding, or our passes contradict each other."""


def run(
    problems, passes, peers, layouts, threads, dtype="float32", rounds=5, block_seconds=0.05,
    show=lambda figures, layer: None,
):  # fmt: skip
    """The figures, as README.md describes them, of {name: Problem}.

    `show(figures, layer)` is called when the rows of a layer are complete.  WrongResult when a
    result is wrong; nothing of that layer has been timed then.
    """
    with contextlib.ExitStack() as stack:
        present = [
            stack.enter_context(contextlib.closing(each))
            for each in contestants.present(peers, threads)
        ]
        roof = Roof(dtype, threads)
        figures = {
            "schema": SCHEMA,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": _versions(present),
            "cpu": _cpu_name(),
            "isa": _kernels.isa,
            "threads": threads,
            "dtype": dtype,
            "rounds": rounds,
            "block_seconds": block_seconds,
            "roof": roof.sample(),
            "layers": {
                name: {"problem": str(problem), "flops": problem.flops}
                for name, problem in problems.items()
            },
            "rows": [],
        }
        _run_layer(WARM_UP, passes, present, layouts, dtype, 1, 0)
        for name, problem in problems.items():
            rows = _run_layer(problem, passes, present, layouts, dtype, rounds, block_seconds)
            figures["roof"] = roof.sample()
            figures["rows"] += [{"layer": name, **row} for row in rows]
            show(figures, name)
    return figures


def _run_layer(problem, passes, present, layouts, dtype, rounds, block_seconds):
    """Rows for every pass, contestant and layout."""
    arrays, calls, who = {}, {}, {}
    for contestant in present:
        for layout in contestant.layouts(problem, dtype):
            # Ours in the layouts asked for; a peer in all that it has, for we face its best.
            if contestant.name in (OURS, WINOGRAD) and layout not in layouts:
                continue
            if layout not in arrays:
                arrays[layout] = contestants.draw(problem, layout, dtype)
            key = contestant.name, layout
            calls[key] = contestant.calls(problem, arrays[layout], layout)
            who[key] = contestant
    rows, results = {}, {}
    for direction in passes:
        for key, each in calls.items():
            if direction in each:
                seconds, result = first_call(each[direction])
                rows[direction, key] = {
                    "pass": direction,
                    "contestant": key[0],
                    "layout": key[1],
                    "first": seconds,
                    "extra_bytes": who[key].extra_bytes(),
                }
                results[key] = np.asarray(result)
        check_equal(problem, direction, results)
        if any(name == WINOGRAD for name, _ in results):
            exact = exact_result(problem, direction, arrays[layouts[0]])
            for key in results:
                rows[direction, key]["error"] = error(results[key], exact)
        results.clear()
    for layout in layouts:
        check_adjoint(problem, arrays[layout], calls[OURS, layout])
    for direction in passes:
        field = {key: each[direction] for key, each in calls.items() if direction in each}
        for key, (best, median) in race(field, rounds, block_seconds).items():
            rows[direction, key] |= {"best": best, "median": median}
    return list(rows.values())


def check_equal(problem, direction, results):
    """Everybody's result against our first one, to the rounding of a sum of so many terms."""
    ours = next(result for (name, _), result in results.items() if name == OURS)
    terms = max(1, problem.flops // 2 // ours.size)
    for (name, layout), result in results.items():
        if result.shape != ours.shape:
            raise WrongResult(f"{problem} {direction}: {name} has the shape {result.shape}, "
                              f"fastconv {ours.shape}")  # fmt: skip
        allowed = 8 * np.finfo(ours.dtype).eps * (math.sqrt(terms) + 1)
        if name == WINOGRAD:
            allowed = WINOGRAD_ERROR * np.finfo(ours.dtype).eps
        found = error(ours, result)
        if not found <= allowed:
            raise WrongResult(
                f"{problem} {direction}: {name} {layout} and fastconv differ by {found:.1e} of "
                f"the largest value, rounding explains {allowed:.1e}"
            )


def error(result, expected):
    """The largest, over the largest value."""
    return float(np.abs(result - expected).max() / max(np.abs(expected).max(), 1e-30))


def exact_result(problem, direction, arrays):
    """The pass in float64."""
    exact = tuple(array.astype(np.float64) for array in arrays)
    with contextlib.closing(contestants.Fastconv(fastconv.get_num_threads())) as direct:
        return direct.calls(problem, exact, "nchw")[direction]()


def check_adjoint(problem, arrays, calls):
    """<conv(x), g> = <x, grad_input> = <w, grad_weight>, in float64; needs no peer."""
    x, weight, grad_output = arrays
    products, bounds = [], []
    for direction, partner in zip(PASSES, (grad_output, x, weight), strict=True):
        result = np.asarray(calls[direction](), np.float64)
        partner = np.asarray(partner, np.float64)
        products.append(float(np.vdot(result, partner)))
        bounds.append(np.linalg.norm(result) * np.linalg.norm(partner))
    allowed = 16 * np.finfo(x.dtype).eps * max(bounds)
    if not max(products) - min(products) <= allowed:
        raise WrongResult(
            f"{problem}: <conv(x), g>, <x, grad_input> and <w, grad_weight> must be equal, got "
            + ", ".join(f"{product:.6e}" for product in products)
        )


def _versions(present):
    names = ["fastconv", "numpy", *(each.name for each in present if each.name != OURS)]
    versions = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # im2col is our own
            versions[name] = importlib.metadata.version(name)
    return versions


def _cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):  # not Linux, or not x86
        return platform.processor() or platform.machine()
