# cython: language_level=3
"""Batch normalization: one reading pass for the moments, one for the result; and the gradients.

# Design:
#
# a) An array is (outer, channels, inner), planes of `inner` elements side by side; channels-last
#    memory is (rows, channels) with inner = 1.  Nothing else reaches the kernels.
#
# b) Moments and sums are taken in units, cut by the shape alone: some planes of one image, or some
#    rows.  A unit fits the first-level cache, so that its mean and the squares about it cost one
#    reading of memory.  Units are put together in order, in double, as the squares within them and
#    those of their means (Chan, Golub & LeVeque 1979): the bits do not depend on the number of
#    threads, and the variance of values far from zero is as good as that of others.
#
# c) A convolution takes the moments of an image, and scales one backward, while it has it in cache:
#    norm_moments.pxi and norm_scale.pxi are in both families.
#
# d) Kernels trust their arguments; fastconv.functional has checked them.
"""

from cython.parallel cimport prange

from libc.stdlib cimport free, malloc

from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, LANES, idx_t, leaky, real, set_float_mode, splat, sum_lanes, vec,
)

cdef enum:
    OK = 0
    NO_MEMORY = 1
    BLOCK = 16384   # elements of a task of the second pass


include "norm_moments.pxi"
include "norm_scale.pxi"


# The sums of g and of g (x - mean) over a unit, as norm_moments.pxi has those of x.

cdef inline vec products_of_rows(const real* g, const real* x, vec middle, idx_t step, idx_t rows,
                                 vec* total) noexcept nogil:
    """The sum of g (x - middle), and in `total` that of g."""
    cdef vec acc[4]
    cdef vec sums[4]
    cdef vec each
    cdef idx_t r = 0
    cdef int i
    for i in range(4):
        acc[i] = sums[i] = splat(0)
    while r + 4 <= rows:
        for i in range(4):
            each = (<const vec*> (g + (r + i) * step))[0]
            sums[i] = sums[i] + each
            acc[i] = acc[i] + each * ((<const vec*> (x + (r + i) * step))[0] - middle)
        r += 4
    while r < rows:
        each = (<const vec*> (g + r * step))[0]
        sums[0] = sums[0] + each
        acc[0] = acc[0] + each * ((<const vec*> (x + r * step))[0] - middle)
        r += 1
    total[0] = (sums[0] + sums[1]) + (sums[2] + sums[3])
    return (acc[0] + acc[1]) + (acc[2] + acc[3])


cdef void plane_products(const shape_t* s, const real* g, const real* x, real mean, double* sums,
                         double* products) noexcept nogil:
    cdef idx_t at = 0, n, whole, i
    cdef real rest, crossed
    cdef vec total
    sums[0] = products[0] = 0
    while at < s.inner:
        n = min(<idx_t> UNIT, s.inner - at)
        whole = n // LANES
        rest = crossed = 0
        for i in range(at + whole * LANES, at + n):
            rest = rest + g[i]
            crossed = crossed + g[i] * (x[i] - mean)
        crossed = crossed + sum_lanes(
            products_of_rows(g + at, x + at, splat(mean), LANES, whole, &total))
        sums[0] = sums[0] + (rest + sum_lanes(total))
        products[0] = products[0] + crossed
        at += n


cdef inline void lanes_products(const real* g, const real* x, const real* mean, idx_t step,
                                idx_t rows, double* sums, double* products) noexcept nogil:
    cdef vec total
    cdef vec crossed = products_of_rows(g, x, (<const vec*> mean)[0], step, rows, &total)
    cdef idx_t i
    for i in range(LANES):
        sums[i] = (<real*> &total)[i]
        products[i] = (<real*> &crossed)[i]


cdef void rows_products(const shape_t* s, const real* g, const real* x, const real* mean,
                        idx_t rows, double* sums, double* products) noexcept nogil:
    cdef idx_t c = 0, r
    if s.channels >= LANES:
        while c < s.channels:
            c = min(c, s.channels - LANES)
            lanes_products(g + c, x + c, mean + c, s.channels, rows, sums + c, products + c)
            c += LANES
        return
    for c in range(s.channels):
        sums[c] = products[c] = 0
        for r in range(rows):
            sums[c] = sums[c] + g[r * s.channels + c]
            products[c] = products[c] + g[r * s.channels + c] * <double> (
                x[r * s.channels + c] - mean[c])


cdef void task_products(const shape_t* s, const real* g, const real* x, const real* mean,
                        idx_t task, double* sums, double* products) noexcept nogil:
    cdef idx_t start
    if s.lanes:
        start = unit_begin(s, task) * s.channels
        rows_products(s, g + start, x + start, mean, rows_of_unit(s, task),
                      sums + task * s.channels, products + task * s.channels)
    else:
        start = task * s.inner
        plane_products(s, g + start, x + start, mean[task % s.channels], sums + task,
                       products + task)


# ------------------------------------------------------------------------------ the two passes

def moments(const real[:, :, ::1] x, double[::1] mean, double[::1] variance, int num_threads):
    """Mean and (biased) variance of every channel of x (outer, channels, inner), not empty."""
    cdef shape_t s = shape_of(x, 1)
    cdef double* sums = <double*> malloc(2 * s.units * s.channels * sizeof(double))
    cdef double* squares = sums + s.units * s.channels
    cdef const real* data = &x[0, 0, 0]
    cdef idx_t task
    cdef unsigned mode
    if sums == NULL:
        return NO_MEMORY
    with nogil:
        for task in prange(tasks_of(&s, s.units), num_threads=num_threads, schedule="static"):
            mode = set_float_mode(FLUSH_DENORMALS)
            task_moments(&s, data, task, sums, squares)
            set_float_mode(mode)
        put_together(&s, sums, squares, &mean[0], &variance[0])
    free(sums)
    return OK


def products(const real[:, :, ::1] g, const real[:, :, ::1] x, const real[::1] mean,
             double[::1] total, double[::1] crossed, int num_threads):
    """Sums of g and of g (x - mean) for every channel."""
    cdef shape_t s = shape_of(x, 1)
    cdef double* sums = <double*> malloc(2 * s.units * s.channels * sizeof(double))
    cdef double* each = sums + s.units * s.channels
    cdef const real* data = &x[0, 0, 0]
    cdef const real* grad = &g[0, 0, 0]
    cdef const real* middle = &mean[0]
    cdef idx_t task, unit, c
    cdef unsigned mode
    if sums == NULL:
        return NO_MEMORY
    with nogil:
        for task in prange(tasks_of(&s, s.units), num_threads=num_threads, schedule="static"):
            mode = set_float_mode(FLUSH_DENORMALS)
            task_products(&s, grad, data, middle, task, sums, each)
            set_float_mode(mode)
        for c in range(s.channels):
            total[c] = crossed[c] = 0
        for unit in range(s.units):
            for c in range(s.channels):
                total[c] = total[c] + sums[unit * s.channels + c]
                crossed[c] = crossed[c] + each[unit * s.channels + c]
    free(sums)
    return OK


def scale(const real[:, :, ::1] x, const real[:, :, ::1] g, const real[::1] mean,
          const real[::1] by, const real[::1] of_g, const real[::1] term, double slope,
          real[:, :, ::1] y, int num_threads):
    """y = g of_g + (x - mean) by + term, with the factors of each channel.

    Without g (None; of_g is not used): y = (x - mean) by + term, negative results times `slope`.
    """
    cdef scale_t s = describe_scale(x, g, mean, by, of_g, term, slope)
    cdef real* target = &y[0, 0, 0]
    cdef idx_t items = x.size // s.item, step = max(<idx_t> 1, BLOCK // s.item), i
    cdef unsigned mode
    for i in prange((items + step - 1) // step, nogil=True, num_threads=num_threads,
                    schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        scale_items(&s, i * step, min(items, (i + 1) * step), target + i * step * s.item)
        set_float_mode(mode)
