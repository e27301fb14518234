# A max-pool behind a convolution, image by image.

cdef struct pooled_t:
    tiles_t tiles
    idx_t rows              # of windows, in an image
    idx_t image             # elements of a pooled image


cdef pooled_t describe_pooled(const real[:, :, :, :, :] between, real[:, :, :, :, ::1] pooled,
                              const uint8_t[:, :, :, :, ::1] codes, idx_t batch, kernel):
    """`pooled` and `codes` as max_tiles has them, (N, D, H, W, C) or (N * C, D, H, W, 1)."""
    cdef pooled_t self
    cdef idx_t size[3]
    cdef idx_t out[3]
    cdef idx_t window[3]
    cdef idx_t i
    for i in range(3):
        size[i], out[i], window[i] = between.shape[2 + i], pooled.shape[1 + i], kernel[i]
    self.tiles = tiles_of(size, out, pooled.shape[4], window)
    self.tiles.y = &pooled[0, 0, 0, 0, 0]
    self.tiles.codes = NULL if codes is None else <uint8_t*> &codes[0, 0, 0, 0, 0]
    self.rows = pooled.shape[0] // batch * out[0] * out[1]
    self.image = self.rows * out[2] * pooled.shape[4]
    return self


cdef void move_image(tiles_t* tiles, idx_t elements) noexcept nogil:
    tiles.y = tiles.y + elements
    if tiles.codes != NULL:
        tiles.codes = tiles.codes + elements
