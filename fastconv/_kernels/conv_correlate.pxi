# correlate: forward, and grad_input as a correlation of the stretched grad_output.
#
#     out[n, k, f + stretch m] = bias[k] + sum over c, taps of phase f of  w[k, c, tap] * in[n, c, m + tap]
#
# Channel lanes put output channels side by side in a vector, row lanes output columns.  The first
# suits many channels, the second few channels or short sums into plain NCHW output, where each
# output vector is then stored as it stands.

cdef struct correlate_t:
    conv_t p
    window_t window
    bint rows               # row lanes; else channel lanes
    idx_t nv                # vectors in the widest tile
    idx_t px                # rows in the tallest tile
    idx_t width             # channels in a block of packed weights
    idx_t n_blocks          # such blocks in a group
    idx_t block_elements    # a packed block: its biases, then [tap][in channel][width]
    idx_t chunk, n_chunks   # blocks that a task takes, and how often that goes into n_blocks
    idx_t n_pos[AXES]       # blocks of output positions
    idx_t n_taps
    idx_t inner, inner_step # the inner loop: input channels, or the taps of a row if there is one
    bint shared             # weights are packed once, for all tasks; else each task packs its own
    idx_t* phase            # [phases + 1] first tap of each phase, all axes together
    idx_t* tap_input        # [n_taps] offset in the strip
    idx_t* tap_weight       # [n_taps] offset in a filter
    idx_t* tap_packed       # [n_taps] offset in a packed block of full width
    idx_t* tap_last         # [n_taps] the same in the narrower last block
    idx_t* tap_at           # [n_taps] the tap at each cell of a filter, where taps are dense
    idx_t* tables


cdef void merge_axes(conv_t* p) noexcept nogil:
    """Joins neighbouring axes that no filter looks along and that memory already joins."""
    cdef int a
    for a in range(AXES - 1):
        if (p.kernel[a] == 1 and p.kernel[a + 1] == 1
                and p.stride[a] == 1 and p.stride[a + 1] == 1
                and p.stretch[a] == 1 and p.stretch[a + 1] == 1
                and p.pad[a] == 0 and p.pad[a + 1] == 0
                and p.in_size[a] == p.out_size[a] and p.in_size[a + 1] == p.out_size[a + 1]
                and p.in_step[a] == p.in_size[a + 1] * p.in_step[a + 1]
                and p.out_step[a] == p.out_size[a + 1] * p.out_step[a + 1]):
            p.in_size[a + 1] *= p.in_size[a]
            p.out_size[a + 1] *= p.out_size[a]
            p.in_size[a] = p.out_size[a] = 1


cdef inline idx_t even(idx_t count, idx_t most) noexcept nogil:
    """The size of equal shares of `count`, none above `most`."""
    return ceil_div(count, ceil_div(count, most))


cdef idx_t tiles_cost(idx_t steps, idx_t rows, idx_t vectors, idx_t nv) noexcept nogil:
    """Cycles of `rows` by `vectors` in tiles nv wide, each a reduction of so many steps."""
    cdef idx_t px = even(rows, tallest(nv)), tiles = ceil_div(rows, px), cost
    cost = (vectors // nv) * tiles * (TILE_CYCLES + steps * tile_cost(px, nv))
    if vectors % nv:
        cost += tiles * (TILE_CYCLES + steps * tile_cost(px, vectors % nv))
    return cost


cdef idx_t best_width(idx_t steps, idx_t rows, idx_t vectors) noexcept nogil:
    """Vectors across the tile that make `rows` by `vectors` cheapest; two if all else is equal."""
    cdef idx_t nv, cost, best = min(<idx_t> 2, vectors)
    cdef idx_t least = tiles_cost(steps, rows, vectors, best)
    for nv in range(1, min(<idx_t> MAX_NV, vectors) + 1):
        cost = tiles_cost(steps, rows, vectors, nv)
        if cost < least:
            best, least = nv, cost
    return best


cdef void choose_lanes(correlate_t* self) noexcept nogil:
    """Channel lanes or row lanes, by cycles for one row of output."""
    cdef conv_t* p = &self.p
    cdef idx_t columns = self.window.axis[2].grid, k = p.out_channels
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t reduction = max(<idx_t> 1, p.in_channels * self.n_taps // (
        axis[0].n_phases * axis[1].n_phases * axis[2].n_phases))
    cdef idx_t k_vectors = ceil_div(k, LANES), row_vectors = ceil_div(columns, LANES)
    cdef idx_t k_nv = best_width(reduction, columns, k_vectors)
    cdef idx_t row_nv = best_width(reduction, k, row_vectors)
    cdef idx_t by_channel = tiles_cost(reduction, columns, k_vectors, k_nv)
    cdef idx_t by_row = tiles_cost(reduction, k, row_vectors, row_nv)
    # Storing: a vector at a time where lanes are neighbours in memory, else cell by cell.
    by_channel += columns * k_vectors * 2 if p.out_channel == 1 else columns * k // 2
    by_row += (k * row_vectors * 2
               if p.out_step[2] * p.stretch[2] == 1 and columns >= LANES else columns * k)
    # Row lanes want planes: a channels-last input is turned, cell by cell.
    if p.in_step[2] != 1:
        by_row += 2 * columns * p.in_channels * p.stride[2]
    self.rows = by_row < by_channel
    if self.rows:
        self.nv = row_nv
        self.px = even(k, tallest(row_nv))
        self.width = self.px
    else:
        self.nv = k_nv
        self.px = tallest(k_nv)
        self.width = k_nv * LANES
    self.n_blocks = ceil_div(k, self.width)


cdef void choose_blocks(correlate_t* self, idx_t num_threads) noexcept nogil:
    """Halves the block of a task until its strip fits L2 and the threads have enough tasks."""
    cdef conv_t* p = &self.p
    cdef window_t* window = &self.window
    cdef idx_t least[AXES]
    cdef idx_t block[AXES]
    cdef idx_t tasks, work, target = 4 * num_threads if num_threads > 1 else 1
    cdef idx_t packed = self.n_blocks * self.block_elements * <idx_t> sizeof(real)
    cdef bint wanted, pixels = not self.rows and p.in_channel == 1 and p.in_channels > 1
    cdef int axis
    work = p.batch * p.groups * p.out_channels * p.in_channels * self.n_taps
    for axis in range(AXES):
        block[axis] = window.axis[axis].grid
        work *= window.axis[axis].grid
        least[axis] = 1
    least[2] = min(block[2], 4 * self.nv * LANES if self.rows else 4 * self.px)
    # Weights that several blocks of positions read again should stay in L2 meanwhile.
    self.n_chunks = 1 if p.batch == 1 else min(self.n_blocks, ceil_div(packed, WEIGHT_BYTES))
    while True:
        tasks = p.batch * p.groups * self.n_chunks
        for axis in range(AXES):
            axis_finish(&window.axis[axis], block[axis])
            self.n_pos[axis] = ceil_div(window.axis[axis].grid, block[axis])
            tasks *= self.n_pos[axis]
        window_layout(window, p, pixels)
        wanted = tasks < target and work // tasks > 400000
        if wanted and self.n_chunks < self.n_blocks and 2 * self.n_chunks <= target:
            # Sharing out the channels copies the window again; rows overlap less than that.
            if block[0] * block[1] < 8:
                self.n_chunks = min(self.n_blocks, 2 * self.n_chunks)
                continue
        if not wanted and (window.elements * <idx_t> sizeof(real) <= STRIP_BYTES):
            break
        if block[0] > 1:
            block[0] = ceil_div(block[0], 2)
        elif block[1] > 1:
            block[1] = ceil_div(block[1], 2)
        elif block[2] > least[2]:
            block[2] = max(least[2], ceil_div(block[2], 2))
        else:
            break
    self.chunk = ceil_div(self.n_blocks, self.n_chunks)
    self.n_chunks = ceil_div(self.n_blocks, self.chunk)
    self.shared = p.batch * self.n_pos[0] * self.n_pos[1] * self.n_pos[2] > 1
    # Row lanes load whole vectors, past the end of a row too: only a strip allows that.
    if not self.rows and reads_in_place(window, p):
        window_direct(window, p)


cdef int correlate_tables(correlate_t* self) noexcept nogil:
    """The taps of all axes together, phase by phase."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef conv_t* p = &self.p
    cdef idx_t phases = axis[0].n_phases * axis[1].n_phases * axis[2].n_phases
    cdef idx_t f0, f1, f2, t0, t1, t2, t = 0, f = 0, last
    self.tables = <idx_t*> malloc((phases + 1 + 5 * self.n_taps) * sizeof(idx_t))
    if self.tables == NULL:
        return NO_MEMORY
    self.phase = self.tables
    self.tap_input = self.phase + phases + 1
    self.tap_weight = self.tap_input + self.n_taps
    self.tap_packed = self.tap_weight + self.n_taps
    self.tap_last = self.tap_packed + self.n_taps
    self.tap_at = self.tap_last + self.n_taps
    last = last_width(self)
    for f0 in range(axis[0].n_phases):
        for f1 in range(axis[1].n_phases):
            for f2 in range(axis[2].n_phases):
                self.phase[f] = t
                f += 1
                for t0 in range(axis[0].phase[f0], axis[0].phase[f0 + 1]):
                    for t1 in range(axis[1].phase[f1], axis[1].phase[f1 + 1]):
                        for t2 in range(axis[2].phase[f2], axis[2].phase[f2 + 1]):
                            self.tap_input[t] = tap_offset(&self.window, p, t0, t1, t2)
                            self.tap_weight[t] = (axis[0].tap[t0] * p.w_step[0]
                                                  + axis[1].tap[t1] * p.w_step[1]
                                                  + axis[2].tap[t2] * p.w_step[2])
                            self.tap_packed[t] = t * p.in_channels * self.width
                            self.tap_last[t] = t * p.in_channels * last
                            t += 1
    self.phase[f] = t
    if dense_taps(self):
        for t in range(self.n_taps):
            self.tap_at[self.tap_weight[t] + backwards(self)] = t
    fold_taps(self)
    return OK


cdef void fold_taps(correlate_t* self) noexcept nogil:
    """Makes the taps of a row the inner loop where there is but one channel to loop over."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t n = axis[2].n_taps, t
    self.inner = self.p.in_channels
    self.inner_step = self.window.channel_step
    if self.inner != 1 or n < 2 or axis[0].n_phases * axis[1].n_phases * axis[2].n_phases != 1:
        return
    for t in range(2, n):
        if self.tap_input[t] - self.tap_input[t - 1] != self.tap_input[1] - self.tap_input[0]:
            return
    self.inner = n
    self.inner_step = self.tap_input[1] - self.tap_input[0]
    self.phase[1] = self.n_taps // n
    for t in range(self.phase[1]):
        self.tap_input[t] = self.tap_input[t * n]
        self.tap_packed[t] = self.tap_packed[t * n]
        self.tap_last[t] = self.tap_last[t * n]


cdef inline idx_t last_width(const correlate_t* self) noexcept nogil:
    """Channels in the last packed block, whole vectors in channel lanes."""
    cdef idx_t rest = self.p.out_channels - (self.n_blocks - 1) * self.width
    return rest if self.rows else round_up(rest, LANES)


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
    cdef idx_t slice, at, i, j, c = 0, u = 0, cell, lane, cells
    cdef const real* source
    cdef real square[16 * MAX_NV * 16]
    for slice in range(1 if touching else p.in_channels):
        c, u = slice, 0
        for i in range(ceil_div(length, LANES)):
            at = i * LANES
            cells = min(<idx_t> LANES, length - at)
            for j in range(ceil_div(width, LANES)):
                lane = j * LANES
                source = filters + slice * p.w_in + lane * p.w_out - backwards(self) + at
                turn_square(source, p.w_out, used - lane, end, square + lane, width, cells)
            for cell in range(cells):
                copy(target + (self.tap_at[u] * p.in_channels + c) * width,
                     square + cell * width, width)
                u += 1
                if u == taps:
                    c, u = c + 1, 0


cdef struct task_t:
    # Where one task stands: its block of positions, and its memory.
    idx_t m[AXES]           # first position of the block
    idx_t columns           # output columns of the block, all phases together
    const real* origin      # the block's start in the strip, or in the input
    const real* packed      # weights of the group, or of the present block alone
    real* y                 # image and group of the output
    real* pixels            # a few rows of output as [pixel][channel], before they are turned
    idx_t capacity          # pixels that fit there


cdef inline idx_t positions(const correlate_t* self, const task_t* task, int axis,
                            idx_t phase) noexcept nogil:
    """Positions of a phase inside the block of a task, zero when the block lies past its end."""
    return max(<idx_t> 0, min(self.window.axis[axis].block,
                              phase_count(&self.p, axis, phase) - task.m[axis]))


cdef inline const idx_t* packed_offsets(const correlate_t* self, idx_t width,
                                        idx_t phase) noexcept nogil:
    return (self.tap_packed if width == self.width else self.tap_last) + self.phase[phase]


cdef void channel_lanes_row(const correlate_t* self, const task_t* task, idx_t phase,
                            idx_t block, idx_t width, const real* row, real* o,
                            idx_t column) noexcept nogil:
    """One row of a block of channels, its column phases in turn; pixels of o are `column` apart."""
    cdef const window_t* window = &self.window
    cdef const real* weights = task.packed + block * self.block_elements * self.shared
    cdef idx_t stretch = self.p.stretch[2], nv = width // LANES, f2, i, q, count, px
    cdef stream_t s
    s.n_inner = self.inner
    s.a_row = window.cell_step
    s.a_step = self.inner_step
    s.b_step = width
    s.o_row = column * stretch
    for f2 in range(window.axis[2].n_phases):
        count = positions(self, task, 2, f2)
        if count == 0:
            continue
        s.n_outer = self.phase[phase + f2 + 1] - self.phase[phase + f2]
        s.a_off = self.tap_input + self.phase[phase + f2]
        s.b_off = packed_offsets(self, width, phase + f2)
        px = even(count, tallest(nv))
        for i in range(ceil_div(count, px)):
            q = i * px
            run_tile(<int> min(px, count - q), <int> nv, &s, row + q * s.a_row,
                     weights + self.width, LANE_BIAS, weights,
                     o + (f2 + q * stretch) * column)


cdef void row_lanes_row(const correlate_t* self, const task_t* task, idx_t phase, idx_t block,
                        idx_t width, const real* row, real* o) noexcept nogil:
    """One row of a block of channels, its column phases in turn, in vectors of columns."""
    cdef const conv_t* p = &self.p
    cdef const real* weights = task.packed + block * self.block_elements * self.shared
    cdef idx_t o_column = p.out_step[2] * p.stretch[2], f2, v, nv, count
    cdef stream_t s
    s.n_inner = self.inner
    s.a_row = 1
    s.a_step = width
    s.b_step = self.inner_step
    for f2 in range(self.window.axis[2].n_phases):
        count = positions(self, task, 2, f2)
        s.n_outer = self.phase[phase + f2 + 1] - self.phase[phase + f2]
        s.a_off = packed_offsets(self, width, phase + f2)
        s.b_off = self.tap_input + self.phase[phase + f2]
        v = 0
        while v < count:
            # Whole vectors first; the last one ends with the row, over the one before it.
            nv = max(<idx_t> 1, min(self.nv, (count - v) // LANES))
            if o_column == 1 and count >= LANES:
                v = min(v, count - nv * LANES)
                s.o_row = p.out_channel
                run_tile(<int> width, <int> nv, &s, weights + self.width, row + v, ROW_BIAS,
                         weights, o + v)
            else:
                s.o_row = nv * LANES
                run_tile(<int> width, <int> nv, &s, weights + self.width, row + v, ROW_BIAS,
                         weights, task.pixels)
                store(task.pixels, nv * LANES, width, min(nv * LANES, count - v),
                      o + f2 * p.out_step[2] + v * o_column, p.out_channel, o_column)
            v += nv * LANES


cdef void correlate_plane(const correlate_t* self, const task_t* task, idx_t phase, idx_t f1,
                          idx_t block, const real* plane, real* o) noexcept nogil:
    """The rows of one plane that belong to phase f1, for one block of channels."""
    cdef const conv_t* p = &self.p
    cdef idx_t width = self.width if block < self.n_blocks - 1 else last_width(self)
    cdef idx_t channels = min(width, p.out_channels - block * self.width)
    cdef idx_t i1, rows = positions(self, task, 1, f1), held = 0
    cdef idx_t o_row = p.out_step[1] * p.stretch[1]
    # Rows that follow each other in memory are turned together.
    cdef bint together = p.out_step[2] == 1 and o_row == task.columns
    cdef const real* row
    cdef real* o_first = o
    for i1 in range(rows):
        row = plane + i1 * self.window.row_step
        if self.rows:
            row_lanes_row(self, task, phase, block, width, row, o + i1 * o_row)
        elif p.out_channel == 1 and channels == width:
            channel_lanes_row(self, task, phase, block, width, row, o + i1 * o_row,
                              p.out_step[2])
        else:
            if held == 0:
                o_first = o + i1 * o_row
            channel_lanes_row(self, task, phase, block, width, row,
                              task.pixels + held * width, width)
            held += task.columns
            if not together or i1 == rows - 1 or held + task.columns > task.capacity:
                if p.out_step[2] == 1:
                    pixels_to_planes(task.pixels, width, held, channels, o_first, p.out_channel)
                else:
                    store(task.pixels, width, held, channels, o_first, p.out_step[2],
                          p.out_channel)
                held = 0


cdef inline idx_t held_pixels(const correlate_t* self) noexcept nogil:
    """Pixels that wait to be turned: a row at least, and enough for a few squares."""
    return min(self.window.axis[2].block * self.p.stretch[2], self.p.out_size[2]) + 4 * LANES


cdef void correlate_task(const correlate_t* self, idx_t index, const real* x, const real* w,
                         const real* bias, const real* packed, real* y,
                         real* scratch) noexcept nogil:
    """One block of output positions of one image and group, for a chunk of its channels."""
    cdef const conv_t* p = &self.p
    cdef const window_t* window = &self.window
    cdef const axis_t* axis = &window.axis[0]
    cdef idx_t n, chunk, group, f0, f1, i0, block, rest
    cdef real* own
    cdef const real* plane
    cdef real* o
    cdef task_t task
    # Blocks of one image are neighbours, and a chunk of weights stays in L2 over all of them.
    task.m[2] = index % self.n_pos[2] * axis[2].block
    rest = index // self.n_pos[2]
    task.m[1] = rest % self.n_pos[1] * axis[1].block
    rest = rest // self.n_pos[1]
    task.m[0] = rest % self.n_pos[0] * axis[0].block
    rest = rest // self.n_pos[0]
    n = rest % p.batch
    rest = rest // p.batch
    chunk = rest % self.n_chunks
    group = rest // self.n_chunks

    x = x + n * p.in_batch + group * p.in_channels * p.in_channel
    task.y = y + n * p.out_batch + group * p.out_channels * p.out_channel
    task.columns = min(axis[2].block * p.stretch[2], p.out_size[2] - task.m[2] * p.stretch[2])
    task.pixels = scratch + window.elements
    own = task.pixels + pixel_elements(self)
    task.packed = packed + group * self.n_blocks * self.block_elements if self.shared else own
    task.capacity = held_pixels(self)
    if window.direct:
        task.origin = (x + task.m[0] * window.plane_step + task.m[1] * window.row_step
                       + task.m[2] * window.cell_step)
    else:
        window_fill(window, p, x, task.m[0], task.m[1], task.m[2], scratch)
        task.origin = scratch
    for block in range(chunk * self.chunk, min(self.n_blocks, (chunk + 1) * self.chunk)):
        if not self.shared:
            pack_block(self, w, bias, group, block, own)
        for f0 in range(axis[0].n_phases):
            for f1 in range(axis[1].n_phases):
                for i0 in range(positions(self, &task, 0, f0)):
                    plane = task.origin + i0 * window.plane_step
                    o = (task.y + block * self.width * p.out_channel
                         + (f0 + (task.m[0] + i0) * p.stretch[0]) * p.out_step[0]
                         + (f1 + task.m[1] * p.stretch[1]) * p.out_step[1]
                         + task.m[2] * p.stretch[2] * p.out_step[2])
                    correlate_plane(self, &task, (f0 * axis[1].n_phases + f1) * axis[2].n_phases,
                                    f1, block, plane, o)


cdef inline idx_t pixel_elements(const correlate_t* self) noexcept nogil:
    """Of the pixels that wait to be turned, or of one tile."""
    return round_up(max(<idx_t> (MAX_PX * MAX_NV * LANES), held_pixels(self) * self.width), ALIGN)


cdef int correlate_plan(correlate_t* self, const conv_t* problem,
                        idx_t num_threads) noexcept nogil:
    cdef int axis
    memset(self, 0, sizeof(correlate_t))
    self.p = problem[0]
    merge_axes(&self.p)
    for axis in range(AXES):
        if axis_init(&self.window.axis[axis], &self.p, axis) != OK:
            return NO_MEMORY
    self.n_taps = (self.window.axis[0].n_taps * self.window.axis[1].n_taps
                   * self.window.axis[2].n_taps)
    choose_lanes(self)
    self.block_elements = round_up(
        self.width * (1 + self.n_taps * self.p.in_channels), ALIGN)
    choose_blocks(self, num_threads)
    return correlate_tables(self)


cdef int correlate(const conv_t* problem, const real* x, const real* w, const real* bias,
                   real* y, int num_threads) noexcept nogil:
    cdef correlate_t self
    cdef idx_t i, tasks, blocks, elements, status = correlate_plan(&self, problem, num_threads)
    cdef void* memory = NULL
    cdef real* packed
    cdef real* scratch
    if status == OK:
        blocks = self.p.groups * self.n_blocks if self.shared else 0
        elements = self.window.elements + pixel_elements(&self)
        if not self.shared:
            elements += self.block_elements
        memory = take_scratch(
            <size_t> (blocks * self.block_elements + num_threads * elements) * sizeof(real)
            + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        packed = <real*> aligned(memory)
        scratch = packed + blocks * self.block_elements
        for i in prange(blocks, num_threads=num_threads, schedule="static"):
            pack_block(&self, w, bias, i // self.n_blocks, i % self.n_blocks,
                       packed + i * self.block_elements)
        tasks = (self.p.groups * self.n_chunks * self.p.batch
                 * self.n_pos[0] * self.n_pos[1] * self.n_pos[2])
        for i in prange(tasks, num_threads=num_threads, schedule="dynamic"):
            correlate_task(&self, i, x, w, bias, packed, y,
                           scratch + omp_get_thread_num() * elements)
    give_scratch(memory)
    free(self.tables)
    window_free(&self.window)
    return <int> status
