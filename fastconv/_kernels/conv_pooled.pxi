# A max-pool behind a convolution, image by image.

cdef struct pooled_t:
    tiles_t tiles
    idx_t rows              # of windows, in an image
    idx_t image             # elements of a pooled image
    bint planar             # pooled images are planes, though pixels are pooled: y is theirs
    real* y


cdef pooled_t describe_pooled(const real[:, :, :, :, :] between, real[:, :, :, :, ::1] pooled,
                              const uint8_t[:, :, :, :, ::1] codes, idx_t batch, kernel,
                              bint planar):
    """`pooled` and `codes` as max_tiles has them, (N, D, H, W, C) or (N * C, D, H, W, 1).

    `planar`: pixels are pooled, but `pooled` is (N, C, D, H, W).
    """
    cdef pooled_t self
    cdef idx_t size[3]
    cdef idx_t out[3]
    cdef idx_t window[3]
    cdef idx_t i, channels = pooled.shape[1 if planar else 4]
    for i in range(3):
        size[i], window[i] = between.shape[2 + i], kernel[i]
        out[i] = pooled.shape[(2 if planar else 1) + i]
    self.tiles = tiles_of(size, out, channels, window)
    self.planar, self.y = planar, &pooled[0, 0, 0, 0, 0]
    self.tiles.codes = NULL if codes is None else <uint8_t*> &codes[0, 0, 0, 0, 0]
    self.rows = (1 if planar else pooled.shape[0] // batch) * out[0] * out[1]
    self.image = self.rows * out[2] * channels
    return self


cdef tiles_t tiles_of_images(const pooled_t* self, idx_t first, real* between,
                             real* pixels) noexcept nogil:
    """From image `first` on; pooled pixels that are to be planes, or were, are in `pixels`."""
    cdef tiles_t tiles = self.tiles
    tiles.x = between
    tiles.y = pixels if self.planar else self.y + first * self.image
    if tiles.codes != NULL:
        tiles.codes = tiles.codes + first * self.image
    return tiles


cdef void pool_images(const pooled_t* self, idx_t first, idx_t images, real* between,
                      real* pixels) noexcept nogil:
    cdef tiles_t tiles = tiles_of_images(self, first, between, pixels)
    cdef idx_t channels = tiles.channels, windows = self.image // channels, i
    max_tiles_rows(&tiles, False, 0, images * self.rows)
    for i in range(images if self.planar else 0):
        turn_rows(pixels + i * self.image, windows, channels, 0, windows,
                  pixels + images * self.image, self.y + (first + i) * self.image)


cdef void spread_images(const pooled_t* self, idx_t first, idx_t images, real* between,
                        real* pixels) noexcept nogil:
    """The gradient of the same."""
    cdef tiles_t tiles = tiles_of_images(self, first, between, pixels)
    cdef idx_t channels = tiles.channels, windows = self.image // channels, i
    for i in range(images if self.planar else 0):
        turn_rows(self.y + (first + i) * self.image, channels, windows, 0, channels,
                  self.y + (first + images) * self.image, pixels + i * self.image)
    max_tiles_rows(&tiles, True, 0, images * self.rows)


cdef inline idx_t pixel_buffer(const pooled_t* self, idx_t images) noexcept nogil:
    """Elements of `pixels`."""
    return round_up(images * self.image, ALIGN) if self.planar else 0
