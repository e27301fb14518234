"""What every layer is: parameters, buffers and submodules, a forward and an explicit backward."""

import reprlib
from typing import NamedTuple

import numpy as np

from fastconv.functional._arrays import FLOATS, as_array
from fastconv.nn.probe import evaluating, example


class Parameter:
    """An array that is learned, and the gradient of the loss with respect to it.

    data: a float32 or float64 array, kept and not copied unless it is read-only.
    grad: None, or an array of the same shape.
    requires_grad: False freezes the parameter; layers then skip its gradient.
    """

    __slots__ = ("_grad", "data", "requires_grad")

    def __init__(self, data, requires_grad=True):
        data = np.require(data, requirements="W")
        if data.dtype not in FLOATS:
            raise TypeError(f"Parameter: data must be float32 or float64, got {data.dtype}")
        self.data = data
        self.requires_grad = requires_grad
        self._grad = None

    @property
    def grad(self):
        return self._grad

    @grad.setter
    def grad(self, grad):
        if grad is not None:
            grad = as_array("Parameter", "grad", grad)
            if not grad.flags.writeable:  # the next gradient is added in place
                grad = grad.copy()
            if grad.shape != self.data.shape:
                raise ValueError(
                    f"Parameter: grad must have the shape of data, {self.data.shape}, "
                    f"got {grad.shape}"
                )
        self._grad = grad

    def accumulate(self, grad):
        """Adds `grad` to what `backward` left before.  The first array is kept, not copied."""
        if self._grad is None:
            self.grad = grad
        else:
            self._add(grad)

    def _add(self, grad):
        """The same of what a kernel gave, of which there is nothing to check."""
        if self._grad is None:
            self._grad = grad
        else:
            self._grad += grad

    @property
    def shape(self):
        return self.data.shape

    @property
    def dtype(self):
        return self.data.dtype

    @property
    def size(self):
        return self.data.size

    def __repr__(self):
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` left aside."""

    missing_keys: list
    unexpected_keys: list


def _join(prefix, name):
    return f"{prefix}.{name}" if prefix else name


class Module:
    """A layer or a model.

    A subclass sets its parts as attributes: a `Parameter`, another `Module`, or through
    `register_buffer` an array that is saved but not learned.  It writes `forward(input)`, which
    hands what its gradient needs to `save_for_backward`, and

        backward(grad_output, needs_input_grad=True) -> grad_input

    which takes that from `saved_for_backward`, adds to the `grad` of its parameters (with
    `Parameter.accumulate`) and returns the gradient of the input.  With `needs_input_grad=False`
    that is not wanted: it may be None.
    """

    def __new__(cls, *args, **kwargs):
        # Here rather than in __init__: subclasses need no super().__init__(), and the arguments
        # are those of the call, whatever constructors it runs through.  `repr` and `describe`
        # read them.
        self = super().__new__(cls)
        self._arguments = (args, kwargs)
        self._buffer_names = ()
        self._saved = None
        self.training = True
        return self

    def __init__(self):
        pass  # refuses arguments, which object.__init__ would not beside a __new__

    def __setattr__(self, name, value):
        if isinstance(self.__dict__.get(name), Parameter) and not isinstance(
            value, (Parameter, type(None))
        ):
            raise TypeError(
                f"{type(self).__name__}: {name} must stay a Parameter or None, got "
                f"{type(value).__name__}; write its values to {name}.data[...]"
            )
        super().__setattr__(name, value)

    # ---- sizes

    def build_for(self, input_shape):
        """Makes the parameters of every lazy layer in it, by a forward of one example of zeros.

        input_shape: that of one example, without the batch axis, as (1, 28, 28).  The forward is in
        evaluation mode: running statistics stay as they are.  Returns the module.  Raises what the
        forward does for an input that does not fit.
        """
        with evaluating(self):
            self(example(self, input_shape))
        return self

    def _dtype(self):
        """The float type of this module's own parameters, or None."""
        return next((parameter.dtype for _, parameter in self._own_parameters()), None)

    def multiply_adds(self, input_shape, output_shape):
        """Multiplications (each with an addition) of one forward; `summary` asks.

        0 but for convolutions and Linear.  Another layer with many may override it; the shapes are
        those of its first input and of its output.
        """
        return 0

    # ---- computing

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def forward(self, input):
        """The output for `input`."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, grad_output, needs_input_grad=True):
        """The gradient of the input of the last `forward`; adds to the parameters' gradients."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def _forward_onto(self, input, slope, plus):
        """`forward` plus `plus(output)`, behind an activation of this slope; None if it cannot.

        `plus` gives an array like its argument, and is called when nothing else is left to do.
        """
        return None

    def _backward_onto(self, grad_output, slope, plus):
        """`backward` by what went into an activation before, behind which a branch adds `plus`.

        `slope` is that activation's, and the input its output.  None where that cannot be done.
        """
        return None

    def save_for_backward(self, *values):
        """Keeps references to `values` until `backward` takes them; in eval mode keeps nothing."""
        self.__dict__["_saved"] = values if self.training else None  # __setattr__ takes its time

    def saved_for_backward(self):
        """The values of the last `save_for_backward`, once; RuntimeError if there are none."""
        if self._saved is None:
            raise RuntimeError(
                f"{type(self).__name__}: backward needs a forward in training mode before it, one "
                "for each backward (a module used twice in a model keeps only its last forward; "
                "in a Sequential, call the Sequential's backward)"
            )
        values = self._saved
        self.__dict__["_saved"] = None
        return values

    # ---- parts

    def register_buffer(self, name, array):
        """Makes `array` an attribute that `state_dict` holds and no optimizer changes."""
        setattr(self, name, array)
        self._buffer_names += (name,)

    def named_children(self):
        """(name, module) for every direct submodule."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self):
        """The direct submodules."""
        for value in self.__dict__.values():
            if isinstance(value, Module):
                yield value

    def _walk(self, prefix=""):
        """(path, module) for this module and all below it, a shared one at every path."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(_join(prefix, name))

    def named_modules(self):
        """(path, module) for this module (path "") and all below it, each once."""
        yield from _each_once(self._walk())

    def modules(self):
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def _own_parameters(self):
        """(name, Parameter) of this module alone."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value

    def named_parameters(self):
        """(path, Parameter) for this module and all below it, each once."""
        yield from _each_once(
            (_join(path, name), value)
            for path, module in self.named_modules()
            for name, value in module._own_parameters()
        )

    def parameters(self):
        """The parameters of this module and all below it, each once."""
        for _, parameter in self.named_parameters():
            yield parameter

    # ---- state

    def _state(self):
        for path, module in self._walk():
            for name, value in module._own_parameters():
                yield _join(path, name), value.data
            for name in module._buffer_names:
                if getattr(module, name) is not None:
                    yield _join(path, name), getattr(module, name)

    def state_dict(self):
        """Path -> array for every parameter and buffer, under PyTorch's names.

        The arrays are the module's own, as in PyTorch: training goes on in them.  Copy those that
        are to stay (`fastconv.save` writes them out).
        """
        return dict(self._state())

    def load_state_dict(self, state_dict, strict=True):
        """Copies the arrays of `state_dict` into this module's own, converting the float type.

        Returns (missing_keys, unexpected_keys), which only `strict=False` accepts.  On any error
        nothing has been changed.  Raises ValueError that lists every missing key, unexpected key
        and wrong shape, TypeError for an array whose type cannot be converted.
        """
        own = self.state_dict()
        given = {key: np.asarray(value) for key, value in state_dict.items()}
        missing = [key for key in own if key not in given]
        unexpected = [key for key in given if key not in own]
        shared = [key for key in own if key in given]
        problems = []
        if strict and missing:
            problems.append(f"missing keys: {', '.join(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected keys: {', '.join(map(str, unexpected))}")
        problems += [
            f"{key} must have shape {own[key].shape}, got {given[key].shape}"
            for key in shared
            if own[key].shape != given[key].shape
        ]
        if problems:
            raise ValueError(f"{type(self).__name__}.load_state_dict: " + "; ".join(problems))
        for key in shared:
            if not np.can_cast(given[key].dtype, own[key].dtype, "same_kind"):
                raise TypeError(
                    f"{type(self).__name__}.load_state_dict: {key} must be {own[key].dtype}, "
                    f"got {given[key].dtype}"
                )
        for key in shared:
            own[key][...] = given[key]
        return IncompatibleKeys(missing, unexpected)

    def train(self, mode=True):
        """Training mode for this module and all below it; returns the module."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """Evaluation mode: no dropout, running statistics, nothing kept for a backward."""
        return self.train(False)

    def zero_grad(self):
        """Sets the gradient of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    # ---- text

    def extra_repr(self):
        """What stands between the brackets of `repr`: the arguments of the constructor."""
        args, kwargs = self._arguments
        shown = [(None, value) for value in args] + list(kwargs.items())
        return ", ".join(
            reprlib.repr(value) if name is None else f"{name}={reprlib.repr(value)}"
            for name, value in shown
            if not isinstance(value, (Module, dict, np.random.Generator))
        )

    def __repr__(self):
        lines = [self.extra_repr()] if self.extra_repr() else []
        lines += [f"({name}): {child!r}" for name, child in self.named_children()]
        if not any(True for _ in self.children()):
            return f"{type(self).__name__}({''.join(lines)})"
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def check_module(op, name, value):
    """TypeError if a part of a container is no Module."""
    if not isinstance(value, Module):
        raise TypeError(f"{op}: {name} must be a Module, got {type(value).__name__}")


def _each_once(named):
    seen = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value
