# Scratch memory from call to call.  Fresh pages cost more than the arithmetic of a small layer, so
# the last block that a call gave back waits for the next one.  Large blocks ask for huge pages: the
# small ones of a strip and its weights may fall on the same sets of the L2 cache, which they fill.

cdef extern from *:
    """
    #define KEPT_BYTES ((size_t)64 << 20)
    #if defined(__GNUC__)
    #define exchange_pointer(place, value) __atomic_exchange_n(place, value, __ATOMIC_ACQ_REL)
    #else
    #include <windows.h>
    #define exchange_pointer(place, value) InterlockedExchangePointer(place, value)
    #endif
    #if defined(__linux__)
    #include <stdlib.h>
    #include <sys/mman.h>
    #define HUGE_PAGE ((size_t)2 << 20)
    static void *allocate_scratch(size_t bytes) {
        void *block;
        if (bytes < HUGE_PAGE / 2) return malloc(bytes);
        bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        if (posix_memalign(&block, HUGE_PAGE, bytes)) return NULL;
        madvise(block, bytes, MADV_HUGEPAGE);
        return block;
    }
    #else
    #define allocate_scratch malloc
    #endif
    """
    size_t KEPT_BYTES
    void* allocate_scratch(size_t bytes) nogil
    void* exchange_pointer(void** place, void* value) nogil


cdef void* kept = NULL      # a block that begins with its size, or NULL
cdef size_t most_taken = 0  # bytes, since scratch_bytes was last called


cdef void* take_scratch(size_t bytes) noexcept nogil:
    """At least so many bytes, one cache line into a block; NULL without memory."""
    global most_taken
    most_taken = max(most_taken, bytes)
    cdef size_t* block = <size_t*> exchange_pointer(&kept, NULL)
    if block != NULL and block[0] < bytes:
        free(block)
        block = NULL
    if block == NULL:
        block = <size_t*> allocate_scratch(bytes + ALIGN)
        if block == NULL:
            return NULL
        block[0] = bytes
    return <char*> block + ALIGN


cdef void give_scratch(void* scratch) noexcept nogil:
    cdef size_t* block
    if scratch != NULL:
        block = <size_t*> (<char*> scratch - ALIGN)
        if block[0] <= KEPT_BYTES:
            block = <size_t*> exchange_pointer(&kept, block)
        free(block)


def scratch_bytes():
    """The most scratch memory, packed weights included, that one call took since the last look."""
    global most_taken
    cdef size_t bytes = most_taken
    most_taken = 0
    return bytes
