# A convolution together with what is behind it, image by image: what lies between is in L2 when it
# is used.
#
# Forward, a thread convolves an image, or a few small ones.  A max-pool takes it from a buffer of
# the thread, and it never goes through memory; of one that goes there for a batch normalization,
# the moments are taken.
#
# Backward, a thread takes some images of the gradient back to the convolution's output, into its
# buffer: it spreads that of a max-pool, or scales that of a batch normalization.  From there it adds
# what this gives for the weights to the sums of a part, and convolves it back.  The images of a part
# follow from the batch, and parts are added in order.
#
# How images are convolved, and their weights' gradient summed, is the business of the family that
# this is in: conv_of_images.pxi or winograd_of_images.pxi has `convolver_t` and `weigher_t`.

cdef enum:
    IMAGE_PARTS = 16


cdef struct images_forward_t:
    idx_t images                    # that are convolved together; a batch is a multiple
    convolver_t conv
    bint is_normed
    shape_t units                   # of the output, a run for each image
    double* means
    double* squares
    pooled_t pooled
    real* y
    idx_t thread_step, image_step   # from y to where the convolution puts an image


cdef void images_forward_share(const images_forward_t* self, idx_t thread, shares_t* shares,
                               const real* x, idx_t x_step, real* y, real* scratch) noexcept nogil:
    """y: of this thread."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t n = next_task(shares, thread), units, i
    cdef ahead_t ahead
    cdef pooled_t pooled = self.pooled
    while n >= 0:
        # Neighbours are most often of one thread.
        memset(&ahead, 0, sizeof(ahead))
        look_ahead(&ahead, 0, x, n + 1, x_step)
        if self.is_normed:
            look_ahead(&ahead, 1, y, n + 1, self.images * self.image_step)
        convolve(&self.conv, x + n * x_step, 0, y + n * self.images * self.image_step, &ahead,
                 scratch)
        if self.is_normed:
            units = self.images * tasks_of(&self.units, self.units.of_run)
            for i in range(n * units, (n + 1) * units):
                task_moments(&self.units, y, i, self.means, self.squares)
        else:
            pool_images(&pooled, n * self.images, self.images, y, scratch)
        n = next_task(shares, thread)
    set_float_mode(mode)


cdef int images_forward(images_forward_t* self, const conv_t* problem, const real* x,
                        const real* w, const real* bias, int num_threads) noexcept nogil:
    cdef conv_t few = problem[0]
    cdef shares_t shares
    cdef idx_t thread, elements, packed
    cdef void* memory = NULL
    cdef real* scratch
    few.batch = self.images
    cdef int status = convolver_plan(&self.conv, &few)
    if status == OK:
        packed, elements = shared_elements(&self.conv), convolver_elements(&self.conv)
        if not self.is_normed:
            elements = max(elements, turned_elements(&self.pooled, self.images))
        memory = take_scratch(
            <size_t> (packed + num_threads * elements) * sizeof(real) + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        scratch = <real*> aligned(memory)
        convolver_pack(&self.conv, w, bias, scratch, num_threads)
        scratch = scratch + packed
        share_out(&shares, problem.batch // self.images, num_threads)
        for thread in prange(num_threads, num_threads=num_threads, schedule="static",
                             chunksize=1):
            images_forward_share(self, thread, &shares, x, self.images * problem.in_batch,
                                 self.y + omp_get_thread_num() * self.thread_step,
                                 scratch + omp_get_thread_num() * elements)
    give_scratch(memory)
    convolver_free(&self.conv)
    return status


cdef struct images_backward_t:
    bint is_normed
    scale_t normed
    pooled_t pooled
    idx_t images                    # in a buffer; a batch is a multiple
    idx_t between                   # elements of a buffer
    weigher_t weight
    convolver_t input               # grad_input, unless it is not wanted
    bint needs_input
    idx_t n_parts, n_buffers        # of the batch
    idx_t input_step, gate_step     # elements of x or grad_input, and of the gate, for one of these
    idx_t sums, weights, biases     # elements of one part


cdef void gradient_between(const images_backward_t* self, pooled_t* pooled, idx_t n,
                           real* between, real* scratch) noexcept nogil:
    """That of the convolution's output for the images of buffer n; `pooled` is the thread's."""
    cdef idx_t items
    if self.is_normed:
        items = self.between // self.normed.item
        scale_items(&self.normed, n * items, (n + 1) * items, between)
    else:
        spread_images(pooled, n * self.images, self.images, between, scratch)


cdef void backward_part(const images_backward_t* self, pooled_t* pooled, idx_t part, const real* x,
                        real* grad_input, real* grad, real* grad_bias, real* between, real* sums,
                        real* scratch) noexcept nogil:
    cdef idx_t first = part * self.n_buffers // self.n_parts
    cdef idx_t last = (part + 1) * self.n_buffers // self.n_parts, n
    cdef ahead_t ahead
    memset(sums, 0, <size_t> self.sums * sizeof(real))
    for n in range(first, last):
        gradient_between(self, pooled, n, between, scratch)
        weigh(&self.weight, x + n * self.input_step, between, sums, scratch)
        if self.needs_input:
            memset(&ahead, 0, sizeof(ahead))
            look_ahead(&ahead, 0, x, n + 1, self.input_step)
            look_ahead(&ahead, 1, grad_input, n + 1, self.input_step)
            look_ahead(&ahead, 2, self.input.plan.p.plus, n + 1, self.gate_step)
            if self.is_normed:
                look_ahead(&ahead, 3, self.normed.x, n + 1, self.between)
                look_ahead(&ahead, 4, self.normed.g, n + 1, self.between)
            else:
                look_ahead(&ahead, 3, self.pooled.y, n + 1, self.images * self.pooled.image)
            convolve(&self.input, between, n * self.gate_step, grad_input + n * self.input_step,
                     &ahead, scratch)
    put_weights(&self.weight, sums, grad, grad_bias, scratch)


cdef void backward_share(const images_backward_t* self, idx_t thread, shares_t* shares,
                         const real* x, real* grad_input, real* parts, real* between,
                         real* scratch) noexcept nogil:
    """A part: its weights and its biases."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t part = next_task(shares, thread)
    cdef pooled_t pooled = self.pooled
    cdef real* grad
    while part >= 0:
        grad = parts + part * (self.weights + self.biases)
        backward_part(self, &pooled, part, x, grad_input, grad, grad + self.weights, between,
                      scratch, scratch + self.sums)
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
    cdef idx_t thread, elements = 0, all_parts, packed = 0
    cdef idx_t weights = forward.groups * forward.out_channels * forward.in_channels * (
        forward.kernel[0] * forward.kernel[1] * forward.kernel[2])
    cdef idx_t biases = forward.groups * forward.out_channels
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
    status = weigher_plan(&self.weight, &few, grad != NULL, grad_bias != NULL)
    if self.needs_input:
        few = backward[0]
        few.batch = self.images
        if convolver_plan(&self.input, &few) != OK:
            status = NO_MEMORY
    if status == OK:
        self.sums = round_up(weigher_sums(&self.weight), ALIGN)
        self.weights, self.biases = round_up(weights, ALIGN), round_up(biases, ALIGN)
        all_parts = self.n_parts * (self.weights + self.biases)
        elements = round_up(weigher_elements(&self.weight), ALIGN)
        if not self.is_normed:
            elements = max(elements, turned_elements(&self.pooled, self.images))
        if self.needs_input:
            packed = shared_elements(&self.input)
            elements = max(elements, convolver_elements(&self.input))
        elements += self.sums
        memory = take_scratch(<size_t> (
            packed + all_parts + num_threads * elements) * sizeof(real) + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        parts = <real*> aligned(memory)
        if self.needs_input:
            convolver_pack(&self.input, filters, NULL, parts, num_threads)
        parts = parts + packed
        scratch = parts + all_parts
        share_out(&shares, self.n_parts, num_threads)
        for thread in prange(num_threads, num_threads=num_threads, schedule="static",
                             chunksize=1):
            backward_share(self, thread, &shares, x, grad_input, parts,
                           between + omp_get_thread_num() * self.between,
                           scratch + omp_get_thread_num() * elements)
        sum_image_parts(self, parts, weights, grad)
        sum_image_parts(self, parts + self.weights, biases, grad_bias)
    give_scratch(memory)
    weigher_free(&self.weight)
    if self.needs_input:
        convolver_free(&self.input)
    return status
