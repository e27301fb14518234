# cython: language_level=3
"""Pools: the maximum or the mean of every window of an (N, C, D, H, W) array, and their gradients.

# Design:
#
# a) 1-D and 2-D pools are 3-D ones whose leading axes have length 1.
#
# b) The innermost loop runs over "lanes": channels where these are the fastest axis in memory,
#    columns otherwise.  Lanes share their taps, so bounds are found once for many windows.
#
# c) A maximum (pool_max.pxi) walks its taps backwards and takes whatever is not smaller: the first
#    of equals wins, a window of -inf keeps a valid place, and the last NaN wins, as in PyTorch.
#    The choice is a bit mask, never a branch: which element is larger cannot be predicted.
#
#    Where windows tile the input, as most do, it keeps a byte for each (pool_tiles.pxi,
#    pool_lines.pxi).
#
# d) A mean (pool_mean.pxi) is separable: the rows of a window are added first, whole rows at a
#    time, then the columns of each window.  Tables of the windows' first cells, ends and divisors
#    serve regular and adaptive pools alike.
#
# e) Backward, every (n, c) plane has one owner, which walks the windows in order.  Forward, every
#    output cell is computed by itself.  So the bits do not depend on the number of threads.  Nor do
#    they on the floating-point mode of the caller: every task sets its own (float_mode.h).
#
# f) Kernels trust their arguments; fastconv.functional or capi (pool_entries.pxi) has checked all
#    but the indices.
"""

from cython.parallel cimport prange

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, llabs, malloc
from libc.string cimport memcpy, memset

from fastconv._kernels.entries cimport fastconv_problem, pool_entries
from fastconv._kernels.openmp cimport omp_get_thread_num
from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, KEEP_DENORMALS, LANES, choose, idx_t, in_order, indices_of, interleave_high,
    interleave_low, lane_index, lane_indices, load_codes, near_even_lanes, near_odd_lanes, outranks,
    pick_lanes, real, set_float_mode, splat, store_codes, vec, vec_of, where_equal,
)

cdef enum:
    PARTS = 4             # shares of the work for each thread, to level out a busy core
    OWNED_CHANNELS = 64   # planes of one owner where channels are lanes: whole cache lines


cdef inline idx_t at(
    const idx_t* step, idx_t n, idx_t c, idx_t d, idx_t h, idx_t w
) noexcept nogil:
    """The offset of one element of an array with these steps."""
    return n * step[0] + c * step[1] + d * step[2] + h * step[3] + w * step[4]


cdef inline bint channels_are_faster(idx_t channel_step, idx_t column_step) noexcept nogil:
    return llabs(channel_step) < llabs(column_step)


cdef inline void clear_every(real* x, idx_t step, idx_t count) noexcept nogil:
    cdef idx_t i
    if step == 1:
        memset(x, 0, count * sizeof(real))
    else:
        for i in range(count):
            x[i * step] = 0


include "cells.pxi"
include "parts.pxi"
include "pool_max.pxi"
include "pool_mean.pxi"
include "pool_tiles.pxi"
include "pool_lines.pxi"


cdef void run_max_pool(MaxPool* p, idx_t batch, int num_threads) noexcept nogil:
    """All but the arrays, their steps, axes and channels follows from these."""
    cdef idx_t i, part, parts, rows
    cdef unsigned mode
    p.by_channel = channels_are_faster(p.x_step[1], p.x_step[4])
    for i in range(WIDTH):
        p.lowest[i] = -INFINITY
        p.ramp[i] = 0 if p.by_channel else <place> (i * p.w.stride)
    rows = batch * (1 if p.by_channel else p.channels) * p.d.out * p.h.out
    parts = min(rows, <idx_t> (PARTS * num_threads))
    for part in prange(parts, num_threads=num_threads, schedule="dynamic"):
        mode = set_float_mode(KEEP_DENORMALS)
        max_rows(p, part_begin(part, parts, rows), part_begin(part + 1, parts, rows))
        set_float_mode(mode)


cdef bint run_scatter(Scatter* p, idx_t batch, int num_threads) noexcept nogil:
    """True: an index is wrong."""
    cdef idx_t part, parts, owners
    cdef int wrong = 0
    cdef unsigned mode
    p.owned = OWNED_CHANNELS if channels_are_faster(p.gx_step[1], p.gx_step[2]) else 1
    owners = batch * ceil_div(p.channels, p.owned)
    parts = min(owners, <idx_t> (PARTS * num_threads))
    for part in prange(parts, num_threads=num_threads, schedule="dynamic"):
        mode = set_float_mode(FLUSH_DENORMALS)
        wrong |= scatter(p, part_begin(part, parts, owners), part_begin(part + 1, parts, owners))
        set_float_mode(mode)
    return wrong != 0


cdef void run_mean_rows(const MeanPool* p, real* scratch, int num_threads) noexcept nogil:
    """`scratch`: `room` elements for each thread."""
    cdef idx_t part, rows = (p.size[0] * (1 if p.by_channel else p.size[1]) * p.d.out * p.h.out)
    cdef idx_t parts = min(rows, <idx_t> (PARTS * num_threads))
    cdef unsigned mode
    for part in prange(parts, num_threads=num_threads, schedule="dynamic"):
        mode = set_float_mode(FLUSH_DENORMALS)
        mean_rows(p, part_begin(part, parts, rows), part_begin(part + 1, parts, rows),
                  scratch + omp_get_thread_num() * p.room)
        set_float_mode(mode)


cdef void run_spread(const MeanPool* p, real* scratch, int num_threads) noexcept nogil:
    """As run_mean_rows."""
    cdef idx_t part, owners = p.size[0] * ceil_div(p.size[1], p.owned)
    cdef idx_t parts = min(owners, <idx_t> (PARTS * num_threads))
    cdef unsigned mode
    for part in prange(parts, num_threads=num_threads, schedule="dynamic"):
        mode = set_float_mode(FLUSH_DENORMALS)
        spread(p, part_begin(part, parts, owners), part_begin(part + 1, parts, owners),
               scratch + omp_get_thread_num() * p.room)
        set_float_mode(mode)


include "pool_entries.pxi"


def max_pool(
    const real[:, :, :, :, :] x, real[:, :, :, :, :] y, int64_t[:, :, :, :, :] indices,
    kernel, stride, pad, dilation, int num_threads
):
    """Largest element of each window into `y`, its position in the plane into `indices`.

    `indices` may be None.  Position -1: the window holds no element.
    """
    cdef MaxPool p
    cdef idx_t i, batch = y.shape[0]
    p.x = &x[0, 0, 0, 0, 0]
    p.y = &y[0, 0, 0, 0, 0]
    p.indices = NULL if indices is None else &indices[0, 0, 0, 0, 0]
    for i in range(5):
        p.x_step[i] = x.strides[i] // <idx_t> sizeof(real)
        p.y_step[i] = y.strides[i] // <idx_t> sizeof(real)
        p.i_step[i] = 0 if indices is None else indices.strides[i] // <idx_t> sizeof(int64_t)
    p.d = max_axis(x.shape[2], y.shape[2], kernel[0], stride[0], pad[0], dilation[0])
    p.h = max_axis(x.shape[3], y.shape[3], kernel[1], stride[1], pad[1], dilation[1])
    p.w = max_axis(x.shape[4], y.shape[4], kernel[2], stride[2], pad[2], dilation[2])
    p.channels = y.shape[1]
    with nogil:
        run_max_pool(&p, batch, num_threads)


def max_pool_backward(
    const real[:, :, :, :, :] g, const int64_t[:, :, :, :, :] indices, real[:, :, :] gx,
    int num_threads
):
    """Adds every element of `g` to the place in `gx`, where planes are flat, that its index names.

    True: an index lies outside of its plane, and `gx` is of no use.
    """
    cdef Scatter p
    cdef idx_t i, batch = g.shape[0]
    cdef bint wrong
    p.g = &g[0, 0, 0, 0, 0]
    p.indices = &indices[0, 0, 0, 0, 0]
    p.gx = &gx[0, 0, 0]
    for i in range(5):
        p.g_step[i] = g.strides[i] // <idx_t> sizeof(real)
        p.i_step[i] = indices.strides[i] // <idx_t> sizeof(int64_t)
    for i in range(3):
        p.gx_step[i] = gx.strides[i] // <idx_t> sizeof(real)
        p.out[i] = g.shape[i + 2]
    p.channels = gx.shape[1]
    p.plane = gx.shape[2]
    with nogil:
        wrong = run_scatter(&p, batch, num_threads)
    return wrong


cdef void run_tiles(const real[:, :, :, :, ::1] x, const real[:, :, :, :, ::1] y,
                    const uint8_t[:, :, :, :, ::1] codes, kernel, bint backward,
                    int num_threads):
    cdef tiles_t p
    cdef idx_t sizes[3][3]
    cdef idx_t i, part, parts, rows
    cdef unsigned mode
    for i in range(3):
        sizes[0][i], sizes[1][i], sizes[2][i] = x.shape[i + 1], y.shape[i + 1], kernel[i]
    p = tiles_of(sizes[0], sizes[1], x.shape[4], sizes[2])
    p.x, p.y = <real*> &x[0, 0, 0, 0, 0], <real*> &y[0, 0, 0, 0, 0]
    p.codes = NULL if codes is None else <uint8_t*> &codes[0, 0, 0, 0, 0]
    rows = y.shape[0] * y.shape[1] * y.shape[2]
    parts = min(rows, <idx_t> num_threads)
    for part in prange(parts, nogil=True, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(KEEP_DENORMALS)
        max_tiles_rows(&p, backward, part_begin(part, parts, rows),
                       part_begin(part + 1, parts, rows))
        set_float_mode(mode)


def max_tiles(
    const real[:, :, :, :, ::1] x, real[:, :, :, :, ::1] y, uint8_t[:, :, :, :, ::1] codes, kernel,
    int num_threads
):
    """Largest element of each window into `y`, the number of its tap into `codes`, if not None.

    All are (N, D, H, W, C), or (N * C, D, H, W, 1) of planes.  Windows of at most 256 cells tile x
    from its first cell; where C is less than a vector has lanes, they are at most 8 cells wide.
    """
    run_tiles(x, y, codes, kernel, False, num_threads)


def max_tiles_backward(
    const real[:, :, :, :, ::1] g, const uint8_t[:, :, :, :, ::1] codes,
    real[:, :, :, :, ::1] gx, kernel, int num_threads
):
    """The gradient of `max_tiles`, into `gx`."""
    run_tiles(gx, g, codes, kernel, True, num_threads)


def avg_pool(
    const real[:, :, :, :, :] x, real[:, :, :, :, :] y, const int64_t[:, ::1] d,
    const int64_t[:, ::1] h, const int64_t[:, ::1] w, real[:, ::1] scratch, int num_threads
):
    """Mean of each window; d, h and w hold the windows' first cells, ends and divisors.

    `scratch` has a row for each thread, of at least as many elements as there are channels and as
    the widest window has columns.
    """
    cdef MeanPool p = mean_pool(x, y, d, h, w, scratch.shape[1])
    with nogil:
        run_mean_rows(&p, &scratch[0, 0], num_threads)


def avg_pool_backward(
    const real[:, :, :, :, :] g, real[:, :, :, :, :] gx, const int64_t[:, ::1] d,
    const int64_t[:, ::1] h, const int64_t[:, ::1] w, real[:, ::1] scratch, int num_threads
):
    """The gradient of `avg_pool`, into `gx`; the other arguments are those of `avg_pool`."""
    cdef MeanPool p = mean_pool(gx, g, d, h, w, scratch.shape[1])
    with nogil:
        run_spread(&p, &scratch[0, 0], num_threads)
