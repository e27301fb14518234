# Runs of elements that are normalized together, each element with a weight and a bias of its own.
#
# x is (images, groups, elements of a run), and weight and bias are (groups, elements).  A gradient
# of these is a sum over the images: of a chunk of them in registers and in the cache, then, in
# double, of the chunks in order.

cdef enum:
    RUNS = 64           # of a task, at most
    CHUNK = 16384       # elements of some images whose gradients are summed at once
    LEAST_IMAGES = 32   # of a chunk, so that its sums are few beside it
    MOST_IMAGES = 128   # so that they are exact enough
    COLUMNS = 2048      # elements of a run that a task takes of a chunk


cdef struct runs_t:
    shape_t shape       # groups are its channels
    idx_t image         # elements
    idx_t of_chunk, chunks      # images, and how many of these
    double eps
    const real* x
    const real* g
    const real* weight
    const real* bias
    real* mean          # of every run
    real* inverse
    real* by            # what x - mean is times and plus in the gradient
    real* term
    real* of_weight     # of every chunk and element
    real* of_bias
    real* y


cdef runs_t describe_runs(const real[:, :, ::1] x, const real[::1] weight,
                          const real[:, ::1] saved, real[:, :, ::1] y) noexcept:
    cdef runs_t p
    p.shape = shape_of(x, 1)
    p.image = x.shape[1] * x.shape[2]
    p.of_chunk = max(<idx_t> LEAST_IMAGES, min(<idx_t> MOST_IMAGES, CHUNK // p.image))
    p.chunks = (x.shape[0] + p.of_chunk - 1) // p.of_chunk
    p.x, p.weight, p.y = &x[0, 0, 0], &weight[0], &y[0, 0, 0]
    p.mean, p.inverse = <real*> &saved[0, 0], <real*> &saved[1, 0]
    return p


# ------------------------------------------------------------------------------ forward

cdef void scale_run(const real* x, const real* weight, const real* bias, real mean, real inverse,
                    real* y, idx_t n) noexcept nogil:
    cdef idx_t i = 0
    while i + LANES <= n:
        (<vec*> (y + i))[0] = (
            ((<const vec*> (x + i))[0] - splat(mean)) * splat(inverse)
            * (<const vec*> (weight + i))[0] + (<const vec*> (bias + i))[0])
        i += LANES
    while i < n:
        y[i] = (x[i] - mean) * inverse * weight[i] + bias[i]
        i += 1


cdef void normalize_some(const runs_t* p, idx_t begin, idx_t end) noexcept nogil:
    """Runs begin to end: at most RUNS, so many as fit the cache."""
    cdef idx_t n = p.shape.inner, group, i
    cdef double mean[RUNS]
    cdef double squares[RUNS]
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    for i in range(end - begin):
        plane_moments(&p.shape, p.x + (begin + i) * n, mean + i, squares + i)
    set_float_mode(KEEP_DENORMALS)
    for i in range(end - begin):
        p.mean[begin + i] = <real> mean[i]
        p.inverse[begin + i] = <real> (1 / sqrt(squares[i] / <double> n + p.eps))
    set_float_mode(FLUSH_DENORMALS)
    for i in range(begin, end):
        group = i % p.shape.channels
        scale_run(p.x + i * n, p.weight + group * n, p.bias + group * n, p.mean[i], p.inverse[i],
                  p.y + i * n, n)
    set_float_mode(mode)


# ------------------------------------------------------------------------------ backward

cdef void weighted_products(const real* g, const real* x, const real* weight, real mean, idx_t n,
                            double* sums, double* products) noexcept nogil:
    """The sums of g weight and of g weight (x - mean) over at most UNIT elements are added."""
    cdef vec total[2]
    cdef vec crossed[2]
    cdef vec each
    cdef real rest = 0, rest_crossed = 0, value
    cdef idx_t i = 0
    cdef int k
    for k in range(2):
        total[k] = crossed[k] = splat(0)
    while i + 2 * LANES <= n:
        for k in range(2):
            each = (<const vec*> (g + i))[0] * (<const vec*> (weight + i))[0]
            total[k] = total[k] + each
            crossed[k] = crossed[k] + each * ((<const vec*> (x + i))[0] - splat(mean))
            i += LANES
    while i < n:
        value = g[i] * weight[i]
        rest = rest + value
        rest_crossed = rest_crossed + value * (x[i] - mean)
        i += 1
    sums[0] = sums[0] + (rest + sum_lanes(total[0] + total[1]))
    products[0] = products[0] + (rest_crossed + sum_lanes(crossed[0] + crossed[1]))


cdef void find_run(const runs_t* p, idx_t run) noexcept nogil:
    """What x - mean is times and plus: what a change of one value does to mean and variance."""
    cdef idx_t n = p.shape.inner, at = 0, first = run % p.shape.channels * n
    cdef double total = 0, crossed = 0, wide = p.inverse[run]
    while at < n:
        weighted_products(p.g + run * n + at, p.x + run * n + at, p.weight + first + at,
                          p.mean[run], min(<idx_t> UNIT, n - at), &total, &crossed)
        at += UNIT
    p.by[run] = <real> (-wide * wide * wide * (crossed / n))
    p.term[run] = <real> (-wide * (total / n))


cdef inline void grad_images(int IMAGES, const runs_t* p, idx_t image, idx_t group, idx_t begin,
                             idx_t end, real* of_weight, real* of_bias) noexcept nogil:
    """The gradient by elements begin to end of a group's runs; those of weight and bias are added.

    IMAGES: 1 or 2, whose sums visit the cache once.
    """
    cdef vec mean[2]
    cdef vec inverse[2]
    cdef vec by[2]
    cdef vec term[2]
    cdef vec weight, weights, biases, each, apart
    cdef real one, rest
    cdef idx_t run = image * p.shape.channels + group, step = p.image, at, i = begin
    cdef const real* g = p.g + run * p.shape.inner
    cdef const real* x = p.x + run * p.shape.inner
    cdef const real* w = p.weight + group * p.shape.inner
    cdef real* y = p.y + run * p.shape.inner
    cdef int k
    for k in range(IMAGES):
        at = run + k * p.shape.channels
        mean[k], inverse[k] = splat(p.mean[at]), splat(p.inverse[at])
        by[k], term[k] = splat(p.by[at]), splat(p.term[at])
    while i + LANES <= end:
        weight = (<const vec*> (w + i))[0]
        weights, biases = (<vec*> (of_weight + i))[0], (<vec*> (of_bias + i))[0]
        for k in range(IMAGES):
            each = (<const vec*> (g + k * step + i))[0]
            apart = (<const vec*> (x + k * step + i))[0] - mean[k]
            biases = biases + each
            each = each * inverse[k]
            weights = weights + each * apart
            (<vec*> (y + k * step + i))[0] = each * weight + (apart * by[k] + term[k])
        (<vec*> (of_weight + i))[0], (<vec*> (of_bias + i))[0] = weights, biases
        i += LANES
    while i < end:
        for k in range(IMAGES):
            at = run + k * p.shape.channels
            rest = x[k * step + i] - p.mean[at]
            one = g[k * step + i]
            of_bias[i] = of_bias[i] + one
            one = one * p.inverse[at]
            of_weight[i] = of_weight[i] + one * rest
            y[k * step + i] = one * w[i] + (rest * p.by[at] + p.term[at])
        i += 1


cdef void grad_columns(const runs_t* p, idx_t chunk, idx_t group, idx_t begin,
                       idx_t end) noexcept nogil:
    """The same of all images of a chunk, and its sums."""
    cdef idx_t image = chunk * p.of_chunk, last = min(p.shape.outer, image + p.of_chunk), i
    cdef real* of_weight = p.of_weight + chunk * p.image + group * p.shape.inner
    cdef real* of_bias = p.of_bias + chunk * p.image + group * p.shape.inner
    for i in range(begin, end):
        of_weight[i] = of_bias[i] = 0
    while image + 2 <= last:
        grad_images(2, p, image, group, begin, end, of_weight, of_bias)
        image += 2
    if image < last:
        grad_images(1, p, image, group, begin, end, of_weight, of_bias)


cdef void grad_chunk(const runs_t* p, idx_t chunk) noexcept nogil:
    """All of the gradients of some images."""
    cdef idx_t begin = chunk * p.of_chunk, end = min(p.shape.outer, begin + p.of_chunk), run, group
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    for run in range(begin * p.shape.channels, end * p.shape.channels):
        find_run(p, run)
    for group in range(p.shape.channels):
        grad_columns(p, chunk, group, 0, p.shape.inner)
    set_float_mode(mode)


cdef void grad_chunks(const runs_t* p, int num_threads) noexcept nogil:
    """All chunks: one by one where each fits the cache and threads are busy, or pass by pass."""
    cdef idx_t of_run = (p.shape.inner + COLUMNS - 1) // COLUMNS, tasks, task, begin
    cdef unsigned mode
    if p.image <= COLUMNS and (num_threads == 1 or p.chunks >= SHARES * num_threads):
        for task in prange(p.chunks, num_threads=num_threads, schedule="static"):
            grad_chunk(p, task)
        return
    for task in prange(p.shape.outer * p.shape.channels, num_threads=num_threads,
                       schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        find_run(p, task)
        set_float_mode(mode)
    tasks = p.chunks * p.shape.channels * of_run
    for task in prange(tasks, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(FLUSH_DENORMALS)
        begin = task % of_run * COLUMNS
        grad_columns(p, task // (of_run * p.shape.channels), task // of_run % p.shape.channels,
                     begin, min(p.shape.inner, begin + COLUMNS))
        set_float_mode(mode)


cdef void put_chunks_together(const runs_t* p, const real* sums, idx_t of_channel, idx_t begin,
                              idx_t end, real* grad) noexcept nogil:
    """Channels begin to end, each of so many elements that lie side by side."""
    cdef unsigned mode = set_float_mode(FLUSH_DENORMALS)
    cdef double total
    cdef idx_t c, chunk, i
    for c in range(begin, end):
        total = 0
        for chunk in range(p.chunks):
            for i in range(c * of_channel, (c + 1) * of_channel):
                total = total + sums[chunk * p.image + i]
        grad[c] = <real> total
    set_float_mode(mode)


# ------------------------------------------------------------------------------ the two calls

def normalize_runs(const real[:, :, ::1] x, const real[::1] weight, const real[::1] bias,
                   double eps, real[:, :, ::1] y, real[:, ::1] saved, int num_threads):
    """y = (x - mean) / sqrt(variance + eps) weight + bias, by the last axis of x, not empty.

    weight, bias: those of every element of an image.  saved: (2, runs), gets mean and
    1 / sqrt(variance + eps).
    """
    cdef runs_t p = describe_runs(x, weight, saved, y)
    cdef idx_t runs = x.shape[0] * x.shape[1], i
    cdef idx_t step = max(<idx_t> 1, min(<idx_t> RUNS, UNIT // p.shape.inner))
    p.bias, p.eps = &bias[0], eps
    for i in prange((runs + step - 1) // step, nogil=True, num_threads=num_threads,
                    schedule="static"):
        normalize_some(&p, i * step, min(runs, (i + 1) * step))


def normalize_runs_backward(const real[:, :, ::1] g, const real[:, :, ::1] x,
                            const real[::1] weight, const real[:, ::1] saved,
                            real[:, :, ::1] grad, real[:, ::1] of_affine, int num_threads):
    """The gradient of x, g being that of y, and in `of_affine` of weight and bias.

    saved: what `normalize_runs` found.  of_affine: (2, channels), each of which is as many elements
    of an image.  Returns OK or NO_MEMORY.
    """
    cdef runs_t p = describe_runs(x, weight, saved, grad)
    cdef idx_t runs = x.shape[0] * x.shape[1], channels = of_affine.shape[1], step, i
    cdef real* of_weight = &of_affine[0, 0]
    cdef real* of_bias = &of_affine[1, 0]
    p.g = &g[0, 0, 0]
    p.by = <real*> malloc(2 * (runs + p.chunks * p.image) * sizeof(real))
    if p.by == NULL:
        return NO_MEMORY
    p.term = p.by + runs
    p.of_weight = p.term + runs
    p.of_bias = p.of_weight + p.chunks * p.image
    step = max(<idx_t> 1, COLUMNS // (p.image // channels))
    with nogil:
        grad_chunks(&p, num_threads)
        for i in prange((channels + step - 1) // step, num_threads=num_threads,
                        schedule="static"):
            put_chunks_together(&p, p.of_weight, p.image // channels, i * step,
                                min(channels, (i + 1) * step), of_weight)
            put_chunks_together(&p, p.of_bias, p.image // channels, i * step,
                                min(channels, (i + 1) * step), of_bias)
    free(p.by)
    return OK
