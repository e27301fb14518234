"""Modules: parts, modes, state, containers."""

import copy
import weakref

import numpy as np
import pytest
from nn_cases import CASES, small_net

from fastconv import nn


def every_layer(function):
    return pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)(function)


class Scale(nn.Module):
    """What a user writes: one parameter, one buffer, forward and backward."""

    def __init__(self, factor, offset=0.0):
        self.factor = nn.Parameter(np.full((), factor, np.float32))
        self.register_buffer("calls", np.zeros((), np.int64))
        self.offset = offset

    def forward(self, input):
        self.calls += 1
        self.save_for_backward(input)
        return input * self.factor.data + np.float32(self.offset)

    def backward(self, grad_output, needs_input_grad=True):
        (input,) = self.saved_for_backward()
        self.factor.accumulate(np.sum(grad_output * input))
        return grad_output * self.factor.data


# ---------------------------------------------------------------------------- Parameter


def test_parameter_keeps_the_array():
    data = np.zeros((2, 3), np.float32)
    parameter = nn.Parameter(data)
    assert parameter.data is data
    assert parameter.grad is None
    assert parameter.requires_grad
    assert (parameter.shape, parameter.dtype, parameter.size) == ((2, 3), np.float32, 6)
    assert repr(parameter) == "Parameter(shape=(2, 3), dtype=float32)"


def test_parameter_copies_a_read_only_array():
    data = np.zeros(3)
    data.flags.writeable = False
    nn.Parameter(data).data[...] = 1
    assert not data.any()


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.complex64, bool, object])
def test_parameter_must_be_float(dtype):
    with pytest.raises(TypeError, match=f"float32 or float64, got {np.dtype(dtype)}"):
        nn.Parameter(np.zeros(3, dtype))


def test_parameter_accumulates():
    parameter = nn.Parameter(np.zeros(2))
    first = np.array([1.0, 2.0])
    parameter.accumulate(first)
    assert parameter.grad is first
    parameter.accumulate(np.array([10.0, 20.0]))
    np.testing.assert_array_equal(parameter.grad, [11, 22])


def test_parameter_refuses_a_gradient_of_another_shape():
    parameter = nn.Parameter(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"shape of data, \(2, 3\), got \(3,\)"):
        parameter.accumulate(np.zeros(3))
    with pytest.raises(ValueError, match="shape"):
        parameter.grad = np.zeros((3, 2))


# ---------------------------------------------------------------------------- parts


def test_parts_are_found_under_their_paths():
    net = nn.Sequential(Scale(2.0), nn.Sequential(nn.ReLU(), Scale(3.0)))
    assert [name for name, _ in net.named_parameters()] == ["0.factor", "1.1.factor"]
    assert [name for name, _ in net.named_modules()] == ["", "0", "1", "1.0", "1.1"]
    assert [name for name, _ in net.named_children()] == ["0", "1"]
    assert list(net.state_dict()) == ["0.factor", "0.calls", "1.1.factor", "1.1.calls"]
    assert list(net.modules())[4] is net[1][1]
    assert [float(parameter.data) for parameter in net.parameters()] == [2, 3]


def test_shared_parts_are_listed_once_and_saved_under_every_name():
    first, second = Scale(2.0), Scale(3.0)
    second.factor = first.factor
    net = nn.Sequential(first, second, first)
    assert len(list(net.parameters())) == 1
    assert len(list(net.modules())) == 3
    assert list(net.state_dict()) == [
        "0.factor", "0.calls", "1.factor", "1.calls", "2.factor", "2.calls",
    ]  # fmt: skip


def test_a_parameter_is_not_replaced_by_an_array():
    layer = nn.Linear(2, 3)
    with pytest.raises(TypeError, match=r"Linear: weight must stay a Parameter.*ndarray"):
        layer.weight = np.zeros((3, 2), np.float32)
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    np.testing.assert_array_equal(layer(np.eye(2, dtype=np.float32)), layer.weight.data.T)


def test_a_users_module_trains_like_any_other():
    net = nn.Sequential(Scale(2.0), Scale(3.0, offset=1.0))
    x = np.array([1.0, -2.0], np.float32)
    np.testing.assert_array_equal(net(x), [7, -11])
    np.testing.assert_array_equal(net.backward(np.array([1.0, 10.0], np.float32)), [6, 60])
    assert float(net[0].factor.grad) == 3 * (1 - 20)
    assert float(net[1].factor.grad) == 2 * (1 - 20)
    net.zero_grad()
    assert net[0].factor.grad is None
    assert int(net.state_dict()["0.calls"]) == 1


def test_forward_and_backward_must_be_written():
    class Nothing(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Nothing has no forward"):
        Nothing()(1)
    with pytest.raises(NotImplementedError, match="Nothing has no backward"):
        Nothing().backward(1)
    with pytest.raises(TypeError):
        Nothing(1)


def test_repr_shows_how_it_was_made():
    net = nn.Sequential(
        nn.Conv2d(1, 8, (3, 5), padding="same", rng=np.random.default_rng(0)),
        nn.Residual(nn.Sequential(nn.ReLU()), shortcut=nn.Dropout(p=0.1)),
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Conv2d(1, 8, (3, 5), padding='same')\n"
        "  (1): Residual(\n"
        "    (body): Sequential(\n"
        "      (0): ReLU()\n"
        "    )\n"
        "    (shortcut): Dropout(p=0.1)\n"
        "  )\n"
        ")"
    )


def test_a_deep_copy_is_independent():
    net = small_net()
    twin = copy.deepcopy(net)
    assert repr(twin) == repr(net)
    for name, array in twin.state_dict().items():
        np.testing.assert_array_equal(array, net.state_dict()[name])
        array += 1
        assert not np.any(array == net.state_dict()[name])


# ---------------------------------------------------------------------------- modes


def test_train_and_eval_reach_every_module():
    net = small_net()
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net
    assert all(module.training for module in net.modules())


@every_layer
def test_eval_forward_keeps_no_array(case):
    module = case.make().eval()
    x = case.input()
    # A slice of its own, so that nothing but the module can hold it.
    output = module(x).copy()
    input_gone = weakref.ref(x)
    del x
    assert input_gone() is None
    del output


def test_training_forward_keeps_its_input_until_backward():
    layer = nn.Conv1d(1, 1, 3)
    x = np.ones((1, 1, 5), np.float32)
    kept = weakref.ref(x)
    output = layer(x)
    del x
    assert kept() is not None
    layer.backward(np.ones_like(output))
    assert kept() is None


SAVING = [
    case for case in CASES if case.name not in ("Identity", "PixelShuffle", "PixelUnshuffle")
]  # these need nothing from the forward


@pytest.mark.parametrize("case", SAVING, ids=lambda case: case.id)
def test_backward_needs_a_training_forward_of_its_own(case):
    module = case.make()
    grad_output = np.ones_like(module(case.input()))
    module.backward(grad_output)
    with pytest.raises(RuntimeError, match=f"{case.name}: backward needs a forward in training"):
        module.backward(grad_output)
    module(case.input())
    module.eval()(case.input())
    with pytest.raises(RuntimeError, match="training mode"):
        module.backward(grad_output)


def test_a_module_used_twice_is_refused_in_backward():
    relu = nn.ReLU()
    net = nn.Sequential(relu, nn.Linear(2, 2), relu)
    output = net(np.ones((1, 2), np.float32))
    with pytest.raises(RuntimeError, match="used twice"):
        net.backward(output)


# ---------------------------------------------------------------------------- state


def test_state_dict_holds_the_modules_own_arrays():
    net = small_net()
    for name, parameter in net.named_parameters():
        assert net.state_dict()[name] is parameter.data


def test_load_state_dict_copies_in_place():
    net, other = small_net(seed=0), small_net(seed=1)
    arrays = net.state_dict()
    result = net.load_state_dict(other.state_dict())
    assert result == ([], [])
    assert result.missing_keys == result.unexpected_keys == []
    for name, array in net.state_dict().items():
        assert array is arrays[name]
        np.testing.assert_array_equal(array, other.state_dict()[name])
        assert array is not other.state_dict()[name]


def test_load_state_dict_names_every_problem_and_changes_nothing():
    net = small_net()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    state = {name: array + 1 for name, array in net.state_dict().items()}
    del state["5.bias"], state["0.weight"]
    state["extra"] = np.zeros(1)
    state["5.weight"] = np.zeros((3, 15), np.float32)
    with pytest.raises(ValueError, match="load_state_dict") as error:
        net.load_state_dict(state)
    assert str(error.value) == (
        "Sequential.load_state_dict: missing keys: 0.weight, 5.bias; unexpected keys: extra; "
        "5.weight must have shape (3, 16), got (3, 15)"
    )
    with pytest.raises(ValueError, match=r"5\.weight must have shape"):
        net.load_state_dict(state, strict=False)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_load_state_dict_not_strict():
    layer = nn.Linear(2, 3)
    bias = layer.bias.data.copy()
    result = layer.load_state_dict({"weight": np.ones((3, 2)), "scale": 1.0}, strict=False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["scale"]
    np.testing.assert_array_equal(layer.weight.data, 1)
    np.testing.assert_array_equal(layer.bias.data, bias)


def test_load_state_dict_converts_floats_only():
    layer = nn.Linear(2, 3)
    state = {"weight": np.full((3, 2), 0.5), "bias": np.array([1, 2, 3])}
    layer.load_state_dict(state)
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    np.testing.assert_array_equal(layer.bias.data, [1, 2, 3])
    norm = nn.BatchNorm1d(2)
    with pytest.raises(TypeError, match="num_batches_tracked must be int64, got float64"):
        norm.load_state_dict({**norm.state_dict(), "num_batches_tracked": np.array(2.5)})
    with pytest.raises(TypeError, match="weight must be float32, got complex128"):
        layer.load_state_dict({**state, "weight": np.zeros((3, 2), complex)})


STATEFUL = [case for case in CASES if case.make().state_dict() and case.in_torch]


@pytest.mark.parametrize("case", STATEFUL, ids=lambda case: case.id)
def test_keys_shapes_and_types_are_those_of_torch(case):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, case.name)(*case.args, **case.options).state_dict()
    ours = case.make(np.float32).state_dict()
    assert [(key, a.shape, str(a.dtype)) for key, a in ours.items()] == [
        (key, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in theirs.items()
    ]


# ---------------------------------------------------------------------------- containers


class Spy(nn.Module):
    """Passes on, and remembers whether backward was to give the input's gradient."""

    def __init__(self, learns=False):
        self.asked = []
        if learns:
            self.weight = nn.Parameter(np.zeros(1))

    def forward(self, input):
        return input

    def backward(self, grad_output, needs_input_grad=True):
        self.asked.append(needs_input_grad)
        return grad_output if needs_input_grad else None


def test_sequential_walks_back_to_the_first_that_learns():
    spies = [Spy(), Spy(), Spy(learns=True), Spy(), Spy(learns=True)]
    net = nn.Sequential(nn.Sequential(*spies[:3]), *spies[3:])
    assert net.backward(1.0, needs_input_grad=False) is None
    assert [spy.asked for spy in spies] == [[], [], [False], [True], [True]]
    assert net.backward(1.0) == 1.0
    assert [spy.asked for spy in spies] == [[True], [True], [False, True], [True] * 2, [True] * 2]


def test_sequential_ignores_what_is_frozen():
    spies = [Spy(learns=True), Spy(learns=True)]
    spies[0].weight.requires_grad = False
    nn.Sequential(*spies).backward(1.0, needs_input_grad=False)
    assert [spy.asked for spy in spies] == [[], [False]]


def test_sequential_without_parameters_has_nothing_to_do():
    spy = Spy()
    assert nn.Sequential(spy).backward(1.0, needs_input_grad=False) is None
    assert nn.Sequential().backward(1.0) == 1.0
    assert spy.asked == []


def test_sequential_is_a_sequence():
    layers = [nn.ReLU(), nn.Tanh(), nn.Sigmoid()]
    net = nn.Sequential(*layers)
    assert len(net) == 3
    assert list(net) == layers
    assert net[1] is layers[1]
    assert net[-1] is layers[2]
    assert list(net[1:]) == layers[1:]
    with pytest.raises(IndexError):
        net[3]
    assert nn.Sequential()(5) == 5


def test_sequential_takes_names():
    net = nn.Sequential({"features": nn.Conv1d(1, 2, 3), "head": nn.Linear(2, 2)})
    assert list(net.state_dict()) == [
        "features.weight", "features.bias", "head.weight", "head.bias",
    ]  # fmt: skip
    assert net.head is net[1]


@pytest.mark.parametrize("name", ["", "a.b", "forward", "training", 3])
def test_sequential_refuses_bad_names(name):
    with pytest.raises(ValueError, match="the name of a module"):
        nn.Sequential({name: nn.ReLU()})


def test_containers_take_modules_only():
    with pytest.raises(TypeError, match="Sequential: 1 must be a Module, got function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(TypeError, match="Sequential: 0 must be a Module, got list"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match="Residual: body must be a Module, got NoneType"):
        nn.Residual(None)
    with pytest.raises(TypeError, match="Residual: shortcut must be a Module, got type"):
        nn.Residual(nn.ReLU(), nn.ReLU)
    with pytest.raises(TypeError, match="Concat: 1 must be a Module, got list"):
        nn.Concat(nn.ReLU(), [nn.ReLU()])
    with pytest.raises(ValueError, match="Concat: there must be at least one branch"):
        nn.Concat()


def test_residual_adds():
    x = np.array([[1.0, -2.0]])
    np.testing.assert_array_equal(nn.Residual(nn.ReLU())(x), [[2, -2]])
    np.testing.assert_array_equal(nn.Residual(nn.ReLU(), nn.ReLU())(x), [[2, 0]])


def test_residual_does_not_write_to_grad_output():
    block = nn.Residual(Spy())  # its gradient is grad_output itself
    grad_output = np.ones(3)
    np.testing.assert_array_equal(block.backward(grad_output), [2, 2, 2])
    np.testing.assert_array_equal(grad_output, 1)


def test_residual_refuses_to_broadcast():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 1\) and \(2, 4\)"):
        nn.Residual(nn.Linear(4, 1))(np.zeros((2, 4), np.float32))


def test_concat_puts_outputs_side_by_side():
    x = np.array([[1.0, -2.0]])
    net = nn.Concat(nn.ReLU(), nn.Identity())
    np.testing.assert_array_equal(net(x), [[1, 0, 1, -2]])
    np.testing.assert_array_equal(net.backward(np.array([[1.0, 2, 10, 20]])), [[11, 20]])
    np.testing.assert_array_equal(nn.Concat(nn.ReLU(), nn.Identity(), dim=0)(x), [[1, 0], [1, -2]])
    np.testing.assert_array_equal(nn.Concat(nn.ReLU())(x), [[1, 0]])


def test_concat_leaves_the_gradient_of_the_input_when_nobody_wants_it():
    net = nn.Concat(nn.Linear(2, 3), nn.Linear(2, 1), nn.Identity())
    net(np.ones((5, 2), np.float32))
    assert net.backward(np.ones((5, 6), np.float32), needs_input_grad=False) is None
    for parameter in net.parameters():
        np.testing.assert_array_equal(parameter.grad, np.full(parameter.shape, 5))


@pytest.mark.parametrize("make", [lambda: nn.Concat(nn.ReLU(), nn.Identity(), dim=0),
                                  lambda: nn.Residual(nn.Identity()),
                                  lambda: nn.Residual(nn.ReLU(), nn.Identity())])  # fmt: skip
def test_branches_take_any_array(make):
    """As layers do, though a branch may hand on what it is given."""
    x = np.array([[1, -2], [3, -4]], np.float32)
    plain, other = make(), make()
    output = plain(x)
    wanted = plain.backward(np.ones_like(output))
    np.testing.assert_array_equal(other(x.astype(">f4")), output)
    found = other.backward(np.ones_like(output).astype(">f4"))
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.float32
    torch = pytest.importorskip("torch")
    other(x)
    found = other.backward(torch.ones(output.shape))
    np.testing.assert_array_equal(found, wanted)


def test_concat_does_not_write_to_grad_output():
    net = nn.Concat(nn.Identity(), nn.Identity())
    net(np.zeros((1, 1)))
    grad_output = np.ones((1, 2))
    np.testing.assert_array_equal(net.backward(grad_output), [[2]])
    np.testing.assert_array_equal(grad_output, 1)


def test_concat_refuses_what_does_not_fit():
    x = np.zeros((2, 4, 6), np.float32)
    with pytest.raises(ValueError, match=r"but for axis 1, got \(2, 4, 6\) and \(2, 4, 3\)"):
        nn.Concat(nn.Identity(), nn.MaxPool1d(2))(x)
    with pytest.raises(ValueError, match=r"but for axis 3, got \(2, 4, 6\)"):
        nn.Concat(nn.Identity(), dim=3)(x)
    with pytest.raises(ValueError, match="Concat: dim must be at least 0, got -1"):
        nn.Concat(nn.Identity(), dim=-1)
