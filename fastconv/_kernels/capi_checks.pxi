# What a call of the C interface is checked for, before anything is written: sizes, steps, work and
# pointers, each to a status code of fastconv.h.

cdef inline bint times(int64_t* total, int64_t factor, int64_t most) noexcept nogil:
    """total *= factor; False where that would be above `most`."""
    if total[0] > most // factor:
        return False
    total[0] *= factor
    return True


cdef int64_t cells(int64_t batch, int64_t channels, const int64_t* size, int ndim) noexcept nogil:
    """Elements of an array, at most MOST_CELLS; -1: more, also of one that a zero empties."""
    cdef int64_t total = 1
    cdef bint empty = batch == 0
    cdef int axis
    if not (times(&total, max(batch, 1), MOST_CELLS) and times(&total, channels, MOST_CELLS)):
        return -1
    for axis in range(ndim):
        empty |= size[axis] == 0
        if not times(&total, max(size[axis], 1), MOST_CELLS):
            return -1
    return 0 if empty else total


cdef struct memory_t:
    # An array: its elements, and how far from the pointer the first and the last one lie.
    int64_t count
    int64_t low, high
    bint apart              # every element has a place of its own


cdef memory_t dense(int64_t count) noexcept nogil:
    cdef memory_t m
    m.count, m.low, m.high, m.apart = count, 0, count - 1, True
    return m


cdef int spread(int64_t batch, int64_t channels, const int64_t* size, const int64_t* stride,
                int ndim, memory_t* m) noexcept nogil:
    """The array of these sizes and strides; a status."""
    cdef int64_t sizes[5]
    cdef int64_t steps[5]
    cdef int64_t step, reach
    cdef int axis, i, n = 0
    m.low = m.high = 0
    m.apart = True
    m.count = cells(batch, channels, size, ndim)
    if m.count < 0:
        return FASTCONV_TOO_LARGE
    for axis in range(ndim + 2):
        if not -MOST_CELLS <= stride[axis] <= MOST_CELLS:
            return FASTCONV_TOO_LARGE
    if m.count == 0:
        return FASTCONV_OK
    for axis in range(ndim + 2):
        reach = batch if axis == 0 else channels if axis == 1 else size[axis - 2]
        if reach == 1:
            continue
        step = stride[axis] if stride[axis] >= 0 else -stride[axis]
        if step > MOST_CELLS // reach:
            return FASTCONV_TOO_LARGE
        if stride[axis] < 0:
            m.low -= (reach - 1) * step
        else:
            m.high += (reach - 1) * step
        i = n       # by growing steps
        while i > 0 and steps[i - 1] > step:
            steps[i], sizes[i] = steps[i - 1], sizes[i - 1]
            i -= 1
        steps[i], sizes[i] = step, reach
        n += 1
    reach = 0
    for i in range(n):
        if steps[i] <= reach:
            m.apart = False
        reach += (sizes[i] - 1) * steps[i]
    return FASTCONV_OK


cdef int check_sizes(const fastconv_problem* p, bint pool) noexcept nogil:
    """All but strides and memory."""
    cdef int axis
    cdef int64_t span, start
    if p == NULL:
        return FASTCONV_NULL_POINTER
    if p.struct_size != sizeof(fastconv_problem):
        return FASTCONV_BAD_STRUCT_SIZE
    if not 1 <= p.dimensions <= AXES:
        return FASTCONV_BAD_DIMENSIONS
    if not 0 <= p.batch <= LARGEST:
        return FASTCONV_BAD_SIZE
    for axis in range(<int> p.dimensions):
        if not (<int64_t> pool <= p.in_size[axis] <= LARGEST
                and <int64_t> pool <= p.out_size[axis] <= LARGEST):
            return FASTCONV_BAD_SIZE
    if not (1 <= p.in_channels <= LARGEST and 1 <= p.out_channels <= LARGEST):
        return FASTCONV_BAD_CHANNELS
    if p.groups < 1 or p.in_channels % p.groups or p.out_channels % p.groups:
        return FASTCONV_BAD_CHANNELS
    if pool and (p.groups != 1 or p.in_channels != p.out_channels):
        return FASTCONV_BAD_CHANNELS
    for axis in range(<int> p.dimensions):
        if not (1 <= p.kernel[axis] <= LARGEST and 1 <= p.stride[axis] <= LARGEST
                and 1 <= p.dilation[axis] <= LARGEST):
            return FASTCONV_BAD_WINDOW
        if p.kernel[axis] > 1 and p.dilation[axis] > (LARGEST - 1) // (p.kernel[axis] - 1):
            return FASTCONV_BAD_WINDOW
        span = p.dilation[axis] * (p.kernel[axis] - 1) + 1
        if not 0 <= p.padding[axis] <= (span // 2 if pool else LARGEST):
            return FASTCONV_BAD_PADDING
        # The last window begins in the input, or before it.
        start = p.in_size[axis] - 1 + p.padding[axis]
        if p.out_size[axis] > 1 and (p.out_size[axis] - 1 > start // p.stride[axis]):
            return FASTCONV_BAD_OUT_SIZE
    return FASTCONV_OK


cdef int check_work(const fastconv_problem* p, int64_t taps, int64_t* work) noexcept nogil:
    """The multiply-adds of one pass, zeros counted as ones."""
    cdef int axis
    work[0] = p.in_channels // p.groups
    if not (times(work, taps, MOST_WORK) and times(work, p.out_channels, MOST_WORK)
            and times(work, max(p.batch, 1), MOST_WORK)):
        return FASTCONV_TOO_LARGE
    for axis in range(<int> p.dimensions):
        if not times(work, max(p.out_size[axis], 1), MOST_WORK):
            return FASTCONV_TOO_LARGE
    return FASTCONV_OK


cdef struct checked_t:
    memory_t input, output, weight
    int64_t work            # multiply-adds of one pass, or what takes as long


cdef int check(const fastconv_problem* p, bint pool, checked_t* found) noexcept nogil:
    cdef int64_t taps = 1
    cdef int axis, ndim, status = check_sizes(p, pool)
    if status != FASTCONV_OK:
        return status
    ndim = <int> p.dimensions
    found.weight = dense(p.out_channels)
    if not times(&found.weight.count, p.in_channels // p.groups, MOST_CELLS):
        return FASTCONV_TOO_LARGE
    for axis in range(ndim):
        if not (times(&taps, p.kernel[axis], MOST_CELLS)
                and times(&found.weight.count, p.kernel[axis], MOST_CELLS)):
            return FASTCONV_TOO_LARGE
    found.weight.high = found.weight.count - 1
    status = check_work(p, taps, &found.work)
    if status == FASTCONV_OK:
        status = spread(p.batch, p.in_channels, p.in_size, p.in_strides, ndim, &found.input)
    if status == FASTCONV_OK:
        status = spread(p.batch, p.out_channels, p.out_size, p.out_strides, ndim, &found.output)
    if status == FASTCONV_OK:
        if pool:                # a channel is pooled by itself
            found.work //= p.in_channels
        found.work += ELEMENT_WORK * (found.input.count + found.output.count)
    return status


cdef inline int check_pointer(const void* pointer, const memory_t* m,
                              int64_t bytes) noexcept nogil:
    if m.count and pointer == NULL:
        return FASTCONV_NULL_POINTER
    return FASTCONV_UNALIGNED if <size_t> pointer % <size_t> bytes else FASTCONV_OK


cdef inline bint overlap(const void* a, const memory_t* ma, int64_t a_bytes, const void* b,
                         const memory_t* mb, int64_t b_bytes) noexcept nogil:
    cdef const char* x = <const char*> a
    cdef const char* y = <const char*> b
    if ma.count == 0 or mb.count == 0 or a == NULL or b == NULL:
        return False
    return (<size_t> (x + ma.low * a_bytes) < <size_t> (y + (mb.high + 1) * b_bytes)
            and <size_t> (y + mb.low * b_bytes) < <size_t> (x + (ma.high + 1) * a_bytes))


cdef int check_arrays(const kernels_t* kernels, const void* read, const memory_t* read_memory,
                      const void* written, const memory_t* written_memory) noexcept nogil:
    cdef int status
    if not written_memory.apart:
        return FASTCONV_BAD_STRIDES
    status = check_pointer(read, read_memory, kernels.bytes)
    if status == FASTCONV_OK:
        status = check_pointer(written, written_memory, kernels.bytes)
    if status == FASTCONV_OK and overlap(read, read_memory, kernels.bytes, written, written_memory,
                                         kernels.bytes):
        return FASTCONV_OVERLAP
    return status


cdef int check_weight(const kernels_t* kernels, const checked_t* found, const void* weight,
                      const void* bias, int64_t channels, const void* written,
                      const memory_t* written_memory) noexcept nogil:
    cdef memory_t biases = dense(channels)
    cdef int status = check_pointer(weight, &found.weight, kernels.bytes)
    if status == FASTCONV_OK and <size_t> bias % <size_t> kernels.bytes:
        return FASTCONV_UNALIGNED
    if status == FASTCONV_OK and (
            overlap(weight, &found.weight, kernels.bytes, written, written_memory, kernels.bytes)
            or overlap(bias, &biases, kernels.bytes, written, written_memory, kernels.bytes)):
        return FASTCONV_OVERLAP
    return status
