# The maximum of every window with its place, and the gradient that goes back to these places.

cdef extern from *:
    """
    #include <math.h>
    #ifdef FASTCONV_SCALAR
    typedef real lanes;
    typedef lane_index place, places;
    enum { WIDTH = 1 };
    static inline lanes every_second(const real *x) { return *x; }
    #else
    /* Rows are short: half of an AVX-512 vector wastes less of them.  `places` has the width of
     * `lanes`, so that a comparison of lanes selects places; a cast between the two keeps bits. */
    #define POOL_BYTES (VEC_BYTES > 32 ? 32 : VEC_BYTES)
    #ifdef FASTCONV_F64
    typedef int64_t place;
    #else
    typedef int32_t place;
    #endif
    typedef real lanes __attribute__((vector_size(POOL_BYTES), aligned(sizeof(real)), may_alias));
    typedef place places __attribute__((vector_size(POOL_BYTES), aligned(sizeof(real)), may_alias));
    enum { WIDTH = POOL_BYTES / sizeof(real) };

    #ifdef __clang__
    #define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    #define PICK(a, b, ...) __builtin_shuffle(a, b, (places){__VA_ARGS__})
    #endif
    /* x[0], x[2], ...: compilers load these one by one.  Nothing after the last one is read. */
    static inline lanes every_second(const real *x) {
        lanes low = *(const lanes *)x, high = *(const lanes *)(x + WIDTH - 1);
    #if POOL_BYTES == 32 && !defined(FASTCONV_F64)
        return PICK(low, high, 0, 2, 4, 6, 9, 11, 13, 15);
    #elif POOL_BYTES == 16 && defined(FASTCONV_F64)
        return PICK(low, high, 0, 3);
    #else
        return PICK(low, high, 0, 2, 5, 7);
    #endif
    }
    #endif
    /* What vec.h has, for these. */
    static inline places places_of(lanes x) { return BITS(places, x); }
    #define choose_lanes(mask, a, b) CHOOSE(lanes, places, mask, a, b)
    static inline places outranking(lanes x, lanes largest) {
        return MASK(places, largest == largest) & ~MASK(places, x < largest);
    }
    """
    real INFINITY
    ctypedef float lanes
    ctypedef long place
    ctypedef long places
    enum:
        WIDTH
    lanes every_second(const real* x) nogil
    places places_of(lanes x) nogil
    lanes choose_lanes(places mask, lanes a, lanes b) nogil
    places outranking(lanes x, lanes largest) nogil


cdef struct MaxAxis:
    # One spatial axis.
    idx_t size
    idx_t out
    idx_t kernel
    idx_t stride
    idx_t pad
    idx_t dilation
    idx_t inner_first     # the first window that lies inside the input,
    idx_t inner_end       # and the first one after it that does not


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
    MaxAxis d
    MaxAxis h
    MaxAxis w
    idx_t channels
    bint by_channel       # lanes are channels, not columns
    real lowest[WIDTH]
    place ramp[WIDTH]     # positions from the window of lane 0 to that of lane i


cdef MaxAxis max_axis(idx_t size, idx_t out, idx_t kernel, idx_t stride, idx_t pad,
                      idx_t dilation) noexcept nogil:
    cdef MaxAxis a
    cdef idx_t last_start
    a.size, a.out, a.kernel = size, out, kernel
    a.stride, a.pad, a.dilation = stride, pad, dilation
    last_start = a.size - 1 - (a.kernel - 1) * a.dilation + a.pad   # counted from the padding
    a.inner_first = ceil_div(a.pad, a.stride)
    a.inner_end = min(a.out, last_start // a.stride + 1) if last_start >= 0 else 0
    return a


cdef inline Taps inside(const MaxAxis* a, idx_t o) noexcept nogil:
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


cdef inline void put_lanes(real* y, idx_t step, idx_t count, lanes values) noexcept nogil:
    cdef idx_t i
    if step == 1 and count == WIDTH:
        (<lanes*> y)[0] = values
    else:
        for i in range(count):
            y[i * step] = (<real*> &values)[i]


cdef inline void put_places(
    int64_t* y, idx_t step, idx_t count, int64_t first, places values
) noexcept nogil:
    """first + values[i], in 64 bits."""
    cdef idx_t i
    if step == 1 and count == WIDTH:
        for i in range(WIDTH):
            y[i] = first + (<place*> &values)[i]
    else:
        for i in range(count):
            y[i * step] = first + (<place*> &values)[i]


cdef inline void max_block(
    const MaxPool* p, const real* x, idx_t step, idx_t count, idx_t d_taps, idx_t h_taps,
    idx_t w_taps, bint placed, lanes* best_out, places* where_out
) noexcept nogil:
    """Maxima of `count` windows, at most WIDTH, whose first taps are at x, x + step, ...

    Places count from the window's first tap.
    """
    cdef lanes best = (<const lanes*> p.lowest)[0]
    cdef places where = places_of(best)   # anything: every lane takes its last tap
    cdef lanes value
    cdef places take
    cdef idx_t kd, kh, kw, position
    cdef const real* row
    cdef const real* tap
    for kd in range(d_taps - 1, -1, -1):
        for kh in range(h_taps - 1, -1, -1):
            row = x + kd * p.d.dilation * p.x_step[2] + kh * p.h.dilation * p.x_step[3]
            position = (kd * p.d.dilation * p.h.size + kh * p.h.dilation) * p.w.size
            for kw in range(w_taps - 1, -1, -1):
                tap = row + kw * p.w.dilation * p.x_step[4]
                if count == WIDTH and step == 1:
                    value = (<const lanes*> tap)[0]
                elif count == WIDTH and step == 2:
                    value = every_second(tap)
                else:
                    value = gather(tap, step, count)
                take = outranking(value, best)
                best = choose_lanes(take, value, best)
                if placed:
                    where = (take & <place> (position + kw * p.w.dilation)) | (~take & where)
    best_out[0] = best
    where_out[0] = where


cdef inline void max_steps(
    const MaxPool* p, const real* x, idx_t step, idx_t count, idx_t d_taps, idx_t h_taps,
    idx_t w_taps, bint placed, lanes* best, places* where
) noexcept nogil:
    """`max_block` with literal steps and counts, which choose its loads at compile time."""
    if count == WIDTH and step == 1:
        max_block(p, x, 1, WIDTH, d_taps, h_taps, w_taps, placed, best, where)
    elif count == WIDTH and step == 2:
        max_block(p, x, 2, WIDTH, d_taps, h_taps, w_taps, placed, best, where)
    else:
        max_block(p, x, step, count, d_taps, h_taps, w_taps, placed, best, where)


cdef inline void max_lanes(
    const MaxPool* p, const real* x, idx_t x_step, real* y, idx_t y_step, int64_t* indices,
    idx_t i_step, idx_t count, idx_t advance, Taps d, Taps h, Taps w, bint placed
) noexcept nogil:
    """`count` windows of one image that share their taps, each `advance` columns after the last."""
    cdef lanes best
    cdef places where
    cdef idx_t i, start, block
    cdef idx_t first = (d.first * p.h.size + h.first) * p.w.size + w.first
    cdef bint square = d.count == 1 and h.count == w.count
    x = x + at(p.x_step, 0, 0, d.first, h.first, w.first)
    start = 0
    while start < count:
        # The last block moves back to end with the row: to take a maximum twice is harmless.
        block = min(count, <idx_t> WIDTH)
        start = min(start, count - block)
        # The loops of the usual windows have literal bounds, and unroll.
        if square and w.count == 2:
            max_steps(p, x + start * x_step, x_step, block, 1, 2, 2, placed, &best, &where)
        elif square and w.count == 3:
            max_steps(p, x + start * x_step, x_step, block, 1, 3, 3, placed, &best, &where)
        else:
            max_steps(p, x + start * x_step, x_step, block, d.count, h.count, w.count, placed,
                      &best, &where)
        put_lanes(y + start * y_step, y_step, block, best)
        if placed and d.count and h.count and w.count:
            put_places(indices + start * i_step, i_step, block, first + start * advance,
                       where + (<const places*> p.ramp)[0])
        elif placed:
            for i in range(start, start + block):
                indices[i * i_step] = -1
        start = start + block


cdef void max_rows(const MaxPool* p, idx_t begin, idx_t end) noexcept nogil:
    """Output rows begin..end, where a row is an (n, c, od, oh), or an (n, od, oh) by channel."""
    cdef idx_t planes = 1 if p.by_channel else p.channels
    cdef idx_t lane = 1 if p.by_channel else 4
    cdef idx_t advance = 0 if p.by_channel else p.w.stride
    cdef idx_t x_step = p.x_step[1] if p.by_channel else p.x_step[4] * p.w.stride
    cdef idx_t row, rest, n, c, od, oh, ow, count
    cdef const real* x
    cdef real* y
    cdef int64_t* indices
    cdef Taps d, h, w
    for row in range(begin, end):
        rest = row // p.h.out
        oh = row - rest * p.h.out
        n = rest // p.d.out
        od = rest - n * p.d.out
        rest = n
        n = rest // planes
        c = rest - n * planes
        d = inside(&p.d, od)
        h = inside(&p.h, oh)
        x = p.x + at(p.x_step, n, c, 0, 0, 0)
        ow = 0
        while ow < p.w.out:
            w = inside(&p.w, ow)
            if p.by_channel:
                count = p.channels
            elif p.w.inner_first <= ow < p.w.inner_end:
                count = p.w.inner_end - ow
            else:
                count = 1
            y = p.y + at(p.y_step, n, c, od, oh, ow)
            if p.indices != NULL:
                indices = p.indices + at(p.i_step, n, c, od, oh, ow)
                max_lanes(p, x, x_step, y, p.y_step[lane], indices, p.i_step[lane], count, advance,
                          d, h, w, True)
            else:
                max_lanes(p, x, x_step, y, p.y_step[lane], NULL, 0, count, advance, d, h, w, False)
            ow = ow + (1 if p.by_channel else count)


# --- gradient -------------------------------------------------------------------------------------

cdef struct Scatter:
    const real* g             # IN   (N, C, OD, OH, OW)
    const int64_t* indices    # IN   as g
    real* gx                  # OUT  (N, C, D * H * W)
    idx_t g_step[5]
    idx_t i_step[5]
    idx_t gx_step[3]
    idx_t out[3]
    idx_t channels
    idx_t owned               # channels of one owner; more than one: lanes are channels
    idx_t plane


cdef inline bint scatter_lanes(
    const real* g, idx_t g_step, const int64_t* indices, idx_t i_step, real* gx, idx_t gx_lane,
    idx_t gx_step, idx_t plane, idx_t count
) noexcept nogil:
    """gx[i * gx_lane + indices[i] * gx_step] += g[i]; whether an index is wrong.

    Index -1 stands for a window that held no element.
    """
    cdef idx_t i, cell
    cdef int64_t index
    cdef bint wrong = False
    for i in range(count):
        index = indices[i * i_step]
        if 0 <= index < plane:
            cell = i * gx_lane + index * gx_step
            gx[cell] = gx[cell] + g[i * g_step]
        else:
            wrong |= index != -1
    return wrong


cdef bint scatter(const Scatter* p, idx_t begin, idx_t end) noexcept nogil:
    """The planes of owners begin..end; whether any index lies outside of its plane."""
    cdef idx_t owners = ceil_div(p.channels, p.owned)
    cdef idx_t owner, n, c, count, i, od, oh, ow
    cdef const real* g
    cdef const int64_t* indices
    cdef real* gx
    cdef bint wrong = False
    for owner in range(begin, end):
        n = owner // owners
        c = (owner - n * owners) * p.owned
        count = min(p.owned, p.channels - c)
        gx = p.gx + n * p.gx_step[0] + c * p.gx_step[1]
        if p.owned == 1:
            clear_every(gx, p.gx_step[2], p.plane)
        else:
            for i in range(p.plane):
                clear_every(gx + i * p.gx_step[2], p.gx_step[1], count)
        for od in range(p.out[0]):
            for oh in range(p.out[1]):
                g = p.g + at(p.g_step, n, c, od, oh, 0)
                indices = p.indices + at(p.i_step, n, c, od, oh, 0)
                if p.owned == 1:
                    wrong |= scatter_lanes(g, p.g_step[4], indices, p.i_step[4], gx, 0,
                                           p.gx_step[2], p.plane, p.out[2])
                else:
                    for ow in range(p.out[2]):
                        wrong |= scatter_lanes(g + ow * p.g_step[4], p.g_step[1],
                                               indices + ow * p.i_step[4], p.i_step[1], gx,
                                               p.gx_step[1], p.gx_step[2], p.plane, count)
    return wrong
