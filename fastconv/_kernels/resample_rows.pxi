# Some columns of some target rows: blend the lines, turn them where pixels are small, blend pixels.

cdef enum:
    CHUNK = 8192        # bytes of the longer of a blended line and its target, that a task takes
    ABREAST = 4         # vectors of a sum, which share the loads of its weights


cdef struct table_t:
    # Target cell t is the sum of weight[k] times source cell first[t] + k - start[t],
    # start[t] <= k < start[t + 1].
    const int64_t* first
    const int64_t* start
    const real* weight
    idx_t cells         # of the target


cdef struct run_t:
    # The terms of one target cell.
    idx_t first, count
    const real* weight


cdef struct resample_t:
    const real* x       # (N, depth, height, width, channels)
    real* y
    table_t d, h, w
    idx_t depth, height, width, channels
    bint copies         # every target cell is one source cell, times 1
    idx_t rows          # of the target, all
    idx_t at_once       # rows of a task: 1, or LANES where these are turned
    idx_t chunks, chunk # of a row, and columns of a chunk
    idx_t line          # elements of a buffer for a line that a chunk needs
    idx_t room          # elements of a thread's scratch


cdef inline run_t run_of(const table_t* table, idx_t t) noexcept nogil:
    cdef run_t run
    run.first, run.count = table.first[t], table.start[t + 1] - table.start[t]
    run.weight = table.weight + table.start[t]
    return run


cdef inline idx_t end_of(const table_t* table, idx_t t) noexcept nogil:
    """The source cell after the last term of target cell t."""
    return table.first[t] + table.start[t + 1] - table.start[t]


cdef inline idx_t whole_lines(idx_t count) noexcept nogil:
    """At least so many elements, whole lines of the cache: vectors then lie in one line each."""
    cdef idx_t line = ALIGN // <idx_t> sizeof(real)
    return ceil_div(count, line) * line


cdef void cut_into_tasks(resample_t* p) noexcept nogil:
    """All that follows from the arrays and tables."""
    cdef idx_t longer = max(p.width, p.w.cells), begin, end, pixel
    p.at_once = 1 if p.channels >= LANES else LANES
    pixel = p.channels * p.at_once
    p.chunk = CHUNK // <idx_t> sizeof(real) // pixel * p.w.cells // longer
    p.chunk = max(<idx_t> 1, min(p.chunk, p.w.cells))
    p.chunks = ceil_div(p.w.cells, p.chunk)
    p.line, begin = 0, 0
    while begin < p.w.cells:
        end = min(begin + p.chunk, p.w.cells)
        p.line = max(p.line, end_of(&p.w, end - 1) - p.w.first[begin])
        begin = end
    p.line = whole_lines(p.line * p.channels)
    p.room = p.line
    if p.at_once > 1:  # the lines, the same turned, and the turned target
        p.room = (2 * p.line + whole_lines(p.chunk * p.channels)) * LANES


cdef inline void blend_vectors(int VECTORS, const real* x, idx_t outer_step, run_t outer,
                               idx_t step, run_t run, real* y) noexcept nogil:
    cdef vec sums[ABREAST]
    cdef vec weight
    cdef const real* cell
    cdef idx_t i, j
    cdef int v
    for v in range(VECTORS):
        sums[v] = splat(0)
    for i in range(outer.count):
        cell = x + i * outer_step
        for j in range(run.count):
            weight = splat(outer.weight[i] * run.weight[j])
            for v in range(VECTORS):
                sums[v] = sums[v] + weight * (<const vec*> (cell + v * LANES))[0]
            cell += step
    for v in range(VECTORS):
        (<vec*> (y + v * LANES))[0] = sums[v]


cdef inline void blend(const real* x, idx_t outer_step, run_t outer, idx_t step, run_t run,
                       real* y, idx_t n) noexcept nogil:
    """y[e] = the sum of outer.weight[i] run.weight[j] x[i * outer_step + j * step + e], e < n."""
    cdef idx_t e = 0, i, j
    cdef real total
    if n < LANES:
        for e in range(n):
            total = 0
            for i in range(outer.count):
                for j in range(run.count):
                    total = total + (outer.weight[i] * run.weight[j]
                                     * x[i * outer_step + j * step + e])
            y[e] = total
        return
    while e + ABREAST * LANES <= n:
        blend_vectors(ABREAST, x + e, outer_step, outer, step, run, y + e)
        e += ABREAST * LANES
    while e < n:
        # The last vector ends with the last element, over the one before it if need be.
        e = min(e, n - LANES)
        blend_vectors(1, x + e, outer_step, outer, step, run, y + e)
        e += LANES


cdef const real* line_of(const resample_t* p, idx_t row, idx_t first, idx_t columns,
                         real* buffer) noexcept nogil:
    """The columns from `first` on that a target row needs, in the source or blended in `buffer`."""
    cdef idx_t rest = row // p.h.cells, n = rest // p.d.cells
    cdef run_t d = run_of(&p.d, rest - n * p.d.cells), h = run_of(&p.h, row - rest * p.h.cells)
    cdef idx_t pitch = p.width * p.channels
    cdef const real* x = p.x + ((n * p.depth + d.first) * p.height + h.first) * pitch
    x += first * p.channels
    if d.count == 1 and h.count == 1 and d.weight[0] == 1 and h.weight[0] == 1:
        return x
    blend(x, p.height * pitch, d, pitch, h, buffer, columns * p.channels)
    return buffer


# Pixels begin..end, of `pixel` elements, of a target row, from a line that begins with source pixel
# `first`.  Three functions, as gcc allots registers by function.

cdef void copy_pixels(table_t w, const real* line, idx_t first, idx_t begin, idx_t end, real* y,
                      idx_t pixel) noexcept nogil:
    cdef idx_t t
    for t in range(begin, end):
        copy(y, line + (w.first[t] - first) * pixel, pixel)
        y += pixel


cdef void blend_pixels(table_t w, const real* line, idx_t first, idx_t begin, idx_t end, real* y,
                       idx_t pixel) noexcept nogil:
    cdef real one = 1
    cdef run_t whole, run
    cdef idx_t t
    whole.first, whole.count, whole.weight = 0, 1, &one
    for t in range(begin, end):
        run = run_of(&w, t)
        blend(line + (run.first - first) * pixel, 0, whole, pixel, run, y, pixel)
        y += pixel


cdef void blend_vector_pixels(table_t w, const real* line, idx_t first, idx_t begin, idx_t end,
                              real* y) noexcept nogil:
    """Pixels that are one vector each: of turned planes."""
    cdef const real* x
    cdef vec total
    cdef idx_t t, k
    for t in range(begin, end):
        x = line + (w.first[t] - first) * LANES
        total = splat(0)
        for k in range(w.start[t], w.start[t + 1]):
            total = total + splat(w.weight[k]) * (<const vec*> x)[0]
            x += LANES
        (<vec*> y)[0] = total
        y += LANES


cdef inline void resample_pixels(const resample_t* p, const real* line, idx_t first, idx_t begin,
                                 idx_t end, real* y, idx_t pixel) noexcept nogil:
    if p.copies:
        copy_pixels(p.w, line, first, begin, end, y, pixel)
    elif pixel == LANES:
        blend_vector_pixels(p.w, line, first, begin, end, y)
    else:
        blend_pixels(p.w, line, first, begin, end, y, pixel)


cdef void resample_task(const resample_t* p, idx_t row, idx_t rows, idx_t begin, idx_t end,
                        real* scratch) noexcept nogil:
    """Columns begin..end of target rows from `row` on."""
    cdef idx_t first = p.w.first[begin], columns = end_of(&p.w, end - 1) - first
    cdef idx_t pitch = p.w.cells * p.channels, count = columns * p.channels, i
    cdef real* y = p.y + row * pitch + begin * p.channels
    cdef real* turned = scratch + p.line * LANES
    cdef real* target = turned + p.line * LANES
    cdef const real* scratch_end = scratch + p.room
    cdef const real* line
    if p.at_once == 1:
        line = line_of(p, row, first, columns, scratch)
        resample_pixels(p, line, first, begin, end, y, p.channels)
        return
    for i in range(rows):
        # The squares below write to all rows at once, which the hardware does not foresee.
        prefetch_lines(y + i * pitch, (end - begin) * p.channels)
        line = line_of(p, row + i, first, columns, scratch + i * p.line)
        if line != scratch + i * p.line:
            copy(scratch + i * p.line, line, count)
    planes_to_pixels(scratch, p.line, 1, count, rows, scratch_end, turned, LANES)
    resample_pixels(p, turned, first, begin, end, target, p.channels * LANES)
    pixels_to_planes(target, LANES, (end - begin) * p.channels, rows, scratch_end, y, pitch)


cdef void resample_tasks(const resample_t* p, idx_t begin, idx_t end, real* scratch) noexcept nogil:
    cdef idx_t task, row, column
    for task in range(begin, end):
        row = task // p.chunks * p.at_once
        column = task % p.chunks * p.chunk
        resample_task(p, row, min(p.at_once, p.rows - row), column,
                      min(column + p.chunk, p.w.cells), scratch)
