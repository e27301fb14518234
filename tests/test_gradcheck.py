"""gradcheck itself: it passes what is right, catches what is wrong, and leaves no trace."""

import numpy as np
import pytest
from nn_cases import distinct, small_net

import fastconv
from fastconv import gradcheck, nn
from fastconv.gradcheck import GradcheckError


class _Affine(nn.Module):
    """y = a x + b x^2 with backward as the subclass says."""

    def __init__(self, a, b, dtype=np.float64):
        self.a = nn.Parameter(np.array(a, dtype))
        self.b = nn.Parameter(np.array(b, dtype))

    def forward(self, input):
        self.save_for_backward(input)
        return self.a.data * input + self.b.data * input**2

    def backward(self, grad_output, needs_input_grad=True):
        (x,) = self.saved_for_backward()
        self.a.accumulate(self.sum(grad_output * x))
        self.b.accumulate(self.sum(grad_output * x**2))
        return grad_output * (self.a.data + 2 * self.b.data * x)

    def sum(self, array):
        return array.sum(axis=0)


X = distinct((3, 2))


def affine(kind=_Affine):
    return kind([1.0, 2.0], [0.5, -1.0])


def test_right_modules_pass():
    assert gradcheck(affine(), X) is True
    assert gradcheck(nn.Sequential(affine(), nn.Tanh(), affine()), X) is True


def test_float32_modules_are_checked_in_float64():
    assert gradcheck(_Affine([1.0, 2.0], [0.5, -1.0], np.float32), X.astype(np.float32), atol=1e-8)


class WrongInput(_Affine):
    def backward(self, grad_output, needs_input_grad=True):
        grad_input = super().backward(grad_output)
        grad_input[1, 0] += 0.01
        return grad_input


class WrongFactor(_Affine):
    def backward(self, grad_output, needs_input_grad=True):
        return super().backward(grad_output) * 1.01


class WrongParameter(_Affine):
    def sum(self, array):
        return array.mean(axis=0)


class NoParameterGradient(_Affine):
    def backward(self, grad_output, needs_input_grad=True):
        grad_input = super().backward(grad_output)
        self.b.grad = None
        return grad_input


class NoInputGradient(_Affine):
    def backward(self, grad_output, needs_input_grad=True):
        super().backward(grad_output)


class WrongShape(_Affine):
    def backward(self, grad_output, needs_input_grad=True):
        return super().backward(grad_output).T


class WrongType(_Affine):
    def backward(self, grad_output, needs_input_grad=True):
        return super().backward(grad_output).astype(np.float32)


class NaN(_Affine):
    def backward(self, grad_output, needs_input_grad=True):
        return super().backward(grad_output) * np.nan


class WrongOutputType(_Affine):
    def forward(self, input):
        return super().forward(input).astype(np.float32)


WRONG = {
    WrongInput: r"input\[1, 0\]: numerical .*, analytical .*\(1 of 6 elements differ\)",
    WrongFactor: r"input\[\d, \d\]: numerical .*\(6 of 6 elements differ\)",
    WrongParameter: r"parameter a\[\d\]: numerical .*\(2 of 2 elements differ\)",
    NoParameterGradient: "parameter b: backward gave no gradient",
    NoInputGradient: "input: backward gave no gradient",
    WrongShape: r"input: the gradient must be float64 of shape \(3, 2\), got .* \(2, 3\)",
    WrongType: "input: the gradient must be float64 of shape .*, got float32",
    NaN: r"input\[0, 0\]: numerical .*, analytical nan",
    WrongOutputType: "the output must be float64 when the input is, got float32",
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_modules_are_caught(kind):
    with pytest.raises(GradcheckError, match=WRONG[kind]):
        gradcheck(affine(kind), X)


@pytest.mark.parametrize("kind", [WrongInput, WrongFactor, WrongParameter])
def test_wrong_modules_are_caught_inside_others(kind):
    with pytest.raises(GradcheckError, match="analytical"):
        gradcheck(nn.Sequential(affine(), nn.Tanh(), affine(kind), nn.Tanh()), X)


def test_the_error_tells_both_values():
    class Doubled(nn.Module):
        def forward(self, input):
            return 3 * input

        def backward(self, grad_output, needs_input_grad=True):
            return 6 * grad_output

    with pytest.raises(GradcheckError) as error:
        gradcheck(Doubled(), np.array([[2.0]]))
    words = str(error.value).replace(",", "").split()
    numerical = float(words[words.index("numerical") + 1])
    analytical = float(words[words.index("analytical") + 1])
    assert analytical == pytest.approx(2 * numerical, rel=1e-6)
    assert "input[0, 0]" in str(error.value)


def test_a_single_number():
    class Scaled(_Affine):
        def sum(self, array):
            return array.sum() * self.factor

    module = Scaled(2.0, 0.5)
    module.factor = 1.0
    assert gradcheck(module, X)
    module.factor = 1.1
    with pytest.raises(GradcheckError, match=r"parameter a\[\]: numerical"):
        gradcheck(module, X)


def test_tolerances():
    gradcheck(affine(WrongFactor), X, rtol=0.02)
    gradcheck(affine(WrongInput), X, atol=0.02)
    with pytest.raises(GradcheckError):
        gradcheck(affine(WrongInput), X, atol=0.005)


def test_pairs_of_functions():
    def product(x, y):
        return x * y

    x, y = distinct((2, 3)), distinct((2, 3), seed=2)
    assert gradcheck((product, lambda g, x, y: (g * y, g * x)), (x, y))
    assert gradcheck((np.sin, lambda g, x: g * np.cos(x)), x)
    with pytest.raises(GradcheckError, match=r"input 1\[\d, \d\]: numerical"):
        gradcheck((product, lambda g, x, y: (g * y, g * y)), (x, y))
    with pytest.raises(GradcheckError, match="backward must give 2 gradients, got 1"):
        gradcheck((product, lambda g, x, y: g * y), (x, y))
    with pytest.raises(GradcheckError, match="input 0: backward gave no gradient"):
        gradcheck((product, lambda g, x, y: (None, g * x)), (x, y))


def test_functionals():
    x, weight, bias = distinct((1, 2, 4, 4)), distinct((4, 1, 3, 2)), distinct((4,))
    options = {"stride": (1, 2), "padding": 1, "groups": 2}
    forward = fastconv.conv2d
    pair = (
        lambda x, weight, bias: forward(x, weight, bias, **options),
        lambda g, x, weight, bias: fastconv.conv2d_backward(g, x, weight, **options),
    )
    assert gradcheck(pair, (x, weight, bias), atol=1e-7, rtol=1e-6)


def test_whole_numbers_are_passed_on():
    index = np.array([2, 0])

    def backward(grad_output, x, index):
        grad = np.zeros_like(x)
        grad[index] = grad_output
        return grad, None

    assert gradcheck((lambda x, index: x[index], backward), (distinct((3, 2)), index))


def test_frozen_parameters_are_left_out():
    module = affine(NoParameterGradient)
    module.b.requires_grad = False
    assert gradcheck(module, X)


def test_random_layers_draw_the_same_each_time():
    x = distinct((4, 5))
    assert gradcheck(nn.Dropout(0.5), x)
    assert gradcheck(nn.Dropout(0.5, rng=np.random.default_rng(0)), x)

    class Careless(nn.Dropout):
        def backward(self, grad_output, needs_input_grad=True):
            return grad_output / (1 - self.p)

    with pytest.raises(GradcheckError, match="numerical"):
        gradcheck(Careless(0.5), x)


def test_no_trace():
    net = nn.Sequential(small_net(), nn.Dropout(0.3)).eval()
    net[0][0].weight.grad = np.ones_like(net[0][0].weight.data)
    state = {name: array.copy() for name, array in net.state_dict().items()}
    fastconv.manual_seed(0)
    following = nn.Linear(3, 3).weight.data
    x = distinct((2, 1, 8, 8), np.float32)
    before = x.copy()
    fastconv.manual_seed(0)
    gradcheck(net, x)
    np.testing.assert_array_equal(nn.Linear(3, 3).weight.data, following)
    np.testing.assert_array_equal(x, before)
    assert not any(module.training for module in net.modules())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
        assert array.dtype == state[name].dtype
    np.testing.assert_array_equal(net[0][0].weight.grad, 1)
    assert net[0][0].bias.grad is None


def test_rng_decides_the_direction():
    seen = []

    def backward(grad_output, x):
        seen.append(grad_output)
        return grad_output

    for rng in (None, None, np.random.default_rng(1), np.random.default_rng(1)):
        gradcheck((lambda x: x, backward), X, rng=rng)
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], seen[3])
    assert np.any(seen[0] != seen[2])
