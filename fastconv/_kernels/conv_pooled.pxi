# A convolution with the max-pool behind it, image by image: what lies between them stays in L2.
#
# Forward, a thread convolves one image into a buffer of its own and pools that.  Backward, it
# spreads the gradient of the pooled image over the buffer, adds what this gives for the weights to
# the sums of a part, and convolves it back.  The images of a part follow from the batch, and parts
# are added in order.

cdef enum:
    POOLED_PARTS = 16


cdef struct pooled_t:
    tiles_t tiles
    idx_t rows              # of windows, in an image
    idx_t image             # elements of a pooled image
    idx_t between           # from buffer to buffer


cdef pooled_t describe_pooled(const real[:, :, :, :, :] between, real[:, :, :, :, ::1] pooled,
                              const uint8_t[:, :, :, :, ::1] codes, idx_t batch, kernel):
    """`pooled` and `codes` as max_tiles has them, (N, D, H, W, C) or (N * C, D, H, W, 1)."""
    cdef pooled_t self
    cdef idx_t size[3]
    cdef idx_t out[3]
    cdef idx_t window[3]
    cdef idx_t i
    for i in range(3):
        size[i], out[i], window[i] = between.shape[2 + i], pooled.shape[1 + i], kernel[i]
    self.tiles = tiles_of(size, out, pooled.shape[4], window)
    self.tiles.y = &pooled[0, 0, 0, 0, 0]
    self.tiles.codes = NULL if codes is None else <uint8_t*> &codes[0, 0, 0, 0, 0]
    self.rows = pooled.shape[0] // batch * out[0] * out[1]
    self.image = self.rows * out[2] * pooled.shape[4]
    self.between = between.strides[0] // <idx_t> sizeof(real)
    return self


cdef void move_image(tiles_t* tiles, idx_t elements) noexcept nogil:
    tiles.y = tiles.y + elements
    if tiles.codes != NULL:
        tiles.codes = tiles.codes + elements


cdef inline idx_t image_tasks(const correlate_t* self) noexcept nogil:
    return (self.p.groups * self.n_chunks * self.p.batch
            * self.n_pos[0] * self.n_pos[1] * self.n_pos[2])


cdef void pooled_forward_share(const prepared_t* conv, const pooled_t* pooled, idx_t thread,
                               shares_t* shares, const real* x, real* between,
                               real* scratch) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef tiles_t tiles = pooled.tiles
    cdef idx_t n = next_task(shares, thread), before = 0, i
    tiles.x = between
    while n >= 0:
        for i in range(image_tasks(&conv.plan)):
            correlate_task(&conv.plan, i, x + n * conv.plan.p.in_batch, NULL, NULL, conv.packed,
                           between, scratch)
        move_image(&tiles, (n - before) * pooled.image)
        before = n
        max_tiles_rows(&tiles, False, 0, pooled.rows)
        n = next_task(shares, thread)
    set_float_mode(mode)


cdef int pooled_forward(const conv_t* problem, const pooled_t* pooled, const real* x,
                        const real* w, const real* bias, real* between,
                        int num_threads) noexcept nogil:
    cdef prepared_t conv
    cdef conv_t one = problem[0]
    cdef shares_t shares
    cdef idx_t thread, elements
    cdef void* memory = NULL
    cdef real* scratch
    one.batch = 1
    cdef int status = correlate_prepare(&conv, &one, w, bias, 1)
    if status == OK:
        elements = task_elements(&conv.plan)
        memory = take_scratch(<size_t> (num_threads * elements) * sizeof(real) + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        scratch = <real*> aligned(memory)
        share_out(&shares, problem.batch, num_threads)
        for thread in prange(num_threads, num_threads=num_threads, schedule="static",
                             chunksize=1):
            pooled_forward_share(&conv, pooled, thread, &shares, x,
                                 between + omp_get_thread_num() * pooled.between,
                                 scratch + omp_get_thread_num() * elements)
    give_scratch(memory)
    correlate_free(&conv.plan)
    free(conv.memory)
    return status


cdef struct pooled_backward_t:
    pooled_t pooled
    grad_weight_t weight
    prepared_t input        # grad_input, unless it is not wanted
    bint needs_input
    idx_t batch, n_parts
    idx_t sums, weights, biases     # elements of one part


cdef void pooled_backward_part(const pooled_backward_t* self, idx_t part, const real* x,
                               real* grad_input, real* sums, real* grad, real* grad_bias,
                               real* between, real* scratch) noexcept nogil:
    cdef tiles_t tiles = self.pooled.tiles
    cdef correlate_t plan
    cdef const grad_weight_t* weight = &self.weight
    cdef idx_t first = part * self.batch // self.n_parts
    cdef idx_t last = (part + 1) * self.batch // self.n_parts, n, i, step
    tiles.x = between
    move_image(&tiles, first * self.pooled.image)
    memset(sums, 0, <size_t> self.sums * sizeof(real))
    if self.needs_input:
        plan = self.input.plan
    for n in range(first, last):
        max_tiles_rows(&tiles, True, 0, self.pooled.rows)
        move_image(&tiles, self.pooled.image)
        if weight.weight or weight.bias:
            for i in range(weight.p.groups * weight.n_chunks * weight.n_parts):
                weight_task(weight, i, x + n * weight.p.in_batch, between, sums, NULL, NULL,
                            scratch)
        if self.needs_input:
            if plan.p.gate != NULL:
                plan.p.gate = self.input.plan.p.gate + n * plan.p.gate_batch
            for i in range(image_tasks(&plan)):
                correlate_task(&plan, i, between, NULL, NULL, self.input.packed,
                               grad_input + n * plan.p.out_batch, scratch)
    for i in range(weight.p.groups * weight.n_blocks):
        for step in range(weight_steps(weight) if weight.weight else 0):
            add_parts(weight, i, step, block_sums(weight, sums, i), grad)
        if weight.bias:
            add_bias_parts(weight, i, block_sums(weight, sums, i), grad_bias)


cdef void pooled_backward_share(const pooled_backward_t* self, idx_t thread, shares_t* shares,
                                const real* x, real* grad_input, real* parts, real* between,
                                real* scratch) noexcept nogil:
    """A part: its weights, its biases, and its sums."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t part = next_task(shares, thread)
    cdef real* grad
    while part >= 0:
        grad = parts + part * (self.weights + self.biases)
        pooled_backward_part(
            self, part, x, grad_input,
            parts + self.n_parts * (self.weights + self.biases) + part * self.sums, grad,
            grad + self.weights, between, scratch)
        part = next_task(shares, thread)
    set_float_mode(mode)


cdef void sum_pooled_parts(const pooled_backward_t* self, const real* parts, idx_t count,
                           real* target) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t part, i
    if target != NULL:
        copy(target, parts, count)
        for part in range(1, self.n_parts):
            for i in range(count):
                target[i] += parts[part * (self.weights + self.biases) + i]
    set_float_mode(mode)


cdef int pooled_backward(pooled_backward_t* self, const conv_t* forward, const conv_t* backward,
                         const real* x, const real* filters, real* grad_input, real* grad,
                         real* grad_bias, real* between, int num_threads) noexcept nogil:
    """`forward` and `backward`: the problem, and that of grad_input where `filters` is not NULL."""
    cdef conv_t one = forward[0]
    cdef shares_t shares
    cdef idx_t thread, elements = 0, all_parts
    cdef void* memory = NULL
    cdef real* parts
    cdef real* scratch
    cdef int status
    self.batch, self.needs_input = forward.batch, filters != NULL
    self.n_parts = min(<idx_t> POOLED_PARTS, self.batch)
    one.batch = 1
    status = weight_plan(&self.weight, &one, 1)
    self.weight.weight, self.weight.bias = grad != NULL, grad_bias != NULL
    self.weight.continued = True
    if self.needs_input:
        one = backward[0]
        one.batch = 1
        if correlate_prepare(&self.input, &one, filters, NULL, 1) != OK:
            status = NO_MEMORY
    if status == OK:
        self.sums = all_parts_elements(&self.weight)
        self.weights = round_up(forward.groups * forward.out_channels * forward.in_channels
                                * self.weight.n_taps, ALIGN)
        self.biases = round_up(forward.groups * forward.out_channels, ALIGN)
        all_parts = self.n_parts * (self.weights + self.biases + self.sums)
        elements = round_up(unit_elements(&self.weight), ALIGN)
        if self.needs_input:
            elements = max(elements, task_elements(&self.input.plan))
        memory = take_scratch(<size_t> (all_parts + num_threads * elements) * sizeof(real) + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        parts = <real*> aligned(memory)
        scratch = parts + all_parts
        share_out(&shares, self.n_parts, num_threads)
        for thread in prange(num_threads, num_threads=num_threads, schedule="static",
                             chunksize=1):
            pooled_backward_share(self, thread, &shares, x, grad_input, parts,
                                  between + omp_get_thread_num() * self.pooled.between,
                                  scratch + omp_get_thread_num() * elements)
        sum_pooled_parts(self, parts, forward.groups * forward.out_channels * forward.in_channels
                         * self.weight.n_taps, grad)
        sum_pooled_parts(self, parts + self.weights, forward.groups * forward.out_channels,
                         grad_bias)
    give_scratch(memory)
    free(self.weight.tables)
    window_free(&self.weight.window)
    if self.needs_input:
        correlate_free(&self.input.plan)
        free(self.input.memory)
    return status
