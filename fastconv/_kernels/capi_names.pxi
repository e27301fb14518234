# fastconv.h's names, which say the element type.

cdef int fastconv_conv_forward_f32(
    const fastconv_problem* problem, const float* input, const float* weight, const float* bias,
    float* output, int64_t num_threads
) noexcept nogil:
    return correlate(&_f32, problem, False, input, weight, bias, output, num_threads)


cdef int fastconv_conv_grad_input_f32(
    const fastconv_problem* problem, const float* grad_output, const float* weight,
    const float* bias, float* grad_input, int64_t num_threads
) noexcept nogil:
    return correlate(&_f32, problem, True, grad_output, weight, bias, grad_input, num_threads)


cdef int fastconv_conv_grad_weight_f32(
    const fastconv_problem* problem, const float* input, const float* grad_output,
    float* grad_weight, float* grad_bias, int64_t num_threads
) noexcept nogil:
    return weight_gradient(&_f32, problem, input, grad_output, grad_weight, grad_bias, num_threads)


cdef int fastconv_conv_prepare_f32(
    const fastconv_problem* problem, int64_t which, const float* weight, const float* bias,
    fastconv_prepared** prepared, int64_t num_threads
) noexcept nogil:
    return prepare(&_f32, problem, which, weight, bias, prepared, num_threads)


cdef int fastconv_conv_run_f32(
    const fastconv_prepared* prepared, const float* input, float* output, int64_t num_threads
) noexcept nogil:
    return run(&_f32, prepared, input, output, num_threads)


cdef int fastconv_max_pool_f32(
    const fastconv_problem* problem, const float* input, float* output, int64_t* indices,
    int64_t num_threads
) noexcept nogil:
    return largest(&_f32, problem, input, output, indices, num_threads)


cdef int fastconv_max_pool_backward_f32(
    const fastconv_problem* problem, const float* grad_output, const int64_t* indices,
    float* grad_input, int64_t num_threads
) noexcept nogil:
    return largest_gradient(&_f32, problem, grad_output, indices, grad_input, num_threads)


cdef int fastconv_avg_pool_f32(
    const fastconv_problem* problem, const float* input, float* output, int64_t divisor,
    int64_t num_threads
) noexcept nogil:
    return mean(&_f32, problem, <void*> input, output, False, divisor, num_threads)


cdef int fastconv_avg_pool_backward_f32(
    const fastconv_problem* problem, const float* grad_output, float* grad_input, int64_t divisor,
    int64_t num_threads
) noexcept nogil:
    return mean(&_f32, problem, grad_input, <void*> grad_output, True, divisor, num_threads)


cdef int fastconv_conv_forward_f64(
    const fastconv_problem* problem, const double* input, const double* weight,
    const double* bias, double* output, int64_t num_threads
) noexcept nogil:
    return correlate(&_f64, problem, False, input, weight, bias, output, num_threads)


cdef int fastconv_conv_grad_input_f64(
    const fastconv_problem* problem, const double* grad_output, const double* weight,
    const double* bias, double* grad_input, int64_t num_threads
) noexcept nogil:
    return correlate(&_f64, problem, True, grad_output, weight, bias, grad_input, num_threads)


cdef int fastconv_conv_grad_weight_f64(
    const fastconv_problem* problem, const double* input, const double* grad_output,
    double* grad_weight, double* grad_bias, int64_t num_threads
) noexcept nogil:
    return weight_gradient(&_f64, problem, input, grad_output, grad_weight, grad_bias, num_threads)


cdef int fastconv_conv_prepare_f64(
    const fastconv_problem* problem, int64_t which, const double* weight, const double* bias,
    fastconv_prepared** prepared, int64_t num_threads
) noexcept nogil:
    return prepare(&_f64, problem, which, weight, bias, prepared, num_threads)


cdef int fastconv_conv_run_f64(
    const fastconv_prepared* prepared, const double* input, double* output, int64_t num_threads
) noexcept nogil:
    return run(&_f64, prepared, input, output, num_threads)


cdef int fastconv_max_pool_f64(
    const fastconv_problem* problem, const double* input, double* output, int64_t* indices,
    int64_t num_threads
) noexcept nogil:
    return largest(&_f64, problem, input, output, indices, num_threads)


cdef int fastconv_max_pool_backward_f64(
    const fastconv_problem* problem, const double* grad_output, const int64_t* indices,
    double* grad_input, int64_t num_threads
) noexcept nogil:
    return largest_gradient(&_f64, problem, grad_output, indices, grad_input, num_threads)


cdef int fastconv_avg_pool_f64(
    const fastconv_problem* problem, const double* input, double* output, int64_t divisor,
    int64_t num_threads
) noexcept nogil:
    return mean(&_f64, problem, <void*> input, output, False, divisor, num_threads)


cdef int fastconv_avg_pool_backward_f64(
    const fastconv_problem* problem, const double* grad_output, double* grad_input,
    int64_t divisor, int64_t num_threads
) noexcept nogil:
    return mean(&_f64, problem, grad_input, <void*> grad_output, True, divisor, num_threads)
