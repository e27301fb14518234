"""Evaluation beside PyTorch: how long the networks of bench_train.py take for one batch.

    python bench/bench_evaluate.py [--networks NAMES] [--batches SIZES] [--algorithm auto]
        [--threads N] [--rounds N]

Both sides have the same weights and run in evaluation mode (PyTorch in its inference mode), in NCHW
and in channels-last order.  Their outputs are compared before anything is timed; then the
contestants take turns, a block of calls each.  A ratio above 1 means that fastconv is faster.
"""

import argparse
import statistics
import time

import numpy as np
from bench_train import NETWORKS, SLEEP, in_torch

import fastconv
from fastconv._algorithm import ALGORITHMS

BLOCK = 0.2  # seconds of calls in one turn
ERROR = {"direct": 1e-4, "winograd": 1e-2, "auto": 1e-2}  # of the largest output


def contestants(name, batch):
    """name -> function without arguments that gives the output."""
    import torch

    make, _, shape = NETWORKS[name]
    fastconv.manual_seed(0)
    model = make().eval()
    x = np.random.default_rng(0).standard_normal((batch, *(shape or (1, 28, 28))), np.float32)
    found = {}
    for order, memory in ("NCHW", "contiguous_format"), ("channels-last", "channels_last"):
        ours = x if order == "NCHW" else fastconv.channels_last(x)
        memory = getattr(torch, memory)
        net = in_torch(model, memory).eval()
        theirs = torch.from_numpy(x).contiguous(memory_format=memory)
        found["fastconv", order] = lambda ours=ours: model(ours)
        found["torch", order] = lambda net=net, theirs=theirs: net(theirs).numpy()
    return found


def check(calls, error):
    """ValueError when two outputs differ by more than rounding."""
    outputs = {each: call() for each, call in calls.items()}
    first, *others = outputs.values()
    for output in others:
        if np.abs(output - first).max() > error * np.abs(first).max():
            raise ValueError(f"outputs of {', '.join(map(' '.join, outputs))} differ")


def times(calls, rounds):
    """Seconds of a call: the median of the medians of the blocks."""
    found = {each: [] for each in calls}
    for _ in range(rounds):
        for each, call in calls.items():
            time.sleep(SLEEP)
            call()
            taken, end = [], time.perf_counter() + BLOCK
            while time.perf_counter() < end:
                start = time.perf_counter()
                call()
                taken.append(time.perf_counter() - start)
            found[each].append(statistics.median(taken))
    return {each: statistics.median(blocks) for each, blocks in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", default=",".join(NETWORKS), help="default: %(default)s")
    parser.add_argument("--batches", default="1,8,64", help="default: %(default)s")
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="direct", help="of ours")
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    import torch

    fastconv.set_algorithm(options.algorithm)
    fastconv.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    print(f"algorithm {options.algorithm}, {options.threads} threads; ms of a batch in NCHW and in")
    print("channels-last order; the ratio of the better order of each")
    print(f"{'network':<10} {'batch':>5} {'fastconv':>15} {'torch':>15} {'ratio':>6}")
    for name in options.networks.split(","):
        for batch in map(int, options.batches.split(",")):
            calls = contestants(name, batch)
            with torch.inference_mode():
                check(calls, ERROR[options.algorithm])
                found = times(calls, options.rounds)
            sides = [[found[each] * 1e3 for each in calls if each[0] == side]
                     for side in ("fastconv", "torch")]  # fmt: skip
            print(
                f"{name:<10} {batch:5d}" + "".join(f" {a:7.2f} {b:7.2f}" for a, b in sides)
                + f" {min(sides[1]) / min(sides[0]):6.2f}",
                flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
