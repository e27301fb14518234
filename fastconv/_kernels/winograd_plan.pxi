# How Winograd's convolution goes about a problem: tiles, runs of tiles, and blocks of runs.
#
# An image is cut into tiles of `outputs` cells along each axis.  A run is some neighbours of a row
# of tiles, so that they share what they read, and a task takes a block of runs, of several images
# where these are small.
#
# Where the window moves by a stride s, every s-th cell of the input along each axis, from a first
# one on, is a phase of it, which meets every s-th tap: the convolution is the sum, over all phases,
# of convolutions of stride 1, whose channels the products sum up together.  All follows from the
# problem; the number of threads only decides how many tiles a task takes.

cdef enum:
    INPUT_BYTES = 2048 * 1024   # of a task's transformed input, in L2 or L3
    PRODUCT_BYTES = 768 * 1024  # of the products that wait for their transform, in L2
    FILTER_BYTES = 512 * 1024   # of transformed filters that stay in L2
    STORING = 16                # multiply-adds in the time of storing a tile's products
    FAR_VECTOR = 16             # multiply-adds in the time of a vector from L3
    TILE_STEPS = 14             # of a vector and point in the time of its transform
    FILTER_STEPS = 24           # the same of filters
    FEW_THREADS = 2             # for which algorithms are compared
    MOST_TAPS = 256             # of a whole filter


cdef extern from *:
    """
    /* Of a task, in whole register tiles; more tiles share the loading of filters. */
    #define MOST_TILES (REGISTERS == 32 ? 56 : 48)
    """
    enum:
        MOST_TILES


cdef struct winograd_t:
    conv_t p
    idx_t points[AXES]      # along each axis: 6 or 4 of 3 taps, 5 or 3 of 2, 1 of an absent one
    idx_t outputs[AXES]     # cells of a tile
    idx_t tiles[AXES]       # of one image
    idx_t n_points          # all axes together
    idx_t n_phases          # of the input
    idx_t pixel             # in channels of a phase in whole vectors
    idx_t row               # the same of all phases
    idx_t depth             # in channels of all phases
    idx_t nv, width         # vectors and lanes in a block of out channels
    idx_t n_blocks          # such blocks in a group
    idx_t filter_point      # from point to point of a block's filters
    idx_t block_elements    # of such a block: [point][phase][in channel][width]
    idx_t run               # tiles in the longest run
    idx_t row_runs          # runs in a row of tiles
    idx_t n_runs            # in all images
    idx_t task_runs         # runs that a task takes
    idx_t task_tiles        # tiles therein at most
    idx_t n_tasks           # of one group and chunk of blocks
    idx_t chunk, n_chunks   # blocks that a task takes, and how often that goes into n_blocks
    idx_t input_point       # from point to point of the transformed input
    idx_t product_point     # from point to point of the products of a block
    idx_t group             # blocks that are multiplied together, point by point
    ahead_t* ahead          # or NULL
    bint shared             # filters are transformed once, for all tasks; else each task does


cdef struct run_of_tiles_t:
    idx_t image
    idx_t tile[AXES]        # of the first
    idx_t count             # along the last axis


cdef idx_t points_along(idx_t size, idx_t taps) noexcept nogil:
    """Of tiles of 4 outputs, unless those of 2 make fewer products of it."""
    if taps == 1:
        return 1
    return (taps + 3 if ceil_div(size, 4) * (taps + 3) <= ceil_div(size, 2) * (taps + 1)
            else taps + 1)


cdef void cut_tiles(winograd_t* self) noexcept nogil:
    cdef const conv_t* p = &self.p
    cdef idx_t taps
    cdef int axis
    self.n_points = self.n_phases = 1
    for axis in range(AXES):
        taps = p.kernel[axis] // p.stride[axis]
        self.points[axis] = points_along(p.out_size[axis], taps)
        self.outputs[axis] = self.points[axis] - taps + 1
        self.tiles[axis] = ceil_div(p.out_size[axis], self.outputs[axis])
        self.n_points *= self.points[axis]
        self.n_phases *= p.stride[axis]
    self.depth = self.n_phases * p.in_channels


cdef void find_phase(const winograd_t* self, idx_t phase, idx_t* tap) noexcept nogil:
    """The first tap of a phase along each axis."""
    cdef int axis
    for axis in range(AXES - 1, -1, -1):
        tap[axis] = phase % self.p.stride[axis]
        phase //= self.p.stride[axis]


cdef idx_t steps_of_phases(const winograd_t* self, idx_t phase, idx_t* steps) noexcept nogil:
    """From the steps of all taps to those of a phase; returns where its first tap is."""
    cdef idx_t tap[AXES]
    cdef idx_t at = 0
    cdef int axis
    find_phase(self, phase, tap)
    for axis in range(AXES):
        at += tap[axis] * steps[axis]
        steps[axis] *= self.p.stride[axis]
    return at


cdef inline idx_t odd_lines(idx_t elements) noexcept nogil:
    """At least so many, an odd number of cache lines: points then fall on different sets."""
    cdef idx_t line = ALIGN // <idx_t> sizeof(real)
    return (ceil_div(elements, line) | 1) * line


cdef idx_t all_tiles(const winograd_t* self) noexcept nogil:
    return self.p.batch * self.tiles[0] * self.tiles[1] * self.tiles[2]


cdef void cut_runs(winograd_t* self, idx_t tiles) noexcept nogil:
    """Runs, and how many a task takes, for at most so many tiles, or one run."""
    self.run = even(self.tiles[2], tiles)
    self.row_runs = ceil_div(self.tiles[2], self.run)
    self.n_runs = self.p.batch * self.tiles[0] * self.tiles[1] * self.row_runs
    self.task_runs = min(self.n_runs, max(<idx_t> 1, tiles // self.run))
    self.task_tiles = self.task_runs * self.run
    self.n_tasks = ceil_div(self.n_runs, self.task_runs)


cdef idx_t products_cost(idx_t tiles, idx_t nv, idx_t channels) noexcept nogil:
    """Multiply-adds in the time of one point and one block of filters."""
    cdef idx_t px = even(tiles, tallest(1, nv))
    return ceil_div(tiles, px) * (channels * tile_cost(1, px, nv) + STORING)


cdef idx_t task_cost(const winograd_t* self, idx_t blocks) noexcept nogil:
    """The same of a whole task, in multiply-adds of vectors."""
    cdef const conv_t* p = &self.p
    cdef idx_t products = products_cost(self.task_tiles, self.nv, self.depth)
    cdef idx_t elements = self.n_points * self.depth * p.out_channels
    if elements * <idx_t> sizeof(real) > FILTER_BYTES:
        # They come from L3, while sums go on.
        products = max(products + 2 * self.depth * self.nv, FAR_VECTOR * self.depth * self.nv)
    return self.n_points * (
        blocks * products
        + self.task_tiles * TILE_STEPS * (self.row // LANES + blocks * self.nv))


cdef idx_t filters_cost(const winograd_t* self) noexcept nogil:
    """The same of transforming all filters."""
    return self.p.groups * self.n_blocks * self.nv * self.depth * self.n_points * FILTER_STEPS


cdef idx_t choose_task(winograd_t* self, idx_t num_threads) noexcept nogil:
    """How many tiles a task takes, and whether blocks are shared out; returns the time of it."""
    cdef idx_t most, tiles, best_tiles = 1, best_chunks = 1, best = -1, chunks, cost, rounds
    most = min(<idx_t> MOST_TILES, max(
        tallest(1, self.nv),
        <idx_t> INPUT_BYTES // (self.n_points * self.row * <idx_t> sizeof(real))))
    for tiles in range(1, min(most, all_tiles(self)) + 1):
        cut_runs(self, tiles)
        chunks = 1
        while chunks <= self.n_blocks and chunks <= 2 * num_threads:
            rounds = ceil_div(self.n_tasks * chunks * self.p.groups, num_threads)
            cost = rounds * task_cost(self, ceil_div(self.n_blocks, chunks))
            if best < 0 or cost < best:
                best, best_tiles, best_chunks = cost, tiles, chunks
            chunks *= 2
    cut_runs(self, best_tiles)
    self.chunk = ceil_div(self.n_blocks, best_chunks)
    self.n_chunks = ceil_div(self.n_blocks, self.chunk)
    return best


cdef void choose_width(winograd_t* self) noexcept nogil:
    """Vectors in a block of out channels."""
    cdef idx_t vectors = ceil_div(self.p.out_channels, LANES), nv, cost, least = -1
    # Whatever the batch is, as filters may have been transformed for another one.
    cdef idx_t tiles = MOST_TILES // 2
    for nv in range(1, min(vectors, <idx_t> MAX_NV) + 1):
        cost = (vectors // nv) * products_cost(tiles, nv, self.depth)
        if vectors % nv:
            cost += products_cost(tiles, vectors % nv, self.depth)
        if least < 0 or cost <= least:
            least = cost
            self.nv = nv
    self.width = self.nv * LANES
    self.n_blocks = ceil_div(self.p.out_channels, self.width)


cdef idx_t winograd_plan(winograd_t* self, const conv_t* problem, idx_t num_threads) noexcept nogil:
    """Returns the time it takes, in multiply-adds of vectors on one of the threads."""
    cdef idx_t cost
    self.p = problem[0]
    cut_tiles(self)
    self.pixel = round_up(self.p.in_channels, LANES)
    self.row = self.n_phases * self.pixel
    choose_width(self)
    cost = choose_task(self, num_threads)
    self.filter_point = odd_lines(self.depth * self.width)
    self.block_elements = self.n_points * self.filter_point
    self.input_point = odd_lines(self.task_tiles * self.row)
    self.product_point = odd_lines(self.task_tiles * self.width)
    self.group = max(<idx_t> 1, min(self.chunk, <idx_t> PRODUCT_BYTES // (
        self.n_points * self.product_point * <idx_t> sizeof(real))))
    self.shared = self.n_tasks > 1
    self.ahead = NULL
    return cost


cdef inline idx_t block_width(const winograd_t* self, idx_t block) noexcept nogil:
    """Lanes of a block, the last one in whole vectors."""
    return min(self.width, round_up(self.p.out_channels - block * self.width, LANES))


cdef run_of_tiles_t find_run(const winograd_t* self, idx_t index) noexcept nogil:
    cdef run_of_tiles_t run
    cdef idx_t rest = index // self.row_runs
    run.tile[2] = index % self.row_runs * self.run
    run.count = min(self.run, self.tiles[2] - run.tile[2])
    run.tile[1] = rest % self.tiles[1]
    rest //= self.tiles[1]
    run.tile[0] = rest % self.tiles[0]
    run.image = rest // self.tiles[0]
    return run


cdef struct side_t:
    # What tiles are read from: a phase of the input, or grad_output.
    idx_t first             # cell, from the start of an image
    idx_t size[AXES]
    idx_t step[AXES]
    idx_t image, channel    # from image to image, from channel to channel
    idx_t pad[AXES]         # before the first tile
    idx_t tile[AXES]        # cells that a tile reads
    idx_t next_tile         # cells from tile to tile of a run
