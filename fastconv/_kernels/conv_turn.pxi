# Turning (transposing) small blocks between [pixel][channel] and [channel][pixel].
#
# log2(LANES) perfect shuffles transpose a square of LANES by LANES in registers: each one puts row
# i beside row i + LANES/2, lane by lane.

cdef enum:
    AHEAD = 128     # elements


cdef inline void perfect_shuffle(const vec* rows, vec* shuffled) noexcept nogil:
    cdef int i
    for i in range(LANES // 2):
        shuffled[2 * i] = interleave_low(rows[i], rows[i + LANES // 2])
        shuffled[2 * i + 1] = interleave_high(rows[i], rows[i + LANES // 2])


cdef inline vec every(int step, const real* source) noexcept nogil:
    """A vector of cells `step` apart; a power of two, up to 8."""
    cdef vec v[8]
    cdef int i, n = step // 2
    for i in range(step):
        v[i] = (<const vec*> source)[i]
    while n > 0:
        for i in range(n):
            v[i] = even_lanes(v[2 * i], v[2 * i + 1])
        n //= 2
    return v[0]


cdef inline void turn(int STEP, const real* source, idx_t source_row, idx_t rows, const real* end,
                      idx_t ahead, real* target, idx_t target_row, idx_t columns) noexcept nogil:
    """target[j, i] = source[i, STEP j], i < LANES, j < columns; source rows past `rows` are zero.

    Writes whole vectors of target, and reads whole vectors of source, but none past `end`.
    What lies `ahead` elements on is fetched: the hardware follows fewer rows by itself.
    """
    cdef idx_t row, column
    if source + (min(<idx_t> LANES, rows) - 1) * source_row + STEP * LANES > end:
        for column in range(min(<idx_t> LANES, columns)):
            for row in range(LANES):
                target[column * target_row + row] = (
                    source[row * source_row + STEP * column] if row < rows else 0)
        return
    cdef vec even_stage[16]
    cdef vec odd_stage[16]
    cdef int i
    for i in range(LANES):
        if i < rows:
            even_stage[i] = every(STEP, source + i * source_row)
            prefetch(source + i * source_row, ahead)
        else:
            even_stage[i] = splat(0)
    perfect_shuffle(even_stage, odd_stage)
    if LANES >= 4:
        perfect_shuffle(odd_stage, even_stage)
    if LANES >= 8:
        perfect_shuffle(even_stage, odd_stage)
    if LANES >= 16:
        perfect_shuffle(odd_stage, even_stage)
    for i in range(LANES):
        if i < columns:
            # An even number of stages for 4 and 16 lanes, which leave 1 modulo 3.
            (<vec*> (target + i * target_row))[0] = (
                even_stage[i] if LANES % 3 == 1 else odd_stage[i])


cdef void turn_square(const real* source, idx_t source_row, idx_t rows, const real* end,
                      idx_t ahead, real* target, idx_t target_row, idx_t columns) noexcept nogil:
    turn(1, source, source_row, rows, end, ahead, target, target_row, columns)


cdef void turn_every_second(const real* source, idx_t source_row, idx_t rows, const real* end,
                            idx_t ahead, real* target, idx_t target_row,
                            idx_t columns) noexcept nogil:
    turn(2, source, source_row, rows, end, ahead, target, target_row, columns)


cdef void pixels_to_planes(const real* pixels, idx_t pixel, idx_t count, idx_t channels,
                           const real* end, real* planes, idx_t plane) noexcept nogil:
    """planes[k * plane + p] = pixels[p * pixel + k].

    Pixels are read in whole vectors of channels, but not past `end`.
    """
    cdef idx_t p, p0, k, k0, i
    cdef real square[16 * 16]
    if count < LANES:
        for i in range(ceil_div(channels, LANES)):
            k0 = i * LANES
            turn_square(pixels + k0, pixel, count, end, AHEAD, square, LANES, channels - k0)
            for k in range(min(<idx_t> LANES, channels - k0)):
                copy(planes + (k0 + k) * plane, square + k * LANES, count)
        return
    for p in range(ceil_div(count, LANES)):
        # The last square ends with the last pixel, over the one before it if need be.
        p0 = min(p * LANES, count - LANES)
        for k in range(ceil_div(channels, LANES)):
            k0 = k * LANES
            turn_square(pixels + p0 * pixel + k0, pixel, LANES, end, AHEAD,
                        planes + k0 * plane + p0, plane, channels - k0)


cdef void planes_to_pixels(const real* planes, idx_t plane, idx_t step, idx_t count,
                           idx_t channels, const real* end, real* pixels,
                           idx_t pixel) noexcept nogil:
    """pixels[p * pixel + k] = planes[k * plane + p * step], and zero up to whole vectors of k.

    step is 1 or 2.  Planes are read in whole vectors, but not past `end`.
    """
    cdef idx_t p, p0, k, k0
    for p in range(ceil_div(count, LANES)):
        p0 = p * LANES
        for k in range(ceil_div(channels, LANES)):
            k0 = k * LANES
            if step == 1:
                turn_square(planes + k0 * plane + p0, plane, channels - k0, end, AHEAD,
                            pixels + p0 * pixel + k0, pixel, count - p0)
            else:
                turn_every_second(planes + k0 * plane + 2 * p0, plane, channels - k0, end, AHEAD,
                                  pixels + p0 * pixel + k0, pixel, count - p0)


cdef enum:
    TURNED_ROWS = 64    # of a task


cdef inline idx_t weave(int ROWS, const real* source, idx_t columns, real* target) noexcept nogil:
    """turn_few_rows of so few that permutations are fewer than those of a square.

    Returns how many columns that was: whole vectors.
    """
    cdef lane_index which[4][4][LANES]
    cdef vec x[4]
    cdef vec woven
    cdef idx_t lane, at, j = 0
    cdef int i, v
    for v in range(ROWS):
        for i in range(ROWS):
            for lane in range(LANES):
                at = v * LANES + lane
                which[v][i][lane] = <lane_index> (LANES + at // ROWS if at % ROWS == i else lane)
    while j + LANES <= columns:
        for i in range(ROWS):
            x[i] = (<const vec*> (source + i * columns + j))[0]
        for v in range(ROWS):
            woven = x[0]
            for i in range(ROWS):
                woven = pick_lanes(woven, x[i], which[v][i])
            (<vec*> (target + j * ROWS + v * LANES))[0] = woven
        j += LANES
    return j


cdef void turn_few_rows(const real* source, idx_t rows, idx_t columns, const real* source_end,
                        real* target) noexcept nogil:
    """target[j, i] = source[i, j] of fewer rows than lanes, from first to last column.

    A vector of the target runs over the next rows of it, which then are written.
    """
    cdef idx_t i, j = 0
    if rows == 2:
        j = weave(2, source, columns, target)
    elif rows == 3:
        j = weave(3, source, columns, target)
    elif rows == 4:
        j = weave(4, source, columns, target)
    while j + LANES <= columns and (columns - j - LANES + 1) * rows >= LANES:
        turn_square(source + j, columns, rows, source_end, AHEAD, target + j * rows, rows, LANES)
        j += LANES
    for j in range(j, columns):
        for i in range(rows):
            target[j * rows + i] = source[i * columns + j]


cdef void turn_rows(const real* source, idx_t rows, idx_t columns, idx_t begin, idx_t end,
                    const real* source_end, real* target) noexcept nogil:
    """target[j, i] = source[i, j] of a matrix, begin <= i < end: all rows, or LANES and more."""
    cdef idx_t i, i0, j, j0
    if rows < LANES:
        turn_few_rows(source, rows, columns, source_end, target)
        return
    # Along the rows of the target, which the hardware then fetches ahead.
    for j in range(ceil_div(columns, LANES)):
        j0 = j * LANES
        for i in range(ceil_div(end - begin, LANES)):
            # The last square ends with the last row, over the one before it if need be.
            i0 = min(begin + i * LANES, end - LANES)
            turn_square(source + i0 * columns + j0, columns, LANES, source_end, AHEAD,
                        target + j0 * rows + i0, rows, columns - j0)


cdef void turn_matrices(const real* source, idx_t count, idx_t rows, idx_t columns, real* target,
                        int num_threads) noexcept nogil:
    """Transposes every matrix of a sequence."""
    cdef idx_t blocks = max(<idx_t> 1, rows // TURNED_ROWS), size = rows * columns, i, first
    for i in prange(count * blocks, num_threads=num_threads, schedule="static"):
        first = i % blocks * TURNED_ROWS
        turn_rows(source + i // blocks * size, rows, columns, first,
                  first + TURNED_ROWS if i % blocks < blocks - 1 else rows,
                  source + count * size, target + i // blocks * size)
