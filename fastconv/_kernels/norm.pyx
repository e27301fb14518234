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
# d) A call is all of a direction.  What each channel needs between the passes is computed here, in
#    double, and rounded once: in a small network NumPy would take longer over it than the passes.
#
# e) Kernels trust their arguments; fastconv.functional has checked them.
"""

from cython.parallel cimport prange

from libc.math cimport sqrt
from libc.stdlib cimport free, malloc

from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, KEEP_DENORMALS, LANES, idx_t, leaky, real, set_float_mode, splat, sum_lanes,
    vec,
)

cdef enum:
    OK = 0
    NO_MEMORY = 1
    BLOCK = 16384   # elements of a task of the second pass


include "norm_moments.pxi"
include "norm_scale.pxi"
include "gradient_products.pxi"


# ------------------------------------------------------------------------------ the passes
#
# `sums` and `others` are scratch for two numbers of every unit and channel.

cdef void moments(const shape_t* s, const real* x, double* sums, double* others, double* mean,
                  double* variance, int num_threads) noexcept nogil:
    """Mean and (biased) variance of every channel."""
    cdef idx_t task
    cdef unsigned mode
    for task in prange(tasks_of(s, s.units), num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        task_moments(s, x, task, sums, others)
        set_float_mode(mode)
    put_together(s, sums, others, mean, variance)


cdef void products(const shape_t* s, const real* g, const real* x, const real* mean, double* sums,
                   double* others, double* total, double* crossed, int num_threads) noexcept nogil:
    """The sums of g and of g (x - mean) for every channel."""
    cdef idx_t task, unit, c
    cdef unsigned mode
    for task in prange(tasks_of(s, s.units), num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        task_products(s, g, x, mean, task, sums, others)
        set_float_mode(mode)
    for c in range(s.channels):
        total[c] = crossed[c] = 0
    for unit in range(s.units):
        for c in range(s.channels):
            total[c] = total[c] + sums[unit * s.channels + c]
            crossed[c] = crossed[c] + others[unit * s.channels + c]


cdef void scale(const scale_t* s, const shape_t* shape, real* y, int num_threads) noexcept nogil:
    """What norm_scale.pxi does to each item, to all."""
    cdef idx_t items = shape.outer if s.lanes else shape.outer * shape.channels
    cdef idx_t step = max(<idx_t> 1, BLOCK // s.item), i
    cdef unsigned mode
    for i in prange((items + step - 1) // step, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        scale_items(s, i * step, min(items, (i + 1) * step), y + i * step * s.item)
        set_float_mode(mode)


# ------------------------------------------------------------------------------ between the passes

cdef void move(idx_t channels, real* running, const double* now, double correction,
               double momentum) noexcept nogil:
    """The running statistics towards those of now; NULL for none."""
    cdef idx_t c
    if running != NULL:
        for c in range(channels):
            running[c] = <real> ((1 - momentum) * running[c] + momentum * (now[c] * correction))


cdef inline void find_factors(idx_t c, idx_t channels, double mean, double variance, double eps,
                              const real* weight, const real* bias, real* found) noexcept nogil:
    """`found` of `normalize` for channel c."""
    cdef double inverse = 1 / sqrt(variance + eps)
    found[c] = <real> mean
    found[channels + c] = <real> inverse
    found[2 * channels + c] = <real> (inverse if weight == NULL else inverse * weight[c])
    found[3 * channels + c] = 0 if bias == NULL else bias[c]


cdef void find_gradients(const shape_t* s, const double* total, const double* crossed,
                         const real* inverse, const real* weight, bint training,
                         real* found) noexcept nogil:
    """`found` of `normalize_backward`, from the sums of g and of g (x - mean)."""
    cdef idx_t c, n = s.channels
    cdef double of_g, of_all = 0, wide
    if training:  # what a change of one value does to the mean and to the variance
        of_all = -1 / <double> (s.outer * s.inner)
    for c in range(n):
        wide = inverse[c]
        of_g = wide if weight == NULL else wide * weight[c]
        found[c] = <real> (of_g * wide * wide * (crossed[c] * of_all)) if training else 0
        found[n + c] = <real> of_g
        found[2 * n + c] = <real> (of_g * (total[c] * of_all)) if training else 0
        found[3 * n + c] = <real> (crossed[c] * wide)
        found[4 * n + c] = <real> total[c]


# ------------------------------------------------------------------------------ the two calls

def normalize(const real[:, :, ::1] x, const double[::1] mean, const double[::1] variance,
              const real[::1] running_mean, const real[::1] running_var, bint training,
              double momentum, const real[::1] weight, const real[::1] bias, double eps,
              const real[:, :, ::1] plus, double slope, real[:, :, ::1] y, real[:, ::1] found,
              int num_threads):
    """y = (x - mean) / sqrt(variance + eps) weight + bias + plus, negative results times `slope`.

    x (outer, channels, inner), not empty; plus of its shape, or None.  weight, bias: None for ones
    and zeros.  training: by the mean and the (biased) variance of x, which are taken here where
    those given are None; and running_mean and running_var, each unless None, move towards them by
    `momentum`.  (They are const for evaluation, where they may be read-only and are what x is
    normalized by.)
    found: (4, channels), gets mean, 1 / sqrt(variance + eps), and what y is times and plus.
    """
    cdef shape_t s = shape_of(x, 1)
    cdef scale_t scaling = describe_scale(
        x, plus, found[0], found[2], found[2], found[3], ADDED, slope)
    cdef bint is_known = not training or mean is not None
    cdef idx_t units = 0 if is_known else s.units, count = s.outer * s.inner, c
    cdef double* middle = <double*> malloc(2 * (units + 1) * s.channels * sizeof(double))
    cdef double* spread = middle + s.channels
    cdef double* sums = spread + s.channels
    cdef real* moving_mean = <real*> &running_mean[0] if running_mean is not None else NULL
    cdef real* moving_var = <real*> &running_var[0] if running_var is not None else NULL
    cdef const real* weight_data = &weight[0] if weight is not None else NULL
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef real* target = &y[0, 0, 0]
    cdef unsigned mode
    if middle == NULL:
        return NO_MEMORY
    with nogil:
        mode = set_float_mode(FLUSH_DENORMALS)
        if not is_known:
            moments(&s, scaling.x, sums, sums + units * s.channels, middle, spread, num_threads)
        set_float_mode(KEEP_DENORMALS)
        if is_known:
            for c in range(s.channels):
                middle[c] = mean[c] if training else moving_mean[c]
                spread[c] = variance[c] if training else moving_var[c]
        if training:
            move(s.channels, moving_mean, middle, 1, momentum)
            move(s.channels, moving_var, spread, <double> count / (count - 1), momentum)
        for c in range(s.channels):
            find_factors(c, s.channels, middle[c], spread[c], eps, weight_data, bias_data,
                         &found[0, 0])
        scale(&scaling, &s, target, num_threads)
        set_float_mode(mode)
    free(middle)
    return OK


def factors(const real[::1] running_mean, const real[::1] running_var, const real[::1] weight,
            const real[::1] bias, double eps, real[:, ::1] found):
    """`found` of `normalize` for evaluation, whatever x is."""
    cdef const real* weight_data = &weight[0] if weight is not None else NULL
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef idx_t c
    for c in range(running_mean.shape[0]):
        find_factors(c, running_mean.shape[0], running_mean[c], running_var[c], eps, weight_data,
                     bias_data, &found[0, 0])


def normalize_backward(const real[:, :, ::1] g, const real[:, :, ::1] x, const real[::1] mean,
                       const real[::1] inverse, const real[::1] weight, bint training,
                       real[:, :, ::1] grad, real[:, ::1] found, int num_threads):
    """The gradient of x, g being that of y: grad = g of_g + (x - mean) by + term.

    mean, inverse: what `normalize` found.  training: whether they are those of x.
    found: (5, channels), gets by, of_g, term, grad_weight and grad_bias.  grad: None where what
    takes g further scales it so.
    """
    cdef shape_t s = shape_of(x, 1)
    cdef scale_t scaling = describe_scale(x, g, mean, found[0], found[1], found[2], GRADIENT)
    cdef double* total = <double*> malloc(2 * (s.units + 1) * s.channels * sizeof(double))
    cdef double* crossed = total + s.channels
    cdef double* sums = crossed + s.channels
    cdef const real* inverse_data = &inverse[0]
    cdef const real* weight_data = &weight[0] if weight is not None else NULL
    cdef real* target = &grad[0, 0, 0] if grad is not None else NULL
    cdef unsigned mode
    if total == NULL:
        return NO_MEMORY
    with nogil:
        mode = set_float_mode(FLUSH_DENORMALS)
        products(&s, scaling.g, scaling.x, scaling.mean, sums, sums + s.units * s.channels, total,
                 crossed, num_threads)
        set_float_mode(KEEP_DENORMALS)
        find_gradients(&s, total, crossed, inverse_data, weight_data, training, &found[0, 0])
        if target != NULL:
            scale(&scaling, &s, target, num_threads)
        set_float_mode(mode)
    free(total)
    return OK
