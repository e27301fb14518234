# cython: language_level=3
"""Activations, element by element, and softmax: forward, and the gradient.

# Design:
#
# a) Arrays come flat.  What counts is that each is walked once, in vectors, by all threads.
#
# b) A rectifier selects and scales (activation_rectify.pxi).  A smooth activation is its value or
#    its slope at a vector of inputs, of a few exponentials (activation_smooth.pxi, vec_math.h); one
#    loop serves them all.  Softmax adds up exponentials along an axis (activation_softmax.pxi).
#
# c) Elements, and the sums of a softmax, are computed one by one, so the bits do not depend on the
#    number of threads; nor do they on the floating-point mode of the caller: every task sets its own
#    (float_mode.h).
#
# d) Kernels trust their arguments; their callers have checked them.
"""

from cython.parallel cimport prange

from libc.math cimport INFINITY, log

from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, KEEP_DENORMALS, LANES, choose, gated, idx_t, lane_indices, leaky, real,
    set_float_mode, splat, sum_lanes, vec,
)

cdef extern from *:
    """
    /* Which activation a loop computes is known where it is compiled, if all is inlined. */
    #if defined(__GNUC__)
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    #endif
    """

cdef extern from "vec_math.h" nogil:
    lane_indices below(vec a, vec b)
    vec size_of(vec x)
    vec signed_as(vec x, vec sign)
    vec exp_negative(vec x)
    vec expm1_negative(vec x)
    vec sigmoid(vec x, vec* rest)
    vec log1p_exp(vec x)
    vec scaled_erfc(vec x)

cdef enum:
    CHUNK = 16384       # elements of a task


include "lanes.pxi"
include "activation_rectify.pxi"
include "activation_smooth.pxi"
include "activation_softmax.pxi"
