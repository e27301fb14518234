# What the planners chose, as plain numbers.

cdef enum:
    BYTES = sizeof(real)


cdef tuple along_axes(const idx_t* lengths):
    return lengths[0], lengths[1], lengths[2]


cdef dict tiling(const winograd_t* self):
    """What both planners choose alike."""
    cdef const conv_t* p = &self.p
    cdef object products = p.batch  # of any size
    products = products * p.groups * p.in_channels * p.out_channels * self.n_phases
    return {
        "outputs": along_axes(self.outputs),
        "taps": tuple([p.kernel[axis] // p.stride[axis] for axis in range(AXES)]),
        "points": along_axes(self.points),
        "tiles": along_axes(self.tiles),
        "products": products * self.n_points * self.tiles[0] * self.tiles[1] * self.tiles[2],
        "phases": self.n_phases,
        "in_channels": p.in_channels,
        "channels": p.out_channels,
        "lane_count": LANES,
        "vectors": self.nv,
        "blocks": self.n_blocks,
    }


cdef dict explain_correlate(const conv_t* p, int num_threads):
    cdef winograd_t self
    cdef workshop_t shop
    winograd_plan(&self, p, num_threads)
    return tiling(&self) | {
        "task_tiles": self.task_tiles,
        "chunk": min(p.out_channels, self.chunk * self.width),
        "tasks": p.groups * self.n_chunks * self.n_tasks,
        "transformed": "once" if self.shared else "by each task",
        "filter_bytes": (filter_elements(&self) if self.shared
                         else self.chunk * self.block_elements) * BYTES,
        "scratch_bytes": lay_out(&self, NULL, &shop) * BYTES,
    }


cdef dict explain_grad_weight(const conv_t* p):
    cdef winograd_grad_t self
    winograd_grad_plan(&self, p)
    return tiling(&self.base) | {
        "unit_tiles": self.base.task_tiles,
        "units": self.n_units,
        "parts": self.n_parts,
        "in_chunk": self.c_chunk,
        "chunk": min(p.out_channels, self.k_chunk * self.base.width),
        "tasks": grad_tasks(&self),
        "part_bytes": (later_parts(&self) + bias_elements(&self)) * BYTES,
        "sum_bytes": task_sums(&self) * BYTES,
        "scratch_bytes": grad_task_elements(&self) * BYTES,
    }
