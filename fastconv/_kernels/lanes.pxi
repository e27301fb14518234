# Whole vectors, and what is left at the end of an array.

cdef inline vec take(const real* x, idx_t count, real fill=0) noexcept nogil:
    """A vector of the first `count` elements, at most LANES, and `fill`."""
    cdef real edge[LANES]
    cdef idx_t i
    if count == LANES:
        return (<const vec*> x)[0]
    for i in range(LANES):
        edge[i] = x[i] if i < count else fill
    return (<vec*> edge)[0]


cdef inline void give(real* y, idx_t count, vec x) noexcept nogil:
    cdef idx_t i
    if count == LANES:
        (<vec*> y)[0] = x
        return
    for i in range(count):
        y[i] = (<real*> &x)[i]
