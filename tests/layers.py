"""The layers of bench/problems.txt, cut to sizes that the reference can compute."""

from dataclasses import replace

from strategies import Case

from fastconv.bench import problems


def cut(problem, batch=2, cells=(4, 5, 19)):
    """The problem with a smaller batch and at most so many windows; all else is kept."""
    windows = cells[-problem.ndim :]
    axes = (problem.kernel, problem.stride, problem.padding, problem.dilation)
    if problem.transposed:
        needed = windows
    else:
        needed = [
            (o - 1) * s + d * (k - 1) + 1 - 2 * p
            for o, k, s, p, d in zip(windows, *axes, strict=True)
        ]
    return replace(
        problem, batch=min(batch, problem.batch), space=tuple(map(min, problem.space, needed))
    )


def as_case(problem, **fixed):
    """A problem as a `Case`, of integer data unless `fixed` says otherwise."""
    return Case(
        transposed=problem.transposed,
        batch=problem.batch,
        in_channels=problem.in_channels,
        out_channels=problem.out_channels,
        groups=problem.groups,
        space=problem.space,
        out_space=problem.out_space,
        kernel=problem.kernel,
        stride=problem.stride,
        pads=tuple((each, each) for each in problem.padding),
        dilation=problem.dilation,
        output_padding=problem.output_padding,
        options=problem.arguments,
        **fixed,
    )


LAYERS = [cut(problem) for problem in problems.load()]
CONVOLUTIONS = [layer for layer in LAYERS if not layer.transposed]
TRANSPOSED = [layer for layer in LAYERS if layer.transposed]
