"""fastconv.torch beside torch.nn: the same numbers and gradients, on the same memory."""

# ruff: noqa: E402

import copy
import itertools
import warnings

import numpy as np
import programs
import pytest

torch = pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")

from torch import nn

import fastconv
import fastconv.torch
from fastconv import _threads
from fastconv.torch import _operators

ATOL = {torch.float32: 2e-5, torch.float64: 1e-12}
SPACE = {1: (11,), 2: (7, 8), 3: (5, 4, 6)}


def tensor(*shape, seed=0, dtype=torch.float64, requires_grad=True):
    values = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))
    return values.to(dtype).requires_grad_(requires_grad)


def assert_close(one, other):
    assert one.dtype == other.dtype
    torch.testing.assert_close(one, other, rtol=ATOL[one.dtype], atol=ATOL[one.dtype])


def assert_same(ours, theirs, x, *args):
    """Outputs, and the gradients of the input and of all parameters."""
    results = []
    for module in (ours, theirs):
        module.zero_grad()
        x = x.detach().clone().requires_grad_()
        y = module(x, *args)
        (y * tensor(*y.shape, seed=1, dtype=y.dtype)).sum().backward()
        results.append([y, x.grad, *(p.grad for p in module.parameters())])
    for one, other in zip(*results, strict=True):
        assert one.shape == other.shape
        assert_close(one, other)


LAYERS = [
    {},
    {"bias": False},
    {"stride": 2, "padding": 1},
    {"stride": 2, "padding": 2, "dilation": 2},
    {"groups": 2},
    {"groups": 4, "padding": 1, "bias": False},
]
CONVOLUTIONS = [
    {"padding": "same", "dilation": 2},
    {"padding": "valid"},
    {"padding": 2, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "replicate", "stride": 2},
    {"padding": "same", "padding_mode": "circular"},
]
TRANSPOSED = [
    {"stride": 3, "output_padding": 2},
    {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2},
    {"dilation": 3, "output_padding": 2},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    ("family", "options"),
    [("Conv", options) for options in LAYERS + CONVOLUTIONS]
    + [("ConvTranspose", options) for options in LAYERS + TRANSPOSED],
    ids=str,
)
def test_layers_are_those_of_torch(family, options, ndim, dtype):
    name = f"{family}{ndim}d"
    made = [
        getattr(package, name)(4, 8, kernel_size=2 + (ndim < 3), dtype=dtype, **options)
        for package in (fastconv.torch, nn)
    ]
    ours, theirs = made
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    for batch in ((2,), (), (0,)):
        assert_same(ours, theirs, tensor(*batch, 4, *SPACE[ndim], dtype=dtype))


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("whole", [True, False])
def test_output_size(ndim, extra, whole):
    theirs = getattr(nn, f"ConvTranspose{ndim}d")(4, 2, 3, stride=3, padding=1).double()
    ours = fastconv.torch.accelerate(copy.deepcopy(theirs))
    size = [(side - 1) * 3 + 1 + extra for side in SPACE[ndim]]
    assert_same(ours, theirs, tensor(2, 4, *SPACE[ndim]), [2, 2, *size] if whole else size)
    with pytest.raises(ValueError, match="output size"):
        ours(tensor(2, 4, *SPACE[ndim]), [side + 3 for side in size])


def test_functions_take_what_those_of_fastconv_take():
    x, weight = tensor(2, 3, 7, 8), tensor(4, 3, 2, 3)
    for options in ({"padding": ((1, 0), (2, 1))}, {"padding": "same", "stride": (2, 3)}):
        ours = fastconv.torch.conv2d(x, weight, **options)
        arrays = fastconv.conv2d(x.detach().numpy(), weight.detach().numpy(), **options)
        np.testing.assert_array_equal(ours.detach().numpy(), arrays)
    y = fastconv.torch.conv_transpose2d(ours, weight, None, (2, 3), ((0, 0), (1, 0)))
    expected = fastconv.conv_transpose2d(
        ours.detach().numpy(), weight.detach().numpy(), None, (2, 3), ((0, 0), (1, 0))
    )
    np.testing.assert_array_equal(y.detach().numpy(), expected)


# ------------------------------------------------------------------------- operators

OPERATORS = {
    "conv": lambda **to: (
        tensor(2, 4, 5, 6, **to), tensor(6, 2, 3, 2, seed=1, **to), tensor(6, seed=2, **to),
        [2, 1], [1, 2, 0, 1], [1, 2], 2,
    ),
    "conv_transpose": lambda **to: (
        tensor(2, 4, 3, 4, **to), tensor(4, 3, 3, 2, seed=1, **to), tensor(6, seed=2, **to),
        [2, 1], [1, 2, 0, 1], [1, 0], [1, 2], 2,
    ),
    "conv_grad_weight": lambda **to: (
        tensor(2, 4, 5, 6, **to), tensor(2, 6, 3, 5, seed=1, **to),
        [3, 2], [2, 1], [1, 2, 0, 1], [1, 2], 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_of_first_and_second_order(name):
    operator, arguments = getattr(torch.ops.fastconv, name), OPERATORS[name]()
    assert torch.autograd.gradcheck(operator, arguments)
    assert torch.autograd.gradgradcheck(operator, arguments)


@pytest.mark.parametrize("layout", ["C", "channels_last"])
@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own tools
def test_opcheck(name, requires_grad, layout):
    first, *rest = OPERATORS[name](requires_grad=requires_grad)
    if layout == "channels_last":
        first = first.detach().to(memory_format=torch.channels_last).requires_grad_(requires_grad)
    operator = getattr(torch.ops.fastconv, name).default
    assert set(torch.library.opcheck(operator, (first, *rest)).values()) == {"SUCCESS"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("batch", [(2,), ()])
def test_fake_tensors_have_the_strides_of_real_ones(ndim, channels, batch):
    space = SPACE[ndim]
    orders = [
        tensor(*batch, channels, *space, requires_grad=False),
        tensor(*batch, *space, channels, requires_grad=False).movedim(-1, len(batch)),
        tensor(*space, *batch, channels, requires_grad=False).permute(
            *range(ndim, ndim + len(batch) + 1), *range(ndim)
        ),
    ]
    for x, out_channels in itertools.product(orders, (1, 4)):
        weight = tensor(out_channels, channels, *[3] * ndim, requires_grad=False)
        y = getattr(fastconv.torch, f"conv{ndim}d")(x, weight, padding=1)
        like = getattr(fastconv.torch, f"conv{ndim}d")(
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta"),
            weight.to("meta"), padding=1,
        )  # fmt: skip
        assert (like.shape, like.stride()) == (y.shape, y.stride())


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own tools
def test_compile_sees_whole_graphs(dynamic):
    model = nn.Sequential(
        fastconv.torch.Conv2d(3, 4, 3, padding="same", padding_mode="reflect"),
        fastconv.torch.Conv2d(4, 4, 2, stride=2, groups=2),
        nn.ReLU(),
        fastconv.torch.ConvTranspose2d(4, 3, 3, stride=2, padding=1),
    ).double()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for size in (8, 9, 12):
        assert_same(compiled, model, tensor(2, 3, size, size + 1))
    torch._dynamo.reset()


def test_autocast_leaves_float32():
    layer = fastconv.torch.Conv2d(3, 4, 3)
    x = tensor(2, 3, 6, 6, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    assert_close(y, layer(x.float()))
    y.sum().backward()
    assert x.grad.dtype == torch.bfloat16


# ------------------------------------------------------------------------- memory


@pytest.fixture
def seen(monkeypatch):
    """What the functions on arrays got and gave: their addresses."""
    addresses = []

    def watched(function):
        def call(*args, **options):
            arrays = [each for each in args if isinstance(each, np.ndarray)]
            results = function(*args, **options)
            found = results if isinstance(results, tuple) else (results,)
            addresses.append(
                {each.ctypes.data for each in (*arrays, *found) if each is not None}
            )  # fmt: skip
            return results

        return call

    for name in ("_conv", "_conv_transpose", "_conv_backward"):
        monkeypatch.setattr(_operators, name, watched(getattr(_operators, name)))
    return addresses


@pytest.mark.parametrize("layout", ["C", "channels_last", "strided"])
@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
@pytest.mark.parametrize("size", [6, 60])  # of memory that is new, and that is recycled
def test_nothing_is_copied(seen, name, layout, size):
    layer = getattr(fastconv.torch, name)(4, 6, 3)
    x = tensor(8, 4, size, 2 * size, dtype=torch.float32)[..., : size if layout != "C" else None]
    if layout == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    x = x.detach().requires_grad_()
    y = layer(x)
    tensors = x, layer.weight, layer.bias, y
    assert {each.data_ptr() for each in tensors} == seen.pop()
    g = torch.randn_like(y)
    x_grad, w_grad = torch.autograd.grad(y, (x, layer.weight), g)
    by_weight, by_input = seen.pop(), seen.pop()
    assert {each.data_ptr() for each in (g, layer.weight, x_grad)} == by_input
    assert {each.data_ptr() for each in (g, x, w_grad)} <= by_weight
    assert not seen


def test_an_output_outlives_what_it_was_made_of():
    layer = fastconv.torch.Conv2d(8, 8, 3, padding=1)
    x = tensor(4, 8, 40, 40, dtype=torch.float32)
    kept = layer(x)
    before = kept.detach().clone()
    for _ in range(5):  # memory that went back would be taken by these
        layer(2 * x)
    assert torch.equal(kept, before)


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_channels_last_is_kept(name):
    layer = getattr(fastconv.torch, name)(4, 6, 3).to(memory_format=torch.channels_last)
    x = tensor(2, 4, 7, 8, dtype=torch.float32).to(memory_format=torch.channels_last)
    x = x.detach().requires_grad_()
    y = layer(x)
    (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
    for each in (y, grad):
        assert each.is_contiguous(memory_format=torch.channels_last)
        assert not each.is_contiguous()


# ------------------------------------------------------------------------- accelerate


class Branches(nn.Module):
    """Every layer that is swapped, and one that stands in two places."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding="same", padding_mode="circular")
        self.norm = nn.BatchNorm2d(8)
        self.shared = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.blocks = nn.ModuleList([self.shared, nn.Sequential(nn.ReLU(), self.shared)])
        self.up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
        self.volume = nn.Conv3d(1, 2, 3)
        self.lines = nn.Sequential(nn.Conv1d(2, 2, 3), nn.ConvTranspose1d(2, 2, 2))
        self.more = nn.ConvTranspose3d(2, 1, 3)

    def forward(self, x):
        x = self.norm(self.stem(x))
        for block in self.blocks:
            x = x + block(x)
        x = self.more(self.volume(self.up(x)[:, None]))
        return self.lines(x.reshape(x.shape[0], 2, -1))


def trained(model, steps=3):
    """Losses of some steps, and the output of eval() behind them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        loss = (model(tensor(2, 3, 8, 8, seed=step, dtype=torch.float32)) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    model.eval()
    return torch.stack(losses), model(tensor(2, 3, 8, 8, seed=9, dtype=torch.float32)).detach()


def test_accelerate_trains_and_evaluates_as_before():
    torch.manual_seed(0)
    theirs = Branches()
    ours = copy.deepcopy(theirs)
    keys, parameters, modules = list(ours.state_dict()), [*ours.parameters()], [*ours.modules()]
    calls = []
    ours.up.register_forward_hook(lambda *_: calls.append("up"))

    assert fastconv.torch.accelerate(ours) is ours
    assert list(ours.state_dict()) == keys
    assert all(map(torch.equal, parameters, ours.parameters()))
    assert all(old is new for old, new in zip(parameters, ours.parameters(), strict=True))
    assert all(old is new for old, new in zip(modules, ours.modules(), strict=True))
    swapped = {type(each) for each in ours.modules() if "Conv" in type(each).__name__}
    assert swapped == {
        getattr(fastconv.torch, name) for name in fastconv.torch.__all__ if name.startswith("C")
    }
    for one, other in zip(trained(ours), trained(theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    assert len(calls) == 4
    fastconv.torch.accelerate(ours)  # nothing is left to do, or to say
    assert torch.equal(copy.deepcopy(ours).stem.weight, ours.stem.weight)


def test_accelerate_a_copy_that_shares_parameters():
    model = Branches()
    ours = fastconv.torch.accelerate(model, inplace=False)
    assert type(model.stem) is nn.Conv2d
    assert type(ours.stem) is fastconv.torch.Conv2d
    assert ours.blocks[0] is ours.shared
    both = zip(model.state_dict().values(), ours.state_dict().values(), strict=True)
    assert all(one.data_ptr() == other.data_ptr() for one, other in both)
    assert ours.stem.weight is model.stem.weight
    assert ours.norm.running_mean is model.norm.running_mean


def test_accelerate_a_single_layer():
    layer = nn.Conv1d(2, 3, 3)
    assert type(fastconv.torch.accelerate(layer)) is fastconv.torch.Conv1d


class Standardized(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight, self.bias)


def test_accelerate_lists_what_it_leaves():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, dtype=torch.bfloat16),
        nn.Conv2d(1, 2, 3, dtype=torch.complex64),
        nn.Conv2d(1, 2, 3, device="meta"),
        nn.LazyConv2d(3, 3),
        Standardized(1, 2, 3),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3)),
        nn.Sequential(nn.Linear(2, 2), nn.Conv2d(1, 2, 3)),
    )
    before = [type(each) for each in model]
    with pytest.warns(UserWarning, match="left to PyTorch") as said:
        fastconv.torch.accelerate(model)
    for what in (
        "0 (torch.bfloat16)", "1 (torch.complex64)", "2 (on meta)", "LazyConv2d)",
        "test_torch.Standardized)", "5 (class torch.nn.utils.parametrize.ParametrizedConv2d)",
    ):  # fmt: skip
        assert what in str(said[0].message)
    assert [type(each) for each in model] == before
    assert type(model[6][1]) is fastconv.torch.Conv2d


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of scripts
def test_accelerate_leaves_quantized_and_scripted_layers():
    quantized = pytest.importorskip("torch.ao.nn.quantized", reason="no quantization here")
    if not set(torch.backends.quantized.supported_engines) - {"none"}:
        pytest.skip("no engine for quantized layers on this machine")
    with warnings.catch_warnings(action="ignore"):
        layer = quantized.Conv2d(1, 2, 3)
    model = nn.Sequential(layer, torch.jit.script(nn.Conv2d(1, 2, 3)))
    with pytest.warns(UserWarning, match=r"0 \(.*quantized.*Conv2d\), 1 \(.*Conv2d\)"):
        fastconv.torch.accelerate(model)


def test_old_weight_norm_and_spectral_norm_go_on():
    """They write the weight in a hook before each call."""
    torch.manual_seed(0)
    theirs = nn.utils.spectral_norm(nn.Conv2d(2, 3, 3).double())
    ours = fastconv.torch.accelerate(copy.deepcopy(theirs))
    assert type(ours) is fastconv.torch.Conv2d
    assert_same(ours, theirs, tensor(2, 2, 5, 5))


# ------------------------------------------------------------------------- errors, threads


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, w: fastconv.torch.conv2d(x.bfloat16(), w), TypeError,
         "conv2d: input must be float32 or float64, got torch.bfloat16"),
        (lambda x, w: fastconv.torch.conv2d(x, w.float()), TypeError,
         "conv2d: weight must be float64"),
        (lambda x, w: fastconv.torch.conv2d(x[0, 0], w), ValueError, "conv2d: input must have 4"),
        (lambda x, w: fastconv.torch.conv1d(x, w), ValueError, "conv1d: weight must have 3 axes"),
        (lambda x, w: fastconv.torch.conv2d(x, w, stride=0), ValueError, "stride must be at least"),
        (lambda x, w: fastconv.torch.conv2d(x, w, groups=2), ValueError, "groups must"),
        (lambda x, w: fastconv.torch.conv2d(x, w, dilation=9), ValueError, "must fit the padded"),
        (lambda x, w: fastconv.torch.conv2d(x, w, w), ValueError, "bias must have shape"),
        (lambda x, w: fastconv.torch.conv_transpose2d(x, w, padding="same"), ValueError,
         "conv_transpose2d: padding must be numbers"),
        (lambda x, w: fastconv.torch.accelerate(x), TypeError, "must be a torch.nn.Module"),
        (lambda x, w: fastconv.torch.conv2d(x.numpy(), w), TypeError, "conv2d: input must be a"),
    ],
)  # fmt: skip
def test_errors_name_operation_parameter_value_and_rule(call, error, message):
    with pytest.raises(error, match=message):
        call(tensor(2, 3, 7, 7, requires_grad=False), tensor(3, 3, 3, 3, requires_grad=False))


def test_threads_are_at_most_those_of_torch(monkeypatch):
    counts = []

    def effective(op, num_threads, work, _real=_threads.effective):
        counts.append(_real(op, num_threads, work=10**9))
        return counts[-1]

    monkeypatch.setattr(_threads, "effective", effective)
    before = torch.get_num_threads()
    layer, x = fastconv.torch.Conv2d(2, 2, 3), tensor(1, 2, 5, 5, dtype=torch.float32)
    try:
        with fastconv.num_threads(3):
            for count in (1, 2, 8):
                torch.set_num_threads(count)
                layer(x).sum().backward()
            fastconv.conv2d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)))
    finally:
        torch.set_num_threads(before)
    openmp = _threads.cpu.openmp_version()
    assert counts == ([1] * 3 + [2] * 3 + [3] * 3 + [3] if openmp else [1] * 10)


BOTH = """
{first}
{second}
import numpy as np
import fastconv.torch, torch

torch.manual_seed(0)
torch.set_num_threads(2)
fastconv.set_num_threads(2)
theirs = torch.nn.Sequential(torch.nn.Conv2d(16, 32, 3), torch.nn.Conv2d(32, 8, 5))
ours = fastconv.torch.accelerate(theirs, inplace=False)
x = torch.randn(8, 16, 30, 30, requires_grad=True)
for _ in range(3):  # by turns, each with its threads
    results = []
    for model in (theirs, ours):
        y = model(x)
        results.append([y, *torch.autograd.grad((y * y).sum(), [x, *model.parameters()])])
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-2)
print("same")
"""


@pytest.mark.parametrize("order", [("torch", "fastconv"), ("fastconv", "torch")])
def test_both_orders_of_import(order):
    first, second = (f"import {name}" for name in order)
    assert programs.output(BOTH.format(first=first, second=second), timeout=60) == "same"


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of torch.func itself
def test_forward_mode_is_refused():
    """Operators of torch.library would have a derivative of zero there."""
    x, weight = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1)
    for run in (fastconv.torch.conv2d, fastconv.torch.conv_transpose2d):
        with pytest.raises(NotImplementedError, match="forward mode are not computed"):
            torch.func.jvp(lambda x, run=run: run(x, weight), (x,), (x,))
        with torch.autograd.forward_ad.dual_level():
            assert run(x, weight).shape == x.shape
            with pytest.raises(NotImplementedError, match="take reverse mode"):
                run(x, torch.autograd.forward_ad.make_dual(weight, weight))


def test_the_shape_of_an_empty_batch_of_one_channel():
    layer = fastconv.torch.Conv2d(1, 4, 3)
    x = torch.empty(0, 8, 8, 1).permute(0, 3, 1, 2)
    compiled = torch.compile(layer, backend="aot_eager")
    assert compiled(x).shape == layer(x).shape == (0, 4, 6, 6)
