"""The layers of problems.txt under pytest-benchmark: `pytest bench/`."""

import pytest

import fastconv
from fastconv.bench import PASSES, contestants, problems
from fastconv.bench.run import check_adjoint

LAYERS = {problem.name: problem for problem in problems.load()}


@pytest.mark.parametrize("direction", PASSES)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(benchmark, name, direction):
    problem = LAYERS[name]
    arrays = contestants.draw(problem, "nchw", "float32")
    ours = contestants.Fastconv(fastconv.get_num_threads())
    try:
        calls = ours.calls(problem, arrays, "nchw")
        check_adjoint(problem, arrays, calls)
        benchmark.group = direction
        benchmark(calls[direction])
    finally:
        ours.close()
    benchmark.extra_info["gflops"] = problem.flops / benchmark.stats.stats.min / 1e9
