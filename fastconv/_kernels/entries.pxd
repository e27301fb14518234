# What the kernel modules of each instruction set and element type hand to capi: pointers to their
# entries.  The problem has been checked; `void` stands for the element type.

from libc.stdint cimport int64_t

cdef extern from *:
    """
    #define FASTCONV_NO_API
    #include "fastconv.h"
    """

cdef extern from "fastconv.h" nogil:
    ctypedef struct fastconv_problem:
        int64_t struct_size
        int64_t dimensions
        int64_t batch
        int64_t groups
        int64_t in_channels
        int64_t out_channels
        int64_t in_size[3]
        int64_t out_size[3]
        int64_t kernel[3]
        int64_t stride[3]
        int64_t dilation[3]
        int64_t padding[3]
        int64_t in_strides[5]
        int64_t out_strides[5]


cdef struct conv_entries:
    # `transposed`: grad_input in place of forward.
    int (*correlate)(const fastconv_problem* problem, bint transposed, const void* x,
                     const void* weight, const void* bias, void* y,
                     int num_threads) noexcept nogil
    int (*grad_weight)(const fastconv_problem* problem, const void* x, const void* grad_output,
                       void* grad_weight, void* grad_bias, int num_threads) noexcept nogil
    # NULL without memory.
    void* (*prepare)(const fastconv_problem* problem, bint transposed, const void* weight,
                     const void* bias, int num_threads) noexcept nogil
    int (*run)(const void* prepared, const void* x, void* y, int num_threads) noexcept nogil
    void (*release)(void* prepared) noexcept nogil


cdef struct pool_entries:
    void (*max_pool)(const fastconv_problem* problem, const void* x, void* y, int64_t* indices,
                     int num_threads) noexcept nogil
    # True: an index is wrong.
    bint (*max_pool_backward)(const fastconv_problem* problem, const void* grad_output,
                              const int64_t* indices, void* grad_input,
                              int num_threads) noexcept nogil
    # OK or NO_MEMORY.
    int (*mean_pool)(const fastconv_problem* problem, void* x, void* y, bint backward,
                     int64_t divisor, int num_threads) noexcept nogil
