# The gradient of an activation of the ReLU family at the kernel's store:
#
#     y  where gate > 0,  else slope y
#
# The gate is the activation's output, which has the sign of its input, as slope >= 0.  A slope of 0
# gives 0, whatever y is.  A task treats what it has just written, while that is in cache.  (The
# activation itself is the tile's business.)

cdef inline void gate_cells(real slope, idx_t count, const real* gate, idx_t gate_step, real* y,
                            idx_t y_step) noexcept nogil:
    cdef idx_t j
    for j in range(count):
        y[j * y_step] = (y[j * y_step] if gate[j * gate_step] > 0
                         else 0 if slope == 0 else slope * y[j * y_step])


cdef void gate_line(real slope, idx_t count, const real* gate, idx_t gate_step, real* y,
                    idx_t y_step) noexcept nogil:
    # Loops with a step of 1 become vectors.
    if y_step == 1 and gate_step == 1:
        gate_cells(slope, count, gate, 1, y, 1)
    else:
        gate_cells(slope, count, gate, gate_step, y, y_step)


cdef void gate_cuboid(const conv_t* p, idx_t n, idx_t first, idx_t channels, const idx_t* start,
                      const idx_t* size, real* y) noexcept nogil:
    """Positions from `start` on, `size` of them along each axis, of channels from `first` on."""
    cdef idx_t k, i0, i1, i2, at, gate_at
    cdef idx_t rows = size[1], columns = size[2]
    cdef const real* gate = p.gate + n * p.gate_batch + first * p.gate_channel
    cdef int axis
    y = y + n * p.out_batch + first * p.out_channel
    for axis in range(AXES):
        y = y + start[axis] * p.out_step[axis]
        gate = gate + start[axis] * p.gate_step[axis]
    # Rows that follow each other in memory are one.
    if p.out_step[1] == columns * p.out_step[2] and p.gate_step[1] == columns * p.gate_step[2]:
        columns *= rows
        rows = 1
    for i0 in range(size[0]):
        for i1 in range(rows):
            at = i0 * p.out_step[0] + i1 * p.out_step[1]
            gate_at = i0 * p.gate_step[0] + i1 * p.gate_step[1]
            if channels > 1 and p.out_channel == 1 and p.gate_channel == 1:
                for i2 in range(columns):
                    gate_line(p.slope, channels, gate + gate_at + i2 * p.gate_step[2], 1,
                              y + at + i2 * p.out_step[2], 1)
            else:
                for k in range(channels):
                    gate_line(p.slope, columns, gate + gate_at + k * p.gate_channel,
                              p.gate_step[2], y + at + k * p.out_channel, p.out_step[2])
