"""Times fastconv's convolutions beside PyTorch's, layer by layer and pass by pass.

    python bench/bench_conv.py [--layers keras1,vgg1_2] [--passes forward,grad_input,grad_weight]
                               [--layouts nchw,channels_last] [--threads N] [--json FILE]

Results are compared before anything is timed.  The contestants take turns, a block of calls each,
several rounds: idle threads of one library spin for a while and slow the next one, so a block
begins with calls that are not counted.  A ratio above 1 means that fastconv is faster.
"""

import argparse
import json
import math
import statistics
import sys
import time

import numpy as np
import problems

import fastconv
from fastconv import _kernels

PASSES = ("forward", "grad_input", "grad_weight")
LAYOUTS = ("nchw", "channels_last")
BLOCK_SECONDS = 0.05
ROUNDS = 5


def arrays(problem, layout):
    """Random input, weight and grad_output of a problem, in the layout."""
    rng = np.random.default_rng(0)

    def draw(shape):
        array = rng.standard_normal(shape, dtype=np.float32)
        if layout == "channels_last":
            array = np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
        return array

    weight = rng.standard_normal(problem.weight_shape, dtype=np.float32)
    return draw(problem.input_shape), weight, draw(problem.output_shape)


def ours(problem, layout, threads):
    x, weight, grad_output = arrays(problem, layout)
    forward = getattr(fastconv, problem.operation)
    backward = getattr(fastconv, problem.operation + "_backward")

    def gradient(at):
        needs = tuple(i == at for i in range(3))
        return lambda: backward(
            grad_output, x, weight, **problem.arguments, needs=needs, num_threads=threads
        )[at]

    return {
        "forward": lambda: forward(x, weight, **problem.arguments, num_threads=threads),
        "grad_input": gradient(0),
        "grad_weight": gradient(1),
    }


def torchs(torch, problem, layout):
    """The same passes in PyTorch, which keeps the layout by itself."""
    x, weight, grad_output = (torch.from_numpy(each) for each in arrays(problem, layout))
    if layout == "channels_last" and problem.ndim > 1:
        memory = torch.channels_last if problem.ndim == 2 else torch.channels_last_3d
        weight = weight.to(memory_format=memory)
    extra = getattr(problem, "output_padding", (0,) * problem.ndim)
    settings = (
        problem.stride, problem.padding, problem.dilation, problem.transposed, extra,
        problem.groups,
    )  # fmt: skip

    def gradient(at):
        mask = [i == at for i in range(3)]
        return lambda: torch.ops.aten.convolution_backward(
            grad_output, x, weight, None, *settings, mask
        )[at]

    return {
        "forward": lambda: torch.ops.aten.convolution(x, weight, None, *settings),
        "grad_input": gradient(0),
        "grad_weight": gradient(1),
    }


def block(call):
    """Seconds of one call, averaged over a block of them."""
    call()
    calls, start = 0, time.perf_counter()
    while True:
        call()
        calls += 1
        seconds = time.perf_counter() - start
        if seconds >= BLOCK_SECONDS:
            return seconds / calls


def race(contestants):
    """{name: (best, median)} seconds of a call, the contestants in turn."""
    times = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, call in contestants.items():
            times[name].append(block(call))
    return {name: (min(each), statistics.median(each)) for name, each in times.items()}


def roof(threads):
    """Floating-point operations per second of the register tile on data in L1."""
    kernel, best = _kernels.conv["f"], 0
    for _ in range(5):
        start = time.perf_counter()
        done = kernel.multiply_add_rate(1000, threads)
        best = max(best, done / (time.perf_counter() - start))
    return best


def check(name, ours, theirs, terms):
    """Both results, to the rounding of a float32 sum of so many terms."""
    theirs = np.asarray(theirs)
    error = np.abs(ours - theirs).max() / max(1e-30, np.abs(theirs).max())
    if ours.shape != theirs.shape or not error <= 1e-6 * math.sqrt(terms) + 1e-6:
        raise SystemExit(f"{name}: results differ by {error:.1e} of the largest value")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", help="comma-separated names from problems.txt; default all")
    parser.add_argument("--passes", default=",".join(PASSES))
    parser.add_argument("--layouts", default="nchw")
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument("--json", metavar="FILE", help="write every figure here")
    options = parser.parse_args()

    try:
        import torch

        torch.set_num_threads(options.threads)
        torch.set_grad_enabled(False)
    except ImportError:
        torch = None
        print("PyTorch is not installed (pip install torch): fastconv alone", file=sys.stderr)

    wanted = options.layers.split(",") if options.layers else None
    peak = roof(options.threads)
    print(f"{options.threads} threads, {_kernels.isa}, FMA roof {peak / 1e9:.0f} GFLOP/s")
    print(
        f"{'layer':<12} {'layout':<13} {'pass':<11} {'GFLOP/s':>8} {'roof':>5} {'torch':>8}  ratio"
    )
    rows, ratios = [], {}
    for problem in problems.load():
        if wanted and problem.name not in wanted:
            continue
        for layout in options.layouts.split(","):
            calls = ours(problem, layout, options.threads)
            peers = torchs(torch, problem, layout) if torch else {}
            for direction in options.passes.split(","):
                contestants = {"fastconv": calls[direction]}
                if peers:
                    contestants["torch"] = peers[direction]
                    terms = problem.flops // 2 // calls[direction]().size
                    label = f"{problem.name} {direction}"
                    check(label, calls[direction](), peers[direction](), max(1, terms))
                times = race(contestants)
                rate = {name: problem.flops / best for name, (best, _) in times.items()}
                ratio = rate["fastconv"] / rate["torch"] if peers else math.nan
                ratios.setdefault(direction, []).append(ratio)
                rows.append(
                    {"layer": problem.name, "layout": layout, "pass": direction, "ratio": ratio}
                    | {f"{name}_best": best for name, (best, _) in times.items()}
                    | {f"{name}_median": median for name, (_, median) in times.items()}
                )
                print(
                    f"{problem.name:<12} {layout:<13} {direction:<11}"
                    f" {rate['fastconv'] / 1e9:8.1f} {rate['fastconv'] / peak:5.0%}"
                    f" {rate.get('torch', math.nan) / 1e9:8.1f} {ratio:6.2f}",
                    flush=True,
                )
    if torch:
        for direction, each in ratios.items():
            print(f"{direction}: geometric mean {statistics.geometric_mean(each):.2f}, "
                  f"least {min(each):.2f}")  # fmt: skip
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"threads": options.threads, "roof": peak, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
