# Packing: weights in the order in which the tile reads them.

cdef void pack_bias(const correlate_t* self, const real* bias, idx_t group, idx_t block,
                    real* packed) noexcept nogil:
    """The biases of a block, zero past the last channel."""
    cdef idx_t lane, first = block * self.width
    for lane in range(self.width):
        packed[lane] = 0
        if bias != NULL and first + lane < self.p.out_channels:
            packed[lane] = bias[group * self.p.out_channels + first + lane]


cdef void pack_channels(const correlate_t* self, const real* w, idx_t group, idx_t block,
                        idx_t c0, idx_t channels, real* packed) noexcept nogil:
    """[chain][in channel][tap][width] weights of the in channels from c0 on; unused lanes are zero."""
    cdef const conv_t* p = &self.p
    cdef idx_t width = self.width if block < self.n_blocks - 1 else last_width(self)
    cdef idx_t first = block * self.width
    cdef idx_t used = min(width, p.out_channels - first)
    cdef idx_t lane, t, c
    cdef const real* filters = w + group * p.w_group + first * p.w_out + c0 * p.w_in
    cdef bint evenly = self.filters == p.out_channels
    if width == 1 and channels == 1:
        filters = w + filter_offset(self, group, first) + c0 * p.w_in
        for t in range(self.n_taps):
            packed[t] = filters[self.tap_weight[t]]
        return
    if evenly and width % LANES == 0 and self.n_taps == 1 and p.w_out == 1:
        for c in range(channels):
            copy(packed + c * width, filters + c * p.w_in + self.tap_weight[0], used)
            clear(packed + c * width + used, width - used)
        return
    if evenly and width % LANES == 0 and dense_taps(self):
        pack_dense(self, filters, used, width, channels, w_end(p, w), packed)
        return
    for t in range(self.n_taps):
        for c in range(channels):
            for lane in range(width):
                packed[place_in_pack(self, t, c, channels) * width + lane] = (
                    w[filter_offset(self, group, first + lane) + (c0 + c) * p.w_in
                      + self.tap_weight[t]] if lane < used else 0)


cdef inline idx_t place_in_pack(const correlate_t* self, idx_t tap, idx_t channel,
                                idx_t channels) noexcept nogil:
    """In widths: the taps of a chain lie side by side, for each channel."""
    cdef idx_t first = self.tap_first[tap]
    return first * channels + channel * self.tap_chain[tap] + tap - first


cdef inline idx_t filter_offset(const correlate_t* self, idx_t group, idx_t k) noexcept nogil:
    return ((group + k // self.filters) * self.p.w_group
            + k % self.filters * self.p.w_out)


cdef inline idx_t tap_sign(const conv_t* p) noexcept nogil:
    """-1 where taps run backwards in memory: filters of grad_input are inverted views."""
    cdef int axis
    for axis in range(AXES):
        if p.kernel[axis] > 1 and p.w_step[axis] < 0:
            return -1
    return 1


cdef inline bint dense_taps(const correlate_t* self) noexcept nogil:
    """Whether all taps are in use and lie side by side in memory, forwards or backwards."""
    cdef const conv_t* p = &self.p
    cdef idx_t step = tap_sign(p), taps = 1
    cdef int axis
    for axis in range(AXES - 1, -1, -1):
        # The step along an axis of length 1 means nothing.
        if p.kernel[axis] > 1 and p.w_step[axis] != step:
            return False
        step *= p.kernel[axis]
        taps *= p.kernel[axis]
    return self.n_taps == taps


cdef inline idx_t backwards(const correlate_t* self) noexcept nogil:
    """Cells from the first tap in memory to tap 0."""
    return self.n_taps - 1 if tap_sign(&self.p) < 0 else 0


cdef inline const real* w_end(const conv_t* p, const real* w) noexcept nogil:
    """Past the last weight in memory, of filters whose taps are dense."""
    cdef idx_t taps = p.kernel[0] * p.kernel[1] * p.kernel[2]
    return (w + (p.groups - 1) * p.w_group + (p.out_channels - 1) * p.w_out
            + (p.in_channels - 1) * p.w_in + (taps if tap_sign(p) > 0 else 1))


cdef void pack_dense(const correlate_t* self, const real* filters, idx_t used, idx_t width,
                     idx_t channels, const real* end, real* target) noexcept nogil:
    """Turns squares of [filter][tap] into [tap][filter]; slices that touch are one long row."""
    cdef const conv_t* p = &self.p
    cdef idx_t taps = self.n_taps
    cdef bint touching = p.w_in == taps, lone = touching and taps == 1
    cdef idx_t length = channels * taps if touching else taps
    cdef idx_t ahead = AHEAD if touching else 2 * p.w_in
    cdef idx_t slice, at, i, j, c, u, cell, cells, tap
    cdef const real* source
    cdef real* lanes
    cdef real square[16 * 16]
    # As in place_in_pack; here, or the stores would have these loaded again for every vector.
    cdef const idx_t* tap_at = self.tap_at
    cdef const idx_t* tap_first = self.tap_first
    cdef const idx_t* tap_chain = self.tap_chain
    for j in range(width // LANES):
        for slice in range(1 if touching else channels):
            c, u = slice, 0
            source = filters + slice * p.w_in + j * LANES * p.w_out - backwards(self)
            for i in range(ceil_div(length, LANES)):
                at = i * LANES
                cells = min(<idx_t> LANES, length - at)
                if lone:
                    turn_square(source + at, p.w_out, used - j * LANES, end, ahead,
                                target + at * width + j * LANES, width, cells)
                    continue
                turn_square(source + at, p.w_out, used - j * LANES, end, ahead, square, LANES,
                            cells)
                for cell in range(cells):
                    tap = tap_at[u]
                    lanes = target + j * LANES + width * (
                        tap_first[tap] * (channels - 1) + c * tap_chain[tap] + tap)
                    (<vec*> lanes)[0] = (<const vec*> (square + cell * LANES))[0]
                    u += 1
                    if u == taps:
                        c, u = c + 1, 0
