# One problem: sizes and steps, as every kernel takes them.

cdef enum:
    AXES = 3          # depth, height, width; absent axes have length 1
    OK = 0
    NO_MEMORY = 1
    ALIGN = 64        # bytes: a cache line, and the widest vector


cdef struct conv_t:
    # One problem.  Steps are in elements; groups lie side by side along the channels.
    idx_t batch, groups
    idx_t in_channels, out_channels         # of one group
    idx_t in_size[AXES]
    idx_t out_size[AXES]
    idx_t kernel[AXES]
    idx_t stride[AXES]                      # of the window over the input
    idx_t stretch[AXES]                     # of the input itself: 1, or the stride of grad_input
    idx_t dilation[AXES]
    idx_t pad[AXES]                         # low side; negative crops
    idx_t in_batch, in_channel
    idx_t in_step[AXES]
    idx_t out_batch, out_channel
    idx_t out_step[AXES]
    idx_t w_group, w_out, w_in              # from filter to filter, from slice to slice
    idx_t w_step[AXES]
    # What happens at the store, see conv_store.pxi; NULL for what does not.
    const real* gate                        # of the output's shape
    real slope                              # 1: neither activation nor gate
    const real* plus                        # in the order of the gate, if there is one
    const real* mean                        # of each output channel of all groups
    const real* by
    const real* term
    idx_t gate_batch, gate_channel
    idx_t gate_step[AXES]


cdef inline idx_t ceil_div(idx_t a, idx_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline idx_t round_up(idx_t a, idx_t multiple) noexcept nogil:
    return ceil_div(a, multiple) * multiple


cdef void* aligned(void* block) noexcept nogil:
    """The first cache line inside a block that was allocated with ALIGN bytes to spare."""
    return <void*> ((<size_t> block + ALIGN - 1) // ALIGN * ALIGN)


cdef inline idx_t even(idx_t count, idx_t most) noexcept nogil:
    """The size of equal shares of `count`, none above `most`."""
    return ceil_div(count, ceil_div(count, most))


cdef conv_t describe(const real[:, :, :, :, :] x, const real[:, :, :, :, :, :] w,
                     const real[:, :, :, :, :] y, tuple stride, tuple dilation, tuple pad):
    """The problem of arrays (N, G*I, *in), (G, O, I, *kernel), (N, G*O, *out)."""
    cdef conv_t p
    cdef int axis
    cdef idx_t size = sizeof(real)
    p.batch = x.shape[0]
    p.groups, p.out_channels, p.in_channels = w.shape[0], w.shape[1], w.shape[2]
    p.in_batch, p.in_channel = x.strides[0] // size, x.strides[1] // size
    p.out_batch, p.out_channel = y.strides[0] // size, y.strides[1] // size
    p.w_group, p.w_out, p.w_in = w.strides[0] // size, w.strides[1] // size, w.strides[2] // size
    for axis in range(AXES):
        p.in_size[axis], p.in_step[axis] = x.shape[2 + axis], x.strides[2 + axis] // size
        p.out_size[axis], p.out_step[axis] = y.shape[2 + axis], y.strides[2 + axis] // size
        p.kernel[axis], p.w_step[axis] = w.shape[3 + axis], w.strides[3 + axis] // size
        p.stride[axis], p.stretch[axis] = stride[axis], 1
        p.dilation[axis], p.pad[axis] = dilation[axis], pad[axis]
    p.slope, p.gate, p.plus = 1, NULL, NULL
    p.mean, p.by, p.term = NULL, NULL, NULL
    # No gate steps as the output does, so that axes can be merged.
    p.gate_batch, p.gate_channel, p.gate_step = p.out_batch, p.out_channel, p.out_step
    return p


cdef void stretch_input(conv_t* p) noexcept nogil:
    """From the sizes of a convolution to those of its grad_input."""
    cdef int axis
    for axis in range(AXES):
        p.stretch[axis] = p.stride[axis]
        p.stride[axis] = 1
        p.pad[axis] = p.dilation[axis] * (p.kernel[axis] - 1) - p.pad[axis]


cdef const real* along(conv_t* p, const real[:, :, :, :, :] array):
    """The array, by whose steps the store is to go."""
    cdef int axis
    cdef idx_t size = sizeof(real)
    p.gate_batch, p.gate_channel = array.strides[0] // size, array.strides[1] // size
    for axis in range(AXES):
        p.gate_step[axis] = array.strides[2 + axis] // size
    return &array[0, 0, 0, 0, 0]


cdef void describe_store(conv_t* p, const real[:, :, :, :, :] gate, const real[:, ::1] norm,
                         const real[:, :, :, :, :] plus, double slope):
    """What the entries of the kernels say of it; None for what does not happen.

    gate: of y's shape.  norm: (4, channels), what `factors` of the norm family finds, in place of a
    gate.  plus: of y's shape, which needs one of the two, and lies in memory as a gate does.
    """
    p.slope = <real> slope
    if norm is not None:
        p.mean, p.by, p.term = &norm[0, 0], &norm[2, 0], &norm[3, 0]
        if plus is not None and plus.size:
            p.plus = along(p, plus)
    elif gate is not None and gate.size:
        p.gate = along(p, gate)
        if plus is not None:
            p.plus = &plus[0, 0, 0, 0, 0]
