# Runs of output columns that are given the same taps of a row.
#
# Taps that read padding add nothing, and are left out where that pays: far from the centre of a
# wide or dilated window they are many.  Columns of which the same taps lie inside the input make a
# run; short ones join, where tiles that meet some padding cost less than more tiles of few rows.
# All of it follows from the whole row, whatever blocks the threads cut.

cdef idx_t run_cost(const correlate_t* self, idx_t nv, idx_t begin, run_t run) noexcept nogil:
    """Multiply-adds in the time of the columns of a row of output from `begin` on."""
    cdef idx_t steps = tap_rows(self) * self.p.in_channels, columns = run.end - begin, px
    cdef chains_t chains
    chains.length, chains.apart, chains.base = 1, 1, 0
    chains.many, chains.lone = run.last_tap - run.first_tap, 0
    if not self.lanewise:
        return positions_cost(self, &chains, steps, columns, nv)
    px = even(columns, tallest_lanewise(1, True))
    return ceil_div(columns, px) * (TILE_CALL + steps * chains.many * max(px + 1, FEW_SUMS))


cdef run_t joined(run_t a, run_t b) noexcept nogil:
    b.first_tap = min(a.first_tap, b.first_tap)
    b.last_tap = max(a.last_tap, b.last_tap)
    b.first_step = a.first_step
    return b


cdef run_t next_run(const axis_t* axis, idx_t size, idx_t at, run_t run) noexcept nogil:
    """The columns from here on of which the same taps lie inside: none later than those before."""
    while run.first_tap > 0 and axis.base[run.first_tap - 1] + at * axis.step >= 0:
        run.first_tap -= 1
    while run.last_tap > 0 and axis.base[run.last_tap - 1] + at * axis.step >= size:
        run.last_tap -= 1
    run.end = axis.grid
    if run.first_tap > 0:
        run.end = min(run.end, ceil_div(-axis.base[run.first_tap - 1], axis.step))
    if run.last_tap > 0:
        run.end = min(run.end, ceil_div(size - axis.base[run.last_tap - 1], axis.step))
    return run


cdef idx_t join_runs(const correlate_t* self, idx_t nv, bint exactly, run_t* runs,
                     idx_t* cost) noexcept nogil:
    """The runs of the only phase of columns, as many as returned; and what they cost.

    exactly: none reads padding.  runs: NULL, or room for two for each tap, and one more.
    """
    cdef const axis_t* axis = &self.window.axis[2]
    cdef idx_t at = 0, begin = 0, n = 0
    cdef run_t run, last
    run.first_tap = run.last_tap = axis.n_taps
    run.first_step = 0
    cost[0] = 0
    while at < axis.grid:
        run = next_run(axis, self.p.in_size[2], at, run)
        if n > 0 and not exactly and run_cost(self, nv, begin, joined(last, run)) <= (
                run_cost(self, nv, begin, last) + run_cost(self, nv, at, run)):
            last = joined(last, run)
        else:
            if n > 0:
                cost[0] += run_cost(self, nv, begin, last)
                run.first_step = last.first_step + last.last_tap - last.first_tap
            begin, last = at, run
            n += 1
        if runs != NULL:
            runs[n - 1] = last
        at = run.end
    if n > 0:
        cost[0] += run_cost(self, nv, begin, last)
    return n


cdef bint reads_padding(const correlate_t* self) noexcept nogil:
    """Whether more than a column at each side does, which is nothing to plan for."""
    cdef const axis_t* axis = &self.window.axis[2]
    cdef idx_t last = (axis.grid - 2) * axis.step
    return axis.n_phases == 1 and axis.n_taps > 0 and (
        axis.base[0] + axis.step < 0 or axis.base[axis.n_taps - 1] + last >= self.p.in_size[2])


cdef bint may_leave_out(const correlate_t* self) noexcept nogil:
    """Whether taps of a row are: of chains they cannot be, and lanewise they may have to be."""
    if self.lanewise:
        return self.window.axis[2].n_phases == 1 and self.n_taps > 0
    return not self.rows and self.chains[0].length == 1 and reads_padding(self)


cdef bint better_in_place(const correlate_t* self) noexcept nogil:
    """Lanewise: whether to read no padding costs less than to fill a strip, if that can be."""
    cdef idx_t exact, joint, cells = self.window.axis[2].grid * self.p.stride[2]
    if not may_leave_out(self):
        return True
    join_runs(self, 1, True, NULL, &exact)
    join_runs(self, 1, False, NULL, &joint)
    return exact <= joint + 2 * LANE_FILLING * cells * self.p.in_channels


cdef int find_runs(correlate_t* self) noexcept nogil:
    """One for each phase, or several of the only one."""
    cdef const axis_t* axis = &self.window.axis[2]
    cdef idx_t f, cost
    self.runs = <run_t*> malloc((axis.n_phases + 2 * axis.n_taps + 1) * sizeof(run_t))
    if self.runs == NULL:
        return NO_MEMORY
    self.n_runs = 1
    if may_leave_out(self):
        self.n_runs = join_runs(
            self, self.nv, self.lanewise and self.window.direct, self.runs, &cost)
        return OK
    for f in range(axis.n_phases):
        self.runs[f].first_tap, self.runs[f].first_step = 0, 0
        self.runs[f].last_tap = axis.phase[f + 1] - axis.phase[f]
        self.runs[f].end = axis.grid
    return OK


cdef inline idx_t run_steps(const correlate_t* self) noexcept nogil:
    """Outer steps of all runs, for each row of taps."""
    cdef const run_t* last = self.runs + self.n_runs - 1
    return last.first_step + last.last_tap - last.first_tap


cdef inline bint leaves_taps_out(const correlate_t* self) noexcept nogil:
    return may_leave_out(self) and (
        self.n_runs > 1 or run_steps(self) < self.window.axis[2].n_taps)


cdef void split_steps(correlate_t* self) noexcept nogil:
    """From outer steps of all taps to those of each run: [phase][run][row of taps][tap]."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t n = axis[2].n_taps, to = self.n_taps, f0, f1, f = 0, first, rows, i, row, t
    cdef const run_t* run
    for f0 in range(axis[0].n_phases):
        for f1 in range(axis[1].n_phases):
            first = self.phase[f]
            rows = ((axis[0].phase[f0 + 1] - axis[0].phase[f0])
                    * (axis[1].phase[f1 + 1] - axis[1].phase[f1]))
            self.phase[f] = to
            for i in range(self.n_runs):
                run = self.runs + i
                for row in range(rows):
                    for t in range(run.first_tap, run.last_tap):
                        self.step_input[to] = self.step_input[first + row * n + t]
                        self.step_packed[to] = self.step_packed[first + row * n + t]
                        to += 1
            f += 1


cdef inline idx_t find_run(const correlate_t* self, const task_t* task, const run_t* run,
                           idx_t phase, stream_t* s) noexcept nogil:
    """The steps of a run's columns in a row; returns inner ones that are left out before these."""
    cdef idx_t steps = run.last_tap - run.first_tap, skipped = 0, first
    if self.inner:
        s.n_inner = steps * (self.inner // self.window.axis[2].n_taps)
        skipped = run.first_tap * (self.inner // self.window.axis[2].n_taps)
        s.n_outer = find_steps(self, task, phase, 0, &first)
        if not steps:
            s.n_outer = 0   # a tile that rolls loads rows before it asks for a tap
    else:
        s.n_outer = (task.last - task.first) * steps
        first = self.phase[phase] + task.rows * run.first_step + task.first * steps
    s.a_off = self.step_input + first
    s.b_off = self.step_packed + first
    return skipped
