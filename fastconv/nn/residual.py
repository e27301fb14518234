"""Two ways from input to output, added."""

from fastconv.functional import _passes
from fastconv.functional._arrays import as_array, as_like
from fastconv.nn.module import Module, check_module


class Residual(Module):
    """body(x) + shortcut(x), or body(x) + x without a shortcut.

    He et al. 2016, "Deep residual learning for image recognition", equations 1 and 2.
    """

    def __init__(self, body, shortcut=None):
        check_module("Residual", "body", body)
        if shortcut is not None:
            check_module("Residual", "shortcut", shortcut)
        self.body = body
        self.shortcut = shortcut

    def forward(self, input):
        return self._forward(input)

    def backward(self, grad_output, needs_input_grad=True):
        return self._backward(grad_output, needs_input_grad)

    def _forward(self, input, slope=1.0):
        """The same, and the activation behind: negative results are multiplied by `slope`."""
        self.save_for_backward(input)
        output = as_array("Residual", "the output of body", self.body(input))
        identity = input if self.shortcut is None else self.shortcut(input)
        if output.shape != identity.shape:
            raise ValueError(
                "Residual: body and shortcut must give outputs of one shape, "
                f"got {output.shape} and {identity.shape}"
            )
        identity = as_like("Residual", "the output of shortcut", identity, output)
        return _passes.rectify("Residual", output, identity, slope=slope)

    def _backward(self, grad_output, needs_input_grad=True, slope=1.0):
        """The same, and the activation before, whose output is the input: its gradient, too."""
        saved, self._saved = self._saved, None
        grad_input = self.body.backward(grad_output, needs_input_grad)
        identity = grad_output
        if self.shortcut is not None:
            identity = self.shortcut.backward(grad_output, needs_input_grad)
        if not needs_input_grad:
            return None
        total = _passes.rectify("Residual", grad_input, identity, slope=1.0)
        return total if slope == 1 else _passes.rectify("Residual", total, None, *saved, slope)
