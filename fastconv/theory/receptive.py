"""What an output cell of a network can see: its receptive field."""

import math
from fractions import Fraction
from typing import NamedTuple

from fastconv import _shapes, nn

POINTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus,
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
)  # fmt: skip
WINDOWS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class ReceptiveField(NamedTuple):
    """A network seen as one window over its input: for each axis its size, stride and start.

    Output cell o reads input cells from start + o * stride on, size of them; in the padding there
    are fewer.  After up-sampling stride may be a fraction, and size is that of the widest cell.
    """

    size: tuple
    stride: tuple
    start: tuple


def receptive_field(model):
    """The receptive field of a model of convolutions, pools and what works cell by cell.

    A layer of kernel k, stride s and dilation d in front of a field of r cells makes it
    (r - 1)s + d(k - 1) + 1: the first of the r windows, r - 1 steps, and the last one whole.
    Of branches that meet, `Residual` and `Concat`, the field holds all.

    Parameters
    ----------
    model : nn.Module; layers that see the whole input (Linear, adaptive pools, norms over space)
        are refused: name the part of the model before them

    Returns
    -------
    ReceptiveField of tuples

    Raises
    ------
    ValueError : a layer that has no window
    TypeError : model is no Module

    Notes
    -----
    Relationships 1 to 7 and 15 of Dumoulin & Visin (2016), read backwards; Araujo, Norris & Sim
    (2019), "Computing receptive fields of convolutional neural networks", Distill.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"receptive_field: model must be an nn.Module, got {type(model).__name__}")
    layers = [each for each in model.modules() if isinstance(each, (*WINDOWS, *TRANSPOSED))]
    ndim = _axes(layers) if layers else 1
    axes = [_axis(model, axis, ndim) for axis in range(ndim)]
    return ReceptiveField(*(tuple(each) for each in zip(*axes, strict=True)))


def _axes(layers):
    found = {int(type(each).__name__[-2]) for each in layers}
    if len(found) > 1:
        raise ValueError(f"receptive_field: layers must agree in their axes, got {sorted(found)}")
    return found.pop()


def _axis(model, axis, ndim):
    """(size, stride, start) along one axis."""
    jump = _stride(model, axis, ndim)
    # After `period` output cells the windows repeat, a whole number of input cells further on.
    period = Fraction(jump).denominator
    for each in model.modules():
        if isinstance(each, TRANSPOSED):
            period *= _window(each, axis, ndim)[1]
        elif isinstance(each, nn.PixelShuffle):
            period *= each.upscale_factor
    fields = [_read(model, (o, o), axis, ndim) for o in range(period)]
    size = max(high - low + 1 for low, high in fields)
    start = math.floor(min(low - o * jump for o, (low, _) in enumerate(fields)))
    return size, int(jump) if jump.denominator == 1 else jump, start


def _window(layer, axis, ndim):
    """(reach d(k - 1), stride, low padding) of a layer along an axis."""
    op = "receptive_field"
    stride = layer.kernel_size if layer.stride is None else layer.stride
    kernel, stride, dilation = (
        _shapes.per_axis(op, name, value, ndim, 1)[axis]
        for name, value in (
            ("kernel_size", layer.kernel_size),
            ("stride", stride),
            ("dilation", getattr(layer, "dilation", 1)),
        )
    )
    pads = _shapes.padding_pairs(op, layer.padding, ndim)
    if pads == "same":
        if stride > 1:
            raise ValueError(
                f"{op}: {layer!r}: 'same' with a stride depends on the input size; give numbers"
            )
        pads = (_shapes.same_padding(1, kernel, 1, dilation),) * ndim
    return dilation * (kernel - 1), stride, pads[axis][0]


def _branches(module):
    """The branches that meet in a module, or None."""
    if isinstance(module, nn.Residual):
        shortcut = module.shortcut
        return [module.body, nn.Identity() if shortcut is None else shortcut]
    if isinstance(module, nn.Concat):
        return list(module.children())
    return None


def _stride(module, axis, ndim):
    """Input cells from one output cell to the next."""
    if isinstance(module, nn.Sequential):
        return math.prod(
            (_stride(each, axis, ndim) for each in module.children()), start=Fraction(1)
        )
    branches = _branches(module)
    if branches is not None:
        return _stride(branches[0], axis, ndim)
    if isinstance(module, WINDOWS):
        return Fraction(_window(module, axis, ndim)[1])
    if isinstance(module, TRANSPOSED):
        return Fraction(1, _window(module, axis, ndim)[1])
    if isinstance(module, nn.PixelShuffle):
        return Fraction(1, module.upscale_factor)
    if isinstance(module, nn.PixelUnshuffle):
        return Fraction(module.downscale_factor)
    return Fraction(1)


def _read(module, cells, axis, ndim):
    """(low, high) of the input cells that the output cells (low, high) of a module read."""
    low, high = cells
    if isinstance(module, nn.Sequential):
        for each in reversed(list(module.children())):
            low, high = _read(each, (low, high), axis, ndim)
        return low, high
    branches = _branches(module)
    if branches is not None:
        fields = [_read(each, cells, axis, ndim) for each in branches]
        return min(low for low, _ in fields), max(high for _, high in fields)
    if isinstance(module, WINDOWS):
        reach, stride, pad = _window(module, axis, ndim)
        return low * stride - pad, high * stride - pad + reach
    if isinstance(module, TRANSPOSED):
        reach, stride, pad = _window(module, axis, ndim)
        return -((reach - low - pad) // stride), (high + pad) // stride
    if isinstance(module, nn.PixelShuffle):
        return low // module.upscale_factor, high // module.upscale_factor
    if isinstance(module, nn.PixelUnshuffle):
        factor = module.downscale_factor
        return low * factor, high * factor + factor - 1
    if isinstance(module, POINTWISE):
        return cells
    raise ValueError(
        f"receptive_field: {type(module).__name__} has no window of its own: it sees all cells, or "
        "is not known here; name the part of the model before it"
    )
