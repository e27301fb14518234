"""Every layer of fastconv.nn, with arguments and an input that exercise it."""

from dataclasses import dataclass, field

import numpy as np

from fastconv import nn


@dataclass(frozen=True)
class LayerCase:
    """One layer: its class name, constructor arguments and input shape."""

    name: str
    args: tuple
    shape: tuple
    options: dict = field(default_factory=dict)
    random: bool = False  # whether the constructor takes rng
    typed: bool = False  # whether the constructor takes dtype

    @property
    def id(self):
        words = [*map(str, self.args), *(f"{key}={value}" for key, value in self.options.items())]
        return f"{self.name}({','.join(words)})".replace(" ", "")

    @property
    def in_torch(self):
        """Whether PyTorch has such a layer: it has no padding that differs between two sides."""
        padding = self.options.get("padding")
        return not (isinstance(padding, tuple) and isinstance(padding[0], tuple))

    def make(self, dtype=np.float64, seed=0):
        extra = {}
        if self.random:
            extra["rng"] = np.random.default_rng(seed)
        if self.typed:
            extra["dtype"] = dtype
        return getattr(nn, self.name)(*self.args, **self.options, **extra)

    def input(self, dtype=np.float64):
        return distinct(self.shape, dtype)


def distinct(shape, dtype=np.float64, seed=1):
    """Numbers of both signs, none near another or near 0: max and ReLU are smooth there."""
    size = int(np.prod(shape))
    values = (np.arange(size) - size // 2 + 0.5) * (3 / max(size, 1))
    return np.random.default_rng(seed).permutation(values).reshape(shape).astype(dtype)


def _case(name, args, shape, random=False, typed=False, **options):
    return LayerCase(name, args, shape, options, random, typed)


def _learned(name, args, shape, **options):
    return _case(name, args, shape, random=True, typed=True, **options)


def _norm(name, args, shape, **options):
    return _case(name, args, shape, typed=True, **options)


CASES = [
    _learned("Conv1d", (2, 3, 3), (2, 2, 7), stride=2, padding=1),
    _learned("Conv1d", (2, 4, 3), (2, 2, 7), dilation=2, groups=2, bias=False),
    _learned("Conv2d", (2, 3, (3, 2)), (2, 2, 5, 4), padding=(1, 0), stride=(2, 1)),
    _learned("Conv2d", (2, 2, 3), (1, 2, 4, 5), padding="same", groups=2),
    _learned("Conv2d", (2, 2, 2), (2, 4, 3), padding=((1, 0), (0, 2))),
    _learned("Conv3d", (1, 2, 2), (2, 1, 3, 2, 3), padding=1, stride=(1, 2, 1)),
    _learned("ConvTranspose1d", (2, 3, 3), (2, 2, 4), stride=3, padding=1, output_padding=2),
    _learned("ConvTranspose2d", (4, 2, (3, 2)), (2, 4, 2, 3), stride=2, groups=2),
    _learned("ConvTranspose2d", (2, 1, 2), (2, 3, 3), dilation=2, bias=False),
    _learned("ConvTranspose3d", (1, 2, 2), (1, 1, 2, 2, 3), stride=(2, 1, 2)),
    _learned("Linear", (4, 3), (2, 4)),
    _learned("Linear", (4, 3), (2, 3, 4), bias=False),
    _norm("BatchNorm1d", (3,), (4, 3)),
    _norm("BatchNorm1d", (3,), (2, 3, 4), affine=False),
    _norm("BatchNorm2d", (2,), (3, 2, 2, 3), track_running_stats=False),
    _norm("BatchNorm2d", (2,), (3, 2, 2, 3), eps=0.1, momentum=0.3),
    _norm("BatchNorm3d", (2,), (2, 2, 2, 1, 3)),
    _norm("GroupNorm", (2, 4), (2, 4, 3)),
    _norm("GroupNorm", (1, 2), (2, 2, 2, 2), affine=False),
    _case("MaxPool1d", (2,), (2, 2, 7)),
    _case("MaxPool2d", (3, 2), (2, 2, 5, 6), padding=1),
    _case("MaxPool2d", ((2, 3), 1), (2, 5, 6), dilation=2, ceil_mode=True),
    _case("MaxPool3d", (2,), (1, 2, 4, 2, 3)),
    _case("AvgPool1d", (3, 2), (2, 2, 7)),
    _case("AvgPool2d", (3, 2, 1, True, False), (2, 2, 4, 5)),
    _case("AvgPool2d", ((2, 1),), (2, 4, 5), divisor_override=3),
    _case("AvgPool3d", (2,), (1, 2, 4, 2, 3)),
    _case("AdaptiveAvgPool1d", (3,), (2, 2, 7)),
    _case("AdaptiveAvgPool2d", ((2, 3),), (2, 2, 5, 4)),
    _case("AdaptiveAvgPool3d", (1,), (1, 2, 4, 2, 3)),
    _case("ReLU", (), (2, 3, 4)),
    _case("LeakyReLU", (0.3,), (2, 3, 4)),
    _case("Sigmoid", (), (2, 3, 4)),
    _case("Tanh", (), (2, 3, 4)),
    _case("SiLU", (), (2, 3, 4)),
    _case("GELU", (), (2, 3, 4)),
    _case("GELU", (), (2, 3, 4), approximate="tanh"),
    _case("Identity", (), (2, 3)),
    _case("Flatten", (), (2, 3, 2, 2)),
    _case("Flatten", (0, 1), (2, 3, 4)),
    _case("PixelShuffle", (2,), (2, 4, 2, 3)),
    _case("PixelUnshuffle", (2,), (2, 1, 4, 6)),
    _case("Upsample", (), (2, 2, 3), scale_factor=3),
    _case("Upsample", (), (2, 2, 3, 2), scale_factor=(1, 2)),
    _case("Upsample", (), (1, 1, 2, 1, 2), scale_factor=2),
    _case("Dropout", (0.4,), (3, 4, 5), random=True),
]

LOSSES = ("CrossEntropyLoss", "MSELoss", "BCEWithLogitsLoss")


def small_net(dtype=np.float32, seed=0):
    """A network with every kind of part: parameters, buffers, a branch, nesting."""
    rng = np.random.default_rng(seed)
    body = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, bias=False, dtype=dtype, rng=rng),
        nn.BatchNorm2d(4, dtype=dtype),
        nn.Tanh(),
    )
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1, dtype=dtype, rng=rng),
        nn.ReLU(),
        nn.Residual(body, nn.Conv2d(4, 4, 1, dtype=dtype, rng=rng)),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3, dtype=dtype, rng=rng),
    )
