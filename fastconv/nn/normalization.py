"""Normalizations: BatchNorm over batch and space, GroupNorm and LayerNorm over one example."""

import numpy as np

from fastconv import _shapes
from fastconv import functional as F
from fastconv._shapes import integer
from fastconv.functional.normalization import _batch_norm, _factors_of
from fastconv.nn.affine import _Affine
from fastconv.nn.module import Parameter


class _Norm(_Affine):
    def _set_up(self, shape, affine, dtype, bias=True):
        if affine:
            self.weight = Parameter(np.ones(shape, dtype))
            self.bias = Parameter(np.zeros(shape, dtype)) if bias else None


class _BatchNorm(_Norm):
    ranks = ()

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        *,
        dtype=np.float32,
    ):
        self.num_features = integer(type(self).__name__, "num_features", num_features, 1)
        self.eps = eps
        self.momentum = momentum
        self._set_up(self.num_features, affine, dtype)
        tracked = track_running_stats
        self.register_buffer("running_mean", np.zeros(num_features, dtype) if tracked else None)
        self.register_buffer("running_var", np.ones(num_features, dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracked else None)

    def forward(self, input):
        return self._forward(input)

    def _forward(self, input, slope=1.0, plus=None):
        """The same, and the activation behind: negative results are multiplied by `slope`.

        plus: gives what is added before the activation, like its argument.
        """
        arguments = self._next(np.shape(input))
        output, statistics = _batch_norm(input, *arguments, slope=slope, plus=plus)
        self.save_for_backward(input, statistics)
        return output

    @property
    def _is_known(self):
        """Whether it does the same to every input: evaluates by running statistics."""
        return not self.training and self.running_mean is not None

    def _factors(self, output):
        """What a kernel needs that stores `output` behind it."""
        *known, _, _, eps = self._next(output.shape)
        return _factors_of(output, *known, eps)

    def _next(self, shape):
        """What the functional takes, from `running_mean` to `eps`, for one more batch."""
        if len(shape) not in self.ranks:
            raise ValueError(
                f"{type(self).__name__}: input must have {' or '.join(map(str, self.ranks))} axes, "
                f"got shape {shape}"
            )
        tracked = self.running_mean is not None
        momentum = self.momentum
        if self.training and tracked:
            self.num_batches_tracked[()] += 1  # as a number: an array takes ten times as long
            if momentum is None:  # a plain mean over all batches
                momentum = 1 / int(self.num_batches_tracked)
        return (
            self.running_mean, self.running_var, *self._arrays(), self.training or not tracked,
            0.0 if momentum is None else momentum, self.eps,
        )  # fmt: skip

    def backward(self, grad_output, needs_input_grad=True):
        input, statistics = self.saved_for_backward()
        weight, _ = self._arrays()
        return self._accumulate(
            F.batch_norm_backward(grad_output, input, weight, statistics, training=True)
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, L); see `BatchNorm2d`."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of (N, C, H, W).

    In training mode mean and variance are those of the batch, and the running ones move towards
    them by `momentum` (None: they are the mean over all batches); in eval mode the running ones
    are used, or the batch's without `track_running_stats`.  The running variance is unbiased.
    Ioffe & Szegedy 2015, "Batch normalization".
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of (N, C, D, H, W); see `BatchNorm2d`."""

    ranks = (5,)


class GroupNorm(_Norm):
    """(x - mean) / sqrt(var + eps) * weight + bias over each group of channels of one example.

    Input (N, C, ...).  Wu & He 2018, "Group normalization".
    Raises ValueError if `num_groups` does not divide `num_channels`.
    """

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, *, dtype=np.float32):
        self.num_groups = integer("GroupNorm", "num_groups", num_groups, 1)
        self.num_channels = integer("GroupNorm", "num_channels", num_channels, 1)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"GroupNorm: num_groups must divide num_channels={num_channels}, got {num_groups}"
            )
        self.eps = eps
        self._set_up(self.num_channels, affine, dtype)

    def forward(self, input):
        output, statistics = F.group_norm(input, self.num_groups, *self._arrays(), eps=self.eps)
        self.save_for_backward(input, statistics)
        return output

    def backward(self, grad_output, needs_input_grad=True):
        input, statistics = self.saved_for_backward()
        weight, _ = self._arrays()
        return self._accumulate(
            F.group_norm_backward(grad_output, input, self.num_groups, weight, statistics)
        )


class LayerNorm(_Norm):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes of each example.

    normalized_shape: the size of the last axis, or a tuple of those of the last axes; weight and
    bias have this shape.  Ba, Kiros & Hinton 2016, "Layer normalization".
    Raises ValueError for an input that does not end in it.
    """

    def __init__(
        self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, *, dtype=np.float32
    ):
        self.normalized_shape = _shapes.shape("LayerNorm", "normalized_shape", normalized_shape)
        self.eps = eps
        self._set_up(self.normalized_shape, elementwise_affine, dtype, bias)

    def forward(self, input):
        output, statistics = F.layer_norm(
            input, self.normalized_shape, *self._arrays(), eps=self.eps
        )
        self.save_for_backward(input, statistics)
        return output

    def backward(self, grad_output, needs_input_grad=True):
        input, statistics = self.saved_for_backward()
        weight, _ = self._arrays()
        return self._accumulate(
            F.layer_norm_backward(grad_output, input, self.normalized_shape, weight, statistics)
        )
