# Sums of grad_weight: the sum over positions is cut into parts by the problem alone, each part has
# its own buffer, and the parts are added in order.
#
# grad_bias is grad_weight for an input that is 1 everywhere: one more row of every part's sums,
# added up while a unit of grad_output lies in cache.

cdef inline idx_t bias_row(const grad_weight_t* self) noexcept nogil:
    """Where the sums for the bias begin: after those for the weights."""
    return self.n_taps * self.p.in_channels * self.width


cdef inline idx_t sums_elements(const grad_weight_t* self) noexcept nogil:
    """Of one part of the sums of one block."""
    return bias_row(self) + self.width


cdef inline real* block_sums(const grad_weight_t* self, real* parts, idx_t group, idx_t block,
                             idx_t part) noexcept nogil:
    """One part of the sums of one block; the parts of a block lie side by side."""
    return parts + (((group * self.n_blocks + block) * self.n_parts + part)
                    * sums_elements(self))


cdef inline idx_t all_parts_elements(const grad_weight_t* self) noexcept nogil:
    return round_up(self.p.groups * self.n_blocks * self.n_parts * sums_elements(self), ALIGN)


cdef void add_pixels(const real* pixels, idx_t step, idx_t count, idx_t nv,
                     real* sums) noexcept nogil:
    """sums[v] += the sum of pixels[v] over so many pixels; four sums at once hide the latency."""
    cdef vec acc[4]
    cdef const real* at
    cdef idx_t v, j
    cdef int i
    for v in range(nv):
        at = pixels + v * LANES
        for i in range(4):
            acc[i] = splat(0)
        for j in range(count // 4):
            for i in range(4):
                acc[i] = acc[i] + (<const vec*> (at + i * step))[0]
            at = at + 4 * step
        for j in range(count % 4):
            acc[0] = acc[0] + (<const vec*> (at + j * step))[0]
        (<vec*> (sums + v * LANES))[0] = (
            (<vec*> (sums + v * LANES))[0] + ((acc[0] + acc[1]) + (acc[2] + acc[3])))


cdef void tile_bias(const grad_weight_t* self, const stream_t* s, const real* g, idx_t block,
                    real* sums) noexcept nogil:
    """Adds one unit of grad_output to [lanes of the block]."""
    cdef idx_t row, nv = block_width(self, block) // LANES
    if self.in_place:
        for row in range(s.n_outer):
            add_pixels(g + s.b_off[row], s.b_step, s.n_inner, nv, sums)
    else:
        add_pixels(g, s.b_step, s.n_outer * s.n_inner, nv, sums)


cdef void dot_bias(const grad_weight_t* self, const stream_t* s, const real* packed,
                   real* sums) noexcept nogil:
    """Adds one unit of grad_output to [out channel]."""
    cdef idx_t k, plane = s.n_outer * round_up(s.n_inner, LANES)
    cdef vec lanes
    for k in range(self.p.out_channels):
        lanes = splat(0)
        add_pixels(packed + k * plane, LANES, plane // LANES, 1, <real*> &lanes)
        sums[k] += sum_lanes(lanes)


cdef inline idx_t channels_together(const grad_weight_t* self) noexcept nogil:
    """Input channels whose sums for one block stay in L1 while they are turned."""
    return max(<idx_t> 1, 256 // self.n_taps)


cdef inline idx_t weight_steps(const grad_weight_t* self) noexcept nogil:
    """Calls of `add_parts` for one block."""
    return ceil_div(self.p.in_channels, channels_together(self))


cdef void add_parts(const grad_weight_t* self, idx_t task, real* parts,
                    real* grad) noexcept nogil:
    """Adds the parts of a few channels in order, and turns them to the layout of the weights."""
    cdef const conv_t* p = &self.p
    cdef idx_t step = channels_together(self), n_steps = weight_steps(self)
    cdef idx_t c0 = task % n_steps * step, c1 = min(p.in_channels, c0 + step)
    cdef idx_t block = task // n_steps % self.n_blocks
    cdef idx_t group = task // n_steps // self.n_blocks
    cdef idx_t elements = sums_elements(self)
    cdef idx_t width = block_width(self, block), first = block * self.width
    cdef idx_t part, t, c, u, i, j, v, lane, at, cells, used
    cdef real square[16 * 16]
    cdef const real* row[16]
    cdef real* sums = block_sums(self, parts, group, block, 0)
    cdef real* filter
    for part in range(1, self.n_parts):
        for t in range(self.n_taps):
            at = (t * p.in_channels + c0) * width
            for j in range(at, at + (c1 - c0) * width):
                sums[j] += sums[part * elements + j]
    filter = grad + group * p.w_group + first * p.w_out
    used = min(width, p.out_channels - first)
    c, u = c0, 0
    for i in range(ceil_div((c1 - c0) * self.n_taps, LANES)):
        at = i * LANES
        cells = min(<idx_t> LANES, (c1 - c0) * self.n_taps - at)
        for j in range(cells):
            row[j] = sums + (self.tap_at[u] * p.in_channels + c) * width
            u += 1
            if u == self.n_taps:
                c, u = c + 1, 0
        at += c0 * self.n_taps
        if cells == LANES and width % LANES == 0:
            for v in range(width // LANES):
                lane = v * LANES
                for j in range(LANES):
                    (<vec*> square)[j] = (<const vec*> (row[j] + lane))[0]
                turn_square(square, LANES, LANES, square + LANES * LANES, 0,
                            filter + lane * p.w_out + at, p.w_out, used - lane)
        else:
            for lane in range(used):
                for j in range(cells):
                    filter[lane * p.w_out + at + j] = row[j][lane]


cdef void add_bias_parts(const grad_weight_t* self, idx_t task, real* parts,
                         real* grad_bias) noexcept nogil:
    """Adds the parts of one block in order."""
    cdef idx_t block = task % self.n_blocks, group = task // self.n_blocks
    cdef idx_t first = block * self.width, part, lane
    cdef const real* sums = block_sums(self, parts, group, block, 0) + bias_row(self)
    cdef real* target = grad_bias + group * self.p.out_channels + first
    for lane in range(min(self.width, self.p.out_channels - first)):
        target[lane] = sums[lane]
        for part in range(1, self.n_parts):
            target[lane] += sums[part * sums_elements(self) + lane]
