"""fastconv's convolutions as PyTorch operators: the layers of `torch.nn` on the same parameters.

    model = fastconv.torch.accelerate(model)         a model of one's own: its layers swapped
    fastconv.torch.Conv2d(3, 64, 3, padding="same")  in the place of torch.nn.Conv2d
    fastconv.torch.conv2d(input, weight, padding=1)  in the place of torch.nn.functional.conv2d

float32 and float64 on the CPU; no element is copied on the way in or out, and an output has the
memory order of its input.  Three operators do all of it, `torch.ops.fastconv.*`.  Each is linear in
both of its arrays and its gradients are the other two, so there are derivatives of any order, in
reverse mode (forward mode and the transforms of `torch.func` are refused):

    ================  =============  ===================  ====================
    operator          of             gradient by the      gradient by the
                                     first is a           second is a
    ================  =============  ===================  ====================
    conv              input, weight  conv_transpose       conv_grad_weight
    conv_transpose    input, weight  conv                 conv_grad_weight
    conv_grad_weight  wide, narrow   conv_transpose       conv
    ================  =============  ===================  ====================

`torch.compile` and `torch.export` see them as one operator each.  A call uses the threads of
fastconv (`fastconv.set_num_threads`), and no more than `torch.get_num_threads()`.
Needs the extra `torch`.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError("fastconv.torch needs PyTorch: pip install 'fastconv[torch]'") from None

from fastconv.torch.functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from fastconv.torch.modules import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    accelerate,
)

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "accelerate",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]
