# cython: language_level=3
"""The three convolution kernels: forward, grad_input, grad_weight, in 1-D to 3-D.

# Design:
#
# a) One register tile (conv_tile.pxi) does all the arithmetic:
#        acc[i][v] += a[i] * b[v]
#    `a` is broadcast, `b` holds vectors.  (One pass stands apart: grad_weight of few channels in a
#    group, conv_dot.pxi, takes inner products along the columns.)
#
#    | pass                    | a, rows of the tile     | b, lanes of the tile         |
#    |-------------------------|-------------------------|------------------------------|
#    | correlate, channel lanes| pixels of one output row| packed weights, out channels |
#    | correlate, row lanes    | packed weights          | input row, output columns    |
#    | the same, one filter    | one weight for all rows | input rows, output columns   |
#    | the same, of one plane  | some weights, likewise  | each row, for all of them    |
#    | grad_weight             | input channels          | grad_output, out channels    |
#    | the same, few channels  | taps and input channels | grad_output, out channels    |
#
#    Where an image has next to no columns, images of the batch take their place in `correlate`.
#
#    With channel lanes, taps that read neighbouring pixels form chains (conv_chains.pxi): a step of
#    the tile takes a whole chain, and each broadcast serves all of its taps.  Cells of padding at
#    the ends of a row are left out.  (In grad_weight, where sums belong to taps and not to pixels,
#    that is a tile of its own, conv_grad_weight_chains.pxi.)  Without chains, columns of which many
#    taps lie in padding go without these (conv_runs.pxi), as every row does without rows of taps.
#
#    Where a filter has one tap, grad_weight may exchange its two arrays: the lanes are then input
#    channels, side by side in the weights as in the tile.
#
#    Planes of a depthwise convolution (conv_planes.pxi) have a tile of their own
#    (conv_plane_tile.pxi): rows of the output slide under rows of taps, and a vector of the strip is
#    loaded once for three of these.
#
#    Small groups of a channels-last input, and planes of a depthwise convolution where they are tiny
#    or their windows wide (conv_lanewise.pxi): lanes are the output channels of all groups side by
#    side, and `a` brings vectors, as each lane has inputs of its own:
#
#    | correlate               | pixels of one output row| packed weights, out channels |
#    | grad_weight             | taps and input channels | grad_output, out channels    |
#
# b) `correlate` (conv_plan.pxi, conv_costs.pxi, conv_runs.pxi, conv_taps.pxi, conv_pack.pxi,
#    conv_correlate.pxi, and the lanes in conv_channel_lanes.pxi, conv_row_lanes.pxi and
#    conv_planes.pxi) is both forward and grad_input.
#    Forward moves a window by `stride`; grad_input moves a window by 1 over a grad_output stretched
#    by `stretch`, with regrouped filters.  The zeros of stretching are never stored: output
#    positions of equal remainder modulo `stretch` form a phase, and a phase only sees the taps that
#    meet its input cells.
#
# c) A task copies the window of input that it needs into a strip (conv_window.pxi), padded with
#    zeros and sorted so that stride, dilation and phases vanish: in the strip every problem is a
#    stride-1 problem with a table of tap offsets.  (Rows whose cells all are read stay in order
#    where a tile may step over some.)  A strip stays in L2: where channels are many it holds some of
#    them at a time, and the sums of the task wait.  Planes become pixels in the strip where many
#    filters share the turning, and inputs are spread over the lanes that want them where groups are
#    small.  Where columns see no padding and a row of the tile reads memory well as it is, the input
#    itself serves as the strip, as rows of taps that lie in padding are left out; so do all taps of
#    a depthwise convolution, where that costs less than a strip.
#
# d) Each output cell is summed by one thread in an order fixed by the problem.  grad_weight cuts
#    its long sum into parts by the problem, not by the thread count, and adds the parts in order.
#    So the bits do not depend on the number of threads.  Nor do they on the floating-point mode of
#    the caller: every task sets its own (float_mode.h), in which denormal numbers count as zero.
#
# e) What is behind a convolution can run with it, image by image (conv_images.pxi): a max-pool, or
#    of a batch normalization the moments and the gradient.  One by known statistics, as in
#    evaluation, is the business of the store (conv_store.pxi), as gates of gradients are.
#
# f) Kernels trust their arguments; fastconv.functional or capi (conv_entries.pxi) has checked them.
#    They return OK or NO_MEMORY and never touch Python objects.  Only what the planners chose is
#    handed out as a dict (conv_explain.pxi), which fastconv.explain puts into words.
"""

from cython.parallel cimport prange

from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport INFINITY
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastconv._kernels.entries cimport conv_entries, fastconv_problem
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

# Budgets in bytes: a strip, sums that wait for more channels, and packed weights in a 1 MB L2.
cdef enum:
    STRIP_BYTES = 160 * 1024
    SUM_BYTES = 256 * 1024
    WEIGHT_BYTES = 640 * 1024


include "conv_scratch.pxi"
include "shares.pxi"
include "conv_tile.pxi"
include "conv_tile_sizes.pxi"
include "conv_turn.pxi"
include "conv_rows.pxi"
include "conv_window.pxi"
include "conv_chains.pxi"
include "conv_axes.pxi"
include "conv_plan.pxi"
include "conv_costs.pxi"
include "conv_runs.pxi"
include "conv_taps.pxi"
include "conv_pack.pxi"
include "norm_scale.pxi"
include "conv_store.pxi"
include "conv_task.pxi"
include "conv_row_lanes.pxi"
include "conv_lanewise.pxi"
include "conv_plane_tile.pxi"
include "conv_planes.pxi"
include "conv_channel_lanes.pxi"
include "conv_correlate.pxi"
include "conv_dot.pxi"
include "conv_grad_weight_chains.pxi"
include "conv_grad_weight_plan.pxi"
include "conv_grad_weight_rows.pxi"
include "conv_grad_weight_sums.pxi"
include "conv_grad_weight.pxi"
include "pool_tiles.pxi"
include "pool_lines.pxi"
include "conv_pooled.pxi"
include "norm_moments.pxi"
include "conv_of_images.pxi"
include "conv_images.pxi"
include "conv_explain.pxi"
include "conv_roof.pxi"
include "conv_entries.pxi"


cdef int run_correlate(const conv_t* p, const real[:, :, :, :, :] x,
                       const real[:, :, :, :, :, :] w, const real[::1] bias,
                       real[:, :, :, :, :] y, int num_threads):
    cdef int status
    if y.size == 0:
        return OK
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef const real* x_data = &x[0, 0, 0, 0, 0] if x.size else NULL
    cdef const real* w_data = &w[0, 0, 0, 0, 0, 0] if w.size else NULL
    with nogil:
        status = correlate(p, x_data, w_data, bias_data, &y[0, 0, 0, 0, 0], num_threads)
    return status


def forward(const real[:, :, :, :, :] x, const real[:, :, :, :, :, :] w, const real[::1] bias,
            real[:, :, :, :, :] y, const real[:, :, :, :, :] gate, const real[:, ::1] norm,
            const real[:, :, :, :, :] plus, double slope, tuple stride, tuple dilation, tuple pad,
            int num_threads):
    """y (N, G*O, *out) = bias + x (N, G*I, *in) * w (G, O, I, *kernel); `pad` is the low side.

    `gate`, `norm`, `plus` and `slope`: what happens to y at its store, see `describe_store`.
    """
    cdef conv_t p = describe(x, w, y, stride, dilation, pad)
    describe_store(&p, gate, norm, plus, slope)
    return run_correlate(&p, x, w, bias, y, num_threads)


def grad_input(const real[:, :, :, :, :] grad_output, const real[:, :, :, :, :, :] filters,
               const real[::1] bias, real[:, :, :, :, :] grad,
               const real[:, :, :, :, :] gate, const real[:, ::1] norm,
               const real[:, :, :, :, :] plus, double slope, tuple stride, tuple dilation,
               tuple pad, int num_threads):
    """grad (N, G*I, *in) from grad_output (N, G*O, *out) and regrouped filters (G, I, O, *kernel).

    `pad` is the low padding of the convolution.  Also the forward pass of the transposed
    convolution, which is why there is a bias.  `gate`, `norm`, `plus` and `slope` as for `forward`.
    """
    cdef conv_t p = describe(grad_output, filters, grad, stride, dilation, pad)
    stretch_input(&p)
    describe_store(&p, gate, norm, plus, slope)
    return run_correlate(&p, grad_output, filters, bias, grad, num_threads)


def grad_weight(const real[:, :, :, :, :] x, const real[:, :, :, :, :] grad_output,
                real[:, :, :, :, :, :] grad, real[::1] grad_bias, tuple stride, tuple dilation,
                tuple pad, int num_threads, bint bias_alone=False):
    """grad (G, O, I, *kernel) = sum over batch and positions of grad_output and x's windows.

    `grad_bias` (G*O,) or None receives the sum of grad_output over both.  With `bias_alone`, grad
    lends its shape only, and grad_bias has the same bits as beside it.
    """
    cdef conv_t p = describe(x, grad, grad_output, stride, dilation, pad)
    cdef int status
    if grad.size == 0:
        return OK
    cdef const real* x_data = &x[0, 0, 0, 0, 0] if x.size else NULL
    cdef const real* g_data = &grad_output[0, 0, 0, 0, 0] if grad_output.size else NULL
    cdef real* grad_data = NULL if bias_alone else &grad[0, 0, 0, 0, 0, 0]
    cdef real* bias_data = &grad_bias[0] if grad_bias is not None else NULL
    with nogil:
        status = accumulate_weight(&p, x_data, g_data, grad_data, bias_data, num_threads)
    return status


include "conv_images_entries.pxi"
include "conv_linear.pxi"


def transpose(const real[:, :, ::1] source, real[:, :, ::1] target, int num_threads):
    """target[n, j, i] = source[n, i, j]: from channels-last order to that of planes, and back."""
    if source.size:
        with nogil:
            turn_matrices(&source[0, 0, 0], source.shape[0], source.shape[1], source.shape[2],
                          &target[0, 0, 0], num_threads)


# What a call with these arrays would do, as plain numbers (conv_explain.pxi); None without memory.
# The arrays lend shapes and strides; their elements are not read.

def plan_forward(const real[:, :, :, :, :] x, const real[:, :, :, :, :, :] w,
                 const real[:, :, :, :, :] y, tuple stride, tuple dilation, tuple pad,
                 int num_threads):
    cdef conv_t p = describe(x, w, y, stride, dilation, pad)
    return explain_correlate(&p, num_threads)


def plan_grad_input(const real[:, :, :, :, :] grad_output, const real[:, :, :, :, :, :] filters,
                    const real[:, :, :, :, :] grad, tuple stride, tuple dilation, tuple pad,
                    int num_threads):
    cdef conv_t p = describe(grad_output, filters, grad, stride, dilation, pad)
    stretch_input(&p)
    return explain_correlate(&p, num_threads)


def plan_grad_weight(const real[:, :, :, :, :] x, const real[:, :, :, :, :] grad_output,
                     const real[:, :, :, :, :, :] grad, tuple stride, tuple dilation, tuple pad,
                     int num_threads):
    cdef conv_t p = describe(x, grad, grad_output, stride, dilation, pad)
    return explain_grad_weight(&p, num_threads)
