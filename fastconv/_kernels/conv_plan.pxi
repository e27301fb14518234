# How correlate goes about a problem: which lanes, which blocks of work.
#
# All of it follows from the problem in closed form.  The number of threads only decides how finely
# the work is cut, never the order in which a sum is taken.

cdef enum:
    FEW_THREADS = 2         # for which plans are compared
    LEAST_WORK = 400000     # multiply-adds that are worth a task of their own
    TURNING = 12            # multiply-adds in the time of turning a cell
    PANEL_BYTES = 320 * 1024    # packed weights that a task uses at once, if it packs its own
    PIECE_BYTES = 256       # of a pixel: shorter pieces, far apart, come slowly from memory
    FEW_POSITIONS = 256     # of all images together
    FEW_OVERLAPPING = 1024  # of an image or two, where windows of positions overlap
    FEW_WEIGHTS = 16 * 1024     # bytes: less may as well be read by all threads


cdef struct run_t:
    # Output columns that are given the same taps of a row.
    idx_t first_tap, last_tap
    idx_t first_step        # among those of all runs, for each row of taps
    idx_t end               # the first position past them


cdef struct correlate_t:
    conv_t p
    window_t window
    bint rows               # row lanes; else channel lanes
    bint lanewise           # channel lanes of all groups, each with inputs of its own
    bint planes             # row lanes, each channel with an input of its own
    tap_rows_t* tap_rows    # [phases of the first two axes]
    idx_t by_row, by_channel, by_lane   # their costs
    idx_t filters           # those that are evenly spaced: all, or all of a group
    bint pixels             # strips hold pixels, also of an input of planes; else planes
    idx_t nv                # vectors in the widest tile
    idx_t px                # rows in the tallest tile
    idx_t stack             # rows of output that a tile of row lanes takes, at most; or 1
    idx_t width             # channels in a block of packed weights
    idx_t n_blocks          # such blocks in a group
    idx_t block_elements    # a packed block: biases, then [channel block][tap][channel][width]
    idx_t depth, n_depths   # in channels of a strip, and how often that goes into all of them
    idx_t chunk, n_chunks   # blocks that a task takes, and how often that goes into n_blocks
    idx_t n_pos[AXES]       # blocks of output positions
    idx_t n_taps
    idx_t inner             # steps of the inner loop: taps of a row, or with their channels; or 0,
                            # and channels are
    idx_t inner_step        # from step to step in the strip,
    idx_t inner_packed      # and in packed weights, in widths
    bint few                # positions: tasks share out channels sooner than these
    bint shared             # weights are packed once, for all tasks; else each task packs its own
    run_t* runs             # of output columns: [phases], or [n_runs] of the only phase
    idx_t n_runs            # several where taps that read padding are left out
    chains_t* chains        # [phases of the last axis] of the taps in a row
    idx_t* phase            # [phases] first outer step of each phase, all axes together
    idx_t* step_input       # [outer steps] offset in the strip
    idx_t* step_packed      # [outer steps] place among the packed taps
    idx_t* tap_weight       # [n_taps] offset in a filter; taps in the order of packing
    idx_t* tap_first        # [n_taps] the first tap of its chain
    idx_t* tap_chain        # [n_taps] taps in its chain
    idx_t* tap_at           # [n_taps] the tap at each cell of a filter, where taps are dense
    idx_t* tables
    ahead_t* ahead          # or NULL


cdef inline idx_t all_positions(const correlate_t* self) noexcept nogil:
    """Of the output, in the whole batch; a phase's."""
    cdef const axis_t* axis = &self.window.axis[0]
    return self.p.batch * axis[0].grid * axis[1].grid * axis[2].grid


cdef bint is_few(const correlate_t* self, idx_t vectors) noexcept nogil:
    """Whether threads had better share out the channels, so many vectors, than the positions.

    So it is where packing and reading weights is a good part of all work.
    """
    cdef const conv_t* p = &self.p
    cdef const axis_t* columns = &self.window.axis[2]
    cdef idx_t weights = p.out_channels * p.in_channels * self.n_taps * <idx_t> sizeof(real)
    cdef bint overlapping = columns.n_taps > columns.n_phases and p.batch <= FEW_THREADS
    if all_positions(self) > (FEW_OVERLAPPING if overlapping else FEW_POSITIONS):
        return False
    # A vector more or less is much of a small share.
    return weights > WEIGHT_BYTES or (
        weights > FEW_WEIGHTS and 8 * round_up(vectors, FEW_THREADS) <= 9 * vectors)


cdef void choose_lanes(correlate_t* self) noexcept nogil:
    """Channel lanes or row lanes, by cycles for one row of output."""
    cdef conv_t* p = &self.p
    cdef idx_t columns = self.window.axis[2].grid, k = p.out_channels
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t reduction = max(<idx_t> 1, p.in_channels * self.n_taps // (
        axis[0].n_phases * axis[1].n_phases * axis[2].n_phases))
    cdef idx_t k_vectors = ceil_div(k, LANES), row_vectors = ceil_div(columns, LANES), k_nv = 1
    cdef idx_t row_nv = best_width(reduction, k, row_vectors, MAX_NV)
    self.few = is_few(self, k_vectors)
    cdef idx_t by_channel = channel_cost(self, &k_nv) // axis[2].n_phases
    # A single filter meets several rows of output at once, with a load for each multiply-add; and
    # so do a few.
    cdef idx_t at_once = SLIDE_ROWS if k == 1 and axis[1].grid >= SLIDE_ROWS else 1
    cdef idx_t by_row = tiles_cost(
        reduction * (1 + (at_once > 1)), k * at_once, row_vectors, row_nv) // at_once
    self.stack = 1
    if k > 1:
        self.stack = best_stack(reduction, k, row_vectors, row_nv, axis[1].grid, &by_row)
    # Vectors of the strip straddle cache lines, and no tap finds a broadcast made for another.
    by_row = 11 * by_row // 8
    if one_plane_each(p):
        row_nv = even(row_vectors, PLANE_NV)
        by_row = planes_cost(self, row_vectors, row_nv)
    # Storing: a vector at a time where lanes are neighbours in memory, else cell by cell.
    by_channel += columns * k_vectors * 2 if p.out_channel == 1 else columns * k * 3 // 2
    by_row += (k * row_vectors * 2
               if p.out_step[2] * p.stretch[2] == 1 and columns >= LANES else columns * k)
    # Row lanes want planes and channel lanes pixels: other input is turned.
    if p.in_step[2] != 1:
        by_row += columns * p.in_channels * p.stride[2] // 2
    elif p.in_channels >= LANES:
        by_channel += columns * p.in_channels * p.stride[2] // 2
    self.by_row, self.by_channel = by_row, by_channel
    self.by_lane = lanewise_cost(p, reduction, columns) if lanewise_possible(p) else 0
    self.lanewise = 0 < self.by_lane < min(by_row, by_channel)
    self.rows = not self.lanewise and by_row < by_channel
    if not self.rows:
        self.stack = 1
    self.filters = k
    if self.lanewise:
        self.nv = lanewise_vectors(p)
        self.px = tallest_lanewise(1, True)
        self.width = self.nv * LANES
        join_groups(p, &self.window.spread, self.width)
        if p.w_out * k == p.w_group or k == 1:
            self.filters = k = p.out_channels
    elif self.rows:
        self.nv = row_nv
        self.px = even(k, tallest(1, row_nv))
        self.width = self.px
        self.planes = one_plane_each(p)
        if self.planes:
            join_groups(p, &self.window.spread, 0)
            self.filters = p.out_channels
    else:
        self.nv = k_nv
        self.px = tallest(1, k_nv)
        self.width = k_nv * LANES
    self.n_blocks = ceil_div(p.out_channels, self.width)


cdef idx_t sum_elements(const correlate_t* self) noexcept nogil:
    """Cells of the sums that a task keeps for one block of channels, depth after depth."""
    cdef idx_t elements = self.width
    cdef int axis
    for axis in range(AXES):
        elements *= min(self.window.axis[axis].block * self.p.stretch[axis],
                        self.p.out_size[axis])
    return elements


cdef bint fits_cache(const correlate_t* self) noexcept nogil:
    cdef idx_t bytes = sizeof(real)
    return (self.window.elements * bytes <= STRIP_BYTES
            and (self.n_depths == 1 or self.chunk * sum_elements(self) * bytes <= SUM_BYTES))


cdef idx_t lay_blocks(correlate_t* self, const idx_t* block) noexcept nogil:
    """Lets blocks have about this size; returns how many an image is cut into."""
    cdef axis_t* axis = &self.window.axis[0]
    cdef idx_t count = 1
    cdef int a
    for a in range(AXES):
        axis_finish(&axis[a], even(axis[a].grid, block[a]))
        self.n_pos[a] = ceil_div(axis[a].grid, axis[a].block)
        count *= self.n_pos[a]
    return count


cdef idx_t cut_blocks(correlate_t* self, idx_t n_depths, idx_t n_chunks,
                      idx_t num_threads) noexcept nogil:
    """Halves the block of a task until it fits L2 and the threads have enough tasks.

    Returns cycles for each input channel beside those of the tile: fills, sums and weights.
    """
    cdef conv_t* p = &self.p
    cdef window_t* window = &self.window
    cdef idx_t block[AXES]
    cdef idx_t tasks, work, least, positions, target = 4 * num_threads if num_threads > 1 else 1
    cdef idx_t packed = self.n_blocks * self.block_elements * <idx_t> sizeof(real), cost
    cdef bint wanted
    cdef int axis
    self.depth = ceil_div(p.in_channels, n_depths)
    self.n_depths = ceil_div(p.in_channels, self.depth)
    work = p.batch * p.groups * p.out_channels * p.in_channels * self.n_taps
    for axis in range(AXES):
        block[axis] = window.axis[axis].grid
        work *= block[axis]
    least = min(block[2], 4 * self.nv * LANES if self.rows
                else 4 * max(self.px, window.axis[2].apart))
    self.n_chunks = n_chunks
    while True:
        self.chunk = ceil_div(self.n_blocks, self.n_chunks)
        tasks = p.batch * p.groups * self.n_chunks * lay_blocks(self, block)
        window_layout(window, p, self.depth, self.pixels)
        wanted = tasks < target and work // tasks > LEAST_WORK
        if wanted and self.n_chunks < self.n_blocks and 2 * self.n_chunks <= target:
            # Sharing out the channels copies the window again; rows overlap less than that, but of
            # few positions the weights are more.
            if self.few or block[0] * block[1] < 8:
                self.n_chunks = min(self.n_blocks, 2 * self.n_chunks)
                continue
        if self.few and tasks >= num_threads and tasks % num_threads == 0:
            wanted = False
        if not wanted and fits_cache(self):
            break
        axis = longest_side(block, least)
        if axis < 0:
            break
        block[axis] = max(least, ceil_div(block[2], 2)) if axis == 2 else ceil_div(block[axis], 2)
    self.n_chunks = ceil_div(self.n_blocks, self.chunk)
    positions = window.axis[0].block * window.axis[1].block * window.axis[2].block
    cost = window.elements * self.n_chunks // self.depth
    if p.in_channel == 1 and self.depth * <idx_t> sizeof(real) < min(
            <idx_t> PIECE_BYTES, p.in_channels * <idx_t> sizeof(real)):
        cost *= 2
    if self.n_depths > 1:
        cost += positions * self.n_depths * p.out_channels // (4 * p.in_channels)
    if packed > WEIGHT_BYTES * self.n_chunks:
        # All weights come from L3 for every block of positions.
        cost += p.out_channels * self.n_taps // 2
    return cost * (window.axis[0].grid * window.axis[1].grid * window.axis[2].grid) // positions


cdef bint worth_turning(const correlate_t* self) noexcept nogil:
    """Whether planes should become pixels in the strip.

    A tile of pixels reads along their channels, which is faster than from plane to plane.
    """
    cdef const conv_t* p = &self.p
    cdef idx_t step = self.window.axis[2].every * p.in_step[2]
    cdef idx_t phases = p.stretch[0] * p.stretch[1] * p.stretch[2]
    cdef idx_t turning = TURNING if step == 1 else 3 * TURNING
    return (not self.rows and p.in_channels >= LANES and 1 <= step <= 2
            and p.out_channels * self.n_taps >= turning * LANES * phases)


cdef void choose_blocks(correlate_t* self, idx_t num_threads) noexcept nogil:
    """How many in channels a strip holds, and how many blocks of out channels a task takes.

    Depths decide in which order sums are taken, so the number of threads has no say in them.
    """
    cdef conv_t* p = &self.p
    cdef idx_t packed = self.n_blocks * self.block_elements * <idx_t> sizeof(real)
    cdef idx_t chunks = min(self.n_blocks, ceil_div(packed, WEIGHT_BYTES))
    cdef idx_t n_depths = 1, n_chunks = 1, depths = 1, cost
    cdef idx_t least
    self.pixels = not self.rows and p.in_channel == 1 and p.in_channels > 1
    self.few = self.few and not self.rows
    self.window.axis[2].whole = not self.rows and all_cells_read(p)
    least = cut_blocks(self, 1, 1, FEW_THREADS)
    # Row lanes load whole vectors, past the end of a row too: only a strip allows that.
    self.window.direct = not self.rows and reads_in_place(&self.window, p)
    if not self.window.direct and worth_turning(self):
        self.pixels = True
        least = cut_blocks(self, 1, 1, FEW_THREADS)
    if p.batch > 1 and chunks > 1:
        cost = cut_blocks(self, 1, chunks, FEW_THREADS)
        if cost < least:
            least, n_chunks = cost, chunks
    while not self.rows and 2 * depths <= p.in_channels // 8 and depths < 64:
        depths *= 2
        cost = cut_blocks(self, depths, 1, FEW_THREADS)
        if cost < least:
            least, n_depths, n_chunks = cost, depths, 1
    if self.few and n_depths == 1:
        # A task packs its own weights then, and what it packs at once stays in L2.
        n_depths = max(
            ceil_div(self.block_elements * <idx_t> sizeof(real), PANEL_BYTES),
            ceil_div(all_positions(self) * p.in_channels * <idx_t> sizeof(real), STRIP_BYTES))
    cut_blocks(self, n_depths, n_chunks, num_threads)


cdef void choose_chains(correlate_t* self) noexcept nogil:
    """Only tiles whose lanes are channels, and whose rows are columns, take chains."""
    cdef idx_t f
    for f in range(self.window.axis[2].n_phases):
        self.chains[f] = find_chains(&self.window.axis[2], f, 1, NULL)
        if not self.rows and not self.lanewise:
            best_chains(self, f, self.nv, self.chains + f)
    if not self.rows and not self.lanewise:
        self.px = tallest(self.chains[0].length, self.nv)


cdef inline idx_t last_width(const correlate_t* self) noexcept nogil:
    """Channels in the last packed block, whole vectors in channel lanes."""
    cdef idx_t rest = self.p.out_channels - (self.n_blocks - 1) * self.width
    return rest if self.rows else round_up(rest, LANES)


cdef int correlate_plan(correlate_t* self, const conv_t* problem,
                        idx_t num_threads) noexcept nogil:
    cdef int axis
    memset(self, 0, sizeof(correlate_t))
    self.p = problem[0]
    batch_to_columns(&self.p)
    merge_axes(&self.p)
    for axis in range(AXES):
        if axis_init(&self.window.axis[axis], &self.p, axis) != OK:
            return NO_MEMORY
    self.n_taps = (self.window.axis[0].n_taps * self.window.axis[1].n_taps
                   * self.window.axis[2].n_taps)
    self.chains = <chains_t*> malloc(self.window.axis[2].n_phases * sizeof(chains_t))
    if self.chains == NULL:
        return NO_MEMORY
    choose_lanes(self)
    choose_chains(self)
    if self.lanewise and spread_tables(&self.window.spread, self.p.out_channels) != OK:
        return NO_MEMORY
    self.block_elements = round_up(
        self.width * (1 + self.n_taps * self.p.in_channels), ALIGN)
    if self.lanewise:
        cut_lanewise(self, num_threads)
    elif self.planes:
        cut_planes(self, num_threads)
    else:
        choose_blocks(self, num_threads)
    self.shared = self.p.batch * self.n_pos[0] * self.n_pos[1] * self.n_pos[2] > 1
    if self.window.direct:
        window_direct(&self.window, &self.p)
    if find_runs(self) != OK:
        return NO_MEMORY
    if self.planes and tap_row_tables(self) != OK:
        return NO_MEMORY
    return correlate_tables(self)
