# Windows: which input cells the taps of a block of output positions read, axis by axis.
#
# Position m of phase f lies at output  f + stretch * m  and reads, through tap r, input
#     stretch 1:   stride * m + (dilation * r - pad)
#     stride 1:    m + (f + dilation * r - pad) / stretch       where the division is exact
# that is  step * (m + quotient) + residue  with 0 <= residue < step.  Taps of equal residue whose
# quotients lie close form a run: cells first .. last + block - 1, copied once, read by all of them.
#
#     kernel 3, stride 2, block 4:    run 0 (taps 0, 2)   0 2 4 6 8     run 1 (tap 1)   1 3 5 7
#
# Where a tile may step over cells, and taps leave none out, the strip holds them as the input does.

cdef enum:
    MOST_APART = 8      # positions from tap to tap of a chain


cdef struct axis_t:
    idx_t block                 # positions of a task along this axis
    idx_t grid                  # positions of the longest phase
    idx_t n_phases
    idx_t n_taps                # those that any phase uses
    idx_t step                  # input cells from position to position
    bint whole                  # all cells in their order; else runs of those `step` apart
    idx_t every                 # input cells from cell to cell of the strip
    idx_t apart                 # positions between taps that form chains
    idx_t n_runs
    idx_t cells                 # of the strip
    idx_t lowest, highest       # input cells that the whole grid reads, padding included
    idx_t* phase                # [n_phases + 1] first tap of each phase
    idx_t* tap                  # [n_taps] index into the kernel, by phase, then by cell
    idx_t* base                 # [n_taps] input cell that position 0 reads
    idx_t* cell                 # [n_taps] strip cell that position 0 of the block reads
    idx_t* order                # [n_taps] taps sorted by residue and quotient
    idx_t* run_cell             # [n_runs + 1] first strip cell
    idx_t* run_input            # [n_runs] input cell of it, for a block at position 0
    idx_t* tables               # the one allocation behind these


cdef inline idx_t residue(idx_t base, idx_t step) noexcept nogil:
    cdef idx_t rest = base % step
    return rest + step if rest < 0 else rest


cdef inline bint before(idx_t a, idx_t b, idx_t step) noexcept nogil:
    """Whether input cell a comes before b in the order of the strip."""
    cdef idx_t ra = residue(a, step), rb = residue(b, step)
    return ra < rb or (ra == rb and a < b)


cdef idx_t positions_apart(const conv_t* p, int axis) noexcept nogil:
    """From a tap to the next, where dilation is a few positions; else 1."""
    cdef idx_t apart = p.dilation[axis] // p.stride[axis]
    if p.stretch[axis] > 1 or p.dilation[axis] % p.stride[axis]:
        return 1
    # Blocks of positions are to hold several of these distances, however many threads cut them.
    return apart if apart <= MOST_APART and ceil_div(
        p.out_size[axis], 4 * apart) > 1 else 1


cdef int axis_init(axis_t* self, const conv_t* p, int axis) noexcept nogil:
    """Phases and taps; the block is not chosen yet."""
    cdef idx_t kernel = p.kernel[axis], stretch = p.stretch[axis]
    cdef idx_t f, r, t
    self.n_phases = min(stretch, p.out_size[axis])
    self.grid = ceil_div(p.out_size[axis], stretch)
    self.step = p.stride[axis]
    self.apart = positions_apart(p, axis)
    self.tables = <idx_t*> malloc((self.n_phases + 1 + 6 * kernel + 1) * sizeof(idx_t))
    if self.tables == NULL:
        return NO_MEMORY
    self.phase = self.tables
    self.tap = self.phase + self.n_phases + 1
    self.base = self.tap + kernel
    self.cell = self.base + kernel
    self.order = self.cell + kernel
    self.run_cell = self.order + kernel
    self.run_input = self.run_cell + kernel + 1

    # Tap r meets phase f = (pad - dilation * r) mod stretch; count, then place.
    for f in range(self.n_phases + 1):
        self.phase[f] = 0
    for r in range(kernel):
        f = residue(p.pad[axis] - p.dilation[axis] * r, stretch)
        if f < self.n_phases:
            self.phase[f + 1] += 1
    for f in range(self.n_phases):
        self.phase[f + 1] += self.phase[f]
    self.n_taps = self.phase[self.n_phases]
    for r in range(kernel - 1, -1, -1):
        f = residue(p.pad[axis] - p.dilation[axis] * r, stretch)
        if f < self.n_phases:
            # From the last tap to the first, so each phase fills from its end.
            self.phase[f + 1] -= 1
            t = self.phase[f + 1]
            self.tap[t] = r
            self.base[t] = (f + p.dilation[axis] * r - p.pad[axis]) // stretch
    # phase[f + 1] has come down to the first tap of f.
    for f in range(self.n_phases):
        self.phase[f] = self.phase[f + 1]
    self.phase[self.n_phases] = self.n_taps
    return OK


cdef void axis_finish(axis_t* self, idx_t block) noexcept nogil:
    """Runs and strip cells for a block of positions."""
    cdef idx_t i, t, head, last = 0, quotient, rest
    self.block = block
    self.every = 1 if self.whole else self.step
    # A stable insertion sort: tap tables are short and nearly sorted.
    for i in range(self.n_taps):
        head = i
        while head > 0 and before(self.base[i], self.base[self.order[head - 1]], self.step):
            self.order[head] = self.order[head - 1]
            head -= 1
        self.order[head] = i
    self.n_runs = 0
    self.cells = 0
    self.lowest = self.highest = 0
    for i in range(self.n_taps):
        t = self.order[i]
        if i == 0 or self.base[t] < self.lowest:
            self.lowest = self.base[t]
        if i == 0 or self.base[t] > self.highest:
            self.highest = self.base[t]
        rest = residue(self.base[t], self.step)
        quotient = (self.base[t] - rest) // self.step
        if i == 0 or rest != residue(self.base[self.order[i - 1]], self.step) \
                or quotient - last > block:
            self.run_cell[self.n_runs] = self.cells
            self.run_input[self.n_runs] = self.base[t]
            self.n_runs += 1
            self.cell[t] = self.cells
            self.cells += block
        else:
            self.cell[t] = self.cell[self.order[i - 1]] + quotient - last
            self.cells += quotient - last
        last = quotient
    if self.whole:
        self.n_runs, self.run_input[0] = 1, self.lowest
        self.cells = (block - 1) * self.step + self.highest - self.lowest + 1
        for t in range(self.n_taps):
            self.cell[t] = self.base[t] - self.lowest
    self.run_cell[self.n_runs] = self.cells
    self.highest += (self.grid - 1) * self.step


cdef inline bint all_cells_read(const conv_t* p) noexcept nogil:
    """Whether a row of windows of several cells leaves none out."""
    return p.stride[2] > 1 and p.dilation[2] == 1 and p.kernel[2] >= p.stride[2]


cdef inline idx_t phase_count(const conv_t* p, int axis, idx_t phase) noexcept nogil:
    """Output positions of a phase."""
    return ceil_div(p.out_size[axis] - phase, p.stretch[axis])


cdef void inside(const axis_t* axis, idx_t size, idx_t phase, idx_t position,
                 idx_t* first, idx_t* last) noexcept nogil:
    """The taps of a phase that read cells inside the input, and no padding, at this position."""
    cdef idx_t cell = position * axis.step
    first[0], last[0] = axis.phase[phase], axis.phase[phase + 1]
    while first[0] < last[0] and axis.base[first[0]] + cell < 0:
        first[0] += 1
    while first[0] < last[0] and axis.base[last[0] - 1] + cell >= size:
        last[0] -= 1


cdef idx_t next_change(const axis_t* axis, idx_t size, idx_t phase, idx_t position,
                       idx_t end) noexcept nogil:
    """The first position after this one of which other taps lie in padding, or the end."""
    cdef idx_t t, at, edge, found = end
    for t in range(axis.phase[phase], axis.phase[phase + 1]):
        for edge in range(2):
            at = ceil_div(edge * size - axis.base[t], axis.step)
            if position < at < found:
                found = at
    return found


cdef struct spread_t:
    # How inputs reach their lanes.
    idx_t in_channels, out_channels     # of a group
    idx_t cells             # of a pixel, all groups together
    idx_t width             # lanes of a strip, or 0 where channels are not spread
    idx_t* first            # [vectors of lanes] the two vectors of a pixel to pick from
    idx_t* second
    lane_index* which       # [vectors of lanes][in_channels][LANES], NULL where all is in place


cdef struct window_t:
    # The strip of one task, and how it is read.
    axis_t axis[AXES]
    spread_t spread         # where each lane has inputs of its own
    idx_t channels          # that a strip has room for
    bint direct             # the input itself is the strip
    bint pixels             # channels innermost in the strip, else planes
    idx_t pixel_step        # from cell to cell of a row
    idx_t cell_step         # from position to position
    idx_t channel_step
    bint across             # tiles walk from pixel to pixel, not along the channels of one
    idx_t row_step, plane_step
    idx_t elements          # of a strip, slack for vector loads past its end included


cdef enum:
    FEW_SETS = 256  # bytes: cells a multiple of it apart fall into a quarter of the sets of L1


cdef int longest_side(const idx_t* block, idx_t least) noexcept nogil:
    """The axis to halve next, -1 if none: round windows overlap least, but rows may be long."""
    cdef int axis = 0 if block[0] > block[1] else 1
    if block[2] > least and (block[axis] == 1 or block[2] > 4 * least * block[axis]):
        return 2
    return axis if block[axis] > 1 else 2 if block[2] > least else -1


cdef inline idx_t span_elements(const axis_t* axis) noexcept nogil:
    return round_up(axis.n_runs * <idx_t> sizeof(span_t) // <idx_t> sizeof(real), ALIGN)


cdef void window_layout(window_t* self, const conv_t* p, idx_t channels,
                        bint pixels) noexcept nogil:
    """Steps of the strip: [cells0][cells1][cells2][C] or [C][cells0][cells1][cells2].

    Where channels are spread, [cells0][cells1][cells2][C][lanes].
    """
    cdef idx_t plane, lanes = max(<idx_t> 1, self.spread.width)
    self.pixels = pixels
    self.channels = channels
    self.pixel_step = channels * lanes if pixels else 1
    if pixels and not self.spread.width:
        # Neighbours are to fall into different sets of L1.
        if p.in_channel != 1:
            # Whole vectors, and an odd number of them.
            self.pixel_step = LANES * (ceil_div(channels, LANES) | 1)
        elif self.across and channels * <idx_t> sizeof(real) % FEW_SETS == 0:
            self.pixel_step += ALIGN // <idx_t> sizeof(real)
    self.cell_step = self.pixel_step * (self.axis[2].step // self.axis[2].every)
    self.row_step = self.axis[2].cells * self.pixel_step
    self.plane_step = self.axis[1].cells * self.row_step
    plane = self.axis[0].cells * self.plane_step
    if pixels:
        self.channel_step = lanes
        self.elements = plane
    else:
        # Channels a multiple of 4 KiB apart would all fall into one set of the L1 cache.
        plane = round_up(plane, 16)
        if plane % 256 == 0:
            plane += 16
        self.channel_step = plane
        self.elements = plane * channels
    # Slack: row lanes load vectors past the end; the spans of a row lie behind that.
    self.elements = round_up(self.elements + MAX_NV * LANES + span_elements(&self.axis[2]), ALIGN)


cdef enum:
    PAGE = 4096     # bytes


cdef inline bint axis_unpadded(const axis_t* axis, idx_t size) noexcept nogil:
    return axis.lowest >= 0 and axis.highest < size


cdef bint unpadded(const window_t* self, const conv_t* p) noexcept nogil:
    cdef int axis
    for axis in range(AXES):
        if not axis_unpadded(&self.axis[axis], p.in_size[axis]):
            return False
    return True


cdef bint rows_alone_padded(const window_t* self, const conv_t* p) noexcept nogil:
    """Whether all padding lies in whole rows of taps, which `find_rows` leaves out."""
    return axis_unpadded(&self.axis[2], p.in_size[2]) and (
        p.kernel[0] == 1 or axis_unpadded(&self.axis[1], p.in_size[1]))


cdef bint reads_in_place(const window_t* self, const conv_t* p) noexcept nogil:
    """Whether the input can serve as the strip: no padding is read, neighbours close in memory."""
    if self.spread.width:
        return lanes_in_place(self, p)
    return rows_alone_padded(self, p) and (
        p.in_channel == 1
        or (self.axis[2].step * p.in_step[2] == 1
            and 0 < p.in_channel * <idx_t> sizeof(real) < PAGE))


cdef void window_direct(window_t* self, const conv_t* p) noexcept nogil:
    """Reads the input in place."""
    self.cell_step = self.axis[2].step * p.in_step[2]
    self.row_step = self.axis[1].step * p.in_step[1]
    self.plane_step = self.axis[0].step * p.in_step[0]
    self.channel_step = p.in_channel
    self.elements = 0


cdef inline idx_t tap_offset(const window_t* self, const conv_t* p, idx_t t0, idx_t t1,
                             idx_t t2) noexcept nogil:
    """Where position 0 of a block reads through a tap, from the block's start in the strip."""
    if self.direct:
        return (self.axis[0].base[t0] * p.in_step[0] + self.axis[1].base[t1] * p.in_step[1]
                + self.axis[2].base[t2] * p.in_step[2])
    return (self.axis[0].cell[t0] * self.plane_step + self.axis[1].cell[t1] * self.row_step
            + self.axis[2].cell[t2] * self.pixel_step)


cdef void find_spans(const axis_t* axis, idx_t size, idx_t in_step, idx_t start,
                     span_t* spans) noexcept nogil:
    """The runs of the last axis for a block that starts at this position."""
    cdef idx_t run, first
    cdef span_t* span
    for run in range(axis.n_runs):
        span = spans + run
        first = axis.run_input[run] + start * axis.step
        span.cell = axis.run_cell[run]
        span.cells = axis.run_cell[run + 1] - span.cell
        span.source = first * in_step
        span.low = min(span.cells, ceil_div(-first, axis.every) if first < 0 else 0)
        span.high = 0 if size <= first else min(span.cells, ceil_div(size - first, axis.every))
        span.high = max(span.low, span.high)


cdef const real* input_end(const conv_t* p, idx_t channels, const real* x) noexcept nogil:
    """Past the last cell of so many channels of an image, or x where memory runs backwards."""
    cdef int axis
    cdef const real* end = x + (channels - 1) * p.in_channel + 1
    if p.in_channel < 0:
        return x
    for axis in range(AXES):
        if p.in_step[axis] < 0:
            return x
        end = end + (p.in_size[axis] - 1) * p.in_step[axis]
    return end


cdef inline idx_t input_cell(const axis_t* axis, idx_t start, idx_t run, idx_t cell) noexcept nogil:
    return axis.run_input[run] + (start + cell - axis.run_cell[run]) * axis.step


cdef void window_fill(const window_t* self, const conv_t* p, const real* x, idx_t first,
                      idx_t channels, const idx_t* start, real* strip) noexcept nogil:
    """Copies what the block at position `start` reads of the channels from `first` on.

    x is at its image and group.  Where channels are spread, lanes count in place of channels.
    """
    cdef const axis_t* axis = &self.axis[0]
    cdef idx_t c, run0, run1, cell0, cell1, i0, i1, step = axis[2].every * p.in_step[2]
    cdef bint split = not self.pixels and p.in_channel == 1 and channels > 1
    cdef idx_t layers = 1 if self.pixels or split else channels, plane
    cdef span_t* spans = <span_t*> (strip + self.elements - span_elements(&axis[2]))
    cdef const real* end = input_end(p, self.spread.cells or p.in_channels, x)
    cdef const real* row
    cdef real* target
    if not self.spread.width:
        x = x + first * p.in_channel
    find_spans(&axis[2], p.in_size[2], p.in_step[2], start[2], spans)
    for c in range(layers):
        for run0 in range(axis[0].n_runs):
            for cell0 in range(axis[0].run_cell[run0], axis[0].run_cell[run0 + 1]):
                i0 = input_cell(&axis[0], start[0], run0, cell0)
                for run1 in range(axis[1].n_runs):
                    for cell1 in range(axis[1].run_cell[run1], axis[1].run_cell[run1 + 1]):
                        i1 = input_cell(&axis[1], start[1], run1, cell1)
                        target = (strip + c * self.channel_step + cell0 * self.plane_step
                                  + cell1 * self.row_step)
                        row = x + c * p.in_channel + i0 * p.in_step[0] + i1 * p.in_step[1]
                        if not (0 <= i0 < p.in_size[0] and 0 <= i1 < p.in_size[1]):
                            for plane in range(channels if split else 1):
                                clear(target + plane * self.channel_step, self.row_step)
                        elif split:
                            split_pixel_row(spans, axis[2].n_runs, row, step, channels, end,
                                            target, self.channel_step)
                        elif self.spread.width and p.in_channel != 1:
                            turn_pixel_row(spans, axis[2].n_runs, row + first * p.in_channel,
                                           p.in_channel, step, channels, end, target,
                                           self.pixel_step)
                        elif self.spread.width:
                            spread_pixel_row(&self.spread, spans, axis[2].n_runs, row, step, first,
                                             channels, target)
                        elif self.pixels and p.in_channel != 1:
                            turn_pixel_row(spans, axis[2].n_runs, row, p.in_channel, step, channels,
                                           end, target, self.pixel_step)
                        elif self.pixels:
                            fill_pixel_row(spans, axis[2].n_runs, row, step, channels, target,
                                           self.pixel_step)
                        else:
                            fill_plane_row(spans, axis[2].n_runs, row, step, 2 * p.in_channel, end,
                                           target)


cdef void window_free(window_t* self) noexcept nogil:
    cdef int axis
    for axis in range(AXES):
        free(self.axis[axis].tables)
    free(self.spread.first)
