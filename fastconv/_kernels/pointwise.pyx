# cython: language_level=3
"""One pass over arrays of equal shape: activations, squared errors, the steps of the optimizers.

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

from libc.stdlib cimport free, malloc

from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, KEEP_DENORMALS, LANES, gated, idx_t, leaky, real, set_float_mode,
    splat, vec,
)

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
    RUN = 8             # squares that a lane adds before they go into a sum in double


cdef struct rectify_t:
    const real* a
    const real* b       # or NULL
    const real* gate    # or NULL
    real slope
    real* y


cdef inline vec rectified(bint SUM, bint GATED, const rectify_t* p, idx_t i) noexcept nogil:
    cdef vec x = (<const vec*> (p.a + i))[0]
    if SUM:
        x = x + (<const vec*> (p.b + i))[0]
    return gated(x, (<const vec*> (p.gate + i))[0], p.slope) if GATED else leaky(x, p.slope)


cdef inline void rectify_chunk(bint SUM, bint GATED, const rectify_t* p, idx_t begin,
                               idx_t end) noexcept nogil:
    cdef idx_t i = begin, j
    cdef real edge[4][LANES]
    cdef rectify_t last
    while i + LANES <= end:
        (<vec*> (p.y + i))[0] = rectified(SUM, GATED, p, i)
        i += LANES
    if i < end:
        for j in range(LANES):
            edge[0][j] = p.a[i + j] if i + j < end else 0
            if SUM:
                edge[1][j] = p.b[i + j] if i + j < end else 0
            if GATED:
                edge[2][j] = p.gate[i + j] if i + j < end else 0
        last.a, last.b, last.gate, last.slope = edge[0], edge[1], edge[2], p.slope
        (<vec*> edge[3])[0] = rectified(SUM, GATED, &last, 0)
        for j in range(end - i):
            p.y[i + j] = edge[3][j]


cdef void rectify_task(const rectify_t* p, idx_t begin, idx_t end) noexcept nogil:
    if p.b == NULL and p.gate == NULL:
        rectify_chunk(False, False, p, begin, end)
    elif p.b == NULL:
        rectify_chunk(False, True, p, begin, end)
    elif p.gate == NULL:
        rectify_chunk(True, False, p, begin, end)
    else:
        rectify_chunk(True, True, p, begin, end)


def rectify(const real[::1] a, const real[::1] b, const real[::1] gate, double slope, real[::1] y,
            int num_threads):
    """y = a, or a + b, times `slope` where that is negative; or, with a gate, where that is not
    positive, which is the gradient of the same, the gate being its output.

    A slope of 0 gives 0, even of infinity.  b and gate may be None.
    """
    cdef idx_t size = y.shape[0], i
    cdef rectify_t p
    cdef unsigned mode, wanted
    if size == 0:
        return
    p.a, p.y, p.slope = &a[0], &y[0], <real> slope
    p.b = &b[0] if b is not None else NULL
    p.gate = &gate[0] if gate is not None else NULL
    # What only selects keeps every bit.
    wanted = KEEP_DENORMALS if p.b == NULL and (slope == 0 or slope == 1) else FLUSH_DENORMALS
    for i in prange((size + CHUNK - 1) // CHUNK, nogil=True, num_threads=num_threads,
                    schedule="static"):
        mode = set_float_mode(wanted)
        rectify_task(&p, i * CHUNK, min(size, (i + 1) * CHUNK))
        set_float_mode(mode)


cdef void tanh_chunk(const real* g, const real* y, real* grad, idx_t n) noexcept nogil:
    cdef idx_t i
    for i in range(n):
        grad[i] = g[i] * ((1 - y[i]) * (1 + y[i]))


def tanh_backward(const real[::1] g, const real[::1] y, real[::1] grad, int num_threads):
    """grad = g (1 - y^2), the gradient of the hyperbolic tangent whose output is y."""
    cdef idx_t size = y.shape[0], i
    cdef const real* a = &g[0] if size else NULL
    cdef const real* b = &y[0] if size else NULL
    cdef real* c = &grad[0] if size else NULL
    cdef unsigned mode
    for i in prange((size + CHUNK - 1) // CHUNK, nogil=True, num_threads=num_threads,
                    schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        tanh_chunk(a + i * CHUNK, b + i * CHUNK, c + i * CHUNK,
                   min(<idx_t> CHUNK, size - i * CHUNK))
        set_float_mode(mode)


# ------------------------------------------------------------------------------------ losses

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
    cdef double total = 0
    cdef unsigned mode
    if sums == NULL:
        return NO_MEMORY
    for i in prange(chunks, nogil=True, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        sums[i] = squares_chunk(first + i * CHUNK, second + i * CHUNK, <real> factor,
                                apart + i * CHUNK if apart != NULL else NULL,
                                min(<idx_t> CHUNK, size - i * CHUNK))
        set_float_mode(mode)
    mode = set_float_mode(FLUSH_DENORMALS)
    for i in range(chunks):
        total = total + sums[i]
    mean[0] = <real> (total / count)
    set_float_mode(mode)
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
