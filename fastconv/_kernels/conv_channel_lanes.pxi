# Channel lanes: rows of the tile are columns of the output, its lanes channels.

cdef void channel_columns(const task_t* task, stream_t* s, idx_t nv, idx_t q, idx_t end,
                          const real* a, const real* weights, real* o) noexcept nogil:
    """Columns q to end of a row of output, which see the same taps."""
    cdef idx_t px = even(end - q, tallest(1, nv))
    s.low = s.high = 0
    while q < end:
        px = min(px, end - q)
        run_chain(1, <int> px, <int> nv, s, a + q * s.a_row, weights, task.start, task.bias,
                  o + q * s.o_row)
        q += px


cdef void columns_by_runs(const correlate_t* self, const task_t* task, stream_t* s, idx_t phase,
                          idx_t f2, idx_t nv, idx_t count, const real* row,
                          real* o) noexcept nogil:
    """One column phase of a row of output without chains."""
    cdef const run_t* run = self.runs + f2
    cdef idx_t q = 0, end, skipped
    cdef const real* a
    cdef const real* weights
    while q < count:
        while run.end <= task.m[2] + q:
            run += 1
        end = min(count, run.end - task.m[2])
        skipped = find_run(self, task, run, phase + f2, s)
        a, weights = row + skipped * s.a_step, task.weights + skipped * s.b_step
        if self.lanewise:
            lanewise_columns(self, task, s, nv, q, end, a, weights, o)
        else:
            channel_columns(task, s, nv, q, end, a, weights, o)
        q = end


cdef void channel_lanes_row(const correlate_t* self, const task_t* task, idx_t phase,
                            idx_t width, const real* row, real* o, idx_t column) noexcept nogil:
    """One row of a block of channels, its column phases in turn; pixels of o are `column` apart."""
    cdef const window_t* window = &self.window
    cdef idx_t stretch = self.p.stretch[2], nv = width // LANES, f2, i, q, count, px, step, chain
    cdef const axis_t* axis = &window.axis[2]
    cdef const chains_t* chains
    cdef idx_t first, some, last, rows
    cdef stream_t s
    s.n_inner = self.inner or task.channels
    s.a_row = window.cell_step
    s.o_row = column * stretch
    s.a_step = self.inner_step
    s.a_unit = 1
    s.b_unit = width if self.inner else task.channels * width
    s.slope = task.slope
    for f2 in range(window.axis[2].n_phases):
        count = positions(self, task, 2, f2)
        if count == 0:
            continue
        chains = self.chains + f2
        chain = chains.length
        s.b_step = self.inner_packed * width if self.inner else chain * width
        if chain == 1:
            columns_by_runs(self, task, &s, phase, f2, nv, count, row, o + f2 * column)
            continue
        s.n_outer = find_steps(self, task, phase, f2, &step)
        s.a_off = self.step_input + step
        s.b_off = self.step_packed + step
        s.n_lone = find_lone(self, task, phase, f2, &step)
        s.a_lone = self.step_input + step
        s.b_lone = self.step_packed + step
        # Under dilation rows of the tile are the positions that share cells.
        s.a_row = window.cell_step * chains.apart
        s.o_row = column * stretch * chains.apart
        for first in range(min(chains.apart, count)):
            some = ceil_div(count - first, chains.apart)
            px = even(some, tallest(chain, nv))
            s.low, s.high = cells_low(axis, chains, task.m[2] + first), 0
            for i in range(ceil_div(some, px)):
                q = first + i * px * chains.apart
                rows = min(px, some - i * px)
                if i * px + rows == some:
                    last = task.m[2] + q + (rows - 1) * chains.apart
                    s.high = cells_high(axis, chains, self.p.in_size[2], last)
                run_chain(<int> chain, <int> rows, <int> nv, &s,
                          row + q * window.cell_step, task.weights, task.start, task.bias,
                          o + (f2 + q * stretch) * column)
                s.low = 0


cdef void channel_lanes_plane(const correlate_t* self, task_t* task, idx_t f0, idx_t f1,
                              idx_t i0, idx_t width, idx_t channels, const real* plane,
                              real* sums, real* o) noexcept nogil:
    """The same with lanes of channels, of which the last may be unused."""
    cdef const conv_t* p = &self.p
    cdef idx_t rows = positions(self, task, 1, f1), i1, held = 0
    cdef idx_t phase = (f0 * self.window.axis[1].n_phases + f1) * self.window.axis[2].n_phases
    cdef idx_t o_row = p.out_step[1] * p.stretch[1]
    # Rows that follow each other in memory are turned together.
    cdef bint together = p.out_step[2] == 1 and p.stretch[1] == 1 and o_row == task.columns
    cdef const real* row
    cdef real* target = sums
    cdef real* first = sums
    cdef real* o_first = o
    for i1 in range(rows):
        row = plane + i1 * self.window.row_step
        if self.ahead != NULL:
            fetch_some(self.ahead)
        find_rows(self, task, f0, f1, i0, i1)
        if p.out_channel == 1 and channels == width:
            channel_lanes_row(self, task, phase, width, row, o + i1 * o_row, p.out_step[2])
            continue
        if self.n_depths > 1:
            target = sums + i1 * p.stretch[1] * task.columns * width
        else:
            target = task.pixels + held * width
        if held == 0:
            o_first = o + i1 * o_row
            first = target
        channel_lanes_row(self, task, phase, width, row, target, width)
        held += task.columns
        if (not together or i1 == rows - 1 or held + task.columns > task.capacity) \
                and complete(self, task):
            if p.out_step[2] == 1:
                pixels_to_planes(first, width, held, channels, first + held * width,
                                 o_first, p.out_channel)
            else:
                store(first, width, held, channels, o_first, p.out_step[2], p.out_channel)
            held = 0


cdef inline idx_t held_pixels(const correlate_t* self) noexcept nogil:
    """Pixels that wait to be turned: a row at least, and enough for a few squares."""
    return min(self.window.axis[2].block * self.p.stretch[2], self.p.out_size[2]) + 4 * LANES
