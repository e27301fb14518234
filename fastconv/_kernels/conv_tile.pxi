# The register tile: the one loop in which fastconv spends its time.
#
#     o[i, v] = leaky(start + sum over t < n_outer, c < n_inner of  a[i] * b[v])
#
# `a` is broadcast, one scalar for each of PX rows; `b` brings NV vectors.  Both streams jump by a
# table at each outer step and advance by a constant at each inner one, so taps, strides, dilation,
# phases and borders are data.  See conv.pyx for what the streams are in each pass.
#
# Rows need not be evenly spaced: a tile may be given the list of their offsets.  A tile that slides
# has one scalar of `a` for all rows, and its rows are rows of `b`:
#
#     o[i, v] = leaky(start + sum of  a * b[i, v])
#
# which is how a single filter, too few for rows of a tile, meets several rows of output.  A few
# filters meet several rows in a stack, where vectors of `b` are as far apart as these.  Where
# each lane has an input of its own, `a` brings vectors, too:
#
#     o[i, v] = leaky(start + sum of  a[i, v] * b[v])
#
# A load for each multiply-add is one too many: where a step of the sum is a step to the next row,
# the tile rolls, and keeps what it has loaded for the row before.
#
# The same holds for taps that are neighbours, one row after another.  They form a chain, which one
# step takes as a whole: a scalar of `a` is broadcast once and meets each of them.
#
#     o[i, v] = leaky(start + sum over r < CHAIN, too, of  a[i + r] * b[r, v])
#
# Under dilation, positions that far apart share cells in this way, and they are rows of one tile.

cdef extern from *:
    """
    #define MAX_PX 16
    #define MAX_NV 4
    #define MAX_CHAIN 5
    #define AHEAD_STEPS 12
    #define SLIDE_ROWS (REGISTERS == 32 ? 6 : 3)
    #define STACK_PX 7
    /* Each listed row has a general register for its offset. */
    #define LANEWISE_PX (FUSED ? 9 : 6)
    #define LANEWISE_NV 2
    /* A tile is only a tile when its bounds are constants, so inlining is not a matter of taste. */
    #if defined(__GNUC__)
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    #endif
    """
    enum:
        MAX_PX
        MAX_NV
        MAX_CHAIN
        SLIDE_ROWS      # of a tile that slides
        STACK_PX        # more filters have sums enough in one row
        LANEWISE_PX
        LANEWISE_NV
        AHEAD_STEPS     # `b` comes from L2 and is wanted so early


cdef struct stream_t:
    # What stays the same from tile to tile in one pass; steps in elements.
    idx_t n_outer, n_inner
    const idx_t* a_off      # [n_outer], in units of a_unit elements
    const idx_t* b_off      # [n_outer], in units of b_unit elements
    idx_t a_unit, b_unit
    idx_t a_row             # from row to row of the tile: in `a`, in `b` where it slides or stacks
    const idx_t* a_rows     # where its rows are listed
    idx_t a_step            # from inner step to inner step
    idx_t b_step
    idx_t low, high         # scalars that a chain meets first and last and that are padding
    idx_t n_lone            # outer steps that follow, of a tap without a chain
    const idx_t* a_lone
    const idx_t* b_lone
    idx_t o_row             # from row to row of the output; vectors lie side by side
    real slope              # of the result where it is negative; 1 leaves it alone


cdef enum rows_of_tile:
    STEPPED     # at a + i * a_row
    BESIDE      # the same with an a_row of 1: offsets are constants, not sums to be taken
    LISTED      # at a + a_rows[i]
    STACKED     # as BESIDE; vectors of b are a_row apart
    SLIDING     # a is the same for all rows, b at b + i * a_row
    LANEWISE    # listed, and a brings vectors
    ROLLING     # the same, stepped; each row comes to be the one before it


cdef enum start_t:
    ADD         # o = o + sum
    ROW_BIAS    # o = bias[i] + sum, one scalar for each row
    LANE_BIAS   # o = bias[v] + sum, one vector entry for each column


cdef inline vec finished(bint LEAKY, vec x, real slope) noexcept nogil:
    return leaky(x, slope) if LEAKY else x


cdef inline void store_tile(int PX, int NV, rows_of_tile ROWS, bint LEAKY, const vec* acc,
                            const stream_t* s, start_t start, const real* bias,
                            real* o) noexcept nogil:
    # No question inside a loop: sums would go through memory.
    cdef idx_t o_row = s.o_row
    cdef real slope = s.slope
    cdef int i, v
    if start == ADD:
        for i in range(PX):
            for v in range(NV):
                (<vec*> (o + i * o_row))[v] = finished(
                    LEAKY, (<vec*> (o + i * o_row))[v] + acc[i * MAX_NV + v], slope)
    elif start == LANE_BIAS:
        for i in range(PX):
            for v in range(NV):
                (<vec*> (o + i * o_row))[v] = finished(
                    LEAKY, (<const vec*> bias)[v] + acc[i * MAX_NV + v], slope)
    else:
        for i in range(PX):
            for v in range(NV):
                (<vec*> (o + i * o_row))[v] = finished(
                    LEAKY, splat(bias[0 if ROWS == SLIDING else i]) + acc[i * MAX_NV + v], slope)


# LOW and HIGH of the scalars of a chain, the first and last that PX rows meet, are left out.
cdef inline void tile(int CHAIN, int LOW, int HIGH, int PX, int NV, rows_of_tile ROWS,
                      const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    cdef vec acc[16][4]
    cdef vec window[16]
    cdef vec beside[16]
    cdef vec x
    cdef const real* at
    cdef const real* row = NULL
    cdef const vec* bt
    cdef idx_t t, c
    cdef int i, r, v
    # Sums start at zero and meet `start` at the end: between branches gcc would spill them.
    for i in range(PX):
        for v in range(NV):
            acc[i][v] = splat(0)
    for t in range(s.n_outer):
        at = a + s.a_off[t] * s.a_unit
        bt = <const vec*> (b + s.b_off[t] * s.b_unit)
        if ROWS == ROLLING:
            for i in range(PX - 1):
                window[i + 1] = (<const vec*> (at + i * s.a_row))[0]
            at = at + (PX - 1) * s.a_row
        for c in range(s.n_inner):
            if ROWS == ROLLING:
                for i in range(PX - 1):
                    window[i] = window[i + 1]
                window[PX - 1] = (<const vec*> at)[0]
            if PX >= 5 and (ROWS == STEPPED or ROWS == BESIDE or ROWS == LISTED):   # else loads are short
                for v in range(CHAIN * NV):
                    prefetch(<const real*> (bt + v), AHEAD_STEPS * s.b_step // CHAIN)
            for v in range(CHAIN * NV if ROWS != SLIDING else 0):
                if ROWS == STACKED:
                    beside[v] = loaded_once((<const vec*> (<const real*> bt + v * s.a_row))[0])
                else:
                    beside[v] = loaded_once(bt[v])
            if CHAIN > 1:
                for i in range(LOW, PX + CHAIN - 1 - HIGH):
                    x = splat(at[i * s.a_row])
                    for r in range(CHAIN):
                        if r <= i and i - r < PX:
                            for v in range(NV):
                                acc[i - r][v] = acc[i - r][v] + x * beside[r * NV + v]
            for i in range(PX if CHAIN == 1 else 0):
                if ROWS == LANEWISE:
                    row = one_register(at + s.a_rows[i])
                for v in range(NV):
                    if ROWS == SLIDING:
                        acc[i][v] = acc[i][v] + at[0] * (
                            <const vec*> (<const real*> bt + i * s.a_row))[v]
                    elif ROWS == ROLLING:
                        acc[i][v] = acc[i][v] + window[i] * beside[v]
                    elif ROWS == LANEWISE:
                        acc[i][v] = acc[i][v] + (<const vec*> row)[v] * beside[v]
                    elif ROWS == BESIDE or ROWS == STACKED:
                        acc[i][v] = acc[i][v] + at[i] * beside[v]
                    elif ROWS == LISTED:
                        acc[i][v] = acc[i][v] + at[s.a_rows[i]] * beside[v]
                    else:
                        acc[i][v] = acc[i][v] + at[i * s.a_row] * beside[v]
            at = at + s.a_step
            bt = <const vec*> (<const real*> bt + s.b_step)
    for t in range(s.n_lone if CHAIN > 1 else 0):
        at = a + s.a_lone[t] * s.a_unit
        bt = <const vec*> (b + s.b_lone[t] * s.b_unit)
        for c in range(s.n_inner):
            for v in range(NV):
                beside[v] = loaded_once(bt[v])
            for i in range(PX):
                for v in range(NV):
                    acc[i][v] = acc[i][v] + at[i * s.a_row] * beside[v]
            at = at + s.a_step
            bt = bt + NV
    if s.slope == 1:
        store_tile(PX, NV, ROWS, False, &acc[0][0], s, start, bias, o)
    else:
        store_tile(PX, NV, ROWS, True, &acc[0][0], s, start, bias, o)


cdef inline bint fits(int CHAIN, int PX, int NV, rows_of_tile ROWS) noexcept nogil:
    """Whether the sums, NV vectors of `b` and a broadcast of `a` all stay in registers."""
    if CHAIN > 1:
        # Broadcasts are used again, so they are no part of an instruction.
        return (PX + CHAIN) * NV + 1 < REGISTERS
    if ROWS == ROLLING:
        return 2 * PX + 2 < REGISTERS
    if PX > (LANEWISE_PX if ROWS == LANEWISE else STACK_PX if ROWS == STACKED else MAX_PX):
        return False
    return (PX + 1) * NV < REGISTERS


cdef inline bint fits_edged(int CHAIN, int PX, int NV) noexcept nogil:
    """The same of a tile that leaves edges out: gcc wants a register more."""
    return (PX + CHAIN) * NV + 2 < REGISTERS


cdef idx_t tallest(idx_t chain, idx_t nv) noexcept nogil:
    """Rows of the tallest tile that is nv vectors wide; none where no tile fits."""
    if chain > 1:
        return max(<idx_t> 0, min(<idx_t> MAX_PX, (REGISTERS - 2) // nv - chain))
    return min(<idx_t> MAX_PX, (REGISTERS - 1) // nv - 1)


cdef idx_t tallest_lanewise(idx_t nv, bint rolling) noexcept nogil:
    return (REGISTERS - 3) // 2 if rolling else min(<idx_t> LANEWISE_PX, tallest(1, nv))


cdef idx_t widest(idx_t chain) noexcept nogil:
    """Vectors across a tile that takes chains of so many taps; 0 where there is no such tile."""
    return MAX_NV if chain == 1 else 2 if chain == 5 else 3 if chain <= 3 else 0


cdef inline bint leaves_out(idx_t chain, idx_t low, idx_t high, idx_t px, idx_t nv) noexcept nogil:
    """Whether there is a tile that does: for borders of one cell, or two, on both sides of a row,
    and for those of a stretched input."""
    if (low == 0 and high == 0) or not fits_edged(<int> chain, <int> px, <int> nv):
        return False
    if chain == 3:
        return low == high and 1 <= low <= 2
    return chain == 2 and low + high == 1


cdef enum:
    TILE_CALL = 40      # multiply-adds in the time of calling a tile and storing it


cdef idx_t tile_cost(idx_t chain, idx_t px, idx_t nv) noexcept nogil:
    """Multiply-adds in the time of one reduction step: its own, `b` from L2, or latency."""
    cdef idx_t sums = chain * px * nv
    if REGISTERS < 32:
        # Broadcasts are instructions of their own: one vector is little for them.  About as many
        # sums as multiply-adds in flight wait for each other now and then.
        if nv == 1 and chain == 1:
            sums += 2 + px // 8
        return max(sums, chain * max(4 * nv, 8 + px * nv // 8))
    # Loads of whole vectors, and broadcasts to these, take time of multiply-adds.
    return max(sums + (px + chain - 1 + chain * nv) // 2, chain * max(4 * nv, <idx_t> 8))


cdef void store(const real* tile_out, idx_t tile_row, idx_t rows, idx_t lanes,
                real* o, idx_t o_row, idx_t o_lane) noexcept nogil:
    """Copies the used part of a tile to where it belongs."""
    cdef idx_t i, lane
    for i in range(rows):
        if o_lane == 1:
            copy(o + i * o_row, tile_out + i * tile_row, lanes)
            continue
        for lane in range(lanes):
            o[i * o_row + lane * o_lane] = tile_out[i * tile_row + lane]
