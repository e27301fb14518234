# correlate: forward, and grad_input as a correlation of the stretched grad_output.
#
#     out[n, k, f + stretch m] = bias[k] + sum over c and the taps of phase f of
#                                          w[k, c, tap] * in[n, c, m + tap]
#
# Channel lanes put output channels side by side in a vector, row lanes output columns.  The first
# suits many channels, the second few channels or short sums into plain NCHW output, where each
# output vector is then stored as it stands.
#
# Where a strip of all input channels would hold too few positions, it holds some of them (a depth)
# at a time, and the sums of the whole task wait in a buffer for the next ones.

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


cdef void finish_block(const correlate_t* self, const idx_t* m, idx_t n, idx_t group, idx_t block,
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
    finish_cuboid(p, n, group * p.out_channels + block * self.width,
                  min(self.width, p.out_channels - block * self.width), start, size, y)


cdef void correlate_task(const correlate_t* self, idx_t index, const real* x, const real* w,
                         const real* bias, const real* packed, real* y,
                         real* scratch) noexcept nogil:
    """One block of output positions of one image and group, for a chunk of its channels."""
    cdef const conv_t* p = &self.p
    cdef const window_t* window = &self.window
    cdef const axis_t* axis = &window.axis[0]
    cdef idx_t n, chunk, group, block, first, last, rest, depth, width
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
    first = chunk * self.chunk
    last = min(self.n_blocks, first + self.chunk)

    x = x + n * p.in_batch + group * p.in_channels * p.in_channel
    o = y + n * p.out_batch + group * p.out_channels * p.out_channel
    task.columns = min(axis[2].block * p.stretch[2], p.out_size[2] - task.m[2] * p.stretch[2])
    task.pixels = scratch + window.elements
    task.capacity = held_pixels(self)
    for depth in range(self.n_depths):
        task.c0 = depth * self.depth
        task.channels = min(self.depth, p.in_channels - task.c0)
        task.start = LANE_BIAS if depth == 0 else ADD
        task.slope = p.slope if not has_finish(p) and complete(self, &task) else 1
        if not self.lanewise and not self.planes:
            find_origin(self, &task, x, task.c0, task.channels, scratch)
        for block in range(first, last):
            width = self.width if block < self.n_blocks - 1 else last_width(self)
            if self.planes and block > first:
                refill_plane(self, &task, x + block * p.in_channel, scratch)
            elif self.planes or self.lanewise:
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
            task.sums = sums + (block - first) * sum_elements(self)
            if self.planes:
                plane_block(self, &task, block == last - 1, o + block * p.out_channel)
            else:
                correlate_block(self, &task, block, o)
            if has_finish(p) and complete(self, &task):
                finish_block(self, task.m, n, group, block, y)


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
    free(self.tap_rows)
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
