# grad_weight: the derivative for every use of a weight, added over the positions that share it.
#
#     grad[k, c, tap] = sum over n, m of  grad_output[n, k, m] * in[n, c, stride m + tap]
#
# Lanes of the tile are output channels, its rows input channels or, where these are few, taps that
# lie at equal distances in the strip.  Where output channels are too few to fill lanes, inner
# products along the columns take the tile's place (conv_dot.pxi).  The sum is cut into parts by the problem alone, each part
# into its own buffer, and the parts are added in order.

cdef enum:
    PART_WORK = 64 * 1024 * 1024        # multiply-adds that a task should have, whatever the threads
    PART_POSITIONS = 768                # a part this long outweighs its own zeroing and adding
    PART_BYTES = 16 * 1024 * 1024       # all parts together, where one part is smaller


cdef struct grad_weight_t:
    conv_t p
    window_t window
    bint dots               # inner products; else the tile
    bint over_taps          # rows of the tile are taps; else input channels
    bint in_place           # grad_output's channels can be read as vectors where they are
    idx_t nv, width         # lanes of a block of output channels, in vectors and in elements
    idx_t n_blocks
    idx_t chunk, n_chunks   # blocks that a task takes, and how often that goes into n_blocks
    idx_t n_parts
    idx_t n_units           # blocks of output positions, over all images
    idx_t n_pos[AXES]
    idx_t n_taps
    idx_t n_runs            # of taps at equal distances
    idx_t* tap_input        # [n_taps] offset in the strip
    idx_t* tap_weight       # [n_taps] offset in a filter
    idx_t* tap_at           # [n_taps] the tap at each cell of a filter
    idx_t* run              # [n_runs + 1] first tap
    idx_t* tables


cdef inline idx_t block_width(const grad_weight_t* self, idx_t block) noexcept nogil:
    cdef idx_t rest = self.p.out_channels - block * self.width
    return self.width if self.dots else min(self.width, round_up(rest, LANES))


cdef int weight_tables(grad_weight_t* self) noexcept nogil:
    """Taps in the order of the strip, so that runs at equal distances are long."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef conv_t* p = &self.p
    cdef idx_t i0, i1, i2, t0, t1, t2, t = 0
    self.tables = <idx_t*> malloc((4 * self.n_taps + 1) * sizeof(idx_t))
    if self.tables == NULL:
        return NO_MEMORY
    self.tap_input = self.tables
    self.tap_weight = self.tap_input + self.n_taps
    self.tap_at = self.tap_weight + self.n_taps
    self.run = self.tap_at + self.n_taps
    for i0 in range(axis[0].n_taps):
        for i1 in range(axis[1].n_taps):
            for i2 in range(axis[2].n_taps):
                t0 = axis[0].order[i0]
                t1 = axis[1].order[i1]
                t2 = axis[2].order[i2]
                self.tap_input[t] = tap_offset(&self.window, p, t0, t1, t2)
                self.tap_weight[t] = (axis[0].tap[t0] * p.w_step[0]
                                      + axis[1].tap[t1] * p.w_step[1]
                                      + axis[2].tap[t2] * p.w_step[2])
                self.tap_at[self.tap_weight[t]] = t
                t += 1
    self.n_runs = 0
    for t in range(self.n_taps):
        if (t == 0 or (t > self.run[self.n_runs - 1] + 1
                       and tap_distance(self, t - 1) != tap_distance(self, t - 2))):
            self.run[self.n_runs] = t
            self.n_runs += 1
    self.run[self.n_runs] = self.n_taps
    return OK


cdef inline idx_t tap_distance(const grad_weight_t* self, idx_t t) noexcept nogil:
    return self.tap_input[t + 1] - self.tap_input[t]


cdef void choose_dots(grad_weight_t* self) noexcept nogil:
    """Inner products or the tile, by cycles for one row of output."""
    cdef conv_t* p = &self.p
    cdef idx_t columns = p.out_size[2], lines = self.n_taps // p.kernel[2]
    cdef idx_t vectors = ceil_div(p.out_channels, LANES)
    cdef idx_t by_channel = self.n_taps * tiles_cost(
        columns, p.in_channels, vectors, best_width(columns, p.in_channels, vectors))
    cdef idx_t by_tap = p.in_channels * lines * tiles_cost(
        columns, p.kernel[2], vectors, best_width(columns, p.kernel[2], vectors))
    cdef idx_t turning = 0 if p.out_channel == 1 else p.out_channels // 2
    # Twice: inner products reuse what they load far less, and so wait for L2 more often.
    self.dots = (
        2 * ceil_div(columns, LANES) * p.in_channels * dot_cost(p.out_channels, self.n_taps)
        < min(by_channel, by_tap) + columns * turning)


cdef inline idx_t unit_positions(const grad_weight_t* self) noexcept nogil:
    cdef const axis_t* axis = &self.window.axis[0]
    return axis[0].block * axis[1].block * axis[2].block


cdef void choose_rows(grad_weight_t* self) noexcept nogil:
    """Tile rows over channels or over taps, and the width, by cycles for one unit."""
    cdef conv_t* p = &self.p
    cdef idx_t vectors = ceil_div(p.out_channels, LANES), i, length, by_tap = 0, nv
    cdef idx_t longest = 1, positions = unit_positions(self)
    if self.dots:
        self.width = p.out_channels
        self.n_blocks = 1
        return
    for i in range(self.n_runs):
        longest = max(longest, self.run[i + 1] - self.run[i])
    self.nv = best_width(positions, p.in_channels, vectors)
    nv = best_width(positions, longest, vectors)
    for i in range(self.n_runs):
        length = self.run[i + 1] - self.run[i]
        by_tap += p.in_channels * tiles_cost(positions, length, vectors, nv)
    self.over_taps = by_tap < (
        self.n_taps * tiles_cost(positions, p.in_channels, vectors, self.nv))
    if self.over_taps:
        self.nv = nv
    self.width = self.nv * LANES
    self.n_blocks = ceil_div(p.out_channels, self.width)
    self.in_place = p.out_channel == 1 and p.out_channels % LANES == 0


cdef void choose_units(grad_weight_t* self) noexcept nogil:
    """Blocks of positions whose strip and grad_output fit L2: by the problem, not the threads."""
    cdef conv_t* p = &self.p
    cdef window_t* window = &self.window
    cdef idx_t block[AXES]
    cdef int axis
    cdef bint pixels = p.in_channel == 1 and p.in_channels > 1 and not self.dots
    for axis in range(AXES):
        block[axis] = window.axis[axis].grid
    while True:
        self.n_units = p.batch
        for axis in range(AXES):
            axis_finish(&window.axis[axis], block[axis])
            self.n_pos[axis] = ceil_div(window.axis[axis].grid, block[axis])
            self.n_units *= self.n_pos[axis]
        window_layout(window, p, pixels)
        if ((window.elements + block[0] * block[1] * block[2] * LANES * 2)
                * <idx_t> sizeof(real) <= 2 * STRIP_BYTES):
            break
        if block[0] > 1:
            block[0] = ceil_div(block[0], 2)
        elif block[1] > 1:
            block[1] = ceil_div(block[1], 2)
        elif block[2] > 16:
            block[2] = ceil_div(block[2], 2)
        else:
            break
    # Inner products load whole vectors, past the end of a row too: only a strip allows that.
    if not self.dots and reads_in_place(window, p):
        window_direct(window, p)


cdef void choose_parts(grad_weight_t* self) noexcept nogil:
    """Shares blocks and the sum out to tasks: by the problem, not the threads."""
    cdef idx_t groups = self.p.groups
    cdef idx_t positions = (self.p.batch * self.p.out_size[0] * self.p.out_size[1]
                            * self.p.out_size[2])
    cdef idx_t block = self.n_taps * self.p.in_channels * self.width * <idx_t> sizeof(real)
    cdef idx_t work = positions * groups * self.n_blocks * (block // <idx_t> sizeof(real))
    cdef idx_t tasks = max(<idx_t> 8, min(<idx_t> 64, work // PART_WORK))
    self.n_parts = min(ceil_div(tasks, groups), positions // PART_POSITIONS)
    self.n_parts = min(self.n_parts, PART_BYTES // (groups * self.n_blocks * block))
    self.n_parts = max(<idx_t> 1, min(self.n_parts, self.n_units))
    # Blocks of one task share its strips, while their sums stay in L2.
    self.n_chunks = min(self.n_blocks, max(ceil_div(self.n_blocks * block, WEIGHT_BYTES),
                                           ceil_div(tasks, groups * self.n_parts)))
    self.chunk = ceil_div(self.n_blocks, self.n_chunks)
    self.n_chunks = ceil_div(self.n_blocks, self.chunk)


cdef void pack_grad_output(const grad_weight_t* self, const real* g, idx_t block,
                           idx_t e0, idx_t e1, idx_t e2, real* packed) noexcept nogil:
    """[row][column][lanes of the block] from a unit of grad_output; zeros past the last channel."""
    cdef const conv_t* p = &self.p
    cdef idx_t first = block * self.width, width = self.width
    cdef idx_t used = min(width, p.out_channels - first), i0, i1, j, lane
    # Rows that follow each other in memory are turned together.
    cdef bint together = p.out_step[2] == 1 and p.out_step[1] == e2
    cdef const real* row
    cdef real* target
    for i0 in range(e0):
        for i1 in range(1 if together else e1):
            row = g + first * p.out_channel + i0 * p.out_step[0] + i1 * p.out_step[1]
            target = packed + (i0 * e1 + i1) * e2 * width
            if p.out_step[2] == 1:
                planes_to_pixels(row, p.out_channel, e1 * e2 if together else e2, used,
                                 target, width)
            elif p.out_channel == 1:
                for j in range(e2):
                    copy(target + j * width, row + j * p.out_step[2], used)
                    clear(target + j * width + used, width - used)
            else:
                for j in range(e2):
                    for lane in range(width):
                        target[j * width + lane] = (
                            row[j * p.out_step[2] + lane * p.out_channel] if lane < used else 0)


cdef void tile_unit(const grad_weight_t* self, const stream_t* s, const real* cells,
                    const real* g, idx_t block, real* part) noexcept nogil:
    """Adds one unit to a part [tap][in channel][lanes of the block] by tiles."""
    cdef const conv_t* p = &self.p
    cdef idx_t width = block_width(self, block), t, c, i, j, rows, px, end, nv = width // LANES
    cdef stream_t stream = s[0]
    if self.over_taps:
        stream.o_row = p.in_channels * width
        for i in range(self.n_runs):
            end = self.run[i + 1]
            px = even(end - self.run[i], tallest(nv))
            stream.a_row = tap_distance(self, self.run[i]) if end > self.run[i] + 1 else 0
            for j in range(ceil_div(end - self.run[i], px)):
                t = self.run[i] + j * px
                rows = min(px, end - t)
                for c in range(p.in_channels):
                    run_tile(<int> rows, <int> nv, &stream,
                             cells + self.tap_input[t] + c * self.window.channel_step, g,
                             ADD, NULL, part + (t * p.in_channels + c) * width)
    else:
        stream.o_row = width
        stream.a_row = self.window.channel_step
        px = even(p.in_channels, tallest(nv))
        for t in range(self.n_taps):
            for j in range(ceil_div(p.in_channels, px)):
                c = j * px
                rows = min(px, p.in_channels - c)
                run_tile(<int> rows, <int> nv, &stream,
                         cells + self.tap_input[t] + c * self.window.channel_step, g,
                         ADD, NULL, part + (t * p.in_channels + c) * width)


cdef void pack_rows(const grad_weight_t* self, const real* g, idx_t e0, idx_t e1, idx_t e2,
                    real* packed) noexcept nogil:
    """[channel][row][columns in whole vectors] from a block of grad_output."""
    cdef const conv_t* p = &self.p
    cdef idx_t k, i0, i1, j, row = round_up(e2, LANES)
    cdef const real* source
    for k in range(p.out_channels):
        for i0 in range(e0):
            for i1 in range(e1):
                source = g + k * p.out_channel + i0 * p.out_step[0] + i1 * p.out_step[1]
                if p.out_step[2] == 1:
                    copy(packed, source, e2)
                else:
                    for j in range(e2):
                        packed[j] = source[j * p.out_step[2]]
                clear(packed + e2, row - e2)
                packed += row


cdef void dot_unit(const grad_weight_t* self, const stream_t* s, const real* cells,
                   const real* packed, real* part) noexcept nogil:
    """Adds one unit to a part [tap][in channel][out channel] by inner products."""
    cdef const conv_t* p = &self.p
    cdef idx_t c
    cdef dot_t dots
    dots.rows = s.n_outer
    dots.columns = s.n_inner
    dots.x_off = s.a_off
    dots.tap_off = self.tap_input
    dots.g_row = round_up(s.n_inner, LANES)
    dots.g_channel = s.n_outer * dots.g_row
    dots.sum_tap = p.in_channels * self.width
    for c in range(p.in_channels):
        add_dots(&dots, p.out_channels, self.n_taps, cells + c * self.window.channel_step,
                 packed, part + c * self.width)


cdef inline real* block_sums(const grad_weight_t* self, real* parts, idx_t group, idx_t block,
                             idx_t part) noexcept nogil:
    """One part of the sums of one block; the parts of a block lie side by side."""
    return parts + (((group * self.n_blocks + block) * self.n_parts + part)
                    * self.n_taps * self.p.in_channels * self.width)


cdef idx_t packed_elements(const grad_weight_t* self) noexcept nogil:
    """Of one unit of grad_output."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t columns = round_up(axis[2].block, LANES) if self.dots else axis[2].block
    return round_up(axis[0].block * axis[1].block * columns * self.width, ALIGN)


cdef void weight_task(const grad_weight_t* self, idx_t task, const real* x, const real* g,
                      real* parts, real* scratch) noexcept nogil:
    """One part of the sum for a chunk of the blocks of output channels."""
    cdef const conv_t* p = &self.p
    cdef const window_t* window = &self.window
    cdef const axis_t* axis = &window.axis[0]
    cdef idx_t part = task % self.n_parts, chunk = task // self.n_parts % self.n_chunks
    cdef idx_t group = task // self.n_parts // self.n_chunks
    cdef idx_t first = chunk * self.chunk, last = min(self.n_blocks, first + self.chunk)
    cdef idx_t elements = self.n_taps * p.in_channels * self.width
    cdef idx_t unit, rest, n, m0, m1, m2, e0, e1, e2, i0, i1, block
    cdef real* sums
    cdef real* strip = scratch
    cdef real* packed = strip + window.elements
    cdef idx_t* a_off = <idx_t*> (packed + packed_elements(self))
    cdef idx_t* b_off = a_off + axis[0].block * axis[1].block
    cdef const real* origin
    cdef const real* source
    cdef const real* lanes
    cdef stream_t s
    s.a_off = a_off
    s.b_off = b_off
    s.a_step = window.cell_step
    s.b_step = p.out_step[2] if self.in_place else self.width
    for block in range(first, last):
        memset(block_sums(self, parts, group, block, part), 0, <size_t> elements * sizeof(real))
    for unit in range(part * self.n_units // self.n_parts,
                      (part + 1) * self.n_units // self.n_parts):
        m2 = unit % self.n_pos[2] * axis[2].block
        rest = unit // self.n_pos[2]
        m1 = rest % self.n_pos[1] * axis[1].block
        rest = rest // self.n_pos[1]
        m0 = rest % self.n_pos[0] * axis[0].block
        n = rest // self.n_pos[0]
        e0 = min(axis[0].block, p.out_size[0] - m0)
        e1 = min(axis[1].block, p.out_size[1] - m1)
        e2 = min(axis[2].block, p.out_size[2] - m2)
        source = x + n * p.in_batch + group * p.in_channels * p.in_channel
        lanes = (g + n * p.out_batch + group * p.out_channels * p.out_channel
                 + m0 * p.out_step[0] + m1 * p.out_step[1] + m2 * p.out_step[2])
        if window.direct:
            origin = (source + m0 * window.plane_step + m1 * window.row_step
                      + m2 * window.cell_step)
        else:
            window_fill(window, p, source, m0, m1, m2, strip)
            origin = strip
        s.n_outer = e0 * e1
        s.n_inner = e2
        for i0 in range(e0):
            for i1 in range(e1):
                a_off[i0 * e1 + i1] = i0 * window.plane_step + i1 * window.row_step
                b_off[i0 * e1 + i1] = (i0 * p.out_step[0] + i1 * p.out_step[1]
                                       if self.in_place else (i0 * e1 + i1) * e2 * self.width)
        for block in range(first, last):
            sums = block_sums(self, parts, group, block, part)
            if self.dots:
                pack_rows(self, lanes, e0, e1, e2, packed)
                dot_unit(self, &s, origin, packed, sums)
            elif self.in_place:
                tile_unit(self, &s, origin, lanes + block * self.width, block, sums)
            else:
                pack_grad_output(self, lanes, block, e0, e1, e2, packed)
                tile_unit(self, &s, origin, packed, block, sums)


cdef inline idx_t channels_together(const grad_weight_t* self) noexcept nogil:
    """Input channels whose sums for one block stay in L1 while they are turned."""
    return max(<idx_t> 1, 256 // self.n_taps)


cdef void add_parts(const grad_weight_t* self, idx_t task, real* parts,
                    real* grad) noexcept nogil:
    """Adds the parts of a few channels in order, and turns them to the layout of the weights."""
    cdef const conv_t* p = &self.p
    cdef idx_t step = channels_together(self), n_steps = ceil_div(p.in_channels, step)
    cdef idx_t c0 = task % n_steps * step, c1 = min(p.in_channels, c0 + step)
    cdef idx_t block = task // n_steps % self.n_blocks
    cdef idx_t group = task // n_steps // self.n_blocks
    cdef idx_t elements = self.n_taps * p.in_channels * self.width
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
                turn_square(square, LANES, LANES, square + LANES * LANES,
                            filter + lane * p.w_out + at, p.w_out, used - lane)
        else:
            for lane in range(used):
                for j in range(cells):
                    filter[lane * p.w_out + at + j] = row[j][lane]


cdef int weight_plan(grad_weight_t* self, const conv_t* problem) noexcept nogil:
    cdef int axis
    memset(self, 0, sizeof(grad_weight_t))
    self.p = problem[0]
    merge_axes(&self.p)
    for axis in range(AXES):
        if axis_init(&self.window.axis[axis], &self.p, axis) != OK:
            return NO_MEMORY
    self.n_taps = self.p.kernel[0] * self.p.kernel[1] * self.p.kernel[2]
    choose_dots(self)
    choose_units(self)
    if weight_tables(self) != OK:
        return NO_MEMORY
    choose_rows(self)
    choose_parts(self)
    return OK


cdef int accumulate_weight(const conv_t* problem, const real* x, const real* g, real* grad,
                           int num_threads) noexcept nogil:
    cdef grad_weight_t self
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t i, blocks, part_elements, elements, tasks, n_steps
    cdef idx_t status = weight_plan(&self, problem)
    cdef void* memory = NULL
    cdef real* parts
    cdef real* scratch
    if status == OK:
        blocks = self.p.groups * self.n_blocks
        part_elements = round_up(
            blocks * self.n_parts * self.n_taps * self.p.in_channels * self.width, ALIGN)
        elements = (self.window.elements
                    + packed_elements(&self)
                    + round_up(2 * axis[0].block * axis[1].block
                               * <idx_t> (sizeof(idx_t) // sizeof(real)), ALIGN))
        memory = take_scratch(
            <size_t> (part_elements + num_threads * elements) * sizeof(real) + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        parts = <real*> aligned(memory)
        scratch = parts + part_elements
        tasks = self.p.groups * self.n_chunks * self.n_parts
        for i in prange(tasks, num_threads=num_threads, schedule="dynamic"):
            weight_task(&self, i, x, g, parts, scratch + omp_get_thread_num() * elements)
        n_steps = ceil_div(self.p.in_channels, channels_together(&self))
        for i in prange(blocks * n_steps, num_threads=num_threads, schedule="static"):
            add_parts(&self, i, parts, grad)
    give_scratch(memory)
    free(self.tables)
    window_free(&self.window)
    return <int> status
