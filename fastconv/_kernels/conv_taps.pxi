# The taps of correlate, in the order in which the tile meets them: phase by phase, row by row, and in
# chains where neighbours share what is loaded.  All of it is tables of offsets.

cdef void add_tap(correlate_t* self, idx_t t, idx_t t0, idx_t t1, idx_t t2, idx_t first,
                  idx_t chain) noexcept nogil:
    """Tap t in the order of packing, and its chain."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef const conv_t* p = &self.p
    self.tap_weight[t] = (axis[0].tap[t0] * p.w_step[0] + axis[1].tap[t1] * p.w_step[1]
                          + axis[2].tap[t2] * p.w_step[2])
    self.tap_first[t] = first
    self.tap_chain[t] = chain


cdef void add_row_of_taps(correlate_t* self, idx_t t, idx_t t0, idx_t t1, idx_t f2, idx_t* chain,
                          idx_t* lone, const idx_t* taps) noexcept nogil:
    """A row of taps from t on, in this order; its steps go to the tables at `chain` and `lone`."""
    cdef chains_t chains = self.chains[f2]
    cdef idx_t j, first, n = chains.many * chains.length + chains.lone
    for j in range(n):
        if j < chains.many * chains.length:
            first = t + j // chains.length * chains.length
            add_tap(self, t + j, t0, t1, taps[j], first, chains.length)
        else:
            first = t + j
            add_tap(self, t + j, t0, t1, taps[j], first, 1)
        if first == t + j:
            self.step_input[chain[0] if j < chains.many * chains.length else lone[0]] = (
                tap_offset(&self.window, &self.p, t0, t1, taps[j]))
            self.step_packed[chain[0] if j < chains.many * chains.length else lone[0]] = first
            if j < chains.many * chains.length:
                chain[0] += 1
            else:
                lone[0] += 1


cdef int correlate_tables(correlate_t* self) noexcept nogil:
    """The taps of all axes together, phase by phase."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t phases = axis[0].n_phases * axis[1].n_phases * axis[2].n_phases
    cdef idx_t f0, f1, f2, t0, t1, t = 0, f = 0, rows, chain, lone = 0, steps = self.n_taps
    cdef idx_t* taps
    if taps_inside(self, phases):
        steps += self.n_taps // axis[2].n_taps * self.p.in_channels
    if leaves_taps_out(self):
        steps += self.n_taps // axis[2].n_taps * run_steps(self)
    self.tables = <idx_t*> malloc(
        (phases + 2 * steps + 4 * self.n_taps + axis[2].n_taps) * sizeof(idx_t))
    if self.tables == NULL:
        return NO_MEMORY
    self.phase = self.tables
    self.step_input = self.phase + phases
    self.step_packed = self.step_input + steps
    self.tap_weight = self.step_packed + steps
    self.tap_first = self.tap_weight + self.n_taps
    self.tap_chain = self.tap_first + self.n_taps
    self.tap_at = self.tap_chain + self.n_taps
    taps = self.tap_at + self.n_taps
    for f0 in range(axis[0].n_phases):
        for f1 in range(axis[1].n_phases):
            rows = ((axis[0].phase[f0 + 1] - axis[0].phase[f0])
                    * (axis[1].phase[f1 + 1] - axis[1].phase[f1]))
            for f2 in range(axis[2].n_phases):
                find_chains(&axis[2], f2, self.chains[f2].length, taps)
                self.phase[f] = chain = lone
                lone += rows * self.chains[f2].many
                for t0 in range(axis[0].phase[f0], axis[0].phase[f0 + 1]):
                    for t1 in range(axis[1].phase[f1], axis[1].phase[f1 + 1]):
                        add_row_of_taps(self, t, t0, t1, f2, &chain, &lone, taps)
                        t += axis[2].phase[f2 + 1] - axis[2].phase[f2]
                f += 1
    if dense_taps(self):
        for t in range(self.n_taps):
            self.tap_at[self.tap_weight[t] + backwards(self)] = t
    choose_inner(self, phases)
    if leaves_taps_out(self) and not self.inner:
        split_steps(self)
    return OK


cdef inline bint taps_inside(const correlate_t* self, idx_t phases) noexcept nogil:
    """Whether the taps of a row are the inner loop, if they are evenly spaced: the longer one is.

    Where lanes have inputs of their own the tile may roll from tap to tap.  And taps and channels
    may be one loop.
    """
    cdef idx_t n = self.window.axis[2].n_taps
    return ((self.p.in_channels < n or self.lanewise or taps_in_line(self)) and phases == 1
            and not self.planes
            and self.n_taps > 0 and n >= 1 and self.chains[0].length == 1)


cdef inline bint taps_in_line(const correlate_t* self) noexcept nogil:
    """Whether what a row of taps reads lies in one piece, as that of channels-last input does."""
    cdef const conv_t* p = &self.p
    return (not self.rows and not self.lanewise and p.in_channel == 1 and p.dilation[2] == 1
            and p.stretch[2] == 1 and (p.stride[2] == 1 or all_cells_read(p)))


cdef void choose_inner(correlate_t* self, idx_t phases) noexcept nogil:
    cdef idx_t n = self.window.axis[2].n_taps, channels = self.p.in_channels, row, c
    cdef const idx_t* taps = self.step_input
    self.inner = 0
    self.inner_step = self.window.channel_step
    if not taps_inside(self, phases) or not evenly_spaced(self, n):
        return
    if (taps_in_line(self) and n > 1 and self.n_depths == 1 and self.window.channel_step == 1
            and taps[1] - taps[0] == channels):
        self.inner, self.inner_packed, self.chains[0].many = n * channels, 1, 1
        self.step_input = self.step_input + self.n_taps
        for row in range(self.n_taps // n):
            self.step_input[row] = taps[row * n]
            self.step_packed[row] = row * n * channels
        return
    if self.n_depths > 1 or (channels >= n and not self.lanewise):
        return      # of a depth the tile sees some channels only, and not as many of the last
    self.inner, self.inner_packed = n, channels
    self.inner_step = taps[1] - taps[0] if n > 1 else 0
    self.chains[0].many = channels
    self.step_input = self.step_input + self.n_taps
    for row in range(self.n_taps // n):
        for c in range(channels):
            self.step_input[row * channels + c] = taps[row * n] + c * self.window.channel_step
            self.step_packed[row * channels + c] = row * n * channels + c


cdef bint evenly_spaced(const correlate_t* self, idx_t n) noexcept nogil:
    cdef idx_t t
    for t in range(2, n):
        if self.step_input[t] - self.step_input[t - 1] != self.step_input[1] - self.step_input[0]:
            return False
    return True
