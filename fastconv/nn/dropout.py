"""Dropout."""

from fastconv import functional as F
from fastconv._random import generator
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
