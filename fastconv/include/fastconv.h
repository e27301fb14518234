/* fastconv's kernels for C, C++ and whatever calls them.
 *
 * Must match the declarations in fastconv/_kernels/capi.pxd.
 *
 * Convolution ("cross-correlation": filters are not flipped), its two gradients, pools and theirs,
 * on raw pointers, float (_f32) and double (_f64), in one to three spatial axes:
 *
 *     output[n, o, m] = bias[o] + sum over c, r of weight[o, c, r] input[n, c, s m + d r - p]
 *
 * A transposed convolution is the gradient of one: call fastconv_conv_grad_input_* with the problem
 * of the convolution that it transposes, its input as grad_output, and its bias.
 *
 * Where the functions come from
 *     A C or C++ program that runs Python: include Python.h before this file and call
 *     fastconv_import() once per source file, with the GIL; after that the names below work.
 *     C without Python.h: set fastconv_api to the table that somebody hands over
 *     (fastconv.embed.table() is its address).  Cython: from fastconv cimport fastconv_...
 *
 * Shapes
 *     input   (batch, in_channels, *in_size)      steps from element to element: in_strides
 *     output  (batch, out_channels, *out_size)    the same: out_strides
 *     weight  (out_channels, in_channels / groups, *kernel)   dense, in C order
 *     bias    (out_channels,), for grad_input (in_channels,); may be NULL
 *     indices of a max pool: int64_t, (batch, channels, *out_size), dense, in C order
 *     grad_input and grad_output have the steps of input and output.  Strides count elements, not
 *     bytes; those of what is read may be zero or negative, those of what is written may be
 *     negative but must lead to every element once (and those of max_pool_backward through each
 *     plane of grad_input in equal steps).  A pointer is the address of element [0, 0, ...].
 *     A size of zero leaves nothing to do, or zeros or the bias to write; the pointer to an array
 *     without elements may be NULL.
 *
 * Memory
 *     Pointers are aligned as their elements are; no more is needed.  What is written must not
 *     overlap what is read: the ranges from first to last byte are compared.  Arrays remain the
 *     caller's; no call keeps or copies one, but fastconv_conv_prepare_* copies weight and bias.
 *     The library takes scratch memory for a call, and keeps its last block for the next one.
 *
 * Threads
 *     Every call is safe from any thread, with the GIL or, better, without; none touches Python.
 *     num_threads, always last: 1 or more, or 0 for the number of fastconv.set_num_threads, if any,
 *     else what the process might use when fastconv was imported; a small problem then runs on the
 *     calling thread alone.  A lower limit of OpenMP in the calling thread holds in any case.
 *     The result's bits do not depend on any of this.
 *     In a forked child calls run on the calling thread alone.  fork() during a call, by another
 *     thread, is as safe as for malloc: the child may call, too.
 *     Denormal numbers count as zero in sums.
 *
 * Faults
 *     Every function that computes returns FASTCONV_OK or another status, without having written
 *     anything (but in a max_pool_backward with a wrong index).  A struct that contradicts itself
 *     is found out.  That memory reaches as far as sizes and strides say cannot be checked.
 */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows by one whenever the table gains functions or the problem gains fields: those come last, and
 * what was there stays. */
#define FASTCONV_API_VERSION 1

typedef struct fastconv_problem {
    int64_t struct_size; /* sizeof(fastconv_problem) where the caller was compiled */
    int64_t dimensions;  /* spatial axes: 1, 2 or 3; of the arrays below the first so many count */
    int64_t batch;
    int64_t groups; /* divides both channels; group g of the output sees only that of the input */
    int64_t in_channels;
    int64_t out_channels; /* of a pool: in_channels, and groups is 1 */
    int64_t in_size[3];
    int64_t out_size[3]; /* implies the padding on the high side, which may be negative: a crop */
    int64_t kernel[3];
    int64_t stride[3];
    int64_t dilation[3];
    int64_t padding[3];     /* cells before the first input cell; of a pool: on either side */
    int64_t in_strides[5];  /* of batch, channels, and each spatial axis */
    int64_t out_strides[5]; /* the same */
} fastconv_problem;

enum fastconv_status {
    FASTCONV_OK = 0,
    FASTCONV_NO_MEMORY = 1,
    FASTCONV_NULL_POINTER = 2,
    FASTCONV_BAD_STRUCT_SIZE = 3,
    FASTCONV_BAD_DIMENSIONS = 4,
    FASTCONV_BAD_SIZE = 5,
    FASTCONV_BAD_CHANNELS = 6,
    FASTCONV_BAD_WINDOW = 7,
    FASTCONV_BAD_PADDING = 8,
    FASTCONV_BAD_OUT_SIZE = 9,
    FASTCONV_TOO_LARGE = 10,
    FASTCONV_BAD_STRIDES = 11,
    FASTCONV_UNALIGNED = 12,
    FASTCONV_OVERLAP = 13,
    FASTCONV_BAD_THREADS = 14,
    FASTCONV_BAD_OPTION = 15,
    FASTCONV_BAD_INDEX = 16
};

/* What fastconv_conv_prepare_* makes ready. */
enum fastconv_pass { FASTCONV_FORWARD = 0, FASTCONV_GRAD_INPUT = 1 };

/* Weights and bias of one problem and pass, packed as the kernels read them.  Any number of threads
 * may run it at once. */
typedef struct fastconv_prepared fastconv_prepared;

/* The functions, for either element type.  `output` and the grads are written, all else is read.
 *
 * conv_grad_weight    grad_weight (as weight) or grad_bias (out_channels,) may be NULL: not wanted
 * conv_prepare        into *prepared, which is the caller's and goes to fastconv_release; the
 *                     problem, all its strides included, is that of each conv_run to come
 * conv_run            from input to output; for FASTCONV_GRAD_INPUT from grad_output to grad_input
 * max_pool            indices: position of each maximum in its flat plane of *in_size, -1 where a
 *                     window holds no element; may be NULL
 * max_pool_backward   grad_input is the sum of grad_output at the places that indices name, else 0
 * avg_pool            sums over windows; divisor 0: by their cells, those of the padding included,
 *                     -1: by their cells inside the input; any other number: by it.  Dilation is 1
 */
#define FASTCONV_FUNCTIONS(real, type)                                                             \
    int (*conv_forward_##type)(const fastconv_problem *problem, const real *input,                 \
                               const real *weight, const real *bias, real *output,                 \
                               int64_t num_threads);                                               \
    int (*conv_grad_input_##type)(const fastconv_problem *problem, const real *grad_output,        \
                                  const real *weight, const real *bias, real *grad_input,          \
                                  int64_t num_threads);                                            \
    int (*conv_grad_weight_##type)(const fastconv_problem *problem, const real *input,             \
                                   const real *grad_output, real *grad_weight, real *grad_bias,    \
                                   int64_t num_threads);                                           \
    int (*conv_prepare_##type)(const fastconv_problem *problem, int64_t pass, const real *weight,  \
                               const real *bias, fastconv_prepared **prepared,                     \
                               int64_t num_threads);                                               \
    int (*conv_run_##type)(const fastconv_prepared *prepared, const real *input, real *output,     \
                           int64_t num_threads);                                                   \
    int (*max_pool_##type)(const fastconv_problem *problem, const real *input, real *output,       \
                           int64_t *indices, int64_t num_threads);                                 \
    int (*max_pool_backward_##type)(const fastconv_problem *problem, const real *grad_output,      \
                                    const int64_t *indices, real *grad_input,                      \
                                    int64_t num_threads);                                          \
    int (*avg_pool_##type)(const fastconv_problem *problem, const real *input, real *output,       \
                           int64_t divisor, int64_t num_threads);                                  \
    int (*avg_pool_backward_##type)(const fastconv_problem *problem, const real *grad_output,      \
                                    real *grad_input, int64_t divisor, int64_t num_threads);

typedef struct fastconv_table {
    int64_t version;                        /* FASTCONV_API_VERSION of the library */
    const char *(*status_message)(int status); /* a sentence, never NULL */
    void (*release)(fastconv_prepared *prepared); /* NULL will do */
    /* What scipy.ndimage.generic_filter1d calls, as a scipy.LowLevelCallable: conv_run_f64 from one
     * line to another; `prepared`, its user data, is a fastconv_prepared of as many elements.
     * 1 if all is well, else 0. */
    int (*filter_line_f64)(double *input, intptr_t in_length, double *output, intptr_t out_length,
                           void *prepared);
    FASTCONV_FUNCTIONS(float, f32)
    FASTCONV_FUNCTIONS(double, f64)
} fastconv_table;

#ifndef FASTCONV_NO_API
/* One for each source file that includes this one. */
#ifdef __GNUC__
__attribute__((unused))
#endif
static const fastconv_table *fastconv_api = 0;

#define fastconv_version (fastconv_api->version)
#define fastconv_status_message (fastconv_api->status_message)
#define fastconv_release (fastconv_api->release)
#define fastconv_filter_line_f64 (fastconv_api->filter_line_f64)

#define fastconv_conv_forward_f32 (fastconv_api->conv_forward_f32)
#define fastconv_conv_grad_input_f32 (fastconv_api->conv_grad_input_f32)
#define fastconv_conv_grad_weight_f32 (fastconv_api->conv_grad_weight_f32)
#define fastconv_conv_prepare_f32 (fastconv_api->conv_prepare_f32)
#define fastconv_conv_run_f32 (fastconv_api->conv_run_f32)
#define fastconv_max_pool_f32 (fastconv_api->max_pool_f32)
#define fastconv_max_pool_backward_f32 (fastconv_api->max_pool_backward_f32)
#define fastconv_avg_pool_f32 (fastconv_api->avg_pool_f32)
#define fastconv_avg_pool_backward_f32 (fastconv_api->avg_pool_backward_f32)

#define fastconv_conv_forward_f64 (fastconv_api->conv_forward_f64)
#define fastconv_conv_grad_input_f64 (fastconv_api->conv_grad_input_f64)
#define fastconv_conv_grad_weight_f64 (fastconv_api->conv_grad_weight_f64)
#define fastconv_conv_prepare_f64 (fastconv_api->conv_prepare_f64)
#define fastconv_conv_run_f64 (fastconv_api->conv_run_f64)
#define fastconv_max_pool_f64 (fastconv_api->max_pool_f64)
#define fastconv_max_pool_backward_f64 (fastconv_api->max_pool_backward_f64)
#define fastconv_avg_pool_f64 (fastconv_api->avg_pool_f64)
#define fastconv_avg_pool_backward_f64 (fastconv_api->avg_pool_backward_f64)

#ifdef Py_PYTHON_H
/* Imports fastconv; 0, or -1 with a Python exception set.  Needs the GIL. */
static inline int fastconv_import(void) {
    const fastconv_table *table =
        (const fastconv_table *)PyCapsule_Import("fastconv._kernels.capi.table", 0);
    if (table == NULL) return -1;
    if (table->version < FASTCONV_API_VERSION) {
        PyErr_Format(PyExc_ImportError,
                     "fastconv: compiled for version %d of the C interface, installed is version %d",
                     FASTCONV_API_VERSION, (int)table->version);
        return -1;
    }
    fastconv_api = table;
    return 0;
}
#endif
#endif

#ifdef __cplusplus
}
#endif

#endif
