# The pools for capi: problems that come as a struct, checked there.

cdef enum:
    SCRATCH_COLUMNS = 4096   # that a mean adds up at once: they stay in the first-level cache


cdef struct space_t:
    # The spatial axes of a problem, those that are absent included.
    idx_t size[3]
    idx_t out[3]
    idx_t kernel[3]
    idx_t stride[3]
    idx_t dilation[3]
    idx_t pad[3]
    idx_t in_step[5]
    idx_t out_step[5]


cdef space_t space_of(const fastconv_problem* problem) noexcept nogil:
    cdef space_t s
    cdef int axis, at, absent = 3 - <int> problem.dimensions
    for axis in range(2):
        s.in_step[axis], s.out_step[axis] = problem.in_strides[axis], problem.out_strides[axis]
    for axis in range(3):
        at = axis - absent
        if at < 0:
            s.size[axis] = s.out[axis] = s.kernel[axis] = s.stride[axis] = s.dilation[axis] = 1
            s.pad[axis] = s.in_step[2 + axis] = s.out_step[2 + axis] = 0
            continue
        s.size[axis], s.out[axis] = problem.in_size[at], problem.out_size[at]
        s.kernel[axis], s.stride[axis] = problem.kernel[at], problem.stride[at]
        s.dilation[axis], s.pad[axis] = problem.dilation[at], problem.padding[at]
        s.in_step[2 + axis] = problem.in_strides[2 + at]
        s.out_step[2 + axis] = problem.out_strides[2 + at]
    return s


cdef void dense_steps(const space_t* s, idx_t channels, idx_t* step) noexcept nogil:
    """Of (batch, channels, *out) in C order."""
    step[4] = 1
    step[3] = s.out[2]
    step[2] = step[3] * s.out[1]
    step[1] = step[2] * s.out[0]
    step[0] = step[1] * channels


cdef void max_pool_entry(const fastconv_problem* problem, const void* x, void* y,
                         int64_t* indices, int num_threads) noexcept nogil:
    cdef MaxPool p
    cdef space_t s = space_of(problem)
    p.x, p.y, p.indices = <const real*> x, <real*> y, indices
    p.x_step, p.y_step = s.in_step, s.out_step
    dense_steps(&s, problem.in_channels, p.i_step)
    p.d = max_axis(s.size[0], s.out[0], s.kernel[0], s.stride[0], s.pad[0], s.dilation[0])
    p.h = max_axis(s.size[1], s.out[1], s.kernel[1], s.stride[1], s.pad[1], s.dilation[1])
    p.w = max_axis(s.size[2], s.out[2], s.kernel[2], s.stride[2], s.pad[2], s.dilation[2])
    p.channels = problem.in_channels
    run_max_pool(&p, problem.batch, num_threads)


cdef bint max_pool_backward_entry(const fastconv_problem* problem, const void* grad_output,
                                  const int64_t* indices, void* grad_input,
                                  int num_threads) noexcept nogil:
    """The planes of grad_input are flat: their last step leads through all of one."""
    cdef Scatter p
    cdef space_t s = space_of(problem)
    p.g, p.indices, p.gx = <const real*> grad_output, indices, <real*> grad_input
    p.g_step, p.out = s.out_step, s.out
    dense_steps(&s, problem.in_channels, p.i_step)
    p.gx_step[0], p.gx_step[1], p.gx_step[2] = s.in_step[0], s.in_step[1], s.in_step[4]
    p.channels = problem.in_channels
    p.plane = s.size[0] * s.size[1] * s.size[2]
    return run_scatter(&p, problem.batch, num_threads)


cdef Windows regular_windows(const space_t* s, int axis, int64_t divisor,
                             int64_t* table) noexcept nogil:
    """The windows of avg_pool along one axis; `table` has room for three numbers of each.

    `divisor` 0: the cells of a window, padding on either side included; -1: those in the input.
    """
    cdef Windows w
    cdef idx_t i, out = s.out[axis], first, end
    w.first, w.end, w.divisor, w.out = table, table + out, table + 2 * out, out
    for i in range(out):
        first = i * s.stride[axis] - s.pad[axis]
        end = min(first + s.kernel[axis], s.size[axis] + s.pad[axis])
        table[i] = max(first, <idx_t> 0)
        table[out + i] = min(end, s.size[axis])
        table[2 * out + i] = end - first if divisor == 0 else table[out + i] - table[i]
        if divisor != 0 and divisor != -1:
            table[2 * out + i] = divisor if axis == 2 else 1
    return w


cdef int mean_pool_entry(const fastconv_problem* problem, void* x, void* y, bint backward,
                         int64_t divisor, int num_threads) noexcept nogil:
    cdef MeanPool p
    cdef space_t s = space_of(problem)
    cdef idx_t widest = min(s.kernel[2], s.size[2]), outs = s.out[0] + s.out[1] + s.out[2]
    cdef int64_t* tables
    cdef real* scratch
    p.x, p.y, p.x_step, p.y_step = <real*> x, <real*> y, s.in_step, s.out_step
    p.size[0], p.size[1] = problem.batch, problem.in_channels
    p.size[2], p.size[3], p.size[4] = s.size[0], s.size[1], s.size[2]
    mean_lanes(&p)
    p.room = max(max(p.size[1], widest), min(s.size[2], <idx_t> SCRATCH_COLUMNS))
    tables = <int64_t*> malloc(<size_t> (3 * outs) * sizeof(int64_t)
                               + <size_t> (num_threads * p.room) * sizeof(real))
    if tables == NULL:
        return 1
    scratch = <real*> (tables + 3 * outs)
    p.d = regular_windows(&s, 0, divisor, tables)
    p.h = regular_windows(&s, 1, divisor, tables + 3 * s.out[0])
    p.w = regular_windows(&s, 2, divisor, tables + 3 * (s.out[0] + s.out[1]))
    if backward:
        run_spread(&p, scratch, num_threads)
    else:
        run_mean_rows(&p, scratch, num_threads)
    free(tables)
    return 0


cdef pool_entries table
table.max_pool = max_pool_entry
table.max_pool_backward = max_pool_backward_entry
table.mean_pool = mean_pool_entry


def entries():
    """A capsule that holds a pool_entries (entries.pxd)."""
    return PyCapsule_New(&table, NULL, NULL)
