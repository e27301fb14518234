# Reading tiles: of the input, or of grad_output, in any order of memory, into transformed ones.

cdef side_t input_side(const winograd_t* self, idx_t phase) noexcept nogil:
    """Output m reads tap t + s q of the phase, the tap t its first, at input s (m + q) + t - pad."""
    cdef const conv_t* p = &self.p
    cdef side_t side
    cdef idx_t tap[AXES]
    cdef idx_t s, cell
    cdef int axis
    find_phase(self, phase, tap)
    side.first = 0
    side.image, side.channel = self.p.in_batch, self.p.in_channel
    side.next_tile = self.outputs[2]
    for axis in range(AXES):
        s = p.stride[axis]
        side.pad[axis] = ceil_div(p.pad[axis] - tap[axis], s)
        cell = s * side.pad[axis] + tap[axis] - p.pad[axis]
        side.first += cell * p.in_step[axis]
        side.size[axis], side.step[axis] = ceil_div(p.in_size[axis] - cell, s), s * p.in_step[axis]
        side.tile[axis] = self.points[axis]
    return side


cdef side_t grad_output_side(const winograd_t* self) noexcept nogil:
    cdef side_t side
    cdef int axis
    side.image, side.channel = self.p.out_batch, self.p.out_channel
    side.next_tile = self.outputs[2]
    side.first = 0
    for axis in range(AXES):
        side.size[axis], side.step[axis] = self.p.out_size[axis], self.p.out_step[axis]
        side.pad[axis], side.tile[axis] = 0, self.outputs[axis]
    return side


cdef const real* side_end(const side_t* side, idx_t channels, const real* x) noexcept nogil:
    """Past the last cell of an image, or x itself where memory runs backwards."""
    cdef int axis
    cdef const real* end = x + (channels - 1) * side.channel + 1
    if side.channel < 0:
        return x
    for axis in range(AXES):
        if side.step[axis] < 0:
            return x
        end = end + (side.size[axis] - 1) * side.step[axis]
    return end


cdef inline void gather_pixel_row(const span_t* span, const real* x, idx_t step, idx_t plane,
                                  idx_t channels, real* strip, idx_t pixel) noexcept nogil:
    """One row of pixels, from any order of memory."""
    cdef idx_t j, c
    cdef const real* source
    cdef real* target
    clear(strip, span.low * pixel)
    for j in range(span.low, span.high):
        source = x + span.source + j * step
        target = strip + j * pixel
        if plane == 1:
            copy(target, source, channels)
        else:
            for c in range(channels):
                target[c] = source[c * plane]
        clear(target + channels, pixel - channels)
    clear(strip + span.high * pixel, (span.cells - span.high) * pixel)


cdef struct cells_t:
    # What some neighbours read, in the array itself or in a strip.
    const real* first
    idx_t step[AXES]
    idx_t low[AXES]         # those along each axis that there are; the others are zero
    idx_t high[AXES]


cdef cells_t find_cells(const winograd_t* self, const side_t* side, const run_of_tiles_t* run,
                        const real* x, idx_t channels, idx_t pixel, real* strip) noexcept nogil:
    """Fills the strip unless pixels of whole vectors can be read where they are."""
    cdef cells_t cells
    cdef idx_t start[AXES]
    cdef idx_t size[AXES]
    cdef idx_t j0, j1, i0, i1
    cdef span_t span
    cdef const real* end
    cdef const real* row
    cdef real* target
    cdef int axis
    x = x + run.image * side.image + side.first
    end = side_end(side, channels, x)
    for axis in range(AXES):
        start[axis] = run.tile[axis] * self.outputs[axis] - side.pad[axis]
        size[axis] = side.tile[axis] + (run.count - 1) * side.next_tile * (axis == 2)
        cells.low[axis] = min(size[axis], max(<idx_t> 0, -start[axis]))
        cells.high[axis] = max(cells.low[axis], min(size[axis], side.size[axis] - start[axis]))
    if side.channel == 1 and pixel == channels:
        cells.first = x
        for axis in range(AXES):
            cells.first = cells.first + start[axis] * side.step[axis]
            cells.step[axis] = side.step[axis]
        return cells
    cells.first = strip
    steps_of(size, pixel, cells.step)
    span.cell, span.cells, span.source = 0, size[2], start[2] * side.step[2]
    span.low, span.high = cells.low[2], cells.high[2]
    for axis in range(AXES):
        cells.low[axis], cells.high[axis] = 0, size[axis]
    for j0 in range(size[0]):
        for j1 in range(size[1]):
            i0, i1 = start[0] + j0, start[1] + j1
            target = strip + j0 * cells.step[0] + j1 * cells.step[1]
            row = x + i0 * side.step[0] + i1 * side.step[1]
            if i0 < 0 or i0 >= side.size[0] or i1 < 0 or i1 >= side.size[1]:
                clear(target, size[2] * pixel)
            elif side.channel != 1 and 1 <= side.step[2] <= 2:
                turn_pixel_row(&span, 1, row, side.channel, side.step[2], channels, end, target,
                               pixel)
            else:
                gather_pixel_row(&span, row, side.step[2], side.channel, channels, target, pixel)
    return cells


cdef enum:
    COLUMN_CELLS = 240      # vectors of transformed columns that wait in L1
    COLUMN_BYTES = 32768    # of the cells that they come from


cdef inline idx_t tiles_at_once(const winograd_t* self, const side_t* side,
                                idx_t pixel) noexcept nogil:
    """Neighbours whose columns are transformed together."""
    cdef idx_t columns = min(
        COLUMN_CELLS // (self.points[0] * self.points[1]),
        COLUMN_BYTES // (side.tile[0] * side.tile[1] * pixel * <idx_t> sizeof(real)))
    return max(<idx_t> 1, (columns - side.tile[2]) // side.next_tile + 1)


cdef inline void transform_columns(transform_t KIND, const idx_t* points, const side_t* side,
                                   const cells_t* cells, idx_t columns, const real* first,
                                   real* target, real* spare) noexcept nogil:
    """All axes but the last of a vector of some columns, in order: [column][plane][row].

    Neighbours share columns, so this is done before the last axis.
    """
    cdef idx_t column = points[0] * points[1] * LANES
    cdef idx_t rows = side.tile[1], planes = side.tile[0]
    cdef idx_t low = cells.low[2], high = cells.high[2], j, i0, i1
    cdef idx_t flat[AXES]
    cdef idx_t s_step[AXES]
    cdef idx_t d_step[AXES]
    cdef real held[36 * 16]
    cdef const real* s
    for j in range(columns):
        if j < low or j >= high:
            memset(target + j * column, 0, <size_t> column * sizeof(real))
    if points[0] == 1 and points[1] > 1:
        first = first + low * cells.step[2]
        target = target + low * column
        if cells.low[1] == 0 and cells.high[1] == rows:
            lines(KIND, points[1], high - low, first, cells.step[1], cells.step[2], target, LANES,
                  column, NULL, ALL_CELLS)
        else:
            lines_within(KIND, points[1], high - low, cells.low[1], cells.high[1], first,
                         cells.step[1], cells.step[2], target, LANES, column)
        return
    flat[0], flat[1], flat[2] = 1, points[0], points[1]
    s_step[0], s_step[1], s_step[2] = 0, rows * LANES, LANES
    d_step[0], d_step[1], d_step[2] = 0, points[1] * LANES, LANES
    for j in range(low, high):
        s = first + j * cells.step[2]
        for i0 in range(planes):
            for i1 in range(rows):
                (<vec*> held)[i0 * rows + i1] = (
                    (<const vec*> (s + i0 * cells.step[0] + i1 * cells.step[1]))[0]
                    if cells.low[0] <= i0 < cells.high[0] and cells.low[1] <= i1 < cells.high[1]
                    else splat(0))
        if points[1] == 1:
            (<vec*> (target + j * column))[0] = (<vec*> held)[0]
        else:
            plane(KIND, flat, held, s_step, target + j * column, d_step, spare, NULL, WHOLE_TILE)


cdef inline vec sum_cells(const cells_t* cells, const real* first) noexcept nogil:
    """A vector of all cells; its rows apart, as that hides the latency of adding."""
    cdef vec rows[4]
    cdef idx_t i0, i1, j
    cdef const real* row
    for i1 in range(4):
        rows[i1] = splat(0)
    for i0 in range(cells.low[0], cells.high[0]):
        for j in range(cells.low[2], cells.high[2]):
            row = first + i0 * cells.step[0] + j * cells.step[2]
            for i1 in range(cells.low[1], cells.high[1]):
                rows[i1 % 4] = rows[i1 % 4] + (<const vec*> (row + i1 * cells.step[1]))[0]
    return (rows[0] + rows[1]) + (rows[2] + rows[3])


cdef inline void transform_part(transform_t KIND, const winograd_t* self, const side_t* side,
                                const run_of_tiles_t* part, const real* x, idx_t channels,
                                idx_t pixel, real* strip, real* target, idx_t point, idx_t row,
                                real* totals, real* spare) noexcept nogil:
    cdef const idx_t* points = &self.points[0]
    cdef idx_t rows = points[0] * points[1], column = rows * LANES, i, j, c
    cdef idx_t columns = side.tile[2] + (part.count - 1) * side.next_tile
    cdef real* held = spare + 216 * LANES
    cdef cells_t cells = find_cells(self, side, part, x, channels, pixel, strip)
    for i in range(pixel // LANES):
        c = i * LANES
        transform_columns(KIND, points, side, &cells, columns, cells.first + c, held, spare)
        for j in range(part.count):
            lines(KIND, points[2], rows, held + j * side.next_tile * column, column, LANES,
                  target + j * row + c, point, points[2] * point, NULL, ALL_CELLS)
        if totals != NULL:
            (<vec*> (totals + c))[0] = (<vec*> (totals + c))[0] + sum_cells(
                &cells, cells.first + c)


cdef void transform_run(transform_t kind, const winograd_t* self, const side_t* side,
                        const run_of_tiles_t* run, const real* x, idx_t channels, idx_t pixel,
                        real* strip, real* target, idx_t point, idx_t row, real* totals,
                        real* spare) noexcept nogil:
    """[point][tile][channel] of one run, INPUT or GRAD_OUTPUT, the channels in whole vectors.

    Tiles are `row` apart, points `point`.  A GRAD_OUTPUT is added up in `totals`, if that is there.
    """
    cdef run_of_tiles_t part = run[0]
    cdef idx_t most = tiles_at_once(self, side, pixel), end = run.tile[2] + run.count
    while part.tile[2] < end:
        part.count = min(even(run.count, most), end - part.tile[2])
        if kind == INPUT:
            transform_part(INPUT, self, side, &part, x, channels, pixel, strip, target, point,
                           row, NULL, spare)
        else:
            transform_part(GRAD_OUTPUT, self, side, &part, x, channels, pixel, strip, target,
                           point, row, totals, spare)
        part.tile[2] += part.count
        target = target + part.count * row
