"""Modules made of modules."""

from fastconv.nn import fusion
from fastconv.nn.module import Module, check_module


class Sequential(Module):
    """Modules one after the other: `Sequential(Conv2d(1, 8, 3), ReLU(), ...)`.

    Their names are "0", "1", ...; a single dict gives others: `Sequential({"conv": ..., ...})`.
    input_shape: that of one example, as (1, 28, 28), for `build_for`: lazy layers get their
    parameters, and sizes that do not fit are an error now.

    Neighbours run together, to the same values: a layer computes the ReLU or LeakyReLU beside it,
    and a pool takes the place of the ReLU before it.  What they keep for backward they keep
    together: call the Sequential's backward, not theirs.  Modules whose methods are overridden are
    called as they are.
    """

    _steps = ()  # of the last forward, each with its record
    _arrangement = (None, None, None)  # of these modules, of these kinds: the steps

    def __init__(self, *modules, input_shape=None):
        if len(modules) == 1 and isinstance(modules[0], dict):
            named = modules[0]
        else:
            named = {str(index): module for index, module in enumerate(modules)}
        for name, module in named.items():
            check_module("Sequential", name, module)
            if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
                raise ValueError(
                    "Sequential: the name of a module must be a word without '.' that is no "
                    f"attribute of Sequential, got {name!r}"
                )
            setattr(self, name, module)
        if input_shape is not None:
            self.build_for(input_shape)

    def forward(self, input):
        return self._run(self._arranged(), input)

    def _forward_onto(self, input, slope, plus):
        steps = self._arranged() if self._is_plain() else []
        return self._run(steps, input, slope, plus) if steps and steps[-1].added else None

    def _is_plain(self):
        """Whether it runs as written here: who replaces a method wants it called."""
        kind, own = type(self), vars(self)
        methods = kind.__call__, kind.forward, kind.backward
        return methods == _METHODS and "forward" not in own and "backward" not in own

    def _arranged(self):
        """The steps of the modules, as these are now."""
        modules = list(self.children())
        kinds = fusion.kinds(modules)
        known, of_kinds, steps = self._arrangement
        if known != modules or of_kinds != kinds:
            steps = fusion.steps(modules, kinds)
            self._arrangement = modules, kinds, steps
        return steps

    def _run(self, steps, input, *behind):
        """Forward; `behind`: slope and `plus` for the last step."""
        before, done = None, []
        for step in steps:
            last = behind and step is steps[-1]
            input, record = step.forward(input, before, *(behind if last else ()))
            before = step.carried(before)
            done.append((step, record))
        self.__dict__["_steps"] = done if self.training else []  # __setattr__ takes its time
        return input

    def backward(self, grad_output, needs_input_grad=True):
        """Walks back through the modules.

        Without `needs_input_grad` it ends at the first module that learns, which then need not
        compute the gradient of its input either; the result is None.
        """
        return self._run_back(grad_output, needs_input_grad)

    def _backward_onto(self, grad_output, slope, plus):
        if not self._is_plain() or not self._steps or not self._steps[0][0].adds():
            return None
        return self._run_back(grad_output, True, slope, plus)

    def _run_back(self, grad_output, needs_input_grad, slope=1.0, plus=None):
        done, passed = self._steps, None
        self.__dict__["_steps"] = []
        if not done or not all([step.is_current(record) for step, record in done]):
            done = [(fusion.Step(module), fusion.Record()) for module in self.children()]
        left_out = []
        if not needs_input_grad:
            while done and not any(map(_learns, done[0][0].modules)):
                left_out.append(done.pop(0)[0])
        while done:
            step, record = done.pop()
            before = () if done else (slope, plus)
            grad_output = step.backward(
                grad_output, record, needs_input_grad or bool(done), step is passed, *before
            )
            passed = record.before or passed
        for step in left_out:  # now: a module of theirs may also have been one that went back
            _forget(step)
        return grad_output if needs_input_grad else None

    def __len__(self):
        return sum(1 for _ in self.children())

    def __iter__(self):
        return self.children()

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Sequential(dict(list(self.named_children())[index]))
        return list(self.children())[index]


_METHODS = Sequential.__call__, Sequential.forward, Sequential.backward


def _forget(step):
    """What a step that will not go back has kept for it."""
    for each in step.modules:
        for module in each.modules():
            module._saved = None


def _learns(module):
    for _, parameter in module._own_parameters():
        if parameter.requires_grad:
            return True
    return any(map(_learns, module.children()))
