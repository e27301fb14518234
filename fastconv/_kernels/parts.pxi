# Shares of work: how many, and where each begins.

cdef inline idx_t ceil_div(idx_t a, idx_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline idx_t part_begin(idx_t part, idx_t parts, idx_t items) noexcept nogil:
    """Where a part of the items begins, and the part before ends; the parts are nearly equal."""
    return part * (items // parts) + min(part, items % parts)
