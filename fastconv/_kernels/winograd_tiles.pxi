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
    reach_t reach[AXES]     # of each tile, where they are at an edge of the array itself
    bint edge


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
    cells.edge = False
    for axis in range(AXES):
        start[axis] = run.tile[axis] * self.outputs[axis] - side.pad[axis]
        size[axis] = side.tile[axis] + (run.count - 1) * side.next_tile * (axis == 2)
        cells.reach[axis].low = min(side.tile[axis], max(<idx_t> 0, -start[axis]))
        cells.reach[axis].high = max(cells.reach[axis].low,
                                     min(side.tile[axis], side.size[axis] - start[axis]))
    if whole_pixels(side, channels, pixel):
        cells.first = x
        for axis in range(AXES):
            cells.first = cells.first + start[axis] * side.step[axis]
            cells.step[axis] = side.step[axis]
            cells.edge = cells.edge or start[axis] < 0 or start[axis] + size[axis] > side.size[axis]
        return cells
    cells.first = strip
    steps_of(size, pixel, cells.step)
    span.cell, span.cells, span.source = 0, size[2], start[2] * side.step[2]
    span.low = min(span.cells, max(<idx_t> 0, -start[2]))
    span.high = max(span.low, min(span.cells, side.size[2] - start[2]))
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


cdef inline bint whole_pixels(const side_t* side, idx_t channels, idx_t pixel) noexcept nogil:
    return side.channel == 1 and pixel == channels


cdef inline bint column_inside(const winograd_t* self, const side_t* side,
                               idx_t tile) noexcept nogil:
    """Whether a tile lies between the first column and the last."""
    cdef idx_t start = tile * self.outputs[2] - side.pad[2]
    return start >= 0 and start + side.tile[2] <= side.size[2]


cdef run_of_tiles_t next_part(const winograd_t* self, const side_t* side,
                              const run_of_tiles_t* run, idx_t done, bint pixels) noexcept nogil:
    """What follows the tiles that are `done`: all the rest, or of pixels the neighbours of a kind.

    Each tile at an edge is a kind of its own.
    """
    cdef run_of_tiles_t part = run[0]
    part.tile[2] += done
    part.count -= done
    if pixels:
        part.count = 1
        while (done + part.count < run.count and column_inside(self, side, part.tile[2])
               and column_inside(self, side, part.tile[2] + part.count)):
            part.count += 1
    return part


cdef void transform_run(transform_t kind, const winograd_t* self, const side_t* side,
                        const run_of_tiles_t* run, const real* x, idx_t channels, idx_t pixel,
                        real* strip, real* target, idx_t point, idx_t row,
                        real* spare) noexcept nogil:
    """[point][tile][channel] of one run, INPUT or GRAD_OUTPUT, the channels in whole vectors.

    Tiles are `row` apart, points `point`.
    """
    cdef run_of_tiles_t part
    cdef cells_t cells
    cdef idx_t step[AXES]
    cdef idx_t i, j, c, done = 0
    cdef const real* tile
    cdef const reach_t* reach
    steps_of(self.points, point, step)
    while done < run.count:
        part = next_part(self, side, run, done, whole_pixels(side, channels, pixel))
        cells = find_cells(self, side, &part, x, channels, pixel, strip)
        reach = &cells.reach[0] if cells.edge else NULL
        for j in range(part.count):
            tile = cells.first + j * side.next_tile * cells.step[2]
            for i in range(pixel // LANES):
                c = i * LANES
                if kind == INPUT:
                    transform_input(self.points, tile + c, cells.step, target + c, step, spare,
                                    reach)
                else:
                    transform_grad_output(self.points, tile + c, cells.step, target + c, step,
                                          spare, reach)
            target = target + row
        done += part.count
