# The types that every kernel family shares.  `real` and `vec` are C typedefs that differ from
# build to build (see vec.h); Cython only needs to know that they behave like floats.

ctypedef Py_ssize_t idx_t

cdef extern from "vec.h" nogil:
    ctypedef float real
    ctypedef float vec
    ctypedef long lane_index
    ctypedef long lane_indices
    vec splat(real x)
    vec leaky(vec x, real slope)
    vec gated(vec x, vec gate, real slope)
    lane_indices indices_of(vec x)
    vec vec_of(lane_indices x)
    vec choose(lane_indices mask, vec a, vec b)
    lane_indices outranks(vec x, vec largest)
    vec where_equal(lane_indices index, lane_index wanted, vec x)
    void store_codes(unsigned char* codes, lane_indices numbers)
    lane_indices load_codes(const unsigned char* codes)
    const real* one_register(const real* place)
    vec loaded_once(vec x)
    void prefetch(const real* place, idx_t ahead)
    void prefetch_lines(const real* place, idx_t count)
    vec first_lanes(vec x, idx_t lanes)
    real sum_lanes(vec x)
    vec interleave_low(vec a, vec b)
    vec interleave_high(vec a, vec b)
    vec even_lanes(vec a, vec b)
    vec odd_lanes(vec a, vec b)
    vec near_even_lanes(vec a, vec b)
    vec near_odd_lanes(vec a, vec b)
    vec in_order(vec x)
    vec pick_lanes(vec a, vec b, const lane_index* which)
    enum:
        FUSED
        LANES
        REGISTERS

cdef extern from "float_mode.h" nogil:
    unsigned set_float_mode(unsigned mode)
    enum:
        FLUSH_DENORMALS
        KEEP_DENORMALS
