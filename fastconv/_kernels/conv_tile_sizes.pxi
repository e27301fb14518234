# The register tile at each height and width, chosen at run time.

cdef inline bint tile_fits(int CHAIN, bint EDGED, int PX, int NV, rows_of_tile ROWS) noexcept nogil:
    return fits_edged(CHAIN, PX, NV) if EDGED else fits(CHAIN, PX, NV, ROWS)


# Of one width; those that would spill are not compiled.
cdef inline void tile_rows(int CHAIN, int LOW, int HIGH, int NV, rows_of_tile ROWS, int px,
                           const stream_t* s, const real* a, const real* b, start_t start,
                           const real* bias, real* o) noexcept nogil:
    if px == 1:
        tile(CHAIN, LOW, HIGH, 1, NV, ROWS, s, a, b, start, bias, o)
    elif px == 2:
        tile(CHAIN, LOW, HIGH, 2, NV, ROWS, s, a, b, start, bias, o)
    elif px == 3 and tile_fits(CHAIN, LOW or HIGH, 3, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 3, NV, ROWS, s, a, b, start, bias, o)
    elif px == 4 and tile_fits(CHAIN, LOW or HIGH, 4, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 4, NV, ROWS, s, a, b, start, bias, o)
    elif px == 5 and tile_fits(CHAIN, LOW or HIGH, 5, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 5, NV, ROWS, s, a, b, start, bias, o)
    elif px == 6 and tile_fits(CHAIN, LOW or HIGH, 6, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 6, NV, ROWS, s, a, b, start, bias, o)
    elif px == 7 and tile_fits(CHAIN, LOW or HIGH, 7, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 7, NV, ROWS, s, a, b, start, bias, o)
    elif px == 8 and tile_fits(CHAIN, LOW or HIGH, 8, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 8, NV, ROWS, s, a, b, start, bias, o)
    elif px == 9 and tile_fits(CHAIN, LOW or HIGH, 9, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 9, NV, ROWS, s, a, b, start, bias, o)
    elif px == 10 and tile_fits(CHAIN, LOW or HIGH, 10, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 10, NV, ROWS, s, a, b, start, bias, o)
    elif px == 11 and tile_fits(CHAIN, LOW or HIGH, 11, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 11, NV, ROWS, s, a, b, start, bias, o)
    elif px == 12 and tile_fits(CHAIN, LOW or HIGH, 12, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 12, NV, ROWS, s, a, b, start, bias, o)
    elif px == 13 and tile_fits(CHAIN, LOW or HIGH, 13, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 13, NV, ROWS, s, a, b, start, bias, o)
    elif px == 14 and tile_fits(CHAIN, LOW or HIGH, 14, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 14, NV, ROWS, s, a, b, start, bias, o)
    elif px == 15 and tile_fits(CHAIN, LOW or HIGH, 15, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 15, NV, ROWS, s, a, b, start, bias, o)
    elif px == 16 and tile_fits(CHAIN, LOW or HIGH, 16, NV, ROWS):
        tile(CHAIN, LOW, HIGH, 16, NV, ROWS, s, a, b, start, bias, o)


# One function for each width: gcc allots registers by function, and these stay small enough.
cdef void tile_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void tile_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 2, STEPPED, px, s, a, b, start, bias, o)

cdef void tile_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 3, STEPPED, px, s, a, b, start, bias, o)

cdef void tile_nv4(int px, const stream_t* s, const real* a, const real* b, start_t start,
                   const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 4, STEPPED, px, s, a, b, start, bias, o)


cdef void beside_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 1, BESIDE, px, s, a, b, start, bias, o)

cdef void beside_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 2, BESIDE, px, s, a, b, start, bias, o)


cdef void chain2_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(2, 0, 0, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void chain2_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(2, 0, 0, 2, STEPPED, px, s, a, b, start, bias, o)

cdef void chain2_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(2, 0, 0, 3, STEPPED, px, s, a, b, start, bias, o)

cdef void chain3_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(3, 0, 0, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void chain3_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(3, 0, 0, 2, STEPPED, px, s, a, b, start, bias, o)

cdef void chain3_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(3, 0, 0, 3, STEPPED, px, s, a, b, start, bias, o)

cdef void chain5_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(5, 0, 0, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void chain5_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(5, 0, 0, 2, STEPPED, px, s, a, b, start, bias, o)

# The same where `leaves_out` says so.
cdef void edged2_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    if s.low == 1:
        tile_rows(2, 1, 0, 1, STEPPED, px, s, a, b, start, bias, o)
    else:
        tile_rows(2, 0, 1, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void edged2_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    if s.low == 1:
        tile_rows(2, 1, 0, 2, STEPPED, px, s, a, b, start, bias, o)
    else:
        tile_rows(2, 0, 1, 2, STEPPED, px, s, a, b, start, bias, o)

cdef void edged2_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    if s.low == 1:
        tile_rows(2, 1, 0, 3, STEPPED, px, s, a, b, start, bias, o)
    else:
        tile_rows(2, 0, 1, 3, STEPPED, px, s, a, b, start, bias, o)

cdef void edged3_nv1(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    if s.low == 1:
        tile_rows(3, 1, 1, 1, STEPPED, px, s, a, b, start, bias, o)
    else:
        tile_rows(3, 2, 2, 1, STEPPED, px, s, a, b, start, bias, o)

cdef void edged3_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    if s.low == 1:
        tile_rows(3, 1, 1, 2, STEPPED, px, s, a, b, start, bias, o)
    else:
        tile_rows(3, 2, 2, 2, STEPPED, px, s, a, b, start, bias, o)

cdef void edged3_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    if s.low == 1:
        tile_rows(3, 1, 1, 3, STEPPED, px, s, a, b, start, bias, o)
    else:
        tile_rows(3, 2, 2, 3, STEPPED, px, s, a, b, start, bias, o)


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


cdef void run_edged(int chain, int px, int nv, const stream_t* s, const real* a, const real* b,
                    start_t start, const real* bias, real* o) noexcept nogil:
    if chain == 2 and nv == 1:
        edged2_nv1(px, s, a, b, start, bias, o)
    elif chain == 2 and nv == 2:
        edged2_nv2(px, s, a, b, start, bias, o)
    elif chain == 2:
        edged2_nv3(px, s, a, b, start, bias, o)
    elif nv == 1:
        edged3_nv1(px, s, a, b, start, bias, o)
    elif nv == 2:
        edged3_nv2(px, s, a, b, start, bias, o)
    else:
        edged3_nv3(px, s, a, b, start, bias, o)


cdef void run_chain(int chain, int px, int nv, const stream_t* s, const real* a, const real* b,
                    start_t start, const real* bias, real* o) noexcept nogil:
    if chain == 1:
        run_tile(px, nv, s, a, b, start, bias, o)
    elif leaves_out(chain, s.low, s.high, px, nv):
        run_edged(chain, px, nv, s, a, b, start, bias, o)
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
    tile_rows(1, 0, 0, 1, LISTED, px, s, a, b, start, bias, o)

cdef void listed_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 2, LISTED, px, s, a, b, start, bias, o)

cdef void listed_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 3, LISTED, px, s, a, b, start, bias, o)

cdef void listed_nv4(int px, const stream_t* s, const real* a, const real* b, start_t start,
                     const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 4, LISTED, px, s, a, b, start, bias, o)


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
    tile_rows(1, 0, 0, 1, LANEWISE, px, s, a, b, start, bias, o)

cdef void lanewise_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                       const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 2, LANEWISE, px, s, a, b, start, bias, o)


cdef void run_lanewise(int px, int nv, const stream_t* s, const real* a, const real* b,
                       start_t start, const real* bias, real* o) noexcept nogil:
    if nv == 1:
        lanewise_nv1(px, s, a, b, start, bias, o)
    else:
        lanewise_nv2(px, s, a, b, start, bias, o)


cdef void run_rolling(int px, const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 1, ROLLING, px, s, a, b, start, bias, o)


cdef void stacked_nv2(int px, const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 2, STACKED, px, s, a, b, start, bias, o)

cdef void stacked_nv3(int px, const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 3, STACKED, px, s, a, b, start, bias, o)

cdef void stacked_nv4(int px, const stream_t* s, const real* a, const real* b, start_t start,
                      const real* bias, real* o) noexcept nogil:
    tile_rows(1, 0, 0, 4, STACKED, px, s, a, b, start, bias, o)


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
        tile(1, 0, 0, SLIDE_ROWS, 1, SLIDING, s, a, b, start, bias, o)
    elif nv == 2:
        tile(1, 0, 0, SLIDE_ROWS, 2, SLIDING, s, a, b, start, bias, o)
    elif nv == 3:
        tile(1, 0, 0, SLIDE_ROWS, 3, SLIDING, s, a, b, start, bias, o)
    else:
        tile(1, 0, 0, SLIDE_ROWS, 4, SLIDING, s, a, b, start, bias, o)
