"""Learning-rate schedules, with PyTorch's names, formulas and order of calls.

A scheduler writes group["lr"] when it is made and at each `step()`, as a closed formula of the
number of steps taken, `last_epoch`; so a loaded scheduler goes on to the same bits.
"""

import math

from fastconv._shapes import integer


class LRScheduler:
    """Counts steps and writes what `get_lr` says into the optimizer's groups."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._write()

    def get_lr(self):
        """The learning rate of each group after `last_epoch` steps."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr")

    def get_last_lr(self):
        """The learning rates written last."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self):
        """Goes on by one epoch (or batch, for a schedule counted in batches)."""
        if len(self.optimizer.param_groups) != len(self.base_lrs):
            raise ValueError(
                f"{type(self).__name__}: made for {len(self.base_lrs)} parameter groups, but the "
                f"optimizer has {len(self.optimizer.param_groups)}"
            )
        self.last_epoch += 1
        self._write()

    def _write(self):
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def state_dict(self):
        """Everything but the optimizer, as plain numbers and lists."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict):
        """Goes on where the scheduler of `state_dict` was, and writes its learning rates."""
        expected = self.state_dict().keys()
        if state_dict.keys() != expected:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: keys must be {sorted(expected)}, "
                f"got {sorted(state_dict)}"
            )
        vars(self).update(state_dict)
        self._write()


class StepLR(LRScheduler):
    """Times `gamma` every `step_size` epochs: base_lr gamma^floor(epoch / step_size)."""

    def __init__(self, optimizer, step_size, gamma=0.1):
        self.step_size = integer("StepLR", "step_size", step_size, 1)
        self.gamma = gamma
        super().__init__(optimizer)

    def get_lr(self):
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base_lr * factor for base_lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate to `eta_min` in `T_max` epochs, and back in the next.

    eta_min + (base_lr - eta_min) (1 + cos(pi epoch / T_max)) / 2: Loshchilov & Hutter 2017,
    "SGDR: stochastic gradient descent with warm restarts", equation 5, without the restarts.
    """

    def __init__(self, optimizer, T_max, eta_min=0.0):
        self.T_max = integer("CosineAnnealingLR", "T_max", T_max, 1)
        self.eta_min = eta_min
        super().__init__(optimizer)

    def get_lr(self):
        return [
            _cosine(base_lr, self.eta_min, self.last_epoch / self.T_max)
            for base_lr in self.base_lrs
        ]


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and down again, far below the start, counted in batches.

    The rate rises from max_lr / div_factor for `pct_start` of all steps, then falls to the initial
    rate / final_div_factor; with `three_phase` it falls as fast as it rose, then on to the end.
    With `cycle_momentum` the momentum (SGD, RMSprop) or beta1 (Adam) goes the other way, from
    `max_momentum` to `base_momentum`.  Smith & Topin 2017, "Super-convergence".

    max_lr, base_momentum, max_momentum: a number, or a list with one for each parameter group.
    The number of steps is `total_steps`, or `epochs` times `steps_per_epoch`.
    Raises ValueError for options out of range, for an optimizer without momentum, and at a step
    beyond the last.
    """

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps=None,
        epochs=None,
        steps_per_epoch=None,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25.0,
        final_div_factor=1e4,
        three_phase=False,
    ):
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: needs total_steps, or epochs and steps_per_epoch")
            total_steps = integer("OneCycleLR", "epochs", epochs, 1) * integer(
                "OneCycleLR", "steps_per_epoch", steps_per_epoch, 1
            )
        self.total_steps = integer("OneCycleLR", "total_steps", total_steps, 1)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be in [0, 1], got {pct_start!r}")
        if anneal_strategy not in _ANNEAL:
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.pct_start = pct_start
        self.three_phase = three_phase
        for name, factor in ("div_factor", div_factor), ("final_div_factor", final_div_factor):
            if not factor > 0:
                raise ValueError(f"OneCycleLR: {name} must be above 0, got {factor!r}")
        groups = optimizer.param_groups
        if cycle_momentum and not all("momentum" in g or "betas" in g for g in groups):
            raise ValueError(
                "OneCycleLR: cycle_momentum needs an optimizer with momentum or betas, got "
                f"{type(optimizer).__name__}"
            )
        self.max_lrs = _per_group("max_lr", max_lr, groups)
        self.base_momentums = _per_group("base_momentum", base_momentum, groups)
        self.max_momentums = _per_group("max_momentum", max_momentum, groups)
        for peak in self.max_lrs:
            if not peak >= 0:
                raise ValueError(f"OneCycleLR: max_lr must be at least 0, got {peak!r}")
        for momentum in (*self.base_momentums, *self.max_momentums) if cycle_momentum else ():
            if not 0 <= momentum < 1:
                raise ValueError(f"OneCycleLR: momentum must be in [0, 1), got {momentum!r}")
        for group, peak in zip(groups, self.max_lrs, strict=True):
            group["initial_lr"] = peak / div_factor
        self.final_div_factor = final_div_factor
        super().__init__(optimizer)

    def _phases(self):
        """(last step, from, to) of each phase, by index into (initial, peak, final)."""
        last, rise = self.total_steps - 1, self.pct_start * self.total_steps
        if self.three_phase:
            return (rise - 1, 0, 1), (2 * rise - 2, 1, 0), (last, 0, 2)
        return (rise - 1, 0, 1), (last, 1, 2)

    def _anneal(self, *stops):
        """The value now of what is `stops` = (initial, peak, final) at the ends of the phases."""
        begin = 0
        *earlier, last = self._phases()
        for phase in earlier:
            if self.last_epoch <= phase[0]:
                break
            begin = phase[0]
        else:
            phase = last
        end, source, target = phase
        part = (self.last_epoch - begin) / (end - begin) if end != begin else 1.0
        return _ANNEAL[self.anneal_strategy](stops[source], stops[target], part)

    def get_lr(self):
        # PyTorch allows the step that a training loop does after the last batch.
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch} is beyond the cycle of {self.total_steps}"
            )
        # A straight line goes on below 0 in that step, for PyTorch.
        return [
            max(0.0, self._anneal(initial, peak, initial / self.final_div_factor))
            for initial, peak in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def _write(self):
        super()._write()
        if not self.cycle_momentum:
            return
        momentums = zip(self.base_momentums, self.max_momentums, strict=True)
        for group, (base, top) in zip(self.optimizer.param_groups, momentums, strict=True):
            momentum = self._anneal(top, base, top)
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


def _cosine(start, end, part):
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _linear(start, end, part):
    return start + (end - start) * part


_ANNEAL = {"cos": _cosine, "linear": _linear}


def _per_group(name, value, groups):
    if not isinstance(value, (list, tuple)):
        return [value] * len(groups)
    if len(value) != len(groups):
        raise ValueError(
            f"OneCycleLR: {name} must be a number or one for each of the {len(groups)} parameter "
            f"groups, got {value!r}"
        )
    return list(value)
