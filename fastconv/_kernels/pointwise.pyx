# cython: language_level=3
"""One pass over arrays of equal shape: losses, and the steps of the optimizers.

# Design:
#
# a) Arrays come flat.  All of these are bound by memory: what counts is that every array is walked
#    once, by all threads, and that nothing is written to be read again.
#
# b) Every element is computed by itself, so the bits do not depend on the number of threads; nor
#    do they on the floating-point mode of the caller: every task sets its own (float_mode.h).
#    Sums are those of chunks, in double, added in order.
#
# c) Kernels trust their arguments; their callers have checked them.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cython.parallel cimport prange
from libc.stdlib cimport free, malloc

from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, LANES, first_lanes, idx_t, real, set_float_mode, splat, sum_lanes, vec,
)

cdef extern from "vec_math.h" nogil:
    vec log1p_exp(vec x)
    vec sigmoid(vec x, vec* rest)

cdef extern from *:
    """
    #include <math.h>
    #ifdef FASTCONV_F64
    #define square_root sqrt
    #else
    #define square_root sqrtf
    #endif
    """
    real square_root(real x) nogil

cdef enum:
    OK = 0
    NO_MEMORY = 1
    CHUNK = 16384       # elements of a task
    RUN = 8             # losses that a lane adds before they go into a sum in double


include "lanes.pxi"


# ------------------------------------------------------------------------------------ losses

cdef void put_together(const double* sums, idx_t chunks, double count, real* mean) noexcept nogil:
    """The sums of all chunks, in order, over `count`."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef double total = 0
    cdef idx_t i
    for i in range(chunks):
        total = total + sums[i]
    mean[0] = <real> (total / count)
    set_float_mode(mode)


cdef double squares_chunk(const real* a, const real* b, real factor, real* y,
                          idx_t n) noexcept nogil:
    cdef double sums[LANES]
    cdef double total = 0
    cdef real rest
    cdef vec apart, run
    cdef idx_t i = 0, j
    for j in range(LANES):
        sums[j] = 0
    while i + RUN * LANES <= n:
        run = splat(0)
        for j in range(RUN):
            apart = (<const vec*> (a + i))[0] - (<const vec*> (b + i))[0]
            run = run + apart * apart
            if y != NULL:
                (<vec*> (y + i))[0] = apart * splat(factor)
            i += LANES
        for j in range(LANES):
            sums[j] = sums[j] + (<real*> &run)[j]
    while i < n:
        rest = a[i] - b[i]
        total = total + rest * rest
        if y != NULL:
            y[i] = rest * factor
        i += 1
    for j in range(LANES):
        total = total + sums[j]
    return total


def squares(const real[::1] a, const real[::1] b, double factor, double count, real[::1] y,
            real[::1] mean, int num_threads):
    """mean[0] = the sum of (a - b)^2 over `count`, and y = factor (a - b) unless it is None.

    Returns OK or NO_MEMORY.
    """
    cdef idx_t size = a.shape[0], chunks = (size + CHUNK - 1) // CHUNK, i
    cdef const real* first = &a[0] if size else NULL
    cdef const real* second = &b[0] if size else NULL
    cdef real* apart = &y[0] if size and y is not None else NULL
    cdef double* sums = <double*> malloc(max(chunks, <idx_t> 1) * sizeof(double))
    cdef unsigned mode
    if sums == NULL:
        return NO_MEMORY
    for i in prange(chunks, nogil=True, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        sums[i] = squares_chunk(first + i * CHUNK, second + i * CHUNK, <real> factor,
                                apart + i * CHUNK if apart != NULL else NULL,
                                min(<idx_t> CHUNK, size - i * CHUNK))
        set_float_mode(mode)
    put_together(sums, chunks, count, &mean[0])
    free(sums)
    return OK


cdef struct binary_t:
    # Arrays of one size, or NULL.
    const real* x
    const real* target
    const real* weight      # of the loss
    const real* positive    # of the term of the target
    real* losses
    real* grad
    real factor             # of the gradient


cdef inline vec binary_vector(const binary_t* p, idx_t i, idx_t count) noexcept nogil:
    """The losses of some elements, and all that is wanted of these."""
    cdef vec x = take(p.x + i, count), target = take(p.target + i, count)
    cdef vec weight = take(p.weight + i, count) if p.weight != NULL else splat(1)
    cdef vec scale = splat(1), missed, loss
    # 1 for a target of 0, `positive` for one of 1.
    if p.positive != NULL:
        scale = scale + (take(p.positive + i, count) - splat(1)) * target
    # log1p_exp(-x) is -log sigmoid(x).
    loss = weight * ((splat(1) - target) * x + scale * log1p_exp(splat(0) - x))
    if p.losses != NULL:
        give(p.losses + i, count, loss)
    if p.grad != NULL:
        sigmoid(x, &missed)
        give(p.grad + i, count, weight * p.factor * (splat(1) - target - scale * missed))
    return loss


cdef double binary_chunk(const binary_t* p, idx_t i, idx_t end) noexcept nogil:
    cdef double total = 0
    cdef vec run
    cdef idx_t j
    while i + RUN * LANES <= end:
        run = splat(0)
        for j in range(RUN):
            run = run + binary_vector(p, i + j * LANES, LANES)
        total = total + sum_lanes(run)
        i += RUN * LANES
    while i < end:
        j = min(<idx_t> LANES, end - i)
        total = total + sum_lanes(first_lanes(binary_vector(p, i, j), j))
        i += LANES
    return total


def binary_cross_entropy(const real[::1] x, const real[::1] target, const real[::1] weight,
                         const real[::1] positive, double factor, double count, real[::1] losses,
                         real[::1] grad, real[::1] mean, int num_threads):
    """-weight (positive t log s + (1 - t) log(1 - s)), with s = sigmoid(x) and t the target.

    mean[0]: their sum over `count`; grad: the gradient by x times `factor`.  weight, positive,
    losses and grad may be None.  Returns OK or NO_MEMORY.
    """
    cdef idx_t size = x.shape[0], chunks = (size + CHUNK - 1) // CHUNK, i
    cdef double* sums = <double*> malloc(max(chunks, <idx_t> 1) * sizeof(double))
    cdef unsigned mode
    cdef binary_t p
    if sums == NULL:
        return NO_MEMORY
    if size > 0:
        p.x, p.target, p.factor = &x[0], &target[0], <real> factor
        p.weight = &weight[0] if weight is not None else NULL
        p.positive = &positive[0] if positive is not None else NULL
        p.losses = &losses[0] if losses is not None else NULL
        p.grad = &grad[0] if grad is not None else NULL
    for i in prange(chunks, nogil=True, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        sums[i] = binary_chunk(&p, i * CHUNK, min(size, (i + 1) * CHUNK))
        set_float_mode(mode)
    put_together(sums, chunks, count, &mean[0])
    free(sums)
    return OK


# ------------------------------------------------------------------------------- optimizers
#
# All parameters of a step are one loop: most of them are too small for a call of their own.

cdef struct parameter_t:
    real* data
    const real* grad
    real* state[3]      # NULL where there is none
    real number[2]
    idx_t size
    idx_t chunk         # the first, of those of all parameters


cdef void* elements_of(array, int flags, idx_t* size) except? NULL:
    """Where the elements of a C-contiguous array are."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, flags)
    cdef void* place = view.buf
    size[0] = view.len // <idx_t> sizeof(real)
    PyBuffer_Release(&view)
    return place


cdef idx_t read_parameters(list parameters, int n_states, parameter_t* table) except -1:
    """Chunks of all: of each (data, grad, states, numbers), the arrays in C order, or None."""
    cdef idx_t i, chunks = 0, size
    cdef int j
    cdef double number      # Cython takes `real` for a float
    cdef parameter_t* each
    cdef tuple fields
    for i in range(len(parameters)):
        each, fields = table + i, parameters[i]
        each.data = <real*> elements_of(fields[0], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE, &each.size)
        each.grad = <const real*> elements_of(fields[1], PyBUF_C_CONTIGUOUS, &size)
        for j in range(n_states):
            each.state[j] = NULL
            if fields[2 + j] is not None:
                each.state[j] = <real*> elements_of(
                    fields[2 + j], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE, &size)
        for j in range(2 + n_states, len(fields)):
            number = fields[j]
            each.number[j - 2 - n_states] = <real> number
        each.chunk = chunks
        chunks += (each.size + CHUNK - 1) // CHUNK
    return chunks


cdef parameter_t find_chunk(const parameter_t* table, idx_t count, idx_t chunk) noexcept nogil:
    """The parameter that a chunk is of, cut down to it."""
    cdef idx_t low = 0, high = count, middle, start
    cdef parameter_t found
    cdef int j
    while high - low > 1:
        middle = (low + high) // 2
        if table[middle].chunk <= chunk:
            low = middle
        else:
            high = middle
    found = table[low]
    start = (chunk - found.chunk) * CHUNK
    found.data, found.grad = found.data + start, found.grad + start
    for j in range(3):
        if found.state[j] != NULL:
            found.state[j] = found.state[j] + start
    found.size = min(<idx_t> CHUNK, found.size - start)
    return found


cdef void sgd_chunk(real* data, const real* grad, real* buffer, idx_t n, real lr, real momentum,
                    real keep, real decay, bint nesterov) noexcept nogil:
    cdef idx_t i
    cdef real g
    if buffer == NULL:
        for i in range(n):
            data[i] = data[i] - lr * (grad[i] + decay * data[i])
    elif nesterov:
        for i in range(n):
            g = grad[i] + decay * data[i]
            buffer[i] = momentum * buffer[i] + keep * g
            data[i] = data[i] - lr * (g + momentum * buffer[i])
    else:
        for i in range(n):
            buffer[i] = momentum * buffer[i] + keep * (grad[i] + decay * data[i])
            data[i] = data[i] - lr * buffer[i]


cdef void sgd_task(const parameter_t* table, idx_t count, idx_t chunk, real lr, real momentum,
                   real decay, bint nesterov) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef parameter_t each = find_chunk(table, count, chunk)
    sgd_chunk(each.data, each.grad, each.state[0], each.size, lr, momentum, each.number[0], decay,
              nesterov)
    set_float_mode(mode)


def sgd(list parameters, double lr, double momentum, double decay, bint nesterov,
        int num_threads):
    """One step of SGD for each (data, grad, buffer, keep).

    The buffer may be None; `keep` is what it takes of the gradient.
    """
    cdef idx_t count = len(parameters), chunks, i
    cdef parameter_t* table = <parameter_t*> malloc(count * sizeof(parameter_t))
    if table == NULL:
        return NO_MEMORY
    try:
        chunks = read_parameters(parameters, 1, table)
        for i in prange(chunks, nogil=True, num_threads=num_threads, schedule="static"):
            sgd_task(table, count, i, <real> lr, <real> momentum, <real> decay, nesterov)
    finally:
        free(table)
    return OK


cdef void adam_chunk(real* data, const real* grad, real* mean, real* square, real* largest,
                     idx_t n, real shrink, real decay, real keep1, real take1, real keep2,
                     real take2, real step, real eps) noexcept nogil:
    cdef idx_t i
    cdef real g
    if largest == NULL:
        for i in range(n):
            g = grad[i] + decay * data[i]
            mean[i] = keep1 * mean[i] + take1 * g
            square[i] = keep2 * square[i] + take2 * g * g
            data[i] = shrink * data[i] - step * (mean[i] / (square_root(square[i]) + eps))
    else:
        for i in range(n):
            g = grad[i] + decay * data[i]
            mean[i] = keep1 * mean[i] + take1 * g
            square[i] = keep2 * square[i] + take2 * g * g
            # So that a NaN stays one.
            largest[i] = largest[i] if largest[i] > square[i] else square[i]
            data[i] = shrink * data[i] - step * (mean[i] / (square_root(largest[i]) + eps))


cdef void adam_task(const parameter_t* table, idx_t count, idx_t chunk, double shrink,
                    double decay, double beta1, double beta2) noexcept nogil:
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef parameter_t each = find_chunk(table, count, chunk)
    adam_chunk(each.data, each.grad, each.state[0], each.state[1], each.state[2], each.size,
               <real> shrink, <real> decay, <real> beta1, <real> (1 - beta1), <real> beta2,
               <real> (1 - beta2), each.number[0], each.number[1])
    set_float_mode(mode)


def adam(list parameters, double shrink, double decay, double beta1, double beta2,
         int num_threads):
    """One step of Adam for each (data, grad, mean, square, largest, step, eps):

        data = shrink data - step mean / (sqrt(square) + eps)

    `largest` may be None; `decay` is that of the gradient, `shrink` that of AdamW.
    """
    cdef idx_t count = len(parameters), chunks, i
    cdef parameter_t* table = <parameter_t*> malloc(count * sizeof(parameter_t))
    if table == NULL:
        return NO_MEMORY
    try:
        chunks = read_parameters(parameters, 3, table)
        for i in prange(chunks, nogil=True, num_threads=num_threads, schedule="static"):
            adam_task(table, count, i, shrink, decay, beta1, beta2)
    finally:
        free(table)
    return OK
