"""Clipping gradients by their norm."""

import math

import numpy as np

from fastconv.nn import Parameter


def clip_grad_norm(parameters, max_norm, norm_type=2):
    """Scales all gradients in place so that their joint norm is at most `max_norm`.

    parameters: Parameters, or one; those without a gradient do not count.
    norm_type: p of the p-norm, `math.inf` for the largest absolute value.
    Returns the norm before scaling.  The factor is max_norm / (norm + 1e-6), as in PyTorch.
    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", section 3.2.
    Raises ValueError for a negative `max_norm` or a `norm_type` that is not positive.
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm: max_norm must be at least 0, got {max_norm!r}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm: norm_type must be positive, got {norm_type!r}")
    if isinstance(parameters, Parameter):
        parameters = [parameters]
    grads = [p.grad for p in parameters if p.grad is not None and p.grad.size]
    norms = [float(np.linalg.norm(grad.ravel(order="K"), norm_type)) for grad in grads]
    total = float(np.linalg.norm(norms, norm_type)) if norms else 0.0
    factor = max_norm / (total + 1e-6)
    if factor < 1 or math.isnan(factor):
        for grad in grads:
            grad *= factor
    return total
