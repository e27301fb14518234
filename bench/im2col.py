"""Convolution as it is usually done: im2col and BLAS, honestly.

The windows of the input are unrolled into a matrix, and one matrix product for each image and group
does the arithmetic.  The matrix is allocated once and used again; the copies run on as many threads
as BLAS; a 1x1 convolution of stride 1 unrolls nothing.  In memory the matrix is the kernel's area
times the input: `bytes` says how much.

A transposed convolution is the same with its arrays exchanged.  Below, `wide` is the array that a
convolution reads and `narrow` the one that it writes.
"""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np


class Im2col:
    """The passes of one `Problem`, for arrays of (N, C, *space) in C order."""

    def __init__(self, problem, dtype=np.float32, threads=1):
        self.problem = problem
        sides = (problem.in_channels, problem.space), (problem.out_channels, problem.out_space)
        wide, narrow = reversed(sides) if problem.transposed else sides
        self.wide_channels, self.wide_space = wide
        self.narrow_channels, self.narrow_space = narrow
        self.dtype = np.dtype(dtype)
        self.direct = (
            set(problem.kernel + problem.stride) == {1} and set(problem.padding) == {0}
        ) and self.wide_space == self.narrow_space
        self.workers = ThreadPoolExecutor(threads) if threads > 1 else None
        self.threads = threads
        self._matrix = None

    # The three passes

    def forward(self, x, weight):
        return self._to_wide(x, weight) if self.problem.transposed else self._to_narrow(x, weight)

    def grad_input(self, grad_output, weight):
        if self.problem.transposed:
            return self._to_narrow(grad_output, weight)
        return self._to_wide(grad_output, weight)

    def grad_weight(self, grad_output, x):
        narrow, wide = (x, grad_output) if self.problem.transposed else (grad_output, x)
        matrix, narrow = self._unrolled(wide), self._as_matrices(narrow)
        grad = narrow[0] @ matrix[0].swapaxes(1, 2)
        part = np.empty_like(grad)
        for image in range(1, len(matrix)):
            grad += np.matmul(narrow[image], matrix[image].swapaxes(1, 2), out=part)
        shape = (self.narrow_channels, self.wide_channels // self.problem.groups)
        return grad.reshape(*shape, *self.problem.kernel)

    @property
    def bytes(self):
        """Memory beside the arrays of the problem."""
        return 0 if self._matrix is None else self._matrix.nbytes

    # What they are made of

    def _to_narrow(self, wide, weight):
        narrow = self._filters(weight) @ self._unrolled(wide)
        return narrow.reshape(len(wide), self.narrow_channels, *self.narrow_space)

    def _to_wide(self, narrow, weight):
        filters = self._filters(weight).swapaxes(1, 2)
        if self.direct:
            wide = filters @ self._as_matrices(narrow)
        else:
            np.matmul(filters, self._as_matrices(narrow), out=self._matrix_of_windows())
            wide = self._folded()
        return wide.reshape(len(narrow), self.wide_channels, *self.wide_space)

    def _filters(self, weight):
        """(groups, narrow channels, wide channels * taps)."""
        return weight.reshape(self.problem.groups, self.narrow_channels // self.problem.groups, -1)

    def _as_matrices(self, array):
        """(N, groups, channels, positions)."""
        groups = self.problem.groups
        return array.reshape(len(array), groups, array.shape[1] // groups, -1)

    def _unrolled(self, wide):
        """im2col: (N, groups, wide channels * taps, positions)."""
        if self.direct:
            return self._as_matrices(wide)
        windows, planes = self._windows(), wide.reshape(-1, *self.wide_space)

        def unroll(chosen):
            for tap, cells, positions, outside in self._taps():
                windows[(chosen, *tap, *positions)] = planes[(chosen, *cells)]
                for border in outside:
                    windows[(chosen, *tap, *border)] = 0

        self._share_out(unroll)
        return self._matrix_of_windows()

    def _folded(self):
        """col2im: each window's part added to the cells that it covers."""
        windows = self._windows()
        wide = np.empty((len(windows), *self.wide_space), self.dtype)

        def fold(chosen):
            wide[chosen] = 0
            for tap, cells, positions, _ in self._taps():
                wide[(chosen, *cells)] += windows[(chosen, *tap, *positions)]

        self._share_out(fold)
        return wide

    def _taps(self):
        """(tap, cells of `wide` that it meets, positions where it does, the other positions)."""
        problem = self.problem
        everything = [slice(None)] * problem.ndim
        for tap in itertools.product(*map(range, problem.kernel)):
            cells, positions, outside = [], [], []
            for axis, count in enumerate(self.narrow_space):
                stride = problem.stride[axis]
                start = tap[axis] * problem.dilation[axis] - problem.padding[axis]
                high = min(count, (self.wide_space[axis] - 1 - start) // stride + 1)
                low = min(max(0, -(start // stride)), max(0, high))
                high = max(low, high)
                first = start + low * stride
                cells.append(slice(first, first + (high - low) * stride, stride))
                positions.append(slice(low, high))
                for border in (slice(0, low), slice(high, count)):
                    if border.start < border.stop:
                        outside.append((*everything[:axis], border, *everything[axis + 1 :]))
            yield tap, cells, positions, outside

    def _share_out(self, work):
        """Runs `work` on all planes, a slice of them on each thread."""
        planes = self.problem.batch * self.wide_channels
        cuts = [planes * part // self.threads for part in range(self.threads + 1)]
        shares = [slice(*ends) for ends in itertools.pairwise(cuts)]
        list((self.workers.map if self.workers else map)(work, shares))

    def _windows(self):
        """The matrix as (N * wide channels, *kernel, *positions)."""
        planes = self.problem.batch * self.wide_channels
        shape = (planes, *self.problem.kernel, *self.narrow_space)
        return self._matrix_of_windows().reshape(shape)

    def _matrix_of_windows(self):
        if self._matrix is None:
            problem = self.problem
            rows = self.wide_channels // problem.groups * math.prod(problem.kernel)
            shape = (problem.batch, problem.groups, rows, math.prod(self.narrow_space))
            self._matrix = np.empty(shape, self.dtype)
        return self._matrix
