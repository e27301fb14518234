# cython: language_level=3
"""Gradients of a convolution behind which a max-pool tiles: one cell of each window has one.

# Design:
#
# a) The gradient of the convolution's output is zero but where its windows had their maxima, and
#    where an activation of the ReLU family was 0.  It is never stored: what is left of it goes into
#    lists (sparse_lists.pxi), once for each filter and once for each cell of each window.
#
# b) A register tile (sparse_sums.pxi) takes such a list, one scalar of it after another:
#
#        acc[r][v] += value[i] * b[i][r][v]
#
#    Its sums are those of rows of a filter, whose columns and channels lie in one piece where pixels
#    are kept in a strip:
#
#    | pass        | list                    | b, rows of vectors | sums                        |
#    |-------------|-------------------------|--------------------|-----------------------------|
#    | grad_weight | of a filter in a block  | windows of x       | the filter's weights        |
#    | grad_input  | of a cell in a window   | packed weights     | the input that the cell saw |
#
#    Of the multiply-adds of the dense kernels, one in as many is left as a window has cells.  What
#    is infinite or NaN stays where a value met it, as zeros meet nothing.
#
# c) Threads share out the images, in parts that follow from the batch (sparse_images.pxi); the sums
#    of the parts are added in order.  So the bits do not depend on the number of threads.
"""

from cython.parallel cimport prange

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastconv._kernels.openmp cimport omp_get_thread_num
from fastconv._kernels.types cimport (
    FLUSH_DENORMALS, LANES, REGISTERS, even_lanes, first_lanes, gated, idx_t, interleave_high,
    interleave_low, lane_index, leaky, one_register, pick_lanes, prefetch, real, set_float_mode,
    splat, vec,
)

include "conv_problem.pxi"
include "cells.pxi"
include "conv_scratch.pxi"
include "shares.pxi"
include "conv_turn.pxi"
include "norm_scale.pxi"
include "conv_store.pxi"
include "sparse_plan.pxi"
include "sparse_lists.pxi"
include "sparse_sums.pxi"
include "sparse_images.pxi"


cdef enum:
    ENTERING = 7        # multiply-adds in the time of an entry of a list, for one of two gradients


def gain(idx_t in_channels, tuple kernel, idx_t cells):
    """An estimate of the time of the dense kernels over that of these, for windows of some cells.

    Three of ten values are taken to be zero, and a multiply-add with a load to cost 1.4 others.
    """
    cdef idx_t line = in_channels * <idx_t> kernel[2], rows = kernel[0] * kernel[1]
    return cells * rows * <double> line / LANES / (rows * ceil_div(line, LANES) + ENTERING)


def backward_max_tiles(const real[:, :, :, :, :] grad_output, const uint8_t[:, :, :, :, :] codes,
                       tuple window, const real[:, :, :, :, :] x, bint pixels,
                       const real[:, :, :, :, :, :] weight, real[:, :, :, :, :] grad_input,
                       real[:, :, :, :, :, :] grad, real[::1] grad_bias,
                       const real[:, :, :, :, :] gate, const real[:, :, :, :, :] plus,
                       double slope, tuple stride, tuple dilation, tuple pad, int num_threads):
    """grad_input, grad (G, O, I, *kernel) and grad_bias, each or None, of one group.

    grad_output and codes (N, O, *windows): the gradient of the pooled output, and of each window
    which of its cells was the maximum.  x and grad_input hold `pixels` or else planes, packed.
    `gate`, `plus` and `slope`: as for `grad_input` of the direct kernels.
    """
    cdef sparse_t task
    cdef conv_t p = describe(x, weight, x if grad_input is None else grad_input, stride, dilation,
                             pad)
    cdef real* input_data = &grad_input[0, 0, 0, 0, 0] if grad_input is not None else NULL
    cdef real* grad_data = &grad[0, 0, 0, 0, 0, 0] if grad is not None else NULL
    cdef real* bias_data = &grad_bias[0] if grad_bias is not None else NULL
    cdef int status, axis
    describe_store(&p, gate, None, plus, slope)
    task.pixels = pixels
    for axis in range(AXES):
        task.windows[axis], task.window[axis] = grad_output.shape[2 + axis], window[axis]
        task.g_step[axis] = grad_output.strides[2 + axis] // <idx_t> sizeof(real)
        task.code_step[axis] = codes.strides[2 + axis]
    task.g_batch = grad_output.strides[0] // <idx_t> sizeof(real)
    task.g_channel = grad_output.strides[1] // <idx_t> sizeof(real)
    task.code_batch, task.code_channel = codes.strides[0], codes.strides[1]
    task.g, task.codes = &grad_output[0, 0, 0, 0, 0], &codes[0, 0, 0, 0, 0]
    with nogil:
        status = sparse_backward(&task, &p, &x[0, 0, 0, 0, 0], &weight[0, 0, 0, 0, 0, 0],
                                 input_data, grad_data, bias_data, num_threads)
    return status
