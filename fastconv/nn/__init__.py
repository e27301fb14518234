"""Layers, containers and losses, under the names of `torch.nn`.

A layer is its parameters plus one call of `fastconv.functional`; its `backward` is explicit and
local.  In training mode `forward` keeps what `backward` needs, in eval mode nothing.  Parameters
are float32 unless `dtype=` says float64, and start from `rng=`, or from the package's generator
that `fastconv.manual_seed` sets.
"""

from fastconv.nn import init
from fastconv.nn.activation import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh
from fastconv.nn.container import Concat, Residual, Sequential
from fastconv.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from fastconv.nn.description import build, describe
from fastconv.nn.dropout import Dropout
from fastconv.nn.linear import Linear
from fastconv.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from fastconv.nn.module import Module, Parameter
from fastconv.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm
from fastconv.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from fastconv.nn.shape import Flatten, Identity, PixelShuffle, PixelUnshuffle, Upsample

__all__ = [
    "GELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "GroupNorm",
    "Identity",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "Upsample",
    "build",
    "describe",
    "init",
]
