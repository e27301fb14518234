# Each channel times and plus factors of its own: what normalizes, perhaps plus another array, and
# the gradient by its input.
#
# An array is (outer, channels, inner), as for norm.pyx.

ctypedef enum scaling_t:
    NORMAL          # (x - mean) by + term
    ADDED           # plus g
    GRADIENT        # plus g of_g


cdef struct scale_t:
    scaling_t kind
    idx_t channels, item        # elements of a row of channels, or of a plane
    bint lanes                  # rows
    const real* x
    const real* g               # NULL where it is NORMAL
    const real* mean
    const real* by
    const real* of_g
    const real* term
    real slope


cdef scale_t describe_scale(const real[:, :, ::1] x, const real[:, :, ::1] g,
                            const real[::1] mean, const real[::1] by, const real[::1] of_g,
                            const real[::1] term, scaling_t kind, double slope=1):
    """g may be None, which makes it NORMAL; of_g is looked at for a GRADIENT only."""
    cdef scale_t s
    s.kind = NORMAL if g is None else kind
    s.lanes = x.shape[2] == 1
    s.channels = x.shape[1]
    s.item = s.channels if s.lanes else x.shape[2]
    s.x, s.g = &x[0, 0, 0], &g[0, 0, 0] if g is not None else NULL
    s.mean, s.by, s.of_g, s.term = &mean[0], &by[0], &of_g[0], &term[0]
    s.slope = <real> slope
    return s


cdef inline vec scaled(scaling_t KIND, vec x, vec g, vec mean, vec by, vec of_g, vec term,
                       real slope) noexcept nogil:
    if KIND == GRADIENT:
        return g * of_g + (x - mean) * by + term
    x = (x - mean) * by + term
    return leaky(x + g if KIND == ADDED else x, slope)


cdef inline void scale_plane(scaling_t KIND, const real* x, const real* g, real mean, real by,
                             real of_g, real term, real slope, real* y, idx_t n) noexcept nogil:
    cdef idx_t i = 0
    cdef real value
    while i + LANES <= n:
        (<vec*> (y + i))[0] = scaled(KIND, (<const vec*> (x + i))[0],
                                     (<const vec*> (g + i))[0], splat(mean), splat(by),
                                     splat(of_g), splat(term), slope)
        i += LANES
    while i < n:
        if KIND == GRADIENT:
            y[i] = g[i] * of_g + (x[i] - mean) * by + term
        else:
            value = (x[i] - mean) * by + term
            if KIND == ADDED:
                value = value + g[i]
            y[i] = value if not value < 0 else 0 if slope == 0 else slope * value
        i += 1


cdef inline void scale_row(scaling_t KIND, const real* x, const real* g, const real* mean,
                           const real* by, const real* of_g, const real* term, real slope,
                           real* y, idx_t channels) noexcept nogil:
    cdef idx_t c = 0
    if channels >= LANES:
        while c < channels:
            c = min(c, channels - LANES)
            (<vec*> (y + c))[0] = scaled(
                KIND, (<const vec*> (x + c))[0], (<const vec*> (g + c))[0],
                (<const vec*> (mean + c))[0], (<const vec*> (by + c))[0],
                (<const vec*> (of_g + c))[0], (<const vec*> (term + c))[0], slope)
            c += LANES
        return
    for c in range(channels):
        scale_plane(KIND, x + c, g + c, mean[c], by[c], of_g[c], term[c], slope, y + c, 1)


cdef inline void scale_kind(scaling_t KIND, const scale_t* s, idx_t begin, idx_t end,
                            real* y) noexcept nogil:
    cdef const real* x = s.x + begin * s.item
    cdef const real* g = x if KIND == NORMAL else s.g + begin * s.item
    cdef idx_t i, c
    for i in range(begin, end):
        c = i % s.channels
        if s.lanes:
            scale_row(KIND, x, g, s.mean, s.by, s.of_g, s.term, s.slope, y, s.channels)
        else:
            scale_plane(KIND, x, g, s.mean[c], s.by[c], s.of_g[c], s.term[c], s.slope, y, s.item)
        x, g, y = x + s.item, g + s.item, y + s.item


cdef void scale_items(const scale_t* s, idx_t begin, idx_t end, real* y) noexcept nogil:
    """Rows, or planes, begin to end, the first of which goes to y."""
    if s.kind == NORMAL:
        scale_kind(NORMAL, s, begin, end, y)
    elif s.kind == ADDED:
        scale_kind(ADDED, s, begin, end, y)
    else:
        scale_kind(GRADIENT, s, begin, end, y)
