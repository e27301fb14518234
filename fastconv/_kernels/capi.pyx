# cython: language_level=3
"""The C interface: fastconv.h's functions, which check a problem and call a kernel.

# Design:
#
# a) The kernel modules of the chosen instruction set hand out their entries (entries.pxd) once, at
#    import.  A call is a check, a thread count and a call through a pointer; no Python object.
#
# b) Checks (capi_checks.pxi) come before anything is written, in the order of fastconv.h's status
#    codes.  What they cannot see is whether memory reaches as far as sizes and strides say.
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
    ELEMENT_WORK = 8            # multiply-adds in the time of an element, as there
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
include "capi_conv.pxi"
include "capi_pool.pxi"
include "capi_status.pxi"
include "capi_names.pxi"


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
