from collections.abc import Iterable

from fastconv.nn import Parameter

def clip_grad_norm(
    parameters: Parameter | Iterable[Parameter], max_norm: float, norm_type: float = 2
) -> float: ...
