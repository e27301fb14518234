"""Problems for fastconv.explain, and its figures of them."""

import layers

import fastconv
from fastconv.bench import PASSES

PROBLEMS = {problem.name: problem for problem in layers.problems.load()}


def figures(problem, **options):
    return fastconv.explain(
        problem.operation, problem.input_shape, problem.weight_shape, **problem.arguments,
        mode="dicts", **options,
    )  # fmt: skip


def plans(problem, **options):
    found = figures(problem, **options)
    return {name: found[name] for name in PASSES}


# Winograd applies to all of these but two, and "auto" takes it for some of their passes.
OF_BOTH = {
    "many channels": ("conv2d", (4, 64, 20, 20), (64, 64, 3, 3), {"padding": 1}),
    "few channels": ("conv2d", (4, 3, 20, 20), (8, 3, 3, 3), {}),
    "many taps": ("conv2d", (2, 16, 9, 9), (16, 16, 5, 5), {}),
    "dilation": ("conv2d", (2, 16, 9, 9), (16, 16, 3, 3), {"dilation": 2}),
    "groups": ("conv2d", (2, 24, 9, 11), (18, 8, 3, 3), {"groups": 3}),
    "stride": ("conv2d", (8, 48, 26, 26), (64, 48, 4, 4), {"stride": 2, "padding": 1}),
    "odd": ("conv2d", (2, 48, 13, 14), (32, 48, 3, 5), {"stride": 2, "padding": 2}),
    "no cell": ("conv2d", (2, 16, 1, 9), (16, 16, 3, 3), {"stride": 2, "padding": 1}),
    "many phases": ("conv2d", (1, 2, 40, 40), (3, 2, 20, 20), {"stride": 10}),
    "1-D": ("conv1d", (2, 64, 57), (96, 64, 2), {}),
    "3-D": ("conv3d", (1, 24, 6, 7, 8), (32, 24, 3, 3, 3), {"padding": 1}),
    "back": ("conv_transpose2d", (4, 64, 20, 20), (64, 32, 3, 3), {"padding": 1}),
    "wider": ("conv_transpose2d", (8, 64, 13, 12), (64, 40, 4, 4), {"stride": 2, "padding": 1}),
    "uneven": (
        "conv_transpose2d", (2, 48, 8, 7), (48, 20, 5, 5),
        {"stride": 2, "padding": 2, "output_padding": 1, "groups": 2},
    ),
    "1-D back": ("conv_transpose1d", (2, 32, 30), (32, 33, 3), {}),
    "3-D wider": ("conv_transpose3d", (1, 16, 5, 4, 3), (16, 9, 2, 3, 6), {"stride": (1, 1, 2)}),
}  # fmt: skip
DIRECT_ALONE = ("many taps", "dilation")
BY_WINOGRAD = [name for name in OF_BOTH if name not in DIRECT_ALONE]


def figures_of(name, algorithm, **options):
    *problem, arguments = OF_BOTH[name]
    found = fastconv.explain(*problem, **arguments, algorithm=algorithm, mode="dicts", **options)
    assert found["algorithm"] == algorithm
    return found


def plans_of(name, algorithm, **options):
    found = figures_of(name, algorithm, **options)
    return {direction: found[direction] for direction in PASSES}
