"""Convolution layers whose border is not zeros, and their transposes; output_size of a layer."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases, examples

from fastconv import nn

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
modes = st.sampled_from(list(MODES))


def layer(case, mode, weight, bias, transposed=None, **options):
    transposed = case.transposed if transposed is None else transposed
    made = getattr(nn, f"Conv{'Transpose' if transposed else ''}{case.ndim}d")(
        weight.shape[0] if transposed else weight.shape[1] * case.groups,
        weight.shape[1] * case.groups if transposed else weight.shape[0],
        case.kernel, groups=case.groups, bias=bias is not None, padding_mode=mode,
        dtype=case.dtype, **options,
    )  # fmt: skip
    made.weight.data[...] = weight
    if bias is not None:
        made.bias.data[...] = bias
    return made


def layer_of(case, mode, weight, bias):
    options = {key: value for key, value in case.options.items() if key != "groups"}
    size = options.pop("output_size", None)
    made = layer(case, mode, weight, bias, **options)
    return made, {} if size is None else {"output_size": size}


def allowed(case, mode, space):
    for size, pair in zip(space, case.pads, strict=True):
        if max(pair) > {"reflect": size - 1, "circular": size}.get(mode, max(pair)):
            return False
    return True


def pad(x, pads, mode):
    lead = [(0, 0)] * (x.ndim - len(pads))
    return np.pad(x, [*lead, *pads], MODES[mode])


def fold(g, space, pads, mode):
    """The transpose of `pad`: every cell adds to the one that it repeats, along each axis."""
    for axis, (size, pair) in enumerate(zip(space, pads, strict=True), g.ndim - len(pads)):
        sources = np.pad(np.arange(size) + 1, pair, MODES[mode]) - 1
        folded = np.zeros((*g.shape[:axis], size, *g.shape[axis + 1 :]))
        inside = np.flatnonzero(sources >= 0)
        at = (slice(None),) * axis
        np.add.at(folded, (*at, sources[inside]), g[(*at, inside)])
        g = folded
    return g


def batch(case, array):
    return array if case.batched else array[np.newaxis]


@pytest.mark.parametrize("transposed", [False, True])
@examples(200)
@given(data=st.data(), mode=modes)
def test_any_layer(data, mode, transposed):
    case = data.draw(cases(transposed, data="integers"))
    x, weight, bias, grad = case.arrays()
    made, size = layer_of(case, mode, weight, bias)
    wide = case.out_space if transposed else case.space
    if not allowed(case, mode, wide):
        with pytest.raises(ValueError, match=f"Conv.*d: padding of mode '{mode}' must be"):
            made(x, **size)
        return
    none = ((0, 0),) * case.ndim
    xs, grads = batch(case, x), batch(case, grad)
    if transposed:
        y = reference.conv_transpose(
            xs, weight, None, case.stride, none, case.output_padding, case.dilation, case.groups
        )
        # The reference's output padding may not reach what "same" asks for: zeros are beyond.
        short = [w + sum(p) - n for w, p, n in zip(wide, case.pads, y.shape[2:], strict=True)]
        y = np.pad(y, [(0, 0), (0, 0), *((0, each) for each in short)])
        want = fold(y, wide, case.pads, mode)
        if bias is not None:
            want += bias.reshape(-1, *(1,) * case.ndim)
        gx, gw, _ = reference.conv_transpose_backward(
            pad(grads, case.pads, mode), xs, weight, case.stride, none, case.dilation, case.groups
        )
    else:
        padded = pad(xs, case.pads, mode)
        want = reference.conv(padded, weight, bias, case.stride, none, case.dilation, case.groups)
        gx, gw, _ = reference.conv_backward(
            grads, padded, weight, case.stride, none, case.dilation, case.groups
        )
        gx = fold(gx, wide, case.pads, mode)
    y = made(x, **size)
    np.testing.assert_array_equal(batch(case, y), want)
    assert y.dtype == case.dtype
    np.testing.assert_array_equal(batch(case, made.backward(grad)), gx)
    np.testing.assert_array_equal(made.weight.grad, gw)
    if bias is not None:
        np.testing.assert_array_equal(
            made.bias.grad, grads.sum((0, *range(2, grads.ndim)), dtype=float)
        )


@examples(200)
@given(cases(data="integers", with_bias=False), modes)
def test_the_transposed_layer_is_the_adjoint(case, mode):
    """<conv(x), y> = <x, conv_transpose(y)>, with the very same weight."""
    if not allowed(case, mode, case.space):
        return
    x, weight, _, y = case.arrays()
    options = {key: case.options[key] for key in ("stride", "dilation")}
    conv = layer(case, mode, weight, None, padding=case.options["padding"], **options)
    up = layer(case, mode, weight, None, transposed=True, padding=case.pads, **options)
    back = up(y, output_size=case.space)
    assert back.shape == x.shape
    assert np.vdot(conv(x).astype(float), y) == np.vdot(x, back.astype(float))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [2, "pairs", "same"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_pytorch_agrees(ndim, padding, mode):
    torch = pytest.importorskip("torch")
    padding = (2, 0, 1)[:ndim] if padding == "pairs" else padding
    rng = np.random.default_rng(0)
    arguments = (4, 6, (3, 2, 3)[:ndim])
    options = {"padding": padding, "groups": 2, "dilation": 2, "padding_mode": mode}
    if padding != "same":
        options["stride"] = 2
    theirs = getattr(torch.nn, f"Conv{ndim}d")(*arguments, **options).double()
    ours = getattr(nn, f"Conv{ndim}d")(*arguments, **options, dtype=np.float64)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = rng.standard_normal((2, 4, 6, 7, 5)[: ndim + 2])
    tensor = torch.tensor(x, requires_grad=True)
    want = theirs(tensor)
    g = rng.standard_normal(want.shape)
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(ours(x), want.detach(), atol=1e-12)
    np.testing.assert_allclose(ours.backward(g), tensor.grad, atol=1e-12)
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad, atol=1e-12)
    np.testing.assert_allclose(ours.bias.grad, theirs.bias.grad, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_activations_beside_them_change_nothing(mode):
    def make():
        rng = np.random.default_rng(0)
        options = {"padding": 1, "padding_mode": mode, "rng": rng}
        return nn.Sequential(
            nn.LeakyReLU(0.3), nn.Conv2d(2, 3, 3, **options), nn.LeakyReLU(0.3),
            nn.ConvTranspose2d(3, 3, 3, **options), nn.ReLU(), nn.Conv2d(3, 2, 3, **options),
            nn.ReLU(), nn.ConvTranspose2d(2, 2, 3, **options), nn.LeakyReLU(0.3),
        )  # fmt: skip

    fused, single = make(), make()
    x, grad = np.random.default_rng(1).standard_normal((2, 3, 2, 6, 5)).astype(np.float32)
    want = x
    for module in single:
        want = module(want)
    np.testing.assert_array_equal(fused(x), want)
    got = fused.backward(grad)
    for module in list(single)[::-1]:
        grad = module.backward(grad)
    np.testing.assert_array_equal(got, grad)
    for one, other in zip(fused.parameters(), single.parameters(), strict=True):
        np.testing.assert_array_equal(one.grad, other.grad)


@pytest.mark.parametrize("mode", list(MODES)[1:])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_frozen_layer_without_its_inputs_gradient(transposed, mode):
    kind = nn.ConvTranspose1d if transposed else nn.Conv1d
    made = kind(2, 3, 3, padding=1, padding_mode=mode)
    made.weight.requires_grad = False
    y = made(np.ones((1, 2, 5), np.float32))
    assert made.backward(np.ones_like(y), needs_input_grad=False) is None
    assert made.weight.grad is None
    np.testing.assert_array_equal(made.bias.grad, [5, 5, 5])


def test_a_wrong_gradient_is_refused():
    up = nn.ConvTranspose2d(1, 1, 3, padding=1, padding_mode="circular")
    up(np.zeros((1, 1, 4, 4), np.float32))
    with pytest.raises(
        ValueError, match=r"ConvTranspose2d: grad_output must have .*\(1, 1, 4, 4\)"
    ):
        up.backward(np.zeros((1, 1, 6, 6), np.float32))


# ----------------------------------------------------------------------------- output_size


@pytest.mark.parametrize("size", [11, (12, 10), [10, 11], (2, 3, 12, 12)])
def test_output_size_as_in_pytorch(size):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.ConvTranspose2d(2, 3, 5, 3, 2, output_padding=1).double()
    ours = nn.ConvTranspose2d(2, 3, 5, 3, 2, output_padding=1, dtype=np.float64)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 2, 4, 4))
    tensor = torch.tensor(x, requires_grad=True)
    want = theirs(tensor, [size, size] if isinstance(size, int) else list(size))
    want.square().sum().backward()
    y = ours(x, size)
    np.testing.assert_allclose(y, want.detach(), atol=1e-12)
    np.testing.assert_allclose(ours.backward(2 * y), tensor.grad, atol=1e-11)
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad, atol=1e-10)
    np.testing.assert_allclose(ours.bias.grad, theirs.bias.grad, atol=1e-10)


@pytest.mark.parametrize("size", [9, 13, (11, 11, 11), (2, 3)])
@pytest.mark.parametrize("mode", MODES)
def test_an_impossible_output_size(size, mode):
    up = nn.ConvTranspose2d(2, 3, 5, 3, 2, padding_mode=mode)
    with pytest.raises(ValueError, match="output_size must"):
        up(np.zeros((2, 2, 4, 4), np.float32), output_size=size)
