# The rows of a unit of grad_weight: where they begin in the strips and in grad_output, and which of
# them a line of taps (those that differ along the last axis only) meets inside the input.

cdef struct rows_t:
    # Those of one line of taps.
    idx_t count
    idx_t* a_off
    idx_t* b_off


cdef inline idx_t most_rows(const grad_weight_t* self) noexcept nogil:
    return self.images * self.window.axis[0].block * self.window.axis[1].block


cdef inline rows_t line_rows(const grad_weight_t* self, idx_t* tables, idx_t line) noexcept nogil:
    """The table of a line, counted from 1; table 0 holds all rows."""
    cdef rows_t rows
    cdef idx_t most = most_rows(self)
    cdef idx_t* table = tables + line * (1 + 2 * most)
    rows.count, rows.a_off, rows.b_off = table[0], table + 1, table + 1 + most
    return rows


cdef inline void add_row(const grad_weight_t* self, idx_t* tables, idx_t line, idx_t a_off,
                         idx_t b_off) noexcept nogil:
    cdef rows_t rows = line_rows(self, tables, line)
    rows.a_off[rows.count] = a_off
    rows.b_off[rows.count] = b_off
    (rows.a_off - 1)[0] = rows.count + 1


cdef inline bint reads_inside(const axis_t* axis, idx_t size, idx_t tap,
                              idx_t position) noexcept nogil:
    cdef idx_t cell = axis.base[axis.order[tap]] + position * axis.step
    return 0 <= cell < size


cdef void find_unit_rows(const grad_weight_t* self, const idx_t* m, const idx_t* e, idx_t images,
                         idx_t* tables) noexcept nogil:
    """Where the rows of a unit begin, in the strips and in grad_output."""
    cdef const conv_t* p = &self.p
    cdef const window_t* window = &self.window
    cdef const axis_t* axis = &window.axis[0]
    cdef idx_t n, i0, i1, t0, t1, line, a_off, b_off
    for line in range(1 + self.lines):
        tables[line * (1 + 2 * most_rows(self))] = 0
    for n in range(images):
        for i0 in range(e[0]):
            for i1 in range(e[1]):
                a_off = (n * (p.in_batch if window.direct else window.elements)
                         + i0 * window.plane_step + i1 * window.row_step)
                b_off = (n * p.out_batch + i0 * p.out_step[0] + i1 * p.out_step[1]
                         if self.in_place else ((n * e[0] + i0) * e[1] + i1) * e[2] * self.width)
                add_row(self, tables, 0, a_off, b_off)
                for line in range(self.lines):
                    t0, t1 = line // p.kernel[1], line % p.kernel[1]
                    if (reads_inside(&axis[0], p.in_size[0], t0, m[0] + i0)
                            and reads_inside(&axis[1], p.in_size[1], t1, m[1] + i1)):
                        add_row(self, tables, 1 + line, a_off, b_off)


cdef inline idx_t row_elements(const grad_weight_t* self) noexcept nogil:
    """Of the tables of rows."""
    return round_up((1 + self.lines) * (1 + 2 * most_rows(self))
                    * <idx_t> (sizeof(idx_t) // sizeof(real)), ALIGN)
