# How correlate goes about a problem: which lanes, which blocks of work, and the tables of taps.
#
# All of it follows from the problem in closed form.  The number of threads only decides how finely
# the work is cut, never the order in which a sum is taken.

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
                and p.out_step[a] == p.out_size[a + 1] * p.out_step[a + 1]
                and p.gate_step[a] == p.out_size[a + 1] * p.gate_step[a + 1]):
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


cdef idx_t best_width(idx_t steps, idx_t rows, idx_t vectors, idx_t most) noexcept nogil:
    """Vectors across the tile that make `rows` by `vectors` cheapest; two if all else is equal."""
    cdef idx_t nv, cost, best = min(<idx_t> 2, min(vectors, most))
    cdef idx_t least = tiles_cost(steps, rows, vectors, best)
    for nv in range(1, min(vectors, most) + 1):
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
    # Each row of tiles reads a block of packed weights again: it should stay in L2.
    cdef idx_t vector_bytes = p.in_channels * self.n_taps * LANES * <idx_t> sizeof(real)
    cdef idx_t most = max(<idx_t> 1, min(<idx_t> MAX_NV, WEIGHT_BYTES // (vector_bytes + 1)))
    cdef idx_t k_nv = best_width(reduction, columns, k_vectors, most)
    cdef idx_t row_nv = best_width(reduction, k, row_vectors, MAX_NV)
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
    cdef idx_t block[AXES]
    cdef idx_t tasks, work, least, target = 4 * num_threads if num_threads > 1 else 1
    cdef idx_t packed = self.n_blocks * self.block_elements * <idx_t> sizeof(real)
    cdef bint wanted, pixels = not self.rows and p.in_channel == 1 and p.in_channels > 1
    cdef int axis
    work = p.batch * p.groups * p.out_channels * p.in_channels * self.n_taps
    for axis in range(AXES):
        block[axis] = window.axis[axis].grid
        work *= window.axis[axis].grid
    least = min(block[2], 4 * self.nv * LANES if self.rows else 4 * self.px)
    # Weights that several images read again should stay in L2 meanwhile.
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
        elif block[2] > least:
            block[2] = max(least, ceil_div(block[2], 2))
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
