# correlate: forward, and grad_input as a correlation of the stretched grad_output.
#
#     out[n, k, f + stretch m] = bias[k] + sum over c and the taps of phase f of
#                                          w[k, c, tap] * in[n, c, m + tap]
#
# Channel lanes put output channels side by side in a vector, row lanes output columns.  The first
# suits many channels, the second few channels or short sums into plain NCHW output, where each
# output vector is then stored as it stands.

# Where a strip of all input channels would hold too few positions, it holds some of them (a depth)
# at a time, and the sums of the whole task wait in a buffer for the next ones.

cdef struct task_t:
    # Where one task stands: its block of positions, its channels, and its memory.
    idx_t m[AXES]           # first position of the block
    idx_t columns           # output columns of the block, all phases together
    idx_t c0, channels      # input channels of the present depth
    idx_t first, rows       # rows of taps that see more than padding, and all rows
    idx_t last
    start_t start           # what the sums start from: biases, or the depths before
    real slope              # of negative results, once the sum is complete
    const real* origin      # the block's start in the strip, or in the input
    const real* bias        # of the present block of output channels
    const real* weights     # of it and the present depth
    real* sums              # [row][column][width] of the present block, complete or not
    real* pixels            # the same of a few rows only, or one tile
    idx_t capacity          # pixels that fit there


cdef inline idx_t positions(const correlate_t* self, const task_t* task, int axis,
                            idx_t phase) noexcept nogil:
    """Positions of a phase inside the block of a task, zero when the block lies past its end."""
    return max(<idx_t> 0, min(self.window.axis[axis].block,
                              phase_count(&self.p, axis, phase) - task.m[axis]))


cdef inline bint complete(const correlate_t* self, const task_t* task) noexcept nogil:
    return task.c0 + task.channels == self.p.in_channels


cdef inline idx_t find_steps(const correlate_t* self, const task_t* task, idx_t phase, idx_t f2,
                             idx_t* first) noexcept nogil:
    """Outer steps of a phase that see more than padding, side by side from the first on.

    Of chains, where there are some: lone taps follow behind those of all rows.
    """
    cdef idx_t steps = self.chains[f2].many
    first[0] = self.phase[phase + f2] + task.first * steps
    return (task.last - task.first) * steps


cdef inline idx_t find_lone(const correlate_t* self, const task_t* task, idx_t phase, idx_t f2,
                            idx_t* first) noexcept nogil:
    """The same of lone taps."""
    cdef idx_t steps = self.chains[f2].lone
    first[0] = (self.phase[phase + f2] + task.rows * self.chains[f2].many + task.first * steps)
    return (task.last - task.first) * steps


cdef void find_rows(const correlate_t* self, task_t* task, idx_t f0, idx_t f1, idx_t i0,
                    idx_t i1) noexcept nogil:
    """Which rows of taps a row of output needs; those beyond the input's edge only add zeros."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef const conv_t* p = &self.p
    cdef idx_t first0, last0, first1, last1
    cdef idx_t start = axis[1].phase[f1], rows = axis[1].phase[f1 + 1] - start
    task.rows = (axis[0].phase[f0 + 1] - axis[0].phase[f0]) * rows
    inside(&axis[0], p.in_size[0], f0, task.m[0] + i0, &first0, &last0)
    inside(&axis[1], p.in_size[1], f1, task.m[1] + i1, &first1, &last1)
    first0, last0 = first0 - axis[0].phase[f0], last0 - axis[0].phase[f0]
    if last0 - first0 == 1:
        task.first = first0 * rows + first1 - start
        task.last = first0 * rows + last1 - start
    else:
        task.first, task.last = first0 * rows, last0 * rows


cdef void channel_lanes_row(const correlate_t* self, const task_t* task, idx_t phase,
                            idx_t width, const real* row, real* o, idx_t column) noexcept nogil:
    """One row of a block of channels, its column phases in turn; pixels of o are `column` apart."""
    cdef const window_t* window = &self.window
    cdef idx_t stretch = self.p.stretch[2], nv = width // LANES, f2, i, q, count, px, step, chain
    cdef idx_t apart, first, some
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
        chain = self.chains[f2].length
        s.b_step = task.channels * width if self.inner else chain * width
        s.n_outer = find_steps(self, task, phase, f2, &step)
        s.a_off = self.step_input + step
        s.b_off = self.step_packed + step
        s.n_lone = find_lone(self, task, phase, f2, &step)
        s.a_lone = self.step_input + step
        s.b_lone = self.step_packed + step
        if self.lanewise:
            lanewise_row(self, task, &s, nv, count, row, o + f2 * column)
            continue
        # Under dilation rows of the tile are the positions that share cells.
        apart = self.chains[f2].apart
        s.a_row = window.cell_step * apart
        s.o_row = column * stretch * apart
        for first in range(min(apart, count)):
            some = ceil_div(count - first, apart)
            px = even(some, tallest(chain, nv))
            for i in range(ceil_div(some, px)):
                q = first + i * px * apart
                run_chain(<int> chain, <int> min(px, some - i * px), <int> nv, &s,
                          row + q * window.cell_step, task.weights, task.start, task.bias,
                          o + (f2 + q * stretch) * column)


cdef void row_lanes_row(const correlate_t* self, const task_t* task, idx_t phase, idx_t width,
                        bint slide, const real* row, idx_t spare, real* o) noexcept nogil:
    """One row of a block of channels, its column phases in turn, in vectors of columns.

    Or SLIDE_ROWS rows of a single channel.  The last vector may run over `spare`
    cells past the row: they are written again later.
    """
    cdef const conv_t* p = &self.p
    cdef idx_t o_column = p.out_step[2] * p.stretch[2], f2, v, nv, count, step, over
    cdef idx_t o_row = p.out_step[1] * p.stretch[1] if slide else p.out_channel
    cdef stream_t s
    cdef bint direct
    s.n_inner = self.inner or task.channels
    s.a_row = self.window.row_step if slide else 1
    s.a_step = task.channels * width if self.inner else width
    s.a_unit = width if self.inner else task.channels * width
    s.b_step = self.inner_step
    s.b_unit = 1
    s.slope = task.slope
    for f2 in range(self.window.axis[2].n_phases):
        count = positions(self, task, 2, f2)
        s.n_outer = find_steps(self, task, phase, f2, &step)
        s.a_off = self.step_packed + step
        s.b_off = self.step_input + step
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


cdef void row_lanes_plane(const correlate_t* self, task_t* task, idx_t f0, idx_t f1, idx_t i0,
                          idx_t width, const real* plane, real* o) noexcept nogil:
    """The rows of one plane that belong to phase f1, for one block of channels."""
    cdef const conv_t* p = &self.p
    cdef idx_t rows = positions(self, task, 1, f1), i1 = 0, n
    cdef idx_t phase = (f0 * self.window.axis[1].n_phases + f1) * self.window.axis[2].n_phases
    cdef idx_t o_row = p.out_step[1] * p.stretch[1]
    cdef bint together = p.out_step[2] == 1 and p.stretch[1] == 1 and o_row == task.columns
    cdef idx_t first, last
    while i1 < rows:
        if self.ahead != NULL:
            fetch_some(self.ahead)
        find_rows(self, task, f0, f1, i0, i1)
        n = 1
        if width == 1 and i1 + SLIDE_ROWS <= rows:
            # Rows at the edge see fewer taps: they go by themselves, whatever the block is.
            first, last = task.first, task.last
            find_rows(self, task, f0, f1, i0, i1 + SLIDE_ROWS - 1)
            if task.first == first and task.last == last:
                n = SLIDE_ROWS
            task.first, task.last = first, last
        row_lanes_row(self, task, phase, width, n > 1, plane + i1 * self.window.row_step,
                      (rows - n - i1) * o_row if together else 0, o + i1 * o_row)
        i1 += n


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


cdef void correlate_block(const correlate_t* self, task_t* task, idx_t block,
                          real* y) noexcept nogil:
    """One block of output channels at one depth."""
    cdef const conv_t* p = &self.p
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t f0, f1, i0
    cdef idx_t o0, rows = min(axis[1].block * p.stretch[1], p.out_size[1])
    cdef idx_t width = self.width if block < self.n_blocks - 1 else last_width(self)
    cdef idx_t channels = min(width, p.out_channels - block * self.width)
    cdef const real* plane
    cdef real* o
    for f0 in range(axis[0].n_phases):
        for f1 in range(axis[1].n_phases):
            for i0 in range(positions(self, task, 0, f0)):
                o0 = f0 + i0 * p.stretch[0]
                plane = task.origin + i0 * self.window.plane_step
                o = (y + block * self.width * p.out_channel
                     + (o0 + task.m[0] * p.stretch[0]) * p.out_step[0]
                     + (f1 + task.m[1] * p.stretch[1]) * p.out_step[1]
                     + task.m[2] * p.stretch[2] * p.out_step[2])
                if self.rows:
                    row_lanes_plane(self, task, f0, f1, i0, width, plane, o)
                else:
                    channel_lanes_plane(self, task, f0, f1, i0, width, channels, plane,
                                        task.sums + (o0 * rows + f1) * task.columns * width, o)


cdef void find_origin(const correlate_t* self, task_t* task, const real* x, idx_t first,
                      idx_t channels, real* strip) noexcept nogil:
    """Fills the strip where there is one."""
    cdef const window_t* window = &self.window
    if window.direct:
        task.origin = (x + task.m[0] * window.plane_step + task.m[1] * window.row_step
                       + task.m[2] * window.cell_step + first * self.p.in_channel)
    else:
        window_fill(window, &self.p, x, first, channels, task.m, strip)
        task.origin = strip


cdef void gate_block(const correlate_t* self, const idx_t* m, idx_t n, idx_t group, idx_t block,
                     real* y) noexcept nogil:
    """The block of channels and positions that a task has written, all phases together."""
    cdef const conv_t* p = &self.p
    cdef idx_t start[AXES]
    cdef idx_t size[AXES]
    cdef int axis
    for axis in range(AXES):
        start[axis] = m[axis] * p.stretch[axis]
        size[axis] = min(self.window.axis[axis].block * p.stretch[axis],
                         p.out_size[axis] - start[axis])
    gate_cuboid(p, n, group * p.out_channels + block * self.width,
                min(self.width, p.out_channels - block * self.width), start, size, y)


cdef void correlate_task(const correlate_t* self, idx_t index, const real* x, const real* w,
                         const real* bias, const real* packed, real* y,
                         real* scratch) noexcept nogil:
    """One block of output positions of one image and group, for a chunk of its channels."""
    cdef const conv_t* p = &self.p
    cdef const window_t* window = &self.window
    cdef const axis_t* axis = &window.axis[0]
    cdef idx_t n, chunk, group, block, rest, depth, width
    cdef real* sums = scratch + window.elements + pixel_elements(self)
    cdef real* own = sums + waiting_elements(self)
    cdef const real* shared
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
    o = y + n * p.out_batch + group * p.out_channels * p.out_channel
    task.columns = min(axis[2].block * p.stretch[2], p.out_size[2] - task.m[2] * p.stretch[2])
    task.pixels = scratch + window.elements
    task.capacity = held_pixels(self)
    for depth in range(self.n_depths):
        task.c0 = depth * self.depth
        task.channels = min(self.depth, p.in_channels - task.c0)
        task.start = LANE_BIAS if depth == 0 else ADD
        task.slope = p.slope if p.gate == NULL and complete(self, &task) else 1
        if not self.lanewise:
            find_origin(self, &task, x, task.c0, task.channels, scratch)
        for block in range(chunk * self.chunk, min(self.n_blocks, (chunk + 1) * self.chunk)):
            width = self.width if block < self.n_blocks - 1 else last_width(self)
            if self.lanewise:
                find_origin(self, &task, x, block * self.width,
                            min(width, p.out_channels - block * self.width), scratch)
            if self.shared:
                shared = packed + (group * self.n_blocks + block) * self.block_elements
                task.bias = shared
                task.weights = shared + self.width + task.c0 * self.n_taps * width
            else:
                pack_bias(self, bias, group, block, own)
                pack_channels(self, w, group, block, task.c0, task.channels, own + self.width)
                task.bias = own
                task.weights = own + self.width
            task.sums = sums + (block - chunk * self.chunk) * sum_elements(self)
            correlate_block(self, &task, block, o)
            if p.gate != NULL and p.slope != 1 and complete(self, &task):
                gate_block(self, task.m, n, group, block, y)


cdef inline idx_t pixel_elements(const correlate_t* self) noexcept nogil:
    """Of the pixels that wait to be turned, or of one tile."""
    return round_up(max(<idx_t> (MAX_PX * MAX_NV * LANES), held_pixels(self) * self.width), ALIGN)


cdef inline idx_t waiting_elements(const correlate_t* self) noexcept nogil:
    """Of the sums that wait for further input channels."""
    return round_up(self.chunk * sum_elements(self), ALIGN) if self.n_depths > 1 else 0


cdef void pack_block(const correlate_t* self, const real* w, const real* bias, idx_t index,
                     real* packed) noexcept nogil:
    """A block of weights for all tasks, depth after depth."""
    cdef idx_t group = index // self.n_blocks, block = index % self.n_blocks, depth, c0
    cdef idx_t width = self.width if block < self.n_blocks - 1 else last_width(self)
    pack_bias(self, bias, group, block, packed)
    for depth in range(self.n_depths):
        c0 = depth * self.depth
        pack_channels(self, w, group, block, c0, min(self.depth, self.p.in_channels - c0),
                      packed + self.width + c0 * self.n_taps * width)


cdef inline idx_t shared_blocks(const correlate_t* self) noexcept nogil:
    """Blocks of weights that are packed for all tasks."""
    return self.p.groups * self.n_blocks if self.shared else 0


cdef idx_t task_elements(const correlate_t* self) noexcept nogil:
    """Of the scratch of one thread."""
    cdef idx_t own = 0 if self.shared else self.width * (1 + self.n_taps * self.depth)
    return (self.window.elements + pixel_elements(self) + waiting_elements(self)
            + round_up(own, ALIGN))


cdef void pack_blocks(const correlate_t* self, const real* w, const real* bias, real* packed,
                      int num_threads) noexcept nogil:
    cdef idx_t i
    for i in prange(shared_blocks(self), num_threads=num_threads, schedule="static"):
        pack_block(self, w, bias, i, packed + i * self.block_elements)


cdef void run_share(const correlate_t* self, idx_t thread, shares_t* shares, const real* x,
                    const real* w, const real* bias, const real* packed, real* y,
                    real* scratch) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t task = next_task(shares, thread)
    while task >= 0:
        correlate_task(self, task, x, w, bias, packed, y, scratch)
        task = next_task(shares, thread)
    set_float_mode(mode)


cdef void run_tasks(const correlate_t* self, const real* x, const real* w, const real* bias,
                    const real* packed, real* y, real* scratch, int num_threads) noexcept nogil:
    """`scratch`: task_elements for each thread."""
    cdef idx_t thread, elements = task_elements(self)
    cdef shares_t shares
    share_out(&shares, self.p.groups * self.n_chunks * self.p.batch
              * self.n_pos[0] * self.n_pos[1] * self.n_pos[2], num_threads)
    for thread in prange(num_threads, num_threads=num_threads, schedule="static", chunksize=1):
        run_share(self, thread, &shares, x, w, bias, packed, y,
                  scratch + omp_get_thread_num() * elements)


cdef void correlate_free(correlate_t* self) noexcept nogil:
    free(self.tables)
    free(self.chains)
    free(self.runs)
    window_free(&self.window)


cdef int correlate(const conv_t* problem, const real* x, const real* w, const real* bias,
                   real* y, int num_threads) noexcept nogil:
    cdef correlate_t self
    cdef idx_t status = correlate_plan(&self, problem, num_threads), own = 0
    cdef void* memory = NULL
    cdef real* packed
    if status == OK:
        own = shared_blocks(&self) * self.block_elements
        memory = take_scratch(
            <size_t> (own + num_threads * task_elements(&self)) * sizeof(real) + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        packed = <real*> aligned(memory)
        pack_blocks(&self, w, bias, packed, num_threads)
        run_tasks(&self, x, w, bias, packed, y, packed + own, num_threads)
    give_scratch(memory)
    correlate_free(&self)
    return <int> status


# The same in two steps, for repeated inference: the plan and the packed weights, then the tasks.

cdef struct prepared_t:
    correlate_t plan
    void* memory
    const real* packed


cdef int correlate_prepare(prepared_t* self, const conv_t* problem, const real* w,
                           const real* bias, int num_threads) noexcept nogil:
    """Status; in any case correlate_free and free(memory) are the caller's."""
    self.memory = NULL
    if correlate_plan(&self.plan, problem, num_threads) != OK:
        return NO_MEMORY
    self.plan.shared = True
    self.memory = malloc(
        <size_t> (shared_blocks(&self.plan) * self.plan.block_elements) * sizeof(real) + ALIGN)
    if self.memory == NULL:
        return NO_MEMORY
    self.packed = <const real*> aligned(self.memory)
    pack_blocks(&self.plan, w, bias, <real*> self.packed, num_threads)
    return OK


cdef int correlate_prepared(const prepared_t* self, const real* x, real* y,
                            int num_threads) noexcept nogil:
    cdef void* memory = take_scratch(
        <size_t> (num_threads * task_elements(&self.plan)) * sizeof(real) + ALIGN)
    if memory == NULL:
        return NO_MEMORY
    run_tasks(&self.plan, x, NULL, NULL, self.packed, y, <real*> aligned(memory), num_threads)
    give_scratch(memory)
    return OK
