# A convolution with the max-pool behind it, image by image: what lies between them stays in L2.
#
# A thread convolves one image into a buffer of its own and pools that; conv_images.pxi goes back.


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
