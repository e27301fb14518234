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


cdef void gate_block(const correlate_t* self, const idx_t* m, idx_t n, idx_t group, idx_t block,
                     real* y) noexcept nogil:
    """The block of channels and positions that a task has written, all phases together."""
    cdef const conv_t* p = &self.p
    cdef idx_t first = group * p.out_channels + block * self.width
    cdef idx_t channels = min(self.width, p.out_channels - block * self.width)
    cdef idx_t k, i0, i1, i2, start, at, gate_at
    cdef idx_t cells[AXES]
    cdef const real* gate = p.gate
    cdef int axis
    y = y + n * p.out_batch + first * p.out_channel
    gate = gate + n * p.gate_batch + first * p.gate_channel
    for axis in range(AXES):
        start = m[axis] * p.stretch[axis]
        cells[axis] = min(self.window.axis[axis].block * p.stretch[axis],
                          p.out_size[axis] - start)
        y = y + start * p.out_step[axis]
        gate = gate + start * p.gate_step[axis]
    # Rows that follow each other in memory are one.
    if (p.out_step[1] == cells[2] * p.out_step[2]
            and p.gate_step[1] == cells[2] * p.gate_step[2]):
        cells[2] *= cells[1]
        cells[1] = 1
    for i0 in range(cells[0]):
        for i1 in range(cells[1]):
            at = i0 * p.out_step[0] + i1 * p.out_step[1]
            gate_at = i0 * p.gate_step[0] + i1 * p.gate_step[1]
            if channels > 1 and p.out_channel == 1 and p.gate_channel == 1:
                for i2 in range(cells[2]):
                    gate_line(p.slope, channels, gate + gate_at + i2 * p.gate_step[2], 1,
                              y + at + i2 * p.out_step[2], 1)
            else:
                for k in range(channels):
                    gate_line(p.slope, cells[2], gate + gate_at + k * p.gate_channel,
                              p.gate_step[2], y + at + k * p.out_channel, p.out_step[2])
