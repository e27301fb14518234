/* vec.h for a compiler without a vector type (MSVC): a vector is one element.
 *
 * The loops are the same, and so are the results up to the order of their sums; the speed is not. */
#ifndef FASTCONV_VEC_SCALAR_H
#define FASTCONV_VEC_SCALAR_H

typedef real vec;
typedef lane_index lane_indices;

enum { LANES = 1, FUSED = 0, REGISTERS = 15 };

typedef union {
    real value;
    lane_index bits;
} lane_bits;

static inline lane_index bits_of(real x) {
    lane_bits lane;
    lane.value = x;
    return lane.bits;
}

static inline real from_bits(lane_index x) {
    lane_bits lane;
    lane.bits = x;
    return lane.value;
}

#define MASK(mask, comparison) (-(mask)(comparison))
#define BITS(mask, x) bits_of(x)
#define FROM_BITS(lanes, bits) from_bits(bits)

static inline vec splat(real x) { return x; }
static inline real sum_lanes(vec x) { return x; }
static inline vec first_lanes(vec x, ptrdiff_t lanes) { return lanes > 0 ? x : 0; }
static inline vec pick_lanes(vec a, vec b, const lane_index *which) { return *which ? b : a; }

/* The only even lane of two is a's, the odd one b's; to transpose one element takes no interleaving. */
static inline vec even_lanes(vec a, vec b) { return (void)b, a; }
static inline vec odd_lanes(vec a, vec b) { return (void)a, b; }
static inline vec near_even_lanes(vec a, vec b) { return (void)b, a; }
static inline vec near_odd_lanes(vec a, vec b) { return (void)a, b; }
static inline vec in_order(vec x) { return x; }
static inline vec interleave_low(vec a, vec b) { return (void)b, a; }
static inline vec interleave_high(vec a, vec b) { return (void)a, b; }

static inline void store_codes(unsigned char *codes, lane_indices number) {
    *codes = (unsigned char)number;
}
static inline lane_indices load_codes(const unsigned char *codes) { return *codes; }

static inline void prefetch(const real *place, ptrdiff_t ahead) { (void)place, (void)ahead; }
static inline void prefetch_lines(const real *place, ptrdiff_t count) { (void)place, (void)count; }
static inline const real *one_register(const real *place) { return place; }
static inline vec loaded_once(vec x) { return x; }

#endif
