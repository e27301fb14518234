# cython: language_level=3
"""Memory for outputs, recycled.

Fresh pages cost more than the arithmetic of a small layer: the system maps and clears them at the
first touch.  A `Buffer` takes a block that an earlier one has given back, where there is one of
about its size.  At most KEPT_BYTES wait in this way; FASTCONV_NO_CACHE=1 keeps none.
"""

import os

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport free, malloc

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    static PyMutex guard;
    #define LOCK() PyMutex_Lock(&guard)
    #define UNLOCK() PyMutex_Unlock(&guard)
    #else
    #define LOCK() ((void)0)
    #define UNLOCK() ((void)0)
    #endif
    """
    void LOCK()
    void UNLOCK()

cdef enum:
    ALIGN = 64          # bytes: a cache line, and the widest vector
    KEPT_BLOCKS = 64

KEPT_BYTES = 0 if os.environ.get("FASTCONV_NO_CACHE") == "1" else 256 * 1024 * 1024


cdef struct block_t:
    void* memory        # as malloc gave it
    size_t bytes


# The blocks that wait, the oldest first.  Only touched with the GIL held, or the lock that stands in
# for it where Python has none.
cdef block_t kept[KEPT_BLOCKS]
cdef int n_kept = 0
cdef size_t kept_bytes = 0
cdef size_t limit = KEPT_BYTES
cdef size_t fresh = 0       # blocks that came from the system


cdef block_t remove(int index) noexcept:
    global n_kept, kept_bytes
    cdef block_t block = kept[index]
    cdef int i
    for i in range(index, n_kept - 1):
        kept[i] = kept[i + 1]
    n_kept -= 1
    kept_bytes -= block.bytes
    return block


cdef block_t take(size_t bytes) noexcept:
    """A block of so many bytes, not above a quarter more; its memory is NULL without memory."""
    global fresh
    cdef block_t block
    cdef int i
    for i in range(n_kept - 1, -1, -1):
        if bytes <= kept[i].bytes <= bytes + bytes // 4:
            return remove(i)
    block.bytes = bytes
    block.memory = malloc(bytes + ALIGN)
    fresh += 1
    return block


cdef void give(block_t block) noexcept:
    global n_kept, kept_bytes
    if block.bytes > limit:
        free(block.memory)
        return
    while n_kept == KEPT_BLOCKS or (n_kept > 0 and kept_bytes + block.bytes > limit):
        free(remove(0).memory)
    kept[n_kept] = block
    n_kept += 1
    kept_bytes += block.bytes


cdef class Buffer:
    """A writeable, contiguous block of bytes that starts at a cache line; not cleared."""

    cdef block_t block
    cdef Py_ssize_t bytes

    def __cinit__(self, size_t bytes):
        LOCK()
        self.block = take(bytes)
        UNLOCK()
        self.bytes = bytes
        if self.block.memory == NULL:
            raise MemoryError(f"no memory for {bytes} bytes")

    def __dealloc__(self):
        if self.block.memory != NULL:
            LOCK()
            give(self.block)
            UNLOCK()

    def __getbuffer__(self, Py_buffer* view, int flags):
        cdef size_t start = (<size_t> self.block.memory + ALIGN - 1) // ALIGN * ALIGN
        PyBuffer_FillInfo(view, self, <void*> start, self.bytes, 0, flags)


def empty_cache():
    """Gives the memory that waits for the next outputs back to the system."""
    LOCK()
    while n_kept:
        free(remove(0).memory)
    UNLOCK()


def cached_bytes():
    """Bytes that wait for the next outputs."""
    return kept_bytes


def fresh_blocks():
    """Blocks taken from the system so far."""
    return fresh
