# The kernels for capi: problems that come as a struct, checked there, and weights in C order.

cdef conv_t problem_of(const fastconv_problem* problem, bint transposed) noexcept nogil:
    """As `describe` finds it in arrays: of a forward pass, or of grad_input with its weight."""
    cdef conv_t p
    cdef int axis, at, ndim = <int> problem.dimensions
    cdef idx_t taps = 1
    memset(&p, 0, sizeof(conv_t))
    p.batch, p.groups = problem.batch, problem.groups
    p.in_channels = problem.in_channels // p.groups
    p.out_channels = problem.out_channels // p.groups
    p.in_batch, p.in_channel = problem.in_strides[0], problem.in_strides[1]
    p.out_batch, p.out_channel = problem.out_strides[0], problem.out_strides[1]
    for axis in range(AXES - 1, -1, -1):
        at = axis - (AXES - ndim)
        p.stretch[axis] = 1
        p.w_step[axis] = taps
        if at < 0:
            p.in_size[axis] = p.out_size[axis] = p.kernel[axis] = 1
            p.stride[axis] = p.dilation[axis] = 1
            # As if the axis had been there, so that axes can be merged.
            p.in_step[axis] = p.in_size[axis + 1] * p.in_step[axis + 1]
            p.out_step[axis] = p.out_size[axis + 1] * p.out_step[axis + 1]
            continue
        p.in_size[axis], p.in_step[axis] = problem.in_size[at], problem.in_strides[2 + at]
        p.out_size[axis], p.out_step[axis] = problem.out_size[at], problem.out_strides[2 + at]
        p.kernel[axis], p.stride[axis] = problem.kernel[at], problem.stride[at]
        p.dilation[axis], p.pad[axis] = problem.dilation[at], problem.padding[at]
        taps *= p.kernel[axis]
    p.w_in = taps
    p.w_out = p.in_channels * taps
    p.w_group = p.out_channels * p.w_out
    p.slope = 1
    if transposed:
        p.in_channels, p.out_channels = p.out_channels, p.in_channels
        p.in_batch, p.out_batch = p.out_batch, p.in_batch
        p.in_channel, p.out_channel = p.out_channel, p.in_channel
        p.w_in, p.w_out = p.w_out, p.w_in
        for axis in range(AXES):
            p.in_size[axis], p.out_size[axis] = p.out_size[axis], p.in_size[axis]
            p.in_step[axis], p.out_step[axis] = p.out_step[axis], p.in_step[axis]
            p.w_step[axis] = -p.w_step[axis]
        stretch_input(&p)
    p.gate_batch, p.gate_channel, p.gate_step = p.out_batch, p.out_channel, p.out_step
    return p


cdef const real* first_weight(const conv_t* p, const void* weight) noexcept nogil:
    """Of the regrouped filters of grad_input the last tap comes first."""
    cdef const real* w = <const real*> weight
    if p.w_step[AXES - 1] < 0:
        w += p.kernel[0] * p.kernel[1] * p.kernel[2] - 1
    return w


cdef int correlate_entry(const fastconv_problem* problem, bint transposed, const void* x,
                         const void* weight, const void* bias, void* y,
                         int num_threads) noexcept nogil:
    cdef conv_t p = problem_of(problem, transposed)
    return correlate(&p, <const real*> x, first_weight(&p, weight), <const real*> bias, <real*> y,
                     num_threads)


cdef int grad_weight_entry(const fastconv_problem* problem, const void* x,
                           const void* grad_output, void* grad_weight, void* grad_bias,
                           int num_threads) noexcept nogil:
    cdef conv_t p = problem_of(problem, False)
    return accumulate_weight(&p, <const real*> x, <const real*> grad_output, <real*> grad_weight,
                             <real*> grad_bias, num_threads)


cdef void* prepare_entry(const fastconv_problem* problem, bint transposed, const void* weight,
                         const void* bias, int num_threads) noexcept nogil:
    cdef conv_t p = problem_of(problem, transposed)
    cdef prepared_t* prepared = <prepared_t*> malloc(sizeof(prepared_t))
    if prepared == NULL:
        return NULL
    if correlate_prepare(prepared, &p, first_weight(&p, weight), <const real*> bias,
                         num_threads) != OK:
        release_entry(prepared)
        return NULL
    return prepared


cdef int run_entry(const void* prepared, const void* x, void* y, int num_threads) noexcept nogil:
    return correlate_prepared(<const prepared_t*> prepared, <const real*> x, <real*> y,
                              num_threads)


cdef void release_entry(void* prepared) noexcept nogil:
    cdef prepared_t* own = <prepared_t*> prepared
    correlate_free(&own.plan)
    free(own.memory)
    free(own)


cdef conv_entries table
table.correlate = correlate_entry
table.grad_weight = grad_weight_entry
table.prepare = prepare_entry
table.run = run_entry
table.release = release_entry


def entries():
    """A capsule that holds a conv_entries (entries.pxd)."""
    return PyCapsule_New(&table, NULL, NULL)
