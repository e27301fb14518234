# Cells that lie side by side: a few of them, for which a call of memcpy takes longer than the copy.

cdef inline void copy_ends(real* to, const real* cells, idx_t count, idx_t half) noexcept nogil:
    """From half to twice as many elements; with a literal `half`, two loads and two stores."""
    memcpy(to, cells, half * sizeof(real))
    memcpy(to + count - half, cells + count - half, half * sizeof(real))


cdef inline void copy(real* to, const real* cells, idx_t count) noexcept nogil:
    """The last vector ends with the last cell, over the one before it if need be."""
    cdef idx_t i = 0
    if count >= LANES:
        while i < count:
            i = min(i, count - LANES)
            (<vec*> (to + i))[0] = (<const vec*> (cells + i))[0]
            i += LANES
    elif count >= 8:
        copy_ends(to, cells, count, 8)
    elif count >= 4:
        copy_ends(to, cells, count, 4)
    elif count >= 2:
        copy_ends(to, cells, count, 2)
    elif count == 1:
        to[0] = cells[0]


cdef inline void clear(real* cells, idx_t count) noexcept nogil:
    cdef vec none = splat(0)
    if count < LANES:
        copy(cells, <const real*> &none, count)
    else:
        memset(cells, 0, count * sizeof(real))
