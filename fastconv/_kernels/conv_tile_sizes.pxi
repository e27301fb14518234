# The register tile at each height and width, chosen at run time.

# Of one width; those that would spill are not compiled.
cdef inline void tile_rows(int CHAIN, int NV, rows_of_tile ROWS, int px, const stream_t* s,
                           const real* a, const real* b, start_t start, const real* bias,
                           real* o) noexcept nogil:
    if px == 1:
        tile(CHAIN, 1, NV, ROWS, s, a, b, start, bias, o)
    elif px == 2:
        tile(CHAIN, 2, NV, ROWS, s, a, b, start, bias, o)
    elif px == 3 and fits(CHAIN, 3, NV, ROWS):
        tile(CHAIN, 3, NV, ROWS, s, a, b, start, bias, o)
    elif px == 4 and fits(CHAIN, 4, NV, ROWS):
        tile(CHAIN, 4, NV, ROWS, s, a, b, start, bias, o)
    elif px == 5 and fits(CHAIN, 5, NV, ROWS):
        tile(CHAIN, 5, NV, ROWS, s, a, b, start, bias, o)
    elif px == 6 and fits(CHAIN, 6, NV, ROWS):
        tile(CHAIN, 6, NV, ROWS, s, a, b, start, bias, o)
    elif px == 7 and fits(CHAIN, 7, NV, ROWS):
        tile(CHAIN, 7, NV, ROWS, s, a, b, start, bias, o)
    elif px == 8 and fits(CHAIN, 8, NV, ROWS):
        tile(CHAIN, 8, NV, ROWS, s, a, b, start, bias, o)
    elif px == 9 and fits(CHAIN, 9, NV, ROWS):
        tile(CHAIN, 9, NV, ROWS, s, a, b, start, bias, o)
    elif px == 10 and fits(CHAIN, 10, NV, ROWS):
        tile(CHAIN, 10, NV, ROWS, s, a, b, start, bias, o)
    elif px == 11 and fits(CHAIN, 11, NV, ROWS):
        tile(CHAIN, 11, NV, ROWS, s, a, b, start, bias, o)
    elif px == 12 and fits(CHAIN, 12, NV, ROWS):
        tile(CHAIN, 12, NV, ROWS, s, a, b, start, bias, o)
    elif px == 13 and fits(CHAIN, 13, NV, ROWS):
        tile(CHAIN, 13, NV, ROWS, s, a, b, start, bias, o)
    elif px == 14 and fits(CHAIN, 14, NV, ROWS):
        tile(CHAIN, 14, NV, ROWS, s, a, b, start, bias, o)
    elif px == 15 and fits(CHAIN, 15, NV, ROWS):
        tile(CHAIN, 15, NV, ROWS, s, a, b, start, bias, o)
    elif px == 16 and fits(CHAIN, 16, NV, ROWS):
        tile(CHAIN, 16, NV, ROWS, s, a, b, start, bias, o)


# One function for each width: gcc allots registers by function, and these stay small enough.
cdef void tile_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void tile_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, 2, STEPPED, px, s, a, b, start, bias, o)

cdef void tile_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, 3, STEPPED, px, s, a, b, start, bias, o)

cdef void tile_nv4(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, 4, STEPPED, px, s, a, b, start, bias, o)


cdef void beside_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 1, BESIDE, px, s, a, b, start, bias, o)

cdef void beside_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 2, BESIDE, px, s, a, b, start, bias, o)


cdef void chain2_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(2, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void chain2_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(2, 2, STEPPED, px, s, a, b, start, bias, o)

cdef void chain2_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(2, 3, STEPPED, px, s, a, b, start, bias, o)

cdef void chain3_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(3, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void chain3_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(3, 2, STEPPED, px, s, a, b, start, bias, o)

cdef void chain3_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(3, 3, STEPPED, px, s, a, b, start, bias, o)

cdef void chain5_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(5, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void chain5_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(5, 2, STEPPED, px, s, a, b, start, bias, o)


cdef void run_tile(int px, int nv, const stream_t* s, const real* a, const real* b,
                   start_t start, const real* bias, real* o) noexcept nogil:
    # Wider tiles have less to compute beside each multiply-add.
    if s.a_row == 1 and nv == 1:
        beside_nv1(px, s, a, b, start, bias, o)
    elif s.a_row == 1 and nv == 2:
        beside_nv2(px, s, a, b, start, bias, o)
    elif nv == 1:
        tile_nv1(px, s, a, b, start, bias, o)
    elif nv == 2:
        tile_nv2(px, s, a, b, start, bias, o)
    elif nv == 3:
        tile_nv3(px, s, a, b, start, bias, o)
    else:
        tile_nv4(px, s, a, b, start, bias, o)


cdef void run_chain(int chain, int px, int nv, const stream_t* s, const real* a, const real* b,
                    start_t start, const real* bias, real* o) noexcept nogil:
    if chain == 1:
        run_tile(px, nv, s, a, b, start, bias, o)
    elif chain == 2 and nv == 1:
        chain2_nv1(px, s, a, b, start, bias, o)
    elif chain == 2 and nv == 2:
        chain2_nv2(px, s, a, b, start, bias, o)
    elif chain == 2 and nv == 3:
        chain2_nv3(px, s, a, b, start, bias, o)
    elif chain == 3 and nv == 1:
        chain3_nv1(px, s, a, b, start, bias, o)
    elif chain == 3 and nv == 2:
        chain3_nv2(px, s, a, b, start, bias, o)
    elif chain == 3 and nv == 3:
        chain3_nv3(px, s, a, b, start, bias, o)
    elif chain == 5 and nv == 1:
        chain5_nv1(px, s, a, b, start, bias, o)
    elif chain == 5 and nv == 2:
        chain5_nv2(px, s, a, b, start, bias, o)


cdef void listed_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 1, LISTED, px, s, a, b, start, bias, o)

cdef void listed_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 2, LISTED, px, s, a, b, start, bias, o)

cdef void listed_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 3, LISTED, px, s, a, b, start, bias, o)

cdef void listed_nv4(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 4, LISTED, px, s, a, b, start, bias, o)


cdef void run_listed(int px, int nv, const stream_t* s, const real* a, const real* b,
                           start_t start, const real* bias, real* o) noexcept nogil:
    if nv == 1:
        listed_nv1(px, s, a, b, start, bias, o)
    elif nv == 2:
        listed_nv2(px, s, a, b, start, bias, o)
    elif nv == 3:
        listed_nv3(px, s, a, b, start, bias, o)
    else:
        listed_nv4(px, s, a, b, start, bias, o)


cdef void lanewise_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                       const real* bias, real* o) noexcept nogil:
    tile_rows(1, 1, LANEWISE, px, s, a, b, start, bias, o)

cdef void lanewise_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                       const real* bias, real* o) noexcept nogil:
    tile_rows(1, 2, LANEWISE, px, s, a, b, start, bias, o)


cdef void run_lanewise(int px, int nv, const stream_t* s, const real* a, const real* b,
                       start_t start, const real* bias, real* o) noexcept nogil:
    if nv == 1:
        lanewise_nv1(px, s, a, b, start, bias, o)
    else:
        lanewise_nv2(px, s, a, b, start, bias, o)


cdef void run_rolling(int px, const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    tile_rows(1, 1, ROLLING, px, s, a, b, start, bias, o)


cdef void stacked_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    tile_rows(1, 2, STACKED, px, s, a, b, start, bias, o)

cdef void stacked_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    tile_rows(1, 3, STACKED, px, s, a, b, start, bias, o)

cdef void stacked_nv4(int px, const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    tile_rows(1, 4, STACKED, px, s, a, b, start, bias, o)


cdef void run_stack(int px, int rows, const stream_t* s, const real* a, const real* b,
                    start_t start, const real* bias, real* o) noexcept nogil:
    if rows == 2:
        stacked_nv2(px, s, a, b, start, bias, o)
    elif rows == 3:
        stacked_nv3(px, s, a, b, start, bias, o)
    else:
        stacked_nv4(px, s, a, b, start, bias, o)


cdef void run_slide(int nv, const stream_t* s, const real* a, const real* b, start_t start,
                    const real* bias, real* o) noexcept nogil:
    if nv == 1:
        tile(1, SLIDE_ROWS, 1, SLIDING, s, a, b, start, bias, o)
    elif nv == 2:
        tile(1, SLIDE_ROWS, 2, SLIDING, s, a, b, start, bias, o)
    elif nv == 3:
        tile(1, SLIDE_ROWS, 3, SLIDING, s, a, b, start, bias, o)
    else:
        tile(1, SLIDE_ROWS, 4, SLIDING, s, a, b, start, bias, o)
