# Who does which task of a parallel loop.
#
# Each thread has a share of neighbouring tasks, so that it finds what it has written in its own
# cache when the next layer reads it.  A thread whose share is done helps the others: tasks differ,
# and so do cores.

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define fetch_and_increment(place) __atomic_fetch_add(place, 1, __ATOMIC_RELAXED)
    #else
    #include <intrin.h>
    #define fetch_and_increment(place) _InterlockedExchangeAdd64(place, 1)
    #endif
    """
    idx_t fetch_and_increment(idx_t* place) nogil

cdef enum:
    MOST_SHARES = 64


cdef struct share_t:
    idx_t next, end
    idx_t unused[6]     # a cache line for each, as threads write there all the time


cdef struct shares_t:
    share_t of[MOST_SHARES]
    idx_t count


cdef void share_out(shares_t* self, idx_t tasks, int num_threads) noexcept nogil:
    cdef idx_t i, begin = 0
    self.count = max(<idx_t> 1, min(<idx_t> num_threads, <idx_t> MOST_SHARES))
    for i in range(self.count):
        self.of[i].next = begin
        begin += tasks // self.count + (i < tasks % self.count)
        self.of[i].end = begin


cdef inline idx_t next_task(shares_t* self, idx_t thread) noexcept nogil:
    """One that nobody has taken yet; -1 when there is none."""
    cdef idx_t i, task
    cdef share_t* share
    for i in range(self.count):
        share = &self.of[(thread + i) % self.count]
        task = fetch_and_increment(&share.next)
        if task < share.end:
            return task
    return -1
