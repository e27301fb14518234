# ReLU and LeakyReLU, of an array or the sum of two, and their gradient.

cdef struct rectify_t:
    const real* a
    const real* b       # or NULL
    const real* gate    # or NULL
    real slope
    real* y


cdef inline void rectify_vector(bint SUM, bint GATED, const rectify_t* p, idx_t i,
                                idx_t count) noexcept nogil:
    cdef vec x = take(p.a + i, count)
    if SUM:
        x = x + take(p.b + i, count)
    give(p.y + i, count,
         gated(x, take(p.gate + i, count), p.slope) if GATED else leaky(x, p.slope))


cdef inline void rectify_chunk(bint SUM, bint GATED, const rectify_t* p, idx_t i,
                               idx_t end) noexcept nogil:
    while i + LANES <= end:
        rectify_vector(SUM, GATED, p, i, LANES)
        i += LANES
    if i < end:
        rectify_vector(SUM, GATED, p, i, end - i)


cdef void rectify_task(const rectify_t* p, idx_t begin, idx_t end) noexcept nogil:
    if p.b == NULL and p.gate == NULL:
        rectify_chunk(False, False, p, begin, end)
    elif p.b == NULL:
        rectify_chunk(False, True, p, begin, end)
    elif p.gate == NULL:
        rectify_chunk(True, False, p, begin, end)
    else:
        rectify_chunk(True, True, p, begin, end)


def rectify(const real[::1] a, const real[::1] b, const real[::1] gate, double slope, real[::1] y,
            int num_threads):
    """y = a, or a + b, times `slope` where that is negative; or, with a gate, where that is not
    positive, which is the gradient of the same, the gate being its output.

    A slope of 0 gives 0, even of infinity.  b and gate may be None.
    """
    cdef idx_t size = y.shape[0], i
    cdef rectify_t p
    cdef unsigned mode, wanted
    if size == 0:
        return
    p.a, p.y, p.slope = &a[0], &y[0], <real> slope
    p.b = &b[0] if b is not None else NULL
    p.gate = &gate[0] if gate is not None else NULL
    # What only selects keeps every bit.
    wanted = KEEP_DENORMALS if p.b == NULL and (slope == 0 or slope == 1) else FLUSH_DENORMALS
    for i in prange((size + CHUNK - 1) // CHUNK, nogil=True, num_threads=num_threads,
                    schedule="static"):
        mode = set_float_mode(wanted)
        rectify_task(&p, i * CHUNK, min(size, (i + 1) * CHUNK))
        set_float_mode(mode)
