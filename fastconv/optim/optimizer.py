"""Optimizers, in order of increasing complexity: SGD, RMSprop, Adam, AdamW.

Each changes its parameters in place: SGD and Adam in one pass of a kernel over all of them; RMSprop
one after the other, with temporaries in scratch arrays that all share.  So after the first step
nothing is allocated.
"""

import copy
import math

import numpy as np

from fastconv.functional import _passes
from fastconv.nn import Module, Parameter


class Optimizer:
    """Parameter groups, the state of each parameter, and the walk over both.

    params: Parameters, or dicts {"params": Parameters, option: value, ...} of which each becomes
    one of `param_groups`; options that a dict leaves out have the value of `defaults`.

    A subclass writes `update`, or `update_group` for all parameters at once, and may extend
    `check_group`.
    """

    def __init__(self, params, defaults):
        self.defaults = defaults
        self.param_groups = []
        self.state = {}
        self._scratch = {}
        if isinstance(params, (Parameter, Module, dict)):
            raise TypeError(
                f"{self._name}: params must be an iterable of Parameters or of dicts, such as "
                f"model.parameters(), got a {type(params).__name__}"
            )
        params = list(params)
        if not params:
            raise ValueError(f"{self._name}: params holds no parameter")
        if not any(isinstance(each, dict) for each in params):
            params = [{"params": params}]
        for group in params:
            self.add_param_group(group)

    @property
    def _name(self):
        return type(self).__name__

    def add_param_group(self, param_group):
        """Adds a group of parameters with its own options."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f"{self._name}: a parameter group must be a dict with 'params', got {param_group!r}"
            )
        group = {**self.defaults, **param_group}
        params = group["params"]
        group["params"] = [params] if isinstance(params, Parameter) else list(params)
        for each in group["params"]:
            if not isinstance(each, Parameter):
                raise TypeError(
                    f"{self._name}: params must hold Parameters, got {type(each).__name__}"
                )
        known = [*self._parameters(), *group["params"]]
        if len(set(map(id, known))) != len(known):
            raise ValueError(f"{self._name}: a parameter must be in one group, and there once")
        self.check_group(group)
        self.param_groups.append(group)

    def check_group(self, group):
        """ValueError for an option out of its range."""
        self._check_least_0(group, "lr", "weight_decay")

    def _check_least_0(self, group, *names):
        for name in names:
            if not group[name] >= 0:
                raise ValueError(f"{self._name}: {name} must be at least 0, got {group[name]!r}")

    def _check_fraction(self, name, value):
        if not 0 <= value < 1:
            raise ValueError(f"{self._name}: {name} must be in [0, 1), got {value!r}")

    def _parameters(self):
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self):
        """Sets the gradient of every parameter to None."""
        for parameter in self._parameters():
            parameter._grad = None

    def step(self):
        """Updates every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [
                (parameter.data, parameter._grad, self.state.setdefault(parameter, {}))
                for parameter in group["params"]
                if parameter._grad is not None and parameter.requires_grad
            ]
            self.update_group(parameters, group)

    def update_group(self, parameters, group):
        """`update` for each (data, grad, state) of a group."""
        for each in parameters:
            self.update(*each, group)

    def update(self, data, grad, state, group):
        """Changes `data` in place; `grad` is not changed, `state` is this parameter's own dict."""
        raise NotImplementedError(f"{self._name} has no update")

    def scratch(self, like, name="scratch"):
        """An array of the shape and type of `like`, contents undefined, the same at every call."""
        key = (name, like.dtype)
        if key not in self._scratch or self._scratch[key].size < like.size:
            same_type = [p.size for p in self._parameters() if p.dtype == like.dtype]
            self._scratch[key] = np.empty(max(same_type), like.dtype)
        return self._scratch[key][: like.size].reshape(like.shape)

    def decayed(self, data, grad, weight_decay):
        """grad + weight_decay data: the gradient with that of (weight_decay / 2) |data|^2."""
        if not weight_decay:
            return grad
        total = np.multiply(data, weight_decay, out=self.scratch(data, "decayed"))
        total += grad
        return total

    def state_dict(self):
        """All that an exact resume needs, in PyTorch's form, parameters numbered from 0.

        {"state": {number: {name: array or number}}, "param_groups": [{..., "params": [number]}]};
        the arrays are the optimizer's own, as in PyTorch.
        """
        number = {parameter: index for index, parameter in enumerate(self._parameters())}
        return {
            "state": {number[parameter]: dict(state) for parameter, state in self.state.items()},
            "param_groups": [
                {**group, "params": [number[parameter] for parameter in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict):
        """Copies a `state_dict` of an optimizer over the same parameters.

        On any error nothing has been changed.  Raises ValueError if the groups differ in number,
        size or options, or an array has not the shape of its parameter.
        """
        groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in self.param_groups]
        if [len(group["params"]) for group in groups] != sizes:
            raise ValueError(
                f"{self._name}.load_state_dict: param_groups must hold {sizes} parameters, "
                f"got {[len(group['params']) for group in groups]}"
            )
        numbers = [number for group in groups for number in group["params"]]
        parameters = dict(zip(numbers, self._parameters(), strict=True))
        if not state_dict["state"].keys() <= parameters.keys():
            raise ValueError(
                f"{self._name}.load_state_dict: state is for parameters "
                f"{sorted(state_dict['state'])}, param_groups for {numbers}"
            )
        state = {
            parameters[number]: {
                name: self._own(parameters[number], name, value) for name, value in entry.items()
            }
            for number, entry in state_dict["state"].items()
        }
        loaded = [
            {**copy.deepcopy(group), "params": own["params"]}
            for group, own in zip(groups, self.param_groups, strict=True)
        ]
        for group in loaded:
            if not group.keys() >= self.defaults.keys():
                raise ValueError(
                    f"{self._name}.load_state_dict: a parameter group must have the options "
                    f"{', '.join(self.defaults)}, got {', '.join(group)}"
                )
            self.check_group(group)
        self.state = state
        # Into the same dicts: a scheduler may hold them.
        for own, group in zip(self.param_groups, loaded, strict=True):
            own.clear()
            own.update(group)

    def _own(self, parameter, name, value):
        if not isinstance(value, np.ndarray):
            return value
        if value.shape != parameter.shape:
            raise ValueError(
                f"{self._name}.load_state_dict: {name} must have the shape of its parameter, "
                f"{parameter.shape}, got {value.shape}"
            )
        return value.astype(parameter.dtype, order="C")

    def __repr__(self):
        options = [
            ", ".join(f"{name}={value!r}" for name, value in group.items() if name != "params")
            for group in self.param_groups
        ]
        return f"{self._name}({'; '.join(options)})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Sutskever et al. 2013, in PyTorch's form).

        g = grad + weight_decay w
        b = momentum b + (1 - dampening) g          (b = g at first)
        w = w - lr b,   with nesterov   w - lr (g + momentum b)

    Raises ValueError for an option out of its range, and for nesterov without momentum or with
    dampening.
    """

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False):
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    def check_group(self, group):
        super().check_group(group)
        self._check_least_0(group, "momentum")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                "SGD: nesterov needs a momentum above 0 and no dampening, got "
                f"momentum={group['momentum']!r}, dampening={group['dampening']!r}"
            )

    def update_group(self, parameters, group):
        momentum = group["momentum"]
        lines = []
        for data, grad, state in parameters:
            first = "momentum_buffer" not in state
            buffer = zeros(state, "momentum_buffer", data) if momentum else None
            lines.append((data, grad, buffer, 1 if first else 1 - group["dampening"]))
        _passes.update(
            "sgd", lines, group["lr"], momentum, group["weight_decay"], group["nesterov"]
        )


class RMSprop(Optimizer):
    """Gradient over a running root mean square of it (Tieleman & Hinton 2012, lecture 6.5).

    g = grad + weight_decay w
    v = alpha v + (1 - alpha) g^2
    m = alpha m + (1 - alpha) g                 (centered: v - m^2 in place of v, Graves 2013)
    b = momentum b + g / (sqrt(v) + eps)
    w = w - lr b
    """

    def __init__(
        self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
        )

    def check_group(self, group):
        super().check_group(group)
        self._check_least_0(group, "eps", "momentum", "alpha")

    def update(self, data, grad, state, group):
        alpha, momentum = group["alpha"], group["momentum"]
        grad = self.decayed(data, grad, group["weight_decay"])
        step = self.scratch(data)
        square = zeros(state, "square_avg", data)
        running_mean(square, alpha, np.multiply(grad, grad, out=step), step)
        if group["centered"]:
            mean = zeros(state, "grad_avg", data)
            running_mean(mean, alpha, grad, step)
            np.multiply(mean, mean, out=step)
            np.subtract(square, step, out=step)
            square = np.maximum(step, 0, out=step)  # rounding may leave it below
        np.sqrt(square, out=step)
        step += group["eps"]
        np.divide(grad, step, out=step)
        if momentum:
            buffer = zeros(state, "momentum_buffer", data)
            buffer *= momentum
            buffer += step
            np.multiply(buffer, group["lr"], out=step)
        else:
            step *= group["lr"]
        data -= step


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015, algorithm 1).

        g = grad + weight_decay w
        m = beta1 m + (1 - beta1) g                 v = beta2 v + (1 - beta2) g^2
        w = w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    amsgrad: the largest v so far in place of v (Reddi et al. 2018).
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
            },
        )

    def check_group(self, group):
        super().check_group(group)
        self._check_least_0(group, "eps")
        if len(group["betas"]) != 2:
            raise ValueError(f"{self._name}: betas must be two numbers, got {group['betas']!r}")
        for beta in group["betas"]:
            self._check_fraction("betas", beta)

    def update_group(self, parameters, group):
        self.adapt(parameters, group, decay=group["weight_decay"])

    def adapt(self, parameters, group, decay=0.0, shrink=1.0):
        """The formula: data times `shrink` less a step along the gradient with its decay."""
        lr, eps, (beta1, beta2) = group["lr"], group["eps"], group["betas"]
        lines, before, largest = [], None, None
        for data, grad, state in parameters:
            time = state["step"] = state.get("step", 0) + 1
            mean, square = zeros(state, "exp_avg", data), zeros(state, "exp_avg_sq", data)
            if group["amsgrad"]:
                largest = zeros(state, "max_exp_avg_sq", data)
            if time != before:  # that of the parameter before, nearly always
                # Both sides of the fraction times sqrt(1 - beta2^t): section 2 of the paper.
                correction = math.sqrt(1 - beta2**time)
                step, floor, before = lr * correction / (1 - beta1**time), eps * correction, time
            lines.append((data, grad, mean, square, largest, step, floor))
        _passes.update("adam", lines, shrink, decay, beta1, beta2)


class AdamW(Adam):
    """Adam whose weight decay does not pass through the moments (Loshchilov & Hutter 2019).

    w = w - lr weight_decay w, then Adam with g = grad
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def update_group(self, parameters, group):
        self.adapt(parameters, group, shrink=1 - group["lr"] * group["weight_decay"])


def zeros(state, name, data):
    """state[name], at first an array of zeros like `data`."""
    found = state.get(name)
    if found is None:
        found = state[name] = np.zeros(data.shape, data.dtype)  # C-contiguous
    return found


def running_mean(mean, keep, term, scratch):
    """mean = keep mean + (1 - keep) term, in place; `scratch` may be `term`."""
    mean *= keep
    mean += np.multiply(term, 1 - keep, out=scratch)
