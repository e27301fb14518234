"""Dropout, of elements and of whole channels."""

import numpy as np

from fastconv import functional as F
from fastconv._random import generator
from fastconv.functional._arrays import as_array, as_batch
from fastconv.functional.dropout import product
from fastconv.nn.module import Module


class Dropout(Module):
    """Zeroes each element with probability `p` and scales the rest by 1 / (1 - p), in training.

    In eval mode the input is returned as it is.  `rng`: the generator to draw from, None for the
    package's.  Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from
    overfitting".  Raises ValueError for `p` outside [0, 1].
    """

    def __init__(self, p=0.5, *, rng=None):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be in [0, 1], got {p!r}")
        generator(rng)  # refuses what is no generator
        self.p = p
        self.rng = rng

    def forward(self, input):
        if not self.training:
            self.save_for_backward()
            return input
        output, mask = F.dropout(input, self.p, generator(self.rng))
        self.save_for_backward(mask)
        return output

    def backward(self, grad_output, needs_input_grad=True):
        (mask,) = self.saved_for_backward()
        return F.dropout_backward(grad_output, mask)


class _ChannelDropout(Dropout):
    ndim = None

    def forward(self, input):
        if not self.training:
            return super().forward(input)
        op = type(self).__name__
        input = as_array(op, "input", input)
        as_batch(op, "input", input, self.ndim)  # refuses a wrong number of axes
        channels = input.shape[: -self.ndim] + (1,) * self.ndim
        mask, _ = F.dropout(np.ones(channels, input.dtype), self.p, generator(self.rng))
        self.save_for_backward(mask, input.shape)
        return product(op, input, mask)

    def backward(self, grad_output, needs_input_grad=True):
        mask, shape = self.saved_for_backward()
        op = type(self).__name__
        grad_output = as_array(op, "grad_output", grad_output, mask.dtype)
        if grad_output.shape != shape:
            raise ValueError(
                f"{op}: grad_output must have the output's shape {shape}, got {grad_output.shape}"
            )
        return product(op, grad_output, mask)


class Dropout1d(_ChannelDropout):
    """Dropout of whole channels of (N, C, L) or (C, L); see `Dropout2d`."""

    ndim = 1


class Dropout2d(_ChannelDropout):
    """Zeroes each channel of (N, C, H, W) or (C, H, W) as a whole, else as `Dropout`.

    Tompson et al. 2015, "Efficient object localization using convolutional networks".
    """

    ndim = 2


class Dropout3d(_ChannelDropout):
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W); see `Dropout2d`."""

    ndim = 3
