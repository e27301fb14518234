# Pools: the same for both element types.

cdef int check_indices(const kernels_t* kernels, const checked_t* found, const void* indices,
                       const void* array, const memory_t* m) noexcept nogil:
    cdef memory_t own = dense(found.output.count)
    if <size_t> indices % sizeof(int64_t):
        return FASTCONV_UNALIGNED
    if overlap(indices, &own, sizeof(int64_t), array, m, kernels.bytes):
        return FASTCONV_OVERLAP
    return FASTCONV_OK


cdef int check_span(const fastconv_problem* p, const kernels_t* kernels) noexcept nogil:
    """A float32 pool counts the cells of a window in 32 bits."""
    cdef int64_t span = 0
    cdef int axis, ndim = <int> p.dimensions
    if kernels.bytes > 4:
        return FASTCONV_OK
    for axis in range(ndim):
        # Within the input's cells, of which there are not too many.
        span = span * p.in_size[axis] + min((p.kernel[axis] - 1) * p.dilation[axis],
                                            p.in_size[axis] - 1)
    return FASTCONV_TOO_LARGE if span + p.in_size[ndim - 1] > WIDEST_SPAN else FASTCONV_OK


cdef int largest(const kernels_t* kernels, const fastconv_problem* problem, const void* x, void* y,
                 int64_t* indices, int64_t num_threads) noexcept nogil:
    cdef checked_t found
    cdef int status = check(problem, True, &found)
    if status == FASTCONV_OK:
        status = check_span(problem, kernels)
    if status == FASTCONV_OK:
        status = check_arrays(kernels, x, &found.input, y, &found.output)
    if status == FASTCONV_OK and indices != NULL:
        status = check_indices(kernels, &found, indices, x, &found.input)
    if status == FASTCONV_OK and indices != NULL:
        status = check_indices(kernels, &found, indices, y, &found.output)
    if status == FASTCONV_OK and num_threads < 0:
        status = FASTCONV_BAD_THREADS
    if status != FASTCONV_OK or found.output.count == 0:
        return status
    kernels.pool.max_pool(problem, x, y, indices, thread_count(num_threads, found.work))
    return FASTCONV_OK


cdef int largest_gradient(const kernels_t* kernels, const fastconv_problem* problem,
                          const void* grad_output, const int64_t* indices, void* grad_input,
                          int64_t num_threads) noexcept nogil:
    cdef checked_t found
    cdef int axis, status = check(problem, True, &found)
    if status == FASTCONV_OK:
        status = check_arrays(kernels, grad_output, &found.output, grad_input, &found.input)
    if status == FASTCONV_OK and indices == NULL and found.output.count:
        status = FASTCONV_NULL_POINTER
    if status == FASTCONV_OK:
        status = check_indices(kernels, &found, indices, grad_input, &found.input)
    if status == FASTCONV_OK and num_threads < 0:
        status = FASTCONV_BAD_THREADS
    if status != FASTCONV_OK or found.output.count == 0:
        return status
    for axis in range(<int> problem.dimensions - 1):
        if (problem.in_size[axis] > 1
                and problem.in_strides[axis + 2]
                != problem.in_size[axis + 1] * problem.in_strides[axis + 3]):
            return FASTCONV_BAD_STRIDES     # planes are not flat
    if kernels.pool.max_pool_backward(problem, grad_output, indices, grad_input,
                                      thread_count(num_threads, ELEMENT_WORK * found.input.count)):
        return FASTCONV_BAD_INDEX
    return FASTCONV_OK


cdef int mean(const kernels_t* kernels, const fastconv_problem* problem, void* x, void* y,
              bint backward, int64_t divisor, int64_t num_threads) noexcept nogil:
    cdef checked_t found
    cdef int axis, status = check(problem, True, &found)
    if status == FASTCONV_OK:
        for axis in range(<int> problem.dimensions):
            if problem.dilation[axis] != 1:
                return FASTCONV_BAD_WINDOW
        if backward:
            status = check_arrays(kernels, y, &found.output, x, &found.input)
        else:
            status = check_arrays(kernels, x, &found.input, y, &found.output)
    if status == FASTCONV_OK and num_threads < 0:
        status = FASTCONV_BAD_THREADS
    if status != FASTCONV_OK or found.output.count == 0:
        return status
    return kernels.pool.mean_pool(
        problem, x, y, backward, divisor,
        thread_count(num_threads, ELEMENT_WORK * (found.input.count + found.output.count)))
