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

from fastconv._kernels.openmp cimport omp_get_thread_num
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
    PARTS = 4    # shares of the work per thread, to level out a busy core


cdef inline idx_t ceil_div(idx_t a, idx_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline idx_t owner_channels(idx_t channel_step, idx_t column_step) noexcept nogil:
    """Planes that one owner walks together: many when channels are the faster axis in memory."""
    return 64 if llabs(channel_step) < llabs(column_step) else 1


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
    cdef idx_t kd, kh, kw, line
    cdef const real* row
    for kd in range(d.count - 1, -1, -1):
        for kh in range(h.count - 1, -1, -1):
            row = x + kd * p.d.dilation * p.x_step[2] + kh * p.h.dilation * p.x_step[3]
            line = (kd * p.d.dilation * p.h.size + kh * p.h.dilation) * p.w.size
            for kw in range(w.count - 1, -1, -1):
                here = <place> (line + kw * p.w.dilation)
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
    p.by_channel = owner_channels(p.x_step[1], p.x_step[4]) > 1
    p.planes = 1 if p.by_channel else y.shape[1]
    p.planes_of_lanes = y.shape[1]
    p.inner_first = ceil_div(p.w.pad, p.w.stride)
    i = p.w.size + p.w.pad - (p.w.kernel - 1) * p.w.dilation - 1    # where the last of them starts
    p.inner_end = min(p.w.out, i // p.w.stride + 1) if i >= 0 else 0
    p.rows = y.shape[0] * p.planes * y.shape[2] * y.shape[3]
    parts = min(p.rows, <idx_t> (PARTS * num_threads))
    for part in prange(parts, nogil=True, num_threads=num_threads, schedule="dynamic"):
        max_rows(&p, p.rows * part // parts, p.rows * (part + 1) // parts)


# --- gradient of the maximum ----------------------------------------------------------------------

cdef struct MaxPoolBackward:
    const real* g             # IN   (N, C, OD, OH, OW)
    const int64_t* indices    # IN   as g
    real* gx                  # OUT  (N, C, D * H * W)
    idx_t g_step[5]
    idx_t i_step[5]
    idx_t gx_step[3]
    idx_t out[3]
    idx_t channels
    idx_t block               # channels of one owner
    idx_t plane


cdef inline bint add_at(real* gx, idx_t step, idx_t plane, int64_t index, real value) noexcept nogil:
    """Whether the index is wrong; -1 stands for a window that held no element."""
    if 0 <= index < plane:
        gx[index * step] = gx[index * step] + value
        return False
    return index != -1


cdef bint scatter(const MaxPoolBackward* p, idx_t begin, idx_t end) noexcept nogil:
    """The planes of owners begin..end; whether any index lies outside of its plane."""
    cdef idx_t owner, owners, n, low, high, c, i, od, oh, ow
    cdef const real* g
    cdef const int64_t* indices
    cdef real* gx
    cdef bint wrong = False
    owners = ceil_div(p.channels, p.block)
    for owner in range(begin, end):
        n = owner // owners
        low = (owner - n * owners) * p.block
        high = min(p.channels, low + p.block)
        gx = p.gx + n * p.gx_step[0]
        for i in range(p.plane):
            for c in range(low, high):
                gx[c * p.gx_step[1] + i * p.gx_step[2]] = 0
        for od in range(p.out[0]):
            for oh in range(p.out[1]):
                for ow in range(p.out[2]):
                    g = (p.g + n * p.g_step[0] + od * p.g_step[2] + oh * p.g_step[3]
                         + ow * p.g_step[4])
                    indices = (p.indices + n * p.i_step[0] + od * p.i_step[2] + oh * p.i_step[3]
                               + ow * p.i_step[4])
                    for c in range(low, high):
                        wrong |= add_at(gx + c * p.gx_step[1], p.gx_step[2], p.plane,
                                        indices[c * p.i_step[1]], g[c * p.g_step[1]])
    return wrong


def max_pool_backward(
    const real[:, :, :, :, :] g, const int64_t[:, :, :, :, :] indices, real[:, :, :] gx,
    int num_threads
):
    """Every element of `g` to the place in `gx` that its index names; planes are flat here.

    True: an index lies outside of its plane, and `gx` is of no use.
    """
    cdef MaxPoolBackward p
    cdef idx_t i, part, parts, owners
    cdef int wrong = 0
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
    p.block = owner_channels(p.gx_step[1], p.gx_step[2])
    owners = g.shape[0] * ceil_div(p.channels, p.block)
    parts = min(owners, <idx_t> (PARTS * num_threads))
    for part in prange(parts, nogil=True, num_threads=num_threads, schedule="dynamic"):
        wrong |= scatter(&p, owners * part // parts, owners * (part + 1) // parts)
    return bool(wrong)


# --- mean -----------------------------------------------------------------------------------------

cdef struct Windows:
    # The windows of one axis: their first cell, the cell after the last, the divisor.
    const int64_t* first
    const int64_t* end
    const int64_t* divisor
    idx_t out


cdef struct AvgPool:
    real* x               # forward IN, backward OUT   (N, C, D, H, W)
    real* y               # forward OUT, backward IN   (N, C, OD, OH, OW)
    idx_t x_step[5]
    idx_t y_step[5]
    idx_t size[5]         # of x
    Windows d
    Windows h
    Windows w
    bint by_channel       # lanes are channels, not columns
    idx_t block           # channels of one owner
    idx_t room            # lanes of the scratch row


cdef inline void add_lanes(
    real* total, idx_t total_step, const real* x, idx_t step, idx_t count
) noexcept nogil:
    cdef idx_t i
    if total_step == 1 and step == 1:
        for i in range(count):
            total[i] = total[i] + x[i]
    else:
        for i in range(count):
            total[i * total_step] = total[i * total_step] + x[i * step]


cdef inline idx_t chunk_end(const AvgPool* p, idx_t ow) noexcept nogil:
    """The first window after ow whose cells do not fit into the scratch row that starts with ow."""
    cdef idx_t end = ow + 1
    while end < p.w.out and p.w.end[end] - p.w.first[ow] <= p.room:
        end += 1
    return end


cdef inline real divisor(const AvgPool* p, idx_t od, idx_t oh, idx_t ow) noexcept nogil:
    return <real> (<double> p.d.divisor[od] * <double> p.h.divisor[oh] * <double> p.w.divisor[ow])


cdef void avg_rows(const AvgPool* p, idx_t begin, idx_t end, real* total) noexcept nogil:
    """Output rows begin..end, where a row is an (n, c, od, oh), or (n, od, oh) by channel."""
    cdef idx_t planes = 1 if p.by_channel else p.size[1]
    cdef idx_t row, rest, n, c, od, oh, ow, ow_end, d, h, w, i, first, width
    cdef const real* x
    cdef real* y
    cdef real value
    for row in range(begin, end):
        rest = row // p.h.out
        oh = row - rest * p.h.out
        n = rest // p.d.out
        od = rest - n * p.d.out
        rest = n
        n = rest // planes
        c = rest - n * planes
        x = p.x + n * p.x_step[0] + c * p.x_step[1]
        y = p.y + n * p.y_step[0] + c * p.y_step[1] + od * p.y_step[2] + oh * p.y_step[3]
        ow = 0
        while ow < p.w.out:
            ow_end = ow + 1 if p.by_channel else chunk_end(p, ow)
            first = p.w.first[ow]
            width = p.w.end[ow_end - 1] - first
            for i in range(p.size[1] if p.by_channel else width):
                total[i] = 0
            for d in range(p.d.first[od], p.d.end[od]):
                for h in range(p.h.first[oh], p.h.end[oh]):
                    if p.by_channel:
                        for w in range(first, first + width):
                            add_lanes(total, 1, x + d * p.x_step[2] + h * p.x_step[3]
                                      + w * p.x_step[4], p.x_step[1], p.size[1])
                    else:
                        add_lanes(total, 1, x + d * p.x_step[2] + h * p.x_step[3]
                                  + first * p.x_step[4], p.x_step[4], width)
            if p.by_channel:
                value = divisor(p, od, oh, ow)
                for i in range(p.size[1]):
                    y[i * p.y_step[1] + ow * p.y_step[4]] = total[i] / value
            else:
                for i in range(ow, ow_end):
                    value = 0
                    for w in range(p.w.first[i] - first, p.w.end[i] - first):
                        value = value + total[w]
                    y[i * p.y_step[4]] = value / divisor(p, od, oh, i)
            ow = ow_end


cdef void avg_spread(const AvgPool* p, idx_t begin, idx_t end, real* share) noexcept nogil:
    """The input planes of owners begin..end."""
    cdef idx_t owners = ceil_div(p.size[1], p.block)
    cdef idx_t owner, n, low, high, c, od, oh, ow, ow_end, d, h, w, i, first, width
    cdef real* x
    cdef const real* y
    cdef real value
    for owner in range(begin, end):
        n = owner // owners
        low = (owner - n * owners) * p.block
        high = min(p.size[1], low + p.block)
        x = p.x + n * p.x_step[0] + low * p.x_step[1]
        for d in range(p.size[2]):
            for h in range(p.size[3]):
                for w in range(p.size[4]):
                    for c in range(high - low):
                        x[c * p.x_step[1] + d * p.x_step[2] + h * p.x_step[3]
                          + w * p.x_step[4]] = 0
        for od in range(p.d.out):
            for oh in range(p.h.out):
                y = (p.y + n * p.y_step[0] + low * p.y_step[1] + od * p.y_step[2]
                     + oh * p.y_step[3])
                ow = 0
                while ow < p.w.out:
                    ow_end = ow + 1 if p.by_channel else chunk_end(p, ow)
                    first = p.w.first[ow]
                    width = p.w.end[ow_end - 1] - first
                    if p.by_channel:
                        value = divisor(p, od, oh, ow)
                        for c in range(high - low):
                            share[c] = y[c * p.y_step[1] + ow * p.y_step[4]] / value
                    else:
                        for w in range(width):
                            share[w] = 0
                        for i in range(ow, ow_end):
                            value = y[i * p.y_step[4]] / divisor(p, od, oh, i)
                            for w in range(p.w.first[i] - first, p.w.end[i] - first):
                                share[w] = share[w] + value
                    for d in range(p.d.first[od], p.d.end[od]):
                        for h in range(p.h.first[oh], p.h.end[oh]):
                            if p.by_channel:
                                for w in range(first, first + width):
                                    add_lanes(x + d * p.x_step[2] + h * p.x_step[3]
                                              + w * p.x_step[4], p.x_step[1], share, 1, high - low)
                            else:
                                add_lanes(x + d * p.x_step[2] + h * p.x_step[3]
                                          + first * p.x_step[4], p.x_step[4], share, 1, width)
                    ow = ow_end


cdef Windows windows(const int64_t[:, ::1] table):
    cdef Windows w
    w.first, w.end, w.divisor, w.out = &table[0, 0], &table[1, 0], &table[2, 0], table.shape[1]
    return w


cdef AvgPool avg_problem(
    const real[:, :, :, :, :] x, const real[:, :, :, :, :] y, const int64_t[:, ::1] d,
    const int64_t[:, ::1] h, const int64_t[:, ::1] w, idx_t room
):
    cdef AvgPool p
    cdef int i
    p.x = <real*> &x[0, 0, 0, 0, 0]
    p.y = <real*> &y[0, 0, 0, 0, 0]
    for i in range(5):
        p.x_step[i] = x.strides[i] // <idx_t> sizeof(real)
        p.y_step[i] = y.strides[i] // <idx_t> sizeof(real)
        p.size[i] = x.shape[i]
    p.d, p.h, p.w = windows(d), windows(h), windows(w)
    p.block = owner_channels(p.x_step[1], p.x_step[4])
    p.by_channel = p.block > 1
    p.room = room
    return p


def avg_pool(
    const real[:, :, :, :, :] x, real[:, :, :, :, :] y, const int64_t[:, ::1] d,
    const int64_t[:, ::1] h, const int64_t[:, ::1] w, real[:, ::1] scratch, int num_threads
):
    """Mean of each window: d, h and w hold the windows' first cells, ends and divisors.

    `scratch` has a row for each thread, of as many elements as there are channels and as the widest
    window has columns, or more.
    """
    cdef AvgPool p = avg_problem(x, y, d, h, w, scratch.shape[1])
    cdef idx_t rows = y.shape[0] * (1 if p.by_channel else y.shape[1]) * p.d.out * p.h.out
    cdef idx_t parts = min(rows, <idx_t> (PARTS * num_threads))
    cdef idx_t part
    for part in prange(parts, nogil=True, num_threads=num_threads, schedule="dynamic"):
        avg_rows(&p, rows * part // parts, rows * (part + 1) // parts,
                 &scratch[omp_get_thread_num(), 0])


def avg_pool_backward(
    const real[:, :, :, :, :] g, real[:, :, :, :, :] gx, const int64_t[:, ::1] d,
    const int64_t[:, ::1] h, const int64_t[:, ::1] w, real[:, ::1] scratch, int num_threads
):
    """The gradient of `avg_pool`, into `gx`."""
    cdef AvgPool p = avg_problem(gx, g, d, h, w, scratch.shape[1])
    cdef idx_t owners = gx.shape[0] * ceil_div(gx.shape[1], p.block)
    cdef idx_t parts = min(owners, <idx_t> (PARTS * num_threads))
    cdef idx_t part
    for part in prange(parts, nogil=True, num_threads=num_threads, schedule="dynamic"):
        avg_spread(&p, owners * part // parts, owners * (part + 1) // parts,
                   &scratch[omp_get_thread_num(), 0])
