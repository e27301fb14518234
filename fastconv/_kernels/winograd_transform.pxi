# The transforms of Winograd's convolution, F(4, 3), F(2, 3), F(4, 2) and F(2, 2) along each axis.
#
# A polynomial product is fixed by its values at enough points.  Along one axis, the 3 taps of a
# filter and 4 outputs make do with 6 points instead of 12 products: 0, A, -A, B, -B and infinity;
# 2 outputs with 4: 0, 1, -1 and infinity.  2 taps and 4 outputs take 5: 0, A, -A, B and infinity;
# 2 outputs 3: 0, 1 and infinity.  In matrices (Lavin & Gray 2015, "Fast algorithms for
# convolutional neural networks", equation 8):
#
#     output = A' [(G filter) * (B' input)]           B': INPUT, G: FILTER, A': OUTPUT
#
# The gradient by the filter is the adjoint in the filter of the same expression:
#
#     grad_filter = G' [(B' input) * (A grad_output)]     A: GRAD_OUTPUT, G': GRAD_FILTER
#
# The error grows with the spread of the points' powers.  A = 3/4, B = 3/2 is exact in binary and
# leaves a sixth of the largest error of the usual 1 and 2 (bench/bench_winograd_points.py).

cdef extern from *:
    """
    #define POINT_A ((real)0.75)
    #define POINT_B ((real)1.5)
    #define A2 (POINT_A * POINT_A)
    #define B2 (POINT_B * POINT_B)
    #define A3 (A2 * POINT_A)
    #define B3 (B2 * POINT_B)
    /* Of the polynomial with these roots: x (x^2 - A2) (x^2 - B2) = x^5 - ROOTS x^3 + PRODUCT x. */
    #define ROOTS (A2 + B2)
    #define PRODUCT (A2 * B2)
    /* One over the polynomial's slope at 0, A and B. */
    #define AT_0 (1 / PRODUCT)
    #define AT_A (1 / (2 * A2 * (A2 - B2)))
    #define AT_B (1 / (2 * B2 * (B2 - A2)))
    /* The same for x (x^2 - A2) (x - B), with the slope at -A. */
    #define AT_0_OF_5 (1 / (A2 * POINT_B))
    #define AT_A_OF_5 (1 / (2 * A2 * (POINT_A - POINT_B)))
    #define AT_MINUS_A_OF_5 (-1 / (2 * A2 * (POINT_A + POINT_B)))
    #define AT_B_OF_5 (1 / (POINT_B * (B2 - A2)))
    #define HALF ((real)0.5)
    /* More than any tile has. */
    #define ALL_CELLS 8
    static const ptrdiff_t WHOLE_TILE[3] = {ALL_CELLS, ALL_CELLS, ALL_CELLS};
    """
    real POINT_A, POINT_B, A2, B2, A3, B3, ROOTS, PRODUCT, AT_0, AT_A, AT_B, HALF
    real AT_0_OF_5, AT_A_OF_5, AT_MINUS_A_OF_5, AT_B_OF_5
    const idx_t* WHOLE_TILE
    enum:
        ALL_CELLS


cdef enum:
    MOST_POINTS = 6     # along an axis
    SPARE_CELLS = 460   # vectors: a tile, and another one or COLUMN_CELLS


cdef enum transform_t:
    INPUT
    FILTER
    OUTPUT
    GRAD_OUTPUT
    GRAD_FILTER


cdef inline idx_t taps_at(idx_t points) noexcept nogil:
    """Taps along an axis of so many points, 3 to 6: its tiles have 2 or 4 outputs."""
    return 3 - points % 2


cdef inline idx_t length_before(transform_t KIND, idx_t points) noexcept nogil:
    """Cells of a line along an axis of so many points."""
    return (taps_at(points) if KIND == FILTER
            else points - taps_at(points) + 1 if KIND == GRAD_OUTPUT else points)


cdef inline idx_t length_after(transform_t KIND, idx_t points) noexcept nogil:
    return (taps_at(points) if KIND == GRAD_FILTER
            else points - taps_at(points) + 1 if KIND == OUTPUT else points)


cdef inline vec get(const real* s, idx_t step, int i) noexcept nogil:
    return loaded_once((<const vec*> (s + i * step))[0])


cdef inline void put(real* d, idx_t step, int i, vec x) noexcept nogil:
    (<vec*> (d + i * step))[0] = x


cdef struct finish_t:
    # What happens to outputs after the last axis: bias[lane] is added, negative ones are scaled, or
    # those whose gate is not positive, which lies at gate where the output is at o.
    const real* bias
    real slope
    const real* gate
    const real* plus    # added before the gate; or NULL
    const real* o


cdef inline void put_output(const finish_t* finish, idx_t cells, real* d, idx_t step, int i,
                            vec x) noexcept nogil:
    # Of 4 cells at most.
    if i >= cells:
        return
    if finish != NULL:
        x = x + (<const vec*> finish.bias)[0]
        if finish.plus != NULL:
            x = x + (<const vec*> (finish.plus + (d + i * step - finish.o)))[0]
        if finish.gate != NULL:
            x = gated(x, (<const vec*> (finish.gate + (d + i * step - finish.o)))[0],
                      finish.slope)
        elif finish.slope != 1:
            x = leaky(x, finish.slope)
    put(d, step, i, x)


cdef inline void line_of_6(transform_t KIND, const real* s, idx_t s_step, real* d,
                           idx_t d_step, const finish_t* finish, idx_t cells) noexcept nogil:
    cdef vec s0 = get(s, s_step, 0), s1 = get(s, s_step, 1)
    cdef vec s2 = get(s, s_step, 2), s3 = s0, s4 = s0, s5 = s0
    cdef vec even_a, even_b, odd_a, odd_b
    if KIND != FILTER:
        s3 = get(s, s_step, 3)
    if KIND != FILTER and KIND != GRAD_OUTPUT:
        s4 = get(s, s_step, 4)
        s5 = get(s, s_step, 5)
    if KIND == INPUT:
        even_a = s4 - s2 * B2
        odd_a = (s3 - s1 * B2) * POINT_A
        even_b = s4 - s2 * A2
        odd_b = (s3 - s1 * A2) * POINT_B
        put(d, d_step, 0, s4 - s2 * ROOTS + s0 * PRODUCT)
        put(d, d_step, 1, even_a + odd_a)
        put(d, d_step, 2, even_a - odd_a)
        put(d, d_step, 3, even_b + odd_b)
        put(d, d_step, 4, even_b - odd_b)
        put(d, d_step, 5, s5 - s3 * ROOTS + s1 * PRODUCT)
    elif KIND == FILTER:
        even_a = (s0 + s2 * A2) * AT_A
        odd_a = s1 * (POINT_A * AT_A)
        even_b = (s0 + s2 * B2) * AT_B
        odd_b = s1 * (POINT_B * AT_B)
        put(d, d_step, 0, s0 * AT_0)
        put(d, d_step, 1, even_a + odd_a)
        put(d, d_step, 2, even_a - odd_a)
        put(d, d_step, 3, even_b + odd_b)
        put(d, d_step, 4, even_b - odd_b)
        put(d, d_step, 5, s2)
    elif KIND == OUTPUT:
        even_a = s1 + s2
        odd_a = s1 - s2
        even_b = s3 + s4
        odd_b = s3 - s4
        put_output(finish, cells, d, d_step, 0, s0 + even_a + even_b)
        put_output(finish, cells, d, d_step, 1, odd_a * POINT_A + odd_b * POINT_B)
        put_output(finish, cells, d, d_step, 2, even_a * A2 + even_b * B2)
        put_output(finish, cells, d, d_step, 3, odd_a * A3 + odd_b * B3 + s5)
    elif KIND == GRAD_OUTPUT:
        even_a = s0 + s2 * A2
        odd_a = s1 * POINT_A + s3 * A3
        even_b = s0 + s2 * B2
        odd_b = s1 * POINT_B + s3 * B3
        put(d, d_step, 0, s0)
        put(d, d_step, 1, even_a + odd_a)
        put(d, d_step, 2, even_a - odd_a)
        put(d, d_step, 3, even_b + odd_b)
        put(d, d_step, 4, even_b - odd_b)
        put(d, d_step, 5, s3)
    else:
        even_a = (s1 + s2) * AT_A
        odd_a = (s1 - s2) * AT_A
        even_b = (s3 + s4) * AT_B
        odd_b = (s3 - s4) * AT_B
        put(d, d_step, 0, s0 * AT_0 + even_a + even_b)
        put(d, d_step, 1, odd_a * POINT_A + odd_b * POINT_B)
        put(d, d_step, 2, even_a * A2 + even_b * B2 + s5)


cdef inline void line_of_4(transform_t KIND, const real* s, idx_t s_step, real* d,
                           idx_t d_step, const finish_t* finish, idx_t cells) noexcept nogil:
    cdef vec s0 = get(s, s_step, 0), s1 = get(s, s_step, 1), s2 = s0, s3 = s0
    if KIND != GRAD_OUTPUT:
        s2 = get(s, s_step, 2)
    if KIND != GRAD_OUTPUT and KIND != FILTER:
        s3 = get(s, s_step, 3)
    if KIND == INPUT:
        put(d, d_step, 0, s0 - s2)
        put(d, d_step, 1, s2 + s1)
        put(d, d_step, 2, s2 - s1)
        put(d, d_step, 3, s3 - s1)
    elif KIND == FILTER:
        put(d, d_step, 0, s0)
        put(d, d_step, 1, (s0 + s2) * HALF + s1 * HALF)
        put(d, d_step, 2, (s0 + s2) * HALF - s1 * HALF)
        put(d, d_step, 3, s2)
    elif KIND == OUTPUT:
        put_output(finish, cells, d, d_step, 0, s0 + s1 + s2)
        put_output(finish, cells, d, d_step, 1, s1 - s2 + s3)
    elif KIND == GRAD_OUTPUT:
        put(d, d_step, 0, s0)
        put(d, d_step, 1, s0 + s1)
        put(d, d_step, 2, s0 - s1)
        put(d, d_step, 3, s1)
    else:
        put(d, d_step, 0, s0 + (s1 + s2) * HALF)
        put(d, d_step, 1, (s1 - s2) * HALF)
        put(d, d_step, 2, (s1 + s2) * HALF + s3)


cdef inline void line_of_5(transform_t KIND, const real* s, idx_t s_step, real* d,
                           idx_t d_step, const finish_t* finish, idx_t cells) noexcept nogil:
    cdef vec s0 = get(s, s_step, 0), s1 = get(s, s_step, 1)
    cdef vec s2 = s0, s3 = s0, s4 = s0, even, odd
    if KIND != FILTER:
        s2 = get(s, s_step, 2)
        s3 = get(s, s_step, 3)
    if KIND != FILTER and KIND != GRAD_OUTPUT:
        s4 = get(s, s_step, 4)
    if KIND == INPUT:
        even = s3 - s2 * POINT_B
        odd = s2 - s1 * POINT_B
        put(d, d_step, 0, even - (s1 - s0 * POINT_B) * A2)
        put(d, d_step, 1, even + odd * POINT_A)
        put(d, d_step, 2, even - odd * POINT_A)
        put(d, d_step, 3, s3 - s1 * A2)
        put(d, d_step, 4, s4 - s3 * POINT_B - odd * A2)
    elif KIND == FILTER:
        put(d, d_step, 0, s0 * AT_0_OF_5)
        put(d, d_step, 1, (s0 + s1 * POINT_A) * AT_A_OF_5)
        put(d, d_step, 2, (s0 - s1 * POINT_A) * AT_MINUS_A_OF_5)
        put(d, d_step, 3, (s0 + s1 * POINT_B) * AT_B_OF_5)
        put(d, d_step, 4, s1)
    elif KIND == OUTPUT:
        even = s1 + s2
        odd = s1 - s2
        put_output(finish, cells, d, d_step, 0, s0 + even + s3)
        put_output(finish, cells, d, d_step, 1, odd * POINT_A + s3 * POINT_B)
        put_output(finish, cells, d, d_step, 2, even * A2 + s3 * B2)
        put_output(finish, cells, d, d_step, 3, odd * A3 + s3 * B3 + s4)
    elif KIND == GRAD_OUTPUT:
        even = s0 + s2 * A2
        odd = s1 * POINT_A + s3 * A3
        put(d, d_step, 0, s0)
        put(d, d_step, 1, even + odd)
        put(d, d_step, 2, even - odd)
        put(d, d_step, 3, s0 + s1 * POINT_B + s2 * B2 + s3 * B3)
        put(d, d_step, 4, s3)
    else:
        s1 = s1 * AT_A_OF_5
        s2 = s2 * AT_MINUS_A_OF_5
        s3 = s3 * AT_B_OF_5
        put(d, d_step, 0, s0 * AT_0_OF_5 + (s1 + s2) + s3)
        put(d, d_step, 1, (s1 - s2) * POINT_A + s3 * POINT_B + s4)


cdef inline void line_of_3(transform_t KIND, const real* s, idx_t s_step, real* d,
                           idx_t d_step, const finish_t* finish, idx_t cells) noexcept nogil:
    cdef vec s0 = get(s, s_step, 0), s1 = get(s, s_step, 1), s2 = s0
    if KIND != FILTER and KIND != GRAD_OUTPUT:
        s2 = get(s, s_step, 2)
    if KIND == INPUT:
        put(d, d_step, 0, s0 - s1)
        put(d, d_step, 1, s1)
        put(d, d_step, 2, s2 - s1)
    elif KIND == OUTPUT:
        put_output(finish, cells, d, d_step, 0, s0 + s1)
        put_output(finish, cells, d, d_step, 1, s1 + s2)
    elif KIND == GRAD_FILTER:
        put(d, d_step, 0, s0 + s1)
        put(d, d_step, 1, s1 + s2)
    else:
        # 2 taps or 2 outputs, at the same points.
        put(d, d_step, 0, s0)
        put(d, d_step, 1, s0 + s1)
        put(d, d_step, 2, s1)


cdef inline void lines(transform_t KIND, idx_t points, idx_t count, const real* s, idx_t s_step,
                       idx_t s_line, real* d, idx_t d_step, idx_t d_line,
                       const finish_t* finish, idx_t cells) noexcept nogil:
    """Some lines, from one to the next by s_line and d_line; of an OUTPUT so many cells are kept."""
    cdef idx_t i
    if points == MOST_POINTS:
        for i in range(count):
            line_of_6(KIND, s + i * s_line, s_step, d + i * d_line, d_step, finish, cells)
    elif points == 5:
        for i in range(count):
            line_of_5(KIND, s + i * s_line, s_step, d + i * d_line, d_step, finish, cells)
    elif points == 4:
        for i in range(count):
            line_of_4(KIND, s + i * s_line, s_step, d + i * d_line, d_step, finish, cells)
    else:
        for i in range(count):
            line_of_3(KIND, s + i * s_line, s_step, d + i * d_line, d_step, finish, cells)


cdef inline void lines_of_some(transform_t KIND, int POINTS, idx_t count, idx_t low, idx_t high,
                               const real* s, idx_t s_step, idx_t s_line, real* d, idx_t d_step,
                               idx_t d_line) noexcept nogil:
    """lines_within of so many points: bounds that the compiler knows keep cells in registers."""
    cdef vec held[6]
    cdef idx_t i
    cdef int r
    for i in range(count):
        for r in range(length_before(KIND, POINTS)):
            held[r] = splat(0)
            if low <= r < high:
                held[r] = (<const vec*> (s + i * s_line + r * s_step))[0]
        lines(KIND, POINTS, 1, <const real*> held, LANES, 0, d + i * d_line, d_step, 0, NULL,
              ALL_CELLS)


cdef inline void lines_within(transform_t KIND, idx_t points, idx_t count, idx_t low, idx_t high,
                              const real* s, idx_t s_step, idx_t s_line, real* d, idx_t d_step,
                              idx_t d_line) noexcept nogil:
    """The same of lines of which the cells from low to high are there; the others are zero."""
    if points == MOST_POINTS:
        lines_of_some(KIND, 6, count, low, high, s, s_step, s_line, d, d_step, d_line)
    elif points == 5:
        lines_of_some(KIND, 5, count, low, high, s, s_step, s_line, d, d_step, d_line)
    elif points == 4:
        lines_of_some(KIND, 4, count, low, high, s, s_step, s_line, d, d_step, d_line)
    else:
        lines_of_some(KIND, 3, count, low, high, s, s_step, s_line, d, d_step, d_line)


cdef inline void plane(transform_t KIND, const idx_t* points, const real* s, const idx_t* s_step,
                       real* d, const idx_t* d_step, real* spare, const finish_t* finish,
                       const idx_t* cells) noexcept nogil:
    """The last two axes.  What lies between them has steps that the compiler knows."""
    lines(KIND, points[2], length_before(KIND, points[1]), s, s_step[2], s_step[1],
          spare, LANES, MOST_POINTS * LANES, NULL, ALL_CELLS)
    lines(KIND, points[1], min(cells[2], length_after(KIND, points[2])), spare,
          MOST_POINTS * LANES, LANES, d, d_step[1], d_step[2], finish, cells[1])


cdef inline void transform(transform_t KIND, const idx_t* points, const real* s,
                           const idx_t* s_step, real* d, const idx_t* d_step, real* spare,
                           const finish_t* finish, const idx_t* cells) noexcept nogil:
    """All axes of one tile, a vector in each cell, the last axis first.

    An axis of one point is absent.  `spare` holds two tiles of vectors.  `cells`: how many of an
    OUTPUT are kept along each axis.
    """
    cdef idx_t rows = min(cells[1], length_after(KIND, points[1]))
    cdef idx_t columns = min(cells[2], length_after(KIND, points[2])), i
    cdef idx_t step[AXES]
    cdef real* planes = spare + 216 * LANES
    if points[1] == 1:
        lines(KIND, points[2], 1, s, s_step[2], 0, d, d_step[2], 0, finish, cells[2])
        return
    if points[0] == 1:
        plane(KIND, points, s, s_step, d, d_step, spare, finish, cells)
        return
    step[2] = LANES
    step[1] = MOST_POINTS * LANES
    step[0] = MOST_POINTS * MOST_POINTS * LANES
    for i in range(length_before(KIND, points[0])):
        plane(KIND, points, s + i * s_step[0], s_step, planes + i * step[0], step, spare, NULL,
              WHOLE_TILE)
    for i in range(rows):
        lines(KIND, points[0], columns, planes + i * step[1], step[0], LANES,
              d + i * d_step[1], d_step[0], d_step[2], finish, cells[0])


cdef void transform_filter(const idx_t* points, const real* s, const idx_t* s_step, real* d,
                           const idx_t* d_step, real* spare) noexcept nogil:
    transform(FILTER, points, s, s_step, d, d_step, spare, NULL, WHOLE_TILE)


cdef void transform_output(const idx_t* points, const real* s, const idx_t* s_step, real* d,
                           const idx_t* d_step, real* spare, const finish_t* finish,
                           const idx_t* cells) noexcept nogil:
    transform(OUTPUT, points, s, s_step, d, d_step, spare, finish, cells)


cdef void transform_grad_filter(const idx_t* points, const real* s, const idx_t* s_step, real* d,
                                const idx_t* d_step, real* spare) noexcept nogil:
    transform(GRAD_FILTER, points, s, s_step, d, d_step, spare, NULL, WHOLE_TILE)
