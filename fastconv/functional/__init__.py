"""Functions on arrays: the one place that checks, computes shapes, allocates and calls a kernel.

Names, argument order, defaults and meaning are those of `torch.nn.functional` wherever the same
name exists there; arrays are NumPy arrays of layout N, C, then space.  Each function `f` has its
gradient beside it, `f_backward`.
"""

from fastconv.functional.activation import *
from fastconv.functional.conv import *
from fastconv.functional.conv_transpose import *
from fastconv.functional.dropout import *
from fastconv.functional.explain import *
from fastconv.functional.interpolate import *
from fastconv.functional.linear import *
from fastconv.functional.loss import *
from fastconv.functional.normalization import *
from fastconv.functional.padding import *
from fastconv.functional.pooling import *
from fastconv.functional.shuffle import *

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "batch_norm",
    "batch_norm_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "channels_last",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "explain",
    "fold",
    "fold_backward",
    "gelu",
    "gelu_backward",
    "group_norm",
    "group_norm_backward",
    "interpolate",
    "interpolate_backward",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "mse_loss",
    "mse_loss_backward",
    "pad",
    "pad_backward",
    "pixel_shuffle",
    "pixel_shuffle_backward",
    "pixel_unshuffle",
    "pixel_unshuffle_backward",
    "regroup_filters",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
    "unfold",
    "unfold_backward",
]
