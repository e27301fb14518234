"""Branches that part at the input and meet again: added, or side by side."""

import itertools

import numpy as np

from fastconv._shapes import integer
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

        def identity(output):
            other = input if self.shortcut is None else self.shortcut(input)
            if output.shape != np.shape(other):
                raise ValueError(
                    "Residual: body and shortcut must give outputs of one shape, "
                    f"got {output.shape} and {np.shape(other)}"
                )
            return as_like("Residual", "the output of shortcut", other, output)

        output = self.body._forward_onto(input, slope, identity)
        if output is None:
            output = as_array("Residual", "the output of body", self.body(input))
            output = _passes.rectify("Residual", output, identity(output), slope=slope)
        return output

    def _backward(self, grad_output, needs_input_grad=True, slope=1.0):
        """The same, and the activation before, whose output is the input: its gradient, too."""
        saved, self._saved = self._saved, None
        identity = grad_output = as_array("Residual", "grad_output", grad_output)
        if self.shortcut is not None:
            identity = self.shortcut.backward(grad_output, needs_input_grad)
        if needs_input_grad:
            identity = as_array("Residual", "the gradient of shortcut", identity)
        if slope != 1 and needs_input_grad:
            grad_input = self.body._backward_onto(grad_output, slope, identity)
            if grad_input is not None:
                return grad_input
        grad_input = self.body.backward(grad_output, needs_input_grad)
        if not needs_input_grad:
            return None
        gate = None if slope == 1 else saved[0]
        return _passes.rectify("Residual", grad_input, identity, gate, slope)


class Concat(Module):
    """The outputs of all branches for one input, side by side along axis `dim`, the channels.

    With `Identity` as a branch, a skip connection: `Concat(Identity(), body)`.  Their names are
    "0", "1", ...

    Szegedy et al. 2015, "Going deeper with convolutions", figure 2; the skip connections of
    Ronneberger et al. 2015, "U-Net", figure 1.
    """

    def __init__(self, *branches, dim=1):
        if not branches:
            raise ValueError("Concat: there must be at least one branch")
        self.dim = integer("Concat", "dim", dim, 0)
        for index, branch in enumerate(branches):
            check_module("Concat", index, branch)
            setattr(self, str(index), branch)

    def forward(self, input):
        outputs = [branch(input) for branch in self.children()]
        shapes = [output.shape for output in outputs]
        rest = {shape[: self.dim] + shape[self.dim + 1 :] for shape in shapes}
        if len(rest) > 1 or min(map(len, shapes)) <= self.dim:
            raise ValueError(
                f"Concat: the branches must give outputs of one shape but for axis {self.dim}, "
                f"got {' and '.join(map(str, shapes))}"
            )
        self.save_for_backward([shape[self.dim] for shape in shapes])
        return np.concatenate(outputs, axis=self.dim)

    def backward(self, grad_output, needs_input_grad=True):
        (sizes,) = self.saved_for_backward()
        grad_output = as_array("Concat", "grad_output", grad_output)
        parts = np.split(grad_output, list(itertools.accumulate(sizes))[:-1], axis=self.dim)
        grads = [
            branch.backward(part, needs_input_grad)
            for branch, part in zip(self.children(), parts, strict=True)
        ]
        # Not in place: the first may be a part of `grad_output` itself.
        return sum(grads[1:], grads[0]) if needs_input_grad else None
