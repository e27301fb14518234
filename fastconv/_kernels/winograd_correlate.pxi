# Winograd's forward pass, which is also grad_input: products at each point instead of taps.
#
# A task transforms the input of its tiles, and then block by block of out channels multiplies them
# with the transformed filters, point by point on the register tile, and transforms the products
# into outputs:
#
#     input     [point][tile][phase][in channel]
#     filters   [point][phase][in channel][lane]
#     products  [point][tile][lane]
#
# Each tile of the register tile is a row, each out channel a lane.

cdef inline bint gate_alongside(const conv_t* p) noexcept nogil:
    """Whether the gate lies in memory as the output does, pixel by pixel."""
    cdef int axis
    if p.gate == NULL or p.slope == 1 or p.out_channel != 1 or p.gate_channel != 1:
        return False
    for axis in range(AXES):
        if p.gate_step[axis] != p.out_step[axis]:
            return False
    return True


cdef void store_part(const conv_t* p, const idx_t* size, const idx_t* cells, idx_t channels,
                     idx_t width, const real* held, real* o) noexcept nogil:
    """The part of the cells held, [cell][lane], that is of the output."""
    cdef idx_t i, i0, i2, rows
    cdef const real* row
    cdef real* target
    # Rows that follow each other in memory are turned together.
    rows = size[1] if p.out_step[1] == size[2] * p.out_step[2] and size[2] == cells[2] else 1
    for i0 in range(size[0]):
        for i in range(ceil_div(size[1], rows)):
            row = held + (i0 * cells[1] + i * rows) * cells[2] * width
            target = o + i0 * p.out_step[0] + i * rows * p.out_step[1]
            if p.out_step[2] == 1 and p.out_channel != 1:
                pixels_to_planes(row, width, rows * size[2], channels,
                                 row + rows * size[2] * width, target, p.out_channel)
            elif p.out_channel == 1:
                for i2 in range(rows * size[2]):
                    copy(target + i2 * p.out_step[2], row + i2 * width, channels)
            else:
                store(row, width, rows * size[2], channels, target, p.out_step[2], p.out_channel)


cdef void output_of_part(const winograd_t* self, const run_of_tiles_t* part, idx_t first,
                         idx_t channels, idx_t width, const real* products, const real* bias,
                         real* y, real* held, real* spare) noexcept nogil:
    """Transforms the products of some neighbours and stores them; y is the whole output."""
    cdef const conv_t* p = &self.p
    cdef idx_t start[AXES]
    cdef idx_t size[AXES]
    cdef idx_t cells[AXES]
    cdef idx_t point[AXES]
    cdef idx_t step[AXES]
    cdef idx_t i, j, lane
    cdef finish_t finish
    cdef idx_t inside[AXES]
    cdef const idx_t* kept = WHOLE_TILE
    cdef bint direct = p.out_channel == 1 and channels == width
    cdef real* o = y + part.image * p.out_batch + first * p.out_channel
    cdef real* target
    cdef int axis
    finish.gate = finish.plus = NULL
    finish.slope = 1 if has_finish(p) else p.slope
    for axis in range(AXES):
        start[axis] = part.tile[axis] * self.outputs[axis]
        cells[axis] = self.outputs[axis] * (part.count if axis == 2 else 1)
        size[axis] = min(cells[axis], p.out_size[axis] - start[axis])
        inside[axis] = min(size[axis], self.outputs[axis])
        o = o + start[axis] * p.out_step[axis]
    steps_of(self.points, self.product_point, point)
    if direct:
        kept = inside
        step[0], step[1], step[2] = p.out_step[0], p.out_step[1], p.out_step[2]
        target = o
        if gate_alongside(p):
            finish.o, finish.gate, finish.slope = y, p.gate, p.slope
            finish.gate = finish.gate + part.image * (p.gate_batch - p.out_batch)
            if p.plus != NULL:
                finish.plus = p.plus + part.image * (p.gate_batch - p.out_batch)
    else:
        steps_of(cells, width, step)
        target = held
    for j in range(part.count):
        for i in range(width // LANES):
            lane = i * LANES
            finish.bias = bias + lane
            transform_output(self.points, products + j * width + lane, point,
                             target + j * self.outputs[2] * step[2] + lane, step, spare,
                             &finish, kept)
    if not direct:
        store_part(p, size, cells, channels, width, held, o)
    if has_finish(p) and finish.gate == NULL:
        finish_cuboid(p, part.image, first, channels, start, size, y)


cdef void output_of_run(const winograd_t* self, const run_of_tiles_t* run, idx_t group,
                        idx_t block, const real* products, const real* bias, real* y,
                        real* held, real* spare) noexcept nogil:
    """The outputs of a run at one block of channels."""
    cdef const conv_t* p = &self.p
    cdef idx_t width = block_width(self, block), first = group * p.out_channels + block * self.width
    cdef idx_t channels = min(width, p.out_channels - block * self.width)
    cdef run_of_tiles_t part = run[0]
    cdef idx_t end = (run.tile[2] + run.count) * self.outputs[2]
    # Of pixels only the last tile of a row may reach past its end.
    if p.out_channel == 1 and end > p.out_size[2] and run.count > 1:
        part.count -= 1
        output_of_part(self, &part, first, channels, width, products, bias, y, held, spare)
        products = products + part.count * width
        part.tile[2] += part.count
        part.count = 1
    output_of_part(self, &part, first, channels, width, products, bias, y, held, spare)


cdef void multiply_points(const winograd_t* self, idx_t tiles, idx_t first, idx_t last,
                          const real* input, const real* filters, real* products) noexcept nogil:
    """Some blocks of filters at every point, the tiles in the rows of the register tile."""
    cdef idx_t t, block
    cdef factors_t f
    f.phases, f.channels = self.n_phases, self.p.in_channels
    f.a_row, f.a_phase = self.row, self.pixel - self.p.in_channels
    for t in range(self.n_points):
        for block in range(first, last):
            multiply(&f, tiles, <int> (block_width(self, block) // LANES),
                     input + t * self.input_point,
                     filters + block * self.block_elements + t * self.filter_point,
                     products + ((block - first) * self.n_points + t) * self.product_point)
            if self.ahead != NULL:
                fetch_some(self.ahead)


cdef struct workshop_t:
    # The scratch of one thread.
    real* input
    real* products
    real* strip
    real* held
    real* bias
    real* filters           # of its blocks, where they are not shared
    real* spare


cdef idx_t strip_cells(const winograd_t* self) noexcept nogil:
    return (self.points[0] * self.points[1]
            * ((self.run - 1) * self.outputs[2] + self.points[2]))


cdef idx_t lay_out(const winograd_t* self, real* scratch, workshop_t* shop) noexcept nogil:
    """Shares out the scratch; returns its elements."""
    cdef idx_t at = 0
    shop.input = scratch
    at += self.n_points * self.input_point
    shop.products = scratch + at
    at += self.group * self.n_points * self.product_point
    shop.strip = scratch + at
    at += round_up(strip_cells(self) * self.pixel, ALIGN)
    shop.held = scratch + at
    at += round_up(self.outputs[0] * self.outputs[1] * self.outputs[2] * self.run * self.width,
                   ALIGN)
    shop.bias = scratch + at
    at += round_up(self.width, ALIGN)
    shop.filters = scratch + at
    at += 0 if self.shared else self.chunk * self.block_elements
    shop.spare = scratch + at
    at += SPARE_CELLS * LANES
    return round_up(at, ALIGN)


cdef void winograd_task(const winograd_t* self, idx_t index, const real* x, const real* w,
                        const real* shared, const real* bias, real* y,
                        real* scratch) noexcept nogil:
    cdef const conv_t* p = &self.p
    cdef idx_t task = index % self.n_tasks, rest = index // self.n_tasks
    cdef idx_t chunk = rest % self.n_chunks, group = rest // self.n_chunks
    cdef idx_t first = task * self.task_runs, last = min(self.n_runs, first + self.task_runs)
    cdef idx_t r, tiles = 0, width, lane, k, c, block, some, phase
    cdef idx_t first_block = chunk * self.chunk
    cdef idx_t last_block = min(self.n_blocks, first_block + self.chunk)
    cdef side_t side
    cdef workshop_t shop
    cdef run_of_tiles_t run
    cdef const real* filters
    lay_out(self, scratch, &shop)
    for r in range(first, last):
        run = find_run(self, r)
        for phase in range(self.n_phases):
            side = input_side(self, phase)
            transform_run(INPUT, self, &side, &run, x + group * p.in_channels * p.in_channel,
                          p.in_channels, self.pixel, shop.strip,
                          shop.input + tiles * self.row + phase * self.pixel,
                          self.input_point, self.row, NULL, shop.spare)
        tiles += run.count
    if shared != NULL:
        filters = shared + group * self.n_blocks * self.block_elements
    else:
        filters = shop.filters - first_block * self.block_elements
    while first_block < last_block:
        some = min(self.group, last_block - first_block)
        for block in range(first_block, first_block + some if shared == NULL else first_block):
            for c in range(p.in_channels):
                transform_filters(self, w, group, block, c,
                                  shop.filters + (block - chunk * self.chunk)
                                  * self.block_elements)
        multiply_points(self, tiles, first_block, first_block + some, shop.input, filters,
                        shop.products)
        for block in range(first_block, first_block + some):
            width = block_width(self, block)
            for lane in range(width):
                k = block * self.width + lane
                shop.bias[lane] = (bias[group * p.out_channels + k]
                                   if bias != NULL and k < p.out_channels else 0)
            tiles = 0
            for r in range(first, last):
                run = find_run(self, r)
                output_of_run(self, &run, group, block,
                              shop.products + (block - first_block) * self.n_points
                              * self.product_point + tiles * width,
                              shop.bias, y, shop.held, shop.spare)
                tiles += run.count
        first_block += some


cdef idx_t filter_elements(const winograd_t* self) noexcept nogil:
    """Of all transformed filters."""
    return self.p.groups * self.n_blocks * self.block_elements


cdef void prepare_filters(const winograd_t* self, const real* w, real* packed,
                          int num_threads) noexcept nogil:
    cdef idx_t i, block, channels = self.p.in_channels
    cdef unsigned mode
    for i in prange(self.p.groups * self.n_blocks * channels, num_threads=num_threads,
                    schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        block = i // channels
        transform_filters(self, w, block // self.n_blocks, block % self.n_blocks, i % channels,
                          packed + block * self.block_elements)
        set_float_mode(mode)


cdef void winograd_share(const winograd_t* self, idx_t thread, shares_t* shares, const real* x,
                         const real* w, const real* filters, const real* bias, real* y,
                         real* scratch) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t task = next_task(shares, thread)
    cdef winograd_t plan = self[0]
    cdef ahead_t ahead
    if self.n_chunks * self.p.groups == 1:
        plan.ahead = &ahead
    while task >= 0:
        if plan.ahead != NULL:
            look_at_task(self, task + 1, self.n_blocks * self.n_points, x, y, &ahead)
        winograd_task(&plan, task, x, w, filters, bias, y, scratch)
        task = next_task(shares, thread)
    set_float_mode(mode)


cdef int winograd_correlate(const conv_t* problem, const real* x, const real* w,
                            const real* prepared, const real* bias, real* y,
                            int num_threads) noexcept nogil:
    """`prepared`: the transformed filters, or NULL."""
    cdef winograd_t self
    cdef workshop_t shop
    cdef idx_t i, elements, own
    cdef shares_t shares
    cdef real* memory
    cdef real* scratch
    cdef const real* filters = prepared
    winograd_plan(&self, problem, num_threads)
    self.shared = self.shared or prepared != NULL
    elements = lay_out(&self, NULL, &shop)
    own = filter_elements(&self) if self.shared and prepared == NULL else 0
    memory = <real*> take_scratch(
        <size_t> (own + num_threads * elements) * sizeof(real) + ALIGN)
    if memory == NULL:
        return NO_MEMORY
    scratch = <real*> aligned(memory)
    if own > 0:
        filters = scratch
        prepare_filters(&self, w, scratch, num_threads)
        scratch = scratch + own
    share_out(&shares, self.n_tasks * self.n_chunks * self.p.groups, num_threads)
    for i in prange(num_threads, num_threads=num_threads, schedule="static", chunksize=1):
        winograd_share(&self, i, &shares, x, w, filters, bias, y,
                       scratch + omp_get_thread_num() * elements)
    give_scratch(memory)
    return OK
