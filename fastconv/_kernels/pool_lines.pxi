# Tiles of cells that share vectors: single elements of planes, or fewer channels than lanes.
#
# The cells of many windows, whatever rows and planes they are from, are laid into lines: one for
# each row of a window, where the cells of a window are neighbours and so are windows.
#
#     x, windows of 2 x 2      line 0       a b c d  i j k l
#         a b c d              line 1       e f g h  m n o p
#         e f g h
#         i j k l              tap (0, 0)   a   c    i   k
#         m n o p              tap (0, 1)     b   d    j   l
#
# Short rows so fill vectors, and a tap of as many windows as a vector has room for comes from as
# many vectors of a line as a window has columns, by permutations that the kernel fixes.  Those of 2
# columns of single elements are known to the compiler (PAIRS): taps come 16 bytes of one vector and
# then of the other, and what is found in them is put in order.
#
# Rows of pairs that are longer than a vector are lines where they lie; their last vector reaches
# back over the one before.

cdef lines_t lines_of(idx_t channels, idx_t columns, idx_t taps) noexcept nogil:
    cdef lines_t p
    cdef idx_t w, i, lane, cell
    p.room = (LINE_CELLS // taps - LANES) // channels * channels
    p.pitch = (p.room + LANES) * columns
    p.step = LANES // channels * channels
    for i in range(columns):
        for lane in range(LANES):
            for w in range(columns):
                cell = (lane // channels * columns + w) * channels + lane % channels
                p.gather[w][i][lane] = <lane_index> lane
                if cell // LANES == i:
                    p.gather[w][i][lane] = <lane_index> (LANES + cell - i * LANES)
                elif cell < LANES and i == 1:
                    p.gather[w][i][lane] = <lane_index> cell
            cell = i * LANES + lane
            w = cell // (columns * channels) * channels + cell % channels
            p.window[i][lane] = <lane_index> min(w, <idx_t> LANES - 1)
            p.column[i][lane] = <lane_index> (cell // channels % columns)
    return p


cdef inline vec tap_of(bint PAIRS, const tiles_t* p, const real* line, idx_t w,
                       idx_t columns) noexcept nogil:
    cdef vec found = (<const vec*> line)[0], second
    cdef idx_t i
    if PAIRS:
        second = (<const vec*> (line + LANES))[0]
        return near_odd_lanes(found, second) if w else near_even_lanes(found, second)
    for i in range(1, columns):
        found = pick_lanes(found, (<const vec*> (line + i * LANES))[0], p.lines.gather[w][i])
    return found


cdef inline void max_lines(bint PAIRS, const tiles_t* p, bint in_place, const real* lines,
                           idx_t pitch, idx_t y, idx_t count, idx_t rows,
                           idx_t columns) noexcept nogil:
    """The maxima of all that is in the lines."""
    cdef vec best
    cdef lane_indices codes
    cdef idx_t row, w, i = 0
    cdef uint8_t few[LANES]
    while i < count:
        if in_place:
            i = min(i, count - LANES)
        best = splat(-INFINITY)
        codes = indices_of(best)    # anything: the last tap is taken
        for row in range(rows - 1, -1, -1):
            for w in range(columns - 1, -1, -1):
                meet(&best, &codes,
                     tap_of(PAIRS, p, lines + row * pitch + i * columns, w, columns),
                     <lane_index> (row * columns + w))
        if PAIRS:
            best = in_order(best)
            codes = indices_of(in_order(vec_of(codes)))
        # Lanes behind the windows of this vector are overwritten by the next one.
        if count - i >= LANES:
            (<vec*> (p.y + y + i))[0] = best
            if p.codes != NULL:
                store_codes(p.codes + y + i, codes)
        else:
            copy(p.y + y + i, <const real*> &best, count - i)
            if p.codes != NULL:
                store_codes(few, codes)
                memcpy(p.codes + y + i, few, count - i)
        i += p.lines.step


cdef inline vec window_of(bint PAIRS, const tiles_t* p, vec x, idx_t w) noexcept nogil:
    """What each element of vector w of a line has in its window's lane of x."""
    if PAIRS:
        return interleave_high(x, x) if w else interleave_low(x, x)
    return pick_lanes(x, x, p.lines.window[w])


cdef inline void spread_lines(bint PAIRS, const tiles_t* p, bint in_place, real* lines,
                              idx_t pitch, idx_t y, idx_t count, idx_t rows,
                              idx_t columns) noexcept nogil:
    """The gradients of all windows in the lines."""
    cdef vec g, here
    cdef lane_indices codes, taps
    cdef idx_t row, w, i = 0
    cdef uint8_t few[LANES]
    while i < count:
        if in_place:
            i = min(i, count - LANES)
        if count - i >= LANES:
            g = (<const vec*> (p.y + y + i))[0]
            codes = load_codes(p.codes + y + i)
        else:
            g = splat(0)
            copy(<real*> &g, p.y + y + i, count - i)
            memset(few, 0, LANES)
            memcpy(few, p.codes + y + i, count - i)
            codes = load_codes(few)
        for w in range(columns):
            here = window_of(PAIRS, p, g, w)
            taps = indices_of(window_of(PAIRS, p, vec_of(codes), w))
            taps = taps - indices_of((<const vec*> p.lines.column[w])[0])
            for row in range(rows):
                (<vec*> (lines + row * pitch + i * columns + w * LANES))[0] = where_equal(
                    taps, <lane_index> (row * columns), here)
        i += p.lines.step


cdef inline void chunk_lines(bint PAIRS, const tiles_t* p, bint backward, bint in_place,
                             real* lines, idx_t pitch, idx_t y, idx_t count, idx_t rows,
                             idx_t columns) noexcept nogil:
    if backward:
        spread_lines(PAIRS, p, in_place, lines, pitch, y, count, rows, columns)
    else:
        max_lines(PAIRS, p, in_place, lines, pitch, y, count, rows, columns)


cdef void lay_lines(const tiles_t* p, bint backward, real* lines, tile_row_t* row, idx_t* w,
                    idx_t count) noexcept nogil:
    """The cells of windows, from element w of a row on, into the lines; or, backward, from there.

    Leaves `row` and `w` behind these windows.
    """
    cdef idx_t columns = p.kernel[2], width = p.out[2] * p.channels, height = p.taps // columns
    cdef idx_t i, piece, done = 0
    cdef real* x
    cdef real* line
    while done < count:
        piece = min(count - done, width - w[0])
        x = p.x + row.x + w[0] * columns
        line = lines + done * columns
        for i in range(height):
            if backward:
                copy(x + p.tap[i * columns], line, piece * columns)
            else:
                copy(line, x + p.tap[i * columns], piece * columns)
            line += p.lines.pitch
        done += piece
        w[0] += piece
        if w[0] == width:
            if backward and p.rest:
                clear_rest(p, row[0])
            w[0] = 0
            row[0] = next_row(p, row[0])


cdef void max_pair_rows(const tiles_t* p, bint backward, idx_t begin, idx_t end) noexcept nogil:
    """Rows begin..end of windows, as they lie."""
    cdef tile_row_t row = nth_row(p, begin)
    cdef idx_t i, y, width = p.out[2], rows = p.kernel[1], pitch = p.size[2]
    for i in range(begin, end):
        y = i * width
        if rows == 2:
            chunk_lines(True, p, backward, True, p.x + row.x, pitch, y, width, 2, 2)
        else:
            chunk_lines(True, p, backward, True, p.x + row.x, pitch, y, width, rows, 2)
        if backward and p.rest:
            clear_rest(p, row)
        row = next_row(p, row)


cdef void max_lines_rows(const tiles_t* p, bint backward, idx_t begin, idx_t end) noexcept nogil:
    """Rows begin..end of windows, through lines."""
    cdef real lines[LINE_CELLS]
    cdef tile_row_t row = nth_row(p, begin)
    cdef idx_t columns = p.kernel[2], rows = p.taps // columns, width = p.out[2] * p.channels
    cdef idx_t y = begin * width, y_end = end * width
    cdef idx_t w = 0, count
    while y < y_end:
        count = min(y_end - y, p.lines.room)
        if not backward:
            lay_lines(p, False, lines, &row, &w, count)
        # Loops over the usual windows unroll.
        if columns == 2 and p.channels == 1 and rows == 2:
            chunk_lines(True, p, backward, False, lines, p.lines.pitch, y, count, 2, 2)
        elif columns == 2 and p.channels == 1:
            chunk_lines(True, p, backward, False, lines, p.lines.pitch, y, count, rows, 2)
        elif columns == 2:
            chunk_lines(False, p, backward, False, lines, p.lines.pitch, y, count, rows, 2)
        elif columns == 3:
            chunk_lines(False, p, backward, False, lines, p.lines.pitch, y, count, rows, 3)
        else:
            chunk_lines(False, p, backward, False, lines, p.lines.pitch, y, count, rows, columns)
        if backward:
            lay_lines(p, True, lines, &row, &w, count)
        y += count
