# Rows of a strip: copied from one row of the input, or turned from planes, with zeros for padding.

cdef struct span_t:
    # One run of a row: its cells, and those of them that lie inside the input.
    idx_t cell, cells, low, high
    idx_t source            # of the run's first cell, from the start of the input row


cdef inline void copy_every(int step, const real* source, idx_t cells, idx_t ahead,
                            real* target) noexcept nogil:
    """Copies cells `step` apart in whole vectors."""
    cdef idx_t j
    cdef int i
    for j in range(ceil_div(cells, LANES)):
        (<vec*> target)[j] = every(step, source + j * step * LANES)
        for i in range(step):
            prefetch(source + (j * step + i) * LANES, ahead)


cdef inline void fill_plane_row(const span_t* spans, idx_t n_spans, const real* x, idx_t step,
                                idx_t ahead, const real* end, real* strip) noexcept nogil:
    """One row of one channel.

    Rows are written in the order of memory, so a vector may spill into what comes next, as long
    as it reads no further than `end`.
    """
    cdef idx_t run, j
    cdef const span_t* span
    cdef const real* source
    cdef const real* first
    cdef real* target
    for run in range(n_spans):
        span = spans + run
        target = strip + span.cell
        source = x + span.source
        for j in range(span.low):
            target[j] = 0
        first = source + span.low * step
        if source + step * (span.high + LANES) > end:
            for j in range(span.low, span.high):
                target[j] = source[j * step]
        elif step == 1:
            copy_every(1, first, span.high - span.low, ahead, target + span.low)
        elif step == 2:
            copy_every(2, first, span.high - span.low, ahead, target + span.low)
        elif step == 4:
            copy_every(4, first, span.high - span.low, ahead, target + span.low)
        elif step == 8:
            copy_every(8, first, span.high - span.low, ahead, target + span.low)
        else:
            for j in range(span.low, span.high):
                target[j] = source[j * step]
        for j in range(span.high, span.cells):
            target[j] = 0


cdef inline void fill_pixel_row(const span_t* spans, idx_t n_spans, const real* x, idx_t step,
                                idx_t channels, real* strip, idx_t pixel) noexcept nogil:
    """One row of pixels, their channels side by side; pixels of the strip are `pixel` apart."""
    cdef idx_t run, j
    cdef const span_t* span
    cdef const real* source
    cdef real* target
    for run in range(n_spans):
        span = spans + run
        target = strip + span.cell * pixel
        source = x + span.source
        clear(target, span.low * pixel)
        if step == pixel and channels == pixel:
            copy(target + span.low * pixel, source + span.low * step,
                 (span.high - span.low) * pixel)
        else:
            for j in range(span.low, span.high):
                copy(target + j * pixel, source + j * step, channels)
        clear(target + span.high * pixel, (span.cells - span.high) * pixel)


cdef inline void split_pixel_row(const span_t* spans, idx_t n_spans, const real* x, idx_t step,
                                 idx_t channels, const real* end, real* strip,
                                 idx_t plane) noexcept nogil:
    """One row of all planes from pixels."""
    cdef idx_t run, c
    cdef const span_t* span
    cdef real* target
    for run in range(n_spans):
        span = spans + run
        target = strip + span.cell
        for c in range(channels):
            clear(target + c * plane, span.low)
            clear(target + c * plane + span.high, span.cells - span.high)
        pixels_to_planes(x + span.source + span.low * step, step, span.high - span.low, channels,
                         end, target + span.low, plane)


cdef inline void turn_pixel_row(const span_t* spans, idx_t n_spans, const real* x, idx_t plane,
                                idx_t step, idx_t channels, const real* end, real* strip,
                                idx_t pixel) noexcept nogil:
    """One row of pixels from planes."""
    cdef idx_t run
    cdef const span_t* span
    cdef real* target
    for run in range(n_spans):
        span = spans + run
        target = strip + span.cell * pixel
        clear(target, span.low * pixel)
        planes_to_pixels(x + span.source + span.low * step, plane, step, span.high - span.low,
                         channels, end, target + span.low * pixel, pixel)
        clear(target + span.high * pixel, (span.cells - span.high) * pixel)
