# What a thread reads and writes after this: it is fetched meanwhile, some of it with each row of
# output or point of Winograd's.  All of it at once would take as long as it takes later.

cdef enum:
    STREAMS = 5


cdef struct ahead_t:
    const real* place[STREAMS]  # NULL where there is none
    idx_t elements[STREAMS]     # that are not fetched yet
    idx_t steps                 # in which they are to be


cdef inline void look_ahead(ahead_t* ahead, int stream, const real* first, idx_t n,
                            idx_t elements) noexcept nogil:
    """At item n of an array, unless that is NULL; past the last one nothing comes of it."""
    if first != NULL:
        ahead.place[stream], ahead.elements[stream] = first + n * elements, elements


cdef inline void fetch_some(ahead_t* self) noexcept nogil:
    cdef idx_t n
    cdef int i
    if self.steps <= 0:
        return
    for i in range(STREAMS):
        if self.place[i] != NULL:
            n = self.elements[i] // self.steps
            prefetch_lines(self.place[i], n)
            self.place[i] = self.place[i] + n
            self.elements[i] -= n
    self.steps -= 1
