# cython: language_level=3
"""Cross entropy: the loss of each position and its gradient, in one walk over the logits.

# Design:
#
# a) Logits x, probabilities and gradients are (outer, classes, inner), C-contiguous; with an inner
#    of 1 they are rows of classes.  A position is one of outer and one of inner, and what there is
#    one of for each position lies in that order.
#
# b) A block of positions is taken class by class, for all of its positions at once, and stays in
#    the first-level cache.  Exponentials are of its elements as they lie in memory: these a
#    compiler makes vectors of, which is why this is built once, and not per instruction set.
#
# c) Blocks are independent, and losses are added in order: the bits do not depend on the number of
#    threads, nor on the floating-point mode of the caller (float_mode.h).
"""

from cython.parallel cimport prange

from libc.math cimport INFINITY, log
from libc.stdint cimport int64_t

ctypedef Py_ssize_t idx_t

cdef extern from "float_mode.h" nogil:
    unsigned set_float_mode(unsigned mode)
    enum:
        FLUSH_DENORMALS

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>

    /* e^x for x <= 0, within 2 units in the last place; NaN for NaN.  Without a branch or a call,
     * so that a loop of it becomes one of vectors.  x = n log 2 + rest, and the polynomial of the
     * rest is that of Cephes' expf. */
    static inline float power_float(float x) {
        float shifted = x * 1.44269504f + 12582912.0f; /* n in the low bits */
        float n = shifted - 12582912.0f;
        float rest = (x - n * 0.693359375f) + n * 2.12194440e-4f;
        float sum = 1.9875691500e-4f, two_to_n, result;
        uint32_t bits;
        sum = sum * rest + 1.3981999507e-3f;
        sum = sum * rest + 8.3334519073e-3f;
        sum = sum * rest + 4.1665795894e-2f;
        sum = sum * rest + 1.6666665459e-1f;
        sum = sum * rest + 5.0000001201e-1f;
        sum = sum * rest * rest + rest + 1.0f;
        memcpy(&bits, &shifted, 4);
        bits = (bits << 23) + 0x3F800000u;
        memcpy(&two_to_n, &bits, 4);
        result = sum * two_to_n;
        return x < -87.0f ? 0.0f : result;
    }

    static void powers_float(float *y, ptrdiff_t n) {
        for (ptrdiff_t i = 0; i < n; i++) y[i] = power_float(y[i]);
    }
    static void powers_double(double *y, ptrdiff_t n) {
        for (ptrdiff_t i = 0; i < n; i++) y[i] = exp(y[i]);
    }
    """
    void powers_float(float* y, idx_t n) noexcept nogil
    void powers_double(double* y, idx_t n) noexcept nogil

cdef enum:
    POSITIONS = 64      # of a block, at most
    ELEMENTS = 4096     # of a block, about
    TASK = 16           # blocks of a task

ctypedef fused real:
    float
    double


cdef struct problem_t:
    idx_t classes, inner
    idx_t positions             # in all or, unless inner is 1, of each of outer
    idx_t size                  # of a block
    idx_t blocks                # of `positions`
    const int64_t* indices      # of positions, or NULL where there are probabilities
    int64_t ignored
    double keep, spread         # the wanted q becomes q keep + spread
    double scale                # of the gradient


cdef inline void to_powers(real* y, idx_t n) noexcept nogil:
    if real is float:
        powers_float(y, n)
    else:
        powers_double(y, n)


cdef inline void block(
    bint ROWS, const problem_t* p, const real* x, const real* q, const real* weight,
    const int64_t* indices, idx_t count, real* losses, real* y, bint with_gradient
) noexcept nogil:
    """`count` positions; what there is of them begins at each pointer.  q or `indices` is NULL."""
    cdef idx_t step = 1 if ROWS else p.inner            # from class to class
    cdef idx_t next = p.classes if ROWS else 1          # from position to position
    cdef bint everywhere = q != NULL or p.spread != 0   # more than one class is wanted
    cdef real largest[POSITIONS]
    cdef double powers[POSITIONS]
    cdef double counted[POSITIONS]  # 1, or 0 where the target is ignored
    cdef double single[POSITIONS]   # how much the class of the index is wanted
    cdef double total[POSITIONS]    # and all classes
    cdef double loss[POSITIONS]
    cdef double wanted, factor
    cdef idx_t c, j, at
    for j in range(count):
        largest[j] = <real> -INFINITY
        powers[j] = total[j] = loss[j] = single[j] = 0
        counted[j] = indices == NULL or indices[j] != p.ignored
        if indices != NULL and counted[j] != 0:
            single[j] = p.keep if weight == NULL else p.keep * weight[indices[j]]
    for c in range(p.classes):
        for j in range(count):
            at = c * step + j * next
            largest[j] = x[at] if x[at] > largest[j] else largest[j]
    # y = x - largest, which is NaN for an infinite largest itself, and so is the sum of powers.
    for c in range(p.classes):
        for j in range(count):
            at = c * step + j * next
            y[at] = x[at] - largest[j]
        if everywhere:
            factor = 1 if weight == NULL else weight[c]
            for j in range(count):
                at = c * step + j * next
                wanted = p.spread if q == NULL else q[at] * p.keep + p.spread
                wanted = wanted * factor * counted[j]
                total[j] = total[j] + wanted
                # Not where it is 0: that times the log of 0 would be NaN.
                loss[j] = loss[j] - (wanted * y[at] if wanted != 0 else 0)
    for j in range(count):
        if single[j] != 0:
            total[j] = total[j] + single[j]
            loss[j] = loss[j] - single[j] * y[indices[j] * step + j * next]
    if ROWS:
        to_powers[real](y, count * p.classes)
    else:
        for c in range(p.classes):
            to_powers[real](y + c * step, count)
    for c in range(p.classes):
        for j in range(count):
            powers[j] = powers[j] + y[c * step + j * next]
    for j in range(count):
        if total[j] != 0 or loss[j] != 0:
            loss[j] = loss[j] + total[j] * log(powers[j])
        losses[j] = <real> loss[j]
    if not with_gradient:
        return
    # y = (softmax(x) total - wanted) scale
    for j in range(count):
        total[j] = total[j] / powers[j] * p.scale
        counted[j] = counted[j] * p.scale
        if single[j] != 0:  # from here on only that power
            powers[j] = y[indices[j] * step + j * next]
    for c in range(p.classes):
        factor = 1 if weight == NULL else weight[c]
        for j in range(count):
            at = c * step + j * next
            wanted = p.spread if q == NULL else q[at] * p.keep + p.spread
            y[at] = <real> (y[at] * total[j] - wanted * factor * counted[j])
    for j in range(count):
        if single[j] != 0:
            # Not from y, which is rounded: of a single class the gradient is 0.
            factor = 1 if weight == NULL else weight[indices[j]]
            wanted = p.spread * factor * counted[j] + single[j] * p.scale
            y[indices[j] * step + j * next] = <real> (powers[j] * total[j] - wanted)


cdef void task(
    const problem_t* p, const real* x, const real* q, const real* weight, idx_t begin, idx_t end,
    real* losses, real* y, bint with_gradient
) noexcept nogil:
    """The blocks from `begin` to `end`."""
    cdef idx_t number, first, outer, at, position, count
    cdef const real* probabilities
    cdef const int64_t* indices
    for number in range(begin, end):
        outer, first = number // p.blocks, number % p.blocks * p.size
        count = min(p.size, p.positions - first)
        position = outer * p.positions + first
        at = first * p.classes if p.inner == 1 else outer * p.classes * p.inner + first
        probabilities = NULL if q == NULL else q + at
        indices = NULL if p.indices == NULL else p.indices + position
        if p.inner == 1:
            block[real](True, p, x + at, probabilities, weight, indices, count,
                        losses + position, y + at, with_gradient)
        else:
            block[real](False, p, x + at, probabilities, weight, indices, count,
                        losses + position, y + at, with_gradient)


cdef idx_t first_wrong(
    const problem_t* p, const real* weight, idx_t positions, double* count
) noexcept nogil:
    """The first position whose index is wrong, or -1; `count` is the sum of their weights."""
    cdef idx_t position
    cdef int64_t index
    count[0] = 0
    for position in range(positions):
        index = p.indices[position]
        if index == p.ignored:
            continue
        if not 0 <= index < p.classes:
            return position
        count[0] = count[0] + (1 if weight == NULL else weight[index])
    return -1


def cross_entropy(
    const real[:, :, ::1] x, const int64_t[::1] indices, const real[:, :, ::1] probabilities,
    const real[::1] weight, int64_t ignored, double smoothing, bint mean, bint with_gradient,
    real[::1] losses, real[:, :, ::1] grad, int num_threads
):
    """(the first position whose index is wrong or -1, the sum of losses or, with `mean`, the mean).

    One of `indices` and `probabilities` is None, and weight (classes) may be.  grad is written in
    any case; in the end it is the gradient of the sum or, with `mean`, of the mean, that over
    nothing being 0 where the mean itself is NaN.  With a wrong index nothing is computed.
    """
    cdef problem_t p
    cdef idx_t positions = losses.shape[0], blocks, i, wrong = -1
    cdef bint full = positions > 0 and x.shape[1] > 0
    cdef const real* logits = &x[0, 0, 0] if full else NULL
    cdef const real* q = &probabilities[0, 0, 0] if full and probabilities is not None else NULL
    cdef const real* factors = &weight[0] if full and weight is not None else NULL
    cdef real* each = &losses[0] if positions > 0 else NULL
    cdef real* y = &grad[0, 0, 0] if full else NULL
    cdef double count = <double> positions, total = 0
    cdef unsigned mode, before
    with nogil:
        mode = set_float_mode(FLUSH_DENORMALS)
        p.classes, p.inner = x.shape[1], x.shape[2]
        p.positions = positions if p.inner == 1 else p.inner
        p.size = min(<idx_t> POSITIONS, ELEMENTS // max(p.classes, <idx_t> 1) + 1)
        p.blocks = (p.positions + p.size - 1) // p.size
        blocks = p.blocks if p.inner == 1 else x.shape[0] * p.blocks
        p.indices = &indices[0] if positions > 0 and indices is not None else NULL
        p.ignored = ignored
        p.keep, p.spread = 1 - smoothing, smoothing / max(p.classes, <idx_t> 1)
        if p.indices != NULL:
            wrong = first_wrong[real](&p, factors, positions, &count)
        p.scale = 1
        if mean:
            p.scale = 1 / count if count != 0 else 0
        if wrong < 0:
            for i in prange((blocks + TASK - 1) // TASK, num_threads=num_threads,
                            schedule="static"):
                before = set_float_mode(FLUSH_DENORMALS)
                task[real](&p, logits, q, factors, i * TASK, min(blocks, (i + 1) * TASK), each, y,
                           with_gradient)
                set_float_mode(before)
            for i in range(positions):
                total = total + each[i]
            total = <real> (total / count if mean else total)   # infinite, if that is too large
        set_float_mode(mode)
    return wrong, total
