"""What convolutions, Linear and the normalizations share: a weight, a bias, and their gradients."""

from fastconv.nn.module import Module


class _Affine(Module):
    """A module with `weight` and `bias`, each a Parameter or None."""

    weight = None
    bias = None

    def _arrays(self):
        """(weight, bias) as the functionals take them: arrays or None."""
        return tuple(p if p is None else p.data for p in (self.weight, self.bias))

    def _needs(self, needs_input_grad):
        """Which of the gradients of (input, weight, bias) are wanted."""
        learned = (p is not None and p.requires_grad for p in (self.weight, self.bias))
        return (needs_input_grad, *learned)

    def _accumulate(self, gradients):
        """Hands out (grad_input, grad_weight, grad_bias); returns the first."""
        grad_input, *rest = gradients
        for parameter, grad in zip((self.weight, self.bias), rest, strict=True):
            if parameter is not None and parameter.requires_grad:
                parameter.accumulate(grad)
        return grad_input
