# Packing: weights in the order in which the tile reads them.

cdef void pack_block(const correlate_t* self, const real* w, const real* bias, idx_t group,
                     idx_t block, real* packed) noexcept nogil:
    """[width] biases, then [tap][in channel][width] weights; lanes past the end are zero."""
    cdef const conv_t* p = &self.p
    cdef idx_t width = self.width if block < self.n_blocks - 1 else last_width(self)
    cdef idx_t first = block * self.width
    cdef idx_t used = min(width, p.out_channels - first)
    cdef idx_t lane, t, c, square, squares
    cdef const real* filters = w + group * p.w_group + first * p.w_out
    cdef real* target = packed + self.width
    for lane in range(width):
        packed[lane] = 0
        if bias != NULL and lane < used:
            packed[lane] = bias[group * p.out_channels + first + lane]
    if width % LANES == 0 and dense_taps(self):
        pack_dense(self, filters, used, width, w_end(p, w), target)
        return
    for t in range(self.n_taps):
        for c in range(p.in_channels):
            for lane in range(width):
                target[(t * p.in_channels + c) * width + lane] = (
                    filters[lane * p.w_out + c * p.w_in + self.tap_weight[t]]
                    if lane < used else 0)


cdef inline bint dense_taps(const correlate_t* self) noexcept nogil:
    """Whether all taps are in use and lie side by side in memory, forwards or backwards."""
    cdef const conv_t* p = &self.p
    cdef idx_t unit = p.w_step[2]
    return ((unit == 1 or unit == -1) and p.w_step[1] == unit * p.kernel[2]
            and p.w_step[0] == p.w_step[1] * p.kernel[1]
            and self.n_taps == p.kernel[0] * p.kernel[1] * p.kernel[2])


cdef inline idx_t backwards(const correlate_t* self) noexcept nogil:
    """Cells from the first tap in memory to tap 0: filters of grad_input are inverted views."""
    return self.n_taps - 1 if self.p.w_step[2] < 0 else 0


cdef inline const real* w_end(const conv_t* p, const real* w) noexcept nogil:
    """Past the last weight in memory, of filters whose taps are dense."""
    cdef idx_t taps = p.kernel[0] * p.kernel[1] * p.kernel[2]
    return (w + (p.groups - 1) * p.w_group + (p.out_channels - 1) * p.w_out
            + (p.in_channels - 1) * p.w_in + (taps if p.w_step[2] > 0 else 1))


cdef void pack_dense(const correlate_t* self, const real* filters, idx_t used, idx_t width,
                     const real* end, real* target) noexcept nogil:
    """Turns squares of [filter][tap] into [tap][filter]; slices that touch are one long row."""
    cdef const conv_t* p = &self.p
    cdef idx_t taps = self.n_taps
    cdef bint touching = p.w_in == taps
    cdef idx_t length = p.in_channels * taps if touching else taps
    cdef idx_t slice, at, i, j, c, u, cell, cells
    cdef const real* source
    cdef real* lanes
    cdef real square[16 * 16]
    for j in range(width // LANES):
        for slice in range(1 if touching else p.in_channels):
            c, u = slice, 0
            source = filters + slice * p.w_in + j * LANES * p.w_out - backwards(self)
            for i in range(ceil_div(length, LANES)):
                at = i * LANES
                cells = min(<idx_t> LANES, length - at)
                turn_square(source + at, p.w_out, used - j * LANES, end, square, LANES, cells)
                for cell in range(cells):
                    lanes = target + (self.tap_at[u] * p.in_channels + c) * width + j * LANES
                    (<vec*> lanes)[0] = (<const vec*> (square + cell * LANES))[0]
                    u += 1
                    if u == taps:
                        c, u = c + 1, 0
