# What else happens to outputs at the kernel's store: the gradient of an activation of the ReLU
# family,
#
#     y  where gate > 0,  else slope y
#
# with y + plus in place of y where another branch of the network has the same input; or a
# normalization by known statistics and the activation behind it,
#
#     leaky((y - mean) by + term + plus)
#
# with numbers of its own for each channel (norm_scale.pxi).
#
# The gate is the activation's output, which has the sign of its input, as slope >= 0.  A slope of 0
# gives 0, whatever y is.  A task treats what it has just written, while that is in cache.  (An
# activation alone is the tile's business.)

cdef inline bint has_finish(const conv_t* p) noexcept nogil:
    """Whether any of this is left to do; the tile's activation waits for it."""
    return p.mean != NULL or (p.gate != NULL and p.slope != 1)


cdef inline void gate_cells(bint ADDED, real slope, idx_t count, const real* gate,
                            const real* plus, idx_t gate_step, real* y,
                            idx_t y_step) noexcept nogil:
    cdef idx_t j
    cdef real each
    for j in range(count):
        each = y[j * y_step]
        if ADDED:
            each = each + plus[j * gate_step]
        y[j * y_step] = (each if gate[j * gate_step] > 0 else 0 if slope == 0 else slope * each)


cdef void gate_line(real slope, idx_t count, const real* gate, const real* plus, idx_t gate_step,
                    real* y, idx_t y_step) noexcept nogil:
    # Loops with a step of 1 become vectors.
    if y_step == 1 and gate_step == 1:
        if plus == NULL:
            gate_cells(False, slope, count, gate, gate, 1, y, 1)
        else:
            gate_cells(True, slope, count, gate, plus, 1, y, 1)
    elif plus == NULL:
        gate_cells(False, slope, count, gate, gate, gate_step, y, y_step)
    else:
        gate_cells(True, slope, count, gate, plus, gate_step, y, y_step)


cdef inline vec finished_vector(bint NORMED, bint PLUS, real slope, const real* y,
                                const real* gate, const real* plus, const real* mean,
                                const real* by, const real* term) noexcept nogil:
    cdef vec x = (<const vec*> y)[0]
    if NORMED:
        return scaled(ADDED if PLUS else NORMAL, x, (<const vec*> plus)[0], (<const vec*> mean)[0],
                      (<const vec*> by)[0], x, (<const vec*> term)[0], slope)
    if PLUS:
        x = x + (<const vec*> plus)[0]
    return gated(x, (<const vec*> gate)[0], slope)


cdef inline void finish_vectors(bint NORMED, bint PLUS, real slope, idx_t count, idx_t channels,
                                const real* mean, const real* by, const real* term,
                                const real* gate, const real* plus, idx_t step, real* y,
                                idx_t y_step) noexcept nogil:
    """A pixel after the other, of LANES channels at least."""
    cdef idx_t last = channels - LANES, i, c
    cdef vec end
    for i in range(count):
        # Read before the vector that it overlaps is written.
        end = finished_vector(NORMED, PLUS, slope, y + last, gate + last, plus + last, mean + last,
                              by + last, term + last)
        c = 0
        while c < last:
            (<vec*> (y + c))[0] = finished_vector(NORMED, PLUS, slope, y + c, gate + c, plus + c,
                                                  mean + c, by + c, term + c)
            c += LANES
        (<vec*> (y + last))[0] = end
        y, gate, plus = y + y_step, gate + step, plus + step


cdef inline void norm_line(scaling_t KIND, const conv_t* p, idx_t channel, idx_t count,
                           const real* plus, idx_t plus_step, real* y,
                           idx_t y_step) noexcept nogil:
    cdef idx_t i
    if y_step == 1 and (plus_step == 1 or KIND == NORMAL):
        scale_plane(KIND, y, plus, p.mean[channel], p.by[channel], 0, p.term[channel], p.slope, y,
                    count)
        return
    for i in range(count):
        scale_plane(KIND, y + i * y_step, plus + i * plus_step, p.mean[channel], p.by[channel], 0,
                    p.term[channel], p.slope, y + i * y_step, 1)


cdef inline const real* further(const real* array, idx_t elements) noexcept nogil:
    return array + elements if array != NULL else NULL


cdef void finish_line(const conv_t* p, idx_t channel, idx_t count, const real* gate,
                      const real* plus, idx_t gate_step, real* y, idx_t y_step) noexcept nogil:
    if p.mean == NULL:
        gate_line(p.slope, count, gate, plus, gate_step, y, y_step)
    elif plus == NULL:
        norm_line(NORMAL, p, channel, count, y, 1, y, y_step)
    else:
        norm_line(ADDED, p, channel, count, plus, gate_step, y, y_step)


cdef void finish_pixels(const conv_t* p, idx_t first, idx_t count, idx_t channels,
                        const real* gate, const real* plus, real* y) noexcept nogil:
    """Pixels of a row, of channels from `first` on that are neighbours in memory."""
    cdef const real* mean = p.mean + first
    cdef const real* by = p.by + first
    cdef const real* term = p.term + first
    cdef idx_t y_step = p.out_step[2], step = p.gate_step[2], c
    if channels < LANES:
        for c in range(channels):
            finish_line(p, first + c, count, further(gate, c), further(plus, c), step, y + c,
                        y_step)
    # A literal slope leaves no question to each vector; and y stands in for what is not read.
    elif p.mean == NULL and plus == NULL and p.slope == 0:
        finish_vectors(False, False, 0, count, channels, y, y, y, gate, y, step, y, y_step)
    elif p.mean == NULL and plus == NULL:
        finish_vectors(False, False, p.slope, count, channels, y, y, y, gate, y, step, y, y_step)
    elif p.mean == NULL and p.slope == 0:
        finish_vectors(False, True, 0, count, channels, y, y, y, gate, plus, step, y, y_step)
    elif p.mean == NULL:
        finish_vectors(False, True, p.slope, count, channels, y, y, y, gate, plus, step, y, y_step)
    elif plus == NULL and p.slope == 0:
        finish_vectors(True, False, 0, count, channels, mean, by, term, y, y, step, y, y_step)
    elif plus == NULL:
        finish_vectors(True, False, p.slope, count, channels, mean, by, term, y, y, step, y,
                       y_step)
    elif p.slope == 0:
        finish_vectors(True, True, 0, count, channels, mean, by, term, y, plus, step, y, y_step)
    else:
        finish_vectors(True, True, p.slope, count, channels, mean, by, term, y, plus, step, y,
                       y_step)


cdef void finish_cuboid(const conv_t* p, idx_t n, idx_t first, idx_t channels, const idx_t* start,
                        const idx_t* size, real* y) noexcept nogil:
    """Positions from `start` on, `size` of them along each axis, of channels from `first` on."""
    cdef idx_t k, i0, i1, at, gate_at
    cdef idx_t rows = size[1], columns = size[2], beside = n * p.gate_batch + first * p.gate_channel
    cdef const real* gate
    cdef const real* plus
    cdef int axis
    y = y + n * p.out_batch + first * p.out_channel
    for axis in range(AXES):
        y = y + start[axis] * p.out_step[axis]
        beside += start[axis] * p.gate_step[axis]
    # Rows that follow each other in memory are one.
    if p.out_step[1] == columns * p.out_step[2] and p.gate_step[1] == columns * p.gate_step[2]:
        columns *= rows
        rows = 1
    # So are pixels of no other channels: to a gate as many as there are elements.
    cdef bint pixels = channels > 1 and p.out_channel == 1 and p.gate_channel == 1
    cdef bint whole = (pixels and p.mean == NULL and p.out_step[2] == channels
                       and p.gate_step[2] == channels)
    for i0 in range(size[0]):
        for i1 in range(rows):
            at = i0 * p.out_step[0] + i1 * p.out_step[1]
            gate_at = beside + i0 * p.gate_step[0] + i1 * p.gate_step[1]
            gate, plus = further(p.gate, gate_at), further(p.plus, gate_at)
            if whole:
                gate_line(p.slope, columns * channels, gate, plus, 1, y + at, 1)
            elif pixels:
                finish_pixels(p, first, columns, channels, gate, plus, y + at)
            else:
                for k in range(channels):
                    finish_line(p, first + k, columns, further(gate, k * p.gate_channel),
                                further(plus, k * p.gate_channel), p.gate_step[2],
                                y + at + k * p.out_channel, p.out_step[2])
