"""Layers that read their sizes off the input, and what builds a whole model at once."""

import copy
import json

import numpy as np
import pytest

import fastconv
from fastconv import nn, optim

# name, arguments without the first, input shape, the first
CASES = [
    ("Conv1d", (4, 3), {"padding": "same"}, (2, 3, 7), 3),
    ("Conv2d", (4, 3), {"groups": 2, "bias": False}, (2, 6, 5, 4), 6),
    ("Conv2d", (4, (3, 1)), {"padding": 1, "padding_mode": "reflect"}, (6, 5, 4), 6),
    ("Conv3d", (2, 2), {}, (1, 3, 4, 3, 2), 3),
    ("ConvTranspose1d", (4, 3, 2), {}, (2, 3, 7), 3),
    ("ConvTranspose2d", (), {"out_channels": 4, "kernel_size": 2, "groups": 2}, (2, 6, 3, 4), 6),
    ("ConvTranspose3d", (2, 2), {"dtype": np.float64}, (1, 3, 2, 3, 2), 3),
    ("Linear", (4,), {}, (2, 3, 5), 5),
    ("Linear", (4, False), {"dtype": np.float64}, (5,), 5),
    ("BatchNorm1d", (), {}, (4, 3), 3),
    ("BatchNorm1d", (0.1,), {"affine": False}, (4, 3, 2), 3),
    ("BatchNorm2d", (), {"momentum": None}, (4, 3, 2, 2), 3),
    ("BatchNorm3d", (), {"dtype": np.float64}, (4, 3, 2, 2, 1), 3),
]
every_case = pytest.mark.parametrize(
    ("name", "args", "options", "shape", "first"), CASES, ids=[case[0] for case in CASES]
)


def layers():
    return [
        nn.LazyConv2d(4, 3, padding="same"), nn.LazyBatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2),
        nn.LazyConvTranspose2d(2, 2, stride=2), nn.Dropout(0.5), nn.Flatten(),
        nn.Residual(nn.LazyLinear(72), nn.LazyLinear(72)), nn.LazyLinear(3),
    ]  # fmt: skip


def eager_layers():
    return [
        nn.Conv2d(1, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.ConvTranspose2d(4, 2, 2, stride=2), nn.Dropout(0.5), nn.Flatten(),
        nn.Residual(nn.Linear(72, 72), nn.Linear(72, 72)), nn.Linear(72, 3),
    ]  # fmt: skip


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert list(one) == list(other)
    return all(np.array_equal(one[key], other[key]) for key in one)


@every_case
def test_the_first_forward_makes_the_layer(name, args, options, shape, first):
    x = np.random.default_rng(0).standard_normal(shape).astype(options.get("dtype", np.float32))
    fastconv.manual_seed(0)
    lazy = getattr(nn, f"Lazy{name}")(*args, **options)
    y = lazy(x)
    fastconv.manual_seed(0)
    eager = getattr(nn, name)(first, *args, **options)
    np.testing.assert_array_equal(y, eager(x))
    assert type(lazy) is type(eager)
    assert same(lazy, eager)
    assert repr(lazy) == repr(eager)
    assert nn.describe(lazy) == nn.describe(eager)
    np.testing.assert_array_equal(lazy.backward(y), eager.backward(y))


@every_case
def test_repr_and_description_before(name, args, options, shape, first):
    lazy = getattr(nn, f"Lazy{name}")(*args, **options)
    assert repr(lazy).startswith(f"Lazy{name}(")
    description = nn.describe(lazy)
    assert description["class"] == f"Lazy{name}"
    twin = nn.build(json.loads(json.dumps(description)))
    assert nn.describe(twin) == description
    lazy.build_for(shape if len(shape) < 3 else shape[1:])
    assert type(lazy).__name__ == name


@pytest.mark.parametrize("name", [name for name in nn.__all__ if name.startswith("Lazy")])
def test_signatures_are_those_of_torch(name):
    import inspect

    torch = pytest.importorskip("torch")
    theirs = list(inspect.signature(getattr(torch.nn, name)).parameters)
    ours = inspect.signature(getattr(nn, name).__init__).parameters.values()
    ours = [each.name for each in ours if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert ours == ["self", *theirs[: len(ours) - 1]]


def test_a_generator_of_its_own():
    lazy = nn.LazyLinear(2, rng=np.random.default_rng(5)).build_for((3,))
    assert same(lazy, nn.Linear(3, 2, rng=np.random.default_rng(5)))


def test_making_one_draws_no_number():
    fastconv.manual_seed(0)
    want = nn.Linear(2, 2)
    fastconv.manual_seed(0)
    nn.LazyConv2d(4, 3)
    assert same(nn.Linear(2, 2), want)


@pytest.mark.parametrize("how", ["input_shape", "build_for", "forward"])
def test_a_model_is_the_one_that_names_its_sizes(how):
    fastconv.manual_seed(3)
    if how == "input_shape":
        model = nn.Sequential(*layers(), input_shape=(1, 6, 6))
    else:
        model = nn.Sequential(*layers())
        if how == "forward":
            model.eval()(np.ones((2, 1, 6, 6), np.float32))
            model.train()
        else:
            assert model.build_for([1, 6, 6]) is model
    fastconv.manual_seed(3)
    eager = nn.Sequential(*eager_layers())
    assert same(model, eager)
    assert all(module.training for module in model.modules())
    assert [type(each) for each in model.modules()] == [type(each) for each in eager.modules()]


def test_building_leaves_statistics_and_modes():
    model = nn.Sequential(nn.BatchNorm2d(1), *layers())
    model[1].eval()
    model.build_for((1, 6, 6))
    assert model[0].num_batches_tracked == 0
    np.testing.assert_array_equal(model[0].running_var, [1])
    assert [each.training for each in model] == [True, False] + [True] * 8


def test_numpy_integers_are_integers():
    layer = nn.LazyConv1d(np.int64(4), 3, groups=np.int32(2))
    assert layer.build_for((np.uint8(6), 9)).weight.shape == (4, 3, 3)


def test_a_subclass_turns_into_the_layer_as_well():
    class Own(nn.LazyLinear):
        pass

    assert type(Own(3).build_for((2,))) is nn.Linear


def test_names_and_a_second_input_size():
    model = nn.Sequential({"conv": nn.LazyConv1d(2, 3), "act": nn.ReLU()}, input_shape=(5, 9))
    assert list(model.state_dict()) == ["conv.weight", "conv.bias"]
    assert model(np.ones((2, 5, 30), np.float32)).shape == (2, 2, 28)
    with pytest.raises(ValueError, match="must have 5 channels"):
        model(np.ones((2, 6, 30), np.float32))


def test_float64_models_are_built_in_float64():
    model = nn.Sequential(nn.ReLU(), nn.LazyLinear(2, dtype=np.float64), input_shape=(3,))
    assert model[1].weight.dtype == np.float64
    model = nn.Sequential(nn.Linear(3, 2, dtype="f8"), nn.LazyBatchNorm1d(dtype="f8"))
    assert model.build_for((3,))[1].weight.dtype == np.float64


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: list(model.parameters()),
        lambda model: list(model.named_parameters()),
        lambda model: optim.SGD(model.parameters(), 0.1),
        lambda model: model.state_dict(),
        lambda model: model.load_state_dict({}),
        lambda model: model.zero_grad(),
        lambda model: model.backward(np.ones((1, 3), np.float32)),
    ],
)
def test_no_parameters_before(ask):
    model = nn.Sequential(*layers())
    with pytest.raises(RuntimeError, match=r"^Lazy.*: there are no parameters .*build_for\(input"):
        ask(model)
    model.build_for((1, 6, 6))
    assert len(list(model.parameters())) == 12


def test_state_dict_and_description_go_through():
    model = nn.Sequential(*layers(), input_shape=(1, 6, 6))
    state = {key: value + 1 for key, value in model.state_dict().items()}
    twin = nn.build(json.loads(json.dumps(nn.describe(model))))
    twin.load_state_dict(state)
    x = np.random.default_rng(0).standard_normal((2, 1, 6, 6)).astype(np.float32)
    model.load_state_dict(state)
    np.testing.assert_array_equal(twin.eval()(x), model.eval()(x))
    assert nn.describe(twin) == nn.describe(model)


def test_copies_of_an_unbuilt_model():
    model = nn.Sequential(*layers())
    twin = copy.deepcopy(model).build_for((1, 6, 6))
    assert type(model[0]) is nn.LazyConv2d
    assert type(twin[0]) is nn.Conv2d


def test_torch_loads_the_built_model():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.LazyConv2d(4, 3), torch.nn.LazyBatchNorm2d(), torch.nn.Flatten(),
        torch.nn.LazyLinear(3),
    )  # fmt: skip
    ours = nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(3),
        input_shape=(2, 5, 5),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 2, 5, 5)).astype(np.float32)
    theirs.eval()(torch.tensor(x))
    theirs.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    np.testing.assert_allclose(ours.eval()(x), theirs(torch.tensor(x)).detach(), atol=1e-5)


def test_a_lazy_model_trains():
    model = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(2), input_shape=(2,))
    x = np.random.default_rng(0).standard_normal((256, 2)).astype(np.float32)
    data = x, (x[:, 0] > x[:, 1]).astype(np.int64)
    adam = optim.Adam(model.parameters(), 0.05)
    fastconv.fit(model, data, loss=nn.CrossEntropyLoss(), optimizer=adam, epochs=20, verbose=0)
    assert fastconv.evaluate(model, data)["accuracy"] > 0.95


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.Sequential(nn.LazyConv2d(2, 5), input_shape=(1, 4, 4)),
            ValueError,
            "conv2d: weight of kernel size",
        ),
        (
            lambda: nn.Sequential(nn.LazyConv2d(2, 1, groups=2), input_shape=(3, 4, 4)),
            ValueError,
            "groups must divide in_channels=3, got 2",
        ),
        (
            lambda: nn.Sequential(nn.Linear(3, 2), input_shape=(4,)),
            ValueError,
            "linear: input must have 3 features",
        ),
        (
            lambda: nn.Sequential(nn.LazyLinear(2), input_shape=4),
            TypeError,
            r"Sequential: input_shape must be the shape of one example, as \(1, 28, 28\), got 4",
        ),
        (
            lambda: nn.LazyLinear(2).build_for((0,)),
            ValueError,
            "LazyLinear: input_shape must be at least 1, got 0",
        ),
        (
            lambda: nn.LazyLinear(2).build_for((2.5,)),
            TypeError,
            "LazyLinear: input_shape must be an integer, got 2.5",
        ),
        (
            lambda: nn.LazyBatchNorm2d().build_for((3, 4)),
            ValueError,
            r"LazyBatchNorm2d: input must have 4 axes, got shape \(1, 3, 4\)",
        ),
        (lambda: nn.LazyLinear(2).build_for((2**62,)), OverflowError, "too large"),
        (lambda: nn.LazyLinear(2).build_for((2**60,)), MemoryError, "no memory for input_shape"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_layer_that_cannot_be_made_stays_lazy():
    layer = nn.LazyConv2d(2, 1, groups=2)
    with pytest.raises(ValueError, match="groups"):
        layer(np.ones((1, 3, 4, 4), np.float32))
    assert repr(layer) == "LazyConv2d(2, 1, groups=2)"
    assert layer(np.ones((1, 4, 4, 4), np.float32)).shape == (1, 2, 4, 4)
