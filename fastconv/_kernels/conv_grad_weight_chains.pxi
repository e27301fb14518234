# Chains in grad_weight: taps of a row that read neighbouring cells, summed in one walk along it.
#
#     acc[r, c] += in[q, c] * g[q - r]        for every cell q of the row and every tap r of the chain
#
# A cell is broadcast once for all taps of the chain, and what it meets of grad_output rolls through
# registers, so each vector is loaded once.  At the ends of a row some taps have no partner.

cdef enum:
    CHAIN_ROWS = 14     # of a tile at most: input channels
    CHAIN_NV = 2        # vectors across it at most


cdef inline bint chain_fits(int CHAIN, int PX, int NV) noexcept nogil:
    """Whether the sums, CHAIN by NV vectors of grad_output and a broadcast stay in registers."""
    return (PX + 1) * CHAIN * NV + 1 <= REGISTERS


cdef idx_t tallest_chain(idx_t chain, idx_t nv) noexcept nogil:
    """Input channels of the tallest tile of such chains; none where there is no such tile."""
    if chain < 2 or chain > longest_chain(nv):
        return 0
    return max(<idx_t> 0, min(<idx_t> CHAIN_ROWS, (REGISTERS - 1) // (chain * nv) - 1))


cdef idx_t longest_chain(idx_t nv) noexcept nogil:
    """Taps of the longest chain in tiles of so many vectors."""
    return MAX_CHAIN if nv == 1 else 3 if nv == CHAIN_NV else 1


cdef inline void roll(int CHAIN, int NV, vec* g) noexcept nogil:
    cdef int r, v
    for r in range(CHAIN - 1, 0, -1):
        for v in range(NV):
            g[r * NV + v] = g[(r - 1) * NV + v]


cdef inline void meet_taps(int FIRST, int LAST, int PX, int NV, bint SIDE, const real* at,
                           idx_t row, const vec* g, vec* acc) noexcept nogil:
    """One cell of each channel and the taps from the first to the last."""
    cdef vec x
    cdef int i, r, v
    for i in range(PX):
        if SIDE:
            x = splat(at[i])
        elif NV == 1:
            x = splat(at[i * row])
        else:
            # Left alone, gcc fetches ahead, into the register of a sum.
            x = splat(one_register(at + i * row)[0])
        for r in range(FIRST, LAST):
            for v in range(NV):
                acc[(r * PX + i) * NV + v] = acc[(r * PX + i) * NV + v] + x * g[r * NV + v]


cdef inline void arrive(int TAPS, int PX, int NV, bint SIDE, const real* at, const real* bt,
                        idx_t row, vec* g, vec* acc) noexcept nogil:
    """The next cell, and the next of grad_output, which so many taps have reached by now."""
    cdef int v
    roll(TAPS, NV, g)
    for v in range(NV):
        g[v] = (<const vec*> bt)[v]
    meet_taps(0, TAPS, PX, NV, SIDE, at, row, g, acc)


cdef inline void leave(int GONE, int CHAIN, int PX, int NV, bint SIDE, const real* at, idx_t row,
                       vec* g, vec* acc) noexcept nogil:
    """The next cell, to which nothing comes any more: so many taps are past the end."""
    if GONE < CHAIN:
        roll(CHAIN, NV, g)
        meet_taps(GONE, CHAIN, PX, NV, SIDE, at, row, g, acc)


cdef inline void chain_tile(int CHAIN, int PX, int NV, bint SIDE, const stream_t* s, const real* a,
                            const real* b, real* o, idx_t o_tap) noexcept nogil:
    """Adds to o[r * o_tap + i * o_row + v].  SIDE: rows are side by side in `a`."""
    cdef vec acc[MAX_CHAIN * CHAIN_ROWS * CHAIN_NV]
    cdef vec g[MAX_CHAIN * CHAIN_NV]
    cdef const real* at
    cdef const real* bt
    cdef idx_t t, q, row = s.a_row, step = s.a_step
    cdef int i, r, v
    for i in range(CHAIN * PX * NV):
        acc[i] = splat(0)
    for t in range(s.n_outer):
        at = a + s.a_off[t]
        bt = b + s.b_off[t]
        # No loop: gcc would keep it, and the sums in memory.
        arrive(1, PX, NV, SIDE, at, bt, row, g, acc)
        if CHAIN > 2:
            arrive(2, PX, NV, SIDE, at + step, bt + s.b_step, row, g, acc)
        if CHAIN > 3:
            arrive(3, PX, NV, SIDE, at + 2 * step, bt + 2 * s.b_step, row, g, acc)
        if CHAIN > 4:
            arrive(4, PX, NV, SIDE, at + 3 * step, bt + 3 * s.b_step, row, g, acc)
        at = at + (CHAIN - 1) * step
        bt = bt + (CHAIN - 1) * s.b_step
        for q in range(s.n_inner - (CHAIN - 1)):
            arrive(CHAIN, PX, NV, SIDE, at, bt, row, g, acc)
            for v in range(NV):
                prefetch(bt + v * LANES, AHEAD_STEPS * s.b_step)
            at = at + step
            bt = bt + s.b_step
        leave(1, CHAIN, PX, NV, SIDE, at, row, g, acc)
        leave(2, CHAIN, PX, NV, SIDE, at + step, row, g, acc)
        leave(3, CHAIN, PX, NV, SIDE, at + 2 * step, row, g, acc)
        leave(4, CHAIN, PX, NV, SIDE, at + 3 * step, row, g, acc)
    for r in range(CHAIN):
        for i in range(PX):
            for v in range(NV):
                (<vec*> (o + r * o_tap + i * s.o_row))[v] = (
                    (<vec*> (o + r * o_tap + i * s.o_row))[v] + acc[(r * PX + i) * NV + v])


cdef inline void chain_rows(int CHAIN, int NV, bint SIDE, int px, const stream_t* s, const real* a,
                            const real* b, real* o, idx_t o_tap) noexcept nogil:
    if px == 1:
        chain_tile(CHAIN, 1, NV, SIDE, s, a, b, o, o_tap)
    elif px == 2 and chain_fits(CHAIN, 2, NV):
        chain_tile(CHAIN, 2, NV, SIDE, s, a, b, o, o_tap)
    elif px == 3 and chain_fits(CHAIN, 3, NV):
        chain_tile(CHAIN, 3, NV, SIDE, s, a, b, o, o_tap)
    elif px == 4 and chain_fits(CHAIN, 4, NV):
        chain_tile(CHAIN, 4, NV, SIDE, s, a, b, o, o_tap)
    elif px == 5 and chain_fits(CHAIN, 5, NV):
        chain_tile(CHAIN, 5, NV, SIDE, s, a, b, o, o_tap)
    elif px == 6 and chain_fits(CHAIN, 6, NV):
        chain_tile(CHAIN, 6, NV, SIDE, s, a, b, o, o_tap)
    elif px == 7 and chain_fits(CHAIN, 7, NV):
        chain_tile(CHAIN, 7, NV, SIDE, s, a, b, o, o_tap)
    elif px == 8 and chain_fits(CHAIN, 8, NV):
        chain_tile(CHAIN, 8, NV, SIDE, s, a, b, o, o_tap)
    elif px == 9 and chain_fits(CHAIN, 9, NV):
        chain_tile(CHAIN, 9, NV, SIDE, s, a, b, o, o_tap)
    elif px == 10 and chain_fits(CHAIN, 10, NV):
        chain_tile(CHAIN, 10, NV, SIDE, s, a, b, o, o_tap)
    elif px == 11 and chain_fits(CHAIN, 11, NV):
        chain_tile(CHAIN, 11, NV, SIDE, s, a, b, o, o_tap)
    elif px == 12 and chain_fits(CHAIN, 12, NV):
        chain_tile(CHAIN, 12, NV, SIDE, s, a, b, o, o_tap)
    elif px == 13 and chain_fits(CHAIN, 13, NV):
        chain_tile(CHAIN, 13, NV, SIDE, s, a, b, o, o_tap)
    elif px == 14 and chain_fits(CHAIN, 14, NV):
        chain_tile(CHAIN, 14, NV, SIDE, s, a, b, o, o_tap)


# As with other tiles, a function for each width, here for each length, too.
cdef void rolling2_nv1(int px, const stream_t* s, const real* a, const real* b, real* o,
                        idx_t o_tap) noexcept nogil:
    if s.a_row == 1:
        chain_rows(2, 1, True, px, s, a, b, o, o_tap)
    else:
        chain_rows(2, 1, False, px, s, a, b, o, o_tap)

cdef void rolling2_nv2(int px, const stream_t* s, const real* a, const real* b, real* o,
                        idx_t o_tap) noexcept nogil:
    if s.a_row == 1:
        chain_rows(2, 2, True, px, s, a, b, o, o_tap)
    else:
        chain_rows(2, 2, False, px, s, a, b, o, o_tap)

cdef void rolling3_nv1(int px, const stream_t* s, const real* a, const real* b, real* o,
                        idx_t o_tap) noexcept nogil:
    if s.a_row == 1:
        chain_rows(3, 1, True, px, s, a, b, o, o_tap)
    else:
        chain_rows(3, 1, False, px, s, a, b, o, o_tap)

cdef void rolling3_nv2(int px, const stream_t* s, const real* a, const real* b, real* o,
                        idx_t o_tap) noexcept nogil:
    if s.a_row == 1:
        chain_rows(3, 2, True, px, s, a, b, o, o_tap)
    else:
        chain_rows(3, 2, False, px, s, a, b, o, o_tap)

cdef void rolling4_nv1(int px, const stream_t* s, const real* a, const real* b, real* o,
                        idx_t o_tap) noexcept nogil:
    if s.a_row == 1:
        chain_rows(4, 1, True, px, s, a, b, o, o_tap)
    else:
        chain_rows(4, 1, False, px, s, a, b, o, o_tap)

cdef void rolling5_nv1(int px, const stream_t* s, const real* a, const real* b, real* o,
                        idx_t o_tap) noexcept nogil:
    if s.a_row == 1:
        chain_rows(5, 1, True, px, s, a, b, o, o_tap)
    else:
        chain_rows(5, 1, False, px, s, a, b, o, o_tap)


cdef void run_rolling_chain(int chain, int px, int nv, const stream_t* s, const real* a,
                            const real* b, real* o, idx_t o_tap) noexcept nogil:
    """Rows of at least so many cells as the chain has taps."""
    if chain == 2 and nv == 1:
        rolling2_nv1(px, s, a, b, o, o_tap)
    elif chain == 2:
        rolling2_nv2(px, s, a, b, o, o_tap)
    elif chain == 3 and nv == 1:
        rolling3_nv1(px, s, a, b, o, o_tap)
    elif chain == 3:
        rolling3_nv2(px, s, a, b, o, o_tap)
    elif chain == 4:
        rolling4_nv1(px, s, a, b, o, o_tap)
    else:
        rolling5_nv1(px, s, a, b, o, o_tap)


cdef idx_t chain_step_cost(idx_t chain, idx_t px, idx_t nv) noexcept nogil:
    """Multiply-adds in the time of one cell, by the measure of tile_cost: that ignores loads."""
    cdef idx_t cost = (5 * chain * px * nv + 2 * (px + nv)) // 6
    if chain == 1:
        return tile_cost(1, px, nv)
    return max(cost + cost // 8 if chain == 2 else cost, <idx_t> 11)
