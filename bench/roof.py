"""The processor's multiply-add rate: no pass can be faster."""

import time

import numpy as np

from fastconv import _kernels


class Roof:
    """The best of many short samples, for frequencies drift: take some before, during and after."""

    def __init__(self, dtype, threads):
        self.kernel = _kernels.conv[np.dtype(dtype).char]
        self.threads = threads
        self.best = 0.0  # floating-point operations per second

    def sample(self, seconds=0.02, count=3):
        """Raises `best` where one of `count` samples is better."""
        _, taken = self._run(1000, 1)
        repeats = max(1, int(1000 * seconds / taken))
        for _ in range(count):
            operations, taken = self._run(repeats, self.threads)
            self.best = max(self.best, operations / taken)
        return self.best

    def _run(self, repeats, threads):
        start = time.perf_counter()
        operations, _ = self.kernel.multiply_add_rate(repeats, 1.0, 2.0**-10, threads)
        return operations, time.perf_counter() - start
