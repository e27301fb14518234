# A convolution together with what is behind it, image by image: what lies between is in L2 when it
# is used.
#
# Forward, a thread convolves an image.  A max-pool takes it from a buffer of the thread, and it
# never goes through memory; of one that goes there for a batch normalization, the moments are taken.
#
# Backward, a thread takes one image of the gradient, or a few small ones, back to the convolution's
# output, into its buffer: it spreads that of a max-pool, or scales that of a batch normalization.
# From there it adds what this gives for the weights to the sums of a part, and convolves it back.
# The images of a part follow from the batch, and parts are added in order.

cdef enum:
    IMAGE_PARTS = 16


cdef inline idx_t image_tasks(const correlate_t* self) noexcept nogil:
    return (self.p.groups * self.n_chunks * self.p.batch
            * self.n_pos[0] * self.n_pos[1] * self.n_pos[2])


cdef struct images_forward_t:
    prepared_t conv
    bint is_normed
    shape_t units                   # of the output, a run for each image
    double* means
    double* squares
    pooled_t pooled
    real* y
    idx_t thread_step, image_step   # from y to where the convolution puts an image


cdef void images_forward_share(const images_forward_t* self, idx_t thread, shares_t* shares,
                               const real* x, real* y, real* scratch) noexcept nogil:
    """y: of this thread."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef const correlate_t* plan = &self.conv.plan
    cdef tiles_t tiles
    cdef idx_t n = next_task(shares, thread), units, i
    while n >= 0:
        for i in range(image_tasks(plan)):
            correlate_task(plan, i, x + n * plan.p.in_batch, NULL, NULL, self.conv.packed,
                           y + n * self.image_step, scratch)
        if self.is_normed:
            units = tasks_of(&self.units, self.units.of_run)
            for i in range(n * units, (n + 1) * units):
                task_moments(&self.units, y, i, self.means, self.squares)
        else:
            tiles = self.pooled.tiles
            tiles.x = y
            move_image(&tiles, n * self.pooled.image)
            max_tiles_rows(&tiles, False, 0, self.pooled.rows)
        n = next_task(shares, thread)
    set_float_mode(mode)


cdef int images_forward(images_forward_t* self, const conv_t* problem, const real* x,
                        const real* w, const real* bias, int num_threads) noexcept nogil:
    cdef conv_t one = problem[0]
    cdef shares_t shares
    cdef idx_t thread, elements
    cdef void* memory = NULL
    cdef real* scratch
    one.batch = 1
    cdef int status = correlate_prepare(&self.conv, &one, w, bias, 1)
    if status == OK:
        elements = task_elements(&self.conv.plan)
        memory = take_scratch(<size_t> (num_threads * elements) * sizeof(real) + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        scratch = <real*> aligned(memory)
        share_out(&shares, problem.batch, num_threads)
        for thread in prange(num_threads, num_threads=num_threads, schedule="static",
                             chunksize=1):
            images_forward_share(self, thread, &shares, x,
                                 self.y + omp_get_thread_num() * self.thread_step,
                                 scratch + omp_get_thread_num() * elements)
    give_scratch(memory)
    correlate_free(&self.conv.plan)
    free(self.conv.memory)
    return status


cdef struct images_backward_t:
    bint is_normed
    scale_t normed
    pooled_t pooled
    idx_t images                    # in a buffer; a batch is a multiple
    idx_t between                   # elements of a buffer
    grad_weight_t weight
    prepared_t input                # grad_input, unless it is not wanted
    bint needs_input
    idx_t n_parts, n_buffers        # of the batch
    idx_t input_step, gate_step     # elements of x or grad_input, and of the gate, for one of these
    idx_t sums, weights, biases     # elements of one part


cdef void gradient_between(const images_backward_t* self, idx_t n, real* between) noexcept nogil:
    """That of the convolution's output for the images of buffer n."""
    cdef tiles_t tiles
    cdef idx_t items
    if self.is_normed:
        items = self.between // self.normed.item
        scale_items(&self.normed, n * items, (n + 1) * items, between)
    else:
        tiles = self.pooled.tiles
        tiles.x = between
        move_image(&tiles, n * self.images * self.pooled.image)
        max_tiles_rows(&tiles, True, 0, self.images * self.pooled.rows)


cdef void backward_part(const images_backward_t* self, idx_t part, const real* x, real* grad_input,
                        real* sums, real* grad, real* grad_bias, real* between,
                        real* scratch) noexcept nogil:
    cdef correlate_t plan
    cdef const grad_weight_t* weight = &self.weight
    cdef idx_t first = part * self.n_buffers // self.n_parts
    cdef idx_t last = (part + 1) * self.n_buffers // self.n_parts, n, i, step
    memset(sums, 0, <size_t> self.sums * sizeof(real))
    if self.needs_input:
        plan = self.input.plan
    for n in range(first, last):
        gradient_between(self, n, between)
        if weight.weight or weight.bias:
            for i in range(weight.p.groups * weight.n_chunks * weight.n_parts):
                weight_task(weight, i, x + n * self.input_step, between, sums, NULL, NULL, scratch)
        if self.needs_input:
            if plan.p.gate != NULL:
                plan.p.gate = self.input.plan.p.gate + n * self.gate_step
            if plan.p.plus != NULL:
                plan.p.plus = self.input.plan.p.plus + n * self.gate_step
            for i in range(image_tasks(&plan)):
                correlate_task(&plan, i, between, NULL, NULL, self.input.packed,
                               grad_input + n * self.input_step, scratch)
    for i in range(weight.p.groups * weight.n_blocks):
        for step in range(weight_steps(weight) if weight.weight else 0):
            add_parts(weight, i, step, block_sums(weight, sums, i), grad)
        if weight.bias:
            add_bias_parts(weight, i, block_sums(weight, sums, i), grad_bias)


cdef void backward_share(const images_backward_t* self, idx_t thread, shares_t* shares,
                         const real* x, real* grad_input, real* parts, real* between,
                         real* scratch) noexcept nogil:
    """A part: its weights, its biases, and its sums."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t part = next_task(shares, thread)
    cdef real* grad
    while part >= 0:
        grad = parts + part * (self.weights + self.biases)
        backward_part(
            self, part, x, grad_input,
            parts + self.n_parts * (self.weights + self.biases) + part * self.sums, grad,
            grad + self.weights, between, scratch)
        part = next_task(shares, thread)
    set_float_mode(mode)


cdef void sum_image_parts(const images_backward_t* self, const real* parts, idx_t count,
                          real* target) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t part, i
    if target != NULL:
        copy(target, parts, count)
        for part in range(1, self.n_parts):
            for i in range(count):
                target[i] += parts[part * (self.weights + self.biases) + i]
    set_float_mode(mode)


cdef int images_backward(images_backward_t* self, const conv_t* forward, const conv_t* backward,
                         const real* x, const real* filters, real* grad_input, real* grad,
                         real* grad_bias, real* between, int num_threads) noexcept nogil:
    """`forward` and `backward`: the problem, and that of grad_input where `filters` is not NULL."""
    cdef conv_t few = forward[0]
    cdef shares_t shares
    cdef idx_t thread, elements = 0, all_parts
    cdef void* memory = NULL
    cdef real* parts
    cdef real* scratch
    cdef int status
    self.needs_input = filters != NULL
    self.n_buffers = forward.batch // self.images
    self.n_parts = min(<idx_t> IMAGE_PARTS, self.n_buffers)
    self.input_step = self.images * forward.in_batch
    self.gate_step = self.images * backward.gate_batch
    few.batch = self.images
    status = weight_plan(&self.weight, &few, 1)
    self.weight.weight, self.weight.bias = grad != NULL, grad_bias != NULL
    self.weight.continued = True
    if self.needs_input:
        few = backward[0]
        few.batch = self.images
        if correlate_prepare(&self.input, &few, filters, NULL, 1) != OK:
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
            backward_share(self, thread, &shares, x, grad_input, parts,
                           between + omp_get_thread_num() * self.between,
                           scratch + omp_get_thread_num() * elements)
        sum_image_parts(self, parts, forward.groups * forward.out_channels * forward.in_channels
                        * self.weight.n_taps, grad)
        sum_image_parts(self, parts + self.weights, forward.groups * forward.out_channels,
                        grad_bias)
    give_scratch(memory)
    free(self.weight.tables)
    window_free(&self.weight.window)
    if self.needs_input:
        correlate_free(&self.input.plan)
        free(self.input.memory)
    return status
