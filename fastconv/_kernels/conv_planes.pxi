# Depthwise convolutions of planes: row lanes, and a strip that a task fills anew for each channel.
#
# Of a small plane there is little to compute, so nothing is asked for each channel that is the same
# for all: padding is cleared once, and no row of taps is left out for lying in it.

cdef enum:
    PLANE_BYTES = 24 * 1024     # of a strip, which is to stay in L1
    PLANE_WORK = 64 * 1024      # multiply-adds that are worth a task of their own
    FILL_ROW = 14       # multiply-adds in the time of a row of it, and
    FILL_VECTOR = 6     # of a vector therein


cdef bint one_plane_each(const conv_t* p) noexcept nogil:
    """Whether each channel of the output has one of the input for itself."""
    return p.in_channels == 1 and p.out_channels == 1


cdef idx_t planes_cost(const correlate_t* self, idx_t vectors, idx_t nv) noexcept nogil:
    """Multiply-adds in the time of one row of output, filling the strip included."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t px = even(axis[1].grid, tallest_plane(nv))
    cdef idx_t group = min(<idx_t> TAP_ROWS, max(<idx_t> 1, axis[1].n_taps // axis[1].n_phases))
    cdef idx_t taps = self.n_taps // (axis[0].n_phases * axis[1].n_phases * axis[2].n_phases)
    cdef idx_t loads = ceil_div(nv * (px + group - 1), group)
    # Vectors of the strip straddle cache lines, which matters more where each meets one tap.
    cdef idx_t step = nv * px + (5 * loads // 4 if group > 1 else 2 * loads)
    return (ceil_div(vectors, nv) * (TILE_CALL // 2 + taps * max(step, <idx_t> FEW_SUMS)) // px
            + FILL_ROW + FILL_VECTOR * vectors * self.p.stride[2])


cdef int tap_row_tables(correlate_t* self) noexcept nogil:
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t phases = axis[0].n_phases * axis[1].n_phases, f0, f1, t0, n, size, used = 0
    cdef tap_rows_t* rows
    cdef idx_t* tables
    self.tap_rows = <tap_rows_t*> malloc(
        phases * sizeof(tap_rows_t) + 2 * axis[0].n_taps * axis[1].n_taps * sizeof(idx_t))
    if self.tap_rows == NULL:
        return NO_MEMORY
    tables = <idx_t*> (self.tap_rows + phases)
    for f0 in range(axis[0].n_phases):
        for f1 in range(axis[1].n_phases):
            rows = self.tap_rows + f0 * axis[1].n_phases + f1
            rows.first = tables + 2 * used
            rows.step = rows.first + (axis[0].phase[f0 + 1] - axis[0].phase[f0]) * (
                axis[1].phase[f1 + 1] - axis[1].phase[f1])
            used += rows.step - rows.first
            n = 0
            for size in range(TAP_ROWS, 0, -1):
                rows.many[TAP_ROWS - size] = -n
                for t0 in range(axis[0].phase[f0], axis[0].phase[f0 + 1]):
                    n = add_groups(self, rows, n, size, t0 - axis[0].phase[f0], f1)
                rows.many[TAP_ROWS - size] += n
    return OK


cdef idx_t add_groups(correlate_t* self, tap_rows_t* rows, idx_t n, idx_t size, idx_t plane,
                      idx_t f1) noexcept nogil:
    """Those of so many rows, of one plane of taps, after n others; returns how many that makes."""
    cdef const axis_t* axis = &self.window.axis[1]
    cdef idx_t start = axis.phase[f1], taps = axis.phase[f1 + 1] - start, t, at, i, length, below
    for t in range(start, start + taps):
        if neighbour(axis, f1, axis.base[t] - axis.step) >= 0:
            continue
        length, at = 0, t
        while at >= 0:
            length, at = length + 1, neighbour(axis, f1, axis.base[at] + axis.step)
        i, at = 0, t
        while i < length:
            below = neighbour(axis, f1, axis.base[at] + axis.step)
            if (size == TAP_ROWS and i % TAP_ROWS == 0 and i + TAP_ROWS <= length) or (
                    size < TAP_ROWS and i == length // TAP_ROWS * TAP_ROWS
                    and length % TAP_ROWS == size):
                rows.first[n] = plane * taps + at - start
                rows.step[n] = below - at if below >= 0 else 0
                n += 1
            i, at = i + 1, below
    return n


cdef void cut_planes(correlate_t* self, idx_t num_threads) noexcept nogil:
    """Halves the block of a task until it fits L1, and shares out the channels."""
    cdef conv_t* p = &self.p
    cdef window_t* window = &self.window
    cdef idx_t block[AXES]
    cdef idx_t tasks, most = 4 * num_threads if num_threads > 1 else 1
    cdef idx_t work = p.batch * p.out_channels * self.n_taps
    cdef int axis
    for axis in range(AXES):
        block[axis] = window.axis[axis].grid
        work *= block[axis]
    while True:
        tasks = p.batch * lay_blocks(self, block)
        window_layout(window, p, 1, False)
        if window.elements * <idx_t> sizeof(real) <= PLANE_BYTES:
            break
        axis = longest_side(block, 4 * self.nv * LANES)
        if axis < 0:
            break
        block[axis] = ceil_div(block[axis], 2)
    most = max(<idx_t> 1, min(most, work // PLANE_WORK) // tasks)
    self.chunk = ceil_div(self.n_blocks, most)
    self.n_chunks = ceil_div(self.n_blocks, self.chunk)
    self.depth, self.n_depths = 1, 1


cdef void refill_rows(const span_t* spans, idx_t n_spans, const real* x, idx_t rows, idx_t in_row,
                      idx_t step, const real* end, real* strip, idx_t row) noexcept nogil:
    """The cells of so many rows that lie inside the input, and none beside them."""
    cdef idx_t run, i, j, count
    cdef const real* source
    cdef real* target
    for run in range(n_spans):
        count = spans[run].high - spans[run].low
        for i in range(rows):
            source = x + i * in_row + spans[run].source + spans[run].low * step
            target = strip + i * row + spans[run].cell + spans[run].low
            j = 0
            if step == 1:
                copy(target, source, count)
            elif step == 2 and count >= LANES and source + 2 * count <= end:
                while j < count:
                    j = min(j, count - LANES)
                    (<vec*> (target + j))[0] = every(2, source + 2 * j)
                    j += LANES
            else:
                for j in range(count):
                    target[j] = source[j * step]


cdef void refill_plane(const correlate_t* self, const task_t* task, const real* x,
                       real* strip) noexcept nogil:
    """Another channel of the block that the strip was filled for."""
    cdef const conv_t* p = &self.p
    cdef const window_t* window = &self.window
    cdef const axis_t* axis = &window.axis[0]
    cdef const span_t* spans = <const span_t*> (strip + window.elements - span_elements(&axis[2]))
    cdef const real* end = input_end(p, 1, x)
    cdef idx_t run0, run1, cell0, i0, i1, low, high
    cdef idx_t in_row = axis[1].step * p.in_step[1]
    for run0 in range(axis[0].n_runs):
        for cell0 in range(axis[0].run_cell[run0], axis[0].run_cell[run0 + 1]):
            i0 = input_cell(&axis[0], task.m[0], run0, cell0)
            if not 0 <= i0 < p.in_size[0]:
                continue
            for run1 in range(axis[1].n_runs):
                i1 = axis[1].run_input[run1] + task.m[1] * axis[1].step
                low = ceil_div(-i1, axis[1].step) if i1 < 0 else 0
                high = min(axis[1].run_cell[run1 + 1] - axis[1].run_cell[run1],
                           ceil_div(max(<idx_t> 0, p.in_size[1] - i1), axis[1].step))
                if run0 == 0 and run1 == 0 and p.in_step[2] == 1:
                    # Tiles wait for what is copied, so the next channel had better be here by then.
                    prefetch_lines(x + p.in_channel + i0 * p.in_step[0] + i1 * p.in_step[1]
                                   + low * in_row, (high - low) * in_row)
                refill_rows(spans, axis[2].n_runs,
                            x + i0 * p.in_step[0] + i1 * p.in_step[1] + low * in_row,
                            high - low, in_row, axis[2].step * p.in_step[2], end,
                            strip + cell0 * window.plane_step
                            + (axis[1].run_cell[run1] + low) * window.row_step, window.row_step)


cdef idx_t fold_row(const correlate_t* self, columns_t* s, const real* row, real* o) noexcept nogil:
    """Pieces of a lone row in place of rows; returns how many columns that makes."""
    cdef idx_t piece = self.nv * LANES, pieces = s.count // piece, below = s.row, i = 0, n
    cdef idx_t px = even(max(<idx_t> 1, pieces), tallest_plane(self.nv))
    s.row = s.o_row = piece
    while i < pieces:
        n = min(px, pieces - i)
        run_planes(n, self.nv, s, row + i * piece, o + i * piece)
        i += n
    s.row = below
    return pieces * piece


cdef void plane_columns(const correlate_t* self, const task_t* task, columns_t* s, idx_t rows,
                        const real* row, idx_t spare, real* o) noexcept nogil:
    """Some rows, in vectors of columns.

    Vectors that are alone in their row may run over `spare` cells past the last row: they are
    written again later.  Of several the last ends with the row, over the one before it if need be.
    """
    cdef const conv_t* p = &self.p
    cdef idx_t o_column = p.out_step[2] * p.stretch[2], o_row = p.out_step[1] * p.stretch[1]
    cdef idx_t v = 0, nv, at, over
    cdef bint direct
    if rows == 1 and o_column == 1 and s.rows.many[0] + s.rows.many[1] == 0:
        v = fold_row(self, s, row, o)
    while v < s.count:
        nv = min(self.nv, ceil_div(s.count - v, LANES))
        over = v + nv * LANES - s.count
        at = v - over if v > 0 and over > 0 else v
        direct = o_column == 1 and (v > 0 or over <= spare)
        s.o_row = o_row if direct else nv * LANES
        run_planes(rows, nv, s, row + at, o + at if direct else task.pixels)
        if not direct:
            store(task.pixels, nv * LANES, rows, min(nv * LANES, s.count - at), o + at * o_column,
                  o_row, o_column)
        v += nv * LANES


cdef void weave_columns(const correlate_t* self, const task_t* task, columns_t* s, idx_t rows,
                        const real* row, real* o) noexcept nogil:
    """Some rows of two phases, whose columns take turns in the output."""
    cdef idx_t count = s[0].count + s[1].count, o_row = self.p.out_step[1] * self.p.stretch[1]
    cdef idx_t v = 0, nv, i, j, at
    cdef real pair[2 * LANES]
    cdef const real* first
    cdef const real* second
    while v < s[0].count:
        nv = min(self.nv, ceil_div(s[0].count - v, LANES))
        first, second = task.pixels, task.pixels + rows * nv * LANES
        s[0].o_row = s[1].o_row = nv * LANES
        run_planes(rows, nv, s, row + v, <real*> first)
        run_planes(rows, nv, s + 1, row + v, <real*> second)
        for i in range(rows):
            for j in range(nv):
                at = 2 * (v + j * LANES)
                (<vec*> pair)[0] = interleave_low((<const vec*> first)[0], (<const vec*> second)[0])
                (<vec*> pair)[1] = interleave_high((<const vec*> first)[0],
                                                   (<const vec*> second)[0])
                copy(o + i * o_row + at, pair, min(<idx_t> (2 * LANES), count - at))
                first, second = first + LANES, second + LANES
        v += nv * LANES


cdef void plane_rows(const correlate_t* self, const task_t* task, columns_t* s, bint woven,
                     idx_t rows, const real* plane, idx_t spare, real* o) noexcept nogil:
    """The rows of a plane that belong to a phase; behind them are `spare` cells still to write."""
    cdef const conv_t* p = &self.p
    cdef idx_t o_row = p.out_step[1] * p.stretch[1], i = 0, n
    # Of a phase a block may have no row.
    cdef idx_t px = even(max(<idx_t> 1, rows), tallest_plane(self.nv))
    cdef bint touching = p.out_step[2] == 1 and p.stretch[1] == 1 and o_row == task.columns
    while i < rows:
        n = min(px, rows - i)
        if woven:
            weave_columns(self, task, s, n, plane + i * s.row, o + i * o_row)
        else:
            plane_columns(self, task, s, n, plane + i * s.row,
                          (rows - n - i) * o_row + spare if touching else 0, o + i * o_row)
        i += n


cdef void plane_block(const correlate_t* self, const task_t* task, bint last,
                      real* y) noexcept nogil:
    """One channel of a task, whose strip is filled; unless it is the last, others follow."""
    cdef const conv_t* p = &self.p
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t f0, f1, f2, i0, phase = 0, spare = 0
    cdef bint whole = axis[1].block == p.out_size[1] and p.out_size[0] == 1
    cdef bint woven = axis[2].n_phases == 2 and p.out_step[2] == 1
    cdef columns_t s[2]
    cdef columns_t* at
    if not last and whole and p.out_channel == p.out_size[1] * p.out_step[1]:
        spare = p.out_channel
    for f0 in range(axis[0].n_phases):
        for f1 in range(axis[1].n_phases):
            for f2 in range(axis[2].n_phases):
                at = s + (f2 if woven else 0)
                at.rows = self.tap_rows + f0 * axis[1].n_phases + f1
                at.bias, at.slope, at.row = task.bias[0], task.slope, self.window.row_step
                at.taps = axis[2].phase[f2 + 1] - axis[2].phase[f2]
                at.offset = self.step_input + self.phase[phase]
                at.weights = task.weights + self.phase[phase]
                at.count = positions(self, task, 2, f2)
                phase += 1
                for i0 in range(positions(self, task, 0, f0) if not woven or f2 == 1 else 0):
                    plane_rows(self, task, s, woven, positions(self, task, 1, f1),
                               task.origin + i0 * self.window.plane_step, spare,
                               y + (f0 + (i0 + task.m[0]) * p.stretch[0]) * p.out_step[0]
                               + (f1 + task.m[1] * p.stretch[1]) * p.out_step[1]
                               + ((0 if woven else f2) + task.m[2] * p.stretch[2])
                               * p.out_step[2])
