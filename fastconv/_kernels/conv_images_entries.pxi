# The calls of conv_images.pxi, the same of the direct kernels and of Winograd's: of these with a
# dilation of 1 and a stride of 1.

def forward_max_tiles(const real[:, :, :, :, :] x, const real[:, :, :, :, :, :] w,
                      const real[::1] bias, real[:, :, :, :, :] between,
                      real[:, :, :, :, ::1] y, uint8_t[:, :, :, :, ::1] codes, bint pixels,
                      bint turned, double slope, tuple stride, tuple dilation, tuple pad,
                      tuple kernel, int num_threads):
    """`forward` and then `max_tiles` of the pools, of a kernel that tiles what lies between.

    `between`: images // num_threads images for each thread, a divisor of the batch.  It and `codes`
    hold `pixels` or else planes; so does y, unless it is `turned`.
    """
    cdef conv_t p = describe(x, w, between, stride, dilation, pad)
    cdef images_forward_t task
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef int status
    p.slope = <real> slope
    task.is_normed = False
    task.pooled = describe_pooled(between, y, codes, kernel, pixels, turned)
    task.images = between.shape[0] // num_threads
    task.y, task.image_step = &between[0, 0, 0, 0, 0], 0
    task.thread_step = between.size // between.shape[0] * task.images
    with nogil:
        status = images_forward(&task, &p, &x[0, 0, 0, 0, 0], &w[0, 0, 0, 0, 0, 0], bias_data,
                                num_threads)
    return status


def forward_moments(const real[:, :, :, :, :] x, const real[:, :, :, :, :, :] w,
                    const real[::1] bias, real[:, :, :, :, :] y, const real[:, :, ::1] planes,
                    double[::1] mean, double[::1] variance, idx_t images, tuple stride,
                    tuple dilation, tuple pad, int num_threads):
    """`forward` and then `moments` of the normalizations, of its output.

    `planes` are y as that takes it; `images`, a divisor of the batch, are convolved together.
    """
    cdef conv_t p = describe(x, w, y, stride, dilation, pad)
    cdef images_forward_t task
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef int status
    task.images, task.is_normed = images, True
    task.units = shape_of(planes, p.batch)
    task.y, task.thread_step, task.image_step = &y[0, 0, 0, 0, 0], 0, p.out_batch
    task.means = <double*> malloc(2 * task.units.units * task.units.channels * sizeof(double))
    task.squares = task.means + task.units.units * task.units.channels
    if task.means == NULL:
        return NO_MEMORY
    with nogil:
        status = images_forward(&task, &p, &x[0, 0, 0, 0, 0], &w[0, 0, 0, 0, 0, 0], bias_data,
                                num_threads)
        if status == OK:
            put_together(&task.units, task.means, task.squares, &mean[0], &variance[0])
    free(task.means)
    return status


cdef int run_images_backward(images_backward_t* task, const real[:, :, :, :, :] x,
                             const real[:, :, :, :, :, :] filters,
                             real[:, :, :, :, :] between, real[:, :, :, :, :] grad_input,
                             real[:, :, :, :, :, :] grad, real[::1] grad_bias,
                             const real[:, :, :, :, :] gate, const real[:, :, :, :, :] plus,
                             double slope, tuple stride, tuple dilation, tuple pad,
                             bint bias_alone, int num_threads):
    """`between`: images // num_threads images for each thread, a divisor of the batch."""
    cdef conv_t p = describe(x, grad, between, stride, dilation, pad), back = p
    cdef const real* filters_data = NULL
    cdef real* input_data = NULL
    cdef real* grad_data = NULL if bias_alone else &grad[0, 0, 0, 0, 0, 0]
    cdef real* bias_data = &grad_bias[0] if grad_bias is not None else NULL
    cdef int status
    task.images = between.shape[0] // num_threads
    task.between = between.size // between.shape[0] * task.images
    if grad_input is not None:
        filters_data, input_data = &filters[0, 0, 0, 0, 0, 0], &grad_input[0, 0, 0, 0, 0]
        back = describe(between, filters, grad_input, stride, dilation, pad)
        stretch_input(&back)
        describe_store(&back, gate, None, plus, slope)
    with nogil:
        status = images_backward(task, &p, &back, &x[0, 0, 0, 0, 0], filters_data, input_data,
                                 grad_data, bias_data, &between[0, 0, 0, 0, 0], num_threads)
    return status


def backward_max_tiles(real[:, :, :, :, ::1] grad_output, const uint8_t[:, :, :, :, ::1] codes,
                       bint pixels, bint turned, tuple kernel, const real[:, :, :, :, :] x,
                       const real[:, :, :, :, :, :] filters, real[:, :, :, :, :] between,
                       real[:, :, :, :, :] grad_input, real[:, :, :, :, :, :] grad,
                       real[::1] grad_bias, const real[:, :, :, :, :] gate,
                       const real[:, :, :, :, :] plus, double slope, tuple stride, tuple dilation,
                       tuple pad, bint bias_alone, int num_threads):
    """The gradients of `forward_max_tiles`: grad_input, grad and grad_bias, each or None.

    `filters` are regrouped, as for `grad_input`; None where that is.  With `bias_alone`, grad lends
    its shape only.  `gate`, `plus` and `slope`: as for `grad_input`.
    """
    cdef images_backward_t task
    task.is_normed = False
    task.pooled = describe_pooled(between, grad_output, codes, kernel, pixels, turned)
    return run_images_backward(&task, x, filters, between, grad_input, grad, grad_bias, gate, plus,
                               slope, stride, dilation, pad, bias_alone, num_threads)


def backward_scaled(const real[:, :, ::1] grad_output, const real[:, :, ::1] output,
                    const real[::1] mean, const real[::1] by, const real[::1] of_g,
                    const real[::1] term, const real[:, :, :, :, :] x,
                    const real[:, :, :, :, :, :] filters, real[:, :, :, :, :] between,
                    real[:, :, :, :, :] grad_input, real[:, :, :, :, :, :] grad,
                    real[::1] grad_bias, const real[:, :, :, :, :] gate,
                    const real[:, :, :, :, :] plus, double slope, tuple stride, tuple dilation,
                    tuple pad, bint bias_alone, int num_threads):
    """The same for grad_output of_g + (output - mean) by + term in place of the pool's gradient.

    That is what `scale` of the normalizations has, of arrays in the memory order of `between`.
    """
    cdef images_backward_t task
    task.is_normed = True
    task.normed = describe_scale(output, grad_output, mean, by, of_g, term, GRADIENT)
    return run_images_backward(&task, x, filters, between, grad_input, grad, grad_bias, gate, plus,
                               slope, stride, dilation, pad, bias_alone, num_threads)
