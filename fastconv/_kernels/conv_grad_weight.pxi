# grad_weight: the derivative for every use of a weight, added over the positions that share it.
#
#     grad[k, c, tap] = sum over n, m of  grad_output[n, k, m] * in[n, c, stride m + tap]
#
# Lanes of the tile are output channels, its rows input channels or, where these are few, all taps
# of all channels.  Where output channels are too few to fill lanes, inner products along the columns
# take the tile's place (conv_dot.pxi).

cdef void pack_grad_output(const grad_weight_t* self, const real* g, idx_t block,
                           idx_t e0, idx_t e1, idx_t e2, real* packed) noexcept nogil:
    """[row][column][lanes of the block] from a unit of grad_output; zeros past the last channel."""
    cdef const conv_t* p = &self.p
    cdef idx_t first = block * self.width, width = self.width
    cdef idx_t used = min(width, p.out_channels - first), i0, i1, j, lane
    # Rows that follow each other in memory are turned together.
    cdef bint together = p.out_step[2] == 1 and p.out_step[1] == e2
    # Of this unit; what lies behind it may belong to nobody.
    cdef const real* end = (g + (p.out_channels - 1) * p.out_channel + (e0 - 1) * p.out_step[0]
                            + (e1 - 1) * p.out_step[1] + (e2 - 1) * p.out_step[2] + 1)
    cdef const real* row
    cdef real* target
    for i0 in range(e0):
        for i1 in range(1 if together else e1):
            row = g + first * p.out_channel + i0 * p.out_step[0] + i1 * p.out_step[1]
            target = packed + (i0 * e1 + i1) * e2 * width
            if p.out_step[2] == 1:
                planes_to_pixels(row, p.out_channel, 1, e1 * e2 if together else e2, used, end,
                                 target, width)
            elif p.out_channel == 1:
                for j in range(e2):
                    copy(target + j * width, row + j * p.out_step[2], used)
                    clear(target + j * width + used, width - used)
            else:
                for j in range(e2):
                    for lane in range(width):
                        target[j * width + lane] = (
                            row[j * p.out_step[2] + lane * p.out_channel] if lane < used else 0)


cdef void mixed_unit(const grad_weight_t* self, stream_t* s, const real* cells, const real* g,
                     idx_t nv, start_t start, const real* none, real* part) noexcept nogil:
    """Rows of the tile are taps and channels."""
    cdef idx_t all = self.n_taps * self.p.in_channels, j, rows
    cdef idx_t px = even(all, tallest_lanewise(nv, False) if self.lanewise else tallest(1, nv))
    for j in range(ceil_div(all, px)):
        s.a_rows = self.row_input + j * px
        rows = min(px, all - j * px)
        if self.lanewise:
            run_lanewise(<int> rows, <int> nv, s, cells, g, start, none, part + j * px * s.o_row)
        else:
            run_listed(<int> rows, <int> nv, s, cells, g, start, none, part + j * px * s.o_row)


cdef void tap_unit(const grad_weight_t* self, const stream_t* s, idx_t chain, const real* cells,
                   const real* g, idx_t nv, start_t start, const real* none,
                   real* part) noexcept nogil:
    """Rows of the tile are channels, at a tap or at a chain of taps that begins there."""
    cdef idx_t channels = self.p.in_channels, o_tap = channels * s.o_row, j, c, rows
    cdef idx_t px = even(channels, tallest(1, nv) if chain == 1 else tallest_chain(chain, nv))
    for j in range(ceil_div(channels, px)):
        c = j * px
        rows = min(px, channels - c)
        if chain == 1:
            run_tile(<int> rows, <int> nv, s, cells + c * s.a_row, g, start, none,
                     part + c * s.o_row)
        else:
            run_rolling_chain(<int> chain, <int> rows, <int> nv, s, cells + c * s.a_row, g,
                              part + c * s.o_row, o_tap)


cdef void tile_unit(const grad_weight_t* self, const stream_t* s, idx_t* rows_of,
                    const real* cells, const real* g, idx_t block, bint fresh,
                    real* part) noexcept nogil:
    """Adds one unit to a part [tap][in channel][lanes of the block] by tiles; fresh: to nothing."""
    cdef const conv_t* p = &self.p
    cdef idx_t width = block_width(self, block), t = 0, chain
    cdef int v
    cdef stream_t stream = s[0]
    cdef rows_t row
    cdef vec none[MAX_NV]
    cdef start_t start = LANE_BIAS if fresh else ADD
    for v in range(MAX_NV):
        none[v] = splat(0)
    stream.o_row = p.w_in if at_home(self) else width
    if self.mixed:
        mixed_unit(self, &stream, cells, g, width // LANES, start, <const real*> none, part)
        return
    stream.a_row = self.window.channel_step
    while t < self.n_taps:
        if self.lines:
            row = line_rows(self, rows_of, 1 + t // p.kernel[2])
            stream.n_outer, stream.a_off, stream.b_off = row.count, row.a_off, row.b_off
        # The last unit of a row may be too short for chains.
        chain = self.tap_chain[t] if s.n_inner >= self.longest else 1
        tap_unit(self, &stream, chain, cells + self.tap_input[t], g, width // LANES, start,
                 <const real*> none, part + t * p.in_channels * width)
        t += chain


cdef void pack_rows(const grad_weight_t* self, const real* g, idx_t e0, idx_t e1, idx_t e2,
                    real* packed) noexcept nogil:
    """[channel][row][columns in whole vectors] from a block of grad_output."""
    cdef const conv_t* p = &self.p
    cdef idx_t k, i0, i1, j, row = round_up(e2, LANES), whole = e2 // LANES
    # Of this unit; what lies behind it may belong to nobody.
    cdef const real* end = (g + (p.out_channels - 1) * p.out_channel + (e0 - 1) * p.out_step[0]
                            + (e1 - 1) * p.out_step[1] + e2)
    cdef const real* source
    for k in range(p.out_channels):
        for i0 in range(e0):
            for i1 in range(e1):
                source = g + k * p.out_channel + i0 * p.out_step[0] + i1 * p.out_step[1]
                if p.out_step[2] == 1 and source + row <= end:
                    for j in range(whole):
                        (<vec*> packed)[j] = (<const vec*> source)[j]
                    if row > e2:
                        (<vec*> packed)[whole] = first_lanes((<const vec*> source)[whole],
                                                             e2 - whole * LANES)
                else:
                    for j in range(e2):
                        packed[j] = source[j * p.out_step[2]]
                    clear(packed + e2, row - e2)
                packed += row


cdef void dot_unit(const grad_weight_t* self, const stream_t* s, const real* cells,
                   const real* packed, real* part) noexcept nogil:
    """Adds one unit to a part [tap][in channel][out channel] by inner products."""
    cdef const conv_t* p = &self.p
    cdef idx_t c
    cdef dot_t dots
    dots.rows = s.n_outer
    dots.columns = s.n_inner
    dots.x_off = s.a_off
    dots.tap_off = self.tap_input
    dots.g_row = round_up(s.n_inner, LANES)
    dots.g_channel = s.n_outer * dots.g_row
    dots.sum_tap = p.in_channels * self.width
    for c in range(p.in_channels):
        add_dots(&dots, p.out_channels, self.n_taps, cells + c * self.window.channel_step,
                 packed, part + c * self.width)


cdef idx_t packed_elements(const grad_weight_t* self) noexcept nogil:
    """Of one unit of grad_output."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef idx_t columns = round_up(axis[2].block, LANES) if self.dots else axis[2].block
    return round_up(most_rows(self) * columns * self.width, ALIGN)


cdef const real* find_cells(const grad_weight_t* self, const real* x, idx_t images,
                            const idx_t* m, idx_t first, idx_t channels,
                            real* strips) noexcept nogil:
    """Where the window of a unit begins; fills the strips where there are some."""
    cdef const window_t* window = &self.window
    cdef idx_t i
    if window.direct:
        return (x + first * self.p.in_channel + m[0] * window.plane_step + m[1] * window.row_step
                + m[2] * window.cell_step)
    for i in range(images if self.weight else 0):
        window_fill(window, &self.p, x + i * self.p.in_batch, first, channels, m,
                    strips + i * window.elements)
    return strips


cdef void weight_task(const grad_weight_t* self, idx_t task, const real* x, const real* g,
                      real* parts, real* grad, real* grad_bias, real* scratch) noexcept nogil:
    """One part of the sum for a chunk of the blocks of output channels."""
    cdef const conv_t* p = &self.p
    cdef const window_t* window = &self.window
    cdef const axis_t* axis = &window.axis[0]
    cdef idx_t part = task % self.n_parts, chunk = task // self.n_parts % self.n_chunks
    cdef idx_t group = task // self.n_parts // self.n_chunks
    cdef idx_t first = chunk * self.chunk, last = min(self.n_blocks, first + self.chunk)
    cdef idx_t m[AXES]
    cdef idx_t e[AXES]
    cdef idx_t first_unit, unit, rest, n, images, block, i
    cdef int a
    cdef bint home = at_home(self)
    cdef real* sums
    cdef real* weights
    cdef real* strips = scratch
    cdef real* packed = strips + self.images * window.elements
    cdef real* own = scratch + unit_elements(self)
    cdef idx_t* tables = <idx_t*> (packed + packed_elements(self))
    cdef const real* image
    cdef const real* cells = NULL
    cdef const real* lanes
    cdef const real* grad_output
    cdef rows_t rows = line_rows(self, tables, 0)
    cdef stream_t s
    s.a_off, s.b_off = rows.a_off, rows.b_off
    s.a_unit = s.b_unit = 1
    s.slope = 1
    s.a_step = window.cell_step
    s.b_step = p.out_step[2] if self.in_place else self.width
    for block in range(first, first if self.continued else last):
        memset(task_sums(self, parts, own, group, block - first, chunk, part), 0,
               <size_t> sums_elements(self) * sizeof(real))
    first_unit = part * self.n_units // self.n_parts
    for unit in range(first_unit, (part + 1) * self.n_units // self.n_parts):
        rest = unit
        for a in range(AXES - 1, -1, -1):
            m[a] = rest % self.n_pos[a] * axis[a].block
            e[a] = min(axis[a].block, p.out_size[a] - m[a])
            rest //= self.n_pos[a]
        n = rest * self.images
        images = min(self.images, p.batch - n)
        image = x + n * p.in_batch + group * p.in_channels * p.in_channel
        lanes = (g + n * p.out_batch + group * p.out_channels * p.out_channel
                 + m[0] * p.out_step[0] + m[1] * p.out_step[1] + m[2] * p.out_step[2])
        if not self.lanewise:
            cells = find_cells(self, image, images, m, 0, p.in_channels, strips)
        find_unit_rows(self, m, e, images, tables)
        s.n_outer = images * e[0] * e[1]
        s.n_inner = e[2]
        for block in range(first, last):
            sums = task_sums(self, parts, own, group, block - first, chunk, part)
            if self.lanewise:
                cells = find_cells(self, image, images, m, block * self.width,
                                   min(self.width, p.out_channels - block * self.width), strips)
            if self.dots:
                pack_rows(self, lanes, e[0], e[1], e[2], packed)
                if self.bias:
                    dot_bias(self, &s, packed, sums + bias_row(self))
                if self.weight:
                    dot_unit(self, &s, cells, packed, sums)
            else:
                grad_output = lanes + block * self.width
                if not self.in_place:
                    for i in range(images):
                        pack_grad_output(self, lanes + i * p.out_batch, block, e[0], e[1], e[2],
                                         packed + i * e[0] * e[1] * e[2] * self.width)
                    grad_output = packed
                if self.bias:
                    tile_bias(self, &s, grad_output, block, sums + bias_row(self))
                if self.weight:
                    weights = sums
                    if home:
                        weights = grad + group * p.w_group + block * self.width
                    tile_unit(self, &s, tables, cells, grad_output, block,
                              home and unit == first_unit, weights)
    if alone(self):
        # While the sums are in cache.
        for block in range(first, last):
            sums = own + (block - first) * sums_elements(self)
            if self.bias:
                add_bias_parts(self, group * self.n_blocks + block, sums, grad_bias)
            for i in range(weight_steps(self) if self.weight and not home else 0):
                add_parts(self, group * self.n_blocks + block, i, sums, grad)


cdef idx_t unit_elements(const grad_weight_t* self) noexcept nogil:
    """Of the scratch of one thread, without sums of its own."""
    return self.images * self.window.elements + packed_elements(self) + row_elements(self)


cdef void weight_share(const grad_weight_t* self, idx_t thread, shares_t* shares, const real* x,
                       const real* g, real* parts, real* grad, real* grad_bias,
                       real* scratch) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t task = next_task(shares, thread)
    while task >= 0:
        weight_task(self, task, x, g, parts, grad, grad_bias, scratch)
        task = next_task(shares, thread)
    set_float_mode(mode)


cdef int accumulate_weight(const conv_t* problem, const real* x, const real* g, real* grad,
                           real* grad_bias, int num_threads) noexcept nogil:
    """`grad` or `grad_bias` may be NULL: the sums of the other are the same without it."""
    cdef conv_t p = problem[0]
    if not worth_exchanging(&p):
        return accumulate(&p, x, g, grad, grad_bias, num_threads)
    if grad_bias != NULL:
        sum_pixels(&p, g, grad_bias, num_threads)
    if grad == NULL:
        return OK
    exchange(&p)
    return accumulate(&p, g, x, grad, NULL, num_threads)


cdef int accumulate(const conv_t* problem, const real* x, const real* g, real* grad,
                    real* grad_bias, int num_threads) noexcept nogil:
    cdef grad_weight_t self
    cdef idx_t i, block, blocks, part_elements, elements, n_steps
    cdef bint several
    cdef idx_t status = weight_plan(&self, problem, num_threads)
    cdef unsigned mode
    cdef shares_t shares
    cdef void* memory = NULL
    cdef real* parts
    cdef real* scratch
    if status == OK:
        blocks = self.p.groups * self.n_blocks
        part_elements = all_parts_elements(&self)
        elements = unit_elements(&self) + own_elements(&self)
        memory = take_scratch(
            <size_t> (part_elements + num_threads * elements) * sizeof(real) + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        self.weight = grad != NULL
        self.bias = grad_bias != NULL
        parts = <real*> aligned(memory)
        scratch = parts + part_elements
        share_out(&shares, self.p.groups * self.n_chunks * self.n_parts, num_threads)
        for i in prange(num_threads, num_threads=num_threads, schedule="static", chunksize=1):
            weight_share(&self, i, &shares, x, g, parts, grad, grad_bias,
                         scratch + omp_get_thread_num() * elements)
        several = self.n_parts > 1
        n_steps = weight_steps(&self)
        for i in prange(blocks * n_steps if several and self.weight else 0,
                        num_threads=num_threads, schedule="static"):
            mode = set_float_mode(FLUSH_DENORMALS)
            add_parts(&self, i // n_steps, i % n_steps, block_sums(&self, parts, i // n_steps),
                      grad)
            set_float_mode(mode)
        if several and self.bias:
            mode = set_float_mode(FLUSH_DENORMALS)
            for block in range(blocks):
                add_bias_parts(&self, block, block_sums(&self, parts, block), grad_bias)
            set_float_mode(mode)
    give_scratch(memory)
    free(self.tables)
    window_free(&self.window)
    return <int> status
