# Convolutions, and those whose filters are prepared: the same for both element types.

cdef int correlate(const kernels_t* kernels, const fastconv_problem* problem, bint transposed,
                   const void* x, const void* weight, const void* bias, void* y,
                   int64_t num_threads) noexcept nogil:
    cdef checked_t found
    cdef memory_t* read = &found.output if transposed else &found.input
    cdef memory_t* written = &found.input if transposed else &found.output
    cdef int status = check(problem, False, &found)
    if status == FASTCONV_OK:
        status = check_arrays(kernels, x, read, y, written)
    if status == FASTCONV_OK:
        status = check_weight(kernels, &found, weight, bias,
                              problem.in_channels if transposed else problem.out_channels,
                              y, written)
    if status == FASTCONV_OK and num_threads < 0:
        status = FASTCONV_BAD_THREADS
    if status != FASTCONV_OK or written.count == 0:
        return status
    return kernels.conv.correlate(problem, transposed, x, weight, bias, y,
                                  thread_count(num_threads, found.work))


cdef int weight_gradient(const kernels_t* kernels, const fastconv_problem* problem,
                         const void* x, const void* grad_output, void* grad_weight,
                         void* grad_bias, int64_t num_threads) noexcept nogil:
    cdef checked_t found
    cdef memory_t biases
    cdef int status = check(problem, False, &found)
    cdef int64_t bytes = kernels.bytes
    if status != FASTCONV_OK:
        return status
    if grad_weight == NULL and grad_bias == NULL:
        return FASTCONV_NULL_POINTER
    biases = dense(problem.out_channels)
    status = check_pointer(x, &found.input, bytes)
    if status == FASTCONV_OK:
        status = check_pointer(grad_output, &found.output, bytes)
    if status == FASTCONV_OK and (<size_t> grad_weight | <size_t> grad_bias) % <size_t> bytes:
        status = FASTCONV_UNALIGNED
    if status == FASTCONV_OK and (
            overlap(x, &found.input, bytes, grad_weight, &found.weight, bytes)
            or overlap(x, &found.input, bytes, grad_bias, &biases, bytes)
            or overlap(grad_output, &found.output, bytes, grad_weight, &found.weight, bytes)
            or overlap(grad_output, &found.output, bytes, grad_bias, &biases, bytes)
            or overlap(grad_weight, &found.weight, bytes, grad_bias, &biases, bytes)):
        status = FASTCONV_OVERLAP
    if status == FASTCONV_OK and num_threads < 0:
        status = FASTCONV_BAD_THREADS
    if status != FASTCONV_OK:
        return status
    if found.output.count == 0:
        if grad_weight != NULL:
            memset(grad_weight, 0, <size_t> (found.weight.count * bytes))
        if grad_bias != NULL:
            memset(grad_bias, 0, <size_t> (problem.out_channels * bytes))
        return FASTCONV_OK
    return kernels.conv.grad_weight(problem, x, grad_output, grad_weight, grad_bias,
                                    thread_count(num_threads, found.work))


cdef struct prepared_t:
    # What a fastconv_prepared is.
    const kernels_t* kernels
    void* own               # the kernel's; NULL where nothing is written
    memory_t read, written
    int64_t work


cdef int prepare(const kernels_t* kernels, const fastconv_problem* problem, int64_t which,
                 const void* weight, const void* bias, fastconv_prepared** prepared,
                 int64_t num_threads) noexcept nogil:
    cdef checked_t found
    cdef memory_t nothing = dense(0)
    cdef prepared_t* made
    cdef bint transposed = which == FASTCONV_GRAD_INPUT
    cdef int status
    if prepared == NULL:
        return FASTCONV_NULL_POINTER
    prepared[0] = NULL
    status = check(problem, False, &found)
    if status == FASTCONV_OK:
        status = check_weight(kernels, &found, weight, bias, 0, NULL, &nothing)
    if status == FASTCONV_OK and not (found.input if transposed else found.output).apart:
        status = FASTCONV_BAD_STRIDES
    if status == FASTCONV_OK and num_threads < 0:
        status = FASTCONV_BAD_THREADS
    if status == FASTCONV_OK and which != FASTCONV_FORWARD and not transposed:
        status = FASTCONV_BAD_OPTION
    if status != FASTCONV_OK:
        return status
    made = <prepared_t*> malloc(sizeof(prepared_t))
    if made == NULL:
        return FASTCONV_NO_MEMORY
    made.kernels, made.own, made.work = kernels, NULL, found.work
    made.read = found.output if transposed else found.input
    made.written = found.input if transposed else found.output
    if made.written.count:
        made.own = kernels.conv.prepare(problem, transposed, weight, bias,
                                        thread_count(num_threads, found.work))
        if made.own == NULL:
            free(made)
            return FASTCONV_NO_MEMORY
    prepared[0] = <fastconv_prepared*> made
    return FASTCONV_OK


cdef int run(const kernels_t* kernels, const fastconv_prepared* prepared, const void* x, void* y,
             int64_t num_threads) noexcept nogil:
    cdef const prepared_t* made = <const prepared_t*> prepared
    cdef int status
    if made == NULL:
        return FASTCONV_NULL_POINTER
    if made.kernels != kernels:
        return FASTCONV_BAD_OPTION
    status = check_arrays(kernels, x, &made.read, y, &made.written)
    if status == FASTCONV_OK and num_threads < 0:
        status = FASTCONV_BAD_THREADS
    if status != FASTCONV_OK or made.written.count == 0:
        return status
    return kernels.conv.run(made.own, x, y, thread_count(num_threads, made.work))


cdef void fastconv_release(fastconv_prepared* prepared) noexcept nogil:
    cdef prepared_t* made = <prepared_t*> prepared
    if made != NULL:
        if made.own != NULL:
            made.kernels.conv.release(made.own)
        free(made)


cdef int fastconv_filter_line_f64(
    double* input, intptr_t in_length, double* output, intptr_t out_length, void* prepared
) noexcept nogil:
    cdef const prepared_t* made = <const prepared_t*> prepared
    if made == NULL or made.read.count != in_length or made.written.count != out_length:
        return 0
    return run(&_f64, <const fastconv_prepared*> prepared, input, output, 1) == FASTCONV_OK
