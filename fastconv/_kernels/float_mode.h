/* The floating-point mode of a task, whatever the thread that runs it has set: rounding to nearest,
 * no traps, and denormal numbers flushed or kept.  So bits depend on no mode and no thread.
 *
 * Arithmetic with denormal numbers can take a hundred times as long as with others.  Sums therefore
 * flush them: as operands they count as zero, and results that small become zero.  What only
 * compares and copies keeps them. */
#ifndef FASTCONV_FLOAT_MODE_H
#define FASTCONV_FLOAT_MODE_H

#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>

/* MXCSR: all traps masked; flush to zero and denormals are zero. */
enum { KEEP_DENORMALS = 0x1F80, FLUSH_DENORMALS = 0x1F80 | 0x8040 };

static inline unsigned set_float_mode(unsigned mode) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(mode);
    return before;
}

#elif defined(__aarch64__)

/* FPCR: all traps off; flush to zero, operands too. */
enum { KEEP_DENORMALS = 0, FLUSH_DENORMALS = 1 << 24 };

static inline unsigned set_float_mode(unsigned mode) {
    unsigned long before, next = mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before) : : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"(next) : "memory");
    return (unsigned)before;
}

#else

enum { KEEP_DENORMALS, FLUSH_DENORMALS };

static inline unsigned set_float_mode(unsigned mode) { return mode; }

#endif

#endif
