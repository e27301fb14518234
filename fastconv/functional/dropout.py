"""Dropout."""

import numpy as np

from fastconv.functional import _arrays

__all__ = ["dropout", "dropout_backward"]


def dropout(input, p, rng):
    """Zeroes each element with probability `p`, and scales the others by 1 / (1 - p).

    rng: a numpy.random.Generator.  Returns (output, mask) with output = input * mask.  Srivastava
    et al. 2014, "Dropout".  Raises ValueError for a `p` outside of 0..1.
    """
    x = _arrays.as_array("dropout", "input", input)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"dropout: rng must be a numpy.random.Generator, got {rng!r}")
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must lie between 0 and 1, got {p!r}")
    mask = _arrays.empty("dropout", x.shape, x.dtype, x)
    np.greater_equal(rng.random(x.shape, x.dtype), p, out=mask, casting="unsafe")
    if p < 1:
        mask *= x.dtype.type(1 / (1 - p))
    return product("dropout", x, mask), mask


def dropout_backward(grad_output, mask):
    """grad_output * mask, with the mask that `dropout` returned."""
    mask = _arrays.as_array("dropout_backward", "mask", mask)
    g = _arrays.as_array("dropout_backward", "grad_output", grad_output, mask.dtype)
    if g.shape != mask.shape:
        raise ValueError(
            f"dropout_backward: grad_output must have the mask's shape {mask.shape}, got {g.shape}"
        )
    return product("dropout_backward", g, mask)


def product(op, x, mask):
    """x times a mask that broadcasts to its shape, in recycled memory."""
    return np.multiply(x, mask, out=_arrays.empty(op, x.shape, x.dtype, x))
