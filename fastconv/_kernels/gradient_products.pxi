# The sums of g and of g (x - mean) over a unit, as norm_moments.pxi has those of x.

cdef inline vec products_of_rows(const real* g, const real* x, vec middle, idx_t step, idx_t rows,
                                 vec* total) noexcept nogil:
    """The sum of g (x - middle), and in `total` that of g."""
    cdef vec acc[4]
    cdef vec sums[4]
    cdef vec each
    cdef idx_t r = 0
    cdef int i
    for i in range(4):
        acc[i] = sums[i] = splat(0)
    while r + 4 <= rows:
        for i in range(4):
            each = (<const vec*> (g + (r + i) * step))[0]
            sums[i] = sums[i] + each
            acc[i] = acc[i] + each * ((<const vec*> (x + (r + i) * step))[0] - middle)
        r += 4
    while r < rows:
        each = (<const vec*> (g + r * step))[0]
        sums[0] = sums[0] + each
        acc[0] = acc[0] + each * ((<const vec*> (x + r * step))[0] - middle)
        r += 1
    total[0] = (sums[0] + sums[1]) + (sums[2] + sums[3])
    return (acc[0] + acc[1]) + (acc[2] + acc[3])


cdef void plane_products(const shape_t* s, const real* g, const real* x, real mean, double* sums,
                         double* products) noexcept nogil:
    cdef idx_t at = 0, n, whole, i
    cdef real rest, crossed
    cdef vec total
    sums[0] = products[0] = 0
    while at < s.inner:
        n = min(<idx_t> UNIT, s.inner - at)
        whole = n // LANES
        rest = crossed = 0
        for i in range(at + whole * LANES, at + n):
            rest = rest + g[i]
            crossed = crossed + g[i] * (x[i] - mean)
        crossed = crossed + sum_lanes(
            products_of_rows(g + at, x + at, splat(mean), LANES, whole, &total))
        sums[0] = sums[0] + (rest + sum_lanes(total))
        products[0] = products[0] + crossed
        at += n


cdef inline void lanes_products(const real* g, const real* x, const real* mean, idx_t step,
                                idx_t rows, double* sums, double* products) noexcept nogil:
    cdef vec total
    cdef vec crossed = products_of_rows(g, x, (<const vec*> mean)[0], step, rows, &total)
    cdef idx_t i
    for i in range(LANES):
        sums[i] = (<real*> &total)[i]
        products[i] = (<real*> &crossed)[i]


cdef void rows_products(const shape_t* s, const real* g, const real* x, const real* mean,
                        idx_t rows, double* sums, double* products) noexcept nogil:
    cdef idx_t c = 0, r
    if s.channels >= LANES:
        while c < s.channels:
            c = min(c, s.channels - LANES)
            lanes_products(g + c, x + c, mean + c, s.channels, rows, sums + c, products + c)
            c += LANES
        return
    for c in range(s.channels):
        sums[c] = products[c] = 0
        for r in range(rows):
            sums[c] = sums[c] + g[r * s.channels + c]
            products[c] = products[c] + g[r * s.channels + c] * <double> (
                x[r * s.channels + c] - mean[c])


cdef void task_products(const shape_t* s, const real* g, const real* x, const real* mean,
                        idx_t task, double* sums, double* products) noexcept nogil:
    cdef idx_t start
    if s.lanes:
        start = unit_begin(s, task) * s.channels
        rows_products(s, g + start, x + start, mean, rows_of_unit(s, task),
                      sums + task * s.channels, products + task * s.channels)
    else:
        start = task * s.inner
        plane_products(s, g + start, x + start, mean[task % s.channels], sums + task,
                       products + task)
