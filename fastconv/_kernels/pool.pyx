# cython: language_level=3
"""Pooling: the maximum or the mean of every window of an (N, C, D, H, W) array, and their gradients.

Design:
(a) 1-D and 2-D pools are 3-D ones whose leading axes have length 1.
(b) The lanes of a vector are channels when these are the fastest axis in memory, columns otherwise.
    Lanes share their taps, so bounds are found once for many windows.
(c) A maximum walks its taps backwards and takes whatever is not smaller: the first of equals wins,
    a window of -inf keeps a valid place, and the last NaN wins, as in PyTorch.  The choice is a bit
    mask, never a branch: which element is the largest cannot be predicted.
(d) The last block of a row is moved back to end with the row; to take a maximum twice is harmless.
(e) A mean is separable: rows are added first, over contiguous columns, then the columns of each
    window.  Tables of window starts, ends and sizes serve regular and adaptive pools alike.
(f) Backward, every (n, c) plane has one owner, which walks the windows in order: the same bits for
    any number of threads.
"""

from cython.parallel cimport prange
from libc.stdint cimport int64_t
from libc.stdlib cimport llabs

from fastconv._kernels.types cimport idx_t, real

cdef extern from *:
    """
    #include <math.h>
    /* Rows are short: half of an AVX-512 vector wastes less of them.  `places` has the width of
     * `lanes`, so that comparisons of lanes select places; a cast between the two keeps the bits. */
    #define POOL_BYTES (VEC_BYTES > 32 ? 32 : VEC_BYTES)
    #ifdef FASTCONV_F64
    typedef int64_t place;
    #else
    typedef int32_t place;
    #endif
    typedef real lanes __attribute__((vector_size(POOL_BYTES), aligned(sizeof(real)), may_alias));
    typedef place places __attribute__((vector_size(POOL_BYTES), aligned(sizeof(real)), may_alias));
    enum { WIDTH = POOL_BYTES / sizeof(real) };
    """
    real INFINITY
    ctypedef float lanes
    ctypedef long place
    ctypedef long places
    enum:
        WIDTH

cdef enum:
    PARTS = 4            # shares of the work per thread, to level out a busy core


cdef inline idx_t ceil_div(idx_t a, idx_t b) noexcept nogil:
    return (a + b - 1) // b


# --- maximum --------------------------------------------------------------------------------------

cdef struct Axis:
    # One spatial axis of a maximum pool.
    idx_t size
    idx_t out
    idx_t kernel
    idx_t stride
    idx_t pad
    idx_t dilation


cdef struct Taps:
    # The taps of one window along one axis that lie inside the input: `count` from cell `first`.
    idx_t first
    idx_t count


cdef struct MaxPool:
    const real* x         # IN   (N, C, D, H, W)
    real* y               # OUT  (N, C, OD, OH, OW)
    int64_t* indices      # OUT  as y: position in the (D, H, W) plane; NULL: not wanted
    idx_t x_step[5]
    idx_t y_step[5]
    idx_t i_step[5]
    Axis d
    Axis h
    Axis w
    bint by_channel       # lanes are channels, not columns
    idx_t planes          # of an image, walked one by one: channels, or 1 when they are lanes
    idx_t planes_of_lanes
    idx_t inner_first     # the output columns whose windows lie inside the rows
    idx_t inner_end
    idx_t rows
    real lowest[WIDTH]


cdef inline Taps inside(const Axis* a, idx_t o) noexcept nogil:
    cdef Taps taps
    cdef idx_t start = o * a.stride - a.pad
    cdef idx_t low = 0
    cdef idx_t end = a.kernel
    if start < 0:
        low = min(a.kernel, ceil_div(-start, a.dilation))
    if start + (a.kernel - 1) * a.dilation >= a.size:
        end = ceil_div(a.size - start, a.dilation)
    taps.first = start + low * a.dilation
    taps.count = max(<idx_t> 0, end - low)
    return taps


cdef inline lanes gather(const real* x, idx_t step, idx_t count) noexcept nogil:
    """x[0], x[step], ...; the last of `count` is repeated in the lanes that are left."""
    cdef real each[WIDTH]
    cdef idx_t i
    for i in range(WIDTH):
        each[i] = x[min(i, count - 1) * step]
    return (<lanes*> each)[0]


cdef inline void max_block(
    const MaxPool* p, const real* x, idx_t step, idx_t count, Taps d, Taps h, Taps w,
    real* best_out, place* place_out, bint placed
) noexcept nogil:
    """Maxima of `count` windows, at most WIDTH, whose first taps are at x, x + step, ...

    A place counts from the position of the window's first tap.
    """
    cdef lanes best = (<const lanes*> p.lowest)[0]
    cdef lanes value
    cdef places take
    cdef places where = (<const places*> p.lowest)[0]   # every lane takes its first tap
    cdef place here
    cdef idx_t kd, kh, kw
    cdef const real* row
    for kd in range(d.count - 1, -1, -1):
        for kh in range(h.count - 1, -1, -1):
            row = x + kd * p.d.dilation * p.x_step[2] + kh * p.h.dilation * p.x_step[3]
            here = <place> ((kd * p.d.dilation * p.h.size + kh * p.h.dilation) * p.w.size
                            + w.count * p.w.dilation)
            for kw in range(w.count - 1, -1, -1):
                here = here - <place> p.w.dilation
                if step == 1 and count == WIDTH:
                    value = (<const lanes*> (row + kw * p.w.dilation * p.x_step[4]))[0]
                else:
                    value = gather(row + kw * p.w.dilation * p.x_step[4], step, count)
                take = <places> (best == best) & ~<places> (value < best)
                best = <lanes> ((take & <places> value) | (~take & <places> best))
                if placed:
                    where = (take & here) | (~take & where)
    (<lanes*> best_out)[0] = best
    if placed:
        (<places*> place_out)[0] = where


cdef inline void max_lanes(
    const MaxPool* p, const real* x, idx_t x_step, real* y, idx_t y_step,
    int64_t* indices, idx_t i_step, idx_t count, idx_t advance, Taps d, Taps h, Taps w
) noexcept nogil:
    """`count` windows that share their taps, the next one `advance` columns further."""
    cdef real best[WIDTH]
    cdef place where[WIDTH]
    cdef idx_t i, start, block
    cdef idx_t first = (d.first * p.h.size + h.first) * p.w.size + w.first
    cdef bint empty = d.count == 0 or h.count == 0 or w.count == 0
    x = x + d.first * p.x_step[2] + h.first * p.x_step[3] + w.first * p.x_step[4]
    start = 0
    while start < count:
        block = min(count, <idx_t> WIDTH)
        start = min(start, count - block)
        # Literal steps and counts let the compiler choose its loads.
        if block == WIDTH and x_step == 1:
            max_block(p, x + start, 1, WIDTH, d, h, w, best, where, indices != NULL)
        elif block == WIDTH and x_step == 2:
            max_block(p, x + start * 2, 2, WIDTH, d, h, w, best, where, indices != NULL)
        else:
            max_block(p, x + start * x_step, x_step, block, d, h, w, best, where, indices != NULL)
        for i in range(block):
            y[(start + i) * y_step] = best[i]
        if indices != NULL:
            for i in range(block):
                indices[(start + i) * i_step] = (
                    -1 if empty else first + (start + i) * advance + where[i]
                )
        start = start + block


cdef void max_rows(const MaxPool* p, idx_t begin, idx_t end) noexcept nogil:
    cdef idx_t row, rest, n, c, od, oh, ow, count
    cdef const real* x
    cdef real* y
    cdef int64_t* indices = NULL
    cdef idx_t lane = 1 if p.by_channel else 4
    cdef idx_t x_step = p.x_step[1] if p.by_channel else p.x_step[4] * p.w.stride
    cdef idx_t advance = 0 if p.by_channel else p.w.stride
    cdef Taps d, h, w
    for row in range(begin, end):
        rest = row // p.h.out
        oh = row - rest * p.h.out
        n = rest // p.d.out
        od = rest - n * p.d.out
        rest = n
        n = rest // p.planes
        c = rest - n * p.planes
        d = inside(&p.d, od)
        h = inside(&p.h, oh)
        x = p.x + n * p.x_step[0] + c * p.x_step[1]
        ow = 0
        while ow < p.w.out:
            w = inside(&p.w, ow)
            if p.by_channel:
                count = p.planes_of_lanes
            elif p.inner_first <= ow < p.inner_end:
                count = p.inner_end - ow
            else:
                count = 1
            y = (p.y + n * p.y_step[0] + c * p.y_step[1] + od * p.y_step[2] + oh * p.y_step[3]
                 + ow * p.y_step[4])
            if p.indices != NULL:
                indices = (p.indices + n * p.i_step[0] + c * p.i_step[1] + od * p.i_step[2]
                           + oh * p.i_step[3] + ow * p.i_step[4])
            max_lanes(p, x, x_step, y, p.y_step[lane], indices, p.i_step[lane], count, advance,
                      d, h, w)
            ow += 1 if p.by_channel else count


cdef Axis axis(idx_t size, idx_t out, kernel, stride, pad, dilation):
    cdef Axis a
    a.size, a.out, a.kernel = size, out, kernel
    a.stride, a.pad, a.dilation = stride, pad, dilation
    return a


def max_pool(
    const real[:, :, :, :, :] x, real[:, :, :, :, :] y, int64_t[:, :, :, :, :] indices,
    kernel, stride, pad, dilation, int num_threads
):
    """Largest element of each window into `y`, its position in the plane into `indices`.

    `indices` may be None.  Position -1: the window holds no element.
    """
    cdef MaxPool p
    cdef idx_t i, part, parts
    p.x = &x[0, 0, 0, 0, 0]
    p.y = &y[0, 0, 0, 0, 0]
    p.indices = NULL if indices is None else &indices[0, 0, 0, 0, 0]
    for i in range(5):
        p.x_step[i] = x.strides[i] // <idx_t> sizeof(real)
        p.y_step[i] = y.strides[i] // <idx_t> sizeof(real)
        p.i_step[i] = 0 if indices is None else indices.strides[i] // <idx_t> sizeof(int64_t)
    for i in range(WIDTH):
        p.lowest[i] = -INFINITY
    p.d = axis(x.shape[2], y.shape[2], kernel[0], stride[0], pad[0], dilation[0])
    p.h = axis(x.shape[3], y.shape[3], kernel[1], stride[1], pad[1], dilation[1])
    p.w = axis(x.shape[4], y.shape[4], kernel[2], stride[2], pad[2], dilation[2])
    p.by_channel = x.shape[1] > 1 and llabs(x.strides[1]) < llabs(x.strides[4])
    p.planes = 1 if p.by_channel else y.shape[1]
    p.planes_of_lanes = y.shape[1]
    p.inner_first = ceil_div(p.w.pad, p.w.stride)
    i = p.w.size + p.w.pad - (p.w.kernel - 1) * p.w.dilation - 1    # where the last of them starts
    p.inner_end = min(p.w.out, i // p.w.stride + 1) if i >= 0 else 0
    p.rows = y.shape[0] * p.planes * y.shape[2] * y.shape[3]
    parts = min(p.rows, <idx_t> (PARTS * num_threads))
    for part in prange(parts, nogil=True, num_threads=num_threads, schedule="dynamic"):
        max_rows(&p, p.rows * part // parts, p.rows * (part + 1) // parts)
