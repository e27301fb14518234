"""Optimizers against the formulas of their papers, number by number, and against PyTorch."""

import copy
import math
import tracemalloc

import numpy as np
import pytest

from fastconv import nn, optim
from fastconv.optim import SGD, Adam, AdamW, Optimizer, RMSprop, clip_grad_norm

STEPS = 6

# ---- the formulas, for one number w, its gradients g, and Python's floats


def sgd(w, gradients, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    b = None
    for g in gradients:
        g = g + weight_decay * w
        if momentum:
            b = g if b is None else momentum * b + (1 - dampening) * g
            g = g + momentum * b if nesterov else b
        w = w - lr * g
    return w


def rmsprop(
    w, gradients, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False
):
    v = m = b = 0.0
    for g in gradients:
        g = g + weight_decay * w
        v = alpha * v + (1 - alpha) * g * g
        m = alpha * m + (1 - alpha) * g
        spread = v - m * m if centered else v
        b = momentum * b + g / (math.sqrt(spread) + eps)
        w = w - lr * b
    return w


def adam(w, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False):
    m = v = largest = 0.0
    for t, g in enumerate(gradients, 1):
        m, v, largest, step = moments(m, v, largest, g + weight_decay * w, t, betas, eps, amsgrad)
        w = w - lr * step
    return w


def adamw(w, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False):
    m = v = largest = 0.0
    for t, g in enumerate(gradients, 1):
        m, v, largest, step = moments(m, v, largest, g, t, betas, eps, amsgrad)
        w = w - lr * (weight_decay * w + step)
    return w


def moments(m, v, largest, g, t, betas, eps, amsgrad):
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g * g
    largest = max(largest, v)
    used = largest if amsgrad else v
    step = m / (1 - betas[0] ** t) / (math.sqrt(used / (1 - betas[1] ** t)) + eps)
    return m, v, largest, step


FORMULAS = {SGD: sgd, RMSprop: rmsprop, Adam: adam, AdamW: adamw}

OPTIONS = [
    (SGD, {}),
    (SGD, {"lr": 0.1, "weight_decay": 0.2}),
    (SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2, "dampening": 0.3}),
    (SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    (SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.2}),
    (RMSprop, {}),
    (RMSprop, {"lr": 0.05, "alpha": 0.7, "eps": 0.1, "weight_decay": 0.2}),
    (RMSprop, {"alpha": 0.7, "momentum": 0.9}),
    (RMSprop, {"alpha": 0.7, "centered": True}),
    (RMSprop, {"alpha": 0.7, "centered": True, "momentum": 0.5, "weight_decay": 0.1}),
    (Adam, {}),
    (Adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.2}),
    (Adam, {"lr": 0.1, "betas": (0.0, 0.5), "amsgrad": True}),
    (AdamW, {}),
    (AdamW, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.5}),
    (AdamW, {"lr": 0.1, "betas": (0.9, 0.5), "amsgrad": True}),
]

every_option = pytest.mark.parametrize(
    ("make", "options"),
    OPTIONS,
    ids=[f"{make.__name__}({options})" for make, options in OPTIONS],
)


def problem(dtype=np.float64, seed=0):
    """Parameters of several shapes, and gradients for each of them in every step."""
    rng = np.random.default_rng(seed)
    shapes = [(2, 3), (4,), (), (0, 2)]
    parameters = [nn.Parameter(rng.normal(size=shape).astype(dtype)) for shape in shapes]
    gradients = [
        # From large to small, so that amsgrad's maximum matters.
        [rng.normal(scale=2.0 ** (3 - t), size=shape).astype(dtype) for shape in shapes]
        for t in range(STEPS)
    ]
    return parameters, gradients


def run(optimizer, parameters, gradients):
    for step in gradients:
        for parameter, grad in zip(parameters, step, strict=True):
            parameter.grad = grad
        optimizer.step()


@every_option
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_steps_follow_the_formula(make, options, dtype):
    parameters, gradients = problem(dtype)
    starts = [parameter.data.copy() for parameter in parameters]
    arrays = [parameter.data for parameter in parameters]
    run(make(parameters, **options), parameters, gradients)
    for k, parameter in enumerate(parameters):
        assert parameter.data is arrays[k]
        assert parameter.dtype == dtype
        for index in np.ndindex(parameter.shape):
            history = [float(step[k][index]) for step in gradients]
            expected = FORMULAS[make](float(starts[k][index]), history, **options)
            tolerance = 1e-12 if dtype == np.float64 else 2e-5
            assert parameter.data[index] == pytest.approx(expected, rel=tolerance, abs=tolerance)


@every_option
def test_steps_follow_torch(make, options):
    torch = pytest.importorskip("torch")
    parameters, gradients = problem()
    theirs = [torch.nn.Parameter(torch.tensor(parameter.data)) for parameter in parameters]
    peer = getattr(torch.optim, make.__name__)(theirs, **options)
    for step in gradients:
        for tensor, grad in zip(theirs, step, strict=True):
            tensor.grad = torch.tensor(grad)
        peer.step()
    run(make(parameters, **options), parameters, gradients)
    for parameter, tensor in zip(parameters, theirs, strict=True):
        np.testing.assert_allclose(parameter.data, tensor.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", FORMULAS)
def test_defaults_and_order_are_those_of_torch(make):
    torch = pytest.importorskip("torch")
    parameter = nn.Parameter(np.zeros(1))
    ours = make([parameter]).param_groups[0]
    theirs = getattr(torch.optim, make.__name__)([torch.nn.Parameter(torch.zeros(1))])
    theirs = theirs.param_groups[0]
    assert {name: theirs[name] for name in ours if name != "params"} == {
        name: value for name, value in ours.items() if name != "params"
    }


@every_option
def test_gradients_are_not_changed(make, options):
    parameters, gradients = problem()
    before = copy.deepcopy(gradients)
    run(make(parameters, **options), parameters, gradients)
    for step, old in zip(gradients, before, strict=True):
        for grad, same in zip(step, old, strict=True):
            np.testing.assert_array_equal(grad, same)


@every_option
def test_memory_order_does_not_matter(make, options):
    parameters, gradients = problem()
    others, _ = problem()
    others[0] = nn.Parameter(np.asfortranarray(others[0].data))
    turned = [[np.asfortranarray(step[0]), *step[1:]] for step in gradients]
    run(make(parameters, **options), parameters, gradients)
    run(make(others, **options), others, turned)
    np.testing.assert_array_equal(others[0].data, parameters[0].data)


@every_option
def test_later_steps_allocate_nothing(make, options):
    rng = np.random.default_rng(0)
    parameters = [nn.Parameter(rng.normal(size=(300, 300))) for _ in range(3)]
    for parameter in parameters:
        parameter.grad = rng.normal(size=(300, 300))
    optimizer = make(parameters, **options)
    optimizer.step()
    tracemalloc.start()
    try:
        optimizer.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < parameters[0].data.nbytes / 10


@every_option
def test_resume_is_exact(make, options):
    parameters, gradients = problem(np.float32)
    optimizer = make(parameters, **options)
    run(optimizer, parameters, gradients[:3])

    twins = [nn.Parameter(parameter.data.copy()) for parameter in parameters]
    resumed = make(twins, lr=123.0)
    state = optimizer.state_dict()
    resumed.load_state_dict(state)
    for entry in state["state"].values():  # copied, not shared
        for value in entry.values():
            if isinstance(value, np.ndarray):
                assert not any(
                    np.shares_memory(value, other)
                    for own in resumed.state.values()
                    for other in own.values()
                    if isinstance(other, np.ndarray)
                )
    run(optimizer, parameters, gradients[3:])
    run(resumed, twins, gradients[3:])
    for parameter, twin in zip(parameters, twins, strict=True):
        np.testing.assert_array_equal(twin.data, parameter.data)


# ---- groups, state, errors


def test_parameters_without_a_gradient_and_frozen_ones_stay():
    parameters = [nn.Parameter(np.ones(2)) for _ in range(3)]
    optimizer = Adam(parameters, weight_decay=0.1)
    parameters[0].grad = np.ones(2)
    parameters[1].grad = np.ones(2)
    parameters[1].requires_grad = False
    optimizer.step()
    assert np.all(parameters[0].data < 1)
    np.testing.assert_array_equal(parameters[1].data, 1)
    np.testing.assert_array_equal(parameters[2].data, 1)
    assert list(optimizer.state) == parameters[:1]


def test_zero_grad():
    parameter = nn.Parameter(np.ones(2))
    parameter.grad = np.ones(2)
    SGD([parameter]).zero_grad()
    assert parameter.grad is None


def test_groups_have_their_own_options():
    first, second, third = (nn.Parameter(np.ones(1)) for _ in range(3))
    optimizer = SGD([{"params": [first]}, {"params": second, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": iter([third]), "lr": 0.2, "weight_decay": 1.0})
    for parameter in (first, second, third):
        parameter.grad = np.ones(1)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.3  # as a scheduler does
    optimizer.step()
    np.testing.assert_allclose(first.data, 1 - 0.1 - 0.3)
    np.testing.assert_allclose(second.data, 1 - 2 * 0.5)
    np.testing.assert_allclose(third.data, 0.6 - 0.2 * 1.6)


def test_both_types_in_one_optimizer():
    parameters = [nn.Parameter(np.ones(5, dtype)) for dtype in (np.float32, np.float64)]
    optimizer = Adam(parameters, lr=0.1)
    run(optimizer, parameters, [[np.ones(5, p.dtype) for p in parameters]] * 3)
    for parameter in parameters:
        np.testing.assert_allclose(parameter.data, 0.7, rtol=1e-6)
        assert optimizer.state[parameter]["exp_avg"].dtype == parameter.dtype


@every_option
def test_state_dict_has_the_form_of_torch(make, options):
    torch = pytest.importorskip("torch")
    parameters, gradients = problem()
    optimizer = make(parameters, **options)
    run(optimizer, parameters, gradients)
    theirs = [torch.nn.Parameter(torch.tensor(parameter.data)) for parameter in parameters]
    peer = getattr(torch.optim, make.__name__)(theirs, **options)
    for tensor in theirs:
        tensor.grad = torch.ones_like(tensor)
    peer.step()
    ours, expected = optimizer.state_dict(), peer.state_dict()
    assert ours.keys() == expected.keys()
    assert [group["params"] for group in ours["param_groups"]] == [[0, 1, 2, 3]]
    for number, entry in expected["state"].items():
        names = {name for name, value in entry.items() if value is not None}
        # PyTorch counts steps for all but SGD; RMSprop here has no use for them.
        assert set(ours["state"][number]) == names - ({"step"} if make is RMSprop else set())


def test_load_state_dict_refuses_another_model():
    parameters, gradients = problem()
    optimizer = Adam(parameters)
    run(optimizer, parameters, gradients[:1])
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"Adam.load_state_dict: .*\[3\] parameters, got \[4\]"):
        Adam(parameters[:3]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"\[2, 2\] parameters, got \[4\]"):
        Adam([{"params": parameters[:2]}, {"params": parameters[2:]}]).load_state_dict(state)
    other = Adam(parameters[::-1], lr=0.5)
    with pytest.raises(ValueError, match=r"exp_avg must have the shape .* \(0, 2\), got \(2, 3\)"):
        other.load_state_dict(state)
    assert other.state == {}
    assert other.param_groups[0]["lr"] == 0.5
    with pytest.raises(ValueError, match=r"state is for parameters \[7\]"):
        other.load_state_dict({**state, "state": {7: {}}})
    with pytest.raises(ValueError, match=r"SGD\.load_state_dict: .* momentum, .*, got lr, betas"):
        SGD(parameters).load_state_dict({**state, "state": {}})
    state["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be at least 0, got -1"):
        optimizer.load_state_dict(state)


BAD_OPTIONS = [
    (SGD, {"lr": -0.1}, "SGD: lr must be at least 0, got -0.1"),
    (SGD, {"lr": math.nan}, "SGD: lr must be at least 0, got nan"),
    (SGD, {"momentum": -1}, "SGD: momentum must be at least 0, got -1"),
    (SGD, {"weight_decay": -1}, "SGD: weight_decay must be at least 0, got -1"),
    (SGD, {"nesterov": True}, "nesterov needs a momentum above 0 and no dampening"),
    (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening=0.1"),
    (RMSprop, {"alpha": -0.1}, "RMSprop: alpha must be at least 0, got -0.1"),
    (RMSprop, {"eps": -0.1}, "RMSprop: eps must be at least 0, got -0.1"),
    (Adam, {"betas": (1.0, 0.9)}, r"Adam: betas must be in \[0, 1\), got 1.0"),
    (Adam, {"betas": (0.9, -0.1)}, r"Adam: betas must be in \[0, 1\), got -0.1"),
    (Adam, {"betas": (0.9,)}, r"Adam: betas must be two numbers, got \(0.9,\)"),
    (AdamW, {"eps": -1}, "AdamW: eps must be at least 0, got -1"),
]


@pytest.mark.parametrize(("make", "options", "match"), BAD_OPTIONS)
def test_bad_options(make, options, match):
    with pytest.raises(ValueError, match=match):
        make([nn.Parameter(np.zeros(1))], **options)
    with pytest.raises(ValueError, match=match):
        make([{"params": [nn.Parameter(np.zeros(1))], **options}])


def test_bad_parameters():
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="SGD: params holds no parameter"):
        SGD([])
    for params in (model, model.weight, {"params": [model.weight]}):
        with pytest.raises(TypeError, match=r"such as model\.parameters\(\), got a"):
            SGD(params)
    with pytest.raises(TypeError, match="must hold Parameters, got ndarray"):
        SGD([model.weight.data])
    with pytest.raises(TypeError, match="a parameter group must be a dict with 'params'"):
        SGD([{"lr": 1}])
    with pytest.raises(ValueError, match="in one group, and there once"):
        SGD([model.weight, model.weight])
    with pytest.raises(ValueError, match="in one group, and there once"):
        SGD([{"params": [model.weight]}, {"params": [model.weight]}])


def test_own_optimizer():
    class SignSGD(Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr, "weight_decay": 0})

        def update(self, data, grad, state, group):
            step = np.sign(grad, out=self.scratch(data))
            step *= group["lr"]
            data -= step

    parameters, gradients = problem()
    start = parameters[0].data.copy()
    run(SignSGD(parameters, 0.5), parameters, gradients[:1])
    np.testing.assert_allclose(parameters[0].data, start - 0.5 * np.sign(gradients[0][0]))
    with pytest.raises(NotImplementedError, match="Optimizer has no update"):
        run(Optimizer(parameters, {"lr": 1, "weight_decay": 0}), parameters, gradients)


def test_repr():
    assert repr(SGD([nn.Parameter(np.zeros(1))], 0.1)) == (
        "SGD(lr=0.1, momentum=0, dampening=0, weight_decay=0, nesterov=False)"
    )


def test_centered_rmsprop_survives_a_constant_gradient():
    parameter = nn.Parameter(np.full(1000, 1.0, np.float32))
    grads = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    run(RMSprop([parameter], centered=True, alpha=0.1), [parameter], [[grads]] * 30)
    assert not np.isnan(parameter.data).any()


# ---- clip_grad_norm


@pytest.mark.parametrize("norm_type", [1, 2, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e6])
def test_clip_grad_norm(norm_type, max_norm):
    parameters, gradients = problem()
    for parameter, grad in zip(parameters, gradients[0], strict=True):
        parameter.grad = grad.copy()
    parameters.append(nn.Parameter(np.ones(2)))  # without a gradient
    values = np.concatenate([grad.ravel() for grad in gradients[0]])
    if norm_type == math.inf:
        norm = np.abs(values).max()
    else:
        norm = np.sum(np.abs(values) ** norm_type) ** (1 / norm_type)
    assert clip_grad_norm(iter(parameters), max_norm, norm_type) == pytest.approx(norm, rel=1e-12)
    factor = min(1, max_norm / (norm + 1e-6))
    for parameter, grad in zip(parameters, gradients[0], strict=False):
        np.testing.assert_allclose(parameter.grad, grad * factor, rtol=1e-12)
    if factor == 1:
        np.testing.assert_array_equal(parameters[0].grad, gradients[0][0])


def test_clip_grad_norm_in_torch():
    torch = pytest.importorskip("torch")
    parameters, gradients = problem()
    tensors = [torch.nn.Parameter(torch.tensor(p.data)) for p in parameters]
    for parameter, tensor, grad in zip(parameters, tensors, gradients[0], strict=True):
        parameter.grad, tensor.grad = grad.copy(), torch.tensor(grad)
    expected = torch.nn.utils.clip_grad_norm_(tensors, 0.7)
    assert optim.clip_grad_norm(parameters, 0.7) == pytest.approx(expected.item())
    for parameter, tensor in zip(parameters, tensors, strict=True):
        np.testing.assert_allclose(parameter.grad, tensor.grad.numpy(), rtol=1e-12)


def test_clip_grad_norm_of_one_parameter_and_of_none():
    parameter = nn.Parameter(np.zeros(2, np.float32))
    assert clip_grad_norm(parameter, 1.0) == 0.0
    parameter.grad = np.array([3, 4], np.float32)
    assert clip_grad_norm(parameter, 1.0) == pytest.approx(5.0)
    assert parameter.grad.dtype == np.float32
    np.testing.assert_allclose(parameter.grad, [0.6, 0.8], rtol=1e-6)


def test_clip_grad_norm_of_a_scalar():
    parameter = nn.Parameter(np.array(1, np.float32))
    parameter.accumulate(np.full(4, 100, np.float32).sum())  # a NumPy scalar
    assert clip_grad_norm([parameter], 1.0) == pytest.approx(400)
    assert parameter.grad == pytest.approx(1)
    parameter.grad = [[1.0]][0][0]  # nor need it be one of NumPy
    assert parameter.grad.shape == ()
    with pytest.raises(TypeError, match="Parameter: grad must be float32 or float64"):
        parameter.grad = 1


def test_clip_grad_norm_passes_nan_on():
    parameter = nn.Parameter(np.zeros(2))
    parameter.grad = np.array([1.0, math.nan])
    assert math.isnan(clip_grad_norm([parameter], 1.0))
    assert np.isnan(parameter.grad).all()


def test_clip_grad_norm_errors():
    for options in ({"max_norm": -1}, {"max_norm": math.nan}, {"max_norm": 1, "norm_type": 0}):
        with pytest.raises(ValueError, match="clip_grad_norm: "):
            clip_grad_norm([], **options)


def test_gradients_are_floats_that_can_be_added_to():
    parameter = nn.Parameter(np.zeros(2))
    for wrong in (np.ones(2, int), np.ones(2, bool), np.ones(2, complex), np.ones(2, np.float16)):
        with pytest.raises(TypeError, match="Parameter: grad must be float32 or float64"):
            parameter.grad = wrong
    parameter.grad = np.broadcast_to(np.ones(1), 2)
    parameter.accumulate(np.ones(2))
    np.testing.assert_array_equal(parameter.grad, [2, 2])
