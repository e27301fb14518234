"""Layers that take in the activation beside them: the same values as one by one, to the bit."""

import copy
import weakref
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nn_cases import distinct, small_net
from strategies import examples, lay_out

import fastconv
from fastconv import functional as F
from fastconv import nn
from fastconv.functional import _passes


def one_by_one(modules, x):
    for module in modules:
        x = module(x)
    return x


def one_by_one_backward(modules, grad):
    for module in reversed(modules):
        grad = module.backward(grad)
    return grad


def assert_same_as_one_by_one(net, x, seed=3):
    """Outputs and all gradients of a Sequential, to the bit; arguments are not written."""
    twin = copy.deepcopy(net)
    x.flags.writeable = False
    output = net(x)
    want = one_by_one(list(twin), x)
    np.testing.assert_array_equal(output, want)
    grad = np.random.default_rng(seed).standard_normal(output.shape).astype(output.dtype)
    grad.flags.writeable = False
    np.testing.assert_array_equal(net.backward(grad), one_by_one_backward(list(twin), grad))
    for (name, one), (_, other) in zip(
        net.named_parameters(), twin.named_parameters(), strict=True
    ):
        np.testing.assert_array_equal(one.grad, other.grad, err_msg=name)
    np.testing.assert_array_equal(net.eval()(x), one_by_one(list(twin.eval()), x))


CHANNELS = 5
PARTS = {
    "conv": lambda d, **more: getattr(nn, f"Conv{d}d")(CHANNELS, CHANNELS, 3, padding=1, **more),
    "grouped": lambda d, **more: getattr(nn, f"Conv{d}d")(
        CHANNELS, CHANNELS, 1, groups=CHANNELS, bias=False, **more
    ),
    "transposed": lambda d, **more: getattr(nn, f"ConvTranspose{d}d")(
        CHANNELS, CHANNELS, 2, stride=2, padding=1, output_padding=0, **more
    ),
    "relu": lambda d, **more: nn.ReLU(),
    "leaky": lambda d, **more: nn.LeakyReLU(0.2),
    "steep": lambda d, **more: nn.LeakyReLU(3),
    "negative": lambda d, **more: nn.LeakyReLU(-0.5),
    "zero": lambda d, **more: nn.LeakyReLU(0),
    "tanh": lambda d, **more: nn.Tanh(),
    "pool": lambda d, **more: getattr(nn, f"MaxPool{d}d")(2, 1),
    "dilated pool": lambda d, **more: getattr(nn, f"MaxPool{d}d")(2, 1, dilation=2),
    "norm": lambda d, dtype, rng: getattr(nn, f"BatchNorm{d}d")(CHANNELS, dtype=dtype),
    "residual": lambda d, **more: nn.Residual(
        nn.Sequential(nn.ReLU(), PARTS["conv"](d, **more), nn.ReLU())
    ),
    "nested": lambda d, **more: nn.Sequential(PARTS["conv"](d, **more), nn.LeakyReLU()),
}


@examples(150)
@given(
    names=st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=6).filter(
        lambda names: names.count("pool") + 2 * names.count("dilated pool") < 7
    ),
    ndim=st.integers(1, 3),
    batch=st.sampled_from((0, 1, 3)),
    batched=st.booleans(),
    layout=st.sampled_from(("C", "channels_last", "steps")),
    dtype=st.sampled_from((np.float32, np.float64)),
    seed=st.integers(0, 99),
)
def test_any_network_is_the_same_as_its_modules(names, ndim, batch, batched, layout, dtype, seed):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(*(PARTS[name](ndim, dtype=dtype, rng=rng) for name in names))
    space = (9, 8, 7)[:ndim]
    x = lay_out(rng.standard_normal((batch, CHANNELS, *space)).astype(dtype), layout)
    if not {"pool", "dilated pool", "norm"} & set(names) and batch == 1 and not batched:
        x = x[0]
    assert_same_as_one_by_one(net, x)


def mlp(dtype=np.float64):
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Linear(4, 7, dtype=dtype, rng=rng),
        nn.ReLU(),
        nn.Linear(7, 6, dtype=dtype, rng=rng),
        nn.LeakyReLU(0.1),
        nn.Linear(6, 3, dtype=dtype, rng=rng),
    )


def cnn(dtype=np.float64):
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, dtype=dtype, rng=rng),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 3, stride=2, dtype=dtype, rng=rng),
        nn.LeakyReLU(0.3),
        nn.Conv2d(3, 2, 3, dtype=dtype, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


def test_linear_layers():
    assert_same_as_one_by_one(mlp(), distinct((5, 4)))


@pytest.mark.parametrize(("make", "shape"), [(mlp, (3, 4)), (cnn, (2, 2, 5, 4))])
def test_gradcheck(make, shape):
    assert fastconv.gradcheck(make(), distinct(shape), atol=1e-7, rtol=1e-6)


@pytest.fixture
def no_activation_runs(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the activation ran by itself")

    for activation in (nn.ReLU, nn.LeakyReLU):
        monkeypatch.setattr(activation, "function", refuse)
        monkeypatch.setattr(activation, "function_backward", refuse)


def test_the_kernels_do_it(no_activation_runs):
    net = mlp()
    net.backward(np.ones_like(net(distinct((5, 4)))))
    net = nn.Sequential(*cnn()[:5])
    net.backward(np.ones_like(net(distinct((2, 2, 5, 4)))))


@pytest.mark.parametrize("batch", [5, 64])
@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_layers_add_the_other_branch_of_a_residual(batch, algorithm):
    def body(first):
        return nn.Sequential(first, nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))

    def conv(**options):
        return nn.Conv2d(16, 16, 3, padding=1, algorithm=algorithm, **options)

    net = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.LeakyReLU(0.1),
        nn.Residual(nn.Sequential(*body(conv()), nn.BatchNorm2d(16))), nn.ReLU(),
        nn.Residual(body(conv()), nn.Conv2d(16, 16, 1)), nn.ReLU(),
        # These do not, but all the outputs of a BatchNorm do.
        nn.Residual(body(conv(padding_mode="circular"))), nn.ReLU(),
        nn.Residual(body(nn.BatchNorm2d(16))), nn.ReLU(),
    )  # fmt: skip
    x = distinct((batch, 3, 12, 13), np.float32)
    grad = np.random.default_rng(0).standard_normal((batch, 16, 10, 11)).astype(np.float32)
    results, passes = [], []
    for onto in (True, False):
        model = copy.deepcopy(net)
        for residual in model:
            if isinstance(residual, nn.Residual) and not onto:
                residual.body._forward_onto = lambda *arguments: None
                residual.body._backward_onto = lambda *arguments: None
        with mock.patch.object(_passes, "rectify", wraps=_passes.rectify) as spy:
            y = model(x)
            forward = spy.call_count
            gradients = [model.backward(grad), *(p.grad for p in model.parameters())]
        results.append([y, *gradients])
        passes.append((forward, spy.call_count - forward))
    for got, want in zip(*results, strict=True):
        np.testing.assert_array_equal(got, want)
    assert np.subtract(*passes).tolist() == [-1, -2]


def test_the_first_layer_needs_no_input_gradient():
    grads = []
    for needs_input_grad in (True, False):
        net = cnn()
        output = net(distinct((2, 2, 5, 4)))
        result = net.backward(np.ones_like(output), needs_input_grad=needs_input_grad)
        assert (result is None) == (not needs_input_grad)
        grads.append([parameter.grad for parameter in net.parameters()])
    for one, other in zip(*grads, strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_parameters():
    nets = [cnn(), cnn()]
    for parameter in (nets[0][0].weight, nets[0][0].bias, nets[0][2].weight):
        parameter.requires_grad = False
    for net in nets:
        net.backward(np.ones_like(net(distinct((2, 2, 5, 4)))), needs_input_grad=False)
    frozen, free = ([parameter.grad for parameter in net.parameters()] for net in nets)
    assert frozen[:3] == [None] * 3
    for one, other in zip(frozen[3:], free[3:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_that_need_not_go_back_keep_nothing():
    first = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(2, 2, 3))
    net = nn.Sequential(*first, *cnn(np.float32))
    for module in (net[0], net[2][0]):
        module.weight.requires_grad = module.bias.requires_grad = False
    output = net(distinct((2, 1, 9, 8)).astype(np.float32))
    assert net[0]._saved is not None
    net.backward(np.ones_like(output), needs_input_grad=False)
    assert all(module._saved is None for module in net.modules())


def test_a_module_that_need_not_go_back_at_first_may_later():
    relu, linear = nn.ReLU(), nn.Linear(4, 3)
    net = nn.Sequential(relu, linear, relu)
    x = distinct((2, 4)).astype(np.float32)
    output = net(x)
    net.backward(np.ones_like(output), needs_input_grad=False)
    np.testing.assert_allclose(linear.bias.grad, (output > 0).sum(0))


@pytest.mark.parametrize("layers", [slice(6), slice(6, None)], ids=["without", "with pool"])
def test_its_own_way_back_after_either_way_forward(layers):
    results = []
    for forward in (lambda net, x: net(x), lambda net, x: one_by_one(list(net), x)):
        net = cnn()[layers]
        net = nn.Sequential(nn.Conv2d(2, 2, 1, rng=np.random.default_rng(0), dtype="d"), *net)
        results.append(net.backward(np.ones_like(forward(net, distinct((2, 2, 5, 4))))))
    np.testing.assert_array_equal(*results)


def test_one_by_one_back_after_its_own_way_forward():
    results = []
    for backward in (
        nn.Sequential.backward,
        lambda net, grad: one_by_one_backward(list(net), grad),
    ):
        net = cnn()[:6]
        results.append(backward(net, np.ones_like(net(distinct((2, 2, 5, 4))))))
    np.testing.assert_array_equal(*results)
    net = cnn()
    grad = np.ones_like(net(distinct((2, 2, 5, 4))))
    with pytest.raises(RuntimeError, match="call the Sequential's backward"):
        one_by_one_backward(list(net), grad)


@pytest.mark.parametrize("order", ["relu first", "pool first"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_pool_beside_the_activation(order, dimensions, no_activation_runs):
    """The layer before takes the ReLU, the one behind its gradient, through the pool."""
    rng = np.random.default_rng(0)
    conv, pool = getattr(nn, f"Conv{dimensions}d"), getattr(nn, f"MaxPool{dimensions}d")
    middle = [nn.ReLU(), pool(2)] if order == "relu first" else [pool(2), nn.ReLU()]
    net = nn.Sequential(
        conv(2, 4, 3, rng=rng), *middle, nn.Flatten(), nn.Linear(4 * 2**dimensions, 3)
    )
    net.backward(net(rng.standard_normal((2, 2, *[6] * dimensions)).astype(np.float32)))


def test_an_activation_whose_output_went_elsewhere_runs_by_itself():
    """The layer behind it cannot stand in: its own input says nothing of the activation's."""
    x = distinct((3, 4))
    results = []
    for backward in (
        lambda net, grad: net.backward(grad),
        lambda net, grad: one_by_one_backward(list(net), grad),
    ):
        net = nn.Sequential(nn.ReLU(), linear())
        output = net[1](-1 - net[0](x))
        results.append(backward(net, np.ones_like(output)))
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(results[0] != 0, x > 0)


def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 16, 30, 30)).astype(np.float32)
    results = []
    for num_threads in (1, 2, 3):
        net = nn.Sequential(
            nn.Conv2d(16, 40, 3, rng=np.random.default_rng(1)),
            nn.ReLU(),
            nn.Conv2d(40, 24, 3, rng=np.random.default_rng(2)),
        )
        with fastconv.num_threads(num_threads):
            output = net(x)
            grad = net.backward(output)
        parameters = [parameter.grad.tobytes() for parameter in net.parameters()]
        results.append([output.tobytes(), grad.tobytes(), *parameters])
    assert results[0] == results[1] == results[2]


# ---------------------------------------------------------------------------- what is not fused


class LoudReLU(nn.ReLU):
    """A user's own, whose backward is not ReLU's."""

    def forward(self, input):
        self.heard = True
        return super().forward(input) + 1

    def backward(self, grad_output, needs_input_grad=True):
        return 10 * super().backward(grad_output)


class Shifted(nn.Linear):
    def forward(self, input):
        return super().forward(input) - 1


class Clipped(nn.Linear):
    def backward(self, grad_output, needs_input_grad=True):
        return super().backward(np.clip(grad_output, -0.1, 0.1), needs_input_grad)


class Called(nn.Linear):
    def __call__(self, input):
        return -super().__call__(input)


class Doubled(nn.LeakyReLU):
    def function(self, input, **options):
        return 2 * F.leaky_relu(input, **options)


def linear(cls=nn.Linear, seed=0):
    return cls(4, 4, dtype=np.float64, rng=np.random.default_rng(seed))


@pytest.mark.parametrize(
    "middle",
    [
        lambda: [LoudReLU(), linear()],
        lambda: [Doubled(), linear()],
        lambda: [nn.ReLU(), linear(Shifted), nn.ReLU()],
        lambda: [nn.ReLU(), linear(Clipped), nn.ReLU()],
        lambda: [nn.ReLU(), linear(Called), nn.ReLU()],
    ],
)
def test_what_a_user_overrides_is_called(middle):
    net = nn.Sequential(linear(seed=1), *middle(), linear(seed=2))
    assert_same_as_one_by_one(net, distinct((3, 4)))


def test_a_subclass_with_its_own_constructor_alone_is_fused(no_activation_runs):
    class Square(nn.Linear):
        def __init__(self, size):
            super().__init__(size, size, rng=np.random.default_rng(0))

    net = nn.Sequential(Square(3), nn.ReLU(), Square(3))
    net.backward(net(np.ones((2, 3), np.float32)))


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize("where", ["object", "class"])
def test_what_a_user_wraps_is_called(index, method, where, monkeypatch):
    """As tools do that time layers, or print their shapes."""
    net = mlp()[:3]
    target = net[index] if where == "object" else type(net[index])
    original = getattr(target, method)
    calls = []

    def wrapped(*args, **options):
        calls.append(args)
        return original(*args, **options)

    monkeypatch.setattr(target, method, wrapped)
    x = distinct((3, 4))
    output = net(x)
    result = net.backward(np.ones_like(output))
    monkeypatch.undo()
    same = 2 if where == "class" and index != 1 else 1
    assert len(calls) == same
    plain = mlp()[:3]
    np.testing.assert_array_equal(output, plain(x))
    np.testing.assert_array_equal(result, plain.backward(np.ones_like(output)))


def test_a_sequential_with_its_own_forward():
    class Twice(nn.Sequential):
        def forward(self, input):
            return 2 * super().forward(input)

        def backward(self, grad_output, needs_input_grad=True):
            return super().backward(2 * grad_output, needs_input_grad)

    net = nn.Sequential(Twice(linear(), nn.ReLU()), linear(seed=1), nn.ReLU())
    assert_same_as_one_by_one(net, distinct((3, 4)))


@pytest.mark.parametrize("shared", [nn.ReLU(), linear()], ids=lambda module: type(module).__name__)
def test_a_module_used_twice_still_runs_and_is_refused_in_backward(shared):
    others = [linear(seed=1), nn.ReLU()]
    net = nn.Sequential(*others, shared, linear(seed=2), shared, linear(seed=3))
    x = distinct((3, 4))
    output = net(x)
    np.testing.assert_array_equal(output, one_by_one(list(net), x))
    net(x)
    with pytest.raises(RuntimeError, match="used twice"):
        net.backward(output)


def test_a_layer_used_twice_beside_one_activation():
    layer, relu = linear(), nn.ReLU()
    net = nn.Sequential(layer, relu, layer, relu)
    x = distinct((3, 4))
    output = net(x)
    np.testing.assert_array_equal(output, one_by_one([layer, relu] * 2, x))
    with pytest.raises(RuntimeError, match="used twice"):
        net.backward(output)


# ---------------------------------------------------------------------------- what is kept


def test_eval_keeps_nothing():
    net = cnn().eval()
    x = distinct((2, 2, 5, 4))
    net(x)
    gone = weakref.ref(x)
    del x
    assert gone() is None
    with pytest.raises(RuntimeError, match="training mode"):
        net.backward(np.ones((2, 2 * 4 * 3)))


def test_backward_needs_a_forward_of_its_own():
    net = mlp()
    grad = np.ones_like(net(distinct((3, 4))))
    net.backward(grad)
    with pytest.raises(RuntimeError, match="Linear: backward needs a forward"):
        net.backward(grad)
    net(distinct((3, 4)))
    net[1].eval()
    net(distinct((3, 4)))
    with pytest.raises(RuntimeError, match="ReLU: backward needs a forward in training mode"):
        net.backward(grad)


def test_names_states_and_texts_are_those_of_the_modules():
    net = small_net()
    before = repr(net), list(net.state_dict()), nn.describe(net)
    net.backward(np.ones_like(net(distinct((2, 1, 8, 8), np.float32))))
    assert (repr(net), list(net.state_dict()), nn.describe(net)) == before


@pytest.mark.parametrize("method", ["__call__", "forward", "backward"])
def test_what_a_user_overrides_in_the_body_of_a_residual_is_called(method):
    calls = []

    def seen(self, *arguments, **options):
        calls.append(method)
        return getattr(nn.Sequential, method)(self, *arguments, **options)

    body = type("Body", (nn.Sequential,), {method: seen})
    conv = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Residual(body(*conv)), nn.ReLU())
    net.backward(net(distinct((3, 2, 6, 5), np.float32)))
    assert calls == [method]


def change_dilation(net):
    net[2].dilation = 2


def change_slope(net):
    net[1].options["negative_slope"] = 0.0


def change_order(net):
    setattr(net, "1", nn.ReLU())
    setattr(net, "3", nn.Tanh())


def change_body(net):
    net[4].body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))


@pytest.mark.parametrize("change", [change_dilation, change_slope, change_order, change_body])
def test_what_changes_between_two_passes_counts(change):
    body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Tanh())
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.ReLU(), nn.Residual(body),
        nn.ReLU(),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 3, 15, 15)).astype("f")
    assert_same_as_one_by_one(net, x)
    for parameter in net.parameters():
        parameter.grad = None
    change(net.train())
    assert_same_as_one_by_one(net, x)
