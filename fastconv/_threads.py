"""How many threads a kernel may use.

In order: the call's own `num_threads`; `set_num_threads`; OMP_NUM_THREADS; the processors that the
affinity mask and the cgroup quota allow (the mask is looked at again after LOOK_AGAIN, the variable
and the quota are those at import).  A limit set through threadpoolctl or omp_set_num_threads
caps all of these.  A forked child runs serially, and says so once: GNU OpenMP hangs in a child that
opens a parallel region.  The result of a kernel does not depend on any of this.
"""

import math
import os
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

from fastconv._kernels import capi, cpu
from fastconv._setting import Setting
from fastconv._shapes import integer

# A parallel region pays once its loops do this many multiply-adds (about 20 microseconds).
SERIAL_WORK = 1_000_000
# Multiply-adds in the time that memory takes for one element.
ELEMENT_WORK = 8

LOOK_AGAIN = 0.05  # seconds: to ask for the affinity mask may take longer than a small kernel

_openmp_at_import = cpu.openmp_max_threads()
_asked = os.environ.get("OMP_NUM_THREADS")  # when OpenMP reads it
_seen, _seen_until = 1, -math.inf
_chosen = Setting()
_forked = _said_forked = False


class _OfThread(threading.local):
    most = None  # the limit of `at_most`; in the class: to miss an attribute takes its time


_of_thread = _OfThread()


def _cgroup_quota(root=Path("/sys/fs/cgroup")):
    """Processors that a container's CPU quota grants, infinity when there is none."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return math.inf
    try:
        quota, period = int(quota), int(period)
    except ValueError:  # "max"
        return math.inf
    return max(1, math.ceil(quota / period)) if quota > 0 and period > 0 else math.inf


_quota = _cgroup_quota()  # once: reading it costs more than a small kernel


def available_processors():
    """Processors that this process may use: affinity mask and cgroup quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        count = os.cpu_count() or 1
    return int(min(count, _quota))


def _default():
    global _seen, _seen_until
    chosen = _chosen.value
    if chosen is not None:
        return chosen
    if _asked:
        return _openmp_at_import
    now = time.monotonic()
    if now >= _seen_until:
        _seen, _seen_until = available_processors(), now + LOOK_AGAIN
    return _seen


def _checked(num_threads):
    if num_threads is None:
        return None
    return integer("set_num_threads", "num_threads", num_threads, 1)


def set_num_threads(num_threads):
    """Threads for every later call that does not name its own number; None: the default again."""
    _chosen.set(_checked(num_threads))
    capi.set_default_threads(_default())


def get_num_threads():
    """Threads that a large call without `num_threads` uses now."""
    return effective("get_num_threads", None)


@contextmanager
def num_threads(count):
    """Context manager: `set_num_threads(count)` inside, the old setting after."""
    try:
        with _chosen.within(_checked(count)):
            capi.set_default_threads(_default())
            yield
    finally:
        capi.set_default_threads(_default())


@contextmanager
def at_most(count):
    """Context manager: a limit for the calls of this Python thread, set by who calls on behalf."""
    before = _of_thread.most
    _of_thread.most = count
    try:
        yield
    finally:
        _of_thread.most = before


def effective(op, num_threads, work=SERIAL_WORK):
    """Threads for one call of `work` multiply-adds, or what takes as long."""
    if num_threads is None:
        if work < SERIAL_WORK:
            return 1
        threads = _default()
    else:
        threads = integer(op, "num_threads", num_threads, 1)
    if not cpu.openmp_version():
        return 1
    limit = cpu.openmp_max_threads()
    if limit < _openmp_at_import:
        threads = min(threads, limit)
    if _of_thread.most is not None:
        threads = min(threads, _of_thread.most)
    if _forked and threads > 1:
        _say_forked()
        return 1
    return min(threads, 1024)


def _say_forked():
    global _said_forked
    if not _said_forked:
        _said_forked = True
        warnings.warn(
            "fastconv: this process was forked, and GNU OpenMP would hang in it: kernels run on "
            "one thread here.  The start methods 'spawn' and 'forkserver' have no such limit",
            RuntimeWarning,
            stacklevel=2,
        )


def _after_fork_in_child():
    global _forked, _said_forked
    _forked, _said_forked = True, False


capi.set_default_threads(_default())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
