# How grad_weight goes about a problem: tile or inner products, units of work, parts of the sum.
#
# The number of threads only decides how many blocks of output channels share a task.  It has no say
# in the parts: it would change the order in which the sums are taken, and so their bits.

cdef enum:
    PART_WORK = 64 * 1024 * 1024        # multiply-adds that a task should have
    PART_POSITIONS = 768                # a part this long outweighs its own zeroing and adding
    PART_BYTES = 16 * 1024 * 1024       # all parts together, where one part is smaller
    UNIT_BYTES = 320 * 1024             # a strip and what it meets of grad_output
    BIAS_CHANNELS = 128                 # of a task that sums for the bias alone
    SOON_BYTES = 64 * 1024              # sums of a task that come to an end block by block


cdef struct grad_weight_t:
    conv_t p
    window_t window
    bint weight, bias       # which gradients are wanted
    bint continued          # sums go on from those of the call before, and wait for the next
    bint dots               # inner products; else the tile
    bint lanewise           # the tile, its lanes the output channels of all groups
    idx_t by_dots, by_tile, by_lane     # their costs
    bint mixed              # rows of the tile are taps and channels; else channels at one tap
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
    cdef idx_t i0, i1, i2, t0, t1, t2, t = 0
    self.tables = <idx_t*> malloc(
        self.n_taps * (3 + (p.in_channels if self.mixed else 0)) * sizeof(idx_t))
    if self.tables == NULL:
        return NO_MEMORY
    self.tap_input = self.tables
    self.tap_weight = self.tap_input + self.n_taps
    self.tap_at = self.tap_weight + self.n_taps
    self.row_input = self.tap_at + self.n_taps
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
    for t in range(self.n_taps * p.in_channels if self.mixed else 0):
        self.row_input[t] = (self.tap_input[t // p.in_channels]
                             + t % p.in_channels * self.window.channel_step)
    return OK


cdef void choose_sums(grad_weight_t* self) noexcept nogil:
    """Inner products or the tile, by cycles for one row of output."""
    cdef conv_t* p = &self.p
    cdef idx_t columns = p.out_size[2], rows = self.n_taps * p.in_channels
    cdef idx_t vectors = ceil_div(p.out_channels, LANES)
    cdef idx_t by_channel = self.n_taps * tiles_cost(
        columns, p.in_channels, vectors, best_width(columns, p.in_channels, vectors, MAX_NV))
    cdef idx_t mixed = 9 * tiles_cost(
        columns, rows, vectors, best_width(columns, rows, vectors, MAX_NV)) // 8
    cdef idx_t turning = 0 if p.out_channel == 1 else p.out_channels // 2
    self.by_tile = min(by_channel, mixed) + columns * turning
    # Twice: inner products reuse what they load far less, and so wait for L2 more often.
    self.by_dots = (
        2 * ceil_div(columns, LANES) * p.in_channels * dot_cost(p.out_channels, self.n_taps))
    self.by_lane = lanewise_weight_cost(p, rows) if lanewise_possible(p) else 0
    self.lanewise = (0 < self.by_lane < min(self.by_dots, self.by_tile)
                     and p.w_group == p.out_channels * p.w_out)
    self.dots = not self.lanewise and self.by_dots < self.by_tile
    if self.lanewise:
        self.nv = even(ceil_div(p.groups * p.out_channels, LANES), LANEWISE_NV)
        join_groups(p, &self.window.spread, self.nv * LANES)


cdef inline idx_t unit_positions(const grad_weight_t* self) noexcept nogil:
    cdef const axis_t* axis = &self.window.axis[0]
    return axis[0].block * axis[1].block * axis[2].block


cdef void choose_rows(grad_weight_t* self) noexcept nogil:
    """What the rows of a tile are, and the width, by multiply-adds in the time of one unit."""
    cdef conv_t* p = &self.p
    cdef idx_t vectors = ceil_div(p.out_channels, LANES), nv, by_channel, mixed
    cdef idx_t rows = self.n_taps * p.in_channels, positions = unit_positions(self)
    if self.dots:
        self.width = p.out_channels
        self.n_blocks = 1
        return
    if self.lanewise:
        self.mixed = True
    else:
        self.nv = best_width(positions, p.in_channels, vectors, MAX_NV)
        nv = best_width(positions, rows, vectors, MAX_NV)
        by_channel = self.n_taps * tiles_cost(positions, p.in_channels, vectors, self.nv)
        # Rows at any distance are looked up at each step.
        mixed = 9 * tiles_cost(positions, rows, vectors, nv) // 8
        self.mixed = mixed < by_channel
        if self.mixed:
            self.nv = nv
    self.width = self.nv * LANES
    self.n_blocks = ceil_div(p.out_channels, self.width)
    # Far apart, pixels fall into few sets of the L1 cache.
    self.in_place = (p.out_channel == 1 and p.out_channels % LANES == 0
                     and 0 < p.out_step[2] * <idx_t> sizeof(real) < PAGE // 4)


cdef idx_t unit_bytes(const grad_weight_t* self, idx_t width) noexcept nogil:
    """A strip, and grad_output of so many channels."""
    return ((self.window.elements + unit_positions(self) * width)
            * <idx_t> sizeof(real))


cdef void choose_units(grad_weight_t* self) noexcept nogil:
    """Blocks of positions whose strip and grad_output fit L2: by the problem, not the threads."""
    cdef conv_t* p = &self.p
    cdef window_t* window = &self.window
    cdef idx_t block[AXES]
    cdef int axis
    cdef bint pixels = self.lanewise or (
        p.in_channel == 1 and p.in_channels > 1 and not self.dots)
    for axis in range(AXES):
        block[axis] = window.axis[axis].grid
    while True:
        self.n_units = p.batch
        for axis in range(AXES):
            axis_finish(&window.axis[axis], even(window.axis[axis].grid, block[axis]))
            self.n_pos[axis] = ceil_div(window.axis[axis].grid, window.axis[axis].block)
            self.n_units *= self.n_pos[axis]
        window_layout(window, p, p.in_channels, pixels)
        if unit_bytes(self, 2 * LANES) <= UNIT_BYTES:
            break
        axis = longest_side(block, 64)
        if axis < 0:
            break
        block[axis] = ceil_div(block[axis], 2)
    # Inner products load whole vectors, past the end of a row too: only a strip allows that.
    window.direct = not self.dots and unpadded(window, p) and reads_in_place(window, p)
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
