# The C interface for Cython: `from fastconv cimport ...` (fastconv/__init__.pxd) gives these names.
#
# Must match the declarations in fastconv/include/fastconv.h, which explains them.

from libc.stdint cimport int64_t, intptr_t

from fastconv._kernels.entries cimport fastconv_problem

cdef extern from "fastconv.h" nogil:
    enum:
        FASTCONV_API_VERSION
    enum:
        FASTCONV_OK
        FASTCONV_NO_MEMORY
        FASTCONV_NULL_POINTER
        FASTCONV_BAD_STRUCT_SIZE
        FASTCONV_BAD_DIMENSIONS
        FASTCONV_BAD_SIZE
        FASTCONV_BAD_CHANNELS
        FASTCONV_BAD_WINDOW
        FASTCONV_BAD_PADDING
        FASTCONV_BAD_OUT_SIZE
        FASTCONV_TOO_LARGE
        FASTCONV_BAD_STRIDES
        FASTCONV_UNALIGNED
        FASTCONV_OVERLAP
        FASTCONV_BAD_THREADS
        FASTCONV_BAD_OPTION
        FASTCONV_BAD_INDEX
    enum:
        FASTCONV_FORWARD
        FASTCONV_GRAD_INPUT
    ctypedef struct fastconv_prepared:
        pass

cdef const char* fastconv_status_message(int status) noexcept nogil
cdef void fastconv_release(fastconv_prepared* prepared) noexcept nogil
cdef int fastconv_filter_line_f64(
    double* input, intptr_t in_length, double* output, intptr_t out_length, void* prepared
) noexcept nogil

cdef int fastconv_conv_forward_f32(
    const fastconv_problem* problem, const float* input, const float* weight, const float* bias,
    float* output, int64_t num_threads
) noexcept nogil
cdef int fastconv_conv_grad_input_f32(
    const fastconv_problem* problem, const float* grad_output, const float* weight,
    const float* bias, float* grad_input, int64_t num_threads
) noexcept nogil
cdef int fastconv_conv_grad_weight_f32(
    const fastconv_problem* problem, const float* input, const float* grad_output,
    float* grad_weight, float* grad_bias, int64_t num_threads
) noexcept nogil
cdef int fastconv_conv_prepare_f32(
    const fastconv_problem* problem, int64_t which, const float* weight, const float* bias,
    fastconv_prepared** prepared, int64_t num_threads
) noexcept nogil
cdef int fastconv_conv_run_f32(
    const fastconv_prepared* prepared, const float* input, float* output, int64_t num_threads
) noexcept nogil
cdef int fastconv_max_pool_f32(
    const fastconv_problem* problem, const float* input, float* output, int64_t* indices,
    int64_t num_threads
) noexcept nogil
cdef int fastconv_max_pool_backward_f32(
    const fastconv_problem* problem, const float* grad_output, const int64_t* indices,
    float* grad_input, int64_t num_threads
) noexcept nogil
cdef int fastconv_avg_pool_f32(
    const fastconv_problem* problem, const float* input, float* output, int64_t divisor,
    int64_t num_threads
) noexcept nogil
cdef int fastconv_avg_pool_backward_f32(
    const fastconv_problem* problem, const float* grad_output, float* grad_input, int64_t divisor,
    int64_t num_threads
) noexcept nogil

cdef int fastconv_conv_forward_f64(
    const fastconv_problem* problem, const double* input, const double* weight,
    const double* bias, double* output, int64_t num_threads
) noexcept nogil
cdef int fastconv_conv_grad_input_f64(
    const fastconv_problem* problem, const double* grad_output, const double* weight,
    const double* bias, double* grad_input, int64_t num_threads
) noexcept nogil
cdef int fastconv_conv_grad_weight_f64(
    const fastconv_problem* problem, const double* input, const double* grad_output,
    double* grad_weight, double* grad_bias, int64_t num_threads
) noexcept nogil
cdef int fastconv_conv_prepare_f64(
    const fastconv_problem* problem, int64_t which, const double* weight, const double* bias,
    fastconv_prepared** prepared, int64_t num_threads
) noexcept nogil
cdef int fastconv_conv_run_f64(
    const fastconv_prepared* prepared, const double* input, double* output, int64_t num_threads
) noexcept nogil
cdef int fastconv_max_pool_f64(
    const fastconv_problem* problem, const double* input, double* output, int64_t* indices,
    int64_t num_threads
) noexcept nogil
cdef int fastconv_max_pool_backward_f64(
    const fastconv_problem* problem, const double* grad_output, const int64_t* indices,
    double* grad_input, int64_t num_threads
) noexcept nogil
cdef int fastconv_avg_pool_f64(
    const fastconv_problem* problem, const double* input, double* output, int64_t divisor,
    int64_t num_threads
) noexcept nogil
cdef int fastconv_avg_pool_backward_f64(
    const fastconv_problem* problem, const double* grad_output, double* grad_input,
    int64_t divisor, int64_t num_threads
) noexcept nogil
