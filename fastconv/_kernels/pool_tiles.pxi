# Maxima of windows that tile a channels-last input: no overlap and no padding.  The place of a
# maximum is the number of its tap, in one byte; backward, every input cell belongs to one window or
# to none, and is written once.  There are as many channels as lanes, or more: the last vector of a
# window reaches back over the one before.

cdef struct tiles_t:
    real* x                 # (N, D, H, W, C): IN, and OUT of the gradient
    real* y                 # (N, OD, OH, OW, C): OUT, and IN of the gradient
    uint8_t* codes          # as y; NULL: not wanted
    idx_t channels
    idx_t size[3]
    idx_t out[3]
    idx_t kernel[3]


cdef inline idx_t cell_of(const tiles_t* p, const idx_t* size, idx_t n, idx_t d, idx_t h,
                          idx_t w) noexcept nogil:
    return (((n * size[0] + d) * size[1] + h) * size[2] + w) * p.channels


# The best so far and its tap meet another value.  Taps go backwards, so that the first of equals
# stays; a NaN is larger than any number.
cdef inline void meet(vec* best, lane_indices* taps, vec value, lane_index tap) noexcept nogil:
    cdef lane_indices take = outranks(value, best[0])
    best[0] = choose(take, value, best[0])
    taps[0] = (take & tap) | (~take & taps[0])


cdef inline void max_window(const tiles_t* p, const real* x, vec* best,
                            lane_indices* taps) noexcept nogil:
    """LANES channels of one window."""
    cdef idx_t kd, kh, kw
    cdef lane_index tap = p.kernel[0] * p.kernel[1] * p.kernel[2]
    best[0] = splat(-INFINITY)
    taps[0] = indices_of(best[0])    # anything: the last tap is taken
    for kd in range(p.kernel[0] - 1, -1, -1):
        for kh in range(p.kernel[1] - 1, -1, -1):
            for kw in range(p.kernel[2] - 1, -1, -1):
                tap = tap - 1
                meet(best, taps, (<const vec*> (x + cell_of(p, p.size, 0, kd, kh, kw)))[0], tap)


cdef inline void spread_window(const tiles_t* p, real* x, vec g,
                               lane_indices taps) noexcept nogil:
    cdef idx_t kd, kh, kw
    cdef lane_index tap = 0
    for kd in range(p.kernel[0]):
        for kh in range(p.kernel[1]):
            for kw in range(p.kernel[2]):
                (<vec*> (x + cell_of(p, p.size, 0, kd, kh, kw)))[0] = where_equal(taps, tap, g)
                tap = tap + 1


cdef inline void tile_line(const tiles_t* p, bint backward, idx_t x, idx_t y) noexcept nogil:
    """One row of windows."""
    cdef idx_t w, c
    cdef vec best
    cdef lane_indices taps
    for w in range(p.out[2]):
        c = 0
        while c < p.channels:
            c = min(c, p.channels - LANES)
            if backward:
                spread_window(p, p.x + x + c, (<const vec*> (p.y + y + c))[0],
                              load_codes(p.codes + y + c))
            else:
                max_window(p, p.x + x + c, &best, &taps)
                (<vec*> (p.y + y + c))[0] = best
                if p.codes != NULL:
                    store_codes(p.codes + y + c, taps)
            c += LANES
        x += p.kernel[2] * p.channels
        y += p.channels


cdef void clear_rest(const tiles_t* p, idx_t n) noexcept nogil:
    """The cells of an image that no window reaches."""
    cdef idx_t d, h, first
    for d in range(p.size[0]):
        for h in range(p.size[1]):
            first = p.out[2] * p.kernel[2]
            if d >= p.out[0] * p.kernel[0] or h >= p.out[1] * p.kernel[1]:
                first = 0
            memset(p.x + cell_of(p, p.size, n, d, h, first), 0,
                   (p.size[2] - first) * p.channels * sizeof(real))


cdef void tile_image(const tiles_t* p, bint backward, idx_t n) noexcept nogil:
    cdef idx_t d, h, x, y
    if backward:
        clear_rest(p, n)
    for d in range(p.out[0]):
        for h in range(p.out[1]):
            x = cell_of(p, p.size, n, d * p.kernel[0], h * p.kernel[1], 0)
            y = cell_of(p, p.out, n, d, h, 0)
            if backward:
                tile_line(p, True, x, y)
            else:
                tile_line(p, False, x, y)
