# Transformed filters, for all tasks of a call, or of many calls.

cdef enum:
    FILTERS_AHEAD = 4   # in channels


cdef void gather_filter(const conv_t* p, const real* w, idx_t first, idx_t channel,
                        idx_t used, const real* end, real* taps) noexcept nogil:
    """[tap][lane] of LANES filters at one in channel, zero in the lanes from `used` on."""
    cdef idx_t lane, t0, t1, t2, u, i = 0
    cdef idx_t n = p.kernel[0] * p.kernel[1] * p.kernel[2], sign = dense_step(p)
    cdef const real* source = w + first * p.w_out + channel * p.w_in
    if sign != 0:
        for i in range(ceil_div(n, LANES)):
            u = i * LANES
            # Where filters are inverted, the first tap in memory is the last one.
            turn_square(source + u if sign > 0 else source + u - (n - 1), p.w_out, used, end,
                        2 * p.w_in, taps + (u if sign > 0 else n - 1 - u) * LANES, sign * LANES,
                        min(<idx_t> LANES, n - u))
        return
    for t0 in range(p.kernel[0]):
        for t1 in range(p.kernel[1]):
            for t2 in range(p.kernel[2]):
                for lane in range(LANES):
                    taps[i] = (source[lane * p.w_out + t0 * p.w_step[0] + t1 * p.w_step[1]
                                      + t2 * p.w_step[2]] if lane < used else 0)
                    i += 1


cdef inline idx_t dense_step(const conv_t* p) noexcept nogil:
    """1 or -1 where the taps lie side by side in memory, forwards or backwards; else 0."""
    cdef idx_t sign = 1 if p.w_step[2] > 0 else -1, step = sign
    cdef int axis
    for axis in range(AXES - 1, -1, -1):
        if p.kernel[axis] > 1 and p.w_step[axis] != step:
            return 0
        step *= p.kernel[axis]
    return sign


cdef const real* filters_end(const conv_t* p, const real* w) noexcept nogil:
    """Past the last weight in memory of filters whose taps are dense."""
    cdef idx_t taps = p.kernel[0] * p.kernel[1] * p.kernel[2]
    return (w + (p.groups - 1) * p.w_group + (p.out_channels - 1) * p.w_out
            + (p.in_channels - 1) * p.w_in + (taps if dense_step(p) > 0 else 1))


cdef inline void steps_of(const idx_t* lengths, idx_t unit, idx_t* steps) noexcept nogil:
    """Steps along each axis of cells in order, `unit` apart."""
    steps[2] = unit
    steps[1] = unit * lengths[2]
    steps[0] = steps[1] * lengths[1]


cdef void transform_filters(const winograd_t* self, const real* w, idx_t group, idx_t block,
                            idx_t channel, real* packed) noexcept nogil:
    """FILTER of one in channel of one block, all phases."""
    cdef const conv_t* p = &self.p
    cdef idx_t lane, i, t, phase, first
    cdef idx_t width = block_width(self, block)
    cdef real taps[MOST_TAPS * 16]
    cdef real* target
    cdef real spare[SPARE_CELLS * 16]
    cdef idx_t s_step[AXES]
    cdef idx_t d_step[AXES]
    steps_of(self.points, self.filter_point, d_step)
    for i in range(ceil_div(width, LANES)):
        lane = i * LANES
        gather_filter(p, w + group * p.w_group, block * self.width + lane, channel,
                      p.out_channels - block * self.width - lane, filters_end(p, w), taps)
        for phase in range(self.n_phases):
            target = packed + (phase * p.in_channels + channel) * width + lane
            # Each point has its own stream of stores, more than the hardware follows.
            for t in range(self.n_points):
                prefetch(target + t * self.filter_point + FILTERS_AHEAD * width, 0)
            steps_of(p.kernel, LANES, s_step)
            first = steps_of_phases(self, phase, s_step)
            transform_filter(self.points, taps + first, s_step, target, d_step, spare)
