# The register tile of lists: ROWS rows of WIDTH vectors meet one scalar after another.

cdef extern from *:
    """
    /* A tile is only a tile when its bounds are constants, so inlining is not a matter of taste. */
    #if defined(__GNUC__)
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    #endif
    """


cdef inline bint sums_fit(int ROWS, int WIDTH) noexcept nogil:
    return ROWS * WIDTH <= MOST_SUMS


cdef inline void sum_filters(int ROWS, int WIDTH, const sparse_t* self, const lists_t* lists,
                             const real* strip, real* sums) noexcept nogil:
    """Adds to the sums of all filters what the values of a block give with the strip."""
    cdef vec acc[24]
    cdef vec x
    cdef const real* at
    cdef const entry_t* entries = lists.entries
    cdef idx_t k, i, pitch = self.pitch
    cdef int r, v
    for k in range(self.p.out_channels):
        for r in range(ROWS * WIDTH):
            acc[r] = splat(0)
        for i in range(lists.count[k]):
            x = splat(entries[i].value)
            at = strip + entries[i].place
            for r in range(ROWS):
                at = one_register(at)
                for v in range(WIDTH):
                    acc[r * WIDTH + v] = acc[r * WIDTH + v] + x * (<const vec*> at)[v]
                at = at + pitch
        for r in range(ROWS * WIDTH):
            (<vec*> sums)[r] = (<vec*> sums)[r] + acc[r]
        sums = sums + ROWS * WIDTH * LANES
        entries = entries + self.block_windows


cdef inline void sum_cells(int ROWS, int WIDTH, const sparse_t* self, const lists_t* lists,
                           const real* packed, idx_t lanes, real* strip) noexcept nogil:
    """Adds to the strip what the values of a block give with the weights."""
    cdef vec acc[24]
    cdef vec x
    cdef const real* at
    cdef const real* g
    cdef real* window
    cdef real* to
    cdef const uint64_t* sets = lists.filters
    cdef uint64_t filters
    cdef idx_t row, n, t, word, k, pitch = self.pitch, g_channel = self.g_channel
    cdef int r, v
    for row in range(lists.rows):
        g = lists.g + lists.g_row[row]
        window = strip + lists.row_place[row]
        for n in range(lists.columns):
            for t in range(self.taps):
                for r in range(ROWS * WIDTH):
                    acc[r] = splat(0)
                for word in range(lists.words):
                    filters = sets[word * lists.word]
                    while filters != 0:
                        k = word * SET_BITS + first_bit(filters)
                        filters &= filters - 1
                        x = splat(g[k * g_channel])
                        at = one_register(packed + k * (ROWS * WIDTH * LANES))
                        for r in range(ROWS * WIDTH):
                            acc[r] = acc[r] + x * (<const vec*> at)[r]
                sets = sets + 1
                to = window + self.tap_place[t]
                for r in range(ROWS):
                    for v in range(WIDTH - 1):
                        (<vec*> (to + r * pitch))[v] = (
                            (<vec*> (to + r * pitch))[v] + acc[r * WIDTH + v])
                    (<vec*> (to + r * pitch))[WIDTH - 1] = (
                        (<vec*> (to + r * pitch))[WIDTH - 1]
                        + first_lanes(acc[r * WIDTH + WIDTH - 1], lanes))
            g = g + self.g_step[2]
            window = window + self.window_step[2]


cdef inline void sums_of(int ROWS, int WIDTH, const sparse_t* self, const lists_t* lists,
                         const panel_t* panel, const real* packed, const real* x, real* sums,
                         real* strip) noexcept nogil:
    if sums != NULL:
        sum_filters(ROWS, WIDTH, self, lists, x + panel.place, sums + panel.packed)
    if strip != NULL:
        sum_cells(ROWS, WIDTH, self, lists, packed + panel.packed, panel.lanes,
                  strip + panel.place)


# One function for each width: gcc allots registers by function.
cdef inline void sum_rows(int WIDTH, const sparse_t* self, const lists_t* lists,
                          const panel_t* panel, const real* packed, const real* x, real* sums,
                          real* strip) noexcept nogil:
    if panel.rows == 1:
        sums_of(1, WIDTH, self, lists, panel, packed, x, sums, strip)
    elif panel.rows == 2 and sums_fit(2, WIDTH):
        sums_of(2, WIDTH, self, lists, panel, packed, x, sums, strip)
    elif panel.rows == 3 and sums_fit(3, WIDTH):
        sums_of(3, WIDTH, self, lists, panel, packed, x, sums, strip)
    elif panel.rows == 4 and sums_fit(4, WIDTH):
        sums_of(4, WIDTH, self, lists, panel, packed, x, sums, strip)
    elif panel.rows == 5 and sums_fit(5, WIDTH):
        sums_of(5, WIDTH, self, lists, panel, packed, x, sums, strip)


cdef void sums_1(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(1, self, lists, panel, packed, x, sums, strip)


cdef void sums_2(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(2, self, lists, panel, packed, x, sums, strip)


cdef void sums_3(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(3, self, lists, panel, packed, x, sums, strip)


cdef void sums_4(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(4, self, lists, panel, packed, x, sums, strip)


cdef void sums_5(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(5, self, lists, panel, packed, x, sums, strip)


cdef void sums_6(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(6, self, lists, panel, packed, x, sums, strip)


cdef void sums_7(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(7, self, lists, panel, packed, x, sums, strip)


cdef void sums_8(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(8, self, lists, panel, packed, x, sums, strip)


cdef void sums_9(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(9, self, lists, panel, packed, x, sums, strip)


cdef void sums_10(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(10, self, lists, panel, packed, x, sums, strip)


cdef void sums_11(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(11, self, lists, panel, packed, x, sums, strip)


cdef void sums_12(const sparse_t* self, const lists_t* lists, const panel_t* panel,
            const real* packed, const real* x, real* sums, real* strip) noexcept nogil:
    sum_rows(12, self, lists, panel, packed, x, sums, strip)


ctypedef void (*sums_t)(const sparse_t*, const lists_t*, const panel_t*, const real*, const real*,
                        real*, real*) noexcept nogil


cdef sums_t sums_wide(idx_t width) noexcept nogil:
    if width == 1:
        return sums_1
    if width == 2:
        return sums_2
    if width == 3:
        return sums_3
    if width == 4:
        return sums_4
    if width == 5:
        return sums_5
    if width == 6:
        return sums_6
    if width == 7:
        return sums_7
    if width == 8:
        return sums_8
    if width == 9:
        return sums_9
    if width == 10:
        return sums_10
    if width == 11:
        return sums_11
    return sums_12
