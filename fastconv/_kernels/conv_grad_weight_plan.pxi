# How grad_weight goes about a problem: tile or inner products, units of work, parts of the sum.
#
# The number of threads only decides how many blocks of output channels share a task.  It has no say
# in the parts: it would change the order in which the sums are taken, and so their bits.

cdef enum:
    PART_WORK = 64 * 1024 * 1024        # multiply-adds that a task should have
    PART_POSITIONS = 768                # a part this long outweighs its own zeroing and adding
    PART_BYTES = 16 * 1024 * 1024       # all parts together, where one part is smaller
    UNIT_BYTES = 320 * 1024             # a strip and what it meets of grad_output
    DIRECT_BYTES = 32 * 1024            # of grad_output alone, for L1
    BIAS_CHANNELS = 128                 # of a task that sums for the bias alone
    REPAYING_ROWS = 64                  # channels and taps
    SOON_BYTES = 64 * 1024              # sums of a task that come to an end block by block


cdef struct grad_weight_t:
    conv_t p
    window_t window
    bint weight, bias       # which gradients are wanted
    bint continued          # sums go on from those of the call before, and wait for the next
    bint dots               # inner products; else the tile
    bint lanewise           # the tile, its lanes the output channels of all groups
    idx_t by_dots, by_tile, by_lane     # their costs
    bint mixed              # rows of the tile are taps and channels; else channels at one tap,
    bint chained            # or at a chain of them
    idx_t longest           # taps of the longest chain
    bint in_place           # grad_output's channels can be read as vectors where they are
    idx_t nv, width         # lanes of a block of output channels, in vectors and in elements
    idx_t n_blocks
    idx_t chunk, n_chunks   # blocks that a task takes, and how often that goes into n_blocks
    idx_t n_parts
    idx_t n_units           # blocks of output positions, over all images
    idx_t images            # in a unit: more than one where one image makes a short sum
    idx_t n_pos[AXES]
    idx_t n_taps
    idx_t* tap_input        # [n_taps] offset in the strip
    idx_t* tap_weight       # [n_taps] offset in a filter
    idx_t* tap_at           # [n_taps] the tap at each cell of a filter
    idx_t* tap_chain        # [n_taps] taps of the chain that begins there, 0 within one
    idx_t* row_input        # [n_taps * in_channels] offset in the strip, where rows are mixed
    idx_t lines             # of taps: those that differ along the last axis only, or 0 where
                            # no line sees padding beyond whole rows, or tiles take several lines
    idx_t* tables


cdef bint lone_tap(const conv_t* p) noexcept nogil:
    """Whether every position of the output is one of the input, side by side with its channels."""
    cdef int axis
    for axis in range(AXES):
        if p.kernel[axis] > 1 or p.stride[axis] > 1 or p.pad[axis] != 0 \
                or p.in_size[axis] != p.out_size[axis]:
            return False
    return p.in_channel == 1 and p.out_channel == 1 and p.w_in == 1


cdef bint worth_exchanging(const conv_t* p) noexcept nogil:
    """Whether grad_output had better be the input, and the input bring the lanes.

    The sums then leave the tile in the order of the weights, but those for the bias are taken apart.
    """
    cdef idx_t positions = p.batch * p.out_size[0] * p.out_size[1] * p.out_size[2]
    cdef idx_t k_vectors = ceil_div(p.out_channels, LANES)
    cdef idx_t c_vectors = ceil_div(p.in_channels, LANES)
    cdef idx_t by_output = p.in_channels * p.out_channels + tiles_cost(
        positions, p.in_channels, k_vectors,
        best_width(positions, p.in_channels, k_vectors, MAX_NV))
    cdef idx_t by_input = p.in_channels * p.out_channels // 8 + tiles_cost(
        positions, p.out_channels, c_vectors,
        best_width(positions, p.out_channels, c_vectors, MAX_NV)) + 8 * positions * k_vectors
    return lone_tap(p) and not lanewise_possible(p) and by_input < by_output


cdef void exchange(conv_t* p) noexcept nogil:
    cdef int axis
    p.in_channels, p.out_channels = p.out_channels, p.in_channels
    p.in_batch, p.out_batch = p.out_batch, p.in_batch
    p.w_in, p.w_out = p.w_out, p.w_in
    p.gate_batch = p.out_batch
    for axis in range(AXES):
        p.in_step[axis], p.out_step[axis] = p.out_step[axis], p.in_step[axis]
        p.gate_step[axis] = p.out_step[axis]


cdef inline idx_t block_width(const grad_weight_t* self, idx_t block) noexcept nogil:
    cdef idx_t rest = self.p.out_channels - block * self.width
    return self.width if self.dots else min(self.width, round_up(rest, LANES))


cdef int weight_tables(grad_weight_t* self) noexcept nogil:
    """Taps in the order of the strip."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef conv_t* p = &self.p
    cdef idx_t i0, i1, i2, t0, t1, t2, t = 0, next = 0
    cdef idx_t longest = min(longest_chain(self.nv), axis[2].block) if self.chained else 1
    self.tables = <idx_t*> malloc(
        self.n_taps * (4 + (p.in_channels if self.mixed else 0)) * sizeof(idx_t))
    if self.tables == NULL:
        return NO_MEMORY
    self.tap_input = self.tables
    self.tap_weight = self.tap_input + self.n_taps
    self.tap_at = self.tap_weight + self.n_taps
    self.tap_chain = self.tap_at + self.n_taps
    self.row_input = self.tap_chain + self.n_taps
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
                if i2 == 0:
                    next = 0
                self.tap_chain[t] = 0
                if i2 == next:
                    self.tap_chain[t] = chain_from(&axis[2], i2, longest)
                    self.longest = max(self.longest, self.tap_chain[t])
                    next += self.tap_chain[t]
                t += 1
    for t in range(self.n_taps * p.in_channels if self.mixed else 0):
        self.row_input[t] = (self.tap_input[t // p.in_channels]
                             + t % p.in_channels * self.window.channel_step)
    return OK


cdef idx_t chain_from(const axis_t* axis, idx_t first, idx_t longest) noexcept nogil:
    """Taps in the chain that begins with this one, in the order of the strip: 1 where it is alone.

    Neighbours are cut into chains of about equal length.
    """
    cdef idx_t n = 1
    while (first + n < axis.n_taps and n < 3 * longest
           and axis.base[axis.order[first + n]] - axis.base[axis.order[first + n - 1]] == axis.step):
        n += 1
    return even(n, longest) if n < 3 * longest else longest


cdef idx_t chains_cost(const grad_weight_t* self, idx_t rows, idx_t columns, idx_t longest,
                       idx_t nv) noexcept nogil:
    """Multiply-adds in the time of nv vectors of a unit, by chains of taps."""
    cdef const axis_t* axis = &self.window.axis[2]
    cdef idx_t channels = self.p.in_channels, i = 0, chain, px, step, cost = 0
    while i < axis.n_taps:
        chain = chain_from(axis, i, longest)
        px = even(channels, tallest(1, nv) if chain == 1 else tallest_chain(chain, nv))
        step = channels // px * chain_step_cost(chain, px, nv)
        if channels % px:
            step += chain_step_cost(chain, channels % px, nv)
        # Steps at the ends of a row do less, but not in less time.
        cost += (ceil_div(channels, px) * TILE_CALL
                 + rows * (columns * step + (chain - 1) * step // 3))
        i += chain
    return cost * self.n_taps // axis.n_taps


cdef idx_t best_chained(const grad_weight_t* self, idx_t rows, idx_t columns,
                        idx_t* width) noexcept nogil:
    """The same of all vectors, and the width of the tile that makes it cheapest."""
    cdef idx_t vectors = ceil_div(self.p.out_channels, LANES), longest, nv, cost, least = -1
    for nv in range(1, min(vectors, <idx_t> CHAIN_NV) + 1):
        longest = min(longest_chain(nv), columns)
        cost = vectors // nv * chains_cost(self, rows, columns, longest, nv)
        if vectors % nv:
            cost += chains_cost(self, rows, columns, longest, vectors % nv)
        if least < 0 or cost <= least:
            least, width[0] = cost, nv
    return least


cdef void choose_sums(grad_weight_t* self) noexcept nogil:
    """Inner products or the tile, by cycles for one row of output."""
    cdef conv_t* p = &self.p
    cdef idx_t columns = p.out_size[2], rows = self.n_taps * p.in_channels
    cdef idx_t vectors = ceil_div(p.out_channels, LANES)
    cdef idx_t by_channel = self.n_taps * tiles_cost(
        columns, p.in_channels, vectors, best_width(columns, p.in_channels, vectors, MAX_NV))
    cdef idx_t mixed = 9 * tiles_cost(
        columns, rows, vectors, best_width(columns, rows, vectors, MAX_NV)) // 8
    cdef idx_t turning = 0 if p.out_channel == 1 else p.out_channels // 2, nv = 1
    axis_finish(&self.window.axis[2], columns)
    self.by_tile = min(best_chained(self, 1, columns, &nv), min(by_channel, mixed))
    self.by_tile += columns * turning
    # Twice: inner products reuse what they load far less, and so wait for L2 more often.
    self.by_dots = (
        2 * ceil_div(columns, LANES) * p.in_channels * dot_cost(p.out_channels, self.n_taps))
    self.by_lane = 0
    if lanewise_possible(p):
        self.by_lane = lanewise_weight_cost(p, rows)
        self.by_dots += plane_filling(p, columns)
    self.lanewise = (0 < self.by_lane < min(self.by_dots, self.by_tile)
                     and p.w_group == p.out_channels * p.w_out)
    self.dots = not self.lanewise and self.by_dots < self.by_tile
    if self.lanewise:
        self.nv = even(ceil_div(p.groups * p.out_channels, LANES), LANEWISE_NV)
        join_groups(p, &self.window.spread, self.nv * LANES)


cdef inline idx_t unit_rows(const grad_weight_t* self) noexcept nogil:
    return self.window.axis[0].block * self.window.axis[1].block


cdef inline idx_t unit_positions(const grad_weight_t* self) noexcept nogil:
    return unit_rows(self) * self.window.axis[2].block


cdef void choose_rows(grad_weight_t* self) noexcept nogil:
    """What the rows of a tile are, and the width, by multiply-adds in the time of one unit."""
    cdef conv_t* p = &self.p
    cdef idx_t vectors = ceil_div(p.out_channels, LANES), nv, cost, least
    cdef idx_t rows = self.n_taps * p.in_channels, positions = unit_positions(self)
    if self.dots:
        self.width = p.out_channels
        self.n_blocks = 1
        return
    if self.lanewise:
        self.mixed = True
    else:
        self.nv = best_width(positions, p.in_channels, vectors, MAX_NV)
        least = self.n_taps * tiles_cost(positions, p.in_channels, vectors, self.nv)
        cost = best_chained(self, unit_rows(self), self.window.axis[2].block, &nv)
        if cost < least:
            self.chained, self.nv, least = True, nv, cost
        # Rows at any distance are looked up at each step.
        nv = best_width(positions, rows, vectors, MAX_NV)
        if 9 * tiles_cost(positions, rows, vectors, nv) // 8 < least:
            self.mixed, self.chained, self.nv = True, False, nv
    self.width = self.nv * LANES
    self.n_blocks = ceil_div(p.out_channels, self.width)
    self.in_place = p.out_channel == 1 and p.out_channels % LANES == 0 and near(self, rows)


cdef bint near(const grad_weight_t* self, idx_t rows) noexcept nogil:
    """Whether pixels are so near each other that they had better be read where they are.

    Far apart they fall into few sets of the L1 cache; many rows of tiles repay the copy.
    """
    cdef idx_t bytes = self.p.out_step[2] * <idx_t> sizeof(real)
    return 0 < bytes < (2 * FEW_SETS if rows >= REPAYING_ROWS else PAGE // 4)


cdef idx_t unit_bytes(const grad_weight_t* self, idx_t width) noexcept nogil:
    """A strip, and grad_output of so many channels."""
    return ((self.window.elements + unit_positions(self) * width)
            * <idx_t> sizeof(real))


cdef bint unit_fits(const grad_weight_t* self) noexcept nogil:
    """L2 with its strip; without one L1, as tiles walk over grad_output again and again."""
    if self.window.direct and not self.lanewise:
        return unit_positions(self) * 2 * LANES * <idx_t> sizeof(real) <= DIRECT_BYTES
    return unit_bytes(self, 2 * LANES) <= UNIT_BYTES


cdef void choose_units(grad_weight_t* self) noexcept nogil:
    """Blocks of positions that fit the caches: by the problem, not the threads."""
    cdef conv_t* p = &self.p
    cdef window_t* window = &self.window
    cdef idx_t block[AXES]
    cdef int axis
    cdef bint pixels = self.lanewise or (
        p.in_channel == 1 and p.in_channels > 1 and not self.dots)
    window.across = not self.dots
    window.axis[2].whole = not self.dots and not self.lanewise and all_cells_read(p)
    for axis in range(AXES):
        block[axis] = window.axis[axis].grid
    while True:
        self.n_units = p.batch
        for axis in range(AXES):
            axis_finish(&window.axis[axis], even(window.axis[axis].grid, block[axis]))
            self.n_pos[axis] = ceil_div(window.axis[axis].grid, window.axis[axis].block)
            self.n_units *= self.n_pos[axis]
        window_layout(window, p, p.in_channels, pixels)
        # Inner products load whole vectors, past the end of a row too: only a strip allows that.
        window.direct = not self.dots and unpadded(window, p) and reads_in_place(window, p)
        if unit_fits(self):
            break
        axis = longest_side(block, 64)
        if axis < 0:
            break
        block[axis] = ceil_div(block[axis], 2)
    if window.direct:
        window_direct(window, p)


cdef void choose_parts(grad_weight_t* self, idx_t num_threads) noexcept nogil:
    """Cuts the sum into parts, by the problem, and shares out the blocks, by the threads."""
    cdef idx_t groups = self.p.groups
    cdef idx_t positions = (self.p.batch * self.p.out_size[0] * self.p.out_size[1]
                            * self.p.out_size[2])
    cdef idx_t block = self.n_taps * self.p.in_channels * self.width * <idx_t> sizeof(real)
    cdef idx_t work = positions * groups * self.n_blocks * (block // <idx_t> sizeof(real))
    cdef idx_t tasks = max(<idx_t> 8, min(<idx_t> 64, work // PART_WORK)), budget, share
    self.n_parts = min(ceil_div(tasks, groups), positions // PART_POSITIONS)
    self.n_parts = min(self.n_parts, PART_BYTES // (groups * self.n_blocks * block))
    self.n_parts = max(<idx_t> 1, min(self.n_parts, self.n_units))
    # Tiles reduce over a unit: that of a small image is too short to be worth their stores.
    self.images = 1
    if not self.dots and self.n_units == self.p.batch:
        self.images = min(self.p.batch // self.n_parts, UNIT_BYTES // unit_bytes(self, self.width))
        self.images = max(<idx_t> 1, min(self.images, 256 // unit_positions(self)))
        self.n_units = ceil_div(self.p.batch, self.images)
        self.n_parts = min(self.n_parts, self.n_units)
    # A power of two: any usual number of threads then has as many as the others.
    while self.n_parts & (self.n_parts - 1):
        self.n_parts &= self.n_parts - 1
    # Blocks of one task share its strips, while their sums stay in L2.  Without strips, fewer will
    # do, and sums that one unit completes are soon out of the way.
    budget = SOON_BYTES if self.window.direct and self.n_units == self.n_parts else WEIGHT_BYTES
    share = (4 if self.window.direct else 2) * num_threads
    self.n_chunks = min(self.n_blocks, max(ceil_div(self.n_blocks * block, budget),
                                           ceil_div(share, groups * self.n_parts)))
    self.chunk = ceil_div(self.n_blocks, self.n_chunks)
    self.n_chunks = ceil_div(self.n_blocks, self.chunk)


cdef bint rows_inside(const window_t* window, const conv_t* p) noexcept nogil:
    cdef int axis
    for axis in range(AXES - 1):
        if window.axis[axis].lowest < 0 or window.axis[axis].highest >= p.in_size[axis]:
            return False
    return True


cdef int weight_plan(grad_weight_t* self, const conv_t* problem,
                     idx_t num_threads) noexcept nogil:
    cdef int axis
    memset(self, 0, sizeof(grad_weight_t))
    self.p = problem[0]
    merge_axes(&self.p)
    for axis in range(AXES):
        if axis_init(&self.window.axis[axis], &self.p, axis) != OK:
            return NO_MEMORY
    self.n_taps = self.p.kernel[0] * self.p.kernel[1] * self.p.kernel[2]
    choose_sums(self)
    if self.lanewise and spread_tables(&self.window.spread, self.p.out_channels) != OK:
        return NO_MEMORY
    choose_units(self)
    choose_rows(self)
    if weight_tables(self) != OK:
        return NO_MEMORY
    choose_parts(self, num_threads)
    if not self.dots and not self.mixed and not rows_inside(&self.window, &self.p):
        self.lines = self.n_taps // self.p.kernel[2]
    return OK
