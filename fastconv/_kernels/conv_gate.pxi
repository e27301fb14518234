# The gradient of an activation of the ReLU family at the kernel's store:
#
#     y  where gate > 0,  else slope y
#
# with y + plus in place of y where another branch of the network has the same input.
#
# The gate is the activation's output, which has the sign of its input, as slope >= 0.  A slope of 0
# gives 0, whatever y is.  A task treats what it has just written, while that is in cache.  (The
# activation itself is the tile's business.)

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


cdef inline void gate_row(const conv_t* p, idx_t count, const real* gate, const real* plus,
                          idx_t at, idx_t gate_step, real* y, idx_t y_step) noexcept nogil:
    gate_line(p.slope, count, gate + at, plus + at if plus != NULL else NULL, gate_step, y, y_step)


cdef void gate_cuboid(const conv_t* p, idx_t n, idx_t first, idx_t channels, const idx_t* start,
                      const idx_t* size, real* y) noexcept nogil:
    """Positions from `start` on, `size` of them along each axis, of channels from `first` on."""
    cdef idx_t k, i0, i1, i2, at, gate_at
    cdef idx_t rows = size[1], columns = size[2], gate_first
    cdef const real* gate
    cdef const real* plus = NULL
    cdef int axis
    y = y + n * p.out_batch + first * p.out_channel
    gate_first = n * p.gate_batch + first * p.gate_channel
    for axis in range(AXES):
        y = y + start[axis] * p.out_step[axis]
        gate_first += start[axis] * p.gate_step[axis]
    gate = p.gate + gate_first
    if p.plus != NULL:
        plus = p.plus + gate_first
    # Rows that follow each other in memory are one.
    if p.out_step[1] == columns * p.out_step[2] and p.gate_step[1] == columns * p.gate_step[2]:
        columns *= rows
        rows = 1
    # So are pixels of no other channels.
    cdef bint whole = (p.out_channel == 1 and p.gate_channel == 1 and p.out_step[2] == channels
                       and p.gate_step[2] == channels)
    for i0 in range(size[0]):
        for i1 in range(rows):
            at = i0 * p.out_step[0] + i1 * p.out_step[1]
            gate_at = i0 * p.gate_step[0] + i1 * p.gate_step[1]
            if whole:
                gate_row(p, columns * channels, gate, plus, gate_at, 1, y + at, 1)
            elif channels > 1 and p.out_channel == 1 and p.gate_channel == 1:
                for i2 in range(columns):
                    gate_row(p, channels, gate, plus, gate_at + i2 * p.gate_step[2], 1,
                             y + at + i2 * p.out_step[2], 1)
            else:
                for k in range(channels):
                    gate_row(p, columns, gate, plus, gate_at + k * p.gate_channel,
                             p.gate_step[2], y + at + k * p.out_channel, p.out_step[2])
