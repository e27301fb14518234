# Images in parts: strips are filled, lists made and met, gradients stored.

cdef enum:
    IMAGE_PARTS = 16


cdef struct workshop_t:
    # Memory of a thread.
    real* x                 # strips
    real* grad
    real* image             # pixels of an image of planes
    lists_t lists


cdef size_t lay_out(const sparse_t* self, char* memory, workshop_t* shop) noexcept nogil:
    """Bytes; `memory` may be NULL."""
    shop.x = <real*> memory
    shop.grad = shop.x + self.strip
    shop.image = shop.grad + self.strip
    cdef idx_t image = 0 if self.pixels else self.image
    memory = lay_out_lists(self, <char*> (shop.image + round_up(image, ALIGN)), &shop.lists)
    return round_up(memory - <char*> shop.x, ALIGN)


cdef inline idx_t kept_cells(const sparse_t* self, int axis) noexcept nogil:
    """Of the image, those that are in the strip."""
    return max(<idx_t> 0, min(self.p.in_size[axis], self.size[axis] - self.p.pad[axis]))


cdef inline idx_t first_kept(const sparse_t* self) noexcept nogil:
    return (self.p.pad[0] * self.step[0] + self.p.pad[1] * self.step[1]
            + self.p.pad[2] * self.step[2])


cdef void fill_strip(const sparse_t* self, const real* x, const real* x_end,
                     workshop_t* shop) noexcept nogil:
    """Of an image; the strip's margins stay as they are."""
    cdef const conv_t* p = &self.p
    cdef idx_t d, h, row = p.in_size[2] * p.in_channels
    cdef idx_t count = kept_cells(self, 2) * p.in_channels
    cdef real* to = shop.x + first_kept(self)
    if not self.pixels:
        turn_rows(x, p.in_channels, self.image // p.in_channels, 0, p.in_channels, x_end,
                  shop.image)
        x = shop.image
    for d in range(kept_cells(self, 0)):
        for h in range(kept_cells(self, 1)):
            copy(to + d * self.step[0] + h * self.step[1], x + (d * p.in_size[1] + h) * row, count)


cdef void store_gradient(const sparse_t* self, idx_t n, real* grad_input,
                         workshop_t* shop) noexcept nogil:
    cdef const conv_t* p = &self.p
    cdef idx_t d, h, row = p.in_size[2] * p.in_channels
    cdef idx_t count = kept_cells(self, 2) * p.in_channels
    cdef idx_t depth = kept_cells(self, 0), height = kept_cells(self, 1)
    cdef const real* strip = shop.grad + first_kept(self)
    cdef real* image = grad_input + n * self.image if self.pixels else shop.image
    cdef real* to
    cdef idx_t zero[AXES]
    for d in range(p.in_size[0]):
        for h in range(p.in_size[1]):
            to = image + (d * p.in_size[1] + h) * row
            if d < depth and h < height:
                copy(to, strip + d * self.step[0] + h * self.step[1], count)
                clear(to + count, row - count)
            else:
                clear(to, row)
    if not self.pixels:
        turn_rows(image, self.image // p.in_channels, p.in_channels, 0,
                  self.image // p.in_channels, image + self.image, grad_input + n * self.image)
    if p.gate != NULL:
        memset(zero, 0, sizeof(zero))
        finish_cuboid(p, n, 0, p.in_channels, zero, p.in_size, grad_input)


cdef void image_gradients(const sparse_t* self, idx_t n, const real* x, const real* packed,
                          real* grad_input, real* sums, real* biases,
                          workshop_t* shop) noexcept nogil:
    """Of one image; what is not wanted is NULL."""
    cdef idx_t first[AXES]
    cdef idx_t d, h, w, i
    cdef const panel_t* panel
    cdef real* strip = shop.grad if grad_input != NULL else NULL
    if sums != NULL:
        fill_strip(self, x + n * self.image, x + self.p.batch * self.image, shop)
    if strip != NULL:
        memset(strip, 0, self.strip * sizeof(real))
    for d in range(ceil_div(self.windows[0], self.block[0])):
        for h in range(ceil_div(self.windows[1], self.block[1])):
            for w in range(ceil_div(self.windows[2], self.block[2])):
                first[0], first[1], first[2] = (
                    d * self.block[0], h * self.block[1], w * self.block[2])
                list_block(self, &shop.lists, n, first, strip != NULL, biases)
                for i in range(self.n_panels):
                    panel = &self.panels[i]
                    sums_wide(panel.width)(self, &shop.lists, panel, packed, shop.x, sums, strip)
    if strip != NULL:
        store_gradient(self, n, grad_input, shop)


cdef void backward_share(const sparse_t* self, idx_t thread, shares_t* shares, idx_t n_parts,
                         const real* x, const real* packed, real* grad_input, bint weights,
                         real* parts, idx_t part_elements, char* memory) noexcept nogil:
    """A part: its packed sums and its biases."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef workshop_t shop
    cdef idx_t part = next_task(shares, thread), n
    cdef real* sums
    lay_out(self, memory, &shop)
    memset(shop.x, 0, self.strip * sizeof(real))
    while part >= 0:
        sums = parts + part * part_elements
        memset(sums, 0, part_elements * sizeof(real))
        for n in range(part * self.p.batch // n_parts, (part + 1) * self.p.batch // n_parts):
            image_gradients(self, n, x, packed, grad_input, sums if weights else NULL,
                            sums + self.packed, &shop)
        part = next_task(shares, thread)
    set_float_mode(mode)


cdef int sparse_backward(sparse_t* self, const conv_t* problem, const real* x,
                         const real* weight, real* grad_input, real* grad, real* grad_bias,
                         int num_threads) noexcept nogil:
    cdef shares_t shares
    cdef workshop_t shop
    cdef idx_t thread, k, n, packed, part
    cdef idx_t n_parts = min(<idx_t> IMAGE_PARTS, problem.batch)
    cdef size_t bytes = 0
    cdef void* memory = NULL
    cdef real* weights
    cdef real* parts
    cdef char* rooms
    cdef int status = sparse_plan(self, problem)
    if status == OK:
        packed = round_up(self.packed, ALIGN)
        part = round_up(self.packed + self.p.out_channels, ALIGN)
        bytes = lay_out(self, NULL, &shop)
        memory = take_scratch((packed + n_parts * part) * sizeof(real) + num_threads * bytes
                              + ALIGN)
        status = OK if memory != NULL else NO_MEMORY
    if status == OK:
        weights = <real*> aligned(memory)
        parts = weights + packed
        rooms = <char*> (parts + n_parts * part)
        if grad_input != NULL:
            pack_panels(self, weight, weights, num_threads)
        share_out(&shares, n_parts, num_threads)
        for thread in prange(num_threads, num_threads=num_threads, schedule="static",
                             chunksize=1):
            backward_share(self, thread, &shares, n_parts, x, weights, grad_input, grad != NULL,
                           parts, part, rooms + omp_get_thread_num() * bytes)
        if grad != NULL:
            put_sums(self, parts, n_parts, part, grad, num_threads)
        for k in range(self.p.out_channels if grad_bias != NULL else 0):
            grad_bias[k] = parts[self.packed + k]
            for n in range(1, n_parts):
                grad_bias[k] += parts[n * part + self.packed + k]
    give_scratch(memory)
    sparse_free(self)
    return status
