# What follows from a problem: strips, blocks of windows and panels of weights.
#
# A strip holds an image as pixels, padded, so that a row of a filter meets one piece of it.  A panel
# is what one call of the register tile takes of each filter: vectors of some rows.

cdef extern from *:
    """
    #define MOST_SUMS (REGISTERS == 32 ? 24 : 12)
    """
    enum:
        MOST_SUMS       # vectors of a tile

cdef enum:
    MOST_ROWS = 5
    MOST_WIDTH = 12     # vectors in a row of a tile
    FEWEST_SUMS = 8     # that hide how long a multiply-add takes
    SEEN_BYTES = 24 * 1024      # of the strip that a block of windows sees: in L1
    PANEL_BYTES = 36 * 1024     # of all filters: the same
    LIST_BYTES = 64 * 1024      # of all lists of a block


cdef struct panel_t:
    idx_t rows, width       # of the tile
    idx_t first_row         # in a filter
    idx_t first             # element of a row
    idx_t lanes             # of its last vector that are weights
    idx_t place             # from the first cell of what a window cell sees to that of the tile
    idx_t packed            # from the first packed weight


cdef struct sparse_t:
    conv_t p                # its output is that of grad_input
    const real* g
    const uint8_t* codes
    idx_t g_batch, g_channel
    idx_t g_step[AXES]
    idx_t code_batch, code_channel
    idx_t code_step[AXES]
    idx_t windows[AXES]
    idx_t window[AXES]      # its cells
    idx_t window_step[AXES] # from one to the next in the strip
    idx_t taps              # cells of a window
    int* tap_place          # [taps] in the strip, from the first cell of a window
    bint pixels             # x and grad_input hold these; else planes
    idx_t image             # elements
    idx_t size[AXES]        # of a strip, in cells
    idx_t step[AXES]        # elements
    idx_t strip             # elements, with what vectors read past the last row
    idx_t line              # elements of a row of a filter
    idx_t pitch             # from row to row of what a cell sees
    idx_t block[AXES]       # windows in a block
    idx_t block_windows
    panel_t* panels
    idx_t n_panels
    idx_t packed            # elements of packed weights


cdef idx_t seen(const sparse_t* self, int axis, idx_t windows) noexcept nogil:
    """Cells of the strip that so many windows see."""
    return ((windows * self.window[axis] - 1) * self.p.stride[axis]
            + (self.p.kernel[axis] - 1) * self.p.dilation[axis] + 1)


cdef void cut_block(sparse_t* self) noexcept nogil:
    cdef idx_t elements
    cdef idx_t listed = 2 * self.p.out_channels * sizeof(real) + self.taps * self.p.out_channels // 8
    cdef int axis
    for axis in range(AXES):
        self.block[axis] = self.windows[axis]
    while True:
        self.block_windows, elements = 1, self.p.in_channels
        for axis in range(AXES):
            self.block_windows *= self.block[axis]
            elements *= seen(self, axis, self.block[axis])
        if (elements * <idx_t> sizeof(real) <= SEEN_BYTES
                and self.block_windows * listed <= LIST_BYTES):
            return
        for axis in range(AXES):
            if self.block[axis] > 1:
                self.block[axis] = even(self.block[axis], self.block[axis] - 1)
                break
        else:
            return


cdef void cut_panels(sparse_t* self) noexcept nogil:
    """Rows and vectors of filters into tiles of about equal size; self.panels or only their count."""
    cdef conv_t* p = &self.p
    cdef idx_t vectors = ceil_div(self.line, LANES), width = even(vectors, MOST_WIDTH)
    cdef idx_t most = PANEL_BYTES // (LANES * <idx_t> sizeof(real) * p.out_channels), rows
    cdef idx_t depth, i, j, row, v
    cdef panel_t panel
    if width > max(<idx_t> FEWEST_SUMS, most):
        width = even(vectors, max(<idx_t> FEWEST_SUMS, most))
    rows = min(<idx_t> MOST_ROWS, MOST_SUMS // width)
    while rows > 1 and rows * width > most and (rows - 1) * width >= FEWEST_SUMS:
        rows -= 1
    rows = even(p.kernel[1], rows)
    self.n_panels = self.packed = 0
    for depth in range(p.kernel[0]):
        for i in range(ceil_div(p.kernel[1], rows)):
            for j in range(ceil_div(vectors, width)):
                row, v = i * rows, j * width
                panel.rows = min(rows, p.kernel[1] - row)
                panel.width = min(width, vectors - v)
                panel.first_row, panel.first = depth * p.kernel[1] + row, v * LANES
                panel.lanes = min(<idx_t> LANES,
                                  self.line - (v + panel.width - 1) * LANES)
                panel.place = (depth * p.dilation[0] * self.step[0] + row * self.pitch
                               + panel.first)
                panel.packed = self.packed
                if self.panels != NULL:
                    self.panels[self.n_panels] = panel
                self.n_panels += 1
                self.packed += p.out_channels * panel.rows * panel.width * LANES


cdef int sparse_plan(sparse_t* self, const conv_t* problem) noexcept nogil:
    """From the problem, the arrays of the pool and its windows."""
    cdef conv_t* p = &self.p
    cdef idx_t t = 0, d, h, w
    cdef int axis
    p[0] = problem[0]
    self.image = p.in_channels * p.in_size[0] * p.in_size[1] * p.in_size[2]
    self.taps = 1
    for axis in range(AXES):
        self.taps *= self.window[axis]
        self.size[axis] = seen(self, axis, self.windows[axis])
    self.step[2] = p.in_channels
    self.step[1] = self.size[2] * self.step[2]
    self.step[0] = self.size[1] * self.step[1]
    for axis in range(AXES):
        self.window_step[axis] = self.window[axis] * p.stride[axis] * self.step[axis]
    self.strip = round_up(self.size[0] * self.step[0] + MOST_WIDTH * LANES, ALIGN)
    self.line = p.kernel[2] * p.in_channels
    self.pitch = p.dilation[1] * self.step[1]
    cut_block(self)
    self.panels = NULL
    cut_panels(self)
    self.panels = <panel_t*> malloc(self.n_panels * sizeof(panel_t))
    self.tap_place = <int*> malloc(self.taps * sizeof(int))
    if self.panels == NULL or self.tap_place == NULL:
        return NO_MEMORY
    cut_panels(self)
    for d in range(self.window[0]):
        for h in range(self.window[1]):
            for w in range(self.window[2]):
                self.tap_place[t] = <int> (
                    d * p.stride[0] * self.step[0] + h * p.stride[1] * self.step[1]
                    + w * p.stride[2] * self.step[2])
                t += 1
    return OK


cdef void sparse_free(sparse_t* self) noexcept nogil:
    free(self.panels)
    free(self.tap_place)


cdef void pack_panels(const sparse_t* self, const real* weight, real* packed,
                      int num_threads) noexcept nogil:
    """[panel][filter][row][vector]; lanes past the end of a row are zero."""
    cdef const conv_t* p = &self.p
    cdef idx_t k, i, r, e, row, column, c, each
    cdef const panel_t* panel
    cdef real* to
    cdef const real* filter_row
    for k in prange(p.out_channels, num_threads=num_threads, schedule="static"):
        for i in range(self.n_panels):
            panel = &self.panels[i]
            each = panel.width * LANES
            for r in range(panel.rows):
                row = panel.first_row + r
                filter_row = (weight + k * p.w_out + row // p.kernel[1] * p.w_step[0]
                              + row % p.kernel[1] * p.w_step[1])
                to = packed + panel.packed + (k * panel.rows + r) * each
                column, c = panel.first // p.in_channels, panel.first % p.in_channels
                for e in range(each):
                    to[e] = 0 if column >= p.kernel[2] else filter_row[
                        column * p.w_step[2] + c * p.w_in]
                    c = c + 1
                    if c == p.in_channels:
                        column, c = column + 1, 0


cdef void put_sums(const sparse_t* self, real* parts, idx_t n_parts, idx_t part, real* grad,
                   int num_threads) noexcept nogil:
    """The same way back, of parts so many elements apart, added in order to the first."""
    cdef const conv_t* p = &self.p
    cdef idx_t k, i, r, e, row, column, c, each, n
    cdef const panel_t* panel
    cdef real* sums
    cdef real* filter_row
    for k in prange(p.out_channels, num_threads=num_threads, schedule="static"):
        for i in range(self.n_panels):
            panel = &self.panels[i]
            each = panel.width * LANES
            for r in range(panel.rows):
                row = panel.first_row + r
                filter_row = (grad + k * p.w_out + row // p.kernel[1] * p.w_step[0]
                              + row % p.kernel[1] * p.w_step[1])
                sums = parts + panel.packed + (k * panel.rows + r) * each
                for n in range(1, n_parts):
                    add_part(sums, sums + n * part, each)
                column, c = panel.first // p.in_channels, panel.first % p.in_channels
                for e in range(each - LANES + panel.lanes):
                    filter_row[column * p.w_step[2] + c * p.w_in] = sums[e]
                    c = c + 1
                    if c == p.in_channels:
                        column, c = column + 1, 0


cdef void add_part(real* sums, const real* part, idx_t count) noexcept nogil:
    cdef idx_t i
    for i in range(count):
        sums[i] += part[i]
