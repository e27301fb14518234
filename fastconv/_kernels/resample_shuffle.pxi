# Lines of cells in a few rows, and the same cells in turn: row 0, row 1, ..., row 0, row 1, ...
#
# As a number in base 2, a cell's place in vectors is (vector, lane).  A perfect shuffle of pairs of
# vectors turns these digits by one place to the left, so log2(rows) of them, of as many vectors as
# there are rows, put the row's digits last; and the inverse back.

cdef enum:
    AXES = 5            # of the lines
    MOST_WOVEN = 16     # rows; a power of two


cdef struct shuffle_t:
    real* packed
    real* spread
    idx_t size[AXES]    # lines, as an array in C order, and from one to the next
    idx_t packed_step[AXES]
    idx_t spread_step[AXES]
    const int64_t* row  # where the rows of a line begin in `spread`
    idx_t rows, length
    bint pack           # from spread to packed


cdef inline void shuffle_pairs(int ROWS, const vec* x, vec* y) noexcept nogil:
    cdef int i
    for i in range(ROWS // 2):
        y[2 * i] = interleave_low(x[i], x[i + ROWS // 2])
        y[2 * i + 1] = interleave_high(x[i], x[i + ROWS // 2])


cdef inline void unshuffle_pairs(int ROWS, const vec* x, vec* y) noexcept nogil:
    cdef int i
    for i in range(ROWS // 2):
        y[i] = even_lanes(x[2 * i], x[2 * i + 1])
        y[i + ROWS // 2] = odd_lanes(x[2 * i], x[2 * i + 1])


cdef inline void step_of(bint PACK, int ROWS, const vec* x, vec* y) noexcept nogil:
    if PACK:
        shuffle_pairs(ROWS, x, y)
    else:
        unshuffle_pairs(ROWS, x, y)


cdef inline void shuffle_vectors(bint PACK, int ROWS, const shuffle_t* p, real* packed,
                                 real* spread) noexcept nogil:
    """LANES cells of each row."""
    cdef vec a[MOST_WOVEN]
    cdef vec b[MOST_WOVEN]
    cdef vec found
    cdef int i
    for i in range(ROWS):
        a[i] = (<const vec*> (spread + p.row[i] if PACK else packed + i * LANES))[0]
    step_of(PACK, ROWS, a, b)
    if ROWS >= 4:
        step_of(PACK, ROWS, b, a)
    if ROWS >= 8:
        step_of(PACK, ROWS, a, b)
    if ROWS >= 16:
        step_of(PACK, ROWS, b, a)
    for i in range(ROWS):
        found = b[i] if ROWS == 2 or ROWS == 8 else a[i]
        (<vec*> (packed + i * LANES if PACK else spread + p.row[i]))[0] = found


cdef inline void woven_line(bint PACK, int ROWS, const shuffle_t* p, real* packed,
                            real* spread) noexcept nogil:
    """Of at least LANES cells."""
    cdef idx_t j = 0
    while j < p.length:
        # The last vectors end with the last cells, over the ones before if need be.
        j = min(j, p.length - LANES)
        shuffle_vectors(PACK, ROWS, p, packed + j * ROWS, spread + j)
        j += LANES


cdef inline void any_line(bint PACK, const shuffle_t* p, real* packed, real* spread) noexcept nogil:
    cdef idx_t i, j
    cdef real* row
    for i in range(p.rows):
        row = spread + p.row[i]
        for j in range(p.length):
            if PACK:
                packed[j * p.rows + i] = row[j]
            else:
                row[j] = packed[j * p.rows + i]


cdef inline void shuffle_line(bint PACK, const shuffle_t* p, real* packed,
                              real* spread) noexcept nogil:
    cdef idx_t i
    if p.rows == 1:
        copy(packed if PACK else spread + p.row[0], spread + p.row[0] if PACK else packed, p.length)
    elif LANES == 1 or p.length < LANES:
        any_line(PACK, p, packed, spread)
    elif p.rows == 2:
        woven_line(PACK, 2, p, packed, spread)
    elif p.rows == 4:
        woven_line(PACK, 4, p, packed, spread)
    elif p.rows == 8:
        woven_line(PACK, 8, p, packed, spread)
    elif p.rows == 16:
        woven_line(PACK, 16, p, packed, spread)
    else:
        any_line(PACK, p, packed, spread)


cdef void shuffle_lines(const shuffle_t* p, idx_t begin, idx_t end) noexcept nogil:
    """Lines begin..end."""
    cdef idx_t index[AXES]
    cdef idx_t line, rest = begin, axis
    cdef real* packed = p.packed
    cdef real* spread = p.spread
    for axis in range(AXES - 1, -1, -1):
        index[axis] = rest % p.size[axis]
        rest = rest // p.size[axis]
        packed += index[axis] * p.packed_step[axis]
        spread += index[axis] * p.spread_step[axis]
    for line in range(begin, end):
        if p.pack:
            shuffle_line(True, p, packed, spread)
        else:
            shuffle_line(False, p, packed, spread)
        axis = AXES - 1
        while axis >= 0:
            index[axis] += 1
            packed += p.packed_step[axis]
            spread += p.spread_step[axis]
            if index[axis] < p.size[axis]:
                break
            packed -= p.size[axis] * p.packed_step[axis]
            spread -= p.size[axis] * p.spread_step[axis]
            index[axis] = 0
            axis -= 1
