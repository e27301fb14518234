# Mean and variance of each channel: of one unit after the other, then of all.  See norm.pyx.

cdef enum:
    UNIT = 4096         # elements of a plane, or of rows, whose sums are taken at once


cdef struct shape_t:
    idx_t outer, channels, inner    # inner is 1 where channels are the lanes
    idx_t run                       # of outer: no unit goes from one to the next
    idx_t rows                      # of a unit of (rows, channels), or 1
    idx_t of_run, units             # for each channel, in a run and in all
    bint lanes


cdef shape_t shape_of(const real[:, :, ::1] x, idx_t runs) noexcept nogil:
    cdef shape_t s
    s.outer, s.channels, s.inner = x.shape[0], x.shape[1], x.shape[2]
    s.run = s.outer // runs
    s.lanes = s.inner == 1
    s.rows = max(<idx_t> 16, UNIT // max(s.channels, <idx_t> 1)) if s.lanes else 1
    s.of_run = (s.run + s.rows - 1) // s.rows
    s.units = runs * s.of_run
    return s


cdef inline idx_t tasks_of(const shape_t* s, idx_t units) noexcept nogil:
    """Units of all lanes, or single planes."""
    return units if s.lanes else units * s.channels


cdef inline idx_t unit_begin(const shape_t* s, idx_t unit) noexcept nogil:
    return unit // s.of_run * s.run + unit % s.of_run * s.rows


cdef inline idx_t rows_of_unit(const shape_t* s, idx_t unit) noexcept nogil:
    return min(s.rows, s.run - unit % s.of_run * s.rows)


cdef inline void merge(double* mean, double* squares, idx_t* count, double other_mean,
                       double other_squares, idx_t other_count) noexcept nogil:
    """Chan, Golub & LeVeque 1979, equations 2.1."""
    cdef double apart = other_mean - mean[0]
    cdef double total = <double> (count[0] + other_count)
    mean[0] = mean[0] + apart * (<double> other_count / total)
    squares[0] = (squares[0] + other_squares
                  + apart * apart * (<double> count[0] * (<double> other_count / total)))
    count[0] = count[0] + other_count


# Rows of vectors, `step` elements apart: of some channels of channels-last memory, or the parts of a
# plane, one after the other.  Four sums at once hide the latency of adding.

cdef inline vec sum_of_rows(const real* x, idx_t step, idx_t rows) noexcept nogil:
    cdef vec acc[4]
    cdef idx_t r = 0
    cdef int i
    for i in range(4):
        acc[i] = splat(0)
    while r + 4 <= rows:
        for i in range(4):
            acc[i] = acc[i] + (<const vec*> (x + (r + i) * step))[0]
        r += 4
    while r < rows:
        acc[0] = acc[0] + (<const vec*> (x + r * step))[0]
        r += 1
    return (acc[0] + acc[1]) + (acc[2] + acc[3])


cdef inline vec squares_of_rows(const real* x, vec middle, idx_t step, idx_t rows) noexcept nogil:
    """The sum of (x - middle)^2."""
    cdef vec acc[4]
    cdef vec apart
    cdef idx_t r = 0
    cdef int i
    for i in range(4):
        acc[i] = splat(0)
    while r + 4 <= rows:
        for i in range(4):
            apart = (<const vec*> (x + (r + i) * step))[0] - middle
            acc[i] = acc[i] + apart * apart
        r += 4
    while r < rows:
        apart = (<const vec*> (x + r * step))[0] - middle
        acc[0] = acc[0] + apart * apart
        r += 1
    return (acc[0] + acc[1]) + (acc[2] + acc[3])


cdef void plane_moments(const shape_t* s, const real* x, double* mean,
                        double* squares) noexcept nogil:
    cdef idx_t at = 0, n, whole, count = 0, i
    cdef real middle, rest
    mean[0] = squares[0] = 0
    while at < s.inner:
        n = min(<idx_t> UNIT, s.inner - at)
        whole = n // LANES
        rest = 0
        for i in range(whole * LANES, n):
            rest = rest + x[at + i]
        middle = (sum_lanes(sum_of_rows(x + at, LANES, whole)) + rest) / n
        rest = 0
        for i in range(whole * LANES, n):
            rest = rest + (x[at + i] - middle) * (x[at + i] - middle)
        rest = rest + sum_lanes(squares_of_rows(x + at, splat(middle), LANES, whole))
        merge(mean, squares, &count, middle, rest, n)
        at += n


# Channels-last rows: the last vector of channels reaches back over the one before, and fewer
# channels than lanes go one by one.

cdef inline void lanes_moments(const real* x, idx_t step, idx_t rows, double* mean,
                               double* squares) noexcept nogil:
    cdef vec middle = sum_of_rows(x, step, rows) / splat(<real> rows)
    cdef vec squared = squares_of_rows(x, middle, step, rows)
    cdef idx_t i
    for i in range(LANES):
        mean[i] = (<real*> &middle)[i]
        squares[i] = (<real*> &squared)[i]


cdef void rows_moments(const shape_t* s, const real* x, idx_t rows, double* mean,
                       double* squares) noexcept nogil:
    cdef idx_t c = 0, r
    cdef double sums, apart
    if s.channels >= LANES:
        while c < s.channels:
            c = min(c, s.channels - LANES)
            lanes_moments(x + c, s.channels, rows, mean + c, squares + c)
            c += LANES
        return
    for c in range(s.channels):
        sums = 0
        squares[c] = 0
        for r in range(rows):
            sums = sums + x[r * s.channels + c]
        mean[c] = sums / rows
        for r in range(rows):
            apart = x[r * s.channels + c] - mean[c]
            squares[c] = squares[c] + apart * apart


cdef void task_moments(const shape_t* s, const real* x, idx_t task, double* mean,
                       double* squares) noexcept nogil:
    if s.lanes:
        rows_moments(s, x + unit_begin(s, task) * s.channels, rows_of_unit(s, task),
                     mean + task * s.channels, squares + task * s.channels)
    else:
        plane_moments(s, x + task * s.inner, mean + task, squares + task)


cdef void put_together(const shape_t* s, const double* means, const double* squares, double* mean,
                       double* variance) noexcept nogil:
    """Of every channel, from those of its units."""
    cdef idx_t unit, c
    cdef double total, count, apart
    # All means first, then the squares about their mean, unit by unit as they lie in memory.
    total = <double> (s.outer * s.inner)
    for c in range(s.channels):
        mean[c] = variance[c] = 0
    for unit in range(s.units):
        count = <double> (rows_of_unit(s, unit) * s.inner)
        for c in range(s.channels):
            mean[c] = mean[c] + means[unit * s.channels + c] * (count / total)
    for unit in range(s.units):
        count = <double> (rows_of_unit(s, unit) * s.inner)
        for c in range(s.channels):
            apart = means[unit * s.channels + c] - mean[c]
            variance[c] = variance[c] + (squares[unit * s.channels + c]
                                         + apart * apart * count)
    for c in range(s.channels):
        variance[c] = variance[c] / total
