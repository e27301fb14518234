"""Every layer's backward against finite differences: gradcheck's, and this file's own."""

import numpy as np
import pytest
from nn_cases import CASES, LOSSES, distinct, small_net

import fastconv
from fastconv import nn


def every_layer(function):
    return pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)(function)


def test_every_layer_has_a_case():
    modules = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    lazy = {name for name in modules if name.startswith("Lazy")}  # these have a file of their own
    others = {"Module", "Sequential", "Residual", "Concat", *LOSSES, *lazy}
    assert {case.name for case in CASES} | others == modules


@every_layer
def test_gradcheck(case):
    assert fastconv.gradcheck(case.make(), case.input(), atol=1e-7, rtol=1e-6)


def slope(make, input, grad_output, name, direction, step=1e-5):
    """How fast <output, grad_output> grows along `direction` in the input or a parameter."""
    values = []
    for sign in (1, -1):
        module = make()
        moved = input
        if name is None:
            moved = input + sign * step * direction
        else:
            dict(module.named_parameters())[name].data[...] += sign * step * direction
        values.append(np.sum(module(moved) * grad_output))
    return (values[0] - values[1]) / (2 * step)


@every_layer
def test_directional_derivatives(case):
    rng = np.random.default_rng(5)
    x = case.input()
    module = case.make()
    grad_output = rng.normal(size=module(x).shape)
    gradients = {None: module.backward(grad_output)}
    gradients |= {name: parameter.grad for name, parameter in module.named_parameters()}
    for name, gradient in gradients.items():
        direction = rng.normal(size=gradient.shape)
        expected = slope(case.make, x, grad_output, name, direction)
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-6, atol=1e-8)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_keep_the_type_and_the_shape(case, dtype):
    module = case.make(dtype)
    x = case.input(dtype)
    output = module(x)
    assert output.dtype == dtype
    grad_input = module.backward(np.ones_like(output))
    assert grad_input.dtype == dtype
    assert grad_input.shape == x.shape
    for parameter in module.parameters():
        assert parameter.grad.dtype == dtype
        assert parameter.grad.shape == parameter.shape


@every_layer
def test_nothing_given_is_written(case):
    module = case.make()
    x = case.input()
    x.flags.writeable = False
    grad_output = np.ones_like(module(x))
    grad_output.flags.writeable = False
    module.backward(grad_output)


@every_layer
def test_second_backward_adds(case):
    module = case.make()
    x = case.input()
    grad_output = distinct(module(x).shape, seed=2)
    module.backward(grad_output)
    once = [parameter.grad.copy() for parameter in module.parameters()]
    module(x)
    module.backward(grad_output)
    for parameter, grad in zip(module.parameters(), once, strict=True):
        np.testing.assert_allclose(parameter.grad, 2 * grad, rtol=1e-12)


@every_layer
def test_parameter_gradients_without_the_inputs(case):
    grads = []
    for needs_input_grad in (True, False):
        module = case.make()
        grad_output = distinct(module(case.input()).shape, seed=2)
        module.backward(grad_output, needs_input_grad=needs_input_grad)
        grads.append([parameter.grad for parameter in module.parameters()])
    for with_input, without in zip(*grads, strict=True):
        np.testing.assert_array_equal(with_input, without)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.random and case.typed], ids=lambda case: case.id
)
def test_convolutions_and_linear_skip_the_input_gradient(case):
    module = case.make()
    grad_output = np.ones_like(module(case.input()))
    assert module.backward(grad_output, needs_input_grad=False) is None


@pytest.mark.parametrize("case", [case for case in CASES if case.typed], ids=lambda case: case.id)
def test_frozen_parameters_get_no_gradient(case):
    module = case.make()
    for parameter in module.parameters():
        parameter.requires_grad = False
    module.backward(np.ones_like(module(case.input())))
    assert [parameter.grad for parameter in module.parameters()] == [None] * len(
        list(module.parameters())
    )


def test_network():
    assert fastconv.gradcheck(small_net(), distinct((2, 1, 8, 8)), atol=1e-7, rtol=1e-6)


def test_network_without_the_inputs_gradient():
    grads = []
    for needs_input_grad in (True, False):
        net = small_net(np.float64)
        grad_output = distinct(net(distinct((2, 1, 8, 8))).shape)
        result = net.backward(grad_output, needs_input_grad=needs_input_grad)
        assert (result is None) == (not needs_input_grad)
        grads.append([parameter.grad for parameter in net.parameters()])
    for with_input, without in zip(*grads, strict=True):
        np.testing.assert_array_equal(with_input, without)


LOSS_CASES = {
    "cross entropy": (nn.CrossEntropyLoss, (4, 3), np.array([0, 2, 1, 1])),
    "cross entropy, space": (nn.CrossEntropyLoss, (2, 3, 2), np.array([[0, 2], [1, 1]])),
    "mean squared error": (nn.MSELoss, (3, 4), distinct((3, 4), seed=4)),
    "binary cross entropy": (nn.BCEWithLogitsLoss, (3, 2), np.array([[0.0, 1], [1, 0], [0.3, 1]])),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSS_CASES)
def test_losses(name, reduction):
    make, shape, target = LOSS_CASES[name]
    loss = make(reduction=reduction)

    def backward(grad_output, output):
        loss(output, target)
        return loss.backward(grad_output)

    pair = (lambda output: loss(output, target), backward)
    assert fastconv.gradcheck(pair, distinct(shape), atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("name", LOSS_CASES)
def test_loss_backward_is_that_of_the_value_itself(name):
    make, shape, target = LOSS_CASES[name]
    loss = make()
    output, direction = distinct(shape), distinct(shape, seed=6)
    loss(output, target)
    slope = np.sum(loss.backward() * direction)
    values = [float(loss(output + step * direction, target)) for step in (1e-5, -1e-5)]
    assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


def test_torch_gives_the_same_gradients_for_a_network():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Residual(torch.nn.Module):
        def __init__(self, body, shortcut):
            super().__init__()
            self.body, self.shortcut = body, shortcut

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    body = torch.nn.Sequential(
        torch.nn.Conv2d(4, 4, 3, padding=1, bias=False), torch.nn.BatchNorm2d(4), torch.nn.Tanh()
    )
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        Residual(body, torch.nn.Conv2d(4, 4, 1)),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 3),
    ).double()
    ours = small_net(np.float64)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})

    x, target = distinct((4, 1, 8, 8)), np.array([0, 2, 1, 1])
    tensor = torch.from_numpy(x).requires_grad_()
    value = torch.nn.CrossEntropyLoss()(theirs(tensor), torch.from_numpy(target))
    value.backward()
    loss = nn.CrossEntropyLoss()
    assert float(loss(ours(x), target)) == pytest.approx(float(value.detach()), rel=1e-12)
    np.testing.assert_allclose(ours.backward(loss.backward()), tensor.grad.numpy(), atol=1e-12)
    expected = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        np.testing.assert_allclose(parameter.grad, expected.pop(name), atol=1e-12)
    assert not expected
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), atol=1e-12)


def unet(dtype=np.float64):
    """A U-Net of two levels, and beside it a branch that only looks."""
    rng = np.random.default_rng(0)
    below = nn.Sequential(
        nn.MaxPool2d(2),
        nn.Conv2d(3, 5, 3, padding=1, dtype=dtype, rng=rng),
        nn.Tanh(),
        nn.ConvTranspose2d(5, 2, 2, stride=2, dtype=dtype, rng=rng),
    )
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, dtype=dtype, rng=rng),
        nn.Tanh(),
        nn.Concat(nn.Identity(), below, nn.AvgPool2d(3, 1, 1)),
        nn.Conv2d(8, 2, 1, dtype=dtype, rng=rng),
    )


def test_concat_against_finite_differences():
    assert fastconv.gradcheck(unet(), distinct((2, 2, 6, 4)), atol=1e-7, rtol=1e-6)
    within = nn.Concat(nn.Linear(3, 2, dtype=np.float64), nn.Identity(), dim=2)
    assert fastconv.gradcheck(within, distinct((2, 4, 3)), atol=1e-7, rtol=1e-6)


def test_torch_gives_the_same_gradients_for_a_unet():
    torch = pytest.importorskip("torch")

    class Concat(torch.nn.Sequential):
        def forward(self, x):
            return torch.cat([branch(x) for branch in self], dim=1)

    below = torch.nn.Sequential(
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(3, 5, 3, padding=1),
        torch.nn.Tanh(),
        torch.nn.ConvTranspose2d(5, 2, 2, stride=2),
    )
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, padding=1),
        torch.nn.Tanh(),
        Concat(torch.nn.Identity(), below, torch.nn.AvgPool2d(3, 1, 1)),
        torch.nn.Conv2d(8, 2, 1),
    ).double()
    ours = unet()
    theirs.load_state_dict({key: torch.tensor(a) for key, a in ours.state_dict().items()})
    x, grad_output = distinct((2, 2, 6, 4)), distinct((2, 2, 6, 4), seed=3)
    tensor = torch.from_numpy(x).requires_grad_()
    output = theirs(tensor)
    output.backward(torch.from_numpy(grad_output))
    np.testing.assert_allclose(ours(x), output.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(ours.backward(grad_output), tensor.grad.numpy(), atol=1e-12)
    expected = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        np.testing.assert_allclose(parameter.grad, expected.pop(name), atol=1e-12)
    assert not expected
