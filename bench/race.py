"""The clock: contestants in turn, a block of calls each, several rounds.

Never call by call: the idle threads of one library's pool spin on, OpenMP's for some milliseconds,
OpenBLAS's and ONNX Runtime's for longer, and slow the next library by half and more.  So a block
begins with a pause, in which every pool falls asleep, and with calls that are not counted.
"""

import statistics
import time

PAUSE = 2.0  # of a block's time: 100 ms of 50
UNCOUNTED = 0.4  # of a block's time


def first_call(call):
    """(seconds of the first call, its result), after a pause in which every pool falls asleep."""
    time.sleep(0.02)
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def block(call, seconds):
    """Seconds of one call, averaged over a block of at least so many seconds."""
    time.sleep(PAUSE * seconds)
    _repeat(call, UNCOUNTED * seconds)
    calls, taken = _repeat(call, seconds)
    return taken / calls


def _repeat(call, seconds):
    calls, start = 0, time.perf_counter()
    while True:
        call()
        calls += 1
        taken = time.perf_counter() - start
        if taken >= seconds:
            return calls, taken


def race(contestants, rounds, block_seconds):
    """{name: (best, median)} seconds of a call, from {name: call}."""
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            times[name].append(block(call, block_seconds))
    return {name: (min(each), statistics.median(each)) for name, each in times.items()}
