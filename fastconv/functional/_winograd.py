"""Winograd's algorithm behind the convolutions: where it applies, and the calls of its kernels.

The three functions are those of `fastconv.functional._run` with the same arguments, so a caller
asks `choose` for the module that a pass shall run by.  Where a window is stretched by a stride s,
outputs of equal remainder modulo s are a phase, an ordinary convolution with every s-th tap (Shi et
al. 2016, "Is the deconvolution layer the same as a convolutional layer?"): filters of 3 taps in
each phase will do, too.
"""

import itertools
import sys
from functools import lru_cache

import numpy as np

from fastconv import _algorithm, _kernels, _threads
from fastconv.functional import _arrays, _run

TAPS = 3
WORTHWHILE = 1.15  # expected gain, as a ratio of times


def check(geometry, algorithm, transposed):
    """The algorithm of one operation; ValueError where winograd is asked for and cannot be."""
    algorithm = _algorithm.effective(geometry.op, algorithm)
    if algorithm != "winograd":
        return algorithm
    found = (
        f"kernel size {geometry.kernel}, stride {geometry.stride} and dilation {geometry.dilation}"
    )
    if not transposed and not _plain(geometry):
        raise ValueError(
            f"{geometry.op}: algorithm='winograd' needs kernel size 3, stride 1 and dilation 1 on "
            f"every axis, got {found}"
        )
    if transposed and not _phased(geometry):
        raise ValueError(
            f"{geometry.op}: algorithm='winograd' needs 3 taps in every phase, a kernel size of "
            f"2 stride + 1 to 3 stride, and dilation 1 on every axis, got {found}"
        )
    return algorithm


def choose(geometry, algorithm, kernel):
    """The module whose `run_<kernel>` shall do the work: this one, or `_run`.

    `algorithm` is what `check` returned.  Where a stride keeps winograd from one of the passes of
    an operation, that one is direct.  The choice does not depend on the number of threads.
    """
    if algorithm == "direct" or 0 in geometry.wide_shape or 0 in geometry.narrow_shape:
        return _run
    if not (_phased(geometry) if kernel == "grad_input" else _plain(geometry)):
        return _run
    if algorithm == "auto" and _gain(geometry, kernel) < WORTHWHILE:
        return _run
    return sys.modules[__name__]


def run_forward(geometry, x, filters, bias, y, num_threads, slope=1.0, gate=None, kept=None):
    kernel = _kernels.winograd[x.dtype.char]
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    y = _arrays.expand_space(y)
    prepared = None if kept is None else kept.prepare(kernel, filters, y.shape[2:], threads)
    status = kernel.forward(
        _arrays.expand_space(x), filters, prepared, bias, y, _run._gate(gate, slope), slope,
        geometry.kernel_args[2], threads,
    )  # fmt: skip
    _run.check_status(geometry.op, status)


def run_grad_input(geometry, grad_output, filters, bias, grad, num_threads, slope=1.0, gate=None):
    kernel = _kernels.winograd[grad_output.dtype.char]
    threads = _threads.effective(geometry.op, num_threads, geometry.work)
    g, grad = _arrays.expand_space(grad_output), _arrays.expand_space(grad)
    gate = _run._gate(gate, slope)
    stride, _, pad = geometry.kernel_args
    for phase in itertools.product(*map(range, stride)):
        part = (..., *(slice(f, None, s) for f, s in zip(phase, stride, strict=True)))
        if not grad[part].size:
            continue
        # Output f + s m reads tap r + s q at input m + first - q.
        first, taps = zip(*map(_phase, phase, stride, pad), strict=True)
        own = filters[(..., *(slice(r, None, s) for r, s in zip(taps, stride, strict=True)))]
        status = kernel.forward(
            g, _run.regrouped(_three_taps(own, geometry.kernel)), None, bias, grad[part],
            None if gate is None else gate[part], slope,
            tuple(
                0 if k == 1 else TAPS - 1 - f
                for f, k in zip(first, filters.shape[3:], strict=True)
            ),
            threads,
        )  # fmt: skip
        _run.check_status(geometry.op, status)


def run_grad_weight(geometry, x, grad_output, weight, needs, num_threads):
    need_weight, need_bias = needs
    grad_weight = grad_bias = None
    if need_weight:
        grad_weight = _arrays.empty(geometry.op, weight.shape, weight.dtype)
        kernel = _kernels.winograd[x.dtype.char]
        threads = _threads.effective(geometry.op, num_threads, geometry.work)
        status = kernel.grad_weight(
            _arrays.expand_space(x), _arrays.expand_space(grad_output),
            _run.filters(grad_weight, geometry.groups), geometry.kernel_args[2], threads,
        )  # fmt: skip
        _run.check_status(geometry.op, status)
    if need_bias:
        _, grad_bias = _run.run_grad_weight(
            geometry, x, grad_output, weight, (False, True), num_threads
        )
    return grad_weight, grad_bias


class KeptFilters:
    """The transformed filters of a layer's forward passes, until its weight changes."""

    def __init__(self):
        self._filters = self._layout = self._prepared = None

    def prepare(self, kernel, filters, out_size, num_threads):
        """The transform of (G, O, I, *kernel) filters, for outputs of this size."""
        layout = filters.shape, filters.dtype, *kernel.prepared_layout(filters, out_size)
        flat = filters.reshape(-1)
        if layout != self._layout or not kernel.same(flat, self._filters):
            self._layout, self._filters = layout, flat.copy()
            self._prepared = np.empty(layout[-1], filters.dtype)
            kernel.prepare(filters, out_size, self._prepared, num_threads)
        return self._prepared


def _plain(geometry):
    return {*geometry.kernel} == {TAPS} and {*geometry.stride, *geometry.dilation} == {1}


def _phased(geometry):
    """Whether 3 taps suffice for each phase, and 2 do not."""
    return {*geometry.dilation} == {1} and all(
        -(-k // s) == TAPS for k, s in zip(geometry.kernel, geometry.stride, strict=True)
    )


def _phase(f, stride, pad):
    """(first input of output f, its first tap) of a phase along one axis."""
    return divmod(f + pad, stride)


def _three_taps(filters, kernel):
    """Filters of a phase, with zeros for the taps that it lacks."""
    missing = [TAPS - size for size in filters.shape[-len(kernel) :]]
    if not any(missing):
        return filters
    return np.pad(filters, [(0, 0)] * (6 - len(kernel)) + [(0, more) for more in missing])


@lru_cache(1024)
def _gain(geometry, kernel):
    """How much faster winograd is expected to be, as a ratio of times."""
    space = geometry.wide if kernel == "grad_input" else geometry.narrow
    channels = geometry.wide_channels, geometry.narrow_channels
    if kernel == "grad_input":
        channels = channels[::-1]
        phases = np.prod(geometry.stride)
        space = tuple(-(-size // s) for size, s in zip(space, geometry.stride, strict=True))
    else:
        phases = 1
    missing = 3 - len(space)
    correlate, grad_weight = _kernels.winograd["f"].gains(
        geometry.batch * int(phases), geometry.groups,
        *(count // geometry.groups for count in channels),
        (1,) * missing + (TAPS,) * len(space), (1,) * missing + space,
    )  # fmt: skip
    # A phase may lack taps, which the direct kernels then leave out.
    used = np.prod(geometry.kernel) / (TAPS ** len(space) * phases)
    return grad_weight if kernel == "grad_weight" else correlate * used
