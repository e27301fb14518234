# Chains: taps of a row that read neighbouring positions, which a step of the tile takes as a whole.
#
# A tile of px positions meets px + length - 1 cells.  Where the first or last of these are padding,
# there is nothing to add, and a tile that knows so leaves them out.

cdef idx_t neighbour(const axis_t* self, idx_t phase, idx_t base) noexcept nogil:
    """The tap of a phase that reads this cell at position 0; -1 if none does."""
    cdef idx_t t
    for t in range(self.phase[phase], self.phase[phase + 1]):
        if self.base[t] == base:
            return t
    return -1


cdef struct chains_t:
    # How the taps of one phase of an axis are taken: neighbours as chains.
    idx_t length            # of a chain, in taps
    idx_t apart             # positions from neighbour to neighbour: more than 1 under dilation
    idx_t many              # such chains
    idx_t base              # input cell that position 0 reads through the first tap of the first
    idx_t lone              # taps that remain


cdef chains_t find_chains(const axis_t* self, idx_t phase, idx_t length,
                          idx_t* taps) noexcept nogil:
    """Chains of this length; `taps`, unless NULL, will hold theirs, then those that remain."""
    cdef chains_t chains
    cdef idx_t t, at, n, i, lone = self.phase[phase + 1] - self.phase[phase]
    cdef idx_t step = self.step * self.apart
    chains.length, chains.apart, chains.many, chains.base = length, 1, 0, 0
    if length == 1:
        # In the order of the cells.
        chains.many, chains.lone = lone, 0
        for i in range(lone if taps != NULL else 0):
            taps[i] = self.phase[phase] + i
        return chains
    chains.apart = self.apart
    for t in range(self.phase[phase], self.phase[phase + 1]):
        if neighbour(self, phase, self.base[t] - step) >= 0:
            continue
        n, at = 0, t
        while at >= 0:
            n, at = n + 1, neighbour(self, phase, self.base[at] + step)
        if chains.many == 0:
            chains.base = self.base[t]
        if taps != NULL:
            at = t
            for i in range(n):
                if i < n // length * length:
                    taps[chains.many * length + i] = at
                else:
                    lone -= 1
                    taps[lone] = at
                at = neighbour(self, phase, self.base[at] + step)
        chains.many += n // length
    chains.lone = self.phase[phase + 1] - self.phase[phase] - chains.many * length
    return chains


cdef inline idx_t cells_outside(const axis_t* axis, const chains_t* chains,
                                idx_t cells) noexcept nogil:
    """How many cells of a chain are padding, where so many of the input's are missing.

    Not where a phase has several chains, as each would have other ones; nor under dilation, where
    it would depend on how threads cut a row whether a tile reaches from border to border.
    """
    if cells <= 0 or chains.many != 1 or chains.apart > 1:
        return 0
    return min(chains.length - 1, ceil_div(cells, axis.step))


cdef inline idx_t cells_low(const axis_t* axis, const chains_t* chains,
                            idx_t position) noexcept nogil:
    """Of the first cells that a tile from this position on meets."""
    return cells_outside(axis, chains, -(position * axis.step + chains.base))


cdef inline idx_t cells_high(const axis_t* axis, const chains_t* chains, idx_t size,
                             idx_t position) noexcept nogil:
    """Of the last, a tile ending with this position; `size` is that of the input."""
    return cells_outside(axis, chains, chains.base - size + 1
                         + (position + chains.length - 1) * axis.step)
