# The tile of a plane: rows of the output slide under rows of taps.
#
#     o[i, v] = bias + sum over groups, columns of taps, r < GROUP of  a[r] * b[i + r, v]
#
# A group are rows of taps that meet rows of the strip one below the other.  A vector of these is
# loaded once for all of them: rows of the output meet it through different taps.

cdef enum:
    PLANE_PX = 8        # rows of the output at most,
    PLANE_NV = 2        # and vectors of each: taller tiles load less
    TAP_ROWS = 3        # of a group at most: their weights are in registers, too


cdef struct tap_rows_t:
    # How the taps of one phase of the first two axes are taken: rows of them, in groups of which
    # each row is met by the row of the strip below that of the one before.
    idx_t many[TAP_ROWS]    # groups of so many rows: of the most first
    idx_t* first            # [groups] the first row of each
    idx_t* step             # [groups] from row to row


cdef struct columns_t:
    # The same of a phase of the last axis, and how its cells are reached.
    const tap_rows_t* rows
    idx_t taps              # in a row
    const idx_t* offset     # [rows][taps] in the strip
    const real* weights     # [rows][taps]
    idx_t count             # of columns
    idx_t row               # from row to row of the strip
    idx_t o_row
    real slope
    real bias


cdef inline void add_weighted(vec weight, vec x, vec* acc) noexcept nogil:
    acc[0] = acc[0] + weight * x


cdef inline void meet_rows(int GROUP, int PX, int NV, const columns_t* s, idx_t first, idx_t step,
                           const real* b, vec* acc) noexcept nogil:
    """The taps of one group: GROUP rows of them, and PX + GROUP - 1 rows of the strip."""
    cdef vec weights[TAP_ROWS]
    cdef vec x
    cdef const real* at = s.weights + first * s.taps
    cdef const idx_t* offset = s.offset + first * s.taps
    cdef const real* row
    cdef idx_t below = step * s.taps, j
    cdef int i, r, v
    for j in range(s.taps):
        for r in range(GROUP):
            weights[r] = loaded_once(splat(at[j + r * below]))
        row = b + offset[j]
        # No loop over the group, and few questions: gcc would keep the loops, and sums in memory.
        for i in range(PX):
            for v in range(NV):
                x = loaded_once((<const vec*> row)[v])
                if GROUP > 2 and i > 1:
                    add_weighted(weights[2], x, acc + (i - 2) * PLANE_NV + v)
                if GROUP > 1 and i > 0:
                    add_weighted(weights[1], x, acc + (i - 1) * PLANE_NV + v)
                add_weighted(weights[0], x, acc + i * PLANE_NV + v)
            row = row + s.row
        for v in range(NV if GROUP > 1 else 0):
            x = loaded_once((<const vec*> row)[v])
            if GROUP > 2 and PX > 1:
                add_weighted(weights[2], x, acc + (PX - 2) * PLANE_NV + v)
            add_weighted(weights[1], x, acc + (PX - 1) * PLANE_NV + v)
        for v in range(NV if GROUP > 2 else 0):
            x = loaded_once((<const vec*> (row + s.row))[v])
            add_weighted(weights[2], x, acc + (PX - 1) * PLANE_NV + v)


cdef inline void plane_tile(int PX, int NV, const columns_t* s, const real* b,
                            real* o) noexcept nogil:
    cdef vec acc[PLANE_PX][PLANE_NV]
    cdef const idx_t* first = s.rows.first
    cdef const idx_t* step = s.rows.step
    cdef vec bias
    cdef idx_t g
    cdef int i, v
    for i in range(PX):
        for v in range(NV):
            acc[i][v] = splat(0)
    for g in range(s.rows.many[0]):
        meet_rows(3, PX, NV, s, first[g], step[g], b, &acc[0][0])
    first, step = first + s.rows.many[0], step + s.rows.many[0]
    for g in range(s.rows.many[1]):
        meet_rows(2, PX, NV, s, first[g], step[g], b, &acc[0][0])
    first, step = first + s.rows.many[1], step + s.rows.many[1]
    for g in range(s.rows.many[2]):
        meet_rows(1, PX, NV, s, first[g], step[g], b, &acc[0][0])
    bias = splat(s.bias)
    for i in range(PX):
        for v in range(NV):
            (<vec*> (o + i * s.o_row))[v] = leaky(bias + acc[i][v], s.slope)


cdef inline bint plane_fits(int PX, int NV) noexcept nogil:
    return (PX + 1) * NV + TAP_ROWS < REGISTERS


cdef idx_t tallest_plane(idx_t nv) noexcept nogil:
    """Rows of the tallest tile of so many vectors."""
    return min(<idx_t> PLANE_PX, (REGISTERS - TAP_ROWS - 1) // nv - 1)


# A function for each size: gcc allots registers by function, and these loops leave none over.
cdef void plane_1x1(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(1, 1, s, b, o)

cdef void plane_2x1(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(2, 1, s, b, o)

cdef void plane_3x1(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(3, 1, s, b, o)

cdef void plane_4x1(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(4, 1, s, b, o)

cdef void plane_5x1(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(5, 1, s, b, o)

cdef void plane_6x1(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(6, 1, s, b, o)

cdef void plane_7x1(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(7, 1, s, b, o)

cdef void plane_8x1(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(8, 1, s, b, o)

cdef void plane_1x2(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(1, 2, s, b, o)

cdef void plane_2x2(const columns_t* s, const real* b, real* o) noexcept nogil:
    plane_tile(2, 2, s, b, o)

cdef void plane_3x2(const columns_t* s, const real* b, real* o) noexcept nogil:
    if plane_fits(3, 2):
        plane_tile(3, 2, s, b, o)

cdef void plane_4x2(const columns_t* s, const real* b, real* o) noexcept nogil:
    if plane_fits(4, 2):
        plane_tile(4, 2, s, b, o)

cdef void plane_5x2(const columns_t* s, const real* b, real* o) noexcept nogil:
    if plane_fits(5, 2):
        plane_tile(5, 2, s, b, o)

cdef void plane_6x2(const columns_t* s, const real* b, real* o) noexcept nogil:
    if plane_fits(6, 2):
        plane_tile(6, 2, s, b, o)

cdef void plane_7x2(const columns_t* s, const real* b, real* o) noexcept nogil:
    if plane_fits(7, 2):
        plane_tile(7, 2, s, b, o)

cdef void plane_8x2(const columns_t* s, const real* b, real* o) noexcept nogil:
    if plane_fits(8, 2):
        plane_tile(8, 2, s, b, o)


cdef void run_planes(idx_t px, idx_t nv, const columns_t* s, const real* b, real* o) noexcept nogil:
    if px == 1 and nv == 1:
        plane_1x1(s, b, o)
    elif px == 1 and nv == 2:
        plane_1x2(s, b, o)
    elif px == 2 and nv == 1:
        plane_2x1(s, b, o)
    elif px == 2 and nv == 2:
        plane_2x2(s, b, o)
    elif px == 3 and nv == 1:
        plane_3x1(s, b, o)
    elif px == 3 and nv == 2:
        plane_3x2(s, b, o)
    elif px == 4 and nv == 1:
        plane_4x1(s, b, o)
    elif px == 4 and nv == 2:
        plane_4x2(s, b, o)
    elif px == 5 and nv == 1:
        plane_5x1(s, b, o)
    elif px == 5 and nv == 2:
        plane_5x2(s, b, o)
    elif px == 6 and nv == 1:
        plane_6x1(s, b, o)
    elif px == 6 and nv == 2:
        plane_6x2(s, b, o)
    elif px == 7 and nv == 1:
        plane_7x1(s, b, o)
    elif px == 7 and nv == 2:
        plane_7x2(s, b, o)
    elif px == 8 and nv == 1:
        plane_8x1(s, b, o)
    elif px == 8 and nv == 2:
        plane_8x2(s, b, o)
