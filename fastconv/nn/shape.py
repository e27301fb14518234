"""Layers that change the shape and learn nothing: Flatten, PixelShuffle, Upsample; Identity."""

import math

import numpy as np

from fastconv import functional as F
from fastconv._shapes import integer
from fastconv.functional._arrays import as_numpy, is_channels_last
from fastconv.functional._order import to_c_order, to_channels_last
from fastconv.functional.interpolate import check_interpolation
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
        input = as_numpy("Flatten", "input", input)
        shape, ndim = input.shape, input.ndim
        first = self.start_dim + ndim * (self.start_dim < 0)
        last = self.end_dim + ndim * (self.end_dim < 0)
        if not 0 <= first <= last < ndim:
            raise ValueError(
                f"Flatten: start_dim={self.start_dim} must not come after end_dim={self.end_dim}, "
                f"and both must be axes of the input, got shape {shape}"
            )
        shape_out = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
        ordered = is_channels_last(input)
        self.save_for_backward(shape, ordered)
        return (to_c_order("Flatten", input) if ordered else input).reshape(shape_out)

    def backward(self, grad_output, needs_input_grad=True):
        shape, ordered = self.saved_for_backward()
        grad_input = as_numpy("Flatten", "grad_output", grad_output).reshape(shape)
        return to_channels_last("Flatten", grad_input) if ordered else grad_input


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
    """(N, C, *space) on a finer or coarser grid, by nearest neighbours or linear in each axis.

    size, or scale_factor: an int or a number, or one for each spatial axis; mode: "nearest",
    "nearest-exact", "linear", "bilinear" or "trilinear"; see `functional.interpolate`, whose errors
    these are.
    """

    def __init__(
        self,
        size=None,
        scale_factor=None,
        mode="nearest",
        align_corners=None,
        recompute_scale_factor=None,
    ):
        self.options = {
            "size": size,
            "scale_factor": scale_factor,
            "mode": mode,
            "align_corners": align_corners,
            "recompute_scale_factor": recompute_scale_factor,
        }
        check_interpolation("Upsample", **self.options)

    def forward(self, input):
        self.save_for_backward(np.shape(input))
        return F.interpolate(input, **self.options)

    def backward(self, grad_output, needs_input_grad=True):
        (shape,) = self.saved_for_backward()
        return F.interpolate_backward(grad_output, shape, **self.options)
