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
#    | grad_weight, by channel | input channels (or taps)| grad_output, out channels    |
#
# b) `correlate` (conv_plan.pxi, conv_pack.pxi, conv_correlate.pxi) is both forward and grad_input.
#    Forward moves a window by `stride`; grad_input moves a window by 1 over a grad_output stretched
#    by `stretch`, with regrouped filters.  The zeros of stretching are never stored: output
#    positions of equal remainder modulo `stretch` form a phase, and a phase only sees the taps that
#    meet its input cells.
#
# c) A task copies the window of input that it needs into a strip (conv_window.pxi), padded with
#    zeros and sorted so that stride, dilation and phases vanish: in the strip every problem is a
#    stride-1 problem with a table of tap offsets.  A strip stays in L2.  Where nothing is padded
#    and a row of the tile reads memory well as it is, the input itself serves as the strip.
#
# d) Each output cell is summed by one thread in an order fixed by the problem.  grad_weight cuts
#    its long sum into parts by the problem, not by the thread count, and adds the parts in order.
#    So the bits do not depend on the number of threads.
#
# e) Kernels trust their arguments; fastconv.functional has checked them.  They return OK or
#    NO_MEMORY and never touch Python objects.
"""

from cython.parallel cimport prange

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastconv._kernels.openmp cimport omp_get_thread_num
from fastconv._kernels.types cimport (
    LANES, REGISTERS, first_lanes, idx_t, interleave_high, interleave_low, prefetch, real, splat,
    sum_lanes, vec,
)

cdef enum:
    AXES = 3          # depth, height, width; absent axes have length 1
    OK = 0
    NO_MEMORY = 1
    ALIGN = 64        # bytes: a cache line, and the widest vector

# Budgets in bytes: a strip beside packed weights in a 1 MB L2, and the weights themselves.
cdef enum:
    STRIP_BYTES = 160 * 1024
    WEIGHT_BYTES = 640 * 1024


cdef struct conv_t:
    # One problem.  Steps are in elements; groups lie side by side along the channels.
    idx_t batch, groups
    idx_t in_channels, out_channels         # of one group
    idx_t in_size[AXES]
    idx_t out_size[AXES]
    idx_t kernel[AXES]
    idx_t stride[AXES]                      # of the window over the input
    idx_t stretch[AXES]                     # of the input itself: 1, or the stride of grad_input
    idx_t dilation[AXES]
    idx_t pad[AXES]                         # low side; negative crops
    idx_t in_batch, in_channel
    idx_t in_step[AXES]
    idx_t out_batch, out_channel
    idx_t out_step[AXES]
    idx_t w_group, w_out, w_in              # from filter to filter, from slice to slice
    idx_t w_step[AXES]


cdef inline idx_t ceil_div(idx_t a, idx_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline idx_t round_up(idx_t a, idx_t multiple) noexcept nogil:
    return ceil_div(a, multiple) * multiple


cdef void* aligned(void* block) noexcept nogil:
    """The first cache line inside a block that was allocated with ALIGN bytes to spare."""
    return <void*> ((<size_t> block + ALIGN - 1) // ALIGN * ALIGN)


include "conv_scratch.pxi"
include "conv_tile.pxi"
include "conv_turn.pxi"
include "conv_window.pxi"
include "conv_plan.pxi"
include "conv_pack.pxi"
include "conv_correlate.pxi"
include "conv_dot.pxi"
include "conv_grad_weight_plan.pxi"
include "conv_grad_weight.pxi"
include "conv_roof.pxi"


cdef void describe_sizes(conv_t* p, tuple stride, tuple dilation, tuple pad):
    cdef int axis
    for axis in range(AXES):
        p.stride[axis] = stride[axis]
        p.stretch[axis] = 1
        p.dilation[axis] = dilation[axis]
        p.pad[axis] = pad[axis]


cdef void describe_input(conv_t* p, const real[:, :, :, :, :] x):
    cdef int axis
    p.batch = x.shape[0]
    p.in_batch = x.strides[0] // <idx_t> sizeof(real)
    p.in_channel = x.strides[1] // <idx_t> sizeof(real)
    for axis in range(AXES):
        p.in_size[axis] = x.shape[2 + axis]
        p.in_step[axis] = x.strides[2 + axis] // <idx_t> sizeof(real)


cdef void describe_output(conv_t* p, const real[:, :, :, :, :] y):
    cdef int axis
    p.out_batch = y.strides[0] // <idx_t> sizeof(real)
    p.out_channel = y.strides[1] // <idx_t> sizeof(real)
    for axis in range(AXES):
        p.out_size[axis] = y.shape[2 + axis]
        p.out_step[axis] = y.strides[2 + axis] // <idx_t> sizeof(real)


cdef void describe_weight(conv_t* p, const real[:, :, :, :, :, :] w):
    cdef int axis
    p.groups = w.shape[0]
    p.out_channels = w.shape[1]
    p.in_channels = w.shape[2]
    p.w_group = w.strides[0] // <idx_t> sizeof(real)
    p.w_out = w.strides[1] // <idx_t> sizeof(real)
    p.w_in = w.strides[2] // <idx_t> sizeof(real)
    for axis in range(AXES):
        p.kernel[axis] = w.shape[3 + axis]
        p.w_step[axis] = w.strides[3 + axis] // <idx_t> sizeof(real)


def forward(const real[:, :, :, :, :] x, const real[:, :, :, :, :, :] w, const real[::1] bias,
            real[:, :, :, :, :] y, tuple stride, tuple dilation, tuple pad, int num_threads):
    """y (N, G*O, *out) = bias + x (N, G*I, *in) * w (G, O, I, *kernel); `pad` is the low side."""
    cdef conv_t p
    cdef int status
    describe_sizes(&p, stride, dilation, pad)
    describe_input(&p, x)
    describe_weight(&p, w)
    describe_output(&p, y)
    if y.size == 0:
        return OK
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef const real* x_data = &x[0, 0, 0, 0, 0] if x.size else NULL
    cdef const real* w_data = &w[0, 0, 0, 0, 0, 0] if w.size else NULL
    with nogil:
        status = correlate(&p, x_data, w_data, bias_data, &y[0, 0, 0, 0, 0], num_threads)
    return status


def grad_input(const real[:, :, :, :, :] grad_output, const real[:, :, :, :, :, :] filters,
               const real[::1] bias, real[:, :, :, :, :] grad, tuple stride, tuple dilation,
               tuple pad, int num_threads):
    """grad (N, G*I, *in) from grad_output (N, G*O, *out) and regrouped filters (G, I, O, *kernel).

    `pad` is the low padding of the convolution.  Also the forward pass of the transposed
    convolution, which is why there is a bias.
    """
    cdef conv_t p
    cdef int status, axis
    describe_sizes(&p, stride, dilation, pad)
    describe_input(&p, grad_output)
    describe_weight(&p, filters)
    describe_output(&p, grad)
    for axis in range(AXES):
        p.stretch[axis] = p.stride[axis]
        p.stride[axis] = 1
        p.pad[axis] = p.dilation[axis] * (p.kernel[axis] - 1) - p.pad[axis]
    if grad.size == 0:
        return OK
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef const real* x_data = &grad_output[0, 0, 0, 0, 0] if grad_output.size else NULL
    cdef const real* w_data = &filters[0, 0, 0, 0, 0, 0] if filters.size else NULL
    with nogil:
        status = correlate(&p, x_data, w_data, bias_data, &grad[0, 0, 0, 0, 0], num_threads)
    return status


def grad_weight(const real[:, :, :, :, :] x, const real[:, :, :, :, :] grad_output,
                real[:, :, :, :, :, :] grad, tuple stride, tuple dilation, tuple pad,
                int num_threads):
    """grad (G, O, I, *kernel) = sum over batch and positions of grad_output and x's windows."""
    cdef conv_t p
    cdef int status
    describe_sizes(&p, stride, dilation, pad)
    describe_input(&p, x)
    describe_weight(&p, grad)
    describe_output(&p, grad_output)
    if grad.size == 0:
        return OK
    cdef const real* x_data = &x[0, 0, 0, 0, 0] if x.size else NULL
    cdef const real* g_data = &grad_output[0, 0, 0, 0, 0] if grad_output.size else NULL
    with nogil:
        status = accumulate_weight(&p, x_data, g_data, &grad[0, 0, 0, 0, 0, 0], num_threads)
    return status
