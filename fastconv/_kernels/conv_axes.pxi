# The same problem along other axes: where columns are few, and where memory already joins two axes.

cdef enum:
    FEW_COLUMNS = 2         # leave most of a tile empty


cdef void batch_to_columns(conv_t* p) noexcept nogil:
    """Lets the images of a batch be the columns, where an image has next to none of its own.

    The axes move up by one; the first must be free.
    """
    cdef bint few = ceil_div(p.out_size[2], p.stretch[2]) <= FEW_COLUMNS
    cdef bint pixels = p.in_channel == 1 and p.out_channel == 1
    cdef idx_t weights = (p.groups * p.out_channels * p.in_channels
                          * p.kernel[0] * p.kernel[1] * p.kernel[2] * <idx_t> sizeof(real))
    cdef int axis
    if p.batch <= FEW_COLUMNS or p.in_size[0] != 1 or p.out_size[0] != 1 or p.kernel[0] != 1:
        return
    if p.pad[0] != 0:
        return      # the only window lies on padding
    if weights > WEIGHT_BYTES:
        # From L3: all images share what is loaded.  Lone taps of planes join their rows instead.
        if not few and p.in_size[2] != 1 or p.in_channel != 1 and p.kernel[1] * p.kernel[2] == 1:
            return
    elif not few or pixels != (p.groups == 1):
        # Cells of planes are moved one by one, which single images of small groups are worse than.
        return
    for axis in range(AXES - 1):
        p.in_size[axis], p.out_size[axis] = p.in_size[axis + 1], p.out_size[axis + 1]
        p.in_step[axis], p.out_step[axis] = p.in_step[axis + 1], p.out_step[axis + 1]
        p.kernel[axis], p.w_step[axis] = p.kernel[axis + 1], p.w_step[axis + 1]
        p.stride[axis], p.stretch[axis] = p.stride[axis + 1], p.stretch[axis + 1]
        p.dilation[axis], p.pad[axis] = p.dilation[axis + 1], p.pad[axis + 1]
        p.gate_step[axis] = p.gate_step[axis + 1]
    axis = AXES - 1
    p.in_size[axis], p.in_step[axis] = p.batch, p.in_batch
    p.out_size[axis], p.out_step[axis] = p.batch, p.out_batch
    p.gate_step[axis] = p.gate_batch
    p.kernel[axis] = p.stride[axis] = p.stretch[axis] = p.dilation[axis] = 1
    p.w_step[axis] = p.pad[axis] = 0
    p.batch = 1


cdef void merge_axes(conv_t* p) noexcept nogil:
    """Joins neighbouring axes that no filter looks along and that memory already joins."""
    cdef int a
    for a in range(AXES - 1):
        if (p.kernel[a] == 1 and p.kernel[a + 1] == 1
                and p.stride[a] == 1 and p.stride[a + 1] == 1
                and p.stretch[a] == 1 and p.stretch[a + 1] == 1
                and p.pad[a] == 0 and p.pad[a + 1] == 0
                and p.in_size[a] == p.out_size[a] and p.in_size[a + 1] == p.out_size[a + 1]
                and p.in_step[a] == p.in_size[a + 1] * p.in_step[a + 1]
                and p.out_step[a] == p.out_size[a + 1] * p.out_step[a + 1]
                and p.gate_step[a] == p.out_size[a + 1] * p.gate_step[a + 1]):
            p.in_size[a + 1] *= p.in_size[a]
            p.out_size[a + 1] *= p.out_size[a]
            p.in_size[a] = p.out_size[a] = 1
