"""Modules made of modules."""

import itertools

import numpy as np

from fastconv._shapes import integer
from fastconv.nn import fusion
from fastconv.nn.module import Module


class Sequential(Module):
    """Modules one after the other: `Sequential(Conv2d(1, 8, 3), ReLU(), ...)`.

    Their names are "0", "1", ...; a single dict gives others: `Sequential({"conv": ..., ...})`.

    A ReLU or LeakyReLU beside a convolution or Linear is computed by that layer's kernel, forward
    and backward, to the same values.  Modules whose methods are overridden are called as they are.
    """

    def __init__(self, *modules):
        if len(modules) == 1 and isinstance(modules[0], dict):
            named = modules[0]
        else:
            named = {str(index): module for index, module in enumerate(modules)}
        for name, module in named.items():
            _check_module("Sequential", name, module)
            if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
                raise ValueError(
                    "Sequential: the name of a module must be a word without '.' that is no "
                    f"attribute of Sequential, got {name!r}"
                )
            setattr(self, name, module)

    def forward(self, input):
        modules = list(self.children())[::-1]
        while modules:
            module = modules.pop()
            if modules and fusion.fits_behind(module, modules[-1]):
                input = fusion.forward(module, modules.pop(), input)
            else:
                input = module(input)
        return input

    def backward(self, grad_output, needs_input_grad=True):
        """Walks back through the modules.

        Without `needs_input_grad` it ends at the first module that learns, which then need not
        compute the gradient of its input either; the result is None.
        """
        modules = list(self.children())
        if not needs_input_grad:
            while modules and not _learns(modules[0]):
                del modules[0]
        while modules:
            module = modules.pop()
            if modules and fusion.fits_before(module, modules[-1]):
                grad_output = fusion.backward(module, modules.pop(), grad_output)
            else:
                grad_output = module.backward(grad_output, needs_input_grad or bool(modules))
        return grad_output if needs_input_grad else None

    def __len__(self):
        return sum(1 for _ in self.children())

    def __iter__(self):
        return self.children()

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Sequential(dict(list(self.named_children())[index]))
        return list(self.children())[index]


class Residual(Module):
    """body(x) + shortcut(x), or body(x) + x without a shortcut.

    He et al. 2016, "Deep residual learning for image recognition", equations 1 and 2.
    """

    def __init__(self, body, shortcut=None):
        _check_module("Residual", "body", body)
        if shortcut is not None:
            _check_module("Residual", "shortcut", shortcut)
        self.body = body
        self.shortcut = shortcut

    def forward(self, input):
        output = self.body(input)
        identity = input if self.shortcut is None else self.shortcut(input)
        if output.shape != identity.shape:
            raise ValueError(
                "Residual: body and shortcut must give outputs of one shape, "
                f"got {output.shape} and {identity.shape}"
            )
        return output + identity

    def backward(self, grad_output, needs_input_grad=True):
        grad_input = self.body.backward(grad_output, needs_input_grad)
        identity = grad_output
        if self.shortcut is not None:
            identity = self.shortcut.backward(grad_output, needs_input_grad)
        # Not in place: either may be `grad_output` itself.
        return grad_input + identity if needs_input_grad else None


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
            _check_module("Concat", index, branch)
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
        parts = np.split(grad_output, list(itertools.accumulate(sizes))[:-1], axis=self.dim)
        grads = [
            branch.backward(part, needs_input_grad)
            for branch, part in zip(self.children(), parts, strict=True)
        ]
        # Not in place: the first may be a part of `grad_output` itself.
        return sum(grads[1:], grads[0]) if needs_input_grad else None


def _check_module(op, name, value):
    if not isinstance(value, Module):
        raise TypeError(f"{op}: {name} must be a Module, got {type(value).__name__}")


def _learns(module):
    return any(parameter.requires_grad for parameter in module.parameters())
