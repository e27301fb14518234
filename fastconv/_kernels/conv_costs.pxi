# What tiles cost: multiply-adds in the time that they take, by which the planners compare.

cdef enum:
    FEW_SUMS = 8            # of a tile: multiply-adds in the time that one takes
    INNER_LOOP = 8          # multiply-adds in the time of beginning one
    STORING_STACK = 4       # multiply-adds in the time of storing a vector of a stack of rows


cdef idx_t column_cost(chains_t chains, idx_t steps, idx_t rows, idx_t px,
                       idx_t nv) noexcept nogil:
    """Multiply-adds in the time of `rows` by nv vectors in tiles of px rows; steps for each tap."""
    return ceil_div(rows, px) * (TILE_CALL + steps * (
        chains.many * tile_cost(chains.length, px, nv) + chains.lone * tile_cost(1, px, nv)))


cdef idx_t tiles_cost(idx_t steps, idx_t rows, idx_t vectors, idx_t nv) noexcept nogil:
    """The same of so many vectors, nv at a time, without chains."""
    cdef idx_t px = even(rows, tallest(1, nv))
    cdef chains_t chains
    chains.length = chains.many = 1
    chains.lone = 0
    return (vectors // nv * column_cost(chains, steps, rows, px, nv)
            + (column_cost(chains, steps, rows, px, vectors % nv) if vectors % nv else 0))


cdef idx_t best_width(idx_t steps, idx_t rows, idx_t vectors, idx_t most) noexcept nogil:
    """Vectors across the tile that make `rows` by `vectors` cheapest; two if all else is equal."""
    cdef idx_t nv, cost, best = min(<idx_t> 2, min(vectors, most))
    cdef idx_t least = tiles_cost(steps, rows, vectors, best)
    for nv in range(1, min(vectors, most) + 1):
        cost = tiles_cost(steps, rows, vectors, nv)
        if cost < least:
            best, least = nv, cost
    return best


cdef idx_t best_stack(idx_t steps, idx_t filters, idx_t vectors, idx_t nv, idx_t rows,
                      idx_t* least) noexcept nogil:
    """Rows of output whose vectors a tile had better take at once, if that costs less than `least`.

    One, unless a tile nv wide has too few sums to hide how long one takes.
    """
    cdef idx_t n, cost, best = 1
    if filters * nv >= FEW_SUMS:
        return best
    for n in range(2, min(rows, <idx_t> MAX_NV) + 1):
        if filters > min(<idx_t> STACK_PX, tallest(1, n)):
            break
        # What a tile stores goes through a buffer.
        cost = TILE_CALL + steps * max(filters * n + 2, <idx_t> FEW_SUMS)
        cost = vectors * (cost + STORING_STACK * filters * n) // n
        if cost < least[0]:
            best, least[0] = n, cost
    return best


cdef inline idx_t tap_rows(const correlate_t* self) noexcept nogil:
    """Rows of taps in a phase of the first axes."""
    cdef const axis_t* axis = &self.window.axis[0]
    return max(<idx_t> 1, axis[0].n_taps * axis[1].n_taps // (axis[0].n_phases * axis[1].n_phases))


cdef idx_t positions_cost(const correlate_t* self, const chains_t* chains, idx_t steps, idx_t count,
                          idx_t nv) noexcept nogil:
    """The same of positions of a row that share cells."""
    cdef const axis_t* axis = &self.window.axis[2]
    cdef idx_t px = even(count, tallest(chains.length, nv)), low, high
    cdef idx_t alone = chains.lone + (chains.many if chains.length == 1 else 0)
    cdef idx_t cost = column_cost(chains[0], steps, count, px, nv)
    cdef idx_t loops = chains.many + chains.lone
    if chains.length == 1 and self.p.in_channels < LANES and taps_in_line(self):
        loops = 1
    if REGISTERS == 32:
        # Elsewhere tiles are smaller, and plans without this term measured faster.
        cost += ceil_div(count, px) * tap_rows(self) * loops * INNER_LOOP
    if nv == 1:
        # An address is to be found for each multiply-add.
        cost += ceil_div(count, px) * steps * alone * px // 2
    if px == count:
        low = cells_low(axis, chains, 0)
        high = cells_high(axis, chains, self.p.in_size[2], count - 1)
        if leaves_out(chains.length, low, high, px, nv):
            cost -= steps * nv * (low * (low + 1) + high * (high + 1)) // 2
    return cost


cdef idx_t row_cost(const correlate_t* self, const chains_t* chains, idx_t steps, idx_t count,
                    idx_t nv) noexcept nogil:
    """The same, but for taps in padding that are left out where there are no chains."""
    cdef idx_t cost
    if chains.length > 1 or not reads_padding(self):
        return positions_cost(self, chains, steps, count, nv)
    join_runs(self, nv, False, NULL, &cost)
    return cost


cdef idx_t best_chains(const correlate_t* self, idx_t phase, idx_t nv,
                       chains_t* best) noexcept nogil:
    """The chains that make the columns of a phase cheapest in tiles nv wide; returns the cost."""
    cdef const axis_t* axis = &self.window.axis[2]
    cdef idx_t columns = phase_count(&self.p, 2, phase), length, cost, least = -1, some
    cdef idx_t vectors = ceil_div(self.p.out_channels, LANES)
    cdef idx_t blocks = vectors // nv, rest = vectors % nv
    cdef idx_t steps = tap_rows(self) * self.p.in_channels
    cdef chains_t chains
    if self.few and self.p.groups == 1:
        # Tasks share out the blocks: the thread that has most of them counts for all.
        blocks, rest = round_up(ceil_div(vectors, nv), FEW_THREADS), 0
    for length in range(1, MAX_CHAIN + 1):
        if length > 1 and (self.p.in_channels == 1 or nv > widest(length)
                           or tallest(length, nv) < 1):
            continue
        chains = find_chains(axis, phase, length, NULL)
        if length > 1 and chains.many == 0:
            continue
        some = ceil_div(columns, chains.apart)
        cost = blocks * row_cost(self, &chains, steps, some, nv)
        if rest:
            cost += row_cost(self, &chains, steps, some, rest)
        if self.few:
            cost += blocks * steps * some // 4  # each block reads the input again
        cost *= chains.apart
        if least < 0 or cost < least:
            least = cost
            best[0] = chains
    return least


cdef idx_t channel_cost(const correlate_t* self, idx_t* width) noexcept nogil:
    """Of one row of output by channel lanes, all its column phases together; finds the width."""
    cdef idx_t vectors = ceil_div(self.p.out_channels, LANES), nv, f, cost, least = -1
    cdef chains_t chains
    for nv in range(1, min(vectors, <idx_t> MAX_NV) + 1):
        cost = 0
        for f in range(self.window.axis[2].n_phases):
            cost += best_chains(self, f, nv, &chains)
        if least < 0 or cost < least or (cost == least and nv == 2):
            least, width[0] = cost, nv
    return least
