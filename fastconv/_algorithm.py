"""Which algorithm a convolution runs by.

In order: the call's own `algorithm`; `set_algorithm`; FASTCONV_ALGORITHM; "direct".

    direct      one multiply-add for each tap: exact receptive fields, the smallest error
    winograd    Winograd's minimal filtering; ValueError where it does not apply
    auto        winograd where it applies and is expected to be faster
"""

import os
from contextlib import contextmanager

from fastconv._setting import Setting

ALGORITHMS = ("direct", "winograd", "auto")


def _check(op, value):
    if value not in ALGORITHMS:
        raise ValueError(f"{op}: algorithm must be one of {', '.join(ALGORITHMS)}, got {value!r}")
    return value


_default = _check("FASTCONV_ALGORITHM", os.environ.get("FASTCONV_ALGORITHM") or "direct")
_chosen = Setting()


def set_algorithm(algorithm):
    """The algorithm of every later convolution that does not name its own; None: the default again.

    "direct", "winograd" (ValueError from calls to which it does not apply) or "auto" (where it
    applies and is expected to be faster); anything else is a ValueError.
    """
    _chosen.set(algorithm if algorithm is None else _check("set_algorithm", algorithm))


def get_algorithm():
    """The algorithm of a convolution that does not name its own."""
    return _chosen.value or _default


@contextmanager
def algorithm(name):
    """Context manager: `set_algorithm(name)` inside, the old setting after."""
    with _chosen.within(name if name is None else _check("set_algorithm", name)):
        yield


def effective(op, algorithm):
    """The algorithm of one call."""
    return get_algorithm() if algorithm is None else _check(op, algorithm)
