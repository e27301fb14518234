# Sums of grad_weight: the sum over positions is cut into parts by the problem alone, each part has
# its own buffer, and the parts are added in order.
#
# grad_bias is grad_weight for an input that is 1 everywhere: one more row of every part's sums,
# added up while a unit of grad_output lies in cache.

cdef inline bint alone(const grad_weight_t* self) noexcept nogil:
    """Whether the sums of a task wait for no others."""
    return self.n_parts == 1 and not self.continued


cdef inline bint at_home(const grad_weight_t* self) noexcept nogil:
    """Whether the tile leaves them where the weights are: both have the same order then."""
    return (alone(self) and not self.dots and self.n_taps == 1 and self.p.w_out == 1
            and self.p.out_channels % LANES == 0)


cdef inline idx_t bias_row(const grad_weight_t* self) noexcept nogil:
    """Where the sums for the bias begin: after those for the weights that are not at home."""
    return 0 if at_home(self) else self.n_taps * self.p.in_channels * self.width


cdef inline idx_t sums_elements(const grad_weight_t* self) noexcept nogil:
    """Of one part of the sums of one block."""
    return bias_row(self) + self.width


cdef inline real* block_sums(const grad_weight_t* self, real* parts, idx_t block) noexcept nogil:
    """All parts, side by side, of the sums of one block, counted through the groups."""
    return parts + block * self.n_parts * sums_elements(self)


cdef inline real* task_sums(const grad_weight_t* self, real* parts, real* own, idx_t group,
                            idx_t block, idx_t chunk, idx_t part) noexcept nogil:
    """Of a block of the chunk, counted from its first."""
    if alone(self):
        return own + block * sums_elements(self)
    block += group * self.n_blocks + chunk * self.chunk
    return block_sums(self, parts, block) + part * sums_elements(self)


cdef inline idx_t all_parts_elements(const grad_weight_t* self) noexcept nogil:
    if alone(self):
        return 0
    return round_up(self.p.groups * self.n_blocks * self.n_parts * sums_elements(self), ALIGN)


cdef inline idx_t own_elements(const grad_weight_t* self) noexcept nogil:
    """Sums in the scratch of one thread."""
    return round_up(self.chunk * sums_elements(self), ALIGN) if alone(self) else 0


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


cdef void sum_channels(const conv_t* p, const real* g, idx_t first, idx_t channels,
                       real* sums) noexcept nogil:
    """Adds these channels of grad_output over the batch and all positions to `sums`."""
    cdef idx_t n, i0, i1, i, at, count, j, k, step = p.out_step[2]
    cdef const real* row
    for k in range(channels):
        sums[k] = 0
    for n in range(p.batch):
        for i0 in range(p.out_size[0]):
            for i1 in range(p.out_size[1]):
                row = g + n * p.out_batch + i0 * p.out_step[0] + i1 * p.out_step[1] + first
                for i in range(ceil_div(p.out_size[2], PART_POSITIONS)):
                    at = i * PART_POSITIONS
                    count = min(<idx_t> PART_POSITIONS, p.out_size[2] - at)
                    if channels % LANES == 0:
                        add_pixels(row + at * step, step, count, channels // LANES, sums)
                    else:
                        for j in range(at, at + count):
                            for k in range(channels):
                                sums[k] += row[j * step + k]


cdef void sum_pixels(const conv_t* p, const real* g, real* grad_bias,
                     int num_threads) noexcept nogil:
    """grad_bias where grad_output, its channels side by side, is not packed."""
    cdef idx_t i, blocks = ceil_div(p.groups * p.out_channels, BIAS_CHANNELS)
    for i in prange(blocks, num_threads=num_threads if blocks > 1 else 1, schedule="static"):
        bias_task(p, g, i * BIAS_CHANNELS, grad_bias)


cdef void bias_task(const conv_t* p, const real* g, idx_t first, real* grad_bias) noexcept nogil:
    """Whole vectors and, by themselves, the channels that fill none."""
    cdef idx_t channels = min(<idx_t> BIAS_CHANNELS, p.groups * p.out_channels - first)
    cdef idx_t whole = channels // LANES * LANES
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    sum_channels(p, g, first, whole, grad_bias + first)
    sum_channels(p, g, first + whole, channels - whole, grad_bias + first + whole)
    set_float_mode(mode)


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


cdef void add_parts(const grad_weight_t* self, idx_t task, idx_t call, real* sums,
                    real* grad) noexcept nogil:
    """Adds the parts of a few channels in order, and turns them to the layout of the weights."""
    cdef const conv_t* p = &self.p
    cdef idx_t c0 = call * channels_together(self)
    cdef idx_t c1 = min(p.in_channels, c0 + channels_together(self))
    cdef idx_t block = task % self.n_blocks, group = task // self.n_blocks
    cdef idx_t elements = sums_elements(self)
    cdef idx_t width = block_width(self, block), first = block * self.width
    cdef idx_t part, t, c, u, i, j, v, lane, at, cells, used
    cdef real square[16 * 16]
    cdef const real* row[16]
    cdef real* filter
    for part in range(1, self.n_parts):
        for t in range(self.n_taps):
            at = (t * p.in_channels + c0) * width
            for j in range(at, at + (c1 - c0) * width):
                sums[j] += sums[part * elements + j]
    filter = grad + group * p.w_group + first * p.w_out
    used = min(width, p.out_channels - first)
    if self.n_taps == 1 and p.w_out == 1:
        for c in range(c0, c1):
            copy(filter + c * p.w_in, sums + c * width, used)
        return
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


cdef void add_bias_parts(const grad_weight_t* self, idx_t task, const real* sums,
                         real* grad_bias) noexcept nogil:
    """Adds the parts of one block in order."""
    cdef idx_t block = task % self.n_blocks, group = task // self.n_blocks
    cdef idx_t first = block * self.width, part, lane
    cdef real* target = grad_bias + group * self.p.out_channels + first
    for lane in range(min(self.width, self.p.out_channels - first)):
        target[lane] = sums[bias_row(self) + lane]
        for part in range(1, self.n_parts):
            target[lane] += sums[part * sums_elements(self) + bias_row(self) + lane]
