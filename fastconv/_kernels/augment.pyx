# cython: language_level=3
"""Augmentation: every image of a batch copied with a change of its own.

All arrays are (N, C, *space) with any strides, in bytes here.  What is random was drawn before:
image n reads its own row of a table.  Images are independent, so the bits do not depend on the
number of threads.  Built once, not per instruction set: the time goes into scattered loads.
"""

from cython.parallel cimport prange

from libc.math cimport lrint
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

ctypedef Py_ssize_t idx_t

cdef extern from "float_mode.h" nogil:
    unsigned set_float_mode(unsigned mode)
    enum:
        KEEP_DENORMALS

cdef enum:
    BLOCK = 64            # output pixels whose sources are found at a time

# What is only moved: elements of any type, told by their size.
ctypedef fused cell:
    uint8_t
    uint16_t
    uint32_t
    uint64_t

ctypedef fused pixel:
    uint8_t
    float
    double


# -------------------------------------------------------------------------- whole pixels

cdef inline void move_row(
    const char* x, idx_t x_step, idx_t size, char* y, idx_t y_step, idx_t out,
    int64_t start, int64_t sign, cell fill
) noexcept nogil:
    """y[j] = x[start + sign * j] where there is one, else fill; sign is 1 or -1."""
    cdef idx_t j, first, end
    # Inside are the j of first to end: 0 <= start + sign * j < size.
    if sign > 0:
        first, end = -start, size - start
    else:
        first, end = start - size + 1, start + 1
    first = min(max(first, 0), out)
    end = min(max(end, first), out)
    for j in range(first):
        (<cell*> (y + j * y_step))[0] = fill
    if x_step == sizeof(cell) and y_step == sizeof(cell) and sign > 0:
        memcpy(y + first * y_step, x + (start + first) * x_step, (end - first) * sizeof(cell))
    else:
        for j in range(first, end):
            (<cell*> (y + j * y_step))[0] = (<const cell*> (x + (start + sign * j) * x_step))[0]
    for j in range(end, out):
        (<cell*> (y + j * y_step))[0] = fill


cdef inline void move_image(
    const char* x, const idx_t* x_size, const idx_t* x_step,
    char* y, const idx_t* y_size, const idx_t* y_step,
    const int64_t* start, const int64_t* sign, cell fill
) noexcept nogil:
    """One (C, D, H, W) image."""
    cdef idx_t c, d, h, x_d, x_h, size
    for c in range(y_size[0]):
        for d in range(y_size[1]):
            x_d = start[0] + sign[0] * d
            for h in range(y_size[2]):
                x_h = start[1] + sign[1] * h
                # A row of an image that does not have it is a row without elements.
                size = x_size[3] if 0 <= x_d < x_size[1] and 0 <= x_h < x_size[2] else 0
                move_row[cell](
                    x + c * x_step[0] + x_d * x_step[1] + x_h * x_step[2] if size else x,
                    x_step[3], size,
                    y + c * y_step[0] + d * y_step[1] + h * y_step[2], y_step[3], y_size[3],
                    start[2], sign[2], fill,
                )


def move(
    const cell[:, :, :, :, :] x, cell[:, :, :, :, :] y, const int64_t[:, ::1] start,
    const int64_t[:, ::1] sign, cell fill, int num_threads
):
    """y[n, c, i, j, k] = x[n, c, start[n] + sign[n] * (i, j, k)], `fill` outside of x.

    x, y (N, C, D, H, W); `start` and `sign`, which holds 1 and -1, are (N, 3).
    """
    cdef idx_t n
    for n in prange(y.shape[0], nogil=True, num_threads=num_threads, schedule="static"):
        move_image[cell](
            <const char*> &x[n, 0, 0, 0, 0], &x.shape[1], &x.strides[1],
            <char*> &y[n, 0, 0, 0, 0], &y.shape[1], &y.strides[1],
            &start[n, 0], &sign[n, 0], fill,
        )


# -------------------------------------------------------------------------------- affine

cdef struct Sources:
    # Where a block of output pixels comes from: the upper left of four neighbours, from -1, and
    # the distance from it.
    idx_t top[BLOCK]
    idx_t left[BLOCK]
    double down[BLOCK]
    double right[BLOCK]
    bint inside[BLOCK]    # all four lie in the image


cdef inline double between(double value, double low, double high) noexcept nogil:
    """`low` for NaN, too."""
    return (value if value < high else high) if value > low else low


cdef inline void find_sources(
    Sources* s, const double* m, idx_t row, idx_t column, idx_t count, idx_t height, idx_t width
) noexcept nogil:
    cdef idx_t j
    cdef double x, y
    for j in range(count):
        # One pixel of fill around the image is enough: further out is as good as there.
        x = between(m[0] * (column + j) + (m[1] * row + m[2]), -1, width)
        y = between(m[3] * (column + j) + (m[4] * row + m[5]), -1, height)
        s.left[j] = <idx_t> (x + 1) - 1
        s.top[j] = <idx_t> (y + 1) - 1
        s.right[j] = x - s.left[j]
        s.down[j] = y - s.top[j]
        s.inside[j] = 0 <= s.left[j] < width - 1 and 0 <= s.top[j] < height - 1


cdef inline const pixel* moved(const pixel* x, idx_t bytes) noexcept nogil:
    return <const pixel*> (<const char*> x + bytes)


cdef inline double at(
    const pixel* x, const idx_t* step, idx_t height, idx_t width, idx_t row, idx_t column,
    double fill
) noexcept nogil:
    if 0 <= row < height and 0 <= column < width:
        return moved(x, row * step[0] + column * step[1])[0]
    return fill


cdef inline void sample(
    const Sources* s, const pixel* x, const idx_t* step, idx_t height, idx_t width,
    pixel* y, idx_t y_step, idx_t count, double fill
) noexcept nogil:
    """A block of one output row of one channel, from the plane x."""
    cdef idx_t j, top, left
    cdef idx_t row_step = step[0]       # in registers: a store of bytes could be one to them
    cdef idx_t column_step = step[1]
    cdef double right, down
    cdef double upper_left, upper_right, lower_left, lower_right, upper, lower, value
    cdef const pixel* place
    for j in range(count):
        top, left = s.top[j], s.left[j]
        if s.inside[j]:
            place = moved(x, top * row_step + left * column_step)
            upper_left = place[0]
            upper_right = moved(place, column_step)[0]
            lower_left = moved(place, row_step)[0]
            lower_right = moved(place, row_step + column_step)[0]
        else:
            upper_left = at(x, step, height, width, top, left, fill)
            upper_right = at(x, step, height, width, top, left + 1, fill)
            lower_left = at(x, step, height, width, top + 1, left, fill)
            lower_right = at(x, step, height, width, top + 1, left + 1, fill)
        right, down = s.right[j], s.down[j]
        upper = upper_left * (1 - right) + upper_right * right
        lower = lower_left * (1 - right) + lower_right * right
        value = upper * (1 - down) + lower * down
        if pixel is uint8_t:
            (<pixel*> moved(y, j * y_step))[0] = <pixel> lrint(value)
        else:
            (<pixel*> moved(y, j * y_step))[0] = <pixel> value


cdef inline void affine_image(
    const pixel* x, const idx_t* x_step, pixel* y, const idx_t* y_step, const idx_t* size,
    const double* matrix, double fill
) noexcept nogil:
    """One (C, H, W) image; `size` holds these three."""
    cdef Sources sources
    cdef idx_t c, i, j, block, count
    for i in range(size[1]):
        for block in range((size[2] + BLOCK - 1) // BLOCK):
            j = block * BLOCK
            count = min(<idx_t> BLOCK, size[2] - j)
            find_sources(&sources, matrix, i, j, count, size[1], size[2])
            for c in range(size[0]):
                sample(
                    &sources, moved(x, c * x_step[0]), x_step + 1, size[1], size[2],
                    <pixel*> moved(y, c * y_step[0] + i * y_step[1] + j * y_step[2]), y_step[2],
                    count, fill,
                )


def affine(
    const pixel[:, :, :, :] x, pixel[:, :, :, :] y, const double[:, ::1] matrix, double fill,
    int num_threads
):
    """y[n, c, i, j] = x[n, c] at column m[0]*j + m[1]*i + m[2] and row m[3]*j + m[4]*i + m[5].

    x, y (N, C, H, W); m = matrix[n], (N, 6).  Bilinear between the four pixels around a position,
    in float64; `fill` lies outside.  uint8 results are rounded, halves to even.
    """
    cdef idx_t n
    cdef unsigned mode
    for n in prange(y.shape[0], nogil=True, num_threads=num_threads, schedule="static"):
        mode = set_float_mode(KEEP_DENORMALS)
        affine_image(
            &x[n, 0, 0, 0], &x.strides[1], &y[n, 0, 0, 0], &y.strides[1], &y.shape[1],
            &matrix[n, 0], fill,
        )
        set_float_mode(mode)
