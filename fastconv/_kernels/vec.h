/* The element type and the vector type of one build of the kernels.
 *
 * Each kernel source is compiled once for every instruction set and element type; setup.py passes
 * FASTCONV_F64 and VEC_BYTES.  The compiler's own vector type turns `acc + a * b` into a vector
 * multiply-add, and Cython, which is told that `vec` is a float, keeps writing the loops. */
#ifndef FASTCONV_VEC_H
#define FASTCONV_VEC_H

#ifdef FASTCONV_F64
typedef double real;
#else
typedef float real;
#endif

#ifndef VEC_BYTES
#define VEC_BYTES 16
#endif

/* aligned(element): loads and stores may be unaligned; may_alias: it points into arrays of real. */
typedef real vec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias));

/* x in every lane; x - 0 keeps every x, the sign of -0 included. */
static inline vec splat(real x) { return x - (vec){0}; }

enum { LANES = VEC_BYTES / sizeof(real) };

#endif
