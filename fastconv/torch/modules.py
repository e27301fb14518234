"""The six layers of `torch.nn`, each its PyTorch class with another kernel, and `accelerate`."""

import copy
import itertools
import warnings

from torch import nn

from fastconv.torch import functional
from fastconv.torch._operators import FLOATS


class _Conv:
    """What stands before a convolution of `torch.nn`: all is its own but the call of the kernel."""

    def _conv_forward(self, input, weight, bias):
        padding = self.padding
        if self.padding_mode != "zeros":
            border = self._reversed_padding_repeated_twice
            input = nn.functional.pad(input, border, mode=self.padding_mode)
            padding = 0
        operation = getattr(functional, f"conv{len(self.kernel_size)}d")
        return operation(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose:
    def forward(self, input, output_size=None):
        """The output for `input`; output_size as in PyTorch."""
        ndim = len(self.kernel_size)
        output_padding = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, ndim, self.dilation
        )
        operation = getattr(functional, f"conv_transpose{ndim}d")
        return operation(
            input, self.weight, self.bias, self.stride, self.padding, tuple(output_padding),
            self.groups, self.dilation,
        )  # fmt: skip


class Conv1d(_Conv, nn.Conv1d):
    """`torch.nn.Conv1d`, computed by fastconv."""


class Conv2d(_Conv, nn.Conv2d):
    """`torch.nn.Conv2d`, computed by fastconv: same arguments, parameters and state_dict."""


class Conv3d(_Conv, nn.Conv3d):
    """`torch.nn.Conv3d`, computed by fastconv."""


class ConvTranspose1d(_ConvTranspose, nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d`, computed by fastconv."""


class ConvTranspose2d(_ConvTranspose, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`, computed by fastconv."""


class ConvTranspose3d(_ConvTranspose, nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d`, computed by fastconv."""


OURS = {
    getattr(nn, ours.__name__): ours
    for ours in (Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
}


def accelerate(model, inplace=True):
    """Lets fastconv compute the convolutions and transposed convolutions of `model`.

    Each `torch.nn.Conv1d`, ..., `ConvTranspose3d` in it becomes the class of that name here and
    stays the object that it is: its parameters, which an optimizer may hold, its hooks, its name
    in the state_dict.  Outputs and gradients are PyTorch's within rounding, and training and
    `model.eval()` go on as before.

    Parameters
    ----------
    model : torch.nn.Module, which may itself be such a layer
    inplace : False leaves `model` as it is and swaps in a copy, which shares all parameters and
        buffers with it

    Returns
    -------
    the model, or with inplace=False its copy

    Raises
    ------
    TypeError : model is no torch.nn.Module

    Warns
    -----
    UserWarning : lists the convolutions left to PyTorch, and why: of another dtype or device,
        quantized, lazy, or of a class derived from PyTorch's
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"accelerate: model must be a torch.nn.Module, got {type(model).__name__}")
    if not inplace:
        shared = itertools.chain(model.parameters(), model.buffers())
        model = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    left = []
    for name, module in model.named_modules():
        if isinstance(module, (_Conv, _ConvTranspose)):
            continue
        ours, reason = _replacement(module)
        if ours:
            module.__class__ = ours
        elif reason:
            left.append(f"{name or 'the model'} ({reason})")
    if left:
        warnings.warn(
            f"accelerate: left to PyTorch: {', '.join(left)}; fastconv computes layers of float32 "
            "and float64 on the CPU",
            stacklevel=2,
        )
    return model


def _replacement(module):
    """(the class that can take this module's place, what is against it); None where there is none.

    Not by isinstance: a derived class may compute something else, and says so by its name.
    """
    ours = OURS.get(type(module))
    if ours is None:
        # Lazy, quantized and scripted ones do not all derive from PyTorch's own.
        name = getattr(module, "original_name", type(module).__name__)
        looks_so = "Conv" in name and next(module.children(), None) is None
        of_class = f"class {type(module).__module__}.{name}"
        return None, of_class if looks_so or isinstance(module, tuple(OURS)) else None
    for tensor in module.weight, module.bias:
        if tensor is not None and tensor.device.type != "cpu":
            return None, f"on {tensor.device}"
        if tensor is not None and tensor.dtype not in FLOATS:
            return None, str(tensor.dtype)
    return ours, None
