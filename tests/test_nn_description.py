"""describe and build: a model's architecture as plain data."""

import json

import numpy as np
import pytest
from nn_cases import CASES, small_net

from fastconv import nn


def through_json(module):
    return nn.build(json.loads(json.dumps(nn.describe(module))))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_layer_is_rebuilt(case):
    module = case.make()
    twin = through_json(module)
    assert type(twin) is type(module)
    twin.load_state_dict(module.state_dict())
    if not case.name.startswith("Dropout"):  # draws from the package's generator now
        np.testing.assert_array_equal(twin(case.input()), module(case.input()))


def test_a_network_is_rebuilt():
    net = small_net()
    twin = through_json(net)
    twin.load_state_dict(net.state_dict())
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(twin(x), net(x))
    assert nn.describe(twin) == nn.describe(net)


def test_form():
    net = nn.Sequential(
        {"conv": nn.Conv2d(np.int64(1), 2, kernel_size=(3, 5), dtype=np.float64)},
    )
    assert nn.describe(net) == {
        "class": "Sequential",
        "arguments": {
            "modules": [
                {
                    "conv": {
                        "class": "Conv2d",
                        "arguments": {
                            "in_channels": 1,
                            "out_channels": 2,
                            "kernel_size": [3, 5],
                            "dtype": "float64",
                        },
                    }
                }
            ]
        },
    }
    assert through_json(net).conv.weight.dtype == np.float64
    assert list(through_json(net).state_dict()) == ["conv.weight", "conv.bias"]


def test_branches_are_rebuilt():
    net = nn.Concat(nn.Identity(), nn.Linear(2, 3), dim=1)
    twin = through_json(net)
    twin.load_state_dict(net.state_dict())
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(twin(x), net(x))


def test_awkward_names():
    net = nn.Sequential({"class": nn.ReLU(), "arguments": nn.Tanh()})
    assert [name for name, _ in through_json(net).named_children()] == ["class", "arguments"]


def test_generators_are_left_out():
    net = nn.Sequential(nn.Dropout(0.2, rng=np.random.default_rng(0)))
    assert nn.describe(net[0]) == {"class": "Dropout", "arguments": {"p": 0.2}}


def test_only_modules_of_the_package_are_described():
    class Own(nn.Module):
        pass

    class ReLU(nn.ReLU):
        pass

    for module in (Own(), ReLU(), nn.Sequential(Own())):
        with pytest.raises(ValueError, match=r"is not a module of fastconv\.nn"):
            nn.describe(module)


def test_arrays_have_no_plain_form():
    with pytest.raises(ValueError, match=r"CrossEntropyLoss: weight has no plain form.*ndarray"):
        nn.describe(nn.CrossEntropyLoss(np.ones(3)))


def test_a_changed_container_is_not_described():
    block = nn.Residual(nn.ReLU())
    block.body = nn.Tanh()
    with pytest.raises(ValueError, match="Residual no longer holds the modules"):
        nn.describe(block)


def conv(**arguments):
    return {"class": "Conv2d", "arguments": arguments}


BAD_DESCRIPTIONS = [
    (None, "a description has"),
    ([], "a description has"),
    ({"class": "ReLU"}, "a description has"),
    ({"class": "ReLU", "arguments": {}, "more": 1}, "a description has"),
    ({"class": ["ReLU"], "arguments": {}}, "a description has"),
    ({"class": "ReLU", "arguments": []}, "a description has"),
    ({"class": "eval", "arguments": {}}, "'eval' is not a module"),
    ({"class": "Module", "arguments": {}}, "'Module' is not a module"),
    ({"class": "Parameter", "arguments": {}}, "'Parameter' is not a module"),
    ({"class": "init", "arguments": {}}, "'init' is not a module"),
    ({"class": "build", "arguments": {}}, "'build' is not a module"),
    ({"class": "__init__", "arguments": {}}, "'__init__' is not a module"),
    ({"class": "ReLU", "arguments": {"inplace": True}}, "build: ReLU: .*inplace"),
    (conv(in_channels=1), "build: Conv2d: .*missing"),
    (conv(in_channels=1, out_channels=1, kernel_size=3, what=1), "build: Conv2d: .*what"),
    (conv(in_channels=1, out_channels=1, kernel_size="3"), "build: Conv2d: .*kernel_size"),
    (conv(in_channels=1, out_channels=1, kernel_size=None), "build: Conv2d: .*kernel_size"),
    (conv(in_channels=1, out_channels=2**70, kernel_size=1), "build: Conv2d: .*64 bits"),
    (conv(in_channels=1, out_channels=1, kernel_size=1, dtype="O"), "build: Conv2d: .*float32"),
    (conv(in_channels=1, out_channels=1, kernel_size=1, dtype="none"), "build: Conv2d: .*none"),
    (conv(in_channels=1, out_channels=1, kernel_size=1, rng=0), "build: Conv2d: rng"),
    ({"class": "Sequential", "arguments": {"modules": [1]}}, "build: Sequential: .*Module"),
    ({"class": "Sequential", "arguments": {"modules": 1}}, "build: Sequential"),
    ({"class": "Residual", "arguments": {"body": {}}}, "build: Residual: .*body"),
    (
        {"class": "Sequential", "arguments": {"modules": [{"class": "No", "arguments": {}}]}},
        "'No' is not a module",
    ),
]


@pytest.mark.parametrize(("description", "match"), BAD_DESCRIPTIONS)
def test_bad_descriptions(description, match):
    with pytest.raises(ValueError, match=match):
        nn.build(description)


def test_bottomless_descriptions():
    description = {"class": "ReLU", "arguments": {}}
    for _ in range(2000):
        description = {"class": "Sequential", "arguments": {"modules": [description]}}
    with pytest.raises(ValueError, match="nested too deep"):
        nn.build(description)
