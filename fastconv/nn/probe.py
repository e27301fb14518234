"""A forward to learn sizes from: evaluation mode for a while, and an input to run it on."""

from contextlib import contextmanager

import numpy as np

from fastconv import _shapes


@contextmanager
def evaluating(model):
    """Evaluation mode inside, the old mode of every module after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def example(model, input_shape, batch_size=1):
    """Zeros (batch_size, *input_shape) of the float type of the model's first layer."""
    op = type(model).__name__
    if not isinstance(input_shape, (list, tuple)):
        raise TypeError(
            f"{op}: input_shape must be the shape of one example, as (1, 28, 28), "
            f"got {input_shape!r}"
        )
    batch_size = _shapes.integer(op, "batch_size", batch_size, 1)
    shape = (batch_size, *(_shapes.integer(op, "input_shape", n, 1) for n in input_shape))
    dtypes = (dtype for module in model.modules() if (dtype := module._dtype()) is not None)
    dtype = np.dtype(next(dtypes, np.float32))
    _shapes.check_size(op, shape, dtype.itemsize)
    try:
        return np.zeros(shape, dtype)
    except (ValueError, MemoryError) as error:  # ValueError: beyond what NumPy addresses
        raise MemoryError(f"{op}: no memory for input_shape {input_shape}: {error}") from None
