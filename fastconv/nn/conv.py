"""Convolutions and transposed convolutions: a weight, a bias, and one functional call.

Zeros beside the input are the kernel's own.  Any other `padding_mode` is a matrix P of its own (see
fastconv.functional.padding), before the convolution or, transposed, behind the transposed one.
"""

import math
import operator

import numpy as np

from fastconv import _algorithm, _shapes
from fastconv.functional import (
    _conv_norm,
    _conv_pool,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
)
from fastconv.functional._arrays import as_array, as_batch
from fastconv.functional._geometry import transpose_geometry
from fastconv.functional._run import check_grad_output
from fastconv.functional._winograd import KeptFilters
from fastconv.functional.conv import _conv, _conv_backward
from fastconv.functional.conv_transpose import _conv_transpose, _conv_transpose_backward
from fastconv.functional.padding import fold_axes, pad_axes
from fastconv.nn.affine import _AffineMap
from fastconv.nn.init import weight_and_bias

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _rectified(output, slope):
    """The activation behind, where the kernel's result is not yet the layer's."""
    if slope == 1:
        return output
    return leaky_relu(output, slope) if slope else relu(output)


def _rectified_backward(grad_input, input, slope):
    """By what went into the activation before, whose output `input` is."""
    if slope == 1:
        return grad_input
    if slope:
        return leaky_relu_backward(grad_input, input, slope)
    return relu_backward(grad_input, input)


class _ConvNd(_AffineMap):
    """What all six share: one subclass for each direction, and their ranks."""

    ndim = None
    options = ()
    transposed = False

    def _set_up(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        bias,
        padding_mode,
        algorithm,
        dtype,
        rng,
    ):
        op = type(self).__name__
        self.in_channels = _shapes.integer(op, "in_channels", in_channels, 1)
        self.out_channels = _shapes.integer(op, "out_channels", out_channels, 1)
        self.kernel_size = _shapes.per_axis(op, "kernel_size", kernel_size, self.ndim, 1)
        self.stride = _shapes.per_axis(op, "stride", stride, self.ndim, 1)
        self.dilation = _shapes.per_axis(op, "dilation", dilation, self.ndim, 1)
        self.groups = _shapes.integer(op, "groups", groups, 1)
        _shapes.padding_pairs(op, padding, self.ndim)
        self.padding = padding
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{op}: groups must divide {name}={getattr(self, name)}, got {self.groups}"
                )
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"{op}: padding_mode must be one of {', '.join(PADDING_MODES)}, "
                f"got {padding_mode!r}"
            )
        self.padding_mode = padding_mode
        if algorithm is not None:
            _algorithm.effective(op, algorithm)
        self.algorithm = algorithm
        channels = self.out_channels, self.in_channels
        if self.transposed:
            channels = channels[::-1]
        shape = (channels[0], channels[1] // self.groups, *self.kernel_size)
        self.weight, self.bias = weight_and_bias(shape, self.out_channels, bias, dtype, rng)

    def multiply_adds(self, input_shape, output_shape):
        """One for every use of a weight, those on the padding among them."""
        narrow = input_shape if self.transposed else output_shape
        return math.prod(narrow) // narrow[-1 - self.ndim] * self.weight.size

    def _options(self):
        return {name: getattr(self, name) for name in self.options}

    def _forward_normed(self, input, slope, norm, plus=None):
        """The output behind a batch normalization and an activation.

        In one where the normalization is the same for every input, for that is known at the store.
        """
        if (
            norm._is_known
            and not self.training
            and self.padding_mode == "zeros"
            and np.ndim(input) == self.ndim + 2
        ):
            return self._forward(input, slope, norm=norm._factors, plus=plus)
        return norm._forward(self._forward(input), slope, plus=plus)

    def _backward_normed(self, grad_output, needs_input_grad, slope, norm, plus=None):
        """Of this and the batch normalization behind."""
        return self._backward(norm.backward(grad_output), needs_input_grad, slope, plus)


class _Conv(_ConvNd):
    options = ("stride", "padding", "dilation", "groups")

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        *,
        algorithm=None,
        dtype=np.float32,
        rng=None,
    ):
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, padding_mode, algorithm, dtype, rng,
        )  # fmt: skip
        self._kept = KeptFilters()

    def _map(self, input, slope, **behind):
        input, options, _ = self._bordered(input)
        # In training the next step changes the weight: not worth keeping.
        kept = None if self.training else self._kept
        return _conv(
            self.ndim, input, *self._arrays(), **options, algorithm=self.algorithm, slope=slope,
            kept=kept, **behind,
        )  # fmt: skip

    @property
    def _adds(self):
        return self.padding_mode == "zeros"

    def _map_backward(self, grad_output, input, needs, slope, plus=None):
        padded, options, pads = self._bordered(input)
        if pads is None:
            options |= {"slope": slope, "plus": plus}
        grad_input, *rest = _conv_backward(
            self.ndim, grad_output, padded, self.weight.data, **options, needs=needs,
            algorithm=self.algorithm,
        )  # fmt: skip
        if pads is not None and grad_input is not None:
            grad_input = fold_axes(type(self).__name__, grad_input, pads, self.padding_mode)
            grad_input = _rectified_backward(grad_input, input, slope)
        return grad_input, *rest

    def _plan(self, plan, input, behind):
        """`plan` of _conv_pool or _conv_norm for this layer; None where it had better run alone."""
        if self.padding_mode != "zeros":
            return None
        op, padding = type(self).__name__, self.padding
        if isinstance(padding, list):  # a tuple can be remembered
            padding = _shapes.padding_pairs(op, padding, self.ndim)
        options = self.stride, padding, self.dilation, self.groups
        return plan(op, self.ndim, input, self.weight.data, options, self.algorithm, behind)

    def _forward_pooled(self, input, slope, pool, flat):
        """(output, plan) behind an activation and a max-pool.

        No output where the two are to run apart, and no plan where they are to go back so.
        flat: in C order, as it is to be flattened.
        """
        plan = self._plan(_conv_pool.plan, input, pool._options())
        if plan is None or not plan.joint:
            return None, plan
        output, codes = _conv_pool.forward(
            plan, input, *self._arrays(), slope, self.training, flat=flat
        )
        self.save_for_backward(input, {})
        pool.save_for_backward(codes, plan.tiles)
        return output, plan

    def _backward_pooled(self, grad_output, needs_input_grad, slope, pool, plan, plus=None):
        """Of the same, `grad_output` having passed the activation; the rest as for `_backward`."""
        input, _ = self.saved_for_backward()
        codes, _ = pool.saved_for_backward()
        gradients = _conv_pool.backward(
            plan, grad_output, codes, input, self.weight.data, self._needs(needs_input_grad),
            slope, plus=plus,
        )  # fmt: skip
        return self._accumulate(gradients)

    def _forward_normed(self, input, slope, norm, plus=None):
        found = None
        if self.training and norm.training:
            found = self._plan(_conv_norm.plan, input, _conv_norm.FORWARD)
        if found is None:
            return super()._forward_normed(input, slope, norm, plus)
        self.save_for_backward(input, {})
        arguments = norm._next(found.geometry.narrow_shape)
        between, output, statistics = _conv_norm.forward(
            found, input, *self._arrays(), arguments, slope, plus
        )
        norm.save_for_backward(between, statistics)
        return output

    def _backward_normed(self, grad_output, needs_input_grad, slope, norm, plus=None):
        found = None
        if self._saved is not None:
            found = self._plan(_conv_norm.plan, self._saved[0], _conv_norm.BACKWARD)
        if found is None:
            return super()._backward_normed(grad_output, needs_input_grad, slope, norm, plus)
        output, statistics = norm.saved_for_backward()
        input, _ = self.saved_for_backward()
        gradients, of_norm = _conv_norm.backward(
            found, grad_output, output, norm._arrays()[0], statistics, input, self.weight.data,
            self._needs(needs_input_grad), slope, plus=plus,
        )  # fmt: skip
        norm._accumulate((None, *of_norm))
        return self._accumulate(gradients)

    def _bordered(self, input):
        """(input with its border, options of the functional, the border's pairs or None)."""
        options = self._options()
        if self.padding_mode == "zeros":
            return input, options, None
        op = type(self).__name__
        input = as_array(op, "input", input)
        as_batch(op, "input", input, self.ndim)  # refuses a wrong number of axes
        pads = _shapes.padding_pairs(op, self.padding, self.ndim)
        if pads == "same":
            wide = input.shape[-self.ndim :]
            pads = map(_shapes.same_padding, wide, self.kernel_size, self.stride, self.dilation)
        pads = tuple(pads)
        return pad_axes(op, input, pads, self.padding_mode), options | {"padding": 0}, pads


class _ConvTranspose(_ConvNd):
    options = ("stride", "padding", "output_padding", "groups", "dilation")
    transposed = True

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode="zeros",
        *,
        algorithm=None,
        dtype=np.float32,
        rng=None,
    ):
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, padding_mode, algorithm, dtype, rng,
        )  # fmt: skip
        self.output_padding = _shapes.per_axis(
            type(self).__name__, "output_padding", output_padding, self.ndim, 0
        )

    def forward(self, input, output_size=None):
        """The output for `input`.

        output_size: the spatial size wanted, in place of `output_padding`: an int, one for each
        axis, or a whole output shape.  It may be up to stride - 1 above the smallest possible.
        """
        return self._forward(input, output_size=output_size)

    def _map(self, input, slope, output_size=None, **behind):
        options, border = self._resolved(input, output_size)
        if border is None:
            return _conv_transpose(
                self.ndim, input, *self._arrays(), **options, algorithm=self.algorithm,
                slope=slope, **behind,
            )  # fmt: skip
        weight, bias = self._arrays()
        output = _conv_transpose(self.ndim, input, weight, **options, algorithm=self.algorithm)
        output = fold_axes(type(self).__name__, output, border.pad, self.padding_mode)
        if bias is not None:
            output += bias.reshape(-1, *(1,) * self.ndim)
        return _rectified(output, slope)

    def _map_backward(self, grad_output, input, needs, slope, output_size=None):
        options, border = self._resolved(input, output_size)
        grad_bias = None
        if border is not None:
            op = type(self).__name__
            batched = np.ndim(input) == self.ndim + 2
            grad_output = check_grad_output(
                op, grad_output, self.ndim, border.wide_shape, batched, self.weight.dtype
            )
            if needs[2]:  # the bias came behind the fold
                grad_bias = grad_output.sum((0, *range(2, grad_output.ndim)))
            needs = (*needs[:2], False)
            grad_output = pad_axes(op, grad_output, border.pad, self.padding_mode)
            grad_output = grad_output if batched else grad_output[0]
        grad_input, grad_weight, in_kernel = _conv_transpose_backward(
            self.ndim, grad_output, input, self.weight.data, **options, needs=needs, slope=slope,
            algorithm=self.algorithm,
        )  # fmt: skip
        return grad_input, grad_weight, grad_bias if in_kernel is None else in_kernel

    def _resolved(self, input, output_size):
        """(options of the functional, None), or its Geometry for a border to be folded.

        Of an output_size there is what it amounts to in output_padding.
        """
        options = self._options()
        if self.padding_mode == "zeros" and output_size is None:
            return options, None
        op = type(self).__name__
        asked = options if output_size is None else options | {"output_padding": 0}
        x, _ = as_batch(op, "input", as_array(op, "input", input), self.ndim)
        geometry = transpose_geometry(
            op, self.ndim, x.shape, self.weight.shape, **asked, output_size=output_size
        )
        least = map(
            _shapes.conv_transpose_out_size,
            geometry.narrow, geometry.kernel, geometry.stride, geometry.pad,
            (0,) * self.ndim, geometry.dilation,
        )  # fmt: skip
        extra = map(operator.sub, geometry.wide, least)
        options["output_padding"] = tuple(extra)
        if self.padding_mode == "zeros":
            return options, None
        return options | {"padding": 0}, geometry


class Conv1d(_Conv):
    """Convolution of (N, C, L), weight (out_channels, in_channels / groups, kernel)."""

    ndim = 1


class Conv2d(_Conv):
    """Convolution of (N, C, H, W), weight (out_channels, in_channels / groups, KH, KW).

    stride, padding, dilation, groups: as `functional.conv2d`, so padding is an int, one per axis,
    one (low, high) pair per axis, "same" or "valid".  padding_mode: what stands there, "zeros",
    "reflect", "replicate" or "circular" (see `functional.pad`); any but zeros is a copy of the
    input.
    weight and bias start uniform within 1 / sqrt(in_channels / groups * KH * KW), as in PyTorch,
    drawn from `rng` or the package's generator.
    algorithm: as `functional.conv2d`; None is the package's, see `set_algorithm`.
    Raises ValueError or TypeError for an argument out of its range.
    """

    ndim = 2


class Conv3d(_Conv):
    """Convolution of (N, C, D, H, W), weight (out_channels, in_channels / groups, KD, KH, KW)."""

    ndim = 3


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of (N, C, L), weight (in_channels, out_channels / groups, kernel)."""

    ndim = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of (N, C, H, W), weight (in_channels, out_channels / groups, KH, KW).

    The adjoint of the `Conv2d` with the same options and the very same weight array, for every
    padding_mode: with P the padding's matrix that convolution is W P, and this is P^T W^T.  W^T
    alone gives an output that overhangs by the padding; P^T takes the overhang off and adds it to
    the cells that it would have repeated (see `functional.pad_backward`), zeros to none.
    weight and bias start as PyTorch's: uniform within 1 / sqrt(out_channels / groups * KH * KW).
    """

    ndim = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of (N, C, D, H, W), weight (in_channels, out_channels / groups, *)."""

    ndim = 3
