"""nn.summary: its numbers by hand and by counting, and that it leaves no trace."""

import numpy as np
import pytest
import reference
from nn_cases import small_net
from test_nn import Scale

import fastconv
from fastconv import nn


def rows(summary):
    return [
        (row.name, row.layer, row.output_shape, row.parameters, row.multiply_adds)
        for row in summary.rows
    ]


def test_numbers_by_hand():
    found = nn.summary(small_net(), (1, 8, 8), batch_size=2)
    assert rows(found) == [
        ("0", "Conv2d", (2, 4, 4, 4), 40, 2 * 4 * 16 * 9),
        ("1", "ReLU", (2, 4, 4, 4), 0, 0),
        ("2.body.0", "Conv2d", (2, 4, 4, 4), 144, 2 * 16 * 144),
        ("2.body.1", "BatchNorm2d", (2, 4, 4, 4), 8, 0),
        ("2.body.2", "Tanh", (2, 4, 4, 4), 0, 0),
        ("2.shortcut", "Conv2d", (2, 4, 4, 4), 20, 2 * 16 * 16),
        ("3", "MaxPool2d", (2, 4, 2, 2), 0, 0),
        ("4", "Flatten", (2, 16), 0, 0),
        ("5", "Linear", (2, 3), 51, 2 * 48),
    ]
    assert found.parameters == found.trainable == 263
    assert found.frozen == 0
    assert found.parameter_bytes == 4 * 263
    assert found.multiply_adds == 1152 + 4608 + 512 + 96
    assert [row.activation_bytes for row in found.rows] == [512] * 6 + [128, 128, 24]
    assert found.activation_bytes == 6 * 512 + 2 * 128 + 24
    assert found.batch_size == 2


def test_text():
    net = nn.Sequential(nn.LazyConv2d(8, 3), nn.Flatten(), nn.LazyLinear(1000, bias=False))
    assert str(nn.summary(net, (1, 12, 12))) == "\n".join(
        [
            "layer       output shape    parameters  multiply-adds  activations",
            "------------------------------------------------------------------",
            "0: Conv2d   (1, 8, 10, 10)          80          7,200      3.1 KiB",
            "1: Flatten  (1, 800)                 0              0      3.1 KiB",
            "2: Linear   (1, 1000)          800,000        800,000      3.9 KiB",
            "------------------------------------------------------------------",
            "parameters     800,080 (800,080 trainable, 0 frozen), 3.1 MiB",
            "multiply-adds  807,200 for one example",
            "activations    10.2 KiB for one example",
        ]
    )
    assert repr(nn.summary(net, (1, 12, 12))) == str(nn.summary(net, (1, 12, 12)))
    assert "for a batch of 3" in str(nn.summary(net, (1, 12, 12), 3))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, groups=2, padding=1), (4, 5, 7)),
        (nn.Conv1d(2, 3, 4, dilation=2), (2, 11)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 3)),
        (nn.ConvTranspose3d(1, 2, 2), (1, 2, 3, 2)),
    ],
)
def test_multiply_adds_are_the_uses_of_the_weights(layer, shape):
    """Ones everywhere, without padding and bias, give the number of uses as the sum."""
    layer.weight.data[...] = 1
    layer.bias.data[...] = 0
    ones = np.ones((2, *shape), np.float32)
    if layer.transposed or not layer.padding:
        want = layer(ones).sum()
    else:
        padded = np.pad(ones, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=1)
        want = reference.conv(padded, layer.weight.data, None, (2, 2), ((0, 0),) * 2, (1, 1), 2)
        want = want.sum()
    assert nn.summary(layer, shape, 2).multiply_adds == want


def test_shared_and_frozen_parameters():
    linear = nn.Linear(3, 3)
    tied = nn.Linear(3, 3)
    tied.weight = linear.weight
    linear.bias.requires_grad = False
    found = nn.summary(nn.Sequential(linear, nn.ReLU(), linear, tied), (3,))
    assert [row.parameters for row in found.rows] == [12, 0, 0, 3]
    assert (found.parameters, found.trainable, found.frozen) == (15, 12, 3)
    assert found.multiply_adds == 27


class Twice(nn.Module):
    """A user's module with a parameter beside a submodule, which counts its own work."""

    def __init__(self):
        self.inner = nn.Linear(2, 2)
        self.factor = nn.Parameter(np.ones((), np.float32))

    def forward(self, input):
        return self.inner.forward(self.inner(input)) * self.factor.data

    def multiply_adds(self, input_shape, output_shape):
        return int(np.prod(output_shape))


def test_modules_of_a_user():
    found = nn.summary(nn.Sequential(Twice(), Scale(2.0)), (2,))
    assert rows(found) == [
        ("0.inner", "Linear", (1, 2), 6, 4),
        ("0.inner", "Linear", (1, 2), 0, 4),
        ("0", "Twice", (1, 2), 1, 2),
        ("1", "Scale", (1, 2), 1, 0),
    ]


def test_the_model_is_left_as_it_was():
    net = nn.Sequential(
        Scale(2.0), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.5),
        nn.Sequential(nn.Dropout(0.5, rng=np.random.default_rng(0))).eval(),
    )  # fmt: skip
    x = np.random.default_rng(1).standard_normal((2, 1, 5, 5)).astype(np.float32)
    y = net.train()(x)
    net[5].eval()
    before = {key: value.copy() for key, value in net.state_dict().items()}
    kept = [module._saved for module in net.modules()]
    modes = [module.training for module in net.modules()]
    rng_state = net[5][0].rng.bit_generator.state
    generator = fastconv.manual_seed(1)
    state = generator.bit_generator.state
    nn.summary(net, (1, 5, 5))
    assert generator.bit_generator.state == state
    assert net[5][0].rng.bit_generator.state == rng_state
    assert [module.training for module in net.modules()] == modes
    assert [id(module._saved) for module in net.modules()] == list(map(id, kept))
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    assert all("forward" not in vars(module) for module in net.modules())
    net.backward(np.ones_like(y))


def test_lazy_layers_stay_lazy_and_draw_nothing():
    generator = fastconv.manual_seed(1)
    state = generator.bit_generator.state
    net = nn.Sequential(nn.LazyConv2d(2, 3), nn.LazyBatchNorm2d())
    found = nn.summary(net, (3, 5, 5))
    assert rows(found) == [
        ("0", "Conv2d", (1, 2, 3, 3), 56, 486),
        ("1", "BatchNorm2d", (1, 2, 3, 3), 4, 0),
    ]
    assert generator.bit_generator.state == state
    assert [type(each) for each in net] == [nn.LazyConv2d, nn.LazyBatchNorm2d]


def test_one_layer_and_float64():
    found = nn.summary(nn.Linear(3, 2, dtype=np.float64), (3,))
    assert rows(found) == [("", "Linear", (1, 2), 8, 6)]
    assert found.activation_bytes == 16
    assert str(found).splitlines()[2].startswith("Linear  (1, 2)")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((4,),), ValueError, "linear: input must have 3 features"),
        ((3,), TypeError, r"Linear: input_shape must be the shape of one example, .* got 3"),
        (((3,), 0), ValueError, "Linear: batch_size must be at least 1, got 0"),
        (((3,), 1.5), TypeError, "Linear: batch_size must be an integer, got 1.5"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.summary(nn.Linear(3, 2), *arguments)
