# A task of correlate: a block of output positions of one image and group, for some of its
# channels.

cdef struct task_t:
    # Where one task stands: its block of positions, its channels, and its memory.
    idx_t m[AXES]           # first position of the block
    idx_t columns           # output columns of the block, all phases together
    idx_t c0, channels      # input channels of the present depth
    idx_t first, rows       # rows of taps that see more than padding, and all rows
    idx_t last
    start_t start           # what the sums start from: biases, or the depths before
    real slope              # of negative results, once the sum is complete
    const real* origin      # the block's start in the strip, or in the input
    const real* bias        # of the present block of output channels
    const real* weights     # of it and the present depth
    real* sums              # [row][column][width] of the present block, complete or not
    real* pixels            # the same of a few rows only, or one tile
    idx_t capacity          # pixels that fit there


cdef inline idx_t positions(const correlate_t* self, const task_t* task, int axis,
                            idx_t phase) noexcept nogil:
    """Positions of a phase inside the block of a task, zero when the block lies past its end."""
    return max(<idx_t> 0, min(self.window.axis[axis].block,
                              phase_count(&self.p, axis, phase) - task.m[axis]))


cdef inline bint complete(const correlate_t* self, const task_t* task) noexcept nogil:
    return task.c0 + task.channels == self.p.in_channels


cdef inline idx_t find_steps(const correlate_t* self, const task_t* task, idx_t phase, idx_t f2,
                             idx_t* first) noexcept nogil:
    """Outer steps of a phase that see more than padding, side by side from the first on.

    Of chains, where there are some: lone taps follow behind those of all rows.
    """
    cdef idx_t steps = self.chains[f2].many
    first[0] = self.phase[phase + f2] + task.first * steps
    return (task.last - task.first) * steps


cdef inline idx_t find_lone(const correlate_t* self, const task_t* task, idx_t phase, idx_t f2,
                            idx_t* first) noexcept nogil:
    """The same of lone taps."""
    cdef idx_t steps = self.chains[f2].lone
    first[0] = (self.phase[phase + f2] + task.rows * self.chains[f2].many + task.first * steps)
    return (task.last - task.first) * steps


cdef void find_rows(const correlate_t* self, task_t* task, idx_t f0, idx_t f1, idx_t i0,
                    idx_t i1) noexcept nogil:
    """Which rows of taps a row of output needs; those beyond the input's edge only add zeros."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef const conv_t* p = &self.p
    cdef idx_t first0, last0, first1, last1
    cdef idx_t start = axis[1].phase[f1], rows = axis[1].phase[f1 + 1] - start
    task.rows = (axis[0].phase[f0 + 1] - axis[0].phase[f0]) * rows
    inside(&axis[0], p.in_size[0], f0, task.m[0] + i0, &first0, &last0)
    inside(&axis[1], p.in_size[1], f1, task.m[1] + i1, &first1, &last1)
    first0, last0 = first0 - axis[0].phase[f0], last0 - axis[0].phase[f0]
    if last0 - first0 == 1:
        task.first = first0 * rows + first1 - start
        task.last = first0 * rows + last1 - start
    else:
        task.first, task.last = first0 * rows, last0 * rows
