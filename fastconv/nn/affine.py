"""What convolutions, Linear and the normalizations share: a weight, a bias, and their gradients."""

from fastconv.nn.module import Module


class _Affine(Module):
    """A module with `weight` and `bias`, each a Parameter or None."""

    weight = None
    bias = None

    def _arrays(self):
        """(weight, bias) as the functionals take them: arrays or None."""
        weight, bias = self.weight, self.bias
        return weight if weight is None else weight.data, bias if bias is None else bias.data

    def _needs(self, needs_input_grad):
        """Which of the gradients of (input, weight, bias) are wanted."""
        weight, bias = self.weight, self.bias
        return (
            needs_input_grad,
            weight is not None and weight.requires_grad,
            bias is not None and bias.requires_grad,
        )

    def _accumulate(self, gradients):
        """Hands out (grad_input, grad_weight, grad_bias); returns the first."""
        grad_input, grad_weight, grad_bias = gradients
        weight, bias = self.weight, self.bias
        if weight is not None and weight.requires_grad:
            weight._add(grad_weight)
        if bias is not None and bias.requires_grad:
            bias._add(grad_bias)
        return grad_input


class _AffineMap(_Affine):
    """A layer that is one kernel call, into which the activations beside it fit.

    A subclass writes `_map(input, slope)` and `_map_backward(grad_output, input, needs, slope)`;
    further options of its forward come to both.  The slope of the first is that of an activation of
    the output; the second has that of the activation whose output `input` is, and gives the
    gradient by what went into that.  Where `_adds` says so it takes `plus`, too: what another
    branch behind that activation adds to the gradient of its output.  See fastconv.nn.fusion.
    """

    _adds = False

    def forward(self, input):
        return self._forward(input)

    def backward(self, grad_output, needs_input_grad=True):
        return self._backward(grad_output, needs_input_grad)

    def _forward(self, input, slope=1.0, **options):
        self.save_for_backward(input, options)
        return self._map(input, slope, **options)

    def _backward(self, grad_output, needs_input_grad, slope=1.0, plus=None):
        input, options = self.saved_for_backward()
        if plus is not None:
            options = options | {"plus": plus}
        needs = self._needs(needs_input_grad)
        return self._accumulate(self._map_backward(grad_output, input, needs, slope, **options))
