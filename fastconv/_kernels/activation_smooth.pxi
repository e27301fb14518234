# Activations made of exponentials: the value y = f(x), or the gradient y = g f'(x).

cdef extern from *:
    """
    #define HALF ((real)0.5)
    #define ROOT_HALF ((real)0.70710678118654752440)
    /* 1 / sqrt(2 pi), the normal density at 0. */
    #define DENSITY_0 ((real)0.39894228040143267794)
    /* Of GELU's approximation by tanh(CUBIC_A (x + CUBIC_B x^3)): twice sqrt(2 / pi). */
    #define TWICE_CUBIC_A ((real)1.59576912160573071176)
    #define CUBIC_B ((real)0.044715)
    """
    real HALF, ROOT_HALF, DENSITY_0, TWICE_CUBIC_A, CUBIC_B

cdef enum:
    FAR = 40    # where the normal density is 0 even in float64, and cubes are far from overflow

cdef enum smooth_t:
    TANH
    SIGMOID
    SILU
    SOFTPLUS
    GELU
    GELU_TANH
    # The gradients alone, x being what came out.
    OF_TANH
    OF_SIGMOID

KINDS = {
    "tanh": <int> TANH,
    "sigmoid": <int> SIGMOID,
    "silu": <int> SILU,
    "softplus": <int> SOFTPLUS,
    "gelu": <int> GELU,
    "gelu_tanh": <int> GELU_TANH,
    "of_tanh": <int> OF_TANH,
    "of_sigmoid": <int> OF_SIGMOID,
}


cdef struct smooth_pass_t:
    const real* x
    const real* g           # or NULL
    real beta, threshold    # of softplus
    real* y


cdef inline vec near_size(vec x) noexcept nogil:
    """|x|, or FAR."""
    cdef vec size = size_of(x)
    return choose(below(splat(FAR), size), splat(FAR), size)


cdef inline vec tanh_at(vec x) noexcept nogil:
    cdef vec e = expm1_negative(size_of(x) * splat(-2))
    return signed_as((splat(0) - e) / (e + splat(2)), x)


cdef inline vec normal_at(vec x, vec size, vec* density) noexcept nogil:
    """The normal distribution function, erfc(-x / sqrt 2) / 2, and its derivative."""
    cdef vec power = exp_negative(size * size * (-HALF))
    cdef vec tail = power * HALF * scaled_erfc(size * ROOT_HALF)
    density[0] = power * DENSITY_0
    return choose(below(x, splat(0)), tail, splat(1) - tail)


cdef inline vec cubic_at(vec near) noexcept nogil:
    """Its sigmoid is GELU's approximation of that: (1 + tanh(u)) / 2 is the sigmoid of 2 u."""
    return near * TWICE_CUBIC_A * (near * near * CUBIC_B + splat(1))


cdef inline vec value_at(smooth_t KIND, const smooth_pass_t* p, vec x) noexcept nogil:
    cdef vec rest, scaled, near
    if KIND == TANH:
        return tanh_at(x)
    if KIND == SIGMOID:
        return sigmoid(x, &rest)
    if KIND == SILU:
        return x * sigmoid(x, &rest)
    if KIND == SOFTPLUS:
        scaled = x * p.beta
        return choose(below(splat(p.threshold), scaled), x, log1p_exp(scaled) / splat(p.beta))
    near = near_size(x)
    if KIND == GELU:
        return x * normal_at(x, near, &rest)
    return x * sigmoid(cubic_at(signed_as(near, x)), &rest)


cdef inline vec slope_at(smooth_t KIND, const smooth_pass_t* p, vec x) noexcept nogil:
    cdef vec value, rest, near
    if KIND == TANH or KIND == OF_TANH:
        value = tanh_at(x) if KIND == TANH else x
        return (splat(1) - value) * (splat(1) + value)
    if KIND == OF_SIGMOID:
        return x * (splat(1) - x)
    if KIND == SIGMOID:
        value = sigmoid(x, &rest)
        return value * rest
    if KIND == SILU:
        value = sigmoid(x, &rest)
        return value * (x * rest + splat(1))
    if KIND == SOFTPLUS:
        value = x * p.beta
        return choose(below(splat(p.threshold), value), splat(1), sigmoid(value, &rest))
    near = near_size(x)
    if KIND == GELU:
        value = normal_at(x, near, &rest)
        return value + signed_as(near * rest, x)
    near = signed_as(near, x)
    value = sigmoid(cubic_at(near), &rest)
    return value + (near * value * rest * TWICE_CUBIC_A
                    * (near * near * CUBIC_B * splat(3) + splat(1)))


cdef inline void smooth_vector(smooth_t KIND, bint BACK, const smooth_pass_t* p, idx_t i,
                               idx_t count) noexcept nogil:
    cdef vec x = take(p.x + i, count)
    if BACK:
        give(p.y + i, count, take(p.g + i, count) * slope_at(KIND, p, x))
    else:
        give(p.y + i, count, value_at(KIND, p, x))


cdef inline void smooth_chunk(smooth_t KIND, bint BACK, const smooth_pass_t* p, idx_t i,
                              idx_t end) noexcept nogil:
    while i + LANES <= end:
        smooth_vector(KIND, BACK, p, i, LANES)
        i += LANES
    if i < end:
        smooth_vector(KIND, BACK, p, i, end - i)


cdef inline void smooth_either(smooth_t KIND, const smooth_pass_t* p, idx_t begin,
                               idx_t end) noexcept nogil:
    if p.g == NULL:
        smooth_chunk(KIND, False, p, begin, end)
    else:
        smooth_chunk(KIND, True, p, begin, end)


cdef void smooth_task(smooth_t kind, const smooth_pass_t* p, idx_t begin, idx_t end) noexcept nogil:
    if kind == TANH:
        smooth_either(TANH, p, begin, end)
    elif kind == SIGMOID:
        smooth_either(SIGMOID, p, begin, end)
    elif kind == SILU:
        smooth_either(SILU, p, begin, end)
    elif kind == SOFTPLUS:
        smooth_either(SOFTPLUS, p, begin, end)
    elif kind == GELU:
        smooth_either(GELU, p, begin, end)
    elif kind == GELU_TANH:
        smooth_either(GELU_TANH, p, begin, end)
    elif kind == OF_TANH:
        smooth_chunk(OF_TANH, True, p, begin, end)
    else:
        smooth_chunk(OF_SIGMOID, True, p, begin, end)


def smooth(str kind, const real[::1] x, const real[::1] g, real[::1] y, double beta,
           double threshold, int num_threads):
    """y = f(x) or, with g, g f'(x), f being the one of KINDS; beta and threshold: of softplus."""
    cdef idx_t size = y.shape[0], i
    cdef int which = KINDS[kind]
    cdef smooth_pass_t p
    cdef unsigned mode
    if size == 0:
        return
    p.x, p.y, p.beta, p.threshold = &x[0], &y[0], <real> beta, <real> threshold
    p.g = &g[0] if g is not None else NULL
    for i in prange((size + CHUNK - 1) // CHUNK, nogil=True, num_threads=num_threads,
                    schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        smooth_task(<smooth_t> which, &p, i * CHUNK, min(size, (i + 1) * CHUNK))
        set_float_mode(mode)
