# Softmax, or its logarithm, along the classes of (outer, classes, inner), and the gradient.
#
# A position is one of outer and one of inner.  With an inner of 1 the classes of a position are a
# row, taken in vectors; else the vectors are of neighbouring positions.  Sums are of RUN vectors,
# and then of these.

cdef enum:
    RUN = 32

cdef struct softmax_t:
    idx_t classes, inner
    const real* x       # where g is, what came out
    const real* g       # or NULL
    real* y
    bint logarithm


cdef inline vec larger(vec a, vec b) noexcept nogil:
    """The larger one; a where b is a NaN, of which there will be one in the sum."""
    return choose(below(a, b), b, a)


cdef inline void softmax_row(bint LOG, idx_t n, const real* x, real* y) noexcept nogil:
    cdef idx_t i = 0, stop, count
    cdef vec largest = splat(-INFINITY), e, run, shift, factor
    cdef real most = -INFINITY
    cdef double total = 0
    while i < n:
        largest = larger(largest, take(x + i, min(<idx_t> LANES, n - i), -INFINITY))
        i += LANES
    for i in range(LANES):
        most = max(most, (<real*> &largest)[i])
    shift = splat(most)
    i = 0
    while i < n:
        stop = min(n, i + RUN * LANES)
        run = splat(0)
        while i < stop:
            count = min(<idx_t> LANES, n - i)
            e = exp_negative(take(x + i, count, -INFINITY) - shift)
            if not LOG:
                give(y + i, count, e)
            run = run + e
            i += LANES
        total += sum_lanes(run)
    factor = splat(<real> (log(total) if LOG else 1 / total))
    i = 0
    while i < n:
        count = min(<idx_t> LANES, n - i)
        if LOG:
            give(y + i, count, (take(x + i, count) - shift) - factor)
        else:
            give(y + i, count, take(y + i, count) * factor)
        i += LANES


cdef inline void softmax_row_back(bint LOG, idx_t n, const real* x, const real* g,
                                  real* y) noexcept nogil:
    cdef idx_t i = 0, stop, count
    cdef vec run, a, b, sum
    cdef double total = 0
    while i < n:
        stop = min(n, i + RUN * LANES)
        run = splat(0)
        while i < stop:
            count = min(<idx_t> LANES, n - i)
            a = take(g + i, count)
            run = run + (a if LOG else a * take(x + i, count))
            i += LANES
        total += sum_lanes(run)
    sum = splat(<real> total)
    i = 0
    while i < n:
        count = min(<idx_t> LANES, n - i)
        a, b = take(x + i, count), take(g + i, count)
        give(y + i, count, b - exp_negative(a) * sum if LOG else a * (b - sum))
        i += LANES


cdef inline void softmax_columns(bint LOG, const softmax_t* p, idx_t count, const real* x,
                                 real* y) noexcept nogil:
    cdef idx_t n = p.classes, step = p.inner, c = 0, stop
    cdef vec largest = splat(-INFINITY), total = splat(0), e, run, factor
    for c in range(n):
        largest = larger(largest, take(x + c * step, count))
    c = 0
    while c < n:
        stop = min(n, c + RUN)
        run = splat(0)
        while c < stop:
            e = exp_negative(take(x + c * step, count) - largest)
            if not LOG:
                give(y + c * step, count, e)
            run = run + e
            c += 1
        total = total + run
    if LOG:
        for c in range(LANES):
            (<real*> &factor)[c] = <real> log((<real*> &total)[c])
    else:
        factor = splat(1) / total
    for c in range(n):
        if LOG:
            give(y + c * step, count, (take(x + c * step, count) - largest) - factor)
        else:
            give(y + c * step, count, take(y + c * step, count) * factor)


cdef inline void softmax_columns_back(bint LOG, const softmax_t* p, idx_t count, const real* x,
                                      const real* g, real* y) noexcept nogil:
    cdef idx_t n = p.classes, step = p.inner, c = 0, stop
    cdef vec total = splat(0), run, a, b
    while c < n:
        stop = min(n, c + RUN)
        run = splat(0)
        while c < stop:
            a = take(g + c * step, count)
            run = run + (a if LOG else a * take(x + c * step, count))
            c += 1
        total = total + run
    for c in range(n):
        a, b = take(x + c * step, count), take(g + c * step, count)
        give(y + c * step, count, b - exp_negative(a) * total if LOG else a * (b - total))


cdef inline void softmax_position(bint LOG, const softmax_t* p, idx_t count,
                                  idx_t at) noexcept nogil:
    """A row that begins there, or so many neighbours."""
    if p.inner == 1 and p.g == NULL:
        softmax_row(LOG, p.classes, p.x + at, p.y + at)
    elif p.inner == 1:
        softmax_row_back(LOG, p.classes, p.x + at, p.g + at, p.y + at)
    elif p.g == NULL:
        softmax_columns(LOG, p, count, p.x + at, p.y + at)
    else:
        softmax_columns_back(LOG, p, count, p.x + at, p.g + at, p.y + at)


cdef void softmax_vector(const softmax_t* p, idx_t count, idx_t at) noexcept nogil:
    if p.logarithm and count == LANES:
        softmax_position(True, p, LANES, at)
    elif p.logarithm:
        softmax_position(True, p, count, at)
    elif count == LANES:
        softmax_position(False, p, LANES, at)
    else:
        softmax_position(False, p, count, at)


cdef void softmax_task(const softmax_t* p, idx_t outer, idx_t first, idx_t last) noexcept nogil:
    """Positions of inner, or with an inner of 1 the rows from `first` to `last`."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t i = first
    while i < last and p.inner == 1:
        softmax_vector(p, LANES, i * p.classes)
        i += 1
    while i < last:
        softmax_vector(p, min(<idx_t> LANES, last - i), outer * p.classes * p.inner + i)
        i += LANES
    set_float_mode(mode)


def softmax(const real[:, :, ::1] x, const real[:, :, ::1] g, real[:, :, ::1] y, bint logarithm,
            int num_threads):
    """y = softmax(x) or, with g, the gradient by the input, x being what came out."""
    cdef idx_t outer = x.shape[0], i, share, blocks, positions
    cdef softmax_t p
    p.classes, p.inner, p.logarithm = x.shape[1], x.shape[2], logarithm
    if outer * p.classes * p.inner == 0:
        return
    p.x, p.y = &x[0, 0, 0], &y[0, 0, 0]
    p.g = &g[0, 0, 0] if g is not None else NULL
    positions = p.inner
    if p.inner == 1:
        positions, outer = outer, 1
    # Whole lines of the cache.
    share = max(<idx_t> 1, CHUNK // p.classes // 16) * 16
    blocks = (positions + share - 1) // share
    for i in prange(outer * blocks, nogil=True, num_threads=num_threads, schedule="static"):
        softmax_task(&p, i // blocks, i % blocks * share,
                     min(positions, (i % blocks + 1) * share))
