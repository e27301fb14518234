# cython: language_level=3
"""Winograd's minimal filtering for 2 or 3 taps along each axis for each stride, in 1-D to 3-D.

# Design:
#
# a) A tile of 4 outputs along an axis is a product of polynomials, known from its values at 6 points
#    (winograd_transform.pxi), so that 36 products replace 144 in 2-D.  At each point, a convolution
#    is a product of matrices, for a register tile (winograd_multiply.pxi; of grad_weight, whose sums
#    are long, that of the direct kernels):
#
#    | pass       | a, rows of the tile            | b, lanes of the tile               |
#    |------------|--------------------------------|------------------------------------|
#    | correlate  | tiles of the transformed input | transformed filters, out channels  |
#    | grad_weight| in channels of the same        | transformed grad_output, the same  |
#
# b) A task transforms the tiles it needs (winograd_tiles.pxi), first along the columns, which
#    neighbours share, and keeps them in L2 with what comes of them: extra memory is that of the
#    threads' tiles and of the transformed filters.  While it multiplies it fetches what comes next
#    (conv_ahead.pxi, winograd_ahead.pxi).
#
# c) `correlate` is both forward and grad_input, as for the direct kernels, and so are the problems
#    (conv_problem.pxi).  Sums are cut by the problem, not by the thread count.
#
# d) What is behind a convolution can run with it, image by image, as for the direct kernels
#    (conv_images.pxi).
#
# e) What the planners chose is handed out as a dict (winograd_explain.pxi), for fastconv.explain.
"""

from cython.parallel cimport prange

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from fastconv._kernels.openmp cimport omp_get_thread_num
from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, FUSED, LANES, REGISTERS, choose, even_lanes, first_lanes, gated, idx_t,
    in_order, indices_of, interleave_high, interleave_low, lane_index, lane_indices, leaky,
    load_codes, loaded_once, near_even_lanes, near_odd_lanes, one_register, outranks, pick_lanes,
    prefetch, prefetch_lines, real, set_float_mode, splat, store_codes, sum_lanes, vec, vec_of,
    where_equal,
)

include "conv_problem.pxi"
include "cells.pxi"
include "conv_ahead.pxi"
include "conv_scratch.pxi"
include "shares.pxi"
include "conv_tile.pxi"
include "conv_tile_sizes.pxi"
include "conv_turn.pxi"
include "conv_rows.pxi"
include "norm_scale.pxi"
include "conv_store.pxi"
include "winograd_transform.pxi"
include "winograd_plan.pxi"
include "winograd_filters.pxi"
include "winograd_tiles.pxi"
include "winograd_multiply.pxi"
include "winograd_ahead.pxi"
include "winograd_correlate.pxi"
include "winograd_grad_weight.pxi"
include "pool_tiles.pxi"
include "pool_lines.pxi"
include "conv_pooled.pxi"
include "norm_moments.pxi"
include "winograd_of_images.pxi"
include "conv_images.pxi"
include "winograd_explain.pxi"


cdef int run_correlate(const conv_t* p, const real[:, :, :, :, :] x,
                       const real[:, :, :, :, :, :] w, const real[::1] prepared,
                       const real[::1] bias, real[:, :, :, :, :] y, int num_threads):
    cdef int status
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef const real* prepared_data = &prepared[0] if prepared is not None else NULL
    with nogil:
        status = winograd_correlate(p, &x[0, 0, 0, 0, 0], &w[0, 0, 0, 0, 0, 0], prepared_data,
                                    bias_data, &y[0, 0, 0, 0, 0], num_threads)
    return status


cdef conv_t bare_problem(idx_t batch, idx_t groups, idx_t in_channels, idx_t out_channels,
                         tuple kernel, tuple stride, tuple out_size):
    """Without steps, which no plan looks at."""
    cdef conv_t p
    cdef int axis
    memset(&p, 0, sizeof(conv_t))
    p.batch, p.groups, p.in_channels, p.out_channels = batch, groups, in_channels, out_channels
    for axis in range(AXES):
        p.kernel[axis], p.stride[axis] = kernel[axis], stride[axis]
        p.out_size[axis] = out_size[axis]
    return p


def gains(idx_t batch, idx_t groups, idx_t in_channels, idx_t out_channels, tuple kernel,
          tuple stride, tuple out_size):
    """(correlate, grad_weight): estimates of the time of the direct kernels over that of these.

    Channels are those of one group.  The same for every number of threads.
    """
    cdef conv_t p = bare_problem(batch, groups, in_channels, out_channels, kernel, stride,
                                 out_size)
    cdef winograd_t correlate
    cdef winograd_grad_t grad
    cdef double direct = 1.1 * batch * groups * in_channels * out_channels / LANES
    cdef double own, own_grad
    cdef int axis
    for axis in range(AXES):
        direct *= kernel[axis] * out_size[axis]
    own = FEW_THREADS * winograd_plan(&correlate, &p, FEW_THREADS) + filters_cost(&correlate)
    winograd_grad_plan(&grad, &p)
    own_grad = grad_cost(&grad)
    return direct / own, direct / own_grad


cdef winograd_t plan_filters(const real[:, :, :, :, :, :] w, tuple stride, tuple out_size):
    """As far as it does not depend on batch and input."""
    cdef winograd_t self
    cdef conv_t p = bare_problem(1, w.shape[0], w.shape[2], w.shape[1],
                                 (w.shape[3], w.shape[4], w.shape[5]), stride, out_size)
    cdef int axis
    cdef idx_t size = sizeof(real)
    p.w_group, p.w_out, p.w_in = w.strides[0] // size, w.strides[1] // size, w.strides[2] // size
    for axis in range(AXES):
        p.w_step[axis] = w.strides[3 + axis] // size
    winograd_plan(&self, &p, 1)
    return self


def prepared_layout(const real[:, :, :, :, :, :] w, tuple stride, tuple out_size):
    """(points along each axis, elements) of the transformed filters, for outputs of this size."""
    cdef winograd_t self = plan_filters(w, stride, out_size)
    return (self.points[0], self.points[1], self.points[2]), filter_elements(&self)


def same(const real[::1] a, const real[::1] b):
    """Whether two arrays of one length hold the same bits."""
    return memcmp(&a[0], &b[0], <size_t> a.shape[0] * sizeof(real)) == 0


def prepare(const real[:, :, :, :, :, :] w, tuple stride, tuple out_size, real[::1] prepared,
            int num_threads):
    """Transforms filters for `forward`, or regrouped ones for `grad_input`.

    `out_size`: what the call will give; the batch may be any.
    """
    cdef winograd_t self = plan_filters(w, stride, out_size)
    with nogil:
        prepare_filters(&self, &w[0, 0, 0, 0, 0, 0], &prepared[0], num_threads)


def forward(const real[:, :, :, :, :] x, const real[:, :, :, :, :, :] w,
            const real[::1] prepared, const real[::1] bias, real[:, :, :, :, :] y,
            const real[:, :, :, :, :] gate, const real[:, ::1] norm,
            const real[:, :, :, :, :] plus, double slope, tuple stride, tuple pad,
            int num_threads):
    """y (N, G*O, *out) = bias + x (N, G*I, *in) * w (G, O, I, *kernel); `pad` is the low side.

    Kernels have 2 or 3 times the stride along the last axes, one tap along those that are absent,
    and MOST_TAPS together at most; no array is empty.
    `prepared` is what `prepare` made of the filters, or None.  `gate`, `norm`, `plus` and `slope`:
    as the direct kernels take them, see `describe_store`.
    """
    cdef conv_t p = describe(x, w, y, stride, (1, 1, 1), pad)
    describe_store(&p, gate, norm, plus, slope)
    return run_correlate(&p, x, w, prepared, bias, y, num_threads)


def grad_weight(const real[:, :, :, :, :] x, const real[:, :, :, :, :] grad_output,
                real[:, :, :, :, :, ::1] grad, real[::1] grad_bias, tuple stride, tuple pad,
                int num_threads):
    """grad (G, O, I, *kernel), C-contiguous = sum over batch and positions.

    grad_bias (G * O,), unless it is None: the same sum of grad_output alone.
    """
    cdef conv_t p = describe(x, grad, grad_output, stride, (1, 1, 1), pad)
    cdef real* bias = &grad_bias[0] if grad_bias is not None else NULL
    cdef int status
    with nogil:
        status = winograd_grad_weight(&p, &x[0, 0, 0, 0, 0], &grad_output[0, 0, 0, 0, 0],
                                      &grad[0, 0, 0, 0, 0, 0], bias, num_threads)
    return status


# What a call with these sizes, those of `gains`, would do, as plain numbers (winograd_explain.pxi).

def plan_correlate(idx_t batch, idx_t groups, idx_t in_channels, idx_t out_channels, tuple kernel,
                   tuple stride, tuple out_size, int num_threads):
    cdef conv_t p = bare_problem(batch, groups, in_channels, out_channels, kernel, stride,
                                 out_size)
    return explain_correlate(&p, num_threads)


def plan_grad_weight(idx_t batch, idx_t groups, idx_t in_channels, idx_t out_channels,
                     tuple kernel, tuple stride, tuple out_size):
    cdef conv_t p = bare_problem(batch, groups, in_channels, out_channels, kernel, stride,
                                 out_size)
    return explain_grad_weight(&p)


include "conv_images_entries.pxi"
