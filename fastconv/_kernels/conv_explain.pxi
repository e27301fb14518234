# What the planners chose, and the figures they chose by, as plain numbers.  Costs are estimates, in
# multiply-adds of a vector, and mean something beside each other only.

cdef enum:
    BYTES = sizeof(real)


cdef tuple blocks_of(const window_t* window):
    """Output positions of a task along each axis; those of a phase, where there are phases."""
    cdef int axis
    return tuple([window.axis[axis].block for axis in range(AXES)])


cdef bint turned(const window_t* window, const conv_t* p):
    """Whether planes become pixels in the strip."""
    return window.pixels and p.in_channel != 1 and not window.direct


cdef double rows_in_padding(const correlate_t* self) noexcept nogil:
    """The part of all rows of taps that lies in padding and is skipped."""
    cdef const axis_t* axis = &self.window.axis[0]
    cdef task_t task
    cdef idx_t f0, f1, i0, i1, next0, next1, end0, end1
    cdef double alike, every = 0, skipped = 0
    task.m[0] = task.m[1] = 0
    for f0 in range(axis[0].n_phases):
        for f1 in range(axis[1].n_phases):
            i0, end0 = 0, phase_count(&self.p, 0, f0)
            while i0 < end0:
                next0 = next_change(&axis[0], self.p.in_size[0], f0, i0, end0)
                i1, end1 = 0, phase_count(&self.p, 1, f1)
                while i1 < end1:
                    next1 = next_change(&axis[1], self.p.in_size[1], f1, i1, end1)
                    find_rows(self, &task, f0, f1, i0, i1)
                    alike = <double> (next0 - i0) * <double> (next1 - i1)
                    every += alike * task.rows
                    skipped += alike * (task.rows - (task.last - task.first))
                    i1 = next1
                i0 = next0
    return skipped / every if every else 0


cdef double taps_in_padding(const correlate_t* self) noexcept nogil:
    """The part of the taps of a row that lies in padding and is left out."""
    cdef const axis_t* axis = &self.window.axis[2]
    cdef idx_t i, begin = 0
    cdef double met = 0
    if not leaves_taps_out(self):
        return 0
    for i in range(self.n_runs):
        met += <double> (self.runs[i].end - begin) * (
            self.runs[i].last_tap - self.runs[i].first_tap)
        begin = self.runs[i].end
    return 1 - met / (<double> axis.grid * axis.n_taps)


cdef int most_tap_rows(const correlate_t* self) noexcept nogil:
    """That meet a row of a plane together."""
    cdef int i
    for i in range(TAP_ROWS):
        if self.tap_rows[0].many[i]:
            return TAP_ROWS - i
    return 1


cdef dict lane_costs(idx_t by_channel, idx_t by_row, idx_t by_lane):
    """Without lanes of all groups where these are not possible."""
    costs = {"channels": by_channel, "columns": by_row}
    return costs | {"groups": by_lane} if by_lane else costs


cdef dict correlate_choices(correlate_t* self):
    cdef const axis_t* axis = &self.window.axis[0]
    cdef bint slides = self.rows and self.width == 1 and axis[1].block >= SLIDE_ROWS
    cdef dict said = {
        "algorithm": "direct",
        "lanes": "groups" if self.lanewise else "columns" if self.rows else "channels",
        "cost": lane_costs(self.by_channel, self.by_row, self.by_lane),
        "columns": axis[2].grid,
        "channels": self.p.out_channels,
        "lane_count": LANES,
        "vectors": 1 if self.lanewise else self.stack if self.stack > 1 else self.nv,
        "stacked": self.rows and self.stack > 1,
        "rows": (even(axis[1].block, tallest_plane(self.nv)) if self.planes
                 else SLIDE_ROWS if slides else tallest_lanewise(1, rolls(self)) if self.lanewise
                 else self.px),
        "chain": most_tap_rows(self) if self.planes else self.chains[0].length,
        "rows_of": "rows" if slides or self.planes else "channels" if self.rows else "columns",
        "inner": "taps" if self.inner else "channels",
        "phases": axis[0].n_phases * axis[1].n_phases * axis[2].n_phases,
        "block": blocks_of(&self.window),
        "in_channels": self.p.in_channels,
        "depth": self.depth,
        "chunk": min(self.p.out_channels, self.chunk * self.width),
        "tasks": (self.p.groups * self.n_chunks * self.p.batch
                  * self.n_pos[0] * self.n_pos[1] * self.n_pos[2]),
        "in_place": self.window.direct,
        "padded": not self.window.direct and not unpadded(&self.window, &self.p),
        "leaves_out": self.window.direct and not unpadded(&self.window, &self.p),
        "turned": turned(&self.window, &self.p),
        "in_padding": 0 if self.planes else rows_in_padding(self),
        "taps_in_padding": taps_in_padding(self),
        "packed": "once" if self.shared else "by each task",
        "weight_bytes": (shared_blocks(self) * self.block_elements * BYTES if self.shared
                         else self.width * (1 + self.n_taps * self.depth) * BYTES),
        "strip_bytes": self.window.elements * BYTES,
        "strip_limit": PLANE_BYTES if self.planes else STRIP_BYTES,
        "sum_bytes": waiting_elements(self) * BYTES,
        "scratch_bytes": task_elements(self) * BYTES,
    }
    if self.lanewise or self.planes:
        return said | {"whole_cost": 0, "whole_block": said["block"], "depth_cost": 0}
    # Last, because it cuts blocks anew: what a strip of all input channels would have meant.
    said["whole_cost"] = cut_blocks(self, 1, 1, FEW_THREADS)
    said["whole_block"] = blocks_of(&self.window)
    said["depth_cost"] = cut_blocks(self, ceil_div(self.p.in_channels, <idx_t> said["depth"]), 1,
                                    FEW_THREADS)
    return said


cdef dict explain_correlate(const conv_t* problem, int num_threads):
    cdef correlate_t self
    cdef dict said = None
    if correlate_plan(&self, problem, num_threads) == OK:
        said = correlate_choices(&self)
    correlate_free(&self)
    return said


cdef dict weight_choices(const grad_weight_t* self, bint exchanged):
    cdef idx_t rows = dot_channels(self.p.out_channels)
    if self.longest > 1:
        rows = even(self.p.in_channels, tallest_chain(self.longest, self.nv))
    elif not self.dots:
        rows = even(self.p.in_channels * (self.n_taps if self.mixed else 1),
                    tallest_lanewise(self.nv, False) if self.lanewise else tallest(1, self.nv))
    return {
        "algorithm": "direct",
        "exchanged": exchanged,
        "lanes": "groups" if self.lanewise else "columns" if self.dots else "channels",
        "cost": lane_costs(self.by_tile, self.by_dots, self.by_lane),
        "columns": self.p.out_size[2],
        "channels": self.p.out_channels,
        "lane_count": LANES,
        "vectors": even(self.n_taps, most_taps(rows)) if self.dots else self.nv,
        "rows": rows,
        "rows_of": "taps and channels" if self.mixed else "channels",
        "chain": self.longest,  # each of its taps has sums of its own
        "block": blocks_of(&self.window),
        "images": self.images,
        "units": self.n_units,
        "parts": self.n_parts,
        "chunk": min(self.p.out_channels, self.chunk * self.width),
        "tasks": self.p.groups * self.n_chunks * self.n_parts,
        "in_place": self.window.direct,
        "padded": not unpadded(&self.window, &self.p),
        "leaves_out": False,
        "turned": turned(&self.window, &self.p),
        "skips_padding": self.lines > 0,
        "cells": "read in place" if self.in_place else "packed",
        "strip_bytes": self.images * self.window.elements * BYTES,
        "part_bytes": (self.p.groups * self.n_blocks * self.n_parts * sums_elements(self)
                       * BYTES),
        "scratch_bytes": (unit_elements(self) + own_elements(self)) * BYTES,
    }


cdef dict explain_grad_weight(const conv_t* problem, int num_threads):
    cdef grad_weight_t self
    cdef conv_t p = problem[0]
    cdef bint exchanged = worth_exchanging(&p)
    cdef dict said = None
    if exchanged:
        exchange(&p)
    if weight_plan(&self, &p, num_threads) == OK:
        said = weight_choices(&self, exchanged)
    free(self.tables)
    window_free(&self.window)
    return said
