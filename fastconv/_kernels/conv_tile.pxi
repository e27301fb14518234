# The register tile: the one loop in which fastconv spends its time.
#
#     o[i, v] = start + sum over t < n_outer, c < n_inner of  a[i] * b[v]
#
# `a` is broadcast, one scalar for each of PX rows; `b` brings NV vectors.  Both streams jump by a
# table at each outer step and advance by a constant at each inner one, so taps, strides, dilation,
# phases and borders are data.  See conv.pyx for what the streams are in each pass.

# Accumulators that fit the registers beside NV vectors of `b` and a broadcast of `a`.
cdef extern from *:
    """
    #if VEC_BYTES == 64 || defined(__aarch64__)
    #define MAX_ACC 28    /* 32 vector registers */
    #else
    #define MAX_ACC 12    /* 16 vector registers */
    #endif
    #define MAX_PX 14
    #define MAX_NV 4
    /* A tile is only a tile when its bounds are constants, so inlining is not a matter of taste. */
    #if defined(__GNUC__)
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    #endif
    """
    enum:
        MAX_ACC
        MAX_PX
        MAX_NV


cdef struct stream_t:
    # What stays the same from tile to tile in one pass; steps in elements.
    idx_t n_outer, n_inner
    const idx_t* a_off      # [n_outer]
    const idx_t* b_off      # [n_outer]
    idx_t a_row             # from row to row of the tile
    idx_t a_step            # from inner step to inner step
    idx_t b_step
    idx_t o_row             # from row to row of the output; vectors lie side by side


cdef enum start_t:
    ADD         # o += sum
    ROW_BIAS    # o = bias[i] + sum, one scalar for each row
    LANE_BIAS   # o = bias[v] + sum, one vector entry for each column


cdef inline void tile(int PX, int NV, const stream_t* s, const real* a, const real* b,
                      start_t start, const real* bias, real* o) noexcept nogil:
    cdef vec acc[14][4]
    cdef const real* at
    cdef const vec* bt
    cdef vec* ot
    cdef idx_t t, c
    cdef int i, v
    for i in range(PX):
        ot = <vec*> (o + i * s.o_row)
        for v in range(NV):
            if start == ADD:
                acc[i][v] = ot[v]
            elif start == LANE_BIAS:
                acc[i][v] = (<const vec*> bias)[v]
            else:
                acc[i][v] = splat(bias[i])
    for t in range(s.n_outer):
        at = a + s.a_off[t]
        bt = <const vec*> (b + s.b_off[t])
        for c in range(s.n_inner):
            for i in range(PX):
                for v in range(NV):
                    acc[i][v] = acc[i][v] + at[i * s.a_row] * bt[v]
            at = at + s.a_step
            bt = <const vec*> (<const real*> bt + s.b_step)
    for i in range(PX):
        ot = <vec*> (o + i * s.o_row)
        for v in range(NV):
            ot[v] = acc[i][v]


# Tiles of each height for one width, chosen at run time; those that would spill are not compiled.
cdef inline void tile_rows(int NV, int px, const stream_t* s, const real* a, const real* b,
                           start_t start, const real* bias, real* o) noexcept nogil:
    if px == 1:
        tile(1, NV, s, a, b, start, bias, o)
    elif px == 2:
        tile(2, NV, s, a, b, start, bias, o)
    elif px == 3:
        tile(3, NV, s, a, b, start, bias, o)
    elif px == 4 and 4 * NV <= MAX_ACC:
        tile(4, NV, s, a, b, start, bias, o)
    elif px == 5 and 5 * NV <= MAX_ACC:
        tile(5, NV, s, a, b, start, bias, o)
    elif px == 6 and 6 * NV <= MAX_ACC:
        tile(6, NV, s, a, b, start, bias, o)
    elif px == 7 and 7 * NV <= MAX_ACC:
        tile(7, NV, s, a, b, start, bias, o)
    elif px == 8 and 8 * NV <= MAX_ACC:
        tile(8, NV, s, a, b, start, bias, o)
    elif px == 9 and 9 * NV <= MAX_ACC:
        tile(9, NV, s, a, b, start, bias, o)
    elif px == 10 and 10 * NV <= MAX_ACC:
        tile(10, NV, s, a, b, start, bias, o)
    elif px == 11 and 11 * NV <= MAX_ACC:
        tile(11, NV, s, a, b, start, bias, o)
    elif px == 12 and 12 * NV <= MAX_ACC:
        tile(12, NV, s, a, b, start, bias, o)
    elif px == 13 and 13 * NV <= MAX_ACC:
        tile(13, NV, s, a, b, start, bias, o)
    elif px == 14 and 14 * NV <= MAX_ACC:
        tile(14, NV, s, a, b, start, bias, o)


# One function for each width: gcc allots registers by function, and these stay small enough.
cdef void tile_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, px, s, a, b, start, bias, o)

cdef void tile_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(2, px, s, a, b, start, bias, o)

cdef void tile_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(3, px, s, a, b, start, bias, o)

cdef void tile_nv4(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(4, px, s, a, b, start, bias, o)


cdef void run_tile(int px, int nv, const stream_t* s, const real* a, const real* b,
                   start_t start, const real* bias, real* o) noexcept nogil:
    if nv == 1:
        tile_nv1(px, s, a, b, start, bias, o)
    elif nv == 2:
        tile_nv2(px, s, a, b, start, bias, o)
    elif nv == 3:
        tile_nv3(px, s, a, b, start, bias, o)
    else:
        tile_nv4(px, s, a, b, start, bias, o)


cdef idx_t tallest(idx_t nv) noexcept nogil:
    """Rows of the tallest tile that is nv vectors wide."""
    return min(MAX_PX, MAX_ACC // nv)


cdef idx_t tile_cost(idx_t px, idx_t nv) noexcept nogil:
    """Issue slots of one reduction step: multiply-adds, loads two at a time, or latency."""
    return max(px * nv, px // 2 + nv, <idx_t> 5)


cdef void store(const real* tile_out, idx_t tile_row, idx_t rows, idx_t lanes,
                real* o, idx_t o_row, idx_t o_lane) noexcept nogil:
    """Copies the used part of a tile to where it belongs."""
    cdef idx_t i, lane
    for i in range(rows):
        for lane in range(lanes):
            o[i * o_row + lane * o_lane] = tile_out[i * tile_row + lane]
