# A max-pool behind a convolution, image by image.

cdef struct pooled_t:
    tiles_t tiles
    idx_t rows              # of windows, in an image
    idx_t image             # elements of a pooled image
    idx_t lines             # that these are in: its pixels, or its planes
    bint turned             # y has planes where pixels are pooled, and pixels where planes are
    real* y
    uint8_t* codes          # of all images, in the order in which these are pooled


cdef pooled_t describe_pooled(const real[:, :, :, :, :] between, real[:, :, :, :, ::1] pooled,
                              const uint8_t[:, :, :, :, ::1] codes, kernel, bint pixels,
                              bint turned):
    """`between` and `codes` hold pixels or planes; so does `pooled`, unless `turned`."""
    cdef pooled_t self
    cdef idx_t size[3]
    cdef idx_t out[3]
    cdef idx_t window[3]
    cdef idx_t i, channels = between.shape[1], windows = 1
    for i in range(3):
        size[i], window[i] = between.shape[2 + i], kernel[i]
        out[i] = size[i] // window[i]
        windows *= out[i]
    self.tiles = tiles_of(size, out, channels if pixels else 1, window)
    self.rows = (1 if pixels else channels) * out[0] * out[1]
    self.image, self.lines = channels * windows, windows if pixels else channels
    self.turned, self.y = turned, &pooled[0, 0, 0, 0, 0]
    self.codes = NULL if codes is None else <uint8_t*> &codes[0, 0, 0, 0, 0]
    return self


cdef void find_images(pooled_t* self, idx_t first, real* between, real* turned) noexcept nogil:
    """From image `first` on; where the order of pooled images is another, they are in `turned`."""
    self.tiles.x = between
    self.tiles.y = turned if self.turned else self.y + first * self.image
    self.tiles.codes = NULL if self.codes == NULL else self.codes + first * self.image


cdef void pool_images(pooled_t* self, idx_t first, idx_t images, real* between,
                      real* turned) noexcept nogil:
    """`self` belongs to the thread."""
    cdef idx_t i, lines = self.lines
    find_images(self, first, between, turned)
    max_tiles_rows(&self.tiles, False, 0, images * self.rows)
    for i in range(images if self.turned else 0):
        turn_rows(turned + i * self.image, lines, self.image // lines, 0, lines,
                  turned + images * self.image, self.y + (first + i) * self.image)


cdef void spread_images(pooled_t* self, idx_t first, idx_t images, real* between,
                        real* turned) noexcept nogil:
    """The gradient of the same."""
    cdef idx_t i, lines = self.image // self.lines
    find_images(self, first, between, turned)
    for i in range(images if self.turned else 0):
        turn_rows(self.y + (first + i) * self.image, lines, self.lines, 0, lines,
                  self.y + (first + images) * self.image, turned + i * self.image)
    max_tiles_rows(&self.tiles, True, 0, images * self.rows)


cdef inline idx_t turned_elements(const pooled_t* self, idx_t images) noexcept nogil:
    return round_up(images * self.image, ALIGN) if self.turned else 0
