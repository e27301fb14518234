# Row lanes: rows of the tile are channels of the output, its lanes columns.
#
# A single channel, or a few, meet several rows of the output at once: one row has too few sums to
# hide the latency of a multiply-add.

cdef inline stream_t row_stream(const correlate_t* self, const task_t* task,
                                idx_t width) noexcept nogil:
    cdef stream_t s
    s.n_inner = self.inner or task.channels
    s.a_row = 1
    s.a_step = task.channels * width if self.inner else width
    s.a_unit = width if self.inner else task.channels * width
    s.b_step = self.inner_step
    s.b_unit = 1
    s.slope = task.slope
    return s


cdef inline idx_t find_columns(const correlate_t* self, const task_t* task, idx_t phase, idx_t f2,
                               stream_t* s) noexcept nogil:
    """The taps of a column phase; returns its columns."""
    cdef idx_t step
    s.n_outer = find_steps(self, task, phase, f2, &step)
    s.a_off = self.step_packed + step
    s.b_off = self.step_input + step
    return positions(self, task, 2, f2)


cdef void row_lanes_row(const correlate_t* self, const task_t* task, idx_t phase, idx_t width,
                        bint slide, const real* row, idx_t spare, real* o) noexcept nogil:
    """One row of a block of channels, its column phases in turn, in vectors of columns.

    Or SLIDE_ROWS rows of a single channel.  The last vector may run over `spare`
    cells past the row: they are written again later.
    """
    cdef const conv_t* p = &self.p
    cdef idx_t o_column = p.out_step[2] * p.stretch[2], f2, v, nv, count, over
    cdef idx_t o_row = p.out_step[1] * p.stretch[1] if slide else p.out_channel
    cdef stream_t s = row_stream(self, task, width)
    cdef bint direct
    if slide:
        s.a_row = self.window.row_step
    for f2 in range(self.window.axis[2].n_phases):
        count = find_columns(self, task, phase, f2, &s)
        v = 0
        while v < count:
            nv = min(self.nv, ceil_div(count - v, LANES))
            over = nv * LANES - (count - v)
            # Rows below are written already when a later tile of sliding rows runs over.
            if over > (0 if slide and v > 0 else spare):
                nv = max(<idx_t> 1, (count - v) // LANES)
                over = nv * LANES - (count - v)
                direct = o_column == 1 and count >= LANES
                if direct and over > 0:
                    v -= over               # over the vector before it
            else:
                direct = o_column == 1
            s.o_row = o_row if direct else nv * LANES
            if slide:
                run_slide(<int> nv, &s, task.weights, row + v, ROW_BIAS, task.bias,
                          o + v if direct else task.pixels)
            else:
                run_tile(<int> width, <int> nv, &s, task.weights, row + v, ROW_BIAS, task.bias,
                         o + v if direct else task.pixels)
            if not direct:
                store(task.pixels, nv * LANES, SLIDE_ROWS if slide else width,
                      min(nv * LANES, count - v), o + f2 * p.out_step[2] + v * o_column, o_row,
                      o_column)
            v += nv * LANES


cdef void row_lanes_stack(const correlate_t* self, const task_t* task, idx_t phase, idx_t width,
                          idx_t rows, const real* row, real* o) noexcept nogil:
    """Some rows of a block of channels, a vector of columns of each at a time."""
    cdef const conv_t* p = &self.p
    cdef idx_t o_column = p.out_step[2] * p.stretch[2], f2, v, count, i
    cdef stream_t s = row_stream(self, task, width)
    s.a_row = self.window.row_step
    s.o_row = rows * LANES
    for f2 in range(self.window.axis[2].n_phases):
        count = find_columns(self, task, phase, f2, &s)
        v = 0
        while v < count:
            run_stack(<int> width, <int> rows, &s, task.weights, row + v, ROW_BIAS, task.bias,
                      task.pixels)
            for i in range(rows):
                store(task.pixels + i * LANES, s.o_row, width, min(<idx_t> LANES, count - v),
                      o + i * p.out_step[1] * p.stretch[1] + f2 * p.out_step[2] + v * o_column,
                      p.out_channel, o_column)
            v += LANES


cdef idx_t rows_alike(const correlate_t* self, task_t* task, idx_t f0, idx_t f1, idx_t i0,
                      idx_t i1, idx_t most) noexcept nogil:
    """Finds the taps of row i1, and how many rows from there on see the same, up to `most`.

    Rows at the edge see fewer: they go by themselves, whatever the block is.
    """
    cdef idx_t n = most, first, last
    find_rows(self, task, f0, f1, i0, i1)
    first, last = task.first, task.last
    while n > 1:
        find_rows(self, task, f0, f1, i0, i1 + n - 1)
        if task.first == first and task.last == last:
            break
        n -= 1
    task.first, task.last = first, last
    return n


cdef void row_lanes_plane(const correlate_t* self, task_t* task, idx_t f0, idx_t f1, idx_t i0,
                          idx_t width, const real* plane, real* o) noexcept nogil:
    """The rows of one plane that belong to phase f1, for one block of channels."""
    cdef const conv_t* p = &self.p
    cdef idx_t rows = positions(self, task, 1, f1), i1 = 0, n
    cdef idx_t phase = (f0 * self.window.axis[1].n_phases + f1) * self.window.axis[2].n_phases
    cdef idx_t o_row = p.out_step[1] * p.stretch[1]
    cdef idx_t most = SLIDE_ROWS if width == 1 else self.stack
    cdef bint together = p.out_step[2] == 1 and p.stretch[1] == 1 and o_row == task.columns
    cdef bint slide
    while i1 < rows:
        if self.ahead != NULL:
            fetch_some(self.ahead)
        n = rows_alike(self, task, f0, f1, i0, i1, min(most, rows - i1))
        if width > 1 and n > 1:
            row_lanes_stack(self, task, phase, width, n, plane + i1 * self.window.row_step,
                            o + i1 * o_row)
        else:
            slide = n == SLIDE_ROWS
            n = SLIDE_ROWS if slide else 1
            row_lanes_row(self, task, phase, width, slide, plane + i1 * self.window.row_step,
                          (rows - n - i1) * o_row if together else 0, o + i1 * o_row)
        i1 += n
