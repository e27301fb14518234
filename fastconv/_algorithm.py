"""Which algorithm a convolution runs by.

In order: the call's own `algorithm`; `set_algorithm`; FASTCONV_ALGORITHM; "direct".

    direct      one multiply-add for each tap: exact receptive fields, the smallest error
    winograd    Winograd's minimal filtering; ValueError where it does not apply
    auto        winograd where it applies and is expected to be faster
"""

import os
from contextlib import contextmanager

ALGORITHMS = ("direct", "winograd", "auto")


def _check(op, value):
    if value not in ALGORITHMS:
        raise ValueError(f"{op}: algorithm must be one of {', '.join(ALGORITHMS)}, got {value!r}")
    return value


_default = _check("FASTCONV_ALGORITHM", os.environ.get("FASTCONV_ALGORITHM") or "direct")
_chosen = None
_contexts = []  # [name] of each `algorithm` that is entered, in any thread; the last one counts


def set_algorithm(algorithm):
    """The algorithm of every later convolution that does not name its own; None: the default again.

    "direct", "winograd" (ValueError from calls to which it does not apply) or "auto" (where it
    applies and is expected to be faster); anything else is a ValueError.
    """
    global _chosen
    if algorithm is not None:
        _check("set_algorithm", algorithm)
    if _contexts:
        _contexts[-1][0] = algorithm
    else:
        _chosen = algorithm


def get_algorithm():
    """The algorithm of a convolution that does not name its own."""
    return (_contexts[-1][0] if _contexts else _chosen) or _default


@contextmanager
def algorithm(name):
    """Context manager: `set_algorithm(name)` inside, the old setting after."""
    own = [None]
    _contexts.append(own)
    try:
        set_algorithm(name)
        yield
    finally:
        # Those of other threads may have been entered since.
        _contexts[:] = [each for each in _contexts if each is not own]


def effective(op, algorithm):
    """The algorithm of one call."""
    return get_algorithm() if algorithm is None else _check(op, algorithm)
