/* The element type and the vector type of one build of the kernels.
 *
 * Each kernel source is compiled once for every instruction set and element type; setup.py passes
 * FASTCONV_F64 and VEC_BYTES.  The compiler's own vector type turns `acc + a * b` into a vector
 * multiply-add, and Cython, which is told that `vec` is a float, keeps writing the loops. */
#ifndef FASTCONV_VEC_H
#define FASTCONV_VEC_H

#include <stddef.h>

#ifdef FASTCONV_F64
typedef double real;
#else
typedef float real;
#endif

/* As wide as an element: numbers lanes, and masks them. */
#ifdef FASTCONV_F64
typedef long long lane_index;
#else
typedef int lane_index;
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define FASTCONV_SCALAR
#endif
#ifdef FASTCONV_SCALAR
#include "vec_scalar.h"
#else

#ifndef VEC_BYTES
#define VEC_BYTES 16
#endif

/* aligned(element): loads and stores may be unaligned; may_alias: it points into arrays of real. */
typedef real vec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias));

/* x in every lane; x - 0 keeps every x, the sign of -0 included. */
static inline vec splat(real x) { return x - (vec){0}; }

enum { LANES = VEC_BYTES / sizeof(real) };

/* Whether a multiply-add is one instruction. */
#if defined(__FMA__) || defined(__aarch64__)
enum { FUSED = 1 };
#else
enum { FUSED = 0 };
#endif

/* Vectors that a loop can hold; products take one where multiply and add are two instructions. */
#if VEC_BYTES == 64 || defined(__aarch64__)
enum { REGISTERS = 32 };
#else
enum { REGISTERS = 15 + FUSED };
#endif

/* f of every lane's number, in a list. */
#if !defined(FASTCONV_F64) && VEC_BYTES == 64
#define EACH_LANE(f) \
    f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12), f(13), f(14), f(15)
#elif (defined(FASTCONV_F64) && VEC_BYTES == 64) || (!defined(FASTCONV_F64) && VEC_BYTES == 32)
#define EACH_LANE(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)
#elif (defined(FASTCONV_F64) && VEC_BYTES == 32) || (!defined(FASTCONV_F64) && VEC_BYTES == 16)
#define EACH_LANE(f) f(0), f(1), f(2), f(3)
#else
#define EACH_LANE(f) f(0), f(1)
#endif

typedef lane_index lane_indices __attribute__((vector_size(VEC_BYTES)));
typedef unsigned char lane_bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef lane_index loose_indices
    __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias));

/* The mask of a comparison, all bits or none; and the same bits as another type. */
#define MASK(mask, comparison) ((mask)(comparison))
#define BITS(mask, x) ((mask)(x))
#define FROM_BITS(lanes, bits) ((lanes)(bits))

/* Numbers below 256, in one byte for each lane.  gcc 12 knows one instruction for a conversion that
 * is written out, where it takes __builtin_convertvector lane by lane. */
static inline lane_indices load_codes(const unsigned char *codes) {
#define CODE(lane) codes[lane]
    return (lane_indices){EACH_LANE(CODE)};
#undef CODE
}
static inline void store_codes(unsigned char *codes, lane_indices numbers) {
#if defined(__SSSE3__) && VEC_BYTES < 64 && !defined(__clang__)
    typedef unsigned char bytes __attribute__((vector_size(VEC_BYTES)));
#define LOW_BYTE(lane) lane * sizeof(real)
    bytes low = __builtin_shuffle((bytes)numbers, (bytes){EACH_LANE(LOW_BYTE)});
#undef LOW_BYTE
    __builtin_memcpy(codes, &low, LANES);
#else
    *(lane_bytes *)codes = __builtin_convertvector(numbers, lane_bytes);
#endif
}

/* Starts to fetch what lies `ahead` elements on; any address will do. */
static inline void prefetch(const real *place, ptrdiff_t ahead) {
    __builtin_prefetch((const void *)((size_t)place + (size_t)ahead * sizeof(real)));
}

/* Starts to fetch `count` elements into the second-level cache. */
static inline void prefetch_lines(const real *place, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i += 64 / (ptrdiff_t)sizeof(real))
        __builtin_prefetch((const void *)(place + i), 0, 2);
}

/* place, once for all vectors there: gcc would keep an offset for each, in too many registers. */
static inline const real *one_register(const real *place) {
#if defined(__GNUC__)
    __asm__("" : "+r"(place));
#endif
    return place;
}

/* x, loaded once for all its uses: gcc would make the load a part of each instruction, which only
   AVX allows for any address. */
static inline vec loaded_once(vec x) {
#if defined(__GNUC__) && defined(__AVX__)
    __asm__("" : "+v"(x));
#endif
    return x;
}

/* The first `lanes` lanes of x, zero in the others, whatever they hold. */
static inline vec first_lanes(vec x, ptrdiff_t lanes) {
#define ALL_BITS(lane) -1
    static const lane_index mask[2 * LANES] = {EACH_LANE(ALL_BITS)};
#undef ALL_BITS
    return (vec)((lane_indices)x & *(const loose_indices *)(mask + LANES - lanes));
}

static inline real sum_lanes(vec x) {
    real sum[LANES];
    *(vec *)sum = x;
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}

#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (lane_indices){__VA_ARGS__})
#endif
/* The first, or the second, halves of a and b with their lanes in turn: a0 b0 a1 b1 ...;
 * and every second lane of a, then of b, from the first or from the second on. */
#define LOW_LANE(lane) (lane) / 2 + (lane) % 2 * LANES
#define HIGH_LANE(lane) LOW_LANE(lane) + LANES / 2
#define EVEN_LANE(lane) 2 * (lane)
#define ODD_LANE(lane) EVEN_LANE(lane) + 1
static inline vec interleave_low(vec a, vec b) { return SHUFFLE(a, b, EACH_LANE(LOW_LANE)); }
static inline vec interleave_high(vec a, vec b) { return SHUFFLE(a, b, EACH_LANE(HIGH_LANE)); }
static inline vec even_lanes(vec a, vec b) { return SHUFFLE(a, b, EACH_LANE(EVEN_LANE)); }
static inline vec odd_lanes(vec a, vec b) { return SHUFFLE(a, b, EACH_LANE(ODD_LANE)); }
/* The same of a and b in turn, from 16 bytes of each, and what is so in order: one instruction. */
enum { PIECE = 16 / sizeof(real), SHARE = PIECE / 2 };
#define NEAR_EVEN(lane) (lane) / PIECE * PIECE + (lane) % SHARE * 2 + (lane) % PIECE / SHARE * LANES
#define NEAR_ODD(lane) NEAR_EVEN(lane) + 1
#define ORDERED(lane) \
    (lane) % (LANES / 2) / SHARE * PIECE + (lane) / (LANES / 2) * SHARE + (lane) % SHARE
static inline vec near_even_lanes(vec a, vec b) { return SHUFFLE(a, b, EACH_LANE(NEAR_EVEN)); }
static inline vec near_odd_lanes(vec a, vec b) { return SHUFFLE(a, b, EACH_LANE(NEAR_ODD)); }
static inline vec in_order(vec x) { return SHUFFLE(x, x, EACH_LANE(ORDERED)); }
#undef LOW_LANE
#undef HIGH_LANE
#undef EVEN_LANE
#undef ODD_LANE
#undef NEAR_EVEN
#undef NEAR_ODD
#undef ORDERED

/* Any lanes of a, counted from 0, and of b, counted from LANES. */
static inline vec pick_lanes(vec a, vec b, const lane_index *which) {
#ifdef __clang__
    real picked[LANES], both[2 * LANES];
    *(vec *)both = a;
    *(vec *)(both + LANES) = b;
    for (int i = 0; i < LANES; i++) picked[i] = both[which[i]];
    return *(vec *)picked;
#else
    return __builtin_shuffle(a, b, *(const loose_indices *)which);
#endif
}

#endif /* FASTCONV_SCALAR */

/* The bits of x, and the element whose bits they are. */
static inline lane_indices indices_of(vec x) { return BITS(lane_indices, x); }
static inline vec vec_of(lane_indices x) { return FROM_BITS(vec, x); }

/* a where the mask has its bits, b elsewhere.  These are macros, as gcc makes worse code of functions. */
#define CHOOSE(lanes, masks, mask, a, b) \
    FROM_BITS(lanes, ((mask) & BITS(masks, a)) | (~(mask) & BITS(masks, b)))
#define choose(mask, a, b) CHOOSE(vec, lane_indices, mask, a, b)

/* x where it is not negative, else slope * x: 0 for a slope of 0, even of -inf. */
static inline vec leaky(vec x, real slope) {
    vec scaled = {0};
    if (slope != 0) scaled = x * slope;
    lane_indices negative = MASK(lane_indices, x < (vec){0});
    return choose(negative, scaled, x);
}

/* x where the gate is positive, else slope * x: 0 for a slope of 0, even of infinity. */
static inline vec gated(vec x, vec gate, real slope) {
    vec scaled = {0};
    if (slope != 0) scaled = x * slope;
    lane_indices open = MASK(lane_indices, gate > (vec){0});
    return choose(open, x, scaled);
}

/* Where x takes the place of the largest so far: it is not smaller, and that is no NaN. */
static inline lane_indices outranks(vec x, vec largest) {
    return MASK(lane_indices, largest == largest) & ~MASK(lane_indices, x < largest);
}

/* x where the index is the wanted one, 0 elsewhere. */
#define where_equal(index, wanted, x) \
    FROM_BITS(vec, BITS(lane_indices, x) & MASK(lane_indices, (index) == (wanted)))

#endif
