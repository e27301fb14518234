# What conv_images.pxi asks for, of Winograd's kernels: all tasks of a few images by one thread.

cdef struct convolver_t:
    winograd_t plan
    const real* filters
    const real* bias


cdef int convolver_plan(convolver_t* self, const conv_t* problem) noexcept nogil:
    winograd_plan(&self.plan, problem, 1)
    self.plan.shared = True
    return OK


cdef idx_t shared_elements(const convolver_t* self) noexcept nogil:
    """Of the filters that all threads read."""
    return round_up(filter_elements(&self.plan), ALIGN)


cdef void convolver_pack(convolver_t* self, const real* w, const real* bias, real* packed,
                         int num_threads) noexcept nogil:
    prepare_filters(&self.plan, w, packed, num_threads)
    self.filters, self.bias = packed, bias


cdef idx_t convolver_elements(const convolver_t* self) noexcept nogil:
    """Of the scratch of a thread."""
    cdef workshop_t shop
    return lay_out(&self.plan, NULL, &shop)


cdef void convolve(const convolver_t* self, const real* x, idx_t gate, real* y, ahead_t* ahead,
                   real* scratch) noexcept nogil:
    """Some images; their gate begins so many elements on."""
    cdef winograd_t plan = self.plan
    cdef idx_t i
    if plan.p.gate != NULL:
        plan.p.gate = plan.p.gate + gate
    if plan.p.plus != NULL:
        plan.p.plus = plan.p.plus + gate
    ahead.steps = plan.n_tasks * plan.p.groups * plan.n_blocks * plan.n_points
    plan.ahead = ahead
    for i in range(plan.n_tasks * plan.n_chunks * plan.p.groups):
        winograd_task(&plan, i, x, NULL, self.filters, self.bias, y, scratch)


cdef void convolver_free(convolver_t* self) noexcept nogil:
    pass


cdef struct weigher_t:
    winograd_grad_t plan
    bint weight, bias
    idx_t task_sums         # elements


cdef int weigher_plan(weigher_t* self, const conv_t* problem, bint weight,
                      bint bias) noexcept nogil:
    winograd_grad_plan(&self.plan, problem)
    self.plan.n_parts = 1
    self.weight, self.bias = weight, bias
    self.task_sums = task_sums(&self.plan)
    return OK


cdef inline idx_t weigher_tasks(const weigher_t* self) noexcept nogil:
    return self.plan.base.p.groups * self.plan.c_chunks * self.plan.k_chunks


cdef idx_t weigher_sums(const weigher_t* self) noexcept nogil:
    """Those of all tasks, then those of the biases."""
    return weigher_tasks(self) * self.task_sums + self.plan.part_biases


cdef idx_t weigher_elements(const weigher_t* self) noexcept nogil:
    cdef grad_workshop_t shop
    return lay_out_grad(&self.plan, NULL, &shop)


cdef void weigh(const weigher_t* self, const real* x, const real* g, real* sums,
                real* scratch) noexcept nogil:
    """Adds what some images give to the sums."""
    cdef idx_t i, tasks = weigher_tasks(self)
    cdef real* biases = sums + tasks * self.task_sums if self.bias else NULL
    if self.weight or self.bias:
        for i in range(tasks):
            add_units(&self.plan, i, 0, self.plan.n_units, x, g, sums + i * self.task_sums, biases,
                      scratch)


cdef void put_weights(const weigher_t* self, real* sums, real* grad, real* grad_bias,
                      real* scratch) noexcept nogil:
    cdef idx_t i, tasks = weigher_tasks(self)
    cdef grad_workshop_t shop
    lay_out_grad(&self.plan, scratch, &shop)
    for i in range(tasks if self.weight else 0):
        store_sums(&self.plan, i, sums + i * self.task_sums, grad, shop.spare)
    if self.bias:
        add_bias_totals(&self.plan, sums + tasks * self.task_sums, grad_bias)


cdef void weigher_free(weigher_t* self) noexcept nogil:
    pass
