# cython: language_level=3
"""The C interface: fastconv.h's functions, which check a problem and call a kernel.

# Design:
#
# a) The kernel modules of the chosen instruction set hand out their entries (entries.pxd) once, at
#    import.  A call is a check, a thread count and a call through a pointer; no Python object.
#
# b) Checks (capi_checks.pxi) come before anything is written, in the order of fastconv.h's status codes.  What they
#    cannot see is whether memory reaches as far as sizes and strides say.
#
# c) Three doors lead here: capi.pxd for Cython, the capsule `table` for C and C++ (fastconv.h), and
#    fastconv.embed, which hands out what Cython's __pyx_capi__ holds.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int64_t, intptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fastconv._kernels.entries cimport conv_entries, fastconv_problem, pool_entries
from fastconv._kernels.openmp cimport FASTCONV_OPENMP, omp_get_max_threads

from fastconv import _kernels

cdef extern from *:
    """
    static volatile int fastconv_forked = 0;
    #if defined(_WIN32)
    #define watch_forks()
    #else
    #include <pthread.h>
    static void fastconv_note_fork(void) { fastconv_forked = 1; }
    #define watch_forks() (void)pthread_atfork(NULL, NULL, fastconv_note_fork)
    #endif
    """
    int fastconv_forked
    void watch_forks()

cdef extern from "fastconv.h" nogil:
    ctypedef struct fastconv_table:
        int64_t version
        const char* (*status_message)(int status)
        void (*release)(fastconv_prepared* prepared)
        int (*filter_line_f64)(
            double* input, intptr_t in_length, double* output, intptr_t out_length, void* prepared
        )
        int (*conv_forward_f32)(
            const fastconv_problem* problem, const float* input, const float* weight,
            const float* bias, float* output, int64_t num_threads
        )
        int (*conv_grad_input_f32)(
            const fastconv_problem* problem, const float* grad_output, const float* weight,
            const float* bias, float* grad_input, int64_t num_threads
        )
        int (*conv_grad_weight_f32)(
            const fastconv_problem* problem, const float* input, const float* grad_output,
            float* grad_weight, float* grad_bias, int64_t num_threads
        )
        int (*conv_prepare_f32)(
            const fastconv_problem* problem, int64_t which, const float* weight,
            const float* bias, fastconv_prepared** prepared, int64_t num_threads
        )
        int (*conv_run_f32)(
            const fastconv_prepared* prepared, const float* input, float* output,
            int64_t num_threads
        )
        int (*max_pool_f32)(
            const fastconv_problem* problem, const float* input, float* output, int64_t* indices,
            int64_t num_threads
        )
        int (*max_pool_backward_f32)(
            const fastconv_problem* problem, const float* grad_output, const int64_t* indices,
            float* grad_input, int64_t num_threads
        )
        int (*avg_pool_f32)(
            const fastconv_problem* problem, const float* input, float* output, int64_t divisor,
            int64_t num_threads
        )
        int (*avg_pool_backward_f32)(
            const fastconv_problem* problem, const float* grad_output, float* grad_input,
            int64_t divisor, int64_t num_threads
        )
        int (*conv_forward_f64)(
            const fastconv_problem* problem, const double* input, const double* weight,
            const double* bias, double* output, int64_t num_threads
        )
        int (*conv_grad_input_f64)(
            const fastconv_problem* problem, const double* grad_output, const double* weight,
            const double* bias, double* grad_input, int64_t num_threads
        )
        int (*conv_grad_weight_f64)(
            const fastconv_problem* problem, const double* input, const double* grad_output,
            double* grad_weight, double* grad_bias, int64_t num_threads
        )
        int (*conv_prepare_f64)(
            const fastconv_problem* problem, int64_t which, const double* weight,
            const double* bias, fastconv_prepared** prepared, int64_t num_threads
        )
        int (*conv_run_f64)(
            const fastconv_prepared* prepared, const double* input, double* output,
            int64_t num_threads
        )
        int (*max_pool_f64)(
            const fastconv_problem* problem, const double* input, double* output,
            int64_t* indices, int64_t num_threads
        )
        int (*max_pool_backward_f64)(
            const fastconv_problem* problem, const double* grad_output, const int64_t* indices,
            double* grad_input, int64_t num_threads
        )
        int (*avg_pool_f64)(
            const fastconv_problem* problem, const double* input, double* output, int64_t divisor,
            int64_t num_threads
        )
        int (*avg_pool_backward_f64)(
            const fastconv_problem* problem, const double* grad_output, double* grad_input,
            int64_t divisor, int64_t num_threads
        )

cdef enum:
    AXES = 3
    SERIAL_WORK = 1000000       # as in fastconv._threads: less runs on the calling thread
    MOST_THREADS = 1024
    WIDEST_SPAN = 2147483647    # within a window a float32 pool counts cells in 32 bits

cdef int64_t LARGEST = 1LL << 46       # cells along an axis, as in fastconv.functional
cdef int64_t MOST_CELLS = 1LL << 58    # of an array, and steps: their bytes fit 64 bits
cdef int64_t MOST_WORK = 1LL << 54     # multiply-adds: plans count a few times as many


cdef struct kernels_t:
    # The kernels of one element type.
    const conv_entries* conv
    const pool_entries* pool
    int64_t bytes           # of an element


cdef kernels_t load(str char, int64_t bytes):
    cdef kernels_t kernels
    kernels.conv = <const conv_entries*> PyCapsule_GetPointer(_kernels.conv[char].entries(), NULL)
    kernels.pool = <const pool_entries*> PyCapsule_GetPointer(_kernels.pool[char].entries(), NULL)
    kernels.bytes = bytes
    return kernels


cdef kernels_t _f32 = load("f", sizeof(float))
cdef kernels_t _f64 = load("d", sizeof(double))

cdef int default_threads = 1
cdef int openmp_at_import = omp_get_max_threads()
watch_forks()


def set_default_threads(int num_threads):
    """What 0 as a number of threads shall mean."""
    global default_threads
    default_threads = num_threads


cdef int thread_count(int64_t wanted, int64_t work) noexcept nogil:
    """The rule of fastconv._threads."""
    cdef int limit
    if wanted == 1 or (wanted == 0 and work < SERIAL_WORK) or fastconv_forked:
        return 1
    if not FASTCONV_OPENMP:
        return 1
    if wanted == 0:
        wanted = default_threads
    limit = omp_get_max_threads()
    if limit < openmp_at_import:
        wanted = min(wanted, limit)
    return <int> min(wanted, MOST_THREADS)


include "capi_checks.pxi"


# The functions, for any element type.

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
    kernels.pool.max_pool(problem, x, y, indices,
                          thread_count(num_threads, found.work // problem.in_channels))
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
                                      thread_count(num_threads, found.input.count)):
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
        thread_count(num_threads, found.input.count + found.output.count))


cdef const char* fastconv_status_message(int status) noexcept nogil:
    if status == FASTCONV_OK:
        return "done"
    if status == FASTCONV_NO_MEMORY:
        return "no memory for packed weights and scratch"
    if status == FASTCONV_NULL_POINTER:
        return "a pointer must not be NULL"
    if status == FASTCONV_BAD_STRUCT_SIZE:
        return "struct_size must be sizeof(fastconv_problem) of a version that the library knows"
    if status == FASTCONV_BAD_DIMENSIONS:
        return "dimensions must be 1, 2 or 3"
    if status == FASTCONV_BAD_SIZE:
        return "batch, in_size and out_size must be 0 (sizes of a pool: 1) to 2**46"
    if status == FASTCONV_BAD_CHANNELS:
        return ("channels must be 1 to 2**46 and groups divide both; "
                "a pool has one group and as many channels out as in")
    if status == FASTCONV_BAD_WINDOW:
        return ("kernel, stride and dilation must be 1 or more and span at most 2**46 cells; "
                "the dilation of an average pool is 1")
    if status == FASTCONV_BAD_PADDING:
        return "padding must be 0 to 2**46, of a pool at most half of what the kernel spans"
    if status == FASTCONV_BAD_OUT_SIZE:
        return "out_size must be such that the last window begins before the end of the input"
    if status == FASTCONV_TOO_LARGE:
        return "sizes and strides must keep elements below 2**58 and multiply-adds below 2**54"
    if status == FASTCONV_BAD_STRIDES:
        return ("strides of what is written must lead to every element once; "
                "those of a max pool's grad_input also through each plane in equal steps")
    if status == FASTCONV_UNALIGNED:
        return "pointers must be aligned as their elements are"
    if status == FASTCONV_OVERLAP:
        return "what is written must not overlap what is read"
    if status == FASTCONV_BAD_THREADS:
        return "num_threads must be 1 or more, or 0 for the default"
    if status == FASTCONV_BAD_OPTION:
        return ("pass must be FASTCONV_FORWARD or FASTCONV_GRAD_INPUT, and what is prepared for "
                "one element type runs with it")
    if status == FASTCONV_BAD_INDEX:
        return "indices must lie in their plane, or be -1"
    return "no status of fastconv"


# fastconv.h's names.

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


# The table for C and C++.

cdef fastconv_table _table
_table.version = FASTCONV_API_VERSION
_table.status_message = fastconv_status_message
_table.release = fastconv_release
_table.filter_line_f64 = fastconv_filter_line_f64
_table.conv_forward_f32 = fastconv_conv_forward_f32
_table.conv_grad_input_f32 = fastconv_conv_grad_input_f32
_table.conv_grad_weight_f32 = fastconv_conv_grad_weight_f32
_table.conv_prepare_f32 = fastconv_conv_prepare_f32
_table.conv_run_f32 = fastconv_conv_run_f32
_table.max_pool_f32 = fastconv_max_pool_f32
_table.max_pool_backward_f32 = fastconv_max_pool_backward_f32
_table.avg_pool_f32 = fastconv_avg_pool_f32
_table.avg_pool_backward_f32 = fastconv_avg_pool_backward_f32
_table.conv_forward_f64 = fastconv_conv_forward_f64
_table.conv_grad_input_f64 = fastconv_conv_grad_input_f64
_table.conv_grad_weight_f64 = fastconv_conv_grad_weight_f64
_table.conv_prepare_f64 = fastconv_conv_prepare_f64
_table.conv_run_f64 = fastconv_conv_run_f64
_table.max_pool_f64 = fastconv_max_pool_f64
_table.max_pool_backward_f64 = fastconv_max_pool_backward_f64
_table.avg_pool_f64 = fastconv_avg_pool_f64
_table.avg_pool_backward_f64 = fastconv_avg_pool_backward_f64
table = PyCapsule_New(&_table, "fastconv._kernels.capi.table", NULL)
