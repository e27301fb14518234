# cython: language_level=3
"""Normalization within an example: by groups of channels (GroupNorm), by its elements (LayerNorm).

# Design:
#
# a) Channels are normalized by the sums of norm.pyx: those of a unit, some rows of channels or one
#    plane, and image by image.  What is new is between the passes, where the channels of a group
#    are put together, in double, and each gets the factors of its image.
#
# b) Elements that lie in one run, each with a weight of its own, are in group_norm_runs.pxi:
#    LayerNorm, and channels of so few elements that one by one they would cost more.
#
# c) A block is a group whose elements lie together, or an image with the channels last, for a line
#    of the cache holds several groups there.  Where there are blocks for all threads, one block
#    goes through all passes while it is in the cache; of few, every pass is shared out by units.
#
# d) Units, blocks and the order in which they are put together follow from the shape alone, and so
#    do the bits.  The gradients of weight and bias are summed in double, image after image.
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
    SHARES = 4      # blocks for each thread, from which on they are evenly shared out
    PLANE = 256     # elements of a plane, from which on it has moments of its own


include "norm_moments.pxi"
include "norm_scale.pxi"
include "gradient_products.pxi"
include "group_norm_runs.pxi"


cdef struct groups_t:
    shape_t shape
    scale_t scaling         # by factors of every image and channel, here those of the first image
    idx_t images, groups, size      # size: channels of a group
    idx_t parts                     # of a group, with sums of their own: channels, or all as one
    idx_t blocks
    double count                    # elements of a part
    double eps
    const real* weight      # or NULL
    const real* bias        # or NULL
    real* mean              # of every image and group
    real* inverse
    real* middle            # what `scaling` has as const
    real* by
    real* of_g
    real* term
    double* sums            # of every unit and channel
    double* others
    real* y


cdef groups_t describe(const real[:, :, ::1] x, const real[:, :, ::1] g, idx_t images,
                       idx_t groups, const real[::1] weight, const real[:, ::1] saved,
                       real[:, :, ::1] y, real[:, ::1] factors) noexcept:
    cdef groups_t p
    p.shape = shape_of(x, images)
    p.scaling = describe_scale(x, g, factors[0], factors[1], factors[2], factors[3], GRADIENT)
    p.images, p.groups, p.size = images, groups, p.shape.channels // groups
    if g is None and not p.shape.lanes and p.shape.inner < PLANE:
        p.shape.channels, p.shape.inner = groups, p.size * p.shape.inner
    p.parts = p.shape.channels // groups
    p.blocks = images if p.shape.lanes else images * groups
    p.count = <double> (p.shape.run * p.shape.inner)
    p.eps = 0
    p.weight = &weight[0] if weight is not None else NULL
    p.bias = NULL
    p.mean, p.inverse = <real*> &saved[0, 0], <real*> &saved[1, 0]
    p.middle, p.by, p.of_g, p.term = (
        &factors[0, 0], &factors[1, 0], &factors[2, 0], &factors[3, 0])
    p.sums = <double*> malloc(2 * p.shape.units * p.shape.channels * sizeof(double))
    p.others = p.sums + p.shape.units * p.shape.channels
    p.y = &y[0, 0, 0]
    return p


# ------------------------------------------------------------------------------ the passes
#
# A task of the first is a unit of all lanes, or a part; one of the last is a unit, or a plane.

cdef void add_up(const groups_t* p, idx_t task) noexcept nogil:
    """The moments of x; or the sums of g and of g (x - mean)."""
    cdef idx_t image = task // (p.shape.of_run if p.shape.lanes else p.shape.channels)
    if p.scaling.kind == GRADIENT:
        task_products(&p.shape, p.scaling.g, p.scaling.x, p.middle + image * p.shape.channels,
                      task, p.sums, p.others)
    else:
        task_moments(&p.shape, p.scaling.x, task, p.sums, p.others)


cdef void scale(const groups_t* p, idx_t task) noexcept nogil:
    """By the factors of the image that the task is of."""
    cdef scale_t s = p.scaling
    cdef idx_t begin = task, end = task + 1, first = task // s.channels
    if s.lanes:
        begin, first = unit_begin(&p.shape, task), task // p.shape.of_run
        end = begin + rows_of_unit(&p.shape, task)
    first = first * s.channels
    s.mean, s.by, s.of_g, s.term = s.mean + first, s.by + first, s.of_g + first, s.term + first
    scale_items(&s, begin, end, p.y + begin * s.item)


# ------------------------------------------------------------------------------ between them
#
# What is of all units of an image comes to be where that of the first was.

cdef void merge_units(const groups_t* p, idx_t image, idx_t begin, idx_t end) noexcept nogil:
    """The moments of parts begin to end (Chan, Golub & LeVeque 1979)."""
    cdef const shape_t* s = &p.shape
    cdef idx_t first = image * s.of_run, unit, i
    cdef double* mean = p.sums + first * s.channels
    cdef double* squares = p.others + first * s.channels
    cdef const double* other_mean
    cdef const double* other_squares
    cdef double count = <double> (rows_of_unit(s, first) * s.inner), more, apart, share, both
    for unit in range(first + 1, first + s.of_run):
        other_mean, other_squares = p.sums + unit * s.channels, p.others + unit * s.channels
        more = <double> (rows_of_unit(s, unit) * s.inner)
        share = more / (count + more)
        both = count * share
        count = count + more
        for i in range(begin, end):
            apart = other_mean[i] - mean[i]
            mean[i] = mean[i] + apart * share
            squares[i] = squares[i] + (other_squares[i] + apart * apart * both)


cdef void find_factors(const groups_t* p, idx_t group) noexcept nogil:
    """What its channels are times and plus, from the moments of its parts."""
    cdef idx_t image = group // p.groups, begin = group % p.groups * p.size, c
    cdef idx_t at = image * p.shape.of_run * p.shape.channels + group % p.groups * p.parts, i
    cdef double mean = 0, variance = 0, apart, inverse
    for i in range(at, at + p.parts):
        mean = mean + p.sums[i]
    mean = mean / p.parts
    for i in range(at, at + p.parts):
        apart = p.sums[i] - mean
        variance = variance + (p.others[i] + apart * apart * p.count)
    inverse = 1 / sqrt(variance / (p.count * p.parts) + p.eps)
    p.mean[group], p.inverse[group] = <real> mean, <real> inverse
    at = image * p.scaling.channels
    for c in range(begin, begin + p.size):
        p.middle[at + c] = <real> mean
        p.by[at + c] = <real> (inverse if p.weight == NULL else inverse * p.weight[c])
        p.term[at + c] = 0 if p.bias == NULL else p.bias[c]


cdef void add_units(const groups_t* p, idx_t image, idx_t begin, idx_t end) noexcept nogil:
    """The sums of channels begin to end."""
    cdef idx_t first = image * p.shape.of_run, unit, c
    cdef double* sums = p.sums + first * p.shape.channels
    cdef double* others = p.others + first * p.shape.channels
    cdef const double* more
    cdef const double* other_more
    for unit in range(1, p.shape.of_run):
        more, other_more = sums + unit * p.shape.channels, others + unit * p.shape.channels
        for c in range(begin, end):
            sums[c] = sums[c] + more[c]
            others[c] = others[c] + other_more[c]


cdef void find_gradients(const groups_t* p, idx_t group) noexcept nogil:
    """The factors of g and x - mean, and the image's share of the gradient of the weight."""
    cdef idx_t image = group // p.groups, begin = group % p.groups * p.size, c
    cdef double* sums = p.sums + image * p.shape.of_run * p.shape.channels
    cdef double* others = p.others + image * p.shape.of_run * p.shape.channels
    cdef double total = 0, crossed = 0, wide = p.inverse[group], by, term, weight
    for c in range(begin, begin + p.size):
        weight = 1 if p.weight == NULL else p.weight[c]
        total = total + weight * sums[c]
        crossed = crossed + weight * others[c]
        others[c] = others[c] * wide
        p.of_g[image * p.shape.channels + c] = <real> (weight * wide)
    # What a change of one value does to the mean and to the variance.
    by = -wide * wide * wide * (crossed / (p.count * p.size))
    term = -wide * (total / (p.count * p.size))
    begin = begin + image * p.shape.channels
    for c in range(begin, begin + p.size):
        p.by[c], p.term[c] = <real> by, <real> term


cdef void find(const groups_t* p, idx_t begin, idx_t end) noexcept nogil:
    """The factors of groups begin to end, of one image."""
    cdef idx_t image = begin // p.groups, group
    cdef idx_t first = begin % p.groups * p.parts, last = first + (end - begin) * p.parts
    if p.scaling.kind == GRADIENT:
        add_units(p, image, first, last)
        for group in range(begin, end):
            find_gradients(p, group)
    else:
        merge_units(p, image, first, last)
        for group in range(begin, end):
            find_factors(p, group)


# ------------------------------------------------------------------------------ all of it

cdef void go_through(const groups_t* p, idx_t block, idx_t sums, idx_t scalings,
                     idx_t groups) noexcept nogil:
    """All passes over one block, which has so many tasks of each."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef idx_t task
    for task in range(block * sums, (block + 1) * sums):
        add_up(p, task)
    set_float_mode(KEEP_DENORMALS)
    find(p, block * groups, (block + 1) * groups)
    set_float_mode(FLUSH_DENORMALS)
    for task in range(block * scalings, (block + 1) * scalings):
        scale(p, task)
    set_float_mode(mode)


cdef void run(const groups_t* p, int num_threads) noexcept nogil:
    cdef bint lanes = p.shape.lanes
    cdef idx_t sums = p.shape.of_run if lanes else p.parts, task
    cdef idx_t scalings = p.shape.of_run if lanes else p.size
    cdef idx_t groups = p.groups if lanes else 1
    cdef unsigned mode
    if num_threads == 1 or p.blocks >= SHARES * num_threads:
        for task in prange(p.blocks, num_threads=num_threads, schedule="static"):
            go_through(p, task, sums, scalings, groups)
        return
    for task in prange(p.blocks * sums, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        add_up(p, task)
        set_float_mode(mode)
    for task in prange(p.blocks * groups, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(KEEP_DENORMALS)
        find(p, task, task + 1)
        set_float_mode(mode)
    for task in prange(p.blocks * scalings, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        scale(p, task)
        set_float_mode(mode)


cdef void spread_means(const groups_t* p) noexcept nogil:
    """Those of the groups, to each of their channels."""
    cdef idx_t group, c
    for group in range(p.images * p.groups):
        for c in range(group * p.size, (group + 1) * p.size):
            p.middle[c] = p.mean[group]


cdef void add_images(const groups_t* p, real* of_weight, real* of_bias) noexcept nogil:
    """The gradients of weight and bias, from the sums of the images."""
    cdef idx_t image, c, step = p.shape.of_run * p.shape.channels
    cdef double* sums = p.sums
    cdef double* others = p.others
    for image in range(1, p.images):
        for c in range(p.shape.channels):
            sums[c] = sums[c] + sums[image * step + c]
            others[c] = others[c] + others[image * step + c]
    for c in range(p.shape.channels):
        of_weight[c], of_bias[c] = <real> others[c], <real> sums[c]


def normalize(const real[:, :, ::1] x, idx_t images, idx_t groups, const real[::1] weight,
              const real[::1] bias, double eps, real[:, :, ::1] y, real[:, ::1] saved,
              real[:, ::1] factors, int num_threads):
    """y = (x - mean) / sqrt(variance + eps) weight + bias, by groups of channels of each image.

    x (outer, channels, inner), not empty; with an inner of 1 an image is outer / images rows.
    weight, bias: (channels,), None for ones and zeros.
    saved: (2, images groups), gets mean and 1 / sqrt(variance + eps).
    factors: (4, images channels), scratch.  Returns OK or NO_MEMORY.
    """
    cdef groups_t p = describe(x, None, images, groups, weight, saved, y, factors)
    if p.sums == NULL:
        return NO_MEMORY
    p.eps = eps
    p.bias = &bias[0] if bias is not None else NULL
    with nogil:
        run(&p, num_threads)
    free(p.sums)
    return OK


def normalize_backward(const real[:, :, ::1] g, const real[:, :, ::1] x, idx_t images,
                       idx_t groups, const real[::1] weight, const real[:, ::1] saved,
                       real[:, :, ::1] grad, real[:, ::1] of_affine, real[:, ::1] factors,
                       int num_threads):
    """The gradient of x, g being that of y, and in `of_affine` (2, channels) of weight and bias.

    saved: what `normalize` found; factors: as there.
    """
    cdef groups_t p = describe(x, g, images, groups, weight, saved, grad, factors)
    cdef unsigned mode
    if p.sums == NULL:
        return NO_MEMORY
    with nogil:
        spread_means(&p)
        run(&p, num_threads)
        mode = set_float_mode(KEEP_DENORMALS)
        add_images(&p, &of_affine[0, 0], &of_affine[1, 0])
        set_float_mode(mode)
    free(p.sums)
    return OK
