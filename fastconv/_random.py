"""The package's random numbers: one NumPy generator, used wherever no `rng` is given."""

import numpy as np

_package_generator = np.random.default_rng()


def manual_seed(seed):
    """Starts the package's generator anew from `seed` (an integer of at least 0) and returns it."""
    global _package_generator
    _package_generator = np.random.default_rng(seed)
    return _package_generator


def generator(rng=None):
    """`rng` itself, or the package's generator for None; TypeError for anything else."""
    if rng is None:
        return _package_generator
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator or None, got {rng!r}")
    return rng
