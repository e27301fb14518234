# Maxima of windows that tile the input: no overlap and no padding.  The place of a maximum is the
# number of its tap, in one byte; backward, every input cell belongs to one window or to none, and is
# written once.
#
# Arrays are (N, D, H, W, C), C the elements of a cell that lie next to each other: channels where
# these are last in memory, or one, and then planes are what N counts.  Here lanes are channels: a
# cell holds as many as a vector or more, and its last vector reaches back over the one before.
# Smaller cells share vectors (pool_lines.pxi).

cdef enum:
    MAX_TAPS = 256        # of a window, for a byte to number them
    MAX_COLUMNS = 8       # of a window of cells that share vectors
    LINE_CELLS = 4096     # elements of all lines: in the first-level cache


cdef struct lines_t:
    # How cells share vectors.
    idx_t pitch           # from line to line
    idx_t room            # elements of windows that the lines hold
    idx_t step            # elements of windows in a vector: whole cells
    # Tap w of a vector of windows, found so far, and vector i of the line: the lanes to keep, to take.
    lane_index gather[MAX_COLUMNS][MAX_COLUMNS][LANES]
    # Vector i of a line: the lanes of the vector of windows that its elements belong to,
    lane_index window[MAX_COLUMNS][LANES]
    # and which column of them they are.
    lane_index column[MAX_COLUMNS][LANES]


cdef struct tiles_t:
    real* x                 # (N, D, H, W, C): IN, and OUT of the gradient
    real* y                 # (N, OD, OH, OW, C): OUT, and IN of the gradient
    uint8_t* codes          # as y; NULL: not wanted
    idx_t channels
    idx_t size[3]
    idx_t out[3]
    idx_t kernel[3]
    idx_t taps
    idx_t tap[MAX_TAPS]     # from the first cell of a window to each
    bint rest               # there are cells that no window reaches
    lines_t lines


cdef struct tile_row_t:
    # A row of windows, and where its first cell is.
    idx_t n
    idx_t d
    idx_t h
    idx_t x


cdef inline idx_t cell_of(const tiles_t* p, const idx_t* size, idx_t n, idx_t d, idx_t h,
                          idx_t w) noexcept nogil:
    return (((n * size[0] + d) * size[1] + h) * size[2] + w) * p.channels


cdef inline idx_t first_cell(const tiles_t* p, tile_row_t row) noexcept nogil:
    return cell_of(p, p.size, row.n, row.d * p.kernel[0], row.h * p.kernel[1], 0)


cdef inline tile_row_t nth_row(const tiles_t* p, idx_t number) noexcept nogil:
    cdef tile_row_t row
    row.d = number // p.out[1]
    row.h = number - row.d * p.out[1]
    row.n = row.d // p.out[0]
    row.d -= row.n * p.out[0]
    row.x = first_cell(p, row)
    return row


cdef inline tile_row_t next_row(const tiles_t* p, tile_row_t row) noexcept nogil:
    row.h += 1
    row.x += p.kernel[1] * p.size[2] * p.channels
    if row.h == p.out[1]:
        row.h = 0
        row.d += 1
        if row.d == p.out[0]:
            row.d = 0
            row.n += 1
        row.x = first_cell(p, row)
    return row


# The best so far and its tap meet another value.  Taps go backwards, so that the first of equals
# stays; a NaN is larger than any number.
cdef inline void meet(vec* best, lane_indices* taps, vec value, lane_index tap) noexcept nogil:
    cdef lane_indices take = outranks(value, best[0])
    best[0] = choose(take, value, best[0])
    taps[0] = (take & tap) | (~take & taps[0])


cdef inline void max_cells(const tiles_t* p, idx_t x, idx_t y, idx_t taps) noexcept nogil:
    """LANES channels of one window."""
    cdef vec best = splat(-INFINITY)
    cdef lane_indices codes = indices_of(best)    # anything: the last tap is taken
    cdef idx_t tap
    for tap in range(taps - 1, -1, -1):
        meet(&best, &codes, (<const vec*> (p.x + x + p.tap[tap]))[0], <lane_index> tap)
    (<vec*> (p.y + y))[0] = best
    if p.codes != NULL:
        store_codes(p.codes + y, codes)


cdef inline void spread_cells(const tiles_t* p, idx_t x, idx_t y, idx_t taps) noexcept nogil:
    cdef vec g = (<const vec*> (p.y + y))[0]
    cdef lane_indices codes = load_codes(p.codes + y)
    cdef idx_t tap
    for tap in range(taps):
        (<vec*> (p.x + x + p.tap[tap]))[0] = where_equal(codes, <lane_index> tap, g)


cdef inline void cell_row(const tiles_t* p, bint backward, idx_t x, idx_t y,
                          idx_t taps) noexcept nogil:
    """One row of windows."""
    cdef idx_t w, c
    for w in range(p.out[2]):
        c = 0
        while c < p.channels:
            c = min(c, p.channels - LANES)
            if backward:
                spread_cells(p, x + c, y + c, taps)
            else:
                max_cells(p, x + c, y + c, taps)
            c += LANES
        x += p.kernel[2] * p.channels
        y += p.channels


cdef void cell_rows(const tiles_t* p, bint backward, idx_t begin, idx_t end) noexcept nogil:
    """Rows begin..end of windows; the loop over the taps of the usual ones unrolls."""
    cdef idx_t i, y
    cdef tile_row_t row = nth_row(p, begin)
    for i in range(begin, end):
        y = i * p.out[2] * p.channels
        if backward and p.taps == 4:
            cell_row(p, True, row.x, y, 4)
        elif backward:
            cell_row(p, True, row.x, y, p.taps)
        elif p.taps == 4:
            cell_row(p, False, row.x, y, 4)
        else:
            cell_row(p, False, row.x, y, p.taps)
        if backward and p.rest:
            clear_rest(p, row)
        row = next_row(p, row)


cdef void clear_rest(const tiles_t* p, tile_row_t row) noexcept nogil:
    """The cells beside a row of windows, and behind the last one, that no window reaches."""
    cdef idx_t d, h, first, columns = p.out[2] * p.kernel[2]
    cdef idx_t d_end = p.size[0] if row.d == p.out[0] - 1 else (row.d + 1) * p.kernel[0]
    cdef idx_t h_end = p.size[1] if row.h == p.out[1] - 1 else (row.h + 1) * p.kernel[1]
    for d in range(row.d * p.kernel[0], d_end):
        for h in range(row.h * p.kernel[1], h_end):
            first = columns
            if d >= p.out[0] * p.kernel[0] or h >= p.out[1] * p.kernel[1]:
                first = 0
            clear(p.x + cell_of(p, p.size, row.n, d, h, first),
                        (p.size[2] - first) * p.channels)


cdef tiles_t tiles_of(const idx_t* size, const idx_t* out, idx_t channels,
                      const idx_t* kernel) noexcept nogil:
    """All but the arrays."""
    cdef tiles_t p
    cdef idx_t d, h, w, i
    p.channels, p.taps, p.rest = channels, 0, False
    for i in range(3):
        p.size[i], p.out[i], p.kernel[i] = size[i], out[i], kernel[i]
        p.rest |= out[i] * kernel[i] != size[i]
    for d in range(kernel[0]):
        for h in range(kernel[1]):
            for w in range(kernel[2]):
                p.tap[p.taps] = cell_of(&p, p.size, 0, d, h, w)
                p.taps += 1
    if channels < LANES:
        p.lines = lines_of(channels, kernel[2], p.taps)
    return p


cdef void max_tiles_rows(const tiles_t* p, bint backward, idx_t begin, idx_t end) noexcept nogil:
    if p.channels == 1 and p.kernel[0] == 1 and p.kernel[2] == 2 and p.out[2] >= LANES:
        max_pair_rows(p, backward, begin, end)
    elif p.channels < LANES:
        max_lines_rows(p, backward, begin, end)
    else:
        cell_rows(p, backward, begin, end)
