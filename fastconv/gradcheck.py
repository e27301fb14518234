"""Gradients against finite differences, for fastconv's modules and for your own."""

import copy

import numpy as np

from fastconv._random import generator
from fastconv.nn import Module


class GradcheckError(RuntimeError):
    """A backward that does not agree with its forward."""


def gradcheck(module_or_pair, input, *, eps=1e-6, atol=1e-5, rtol=1e-3, rng=None):
    """Whether backward is the derivative of forward: True, or GradcheckError.

    module_or_pair: a Module, checked for its input and every parameter that requires a gradient;
      or a pair (forward, backward) of functions, forward(*inputs) -> output and
      backward(grad_output, *inputs) -> the gradient of the input, or a tuple of one for each.
    input: an array, or for a pair also a tuple of arrays.  Those that are not floats are passed on
      and not checked.
    eps: the step of the central difference (f(x + eps) - f(x - eps)) / (2 eps) for each element x,
      where f is the inner product of the output and a random `grad_output`, drawn from `rng`.
    atol, rtol: |analytical - numerical| <= atol + rtol |numerical| must hold for each element.

    All is computed in float64, a module as a copy in training mode: the one given is not changed.
    Random layers draw the same numbers in every forward.  A function with a kink within `eps` of
    the input, as max or ReLU, has no difference to compare with there.

    The error names the tensor, the index of the worst element, and both values.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    if isinstance(module_or_pair, Module):
        problem = _ModuleProblem(module_or_pair, input)
    else:
        problem = _PairProblem(*module_or_pair, input)
    output = problem.forward()
    if output.dtype != np.float64:
        raise GradcheckError(
            f"gradcheck: the output must be float64 when the input is, got {output.dtype}"
        )
    grad_output = rng.standard_normal(output.shape)
    for name, analytical in problem.gradients(grad_output).items():
        shape = problem.tensors[name].shape
        if analytical is None:
            raise GradcheckError(f"gradcheck: {name}: backward gave no gradient")
        analytical = np.asarray(analytical)
        if analytical.shape != shape or analytical.dtype != np.float64:
            raise GradcheckError(
                f"gradcheck: {name}: the gradient must be float64 of shape {shape}, "
                f"got {analytical.dtype} of shape {analytical.shape}"
            )
        numerical = _differences(problem, name, grad_output, eps)
        excess = np.abs(analytical - numerical) - (atol + rtol * np.abs(numerical))
        wrong = ~(excess <= 0)  # so that NaN is wrong
        if wrong.any():
            index = np.unravel_index(np.argmax(np.where(wrong, excess, -np.inf)), shape)
            index = tuple(int(i) for i in index)
            raise GradcheckError(
                f"gradcheck: {name}{list(index)}: numerical {numerical[index]:.9g}, "
                f"analytical {analytical[index]:.9g} "
                f"({wrong.sum()} of {wrong.size} elements differ)"
            )
    return True


def _differences(problem, name, grad_output, eps):
    tensor = problem.tensors[name]
    differences = np.empty_like(tensor)
    for index in np.ndindex(tensor.shape):
        before = tensor[index]
        values = []
        for moved in (before + eps, before - eps):
            tensor[index] = moved
            values.append(np.vdot(problem.forward(), grad_output))
        tensor[index] = before
        differences[index] = (values[0] - values[1]) / (2 * eps)
    return differences


class _PairProblem:
    """A pair of functions of the named `tensors`."""

    def __init__(self, forward, backward, inputs):
        self._forward, self._backward = forward, backward
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        self.tensors = {f"input {i}": _float64(each) for i, each in enumerate(inputs)}

    def forward(self):
        return np.asarray(self._forward(*self.tensors.values()))

    def gradients(self, grad_output):
        gradients = self._backward(grad_output, *self.tensors.values())
        if not isinstance(gradients, tuple):
            gradients = (gradients,)
        if len(gradients) != len(self.tensors):
            raise GradcheckError(
                f"gradcheck: backward must give {len(self.tensors)} gradients, got {len(gradients)}"
            )
        return {
            name: grad
            for (name, tensor), grad in zip(self.tensors.items(), gradients, strict=True)
            if tensor.dtype == np.float64
        }


class _ModuleProblem:
    """A module of its input and its parameters, each forward on a fresh copy."""

    def __init__(self, module, input):
        self._module = copy.deepcopy(module).train()
        self._module.zero_grad()
        for each in self._module.modules():
            for name in each._buffer_names:
                setattr(each, name, _float64(getattr(each, name)))
        for parameter in self._module.parameters():
            parameter.data = _float64(parameter.data)
        self._random_state = generator().bit_generator.state
        self.tensors = {"input": _float64(input)}
        for name, parameter in self._learned(self._module):
            self.tensors[name] = parameter.data

    @staticmethod
    def _learned(module):
        return [
            (f"parameter {name}", p) for name, p in module.named_parameters() if p.requires_grad
        ]

    def _run(self):
        module = copy.deepcopy(self._module)
        after = generator().bit_generator.state
        generator().bit_generator.state = self._random_state
        try:
            return module, module(self.tensors["input"])
        finally:
            generator().bit_generator.state = after

    def forward(self):
        return self._run()[1]

    def gradients(self, grad_output):
        module, _ = self._run()
        gradients = {"input": module.backward(grad_output)}
        if self.tensors["input"].dtype != np.float64:
            del gradients["input"]
        return gradients | {name: parameter.grad for name, parameter in self._learned(module)}


def _float64(array):
    """Floats as a float64 array of its own, in C order; anything else as it is."""
    if array is None:
        return None
    array = np.asarray(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array
