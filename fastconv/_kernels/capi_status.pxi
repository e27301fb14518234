# What each status code says.

cdef const char* fastconv_status_message(int status) noexcept nogil:
    if status == FASTCONV_OK:
        return "done"
    if status == FASTCONV_NO_MEMORY:
        return "no memory for packed weights and scratch"
    if status == FASTCONV_NULL_POINTER:
        return "a pointer must not be NULL"
    if status == FASTCONV_BAD_STRUCT_SIZE:
        return "struct_size must be sizeof(fastconv_problem) of a version that the library knows"
    if status == FASTCONV_BAD_DIMENSIONS:
        return "dimensions must be 1, 2 or 3"
    if status == FASTCONV_BAD_SIZE:
        return "batch, in_size and out_size must be 0 (sizes of a pool: 1) to 2**46"
    if status == FASTCONV_BAD_CHANNELS:
        return ("channels must be 1 to 2**46 and groups divide both; "
                "a pool has one group and as many channels out as in")
    if status == FASTCONV_BAD_WINDOW:
        return ("kernel, stride and dilation must be 1 or more and span at most 2**46 cells; "
                "the dilation of an average pool is 1")
    if status == FASTCONV_BAD_PADDING:
        return "padding must be 0 to 2**46, of a pool at most half of what the kernel spans"
    if status == FASTCONV_BAD_OUT_SIZE:
        return "out_size must be such that the last window begins before the end of the input"
    if status == FASTCONV_TOO_LARGE:
        return "sizes and strides must keep elements below 2**58 and multiply-adds below 2**54"
    if status == FASTCONV_BAD_STRIDES:
        return ("strides of what is written must lead to every element once; "
                "those of a max pool's grad_input also through each plane in equal steps")
    if status == FASTCONV_UNALIGNED:
        return "pointers must be aligned as their elements are"
    if status == FASTCONV_OVERLAP:
        return "what is written must not overlap what is read"
    if status == FASTCONV_BAD_THREADS:
        return "num_threads must be 1 or more, or 0 for the default"
    if status == FASTCONV_BAD_OPTION:
        return ("pass must be FASTCONV_FORWARD or FASTCONV_GRAD_INPUT, and what is prepared for "
                "one element type runs with it")
    if status == FASTCONV_BAD_INDEX:
        return "indices must lie in their plane, or be -1"
    return "no status of fastconv"
