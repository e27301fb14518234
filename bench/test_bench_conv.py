"""The layers of problems.txt under pytest-benchmark: `pytest bench/`.

Each pass is checked against its neighbour first: <conv(x), g> = <x, grad_input> = <w, grad_weight>.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import bench_conv
import problems

import fastconv

LAYERS = {problem.name: problem for problem in problems.load()}


@pytest.mark.parametrize("direction", bench_conv.PASSES)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(benchmark, name, direction):
    problem = LAYERS[name]
    benchmark.group = direction
    calls = bench_conv.ours(problem, "nchw", fastconv.get_num_threads())
    x, weight, grad_output = bench_conv.arrays(problem, "nchw")
    partner = {"forward": grad_output, "grad_input": x, "grad_weight": weight}[direction]
    result = benchmark(calls[direction])
    inner = np.vdot(result.astype(np.float64), partner.astype(np.float64))
    expected = np.vdot(calls["forward"]().astype(np.float64), grad_output.astype(np.float64))
    assert abs(inner - expected) <= 1e-5 * np.linalg.norm(result) * np.linalg.norm(partner)
    benchmark.extra_info["gflops"] = problem.flops / benchmark.stats.stats.min / 1e9
