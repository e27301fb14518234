"""Winograd's algorithm behind the convolutions: where it applies, and the calls of its kernels.

The three functions and `plan` are those of `fastconv.functional._run` with the same arguments, so a
caller asks `choose` for the module that a pass shall run by.  Under a stride s, cells of the wide
side of equal remainder modulo s are a phase, which meets every s-th tap (Shi et al. 2016, "Is the
deconvolution layer the same as a convolutional layer?"): a transposed convolution is one ordinary
convolution for each phase, and a convolution is their sum.  So filters of 2 or 3 taps in each phase
will do.
"""

import itertools
import math
import sys
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastconv import _algorithm, _kernels, _threads
from fastconv.functional import _arrays, _run

LEAST_TAPS, MOST_TAPS = 2, 3  # of a phase along each axis
WHOLE_TAPS = 256  # of all phases, where they are summed
WORTHWHILE = 1.15  # expected gain, as a ratio of times


class Phase(NamedTuple):
    """A phase of the wide side, along one axis or all: what one convolution of stride 1 gives."""

    cells: slice
    taps: slice
    kernel: int
    pad: int
    size: int


ABSENT = Phase(slice(None), slice(None), 1, 0, 1)  # the phase of an axis that is absent


def check(geometry, algorithm):
    """The algorithm of one operation; ValueError where winograd is asked for and cannot be."""
    algorithm = _algorithm.effective(geometry.op, algorithm)
    if algorithm != "winograd":
        return algorithm
    if not _applies(geometry):
        raise ValueError(
            f"{geometry.op}: algorithm='winograd' needs 2 or 3 taps for each stride, a kernel size "
            f"above the stride and of 2 or 3 at stride 1, up to 6 at stride 2 and so on, and "
            f"dilation 1 on every axis, got kernel size {geometry.kernel}, stride "
            f"{geometry.stride} and dilation {geometry.dilation}"
        )
    return algorithm


def choose(geometry, algorithm, kernel):
    """The module whose `run_<kernel>` shall do the work: this one, or `_run`.

    `algorithm` is what `check` returned.  The choice does not depend on the number of threads.
    """
    if algorithm == "direct" or not _can_run(geometry, kernel):
        return _run
    if algorithm == "auto" and _gain(geometry, kernel) < WORTHWHILE:
        return _run
    return sys.modules[__name__]


def gain(geometry, kernel):
    """What `choose` compares with WORTHWHILE; None where only the direct kernels can run."""
    return _gain(geometry, kernel) if _can_run(geometry, kernel) else None


def run_forward(
    geometry, x, filters, bias, y, num_threads, slope=1.0, gate=None, plus=None, norm=None,
    kept=None,
):  # fmt: skip
    kernel = _kernels.winograd[x.dtype.char]
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    y = _arrays.expand_space(y)
    stride, _, pad = geometry.kernel_args
    filters = _extended(filters, _whole_kernel(geometry))
    prepared = None if kept is None else kept.prepare(kernel, filters, stride, y.shape[2:], threads)
    status = kernel.forward(
        _arrays.expand_space(x), filters, prepared, bias, y,
        *_run.at_store(slope, gate, plus, norm), slope, stride, pad, threads,
    )  # fmt: skip
    _run.check_status(geometry.op, status)


def run_grad_input(
    geometry, grad_output, filters, bias, grad, num_threads, slope=1.0, gate=None, plus=None,
    norm=None,
):  # fmt: skip
    kernel = _kernels.winograd[grad_output.dtype.char]
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    g, grad = _arrays.expand_space(grad_output), _arrays.expand_space(grad)
    gate, norm, plus = _run.at_store(slope, gate, plus, norm)
    for axes in itertools.product(*_phases(geometry)):
        phase = Phase(*zip(*axes, strict=True))
        part = (..., *phase.cells)
        own = _extended(filters[(..., *phase.taps)], phase.kernel)
        status = kernel.forward(
            g, _run.regrouped(own), None, bias, grad[part],
            None if gate is None else gate[part], norm, None if plus is None else plus[part],
            slope, (1, 1, 1), phase.pad, threads,
        )  # fmt: skip
        _run.check_status(geometry.op, status)


def run_grad_weight(geometry, x, grad_output, weight, needs, num_threads):
    need_weight, need_bias = needs
    if not need_weight:
        return _run.run_grad_weight(geometry, x, grad_output, weight, needs, num_threads)
    shape = *weight.shape[:2], *_whole_kernel(geometry)
    grad_weight = _arrays.empty(geometry.op, shape, weight.dtype)
    grad_bias = np.empty(grad_output.shape[1], weight.dtype) if need_bias else None
    kernel = _kernels.winograd[x.dtype.char]
    stride, _, pad = geometry.kernel_args
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    status = kernel.grad_weight(
        _arrays.expand_space(x), _arrays.expand_space(grad_output),
        _run.filters(grad_weight, geometry.groups), grad_bias, stride, pad, threads,
    )  # fmt: skip
    _run.check_status(geometry.op, status)
    if grad_weight.shape != weight.shape:
        grad_weight = grad_weight[tuple(map(slice, weight.shape))].copy()
    return grad_weight, grad_bias


def plan(geometry, kernel, wide, narrow, weight, threads):
    """What the calls of a kernel would do, those that do the same counted; arrays are not read."""
    door = _kernels.winograd[weight.dtype.char]
    calls = Counter()
    for sizes, times in _problems(geometry, kernel):
        if kernel == "grad_weight":
            call = door.plan_grad_weight(*sizes)
        else:
            call = door.plan_correlate(*sizes, threads)
        calls[tuple(call.items())] += times
    return {
        "algorithm": "winograd",
        "calls": [{"times": times, **dict(call)} for call, times in calls.items()],
    }


class KeptFilters:
    """The transformed filters of a layer's forward passes, until its weight changes."""

    def __init__(self):
        self._filters = self._layout = self._prepared = None

    def prepare(self, kernel, filters, stride, out_size, num_threads):
        """The transform of (G, O, I, *kernel) filters, for outputs of this size."""
        layout = filters.shape, filters.dtype, *kernel.prepared_layout(filters, stride, out_size)
        flat = filters.reshape(-1)
        if layout != self._layout or not kernel.same(flat, self._filters):
            self._layout, self._filters = layout, flat.copy()
            self._prepared = np.empty(layout[-1], filters.dtype)
            kernel.prepare(filters, stride, out_size, self._prepared, num_threads)
        return self._prepared


def _taps(geometry):
    """Of the phase that has most of them, along each axis."""
    return tuple(-(-k // s) for k, s in zip(geometry.kernel, geometry.stride, strict=True))


def _applies(geometry):
    return {*geometry.dilation} == {1} and all(
        LEAST_TAPS <= taps <= MOST_TAPS for taps in _taps(geometry)
    )


def _can_run(geometry, kernel):
    """Whether these kernels can; those that sum over phases hold so many taps and no more."""
    if 0 in geometry.wide_shape or 0 in geometry.narrow_shape or not _applies(geometry):
        return False
    return kernel == "grad_input" or math.prod(_whole_kernel(geometry)) <= WHOLE_TAPS


def _whole_kernel(geometry):
    """The kernel size that gives all phases the same taps."""
    return tuple(n * s for n, s in zip(_taps(geometry), geometry.stride, strict=True))


def _phases(geometry):
    """Of the wide side, along each of three axes: those that have cells."""
    stride, _, pad = geometry.kernel_args
    missing = 3 - len(geometry.kernel)
    axes = zip(geometry.wide, geometry.kernel, stride[missing:], pad[missing:], strict=True)
    return [[ABSENT]] * missing + [[*_phases_along(*axis)] for axis in axes]


def _phases_along(wide, kernel, stride, pad):
    for cell in range(min(wide, stride)):
        # Cell f + s m reads tap r + s q at position m + first - q of the narrow side.
        first, tap = divmod(cell + pad, stride)
        taps = max(LEAST_TAPS, -(-(kernel - tap) // stride))
        yield Phase(
            slice(cell, None, stride), slice(tap, None, stride), taps, taps - 1 - first,
            -(-(wide - cell) // stride),
        )  # fmt: skip


def _sizes(geometry, channels, *axes):
    """As the planners take them: (batch, groups, *channels of a group, kernel, stride, size)."""
    return (
        geometry.batch,
        geometry.groups,
        *(count // geometry.groups for count in channels),
        *((1,) * (3 - len(each)) + each for each in axes),
    )


def _whole_sizes(geometry):
    """Of the problem in which phases are summed."""
    channels = geometry.wide_channels, geometry.narrow_channels
    return _sizes(geometry, channels, _whole_kernel(geometry), geometry.stride, geometry.narrow)


def _phase_sizes(geometry, kernel, size):
    """Of the problem of one phase."""
    channels = geometry.narrow_channels, geometry.wide_channels
    return _sizes(geometry, channels, kernel, (1, 1, 1), size)


def _problems(geometry, kernel):
    """(sizes, how many of the kernel's calls have these)."""
    if kernel != "grad_input":
        yield _whole_sizes(geometry), 1
        return
    axes = [Counter((each.kernel, each.size) for each in axis) for axis in _phases(geometry)]
    for alike in itertools.product(*map(Counter.items, axes)):
        kinds, counts = zip(*alike, strict=True)
        yield _phase_sizes(geometry, *zip(*kinds, strict=True)), math.prod(counts)


def _extended(filters, kernel):
    """Filters with zeros for the taps that they lack of a kernel size."""
    missing = [n - size for n, size in zip(kernel, filters.shape[-len(kernel) :], strict=True)]
    if not any(missing):
        return filters
    return np.pad(filters, [(0, 0)] * (6 - len(kernel)) + [(0, more) for more in missing])


@lru_cache(1024)
def _gain(geometry, kernel):
    """How much faster winograd is expected to be, as a ratio of times."""
    gains = _kernels.winograd["f"].gains
    used = math.prod(geometry.kernel)
    if kernel != "grad_input":
        correlate, grad_weight = gains(*_whole_sizes(geometry))
        # The direct kernels leave out the taps that are missing.
        ratio = grad_weight if kernel == "grad_weight" else correlate
        return ratio * used / math.prod(_whole_kernel(geometry))
    space = tuple(-(-n // s) for n, s in zip(geometry.wide, geometry.stride, strict=True))
    phases = Counter(
        itertools.product(
            *(
                [max(LEAST_TAPS, -(-(k - first) // s)) for first in range(s)]
                for k, s in zip(geometry.kernel, geometry.stride, strict=True)
            )
        )
    )
    # In the time of one tap of the direct kernels.
    own = sum(
        count * math.prod(taps) / gains(*_phase_sizes(geometry, taps, space))[0]
        for taps, count in phases.items()
    )
    return used / own
