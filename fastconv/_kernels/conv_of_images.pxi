# What conv_images.pxi asks for, of the direct kernels: all tasks of a few images by one thread.

cdef struct convolver_t:
    correlate_t plan
    const real* packed


cdef int convolver_plan(convolver_t* self, const conv_t* problem) noexcept nogil:
    cdef int status = correlate_plan(&self.plan, problem, 1)
    self.plan.shared = True
    return status


cdef idx_t shared_elements(const convolver_t* self) noexcept nogil:
    """Of the weights that all threads read."""
    return round_up(shared_blocks(&self.plan) * self.plan.block_elements, ALIGN)


cdef void convolver_pack(convolver_t* self, const real* w, const real* bias, real* packed,
                         int num_threads) noexcept nogil:
    pack_blocks(&self.plan, w, bias, packed, num_threads)
    self.packed = packed


cdef idx_t convolver_elements(const convolver_t* self) noexcept nogil:
    """Of the scratch of a thread."""
    return task_elements(&self.plan)


cdef void convolve(const convolver_t* self, const real* x, idx_t gate, real* y, ahead_t* ahead,
                   real* scratch) noexcept nogil:
    """Some images; their gate begins so many elements on."""
    cdef correlate_t plan = self.plan
    cdef idx_t i
    ahead.steps = (plan.p.groups * plan.n_blocks * plan.n_depths * plan.p.batch
                   * plan.p.out_size[0] * plan.p.out_size[1])
    plan.ahead = ahead
    if plan.p.gate != NULL:
        plan.p.gate = plan.p.gate + gate
    if plan.p.plus != NULL:
        plan.p.plus = plan.p.plus + gate
    for i in range(plan.p.groups * plan.n_chunks * plan.p.batch
                   * plan.n_pos[0] * plan.n_pos[1] * plan.n_pos[2]):
        correlate_task(&plan, i, x, NULL, NULL, self.packed, y, scratch)


cdef void convolver_free(convolver_t* self) noexcept nogil:
    correlate_free(&self.plan)


cdef struct weigher_t:
    grad_weight_t plan


cdef int weigher_plan(weigher_t* self, const conv_t* problem, bint weight,
                      bint bias) noexcept nogil:
    cdef int status = weight_plan(&self.plan, problem, 1)
    self.plan.weight, self.plan.bias, self.plan.continued = weight, bias, True
    return status


cdef idx_t weigher_sums(const weigher_t* self) noexcept nogil:
    return all_parts_elements(&self.plan)


cdef idx_t weigher_elements(const weigher_t* self) noexcept nogil:
    return unit_elements(&self.plan)


cdef void weigh(const weigher_t* self, const real* x, const real* g, real* sums,
                real* scratch) noexcept nogil:
    """Adds what some images give to the sums."""
    cdef idx_t i
    if self.plan.weight or self.plan.bias:
        for i in range(self.plan.p.groups * self.plan.n_chunks * self.plan.n_parts):
            weight_task(&self.plan, i, x, g, sums, NULL, NULL, scratch)


cdef void put_weights(const weigher_t* self, real* sums, real* grad, real* grad_bias,
                      real* scratch) noexcept nogil:
    cdef idx_t i, step
    for i in range(self.plan.p.groups * self.plan.n_blocks):
        for step in range(weight_steps(&self.plan) if self.plan.weight else 0):
            add_parts(&self.plan, i, step, block_sums(&self.plan, sums, i), grad)
        if self.plan.bias:
            add_bias_parts(&self.plan, i, block_sums(&self.plan, sums, i), grad_bias)


cdef void weigher_free(weigher_t* self) noexcept nogil:
    free(self.plan.tables)
    window_free(&self.plan.window)
