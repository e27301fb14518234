# What the next task reads and writes, fetched while this one multiplies: whole rows of pixels.  Other
# tasks have many short pieces, and are left alone.

cdef enum:
    FAR_BYTES = 4096 * 1024     # of input and output; less of them is in the caches anyway
    BOX_BYTES = 1024 * 1024     # of what is fetched; more are planes of which a task has a few rows


cdef void look_at_box(const idx_t* size, const idx_t* step, const idx_t* first, const idx_t* last,
                      idx_t later, int stream, const real* image, ahead_t* ahead) noexcept nogil:
    """Pixels from one cell to another, of an image so many elements later, inside of the images."""
    cdef idx_t begin = 0, end = later + step[2]
    cdef int axis
    for axis in range(AXES):
        begin += max(<idx_t> 0, min(size[axis] - 1, first[axis])) * step[axis]
        end += max(<idx_t> 0, min(size[axis] - 1, last[axis])) * step[axis]
    if (end - begin) * <idx_t> sizeof(real) <= BOX_BYTES:
        look_ahead(ahead, stream, image + begin, 0, end - begin)


cdef void look_at_task(const winograd_t* self, idx_t task, idx_t steps, const real* x,
                       const real* y, ahead_t* ahead) noexcept nogil:
    """All channels of its tiles, to be fetched in so many steps; past the last task, nothing."""
    cdef const conv_t* p = &self.p
    cdef run_of_tiles_t first, last
    cdef idx_t begin[AXES]
    cdef idx_t end[AXES]
    cdef idx_t images
    cdef int axis
    memset(ahead, 0, sizeof(ahead_t))
    if task >= self.n_tasks or self.row_runs > 1 or p.in_channel != 1 or p.out_channel != 1:
        return
    if p.batch * (p.in_batch + p.out_batch) * <idx_t> sizeof(real) < FAR_BYTES:
        return
    ahead.steps = steps
    first = find_run(self, task * self.task_runs)
    last = find_run(self, min(self.n_runs, (task + 1) * self.task_runs) - 1)
    images = last.image - first.image
    last.tile[2] += last.count - 1
    for axis in range(AXES):
        begin[axis] = first.tile[axis] * self.outputs[axis]
        end[axis] = (last.tile[axis] + 1) * self.outputs[axis] - 1
    look_at_box(p.out_size, p.out_step, begin, end, images * p.out_batch, 0,
                y + first.image * p.out_batch, ahead)
    for axis in range(AXES):
        begin[axis] = begin[axis] * p.stride[axis] - p.pad[axis]
        end[axis] = end[axis] * p.stride[axis] - p.pad[axis] + p.kernel[axis] - 1
    look_at_box(p.in_size, p.in_step, begin, end, images * p.in_batch, 1,
                x + first.image * p.in_batch, ahead)
