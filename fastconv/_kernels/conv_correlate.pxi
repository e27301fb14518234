# correlate: forward, and grad_input as a correlation of the stretched grad_output.
#
#     out[n, k, f + stretch m] = bias[k] + sum over c and the taps of phase f of
#                                          w[k, c, tap] * in[n, c, m + tap]
#
# Channel lanes put output channels side by side in a vector, row lanes output columns.  The first
# suits many channels, the second few channels or short sums into plain NCHW output, where each
# output vector is then stored as it stands.

cdef struct task_t:
    # Where one task stands: its block of positions, and its memory.
    idx_t m[AXES]           # first position of the block
    idx_t columns           # output columns of the block, all phases together
    const real* origin      # the block's start in the strip, or in the input
    const real* packed      # weights of the group, or of the present block alone
    real* y                 # image and group of the output
    real* pixels            # a few rows of output as [pixel][channel], before they are turned
    idx_t capacity          # pixels that fit there


cdef inline idx_t positions(const correlate_t* self, const task_t* task, int axis,
                            idx_t phase) noexcept nogil:
    """Positions of a phase inside the block of a task, zero when the block lies past its end."""
    return max(<idx_t> 0, min(self.window.axis[axis].block,
                              phase_count(&self.p, axis, phase) - task.m[axis]))


cdef inline const idx_t* packed_offsets(const correlate_t* self, idx_t width,
                                        idx_t phase) noexcept nogil:
    return (self.tap_packed if width == self.width else self.tap_last) + self.phase[phase]


cdef void channel_lanes_row(const correlate_t* self, const task_t* task, idx_t phase,
                            idx_t block, idx_t width, const real* row, real* o,
                            idx_t column) noexcept nogil:
    """One row of a block of channels, its column phases in turn; pixels of o are `column` apart."""
    cdef const window_t* window = &self.window
    cdef const real* weights = task.packed + block * self.block_elements * self.shared
    cdef idx_t stretch = self.p.stretch[2], nv = width // LANES, f2, i, q, count, px
    cdef stream_t s
    s.n_inner = self.inner
    s.a_row = window.cell_step
    s.a_step = self.inner_step
    s.b_step = width
    s.o_row = column * stretch
    for f2 in range(window.axis[2].n_phases):
        count = positions(self, task, 2, f2)
        if count == 0:
            continue
        s.n_outer = self.phase[phase + f2 + 1] - self.phase[phase + f2]
        s.a_off = self.tap_input + self.phase[phase + f2]
        s.b_off = packed_offsets(self, width, phase + f2)
        px = even(count, tallest(nv))
        for i in range(ceil_div(count, px)):
            q = i * px
            run_tile(<int> min(px, count - q), <int> nv, &s, row + q * s.a_row,
                     weights + self.width, LANE_BIAS, weights,
                     o + (f2 + q * stretch) * column)


cdef void row_lanes_row(const correlate_t* self, const task_t* task, idx_t phase, idx_t block,
                        idx_t width, const real* row, real* o) noexcept nogil:
    """One row of a block of channels, its column phases in turn, in vectors of columns."""
    cdef const conv_t* p = &self.p
    cdef const real* weights = task.packed + block * self.block_elements * self.shared
    cdef idx_t o_column = p.out_step[2] * p.stretch[2], f2, v, nv, count
    cdef stream_t s
    s.n_inner = self.inner
    s.a_row = 1
    s.a_step = width
    s.b_step = self.inner_step
    for f2 in range(self.window.axis[2].n_phases):
        count = positions(self, task, 2, f2)
        s.n_outer = self.phase[phase + f2 + 1] - self.phase[phase + f2]
        s.a_off = packed_offsets(self, width, phase + f2)
        s.b_off = self.tap_input + self.phase[phase + f2]
        v = 0
        while v < count:
            # Whole vectors first; the last one ends with the row, over the one before it.
            nv = max(<idx_t> 1, min(self.nv, (count - v) // LANES))
            if o_column == 1 and count >= LANES:
                v = min(v, count - nv * LANES)
                s.o_row = p.out_channel
                run_tile(<int> width, <int> nv, &s, weights + self.width, row + v, ROW_BIAS,
                         weights, o + v)
            else:
                s.o_row = nv * LANES
                run_tile(<int> width, <int> nv, &s, weights + self.width, row + v, ROW_BIAS,
                         weights, task.pixels)
                store(task.pixels, nv * LANES, width, min(nv * LANES, count - v),
                      o + f2 * p.out_step[2] + v * o_column, p.out_channel, o_column)
            v += nv * LANES


cdef void correlate_plane(const correlate_t* self, const task_t* task, idx_t phase, idx_t f1,
                          idx_t block, const real* plane, real* o) noexcept nogil:
    """The rows of one plane that belong to phase f1, for one block of channels."""
    cdef const conv_t* p = &self.p
    cdef idx_t width = self.width if block < self.n_blocks - 1 else last_width(self)
    cdef idx_t channels = min(width, p.out_channels - block * self.width)
    cdef idx_t i1, rows = positions(self, task, 1, f1), held = 0
    cdef idx_t o_row = p.out_step[1] * p.stretch[1]
    # Rows that follow each other in memory are turned together.
    cdef bint together = p.out_step[2] == 1 and o_row == task.columns
    cdef const real* row
    cdef real* o_first = o
    for i1 in range(rows):
        row = plane + i1 * self.window.row_step
        if self.rows:
            row_lanes_row(self, task, phase, block, width, row, o + i1 * o_row)
        elif p.out_channel == 1 and channels == width:
            channel_lanes_row(self, task, phase, block, width, row, o + i1 * o_row,
                              p.out_step[2])
        else:
            if held == 0:
                o_first = o + i1 * o_row
            channel_lanes_row(self, task, phase, block, width, row,
                              task.pixels + held * width, width)
            held += task.columns
            if not together or i1 == rows - 1 or held + task.columns > task.capacity:
                if p.out_step[2] == 1:
                    pixels_to_planes(task.pixels, width, held, channels, o_first, p.out_channel)
                else:
                    store(task.pixels, width, held, channels, o_first, p.out_step[2],
                          p.out_channel)
                held = 0


cdef inline idx_t held_pixels(const correlate_t* self) noexcept nogil:
    """Pixels that wait to be turned: a row at least, and enough for a few squares."""
    return min(self.window.axis[2].block * self.p.stretch[2], self.p.out_size[2]) + 4 * LANES


cdef void correlate_task(const correlate_t* self, idx_t index, const real* x, const real* w,
                         const real* bias, const real* packed, real* y,
                         real* scratch) noexcept nogil:
    """One block of output positions of one image and group, for a chunk of its channels."""
    cdef const conv_t* p = &self.p
    cdef const window_t* window = &self.window
    cdef const axis_t* axis = &window.axis[0]
    cdef idx_t n, chunk, group, f0, f1, i0, block, rest
    cdef real* own
    cdef const real* plane
    cdef real* o
    cdef task_t task
    # Blocks of one image are neighbours, and a chunk of weights stays in L2 over all of them.
    task.m[2] = index % self.n_pos[2] * axis[2].block
    rest = index // self.n_pos[2]
    task.m[1] = rest % self.n_pos[1] * axis[1].block
    rest = rest // self.n_pos[1]
    task.m[0] = rest % self.n_pos[0] * axis[0].block
    rest = rest // self.n_pos[0]
    n = rest % p.batch
    rest = rest // p.batch
    chunk = rest % self.n_chunks
    group = rest // self.n_chunks

    x = x + n * p.in_batch + group * p.in_channels * p.in_channel
    task.y = y + n * p.out_batch + group * p.out_channels * p.out_channel
    task.columns = min(axis[2].block * p.stretch[2], p.out_size[2] - task.m[2] * p.stretch[2])
    task.pixels = scratch + window.elements
    own = task.pixels + pixel_elements(self)
    task.packed = packed + group * self.n_blocks * self.block_elements if self.shared else own
    task.capacity = held_pixels(self)
    if window.direct:
        task.origin = (x + task.m[0] * window.plane_step + task.m[1] * window.row_step
                       + task.m[2] * window.cell_step)
    else:
        window_fill(window, p, x, task.m[0], task.m[1], task.m[2], scratch)
        task.origin = scratch
    for block in range(chunk * self.chunk, min(self.n_blocks, (chunk + 1) * self.chunk)):
        if not self.shared:
            pack_block(self, w, bias, group, block, own)
        for f0 in range(axis[0].n_phases):
            for f1 in range(axis[1].n_phases):
                for i0 in range(positions(self, &task, 0, f0)):
                    plane = task.origin + i0 * window.plane_step
                    o = (task.y + block * self.width * p.out_channel
                         + (f0 + (task.m[0] + i0) * p.stretch[0]) * p.out_step[0]
                         + (f1 + task.m[1] * p.stretch[1]) * p.out_step[1]
                         + task.m[2] * p.stretch[2] * p.out_step[2])
                    correlate_plane(self, &task, (f0 * axis[1].n_phases + f1) * axis[2].n_phases,
                                    f1, block, plane, o)
        if p.slope != 1:
            gate_block(self, task.m, n, group, block, y)


cdef inline idx_t pixel_elements(const correlate_t* self) noexcept nogil:
    """Of the pixels that wait to be turned, or of one tile."""
    return round_up(max(<idx_t> (MAX_PX * MAX_NV * LANES), held_pixels(self) * self.width), ALIGN)


cdef int correlate(const conv_t* problem, const real* x, const real* w, const real* bias,
                   real* y, int num_threads) noexcept nogil:
    cdef correlate_t self
    cdef idx_t i, tasks, blocks, elements, status = correlate_plan(&self, problem, num_threads)
    cdef void* memory = NULL
    cdef real* packed
    cdef real* scratch
    if status == OK:
        blocks = self.p.groups * self.n_blocks if self.shared else 0
        elements = self.window.elements + pixel_elements(&self)
        if not self.shared:
            elements += self.block_elements
        memory = take_scratch(
            <size_t> (blocks * self.block_elements + num_threads * elements) * sizeof(real)
            + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        packed = <real*> aligned(memory)
        scratch = packed + blocks * self.block_elements
        for i in prange(blocks, num_threads=num_threads, schedule="static"):
            pack_block(&self, w, bias, i // self.n_blocks, i % self.n_blocks,
                       packed + i * self.block_elements)
        tasks = (self.p.groups * self.n_chunks * self.p.batch
                 * self.n_pos[0] * self.n_pos[1] * self.n_pos[2])
        for i in prange(tasks, num_threads=num_threads, schedule="dynamic"):
            correlate_task(&self, i, x, w, bias, packed, y,
                           scratch + omp_get_thread_num() * elements)
    give_scratch(memory)
    free(self.tables)
    window_free(&self.window)
    return <int> status
