# cython: language_level=3
"""Grids made finer or coarser: interpolation along each axis, and pixel shuffle; their gradients.

# Design:
#
# a) Interpolation is linear along each axis by itself, so an axis is a sparse matrix whose rows
#    are runs: a target cell is the weighted sum of neighbouring source cells.  The gradient is the
#    same with the transposed tables, whose rows are runs too, as the source cells of neighbouring
#    targets are neighbours.  So one kernel serves all: nearest has weights of 1, and backward every
#    cell gathers what it is owed, from one thread, in order.
#
# b) The lines that a target row needs are blended first, in vectors along the line, into a buffer
#    that stays in the first-level cache; then pixel for pixel along the width, in vectors over a
#    pixel's channels (resample_rows.pxi).
#
# c) Where a pixel has fewer channels than a vector has lanes, as in a plane it has one, the lines
#    of as many target rows as there are lanes are turned: then a pixel is a cell of all these rows.
#    The result is turned back.  So vectors serve any table, whatever its weights and runs.
#
# d) A pixel shuffle turns lines of cells that lie in a few rows into one line where the rows take
#    turns, or back (resample_shuffle.pxi).  Both memory orders, and both directions, are that.
#
# e) What only copies keeps every bit.  Every output cell is computed by itself, in tasks that the
#    shape cuts, so the bits do not depend on the number of threads; nor do they on the
#    floating-point mode of the caller: every task sets its own (float_mode.h).
#
# f) Kernels trust their arguments; fastconv.functional has checked them.
"""

from cython.parallel cimport prange

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastconv._kernels.openmp cimport omp_get_thread_num
from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, KEEP_DENORMALS, LANES, even_lanes, idx_t, interleave_high, interleave_low,
    lane_index, odd_lanes, pick_lanes, prefetch, prefetch_lines, real, set_float_mode, splat, vec,
)

cdef extern from *:
    """
    /* Arrays of vectors are registers only when loops over them have constant bounds. */
    #if defined(__GNUC__)
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    #endif
    """

cdef enum:
    OK = 0
    NO_MEMORY = 1
    PARTS = 4           # shares of the work for each thread, to level out a busy core
    ALIGN = 64          # bytes of a cache line


include "cells.pxi"
include "parts.pxi"
include "conv_turn.pxi"
include "resample_rows.pxi"
include "resample_shuffle.pxi"


cdef table_t table_of(const int64_t[::1] first, const int64_t[::1] start, const real[::1] weight):
    cdef table_t table
    table.first, table.start, table.weight = &first[0], &start[0], &weight[0]
    table.cells = first.shape[0]
    return table


cdef void run_tasks(const resample_t* p, real* scratch, int num_threads) noexcept nogil:
    """`scratch`: p.room elements for each thread."""
    cdef idx_t part, tasks = ceil_div(p.rows, p.at_once) * p.chunks
    cdef idx_t parts = min(tasks, <idx_t> (PARTS * num_threads))
    cdef unsigned mode, wanted = KEEP_DENORMALS if p.copies else FLUSH_DENORMALS
    for part in prange(parts, num_threads=num_threads, schedule="dynamic"):
        mode = set_float_mode(wanted)
        resample_tasks(p, part_begin(part, parts, tasks), part_begin(part + 1, parts, tasks),
                       scratch + omp_get_thread_num() * p.room)
        set_float_mode(mode)


def resample(const real[:, :, :, :, ::1] x, real[:, :, :, :, ::1] y, d, h, w, bint copies,
             int num_threads):
    """Each cell of `y` as the tables of its three axes have it; returns OK or NO_MEMORY.

    x and y are (N, D, H, W, C), or (N * C, D, H, W, 1) of planes.  A table is (first, start,
    weight): along its axis, target cell t is the sum over start[t] <= k < start[t + 1] of
    weight[k] times source cell first[t] + k - start[t]; `first` ascends.  `copies`: each is one
    cell, times 1.
    """
    cdef resample_t p
    cdef char* scratch
    p.x, p.y = &x[0, 0, 0, 0, 0], &y[0, 0, 0, 0, 0]
    p.depth, p.height, p.width = x.shape[1], x.shape[2], x.shape[3]
    p.channels = x.shape[4]
    p.rows = y.shape[0] * y.shape[1] * y.shape[2]
    p.d, p.h = table_of(d[0], d[1], d[2]), table_of(h[0], h[1], h[2])
    p.w = table_of(w[0], w[1], w[2])
    p.copies = copies
    with nogil:
        cut_into_tasks(&p)
        scratch = <char*> malloc(num_threads * p.room * sizeof(real) + ALIGN)
        if scratch != NULL:
            run_tasks(&p, <real*> (scratch + ALIGN - <size_t> scratch % ALIGN), num_threads)
            free(scratch)
    return OK if scratch != NULL else NO_MEMORY


def shuffle(const real[::1] source, real[::1] target, sizes, packed_steps, spread_steps,
            const int64_t[::1] rows, idx_t length, bint pack, int num_threads):
    """Between packed lines, of cells that take turns, and spread ones, of cells in rows.

    Cell j of row i of a line is packed[j * len(rows) + i] and spread[rows[i] + j], j < length, each
    behind the sum of the line's indices, below `sizes`, times its steps; five of all these.
    `pack`: the source is the spread one, else the packed one.
    """
    cdef shuffle_t p
    cdef idx_t i, part, parts, lines = 1
    p.packed, p.spread = <real*> &source[0], &target[0]
    if pack:
        p.packed, p.spread = p.spread, p.packed
    p.row, p.rows, p.length, p.pack = &rows[0], rows.shape[0], length, pack
    for i in range(AXES):
        p.size[i], p.packed_step[i], p.spread_step[i] = sizes[i], packed_steps[i], spread_steps[i]
        lines *= p.size[i]
    parts = min(lines, <idx_t> (PARTS * num_threads))
    # Moves alone, to which no floating-point mode matters.
    for part in prange(parts, nogil=True, num_threads=num_threads, schedule="dynamic"):
        shuffle_lines(&p, part_begin(part, parts, lines), part_begin(part + 1, parts, lines))
