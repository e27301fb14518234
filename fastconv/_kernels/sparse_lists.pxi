# What is not zero in a block of windows: for each filter a list, for each cell of a window a set.

cdef extern from *:
    """
    /* Whether x is neither 0 nor -0; in integers, as comparisons of floats take a branch for NaN. */
    static inline int is_some(const real *x) {
#ifdef FASTCONV_F64
        uint64_t bits;
#else
        uint32_t bits;
#endif
        memcpy(&bits, x, sizeof(bits));
        return bits << 1 != 0;
    }
    #if defined(__GNUC__)
    #define first_bit(bits) __builtin_ctzll(bits)
    #else
    #include <intrin.h>
    static int first_bit(uint64_t bits) {
        unsigned long index;
        _BitScanForward64(&index, bits);
        return (int)index;
    }
    #endif
    """
    int first_bit(uint64_t bits) nogil
    bint is_some(const real* x) nogil

cdef enum:
    SET_BITS = 64


cdef struct entry_t:
    real value
    int place


cdef struct lists_t:
    # Of a block: its rows of windows;
    idx_t rows, columns
    const real* g           # [image]
    idx_t* g_row            # [rows] the first of each,
    idx_t* code_row         # [rows] its code,
    idx_t* row_place        # [rows] and its first cell in the strip;
    # of each filter, values, and where in the strip what they meet begins;
    entry_t* entries        # [filters][block windows]
    int* count              # [filters]
    # of each cell of each window, its filters, a bit for each.
    uint64_t* filters       # [words][block windows][taps]
    idx_t words
    idx_t word              # elements from word to word


cdef char* lay_out_lists(const sparse_t* self, char* memory, lists_t* lists) noexcept nogil:
    """Memory for them; returns its end."""
    cdef idx_t filters = self.p.out_channels, windows = self.block_windows
    cdef idx_t rows = self.block[0] * self.block[1]
    lists.words, lists.word = ceil_div(filters, SET_BITS), windows * self.taps
    lists.filters = <uint64_t*> memory
    lists.g_row = <idx_t*> (lists.filters + lists.words * lists.word)
    lists.code_row = lists.g_row + rows
    lists.row_place = lists.code_row + rows
    lists.entries = <entry_t*> (lists.row_place + rows)
    lists.count = <int*> (lists.entries + filters * windows)
    return <char*> (lists.count + filters)


cdef void find_rows(const sparse_t* self, lists_t* lists, const idx_t* first) noexcept nogil:
    """Of the block of windows from `first` on."""
    cdef idx_t d, h, i = 0
    cdef const idx_t* g_step = self.g_step
    cdef const idx_t* code_step = self.code_step
    cdef const idx_t* step = self.window_step
    for d in range(first[0], min(first[0] + self.block[0], self.windows[0])):
        for h in range(first[1], min(first[1] + self.block[1], self.windows[1])):
            lists.g_row[i] = d * g_step[0] + h * g_step[1] + first[2] * g_step[2]
            lists.code_row[i] = d * code_step[0] + h * code_step[1] + first[2] * code_step[2]
            lists.row_place[i] = d * step[0] + h * step[1] + first[2] * step[2]
            i += 1
    lists.rows, lists.columns = i, min(self.block[2], self.windows[2] - first[2])


# SETS: whether those of the cells are wanted.
cdef inline entry_t* list_row(bint SETS, const sparse_t* self, idx_t count, const real* g,
                              const uint8_t* codes, int place, uint64_t bit, uint64_t* filters,
                              entry_t* entry, real* bias) noexcept nogil:
    """Of a row of windows and one filter; the end of its list."""
    cdef idx_t taps = self.taps, g_step = self.g_step[2], step = self.code_step[2]
    cdef int apart = <int> self.window_step[2]
    cdef bint some
    cdef const int* tap_place = self.tap_place
    cdef real total = 0
    while count > 0:
        some = is_some(g)
        # One that is zero is overwritten by the next.
        entry.value = g[0]
        entry.place = place + tap_place[codes[0]]
        if SETS:
            filters[codes[0]] |= bit if some else 0
        total += g[0]
        entry = entry + some
        g = g + g_step
        codes = codes + step
        place += apart
        filters = filters + taps
        count -= 1
    bias[0] += total
    return entry


cdef inline void list_filters(bint SETS, const sparse_t* self, lists_t* lists,
                              const uint8_t* codes, real* biases) noexcept nogil:
    """`codes`: of the image."""
    cdef idx_t k, row, taps = lists.columns * self.taps
    cdef entry_t* entry
    for k in range(self.p.out_channels):
        entry = lists.entries + k * self.block_windows
        for row in range(lists.rows):
            entry = list_row(
                SETS, self, lists.columns, lists.g + lists.g_row[row] + k * self.g_channel,
                codes + lists.code_row[row] + k * self.code_channel, <int> lists.row_place[row],
                <uint64_t> 1 << (k % SET_BITS),
                lists.filters + k // SET_BITS * lists.word + row * taps, entry, biases + k)
        lists.count[k] = <int> (entry - (lists.entries + k * self.block_windows))


cdef void list_block(const sparse_t* self, lists_t* lists, idx_t n, const idx_t* first, bint sets,
                     real* biases) noexcept nogil:
    """Windows from `first` on of image n; adds all values of a filter to its bias."""
    cdef const uint8_t* codes = self.codes + n * self.code_batch
    find_rows(self, lists, first)
    lists.g = self.g + n * self.g_batch
    if sets:
        memset(lists.filters, 0, lists.words * lists.word * sizeof(uint64_t))
        list_filters(True, self, lists, codes, biases)
    else:
        list_filters(False, self, lists, codes, biases)
