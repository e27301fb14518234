/* Exponentials and what follows from them, of vectors: no branch, no table, no call.
 *
 * Results are within a few units in the last place; NaN gives NaN.  Numbers below the smallest
 * normal one become zero. */
#ifndef FASTCONV_VEC_MATH_H
#define FASTCONV_VEC_MATH_H

#include "vec.h"

#ifdef FASTCONV_F64
#define ROUNDING ((real)6755399441055744.0) /* x + ROUNDING has x, rounded, in its low bits */
#define MANTISSA 52
#define ONE_BITS 0x3FF0000000000000LL
#define LOWEST ((real)-708.39) /* e^LOWEST is the smallest normal number */
#define LOG_2_HIGH ((real)6.93147180369123816490e-01)
#define LOG_2_LOW ((real)1.90821492927058770002e-10)
#else
#define ROUNDING ((real)12582912.0)
#define MANTISSA 23
#define ONE_BITS 0x3F800000
#define LOWEST ((real)-87.33)
#define LOG_2_HIGH ((real)0.693359375)
#define LOG_2_LOW ((real)-2.12194440e-4)
#endif
#define LOG2_E ((real)1.44269504088896340736)

/* The highest power first.  Horner's rule, of even and odd powers apart: half as long a chain. */
#define POLYNOMIAL(x, c) polynomial(x, c, (int)(sizeof(c) / sizeof((c)[0])))
static inline vec polynomial(vec x, const real *c, int count) {
    vec square = x * x, sums[2] = {splat(c[0]), splat(c[1])};
    for (int i = 2; i < count; i++) sums[i % 2] = sums[i % 2] * square + c[i];
    return sums[count % 2] * x + sums[(count - 1) % 2];
}

static inline lane_indices below(vec a, vec b) { return MASK(lane_indices, a < b); }
/* |x|; and x, which is not negative, with the sign of another vector. */
static inline vec size_of(vec x) {
    return vec_of(indices_of(x) & ~indices_of(splat((real)-0.0)));
}
static inline vec signed_as(vec x, vec sign) {
    return vec_of(indices_of(x) | (indices_of(sign) & indices_of(splat((real)-0.0))));
}

/* With x = n log 2 + r, |r| at most half of log 2: e^r - 1, by Taylor's series, and 2^n. */
static inline vec reduced_exponential(vec x, vec *two_to_n) {
    static const real taylor[] = {
#ifdef FASTCONV_F64
        (real)(1 / 6227020800.0), (real)(1 / 479001600.0), (real)(1 / 39916800.0),
        (real)(1 / 3628800.0), (real)(1 / 362880.0), (real)(1 / 40320.0),
#endif
        (real)(1 / 5040.0), (real)(1 / 720.0), (real)(1 / 120.0), (real)(1 / 24.0),
        (real)(1 / 6.0), (real)0.5,
    };
    vec shifted = x * LOG2_E + ROUNDING;
    vec n = shifted - ROUNDING;
    vec r = (x - n * LOG_2_HIGH) - n * LOG_2_LOW;
    *two_to_n = vec_of((indices_of(shifted) << MANTISSA) + ONE_BITS);
    return POLYNOMIAL(r, taylor) * (r * r) + r;
}

/* e^x for x <= 0. */
static inline vec exp_negative(vec x) {
    vec two_to_n, power = reduced_exponential(x, &two_to_n);
    return choose(below(x, splat(LOWEST)), splat(0), (power + 1) * two_to_n);
}

/* e^x - 1 for x <= 0, as exact near 0 as elsewhere. */
static inline vec expm1_negative(vec x) {
    vec two_to_n, power = reduced_exponential(x, &two_to_n);
    return choose(below(x, splat(LOWEST)), splat(-1), power * two_to_n + (two_to_n - 1));
}

/* log(1 + x) for x from 0 to 1: 2 atanh(z) with z = x / (2 + x), at most 1/3. */
static inline vec log1p_unit(vec x) {
    static const real series[] = {
#ifdef FASTCONV_F64
        (real)(2 / 33.0), (real)(2 / 31.0), (real)(2 / 29.0), (real)(2 / 27.0), (real)(2 / 25.0),
        (real)(2 / 23.0), (real)(2 / 21.0), (real)(2 / 19.0), (real)(2 / 17.0),
#endif
        (real)(2 / 15.0), (real)(2 / 13.0), (real)(2 / 11.0), (real)(2 / 9.0), (real)(2 / 7.0),
        (real)(2 / 5.0), (real)(2 / 3.0),
    };
    vec z = x / (x + 2), square = z * z;
    return z * 2 + z * square * POLYNOMIAL(square, series);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), of which nothing overflows. */
static inline vec log1p_exp(vec x) {
    return leaky(x, 0) + log1p_unit(exp_negative(splat(0) - size_of(x)));
}

/* 1 / (1 + e^-x), and what it lacks of 1; both keep their relative precision. */
static inline vec sigmoid(vec x, vec *rest) {
    vec e = exp_negative(splat(0) - size_of(x)), large = 1 / (e + 1), small = e * large;
    lane_indices negative = below(x, splat(0));
    *rest = choose(negative, large, small);
    return choose(negative, small, large);
}

/* e^(x^2) erfc(x) for x from 0 to some hundreds.  (1 + 2 x) times that is a polynomial of
 * t = (x - K) / (x + K) (Shepherd & Laframboise 1981, "Chebyshev approximation of
 * (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity"); this one takes its values at Chebyshev's points
 * for K = 3.75, computed with 40 digits. */
#define SHEPHERD_K ((real)3.75)
static inline vec scaled_erfc(vec x) {
    static const real chebyshev[] = {
#ifdef FASTCONV_F64
        (real)3.20526233792884018e-10, (real)-2.61852015650315234e-09,
        (real)-3.79818979773616924e-09, (real)3.19539861205782155e-08,
        (real)2.33985343130408154e-08, (real)-2.48511086502107117e-07,
        (real)-5.74107607301390587e-08, (real)1.74190119451943670e-06,
        (real)-9.73387516749414410e-07, (real)-1.14379803744955344e-05,
        (real)2.23841385256567567e-05, (real)5.16464934100287700e-05,
        (real)-2.90154042033527037e-04, (real)2.93714390578855974e-04,
        (real)1.75562584343186409e-03, (real)-9.74657968596217075e-03,
        (real)2.83622774203773353e-02, (real)-5.86933985763106111e-02,
        (real)9.23043211602589397e-02, (real)-1.08803930142466448e-01,
        (real)8.22767384901497700e-02, (real)3.58541548547957516e-03,
        (real)-1.40240598585547022e-01, (real)1.23751263083782748e+00,
#else
        (real)-2.287472336e-04, (real)3.967046383e-04, (real)1.688662231e-03,
        (real)-9.845491095e-03, (real)2.839648212e-02, (real)-5.864598287e-02,
        (real)9.229636796e-02, (real)-1.088145850e-01, (real)8.227741756e-02,
        (real)3.586310102e-03, (real)-1.402406080e-01, (real)1.237512618e+00,
#endif
    };
    vec sum = x + SHEPHERD_K, factor = x * 2 + 1, inverse = 1 / (sum * factor);
    vec t = (x - SHEPHERD_K) * (factor * inverse);
    return POLYNOMIAL(t, chebyshev) * (sum * inverse);
}

#endif
