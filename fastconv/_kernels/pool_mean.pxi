# The mean of every window, and its gradient.

cdef struct Windows:
    # The windows of one axis: their first cells, the cells after their last, their divisors.
    const int64_t* first
    const int64_t* end
    const int64_t* divisor
    idx_t out


cdef struct MeanPool:
    real* x               # (N, C, D, H, W): IN forward, OUT backward
    real* y               # (N, C, OD, OH, OW): OUT forward, IN backward
    idx_t x_step[5]
    idx_t y_step[5]
    idx_t size[5]         # of x
    Windows d
    Windows h
    Windows w
    bint by_channel       # lanes are channels, not columns
    idx_t owned           # channels of one owner
    idx_t room            # elements of a thread's scratch row


cdef Windows windows(const int64_t[:, ::1] table):
    cdef Windows w
    w.first, w.end, w.divisor, w.out = &table[0, 0], &table[1, 0], &table[2, 0], table.shape[1]
    return w


cdef void mean_lanes(MeanPool* p) noexcept nogil:
    p.by_channel = channels_are_faster(p.x_step[1], p.x_step[4])
    p.owned = OWNED_CHANNELS if p.by_channel else 1


cdef MeanPool mean_pool(
    const real[:, :, :, :, :] x, const real[:, :, :, :, :] y, const int64_t[:, ::1] d,
    const int64_t[:, ::1] h, const int64_t[:, ::1] w, idx_t room
):
    cdef MeanPool p
    cdef int i
    p.x = <real*> &x[0, 0, 0, 0, 0]
    p.y = <real*> &y[0, 0, 0, 0, 0]
    for i in range(5):
        p.x_step[i] = x.strides[i] // <idx_t> sizeof(real)
        p.y_step[i] = y.strides[i] // <idx_t> sizeof(real)
        p.size[i] = x.shape[i]
    p.d, p.h, p.w = windows(d), windows(h), windows(w)
    p.room = room
    mean_lanes(&p)
    return p


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


cdef inline idx_t chunk_end(const MeanPool* p, idx_t ow) noexcept nogil:
    """The first window after ow that does not fit into the scratch row with it."""
    cdef idx_t end = ow + 1
    while end < p.w.out and p.w.end[end] - p.w.first[ow] <= p.room:
        end += 1
    return end


cdef inline real divisor(const MeanPool* p, idx_t od, idx_t oh, idx_t ow) noexcept nogil:
    return <real> (<double> p.d.divisor[od] * <double> p.h.divisor[oh] * <double> p.w.divisor[ow])


cdef inline void mean_vectors(int NV, const MeanPool* p, const real* x, idx_t od, idx_t oh,
                              idx_t ow, real* y) noexcept nogil:
    """The window at x of NV vectors of channels; the sums stay in registers."""
    cdef vec sums[4]
    cdef idx_t d, h, w, rows = p.h.end[oh] - p.h.first[oh]
    cdef real value = divisor(p, od, oh, ow)
    cdef const real* cell
    cdef int v
    for v in range(NV):
        sums[v] = splat(0)
    for d in range(p.d.end[od] - p.d.first[od]):
        for h in range(rows):
            cell = x + d * p.x_step[2] + h * p.x_step[3]
            for w in range(p.w.end[ow] - p.w.first[ow]):
                for v in range(NV):
                    sums[v] = sums[v] + (<const vec*> (cell + v * LANES))[0]
                cell = cell + p.x_step[4]
    for v in range(NV):
        (<vec*> (y + v * LANES))[0] = sums[v] / splat(value)


cdef void row_of_pixels(const MeanPool* p, idx_t n, idx_t od, idx_t oh, real* y,
                        real* total) noexcept nogil:
    """Lanes are channels: vectors of them in registers, others in `total`."""
    cdef bint together = p.x_step[1] == 1 and p.y_step[1] == 1
    cdef idx_t c, ow, d, h, w, i, rest
    cdef const real* x
    cdef real value
    for ow in range(p.w.out):
        x = p.x + at(p.x_step, n, 0, p.d.first[od], p.h.first[oh], p.w.first[ow])
        c = 0
        while together and c + 4 * LANES <= p.size[1]:
            mean_vectors(4, p, x + c, od, oh, ow, y + c)
            c += 4 * LANES
        while together and c + LANES <= p.size[1]:
            mean_vectors(1, p, x + c, od, oh, ow, y + c)
            c += LANES
        rest = p.size[1] - c
        if rest > 0:
            clear_every(total, 1, rest)
            for d in range(p.d.first[od], p.d.end[od]):
                for h in range(p.h.first[oh], p.h.end[oh]):
                    x = p.x + at(p.x_step, n, c, d, h, p.w.first[ow])
                    for w in range(p.w.end[ow] - p.w.first[ow]):
                        add_lanes(total, 1, x + w * p.x_step[4], p.x_step[1], rest)
            value = divisor(p, od, oh, ow)
            for i in range(rest):
                y[(c + i) * p.y_step[1]] = total[i] / value
        y = y + p.y_step[4]


cdef void row_of_planes(const MeanPool* p, idx_t n, idx_t c, idx_t od, idx_t oh, real* y,
                        real* total) noexcept nogil:
    """Lanes are columns: `total` holds the sum of some rows of x, from column `first` on, of which
    a window adds up some elements."""
    cdef idx_t ow = 0, ow_end, d, h, w, i, first, width
    cdef real value
    while ow < p.w.out:
        ow_end = chunk_end(p, ow)
        first = p.w.first[ow]
        width = p.w.end[ow_end - 1] - first
        clear_every(total, 1, width)
        for d in range(p.d.first[od], p.d.end[od]):
            for h in range(p.h.first[oh], p.h.end[oh]):
                add_lanes(total, 1, p.x + at(p.x_step, n, c, d, h, first), p.x_step[4], width)
        for i in range(ow, ow_end):
            value = 0
            for w in range(p.w.first[i] - first, p.w.end[i] - first):
                value = value + total[w]
            y[i * p.y_step[4]] = value / divisor(p, od, oh, i)
        ow = ow_end


cdef void mean_rows(const MeanPool* p, idx_t begin, idx_t end, real* total) noexcept nogil:
    """Output rows begin..end, where a row is an (n, c, od, oh), or an (n, od, oh) by channel."""
    cdef idx_t planes = 1 if p.by_channel else p.size[1]
    cdef idx_t row, rest, n, c, od, oh
    cdef real* y
    for row in range(begin, end):
        rest = row // p.h.out
        oh = row - rest * p.h.out
        n = rest // p.d.out
        od = rest - n * p.d.out
        rest = n
        n = rest // planes
        c = rest - n * planes
        y = p.y + at(p.y_step, n, c, od, oh, 0)
        if p.by_channel:
            row_of_pixels(p, n, od, oh, y, total)
        else:
            row_of_planes(p, n, c, od, oh, y, total)


cdef void spread(const MeanPool* p, idx_t begin, idx_t end, real* share) noexcept nogil:
    """The planes of owners begin..end; `share` is what the rows of some windows receive."""
    cdef idx_t owners = ceil_div(p.size[1], p.owned)
    cdef idx_t owner, n, c, count, od, oh, ow, ow_end, d, h, w, i, first, width
    cdef real* x
    cdef const real* y
    cdef real value
    for owner in range(begin, end):
        n = owner // owners
        c = (owner - n * owners) * p.owned
        count = min(p.owned, p.size[1] - c)
        for d in range(p.size[2]):
            for h in range(p.size[3]):
                x = p.x + at(p.x_step, n, c, d, h, 0)
                if p.by_channel:
                    for w in range(p.size[4]):
                        clear_every(x + w * p.x_step[4], p.x_step[1], count)
                else:
                    clear_every(x, p.x_step[4], p.size[4])
        for od in range(p.d.out):
            for oh in range(p.h.out):
                y = p.y + at(p.y_step, n, c, od, oh, 0)
                ow = 0
                while ow < p.w.out:
                    ow_end = ow + 1 if p.by_channel else chunk_end(p, ow)
                    first = p.w.first[ow]
                    width = p.w.end[ow_end - 1] - first
                    if p.by_channel:
                        value = divisor(p, od, oh, ow)
                        for i in range(count):
                            share[i] = y[i * p.y_step[1] + ow * p.y_step[4]] / value
                    else:
                        clear_every(share, 1, width)
                        for i in range(ow, ow_end):
                            value = y[i * p.y_step[4]] / divisor(p, od, oh, i)
                            for w in range(p.w.first[i] - first, p.w.end[i] - first):
                                share[w] = share[w] + value
                    for d in range(p.d.first[od], p.d.end[od]):
                        for h in range(p.h.first[oh], p.h.end[oh]):
                            x = p.x + at(p.x_step, n, c, d, h, first)
                            if p.by_channel:
                                for w in range(width):
                                    add_lanes(x + w * p.x_step[4], p.x_step[1], share, 1, count)
                            else:
                                add_lanes(x, p.x_step[4], share, 1, width)
                    ow = ow_end
