# The processor's multiply-add rate, the roof of every pass: sums that stay in registers.  Nothing
# is loaded and no tile is involved: it says what this instruction set could do, not what we do.

cdef enum:
    CHAINS = 12         # independent sums: above latency times issue, and within 16 registers
    CHAIN_STEPS = 1024


cdef inline real run_chains(int wide, real x, real y) noexcept nogil:
    """CHAIN_STEPS of wide * CHAINS vector operations, and what they sum up to."""
    cdef vec acc[2][12]
    cdef vec factor = splat(x), term = splat(y), total = splat(0)
    cdef idx_t step
    cdef int i, v
    for v in range(wide):
        for i in range(CHAINS):
            acc[v][i] = splat(<real> (v * CHAINS + i))      # all different, or gcc keeps one
    for step in range(CHAIN_STEPS):
        for v in range(wide):
            for i in range(CHAINS):
                if FUSED:
                    acc[v][i] = acc[v][i] * factor + term
                elif i % 2:
                    acc[v][i] = acc[v][i] * factor
                else:
                    acc[v][i] = acc[v][i] + term
    for v in range(wide):
        for i in range(CHAINS):
            total = total + acc[v][i]
    return sum_lanes(total)


def multiply_add_rate(idx_t repeats, real x, real y, int num_threads):
    """Steps sums s = s * x + y in registers, `repeats` times on every thread.

    Returns (floating-point operations done, the total); the caller holds the clock.  A multiply-add
    is two operations; without that instruction as many multiplications as additions run.  The
    operands are arguments, and the total is returned, so that no compiler skips the work.
    """
    cdef idx_t i
    cdef real total = 0
    cdef int wide = 2 if REGISTERS == 32 else 1
    with nogil:
        for i in prange(repeats * num_threads, num_threads=num_threads, schedule="static"):
            if REGISTERS == 32:
                total += run_chains(2, x, y)
            else:
                total += run_chains(1, x, y)
    return (1 + FUSED) * repeats * num_threads * CHAIN_STEPS * wide * CHAINS * LANES, total
