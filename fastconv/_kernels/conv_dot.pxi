# Inner products along the columns, for grad_weight of few channels in a group: depthwise above all.
#
#     sums[t, i] += sum over rows and columns of  g[i, row, column] * x[row, column + tap t]
#
# Lanes are columns, so neither array is turned; the lanes of each sum are added at the end.

cdef extern from *:
    """
    /* Each tap has a general register for its offset. */
    #define MAX_PT (FUSED ? 9 : 6)
    """
    enum:
        MAX_PT


cdef struct dot_t:
    idx_t rows, columns
    const idx_t* x_off          # [rows]
    const idx_t* tap_off        # offsets of the taps in x
    idx_t g_row, g_channel      # g's rows are padded with zeros to whole vectors
    idx_t sum_tap               # from tap to tap of the sums; channels lie side by side


cdef inline idx_t most_taps(idx_t pk) noexcept nogil:
    """The largest number that fits."""
    return min(<idx_t> MAX_PT, (REGISTERS - 3) // pk - 1)


cdef inline bint dot_fits(int PK, int PT) noexcept nogil:
    """Whether PK * PT sums, PK vectors of g and one of x stay in registers, with one to spare."""
    return PT <= MAX_PT and (PT + 1) * PK + 2 < REGISTERS


cdef inline void dot(int PK, int PT, const dot_t* s, const real* x, const real* g,
                     real* sums) noexcept nogil:
    cdef vec acc[4][9]
    cdef vec gv[4]
    cdef vec xv
    cdef const real* xt
    cdef const real* gt
    cdef idx_t row, j, vectors = s.columns // LANES, rest = s.columns % LANES
    cdef int i, t
    for i in range(PK):
        for t in range(PT):
            acc[i][t] = splat(0)
    for row in range(s.rows):
        xt = x + s.x_off[row]
        gt = g + row * s.g_row
        for j in range(vectors):
            for i in range(PK):
                gv[i] = (<const vec*> (gt + i * s.g_channel))[0]
            for t in range(PT):
                xv = (<const vec*> (xt + s.tap_off[t]))[0]
                for i in range(PK):
                    acc[i][t] = acc[i][t] + gv[i] * xv
            xt = xt + LANES
            gt = gt + LANES
        if rest:
            for i in range(PK):
                gv[i] = (<const vec*> (gt + i * s.g_channel))[0]
            for t in range(PT):
                # Cells past the row belong to others; zero times their NaN would not be zero.
                xv = first_lanes((<const vec*> (xt + s.tap_off[t]))[0], rest)
                for i in range(PK):
                    acc[i][t] = acc[i][t] + gv[i] * xv
    for i in range(PK):
        for t in range(PT):
            sums[t * s.sum_tap + i] += sum_lanes(acc[i][t])


cdef inline void dot_taps(int PK, int pt, const dot_t* s, const real* x, const real* g,
                          real* sums) noexcept nogil:
    if pt == 1:
        dot(PK, 1, s, x, g, sums)
    elif pt == 2:
        dot(PK, 2, s, x, g, sums)
    elif pt == 3 and dot_fits(PK, 3):
        dot(PK, 3, s, x, g, sums)
    elif pt == 4 and dot_fits(PK, 4):
        dot(PK, 4, s, x, g, sums)
    elif pt == 5 and dot_fits(PK, 5):
        dot(PK, 5, s, x, g, sums)
    elif pt == 6 and dot_fits(PK, 6):
        dot(PK, 6, s, x, g, sums)
    elif pt == 7 and dot_fits(PK, 7):
        dot(PK, 7, s, x, g, sums)
    elif pt == 8 and dot_fits(PK, 8):
        dot(PK, 8, s, x, g, sums)
    elif pt == 9 and dot_fits(PK, 9):
        dot(PK, 9, s, x, g, sums)


cdef void run_dot(int pk, int pt, const dot_t* s, const real* x, const real* g,
                  real* sums) noexcept nogil:
    if pk == 4:
        dot_taps(4, pt, s, x, g, sums)
    elif pk == 2:
        dot_taps(2, pt, s, x, g, sums)
    else:
        dot_taps(1, pt, s, x, g, sums)


cdef inline idx_t dot_channels(idx_t channels) noexcept nogil:
    """Channels of the next tile."""
    return 4 if channels >= 4 else 2 if channels >= 2 else 1


cdef idx_t dot_cost(idx_t channels, idx_t taps) noexcept nogil:
    """Issue slots of a vector of columns: multiply-adds, or loads, x's across two cache lines."""
    cdef idx_t pk, pt, cost = 0
    while channels > 0:
        pk = dot_channels(channels)
        pt = even(taps, most_taps(pk))
        cost += ceil_div(taps, pt) * max(pk * pt, pk + 2 * pt)
        channels -= pk
    return cost


cdef void add_dots(const dot_t* s, idx_t channels, idx_t taps, const real* x, const real* g,
                   real* sums) noexcept nogil:
    """All channels and taps of one input channel."""
    cdef idx_t k = 0, pk, pt, i
    cdef dot_t part = s[0]
    while k < channels:
        pk = dot_channels(channels - k)
        pt = even(taps, most_taps(pk))
        for i in range(ceil_div(taps, pt)):
            part.tap_off = s.tap_off + i * pt
            run_dot(<int> pk, <int> min(pt, taps - i * pt), &part, x, g + k * s.g_channel,
                    sums + i * pt * s.sum_tap + k)
        k += pk
