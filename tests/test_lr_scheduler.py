"""Learning-rate schedules against their formulas and PyTorch."""

import itertools
import json
import math

import numpy as np
import pytest

from fastconv import nn
from fastconv.optim import SGD, Adam, RMSprop, lr_scheduler
from fastconv.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR


def optimizer(make=SGD, lr=0.4, **options):
    """Two groups, the second with a tenth of the rate."""
    first, second = (nn.Parameter(np.zeros(1)) for _ in range(2))
    return make([{"params": [first]}, {"params": [second], "lr": lr / 10}], lr=lr, **options)


def rates(make, steps, *args, of=optimizer, **options):
    """The rates of the first group from the start on, and a check of the second's."""
    target = of()
    scheduler = make(target, *args, **options)
    result = [target.param_groups[0]["lr"]]
    for _ in range(steps):
        scheduler.step()
        assert scheduler.get_last_lr() == [group["lr"] for group in target.param_groups]
        result.append(target.param_groups[0]["lr"])
    return result


def test_step():
    expected = [0.4] * 3 + [0.2] * 3 + [0.1] * 2
    assert rates(StepLR, 7, 3, 0.5) == pytest.approx(expected, rel=1e-15)
    assert rates(StepLR, 2, 1) == pytest.approx([0.4, 0.04, 0.004])


def test_cosine():
    expected = [0.1 + 0.3 * (1 + math.cos(math.pi * t / 5)) / 2 for t in range(13)]
    result = rates(CosineAnnealingLR, 12, 5, eta_min=0.1)
    assert result == pytest.approx(expected, rel=1e-12)
    assert result[5] == pytest.approx(0.1)
    assert result[10] == pytest.approx(0.4)


def test_groups_keep_their_ratio():
    target = optimizer()
    scheduler = StepLR(target, 2)
    for _ in range(5):
        scheduler.step()
        first, second = scheduler.get_last_lr()
        assert second == pytest.approx(first / 10)
    assert [group["initial_lr"] for group in target.param_groups] == [0.4, 0.04]


def blend(start, end, part, strategy):
    return {
        "linear": start + (end - start) * part,
        "cos": end + (start - end) / 2 * (1 + math.cos(math.pi * part)),
    }[strategy]


def piecewise(t, values, places, strategy):
    """The value at `t` on the way through `values` at `places`."""
    stops = zip(values, places, strict=True)
    for (a, begin), (b, end) in itertools.pairwise(stops):
        if t <= end:
            return blend(a, b, (t - begin) / (end - begin), strategy)
    raise AssertionError(t)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle(strategy, three_phase):
    total, rise = 20, 5  # 0.3 * 20 steps, the first of them at 0
    target = optimizer()
    scheduler = OneCycleLR(
        target,
        max_lr=[1.0, 2.0],
        total_steps=total,
        pct_start=0.3,
        anneal_strategy=strategy,
        base_momentum=0.8,
        max_momentum=0.9,
        div_factor=10,
        final_div_factor=100,
        three_phase=three_phase,
    )
    if three_phase:
        places = [0, rise, 2 * rise, total - 1]
        lrs, momentums = [0.1, 1, 0.1, 0.001], [0.9, 0.8, 0.9, 0.9]
    else:
        places = [0, rise, total - 1]
        lrs, momentums = [0.1, 1, 0.001], [0.9, 0.8, 0.9]
    for t in range(total):
        first, second = target.param_groups
        assert first["lr"] == pytest.approx(piecewise(t, lrs, places, strategy), rel=1e-12)
        assert second["lr"] == pytest.approx(2 * first["lr"], rel=1e-12)
        expected = piecewise(t, momentums, places, strategy)
        assert first["momentum"] == pytest.approx(expected, rel=1e-12)
        scheduler.step()  # the last one: what a loop does after its last batch
    with pytest.raises(ValueError, match="step 21 is beyond the cycle of 20"):
        scheduler.step()


def test_one_cycle_counts_epochs_times_steps():
    by_epochs = rates(OneCycleLR, 11, 1.0, epochs=3, steps_per_epoch=4)
    assert by_epochs == rates(OneCycleLR, 11, 1.0, 12)


def test_one_cycle_moves_beta1():
    target = optimizer(Adam, betas=(0.5, 0.99))
    scheduler = OneCycleLR(target, 1.0, total_steps=10)
    seen = [target.param_groups[0]["betas"]]
    for _ in range(9):
        scheduler.step()
        seen.append(target.param_groups[1]["betas"])
    assert seen[0] == (0.95, 0.99)
    assert min(seen)[0] == pytest.approx(0.85)
    assert seen[-1] == (pytest.approx(0.95), 0.99)


def test_one_cycle_may_leave_the_momentum():
    target = optimizer(RMSprop, momentum=0.3)
    scheduler = OneCycleLR(target, 1.0, total_steps=5, cycle_momentum=False)
    scheduler.step()
    assert target.param_groups[0]["momentum"] == 0.3


SCHEDULES = [
    ("StepLR", SGD, {"step_size": 4, "gamma": 0.3}),
    ("CosineAnnealingLR", SGD, {"T_max": 10, "eta_min": 0.01}),
    ("OneCycleLR", SGD, {"max_lr": 1.0, "total_steps": 25}),
    ("OneCycleLR", SGD, {"max_lr": [1.0, 0.3], "epochs": 5, "steps_per_epoch": 5}),
    ("OneCycleLR", Adam, {"max_lr": 1.0, "total_steps": 25, "three_phase": True}),
    ("OneCycleLR", Adam, {"max_lr": 1.0, "total_steps": 30, "pct_start": 1.0}),
    ("OneCycleLR", Adam, {"max_lr": 1.0, "total_steps": 25, "pct_start": 0.0}),
    ("OneCycleLR", RMSprop, {"max_lr": 1.0, "total_steps": 25, "anneal_strategy": "linear"}),
    ("OneCycleLR", SGD, {"max_lr": 1.0, "total_steps": 25, "cycle_momentum": False}),
]


@pytest.mark.parametrize(("name", "make", "options"), SCHEDULES)
def test_torch_gives_the_same(name, make, options):
    torch = pytest.importorskip("torch")
    target = optimizer(make)
    ours = getattr(lr_scheduler, name)(target, **options)
    tensors = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    peer = getattr(torch.optim, make.__name__)(
        [{"params": tensors[:1]}, {"params": tensors[1:], "lr": 0.04}], lr=0.4
    )
    theirs = getattr(torch.optim.lr_scheduler, name)(peer, **options)
    for _ in range(25):
        for group, expected in zip(target.param_groups, peer.param_groups, strict=True):
            assert group["lr"] == pytest.approx(expected["lr"], rel=1e-9, abs=1e-12)
            for key in ("momentum", "betas"):
                if key in group:
                    assert group[key] == pytest.approx(expected[key], rel=1e-9)
        peer.step()
        theirs.step()
        ours.step()
    # One step past the cycle's end is allowed, and equal too where that is a rate.
    expected = [max(0.0, lr) for lr in theirs.get_last_lr()]
    assert ours.get_last_lr() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("name", "make", "options"), SCHEDULES)
def test_resume_is_exact(name, make, options):
    schedule = getattr(lr_scheduler, name)
    target = optimizer(make)
    scheduler = schedule(target, **options)
    for _ in range(9):
        scheduler.step()
    saved = json.loads(json.dumps(scheduler.state_dict()))

    fresh = optimizer(make)
    resumed = schedule(fresh, **options)
    resumed.load_state_dict(saved)
    for _ in range(8):
        for ours, expected in zip(fresh.param_groups, target.param_groups, strict=True):
            for key in {"lr", "momentum", "betas"} & ours.keys():
                assert ours[key] == expected[key]
        scheduler.step()
        resumed.step()


def test_state_of_another_schedule_is_refused():
    target = optimizer()
    state = StepLR(target, 3).state_dict()
    with pytest.raises(ValueError, match=r"CosineAnnealingLR\.load_state_dict: keys must be"):
        CosineAnnealingLR(target, 3).load_state_dict(state)


def test_own_schedule():
    class Linear(LRScheduler):
        def get_lr(self):
            return [lr * (1 - self.last_epoch / 10) for lr in self.base_lrs]

    assert rates(Linear, 2) == pytest.approx([0.4, 0.36, 0.32])
    with pytest.raises(NotImplementedError, match="LRScheduler has no get_lr"):
        LRScheduler(optimizer())


BAD = [
    (StepLR, (0,), {}, ValueError, "StepLR: step_size must be at least 1, got 0"),
    (StepLR, (1.5,), {}, TypeError, "StepLR: step_size must be an integer, got 1.5"),
    (CosineAnnealingLR, (0,), {}, ValueError, "CosineAnnealingLR: T_max must be at least 1"),
    (OneCycleLR, (1.0,), {}, ValueError, "needs total_steps, or epochs and steps_per_epoch"),
    (OneCycleLR, (1.0, None, 3), {}, ValueError, "needs total_steps, or epochs and"),
    (OneCycleLR, (1.0, 0), {}, ValueError, "OneCycleLR: total_steps must be at least 1, got 0"),
    (OneCycleLR, (1.0, 9), {"pct_start": 1.1}, ValueError, r"pct_start must be in \[0, 1\]"),
    (OneCycleLR, (1.0, 9), {"anneal_strategy": "x"}, ValueError, "'cos' or 'linear', got 'x'"),
    (OneCycleLR, ([1.0], 9), {}, ValueError, "max_lr must be a number or one for each of the 2"),
    (OneCycleLR, (-1.0, 9), {}, ValueError, "OneCycleLR: max_lr must be at least 0, got -1.0"),
    (OneCycleLR, (1.0, 9), {"div_factor": 0}, ValueError, "div_factor must be above 0, got 0"),
    (OneCycleLR, (1.0, 9), {"final_div_factor": -1}, ValueError, "final_div_factor must be above"),
    (OneCycleLR, (1.0, 9), {"max_momentum": 1.0}, ValueError, r"momentum must be in \[0, 1\)"),
]


def test_the_step_after_the_last_one_leaves_no_rate_below_0():
    """So that a state saved there can be loaded again."""
    target = optimizer(SGD, momentum=0.9)
    schedule = OneCycleLR(target, 0.1, total_steps=8, anneal_strategy="linear")
    for _ in range(8):
        schedule.step()
    assert schedule.get_last_lr() == [0.0, 0.0]
    optimizer(SGD, momentum=0.9).load_state_dict(target.state_dict())


def test_groups_that_came_later_are_refused():
    target = optimizer()
    schedule = StepLR(target, 1)
    target.add_param_group({"params": [nn.Parameter(np.zeros(1))]})
    before = schedule.get_last_lr()
    with pytest.raises(ValueError, match="StepLR: made for 2 parameter groups, but the optimizer"):
        schedule.step()
    assert (schedule.last_epoch, schedule.get_last_lr()) == (0, before)


@pytest.mark.parametrize(("make", "args", "options", "error", "match"), BAD)
def test_bad_arguments(make, args, options, error, match):
    with pytest.raises(error, match=match):
        make(optimizer(), *args, **options)


def test_one_cycle_needs_a_momentum():
    target = optimizer()
    for group in target.param_groups:
        del group["momentum"]
    with pytest.raises(ValueError, match="needs an optimizer with momentum or betas, got SGD"):
        OneCycleLR(target, 1.0, 10)
