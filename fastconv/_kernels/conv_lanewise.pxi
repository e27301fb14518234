# Small groups, depthwise above all: the output channels of all groups fill the lanes, and each lane
# has inputs of its own, so that `a` of the tile brings vectors, too.
#
#     strip[pixel][c][lane] = in[pixel, lane // O * I + c]      I and O: channels of a group
#
# A strip holds the lanes of one block.  In a depthwise convolution it is a copy of the input, or
# the input itself, or turned from planes; else vectors of it are picked from two of the input.

cdef enum:
    AHEAD_PIXELS = 8
    CACHE_LINE = ALIGN // sizeof(real)
    SPREAD_BYTES = 480 * 1024   # of a strip: what is read of it at a time is little
    MOST_VECTORS = 16       # of a block, whose pixels are read in the order of memory
    LANE_FILLING = 3        # multiply-adds in the time of copying a vector
    LANE_TURNING = 24       # multiply-adds in the time of a vector of what is turned
    PLANE_ROW = 40          # the same of a row of a strip, and
    PLANE_VECTOR = 34       # of a vector therein, where it is for one channel


cdef bint lanewise_possible(const conv_t* p) noexcept nogil:
    """Whether vectors of the input, two at most, hold what a vector of lanes needs."""
    cdef idx_t k = p.out_channels
    cdef idx_t reached = ceil_div(LANES, k) + (LANES % k != 0 and k % LANES != 0)   # groups
    cdef bint depthwise = k == 1 and p.in_channels == 1
    if p.groups == 1 or p.in_channels == 0:
        return False
    if p.in_channel != 1:
        return depthwise and p.in_step[2] == 1 and p.stride[2] <= 2
    return (depthwise
            or (p.groups * p.in_channels >= LANES
                and min(reached, p.groups) * p.in_channels <= 2 * LANES))


cdef idx_t lanewise_vectors(const conv_t* p) noexcept nogil:
    """In a block of lanes."""
    return even(ceil_div(p.groups * p.out_channels, LANES),
                MOST_VECTORS if p.in_channels == 1 and p.in_channel == 1 else 1)


cdef idx_t lane_turning(const conv_t* p, idx_t columns) noexcept nogil:
    """Multiply-adds in the time of turning a row of planes, of the input and of the output."""
    cdef idx_t vectors = ceil_div(p.groups * p.out_channels, LANES)
    return columns * vectors * LANE_TURNING * (
        p.stride[2] * (p.in_channel != 1) + (p.out_channel != 1))


cdef idx_t plane_filling(const conv_t* p, idx_t columns) noexcept nogil:
    """The same of strips where each channel has its own, for no more than a few rows of taps."""
    if p.in_channel == 1:
        return 0
    return PLANE_ROW + PLANE_VECTOR * ceil_div(columns, LANES) * p.stride[2]


cdef idx_t lanewise_cost(const conv_t* p, idx_t steps, idx_t columns) noexcept nogil:
    """Multiply-adds in the time of one row of output, filling the strip included; for a group."""
    cdef idx_t vectors = ceil_div(p.groups * p.out_channels, LANES)
    cdef idx_t px = even(columns, tallest_lanewise(1, False))
    # Every multiply-add has a load.
    cdef idx_t cost = vectors * ceil_div(columns, px) * (
        TILE_CALL + steps * max(px + 1, <idx_t> 8))
    cost += columns * vectors * (2 + LANE_FILLING * p.stride[2] * p.in_channels)
    return ceil_div(cost + lane_turning(p, columns), p.groups)


cdef idx_t lanewise_weight_cost(const conv_t* p, idx_t rows) noexcept nogil:
    """The same for grad_weight, whose tiles have so many rows."""
    cdef idx_t vectors = ceil_div(p.groups * p.out_channels, LANES), columns = p.out_size[2]
    cdef idx_t px = even(rows, tallest_lanewise(LANEWISE_NV, False))
    cdef idx_t cost = vectors * ceil_div(rows, px) * (TILE_CALL + columns * (px + 1))
    cost += columns * vectors * LANE_FILLING * p.stride[2] * p.in_channels
    return ceil_div(cost + lane_turning(p, columns), p.groups)


cdef void join_groups(conv_t* p, spread_t* spread, idx_t width) noexcept nogil:
    """Makes one group of all."""
    spread.in_channels, spread.out_channels = p.in_channels, p.out_channels
    spread.cells = p.groups * p.in_channels
    spread.width = width
    if p.out_channels == 1:
        p.w_out = p.w_group
    p.out_channels *= p.groups
    p.groups = 1


cdef bint lanes_in_place(const window_t* self, const conv_t* p) noexcept nogil:
    """Whether the input can serve as the strip of a depthwise convolution.

    Rows and columns of padding are left out then; of a third axis and of phases, they are not.
    """
    cdef idx_t phases = p.stretch[0] * p.stretch[1] * p.stretch[2]
    return self.spread.which == NULL and p.in_channel == 1 and p.out_channels % LANES == 0 and (
        unpadded(self, p) or (phases == 1 and self.axis[0].n_taps == 1
                              and axis_unpadded(&self.axis[0], p.in_size[0])))


cdef void cut_lanewise(correlate_t* self, idx_t num_threads) noexcept nogil:
    """Halves the block of a task, rows last, until it fits L2 and the threads have enough tasks."""
    cdef conv_t* p = &self.p
    cdef window_t* window = &self.window
    cdef idx_t block[AXES]
    cdef idx_t tasks, work = p.batch * p.out_channels * p.in_channels * self.n_taps
    cdef idx_t target = 4 * num_threads if num_threads > 1 else 1
    cdef bint wanted = True, in_place = better_in_place(self)
    cdef int axis
    for axis in range(AXES):
        block[axis] = window.axis[axis].grid
        work *= block[axis]
    while True:
        tasks = p.batch * lay_blocks(self, block)
        window_layout(window, p, p.in_channels, True)
        window.direct = in_place and lanes_in_place(window, p)
        wanted = tasks < target and work // tasks > LEAST_WORK
        if not wanted and (window.direct
                           or window.elements * <idx_t> sizeof(real) <= SPREAD_BYTES):
            break
        axis = longest_side(block, 4 * self.px)
        if axis < 0:
            break
        block[axis] = ceil_div(block[axis], 2)
    self.chunk = ceil_div(self.n_blocks, ceil_div(target, tasks)) if wanted else self.n_blocks
    self.n_chunks = ceil_div(self.n_blocks, self.chunk)
    self.depth, self.n_depths, self.pixels = p.in_channels, 1, True


cdef int spread_tables(spread_t* self, idx_t lanes) noexcept nogil:
    """For so many lanes in all."""
    cdef idx_t inner = self.in_channels, outer = self.out_channels
    cdef idx_t vectors = ceil_div(lanes, LANES), last = lanes // outer * inner - LANES
    cdef idx_t v, c, i, lane, cell
    if inner == 1 and outer == 1:
        return OK
    self.first = <idx_t*> malloc(
        vectors * (2 * sizeof(idx_t) + inner * LANES * sizeof(lane_index)))
    if self.first == NULL:
        return NO_MEMORY
    self.second = self.first + vectors
    self.which = <lane_index*> (self.second + vectors)
    for v in range(vectors):
        # Neither reaches past the pixel.
        self.first[v] = min(v * LANES // outer * inner, last)
        self.second[v] = min(self.first[v] + LANES, last)
        for c in range(inner):
            for i in range(LANES):
                lane = min(v * LANES + i, lanes - 1)
                cell = lane // outer * inner + c - self.first[v]
                if cell >= LANES:
                    cell += LANES - (self.second[v] - self.first[v])
                self.which[(v * inner + c) * LANES + i] = <lane_index> cell
    return OK


cdef inline void spread_pixel(const spread_t* self, idx_t v, const real* x,
                              real* target) noexcept nogil:
    """One vector of lanes for each channel of a group."""
    cdef idx_t c, inner = self.in_channels
    cdef const lane_index* which = self.which + v * inner * LANES
    cdef vec first = (<const vec*> (x + self.first[v]))[0]
    cdef vec second = (<const vec*> (x + self.second[v]))[0]
    for c in range(inner):
        (<vec*> (target + c * self.width))[0] = pick_lanes(first, second, which + c * LANES)


cdef inline void spread_pixel_row(const spread_t* self, const span_t* spans, idx_t n_spans,
                                  const real* x, idx_t step, idx_t lane, idx_t lanes,
                                  real* strip) noexcept nogil:
    """One row of pixels of the strip; `lane` is the first of its lanes."""
    cdef idx_t run, j, i, pixel = self.in_channels * self.width
    cdef const span_t* span
    cdef const real* source
    cdef real* target
    for run in range(n_spans):
        span = spans + run
        target = strip + span.cell * pixel
        clear(target, span.low * pixel)
        for j in range(span.low, span.high):
            source = x + span.source + j * step
            if lane == 0:
                # In the order of memory, for the blocks that follow, too.
                for i in range(ceil_div(self.cells, CACHE_LINE)):
                    prefetch(source, AHEAD_PIXELS * step + i * CACHE_LINE)
            if self.which == NULL:
                copy(target + j * pixel, source + lane, lanes)
            else:
                for i in range(ceil_div(lanes, LANES)):
                    spread_pixel(self, lane // LANES + i, source, target + j * pixel + i * LANES)
        clear(target + span.high * pixel, (span.cells - span.high) * pixel)


cdef inline bint rolls(const correlate_t* self) noexcept nogil:
    """Whether a step of the tile's inner loop is a step to its next row."""
    return self.inner_step == self.window.cell_step


cdef inline void fetch_row(const real* row, idx_t step, idx_t vectors, idx_t px,
                           idx_t v) noexcept nogil:
    """Starts to fetch a part, one of as many as there are vectors, of px pixels."""
    cdef idx_t i
    for i in range(px):
        prefetch(row, (v * px + i) * LANES if step == vectors * LANES else i * step + v * LANES)


cdef void lanewise_columns(const correlate_t* self, const task_t* task, stream_t* s, idx_t nv,
                           idx_t q, idx_t end, const real* a, const real* weights,
                           real* o) noexcept nogil:
    """Columns q to end of a row of output, which see the same taps."""
    cdef bint rolling = rolls(self)
    cdef idx_t rows[MAX_PX]
    cdef idx_t v, px = even(end - q, tallest_lanewise(1, rolling))
    cdef real* target
    for v in range(MAX_PX):
        rows[v] = v * s.a_row
    s.a_rows = rows
    while q < end:
        px = min(px, end - q)
        target = o + q * s.o_row
        for v in range(nv):
            if self.window.direct and s.n_outer:
                # The last row of taps comes from afar; those before it have been here.
                fetch_row(a + s.a_off[s.n_outer - 1] + (q + px) * s.a_row
                          + s.n_inner * s.a_step, s.a_row, nv, px, v)
            if rolling:
                run_rolling(<int> px, s, a + q * s.a_row + v * LANES, weights + v * LANES,
                            task.start, task.bias + v * LANES, target + v * LANES)
            else:
                run_lanewise(<int> px, 1, s, a + q * s.a_row + v * LANES, weights + v * LANES,
                             task.start, task.bias + v * LANES, target + v * LANES)
        q += px
