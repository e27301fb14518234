# The products at one point: tiles of the transformed input by channels, channels by filters.
#
#     o[tile][lane] = sum over phases and channels of  a[tile][phase][channel] * b[phase][channel][lane]
#
# It is the register tile of conv_tile.pxi for sums as short as a few channels: one call takes all
# tiles, and sums go from registers straight to memory.

cdef struct factors_t:
    idx_t phases, channels  # steps of a sum, at least one
    idx_t a_row             # from tile to tile
    idx_t a_phase           # from the end of a phase to the next one


cdef inline void multiply_rows(int PX, int NV, const factors_t* f, idx_t count, const real* a,
                               const real* b, real* o) noexcept nogil:
    """`count` times PX rows."""
    cdef vec acc[16][4]
    cdef vec beside[4]
    cdef vec x
    cdef const real* at
    cdef const vec* bt
    cdef idx_t k, c, phase
    cdef int i, v
    for k in range(count):
        for i in range(PX):
            for v in range(NV):
                acc[i][v] = splat(0)
        at = a
        bt = <const vec*> b
        phase = f.phases
        # Loops that end behind their steps: of one that might have none, sums would be spilled.
        while True:
            c = f.channels
            while True:
                for v in range(NV):
                    beside[v] = loaded_once(bt[v])
                    if PX >= 5:
                        prefetch(<const real*> (bt + v), AHEAD_STEPS * NV * LANES)
                for i in range(PX):
                    x = splat(at[i * f.a_row])
                    for v in range(NV):
                        acc[i][v] = acc[i][v] + x * beside[v]
                at = at + 1
                bt = bt + NV
                c -= 1
                if c == 0:
                    break
            at = at + f.a_phase
            phase -= 1
            if phase == 0:
                break
        for i in range(PX):
            for v in range(NV):
                (<vec*> o)[i * NV + v] = acc[i][v]
        a = a + PX * f.a_row
        o = o + PX * NV * LANES


# As with other tiles, those that would spill are not compiled.
cdef inline void multiply_some(int NV, int px, const factors_t* f, idx_t count, const real* a,
                               const real* b, real* o) noexcept nogil:
    if px == 1:
        multiply_rows(1, NV, f, count, a, b, o)
    elif px == 2:
        multiply_rows(2, NV, f, count, a, b, o)
    elif px == 3 and fits(1, 3, NV, STEPPED):
        multiply_rows(3, NV, f, count, a, b, o)
    elif px == 4 and fits(1, 4, NV, STEPPED):
        multiply_rows(4, NV, f, count, a, b, o)
    elif px == 5 and fits(1, 5, NV, STEPPED):
        multiply_rows(5, NV, f, count, a, b, o)
    elif px == 6 and fits(1, 6, NV, STEPPED):
        multiply_rows(6, NV, f, count, a, b, o)
    elif px == 7 and fits(1, 7, NV, STEPPED):
        multiply_rows(7, NV, f, count, a, b, o)
    elif px == 8 and fits(1, 8, NV, STEPPED):
        multiply_rows(8, NV, f, count, a, b, o)
    elif px == 9 and fits(1, 9, NV, STEPPED):
        multiply_rows(9, NV, f, count, a, b, o)
    elif px == 10 and fits(1, 10, NV, STEPPED):
        multiply_rows(10, NV, f, count, a, b, o)
    elif px == 11 and fits(1, 11, NV, STEPPED):
        multiply_rows(11, NV, f, count, a, b, o)
    elif px == 12 and fits(1, 12, NV, STEPPED):
        multiply_rows(12, NV, f, count, a, b, o)
    elif px == 13 and fits(1, 13, NV, STEPPED):
        multiply_rows(13, NV, f, count, a, b, o)
    elif px == 14 and fits(1, 14, NV, STEPPED):
        multiply_rows(14, NV, f, count, a, b, o)
    elif px == 15 and fits(1, 15, NV, STEPPED):
        multiply_rows(15, NV, f, count, a, b, o)
    elif px == 16 and fits(1, 16, NV, STEPPED):
        multiply_rows(16, NV, f, count, a, b, o)


cdef inline void multiply_all(int NV, const factors_t* f, idx_t tiles, const real* a,
                              const real* b, real* o) noexcept nogil:
    cdef idx_t px = even(tiles, tallest(1, NV)), count = tiles // px
    multiply_some(NV, <int> px, f, count, a, b, o)
    if tiles % px:
        multiply_some(NV, <int> (tiles % px), f, 1, a + count * px * f.a_row, b,
                      o + count * px * NV * LANES)


# A function for each width, for the sake of gcc's registers.
cdef void multiply_nv1(const factors_t* f, idx_t tiles, const real* a, const real* b,
                       real* o) noexcept nogil:
    multiply_all(1, f, tiles, a, b, o)

cdef void multiply_nv2(const factors_t* f, idx_t tiles, const real* a, const real* b,
                       real* o) noexcept nogil:
    multiply_all(2, f, tiles, a, b, o)

cdef void multiply_nv3(const factors_t* f, idx_t tiles, const real* a, const real* b,
                       real* o) noexcept nogil:
    multiply_all(3, f, tiles, a, b, o)

cdef void multiply_nv4(const factors_t* f, idx_t tiles, const real* a, const real* b,
                       real* o) noexcept nogil:
    multiply_all(4, f, tiles, a, b, o)


cdef void multiply(const factors_t* f, idx_t tiles, int nv, const real* a, const real* b,
                   real* o) noexcept nogil:
    """Lanes are those of nv vectors, in `b` and in `o`."""
    if nv == 1:
        multiply_nv1(f, tiles, a, b, o)
    elif nv == 2:
        multiply_nv2(f, tiles, a, b, o)
    elif nv == 3:
        multiply_nv3(f, tiles, a, b, o)
    else:
        multiply_nv4(f, tiles, a, b, o)
