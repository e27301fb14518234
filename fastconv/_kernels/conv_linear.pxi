# A linear layer is a convolution of one tap, whose positions are the rows of a matrix.
#
# To a few rows each weight is worth a few multiply-adds, and to pack it would take longer: filters
# stay as they lie, and their inner products with the rows are those of conv_dot.pxi.

cdef enum:
    FEW_ROWS = 8


cdef conv_t describe_linear(const real[:, :] x, const real[:, :] w, const real[:, :] y):
    """The problem of y (N, O) from x (N, I) and w (O, I)."""
    cdef conv_t p
    cdef int axis
    cdef idx_t size = sizeof(real)
    memset(&p, 0, sizeof(conv_t))
    p.batch = p.groups = 1
    p.out_channels, p.in_channels = w.shape[0], w.shape[1]
    for axis in range(AXES):
        p.in_size[axis] = p.out_size[axis] = p.kernel[axis] = 1
        p.stride[axis] = p.stretch[axis] = p.dilation[axis] = 1
    p.in_size[AXES - 1], p.in_step[AXES - 1] = x.shape[0], x.strides[0] // size
    p.out_size[AXES - 1], p.out_step[AXES - 1] = y.shape[0], y.strides[0] // size
    p.in_channel, p.out_channel = x.strides[1] // size, y.strides[1] // size
    p.w_out, p.w_in = w.strides[0] // size, w.strides[1] // size
    p.slope = 1
    p.gate_channel, p.gate_step = p.out_channel, p.out_step
    return p


cdef inline bint by_dots(const conv_t* p) noexcept nogil:
    return (p.in_size[AXES - 1] <= FEW_ROWS and p.in_channels >= LANES and p.in_channel == 1
            and p.w_in == 1)


cdef void dot_filters(const conv_t* p, idx_t first, int count, const real* x, const real* w,
                      const real* bias, real* y) noexcept nogil:
    """The outputs of some filters, as many as the tile takes of taps, for all rows."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef real sums[FEW_ROWS * MAX_PT]
    cdef idx_t filters[MAX_PT]
    cdef idx_t rows = p.in_size[AXES - 1], row = 0, many, some, whole, zero = 0, i, t, c
    cdef const real* at
    cdef const real* filter
    cdef dot_t s
    cdef real value
    whole = p.in_channels // LANES * LANES
    s.rows, s.columns, s.x_off, s.g_row = 1, whole, &zero, 0
    s.tap_off, s.g_channel, s.sum_tap = filters, p.in_step[AXES - 1], FEW_ROWS
    w = w + first * p.w_out
    for t in range(count):
        filters[t] = t * p.w_out
    clear(sums, FEW_ROWS * MAX_PT)
    while row < rows:
        many, t = dot_channels(rows - row), 0
        while t < count:
            some = min(most_taps(many), count - t)
            run_dot(<int> many, <int> some, &s, w + t * p.w_out, x + row * s.g_channel,
                    sums + t * FEW_ROWS + row)
            t += some
        row += many
    for t in range(count):
        filter = w + filters[t]
        for i in range(rows):
            at = x + i * s.g_channel
            value = sums[t * FEW_ROWS + i]
            for c in range(whole, p.in_channels):
                value = value + at[c] * filter[c]
            if bias != NULL:
                value = value + bias[first + t]
            y[i * p.out_step[AXES - 1] + (first + t) * p.out_channel] = (
                value if not value < 0 else 0 if p.slope == 0 else p.slope * value)
    set_float_mode(mode)


cdef void linear_dots(const conv_t* p, const real* x, const real* w, const real* bias, real* y,
                      int num_threads) noexcept nogil:
    cdef idx_t most = most_taps(1), i
    for i in prange(ceil_div(p.out_channels, most), num_threads=num_threads, schedule="static"):
        dot_filters(p, i * most, <int> min(most, p.out_channels - i * most), x, w, bias, y)


def linear(const real[:, :] x, const real[:, :] w, const real[::1] bias, real[:, :] y,
           double slope, int num_threads):
    """y (N, O) = bias + x (N, I) times the transpose of w (O, I), negative ones times `slope`."""
    cdef conv_t p = describe_linear(x, w, y)
    cdef const real* bias_data = &bias[0] if bias is not None else NULL
    cdef const real* x_data
    cdef const real* w_data
    cdef real* y_data
    cdef int status
    if not y.size:
        return OK
    p.slope = <real> slope
    x_data, w_data, y_data = &x[0, 0], &w[0, 0], &y[0, 0]
    with nogil:
        if by_dots(&p):
            linear_dots(&p, x_data, w_data, bias_data, y_data, num_threads)
            status = OK
        else:
            status = correlate(&p, x_data, w_data, bias_data, y_data, num_threads)
    return status


def linear_backward(const real[:, :] x, const real[:, :] grad_output, const real[:, :] w,
                    real[:, :] grad_input, real[:, :] grad, real[::1] grad_bias, double slope,
                    int num_threads):
    """The gradients of `linear`, each or None, of at least one row.

    `slope`: that of an activation whose output x is; grad_input is by what went into that.
    """
    cdef conv_t p = describe_linear(x, w, grad_output), back = p
    cdef const real* x_data = &x[0, 0]
    cdef const real* g_data = &grad_output[0, 0]
    cdef const real* w_data = &w[0, 0]
    cdef real* input_data = NULL
    cdef real* grad_data = &grad[0, 0] if grad is not None else NULL
    cdef real* bias_data = &grad_bias[0] if grad_bias is not None else NULL
    cdef int status = OK
    if grad is not None:
        p.w_out, p.w_in = grad.strides[0] // <idx_t> sizeof(real), 1
    if grad_input is not None:
        input_data = &grad_input[0, 0]
        back = describe_linear(grad_output, w.T, grad_input)
        if slope != 1:
            back.gate, back.slope = x_data, <real> slope
            back.gate_channel, back.gate_step = p.in_channel, p.in_step
    with nogil:
        if input_data != NULL:
            status = correlate(&back, g_data, w_data, NULL, input_data, num_threads)
        if status == OK and (grad_data != NULL or bias_data != NULL):
            status = accumulate_weight(&p, x_data, g_data, grad_data, bias_data, num_threads)
    return status
