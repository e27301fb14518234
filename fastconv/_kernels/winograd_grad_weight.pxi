# Winograd's grad_weight: the adjoint of the forward pass in its filters.
#
#     grad[k, c] = G' [ sum over tiles of  (A grad_output)[k] * (B' input)[c] ]
#
# At each point, input channels are the rows of the register tile and output channels its lanes; the
# sum runs over tiles.  The sums of a chunk of in channels and a chunk of out channels stay in L2
# while tiles go by.  Long sums are cut into parts by the problem, each part goes back to taps by
# itself, and parts are added in order.  The gradient for the bias, the sum of grad_output, is taken
# while that is transformed.

cdef enum:
    SUM_BYTES = 768 * 1024      # of a task, in L2
    UNIT_BYTES = 384 * 1024     # of the transformed input of a unit
    MANY_TASKS = 16             # for which long sums are cut
    LONG_PART = 128             # tiles: going back to taps costs as much as several


cdef struct winograd_grad_t:
    winograd_t base
    idx_t c_chunk, c_chunks     # in channels of a task, and how often that goes into all of them
    idx_t pixel                 # c_chunk in whole vectors
    idx_t k_chunk, k_chunks     # blocks of out channels of a task
    idx_t n_units, n_parts      # units of tiles in all, and parts of the sum
    idx_t sum_point, sum_block  # from point to point of the sums of a block, from block to block
    idx_t part_elements         # of all weights
    idx_t part_biases           # of all biases, each block in whole vectors


cdef void winograd_grad_plan(winograd_grad_t* self, const conv_t* problem) noexcept nogil:
    cdef winograd_t* base = &self.base
    cdef const conv_t* p = &base.p
    cdef idx_t vectors, chunks, cost, least = -1, per_point, channels, blocks, tiles
    base.p = problem[0]
    base.ahead = NULL
    cut_tiles(base)
    choose_width(base)
    vectors = ceil_div(p.in_channels, LANES)
    per_point = <idx_t> SUM_BYTES // (base.n_phases * base.n_points * base.width
                                      * <idx_t> sizeof(real))
    # Each chunk of one side transforms all of the other side again.
    for chunks in range(1, base.n_blocks + 1):
        blocks = ceil_div(base.n_blocks, chunks)
        channels = min(vectors, max(<idx_t> 1, per_point // blocks // LANES))
        cost = (chunks * base.n_phases * vectors
                + ceil_div(vectors, channels) * base.n_blocks * base.nv)
        if least < 0 or cost < least:
            least = cost
            self.k_chunk = blocks
            self.c_chunk = even(vectors, channels) * LANES
    self.c_chunk = min(self.c_chunk, p.in_channels)
    self.c_chunks = ceil_div(p.in_channels, self.c_chunk)
    self.k_chunks = ceil_div(base.n_blocks, self.k_chunk)
    self.pixel = round_up(self.c_chunk, LANES)
    base.row = base.n_phases * self.pixel
    tiles = <idx_t> UNIT_BYTES // (base.n_points * base.row * <idx_t> sizeof(real))
    cut_runs(base, max(<idx_t> 8, tiles))
    self.n_units = base.n_tasks
    self.n_parts = min(ceil_div(MANY_TASKS, p.groups * self.c_chunks * self.k_chunks),
                       max(<idx_t> 1, all_tiles(base) // LONG_PART))
    self.n_parts = min(self.n_parts, self.n_units)
    base.input_point = odd_lines(base.task_tiles * base.row)
    base.product_point = odd_lines(base.task_tiles * base.width)
    self.sum_point = odd_lines(base.n_phases * self.c_chunk * base.width)
    self.sum_block = base.n_points * self.sum_point
    self.part_elements = (p.groups * p.out_channels * p.in_channels
                          * p.kernel[0] * p.kernel[1] * p.kernel[2])
    self.part_biases = p.groups * base.n_blocks * base.width


cdef idx_t grad_cost(const winograd_grad_t* self) noexcept nogil:
    """Multiply-adds of vectors in the time of everything."""
    cdef const winograd_t* base = &self.base
    cdef const conv_t* p = &base.p
    cdef idx_t tiles = all_tiles(base), px = even(self.c_chunk, tallest(1, base.nv))
    cdef idx_t channels = self.c_chunks * base.row // LANES, lanes = base.n_blocks * base.nv
    # Sums are loaded and stored once for each unit.
    cdef idx_t products = tiles * tile_cost(1, px, base.nv) + self.n_units * 4 * px * base.nv
    products *= base.n_phases * self.c_chunks * ceil_div(self.c_chunk, px) * base.n_blocks
    return p.groups * base.n_points * (
        products
        + tiles * TILE_STEPS * (channels * self.k_chunks + lanes * self.c_chunks)
        + self.n_parts * FILTER_STEPS * base.depth * lanes)


cdef struct grad_workshop_t:
    # The scratch of one thread, beside its sums.
    real* input
    real* grad_output
    real* strip
    real* spare


cdef idx_t lay_out_grad(const winograd_grad_t* self, real* scratch,
                        grad_workshop_t* shop) noexcept nogil:
    """Shares out the scratch; returns its elements."""
    cdef const winograd_t* base = &self.base
    cdef idx_t at = 0
    shop.input = scratch
    at += base.n_points * base.input_point
    shop.grad_output = scratch + at
    at += base.n_points * base.product_point
    shop.strip = scratch + at
    at += round_up(strip_cells(base) * max(self.pixel, base.width), ALIGN)
    shop.spare = scratch + at
    at += SPARE_CELLS * LANES
    return round_up(at, ALIGN)


cdef idx_t task_sums(const winograd_grad_t* self) noexcept nogil:
    """Elements."""
    return self.k_chunk * self.sum_block


cdef idx_t grad_task_elements(const winograd_grad_t* self) noexcept nogil:
    """Of the scratch of a thread."""
    cdef grad_workshop_t shop
    return task_sums(self) + lay_out_grad(self, NULL, &shop)


cdef idx_t later_parts(const winograd_grad_t* self) noexcept nogil:
    """Elements of all parts but the first, which is the gradient itself."""
    return round_up((self.n_parts - 1) * self.part_elements, ALIGN)


cdef idx_t bias_elements(const winograd_grad_t* self) noexcept nogil:
    """Of the sums of grad_output."""
    return round_up(self.n_parts * self.part_biases, ALIGN)


cdef idx_t grad_tasks(const winograd_grad_t* self) noexcept nogil:
    return self.base.p.groups * self.k_chunks * self.c_chunks * self.n_parts


cdef void add_products(const winograd_grad_t* self, idx_t tiles, idx_t channels, idx_t width,
                       const real* input, const real* grad_output, real* sums) noexcept nogil:
    """One block of out channels at every point."""
    cdef const winograd_t* base = &self.base
    cdef idx_t nv = width // LANES, px = even(channels, tallest(1, nv)), at = 0, t, c, i
    cdef idx_t phase
    cdef stream_t s
    s.n_outer, s.n_inner = 1, tiles
    s.a_off = s.b_off = &at
    s.a_unit = s.b_unit = 0
    s.a_row, s.a_step, s.b_step = 1, base.row, width
    s.o_row = width
    s.slope = 1
    for t in range(base.n_points):
        for phase in range(base.n_phases):
            for i in range(ceil_div(channels, px)):
                c = i * px
                run_tile(<int> min(px, channels - c), <int> nv, &s,
                         input + t * base.input_point + phase * self.pixel + c,
                         grad_output + t * base.product_point, ADD, NULL,
                         sums + t * self.sum_point + (phase * self.c_chunk + c) * width)
        if base.ahead != NULL:
            fetch_some(base.ahead)


cdef void store_taps(const winograd_grad_t* self, idx_t group, idx_t c0, idx_t channels,
                     idx_t block, const real* sums, real* grad, real* spare) noexcept nogil:
    """GRAD_FILTER of the sums of a block, into filters [out channel][in channel][tap]."""
    cdef const winograd_t* base = &self.base
    cdef const conv_t* p = &base.p
    cdef idx_t width = block_width(base, block), taps = p.kernel[0] * p.kernel[1] * p.kernel[2]
    cdef idx_t first = block * base.width, c, k0, k, t, i, j, used
    cdef idx_t phase, at
    cdef idx_t s_step[AXES]
    cdef idx_t d_step[AXES]
    cdef real cells[MOST_TAPS * 16]
    cdef real* filter
    steps_of(base.points, self.sum_point, s_step)
    for i in range(ceil_div(width, LANES)):
        k0 = i * LANES
        for c in range(channels):
            for phase in range(base.n_phases):
                steps_of(p.kernel, LANES, d_step)
                at = steps_of_phases(base, phase, d_step)
                transform_grad_filter(base.points,
                                      sums + (phase * self.c_chunk + c) * width + k0, s_step,
                                      cells + at, d_step, spare)
            used = min(<idx_t> LANES, p.out_channels - first - k0)
            filter = grad + ((group * p.out_channels + first + k0) * p.in_channels + c0 + c) * taps
            if c < channels - 1 and (channels - 1 - c) * taps >= LANES:
                # Whole vectors run over what comes next, and is written later.
                for j in range(ceil_div(taps, LANES)):
                    t = j * LANES
                    turn_square(cells + t * LANES, LANES, taps - t, cells + taps * LANES, 0,
                                filter + t, p.in_channels * taps, used)
            else:
                for k in range(used):
                    for t in range(taps):
                        filter[k * p.in_channels * taps + t] = cells[t * LANES + k]


cdef struct share_of_weights_t:
    # What a task sums up.
    idx_t group, c0, channels, first_block, last_block


cdef share_of_weights_t find_share(const winograd_grad_t* self, idx_t index) noexcept nogil:
    cdef const conv_t* p = &self.base.p
    cdef share_of_weights_t share
    cdef idx_t rest = index // self.c_chunks, chunk = rest % self.k_chunks
    share.c0 = index % self.c_chunks * self.c_chunk
    share.channels = min(self.c_chunk, p.in_channels - share.c0)
    share.group = rest // self.k_chunks
    share.first_block = chunk * self.k_chunk
    share.last_block = min(self.base.n_blocks, share.first_block + self.k_chunk)
    return share


cdef void add_units(const winograd_grad_t* self, idx_t index, idx_t first_unit, idx_t last_unit,
                    const real* x, const real* g, real* sums, real* biases,
                    real* scratch) noexcept nogil:
    """Adds some units of tiles to the sums of one chunk of in channels and one of out channels.

    `biases`: [group][block][lane], to which one chunk of in channels adds, or NULL.
    """
    cdef const winograd_t* base = &self.base
    cdef const conv_t* p = &base.p
    cdef share_of_weights_t share = find_share(self, index)
    cdef idx_t unit, r, first, last, tiles, block, width, k0, phase
    cdef side_t input, grad_output = grad_output_side(base)
    cdef grad_workshop_t shop
    cdef run_of_tiles_t run
    cdef real* totals
    lay_out_grad(self, scratch, &shop)
    x = x + (share.group * p.in_channels + share.c0) * p.in_channel
    g = g + share.group * p.out_channels * p.out_channel
    for unit in range(first_unit, last_unit):
        if base.ahead != NULL:
            look_at_task(base, unit + 1, base.n_blocks * base.n_points, x, g, base.ahead)
        first = unit * base.task_runs
        last = min(base.n_runs, first + base.task_runs)
        tiles = 0
        for r in range(first, last):
            run = find_run(base, r)
            for phase in range(base.n_phases):
                input = input_side(base, phase)
                transform_run(INPUT, base, &input, &run, x, share.channels, self.pixel, shop.strip,
                              shop.input + tiles * base.row + phase * self.pixel,
                              base.input_point, base.row, NULL, shop.spare)
            tiles += run.count
        for block in range(share.first_block, share.last_block):
            width = block_width(base, block)
            k0 = block * base.width
            totals = NULL
            if biases != NULL and share.c0 == 0:
                totals = biases + share.group * base.n_blocks * base.width + k0
            tiles = 0
            for r in range(first, last):
                run = find_run(base, r)
                transform_run(GRAD_OUTPUT, base, &grad_output, &run, g + k0 * p.out_channel,
                              min(width, p.out_channels - k0), width, shop.strip,
                              shop.grad_output + tiles * width, base.product_point, width,
                              totals, shop.spare)
                tiles += run.count
            add_products(self, tiles, share.channels, width, shop.input, shop.grad_output,
                         sums + (block - share.first_block) * self.sum_block)


cdef void store_sums(const winograd_grad_t* self, idx_t index, const real* sums, real* grad,
                     real* spare) noexcept nogil:
    """The gradient of what `add_units` has summed up for the same index."""
    cdef share_of_weights_t share = find_share(self, index)
    cdef idx_t block
    for block in range(share.first_block, share.last_block):
        store_taps(self, share.group, share.c0, share.channels, block,
                   sums + (block - share.first_block) * self.sum_block, grad, spare)


cdef void winograd_grad_task(const winograd_grad_t* self, idx_t index, const real* x,
                             const real* g, real* grad, real* parts, real* biases,
                             real* scratch) noexcept nogil:
    """One part of the sum, for one chunk of in channels and one of out channels.

    scratch: its sums, and what `add_units` needs.  `biases`: [part][group][block][lane], or NULL.
    """
    cdef idx_t part = index % self.n_parts, elements = task_sums(self)
    cdef share_of_weights_t share = find_share(self, index // self.n_parts)
    cdef grad_workshop_t shop
    cdef real* sums = scratch
    scratch = scratch + elements
    lay_out_grad(self, scratch, &shop)
    clear(sums, elements)
    if biases != NULL:
        biases = biases + part * self.part_biases
        if share.c0 == 0:
            clear(biases + (share.group * self.base.n_blocks + share.first_block)
                  * self.base.width,
                  (share.last_block - share.first_block) * self.base.width)
    add_units(self, index // self.n_parts, part * self.n_units // self.n_parts,
              (part + 1) * self.n_units // self.n_parts, x, g, sums, biases, scratch)
    if part > 0:
        grad = parts + (part - 1) * self.part_elements
    store_sums(self, index // self.n_parts, sums, grad, shop.spare)


cdef void add_grad_parts(const winograd_grad_t* self, idx_t index, idx_t share, const real* parts,
                         real* grad) noexcept nogil:
    """grad += all parts but the first, which it is, in order; for one share of the weights."""
    cdef idx_t first = index * share, last = min(self.part_elements, first + share), part, i
    for part in range(self.n_parts - 1):
        for i in range(first, last):
            grad[i] += parts[part * self.part_elements + i]


cdef void winograd_grad_share(const winograd_grad_t* self, idx_t thread, shares_t* shares,
                              const real* x, const real* g, real* grad, real* parts,
                              real* biases, real* scratch) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t task = next_task(shares, thread)
    cdef winograd_grad_t plan = self[0]
    cdef ahead_t ahead
    if self.c_chunks * self.k_chunks * self.base.p.groups == 1:
        plan.base.ahead = &ahead
    while task >= 0:
        winograd_grad_task(&plan, task, x, g, grad, parts, biases, scratch)
        task = next_task(shares, thread)
    set_float_mode(mode)


cdef void add_bias_totals(const winograd_grad_t* self, const real* biases,
                          real* grad_bias) noexcept nogil:
    """The sum of all parts, in order."""
    cdef const conv_t* p = &self.base.p
    cdef idx_t lanes = self.base.n_blocks * self.base.width, group, k, part
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    for group in range(p.groups):
        for k in range(p.out_channels):
            grad_bias[group * p.out_channels + k] = biases[group * lanes + k]
            for part in range(1, self.n_parts):
                grad_bias[group * p.out_channels + k] += (
                    biases[part * self.part_biases + group * lanes + k])
    set_float_mode(mode)


cdef int winograd_grad_weight(const conv_t* problem, const real* x, const real* g, real* grad,
                              real* grad_bias, int num_threads) noexcept nogil:
    """grad is C-contiguous: (G, O, I, *kernel); grad_bias may be NULL."""
    cdef winograd_grad_t self
    cdef idx_t i, elements, share = 4096
    cdef unsigned mode
    cdef shares_t shares
    cdef void* memory
    cdef real* parts
    cdef real* biases
    cdef real* scratch
    winograd_grad_plan(&self, problem)
    elements = grad_task_elements(&self)
    memory = take_scratch(<size_t> (
        later_parts(&self) + bias_elements(&self) + num_threads * elements) * sizeof(real) + ALIGN)
    if memory == NULL:
        return NO_MEMORY
    parts = <real*> aligned(memory)
    biases = parts + later_parts(&self)
    scratch = biases + bias_elements(&self)
    share_out(&shares, grad_tasks(&self), num_threads)
    for i in prange(num_threads, num_threads=num_threads, schedule="static", chunksize=1):
        winograd_grad_share(&self, i, &shares, x, g, grad, parts,
                            biases if grad_bias != NULL else NULL,
                            scratch + omp_get_thread_num() * elements)
    if grad_bias != NULL:
        add_bias_totals(&self, biases, grad_bias)
    if self.n_parts > 1:
        for i in prange(ceil_div(self.part_elements, share), num_threads=num_threads,
                        schedule="static"):
            mode = set_float_mode(FLUSH_DENORMALS)
            add_grad_parts(&self, i, share, parts, grad)
            set_float_mode(mode)
    give_scratch(memory)
    return OK
