"""Layers that move values and compute nothing: Identity, Flatten, PixelShuffle, Upsample."""

import math

import numpy as np

from fastconv import functional as F
from fastconv._shapes import integer, per_axis
from fastconv.functional._arrays import as_array, empty
from fastconv.nn.module import Module


class Identity(Module):
    """The input as it is."""

    def forward(self, input):
        return input

    def backward(self, grad_output, needs_input_grad=True):
        return grad_output


class Flatten(Module):
    """Axes `start_dim` to `end_dim` as one, in C order: (N, C, H, W) to (N, C H W)."""

    def __init__(self, start_dim=1, end_dim=-1):
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input):
        shape = np.shape(input)
        first, last = (dim + len(shape) * (dim < 0) for dim in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < len(shape):
            raise ValueError(
                f"Flatten: start_dim={self.start_dim} must not come after end_dim={self.end_dim}, "
                f"and both must be axes of the input, got shape {shape}"
            )
        self.save_for_backward(shape)
        flat = math.prod(shape[first : last + 1])
        return np.reshape(input, (*shape[:first], flat, *shape[last + 1 :]))

    def backward(self, grad_output, needs_input_grad=True):
        (shape,) = self.saved_for_backward()
        return np.reshape(grad_output, shape)


class PixelShuffle(Module):
    """(N, C r^2, H, W) to (N, C, H r, W r): channels become pixels.

    Shi et al. 2016, "Real-time single image and video super-resolution ...", section 3.2.
    """

    def __init__(self, upscale_factor):
        self.upscale_factor = integer("PixelShuffle", "upscale_factor", upscale_factor, 1)

    def forward(self, input):
        return F.pixel_shuffle(input, self.upscale_factor)

    def backward(self, grad_output, needs_input_grad=True):
        return F.pixel_shuffle_backward(grad_output, self.upscale_factor)


class PixelUnshuffle(Module):
    """(N, C, H r, W r) to (N, C r^2, H, W): the inverse of `PixelShuffle`."""

    def __init__(self, downscale_factor):
        self.downscale_factor = integer("PixelUnshuffle", "downscale_factor", downscale_factor, 1)

    def forward(self, input):
        return F.pixel_unshuffle(input, self.downscale_factor)

    def backward(self, grad_output, needs_input_grad=True):
        return F.pixel_unshuffle_backward(grad_output, self.downscale_factor)


class Upsample(Module):
    """Every cell of (N, C, *space) repeated `scale_factor` times along each spatial axis.

    scale_factor: an integer, or one for each spatial axis.  `mode` knows only "nearest".
    """

    def __init__(self, *, scale_factor, mode="nearest"):
        if mode != "nearest":
            raise ValueError(f"Upsample: mode must be 'nearest', got {mode!r}")
        self.scale_factor = scale_factor

    def forward(self, input):
        input = as_array("Upsample", "input", input)
        if input.ndim not in (3, 4, 5):
            raise ValueError(f"Upsample: input must be (N, C, *space), got shape {input.shape}")
        space = input.shape[2:]
        factors = per_axis("Upsample", "scale_factor", self.scale_factor, len(space), 1)
        scaled = tuple(size * factor for size, factor in zip(space, factors, strict=True))
        output = empty("Upsample", (*input.shape[:2], *scaled), input.dtype, input)
        blocks = _blocks(input.shape, factors)
        output.reshape(blocks)[...] = input.reshape(_blocks(input.shape, (1,) * len(space)))
        self.save_for_backward(blocks)
        return output

    def backward(self, grad_output, needs_input_grad=True):
        (blocks,) = self.saved_for_backward()
        return grad_output.reshape(blocks).sum(axis=tuple(range(3, len(blocks), 2)))


def _blocks(shape, factors):
    """(N, C, H, W) and (fh, fw) as (N, C, H, fh, W, fw): a view of (N, C, H fh, W fw)."""
    pairs = zip(shape[2:], factors, strict=True)
    return (*shape[:2], *(size for pair in pairs for size in pair))
