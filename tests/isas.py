"""Running one process's kernels as another instruction set's build of them."""

import importlib
from contextlib import ExitStack, contextmanager
from unittest import mock

import pytest

from fastconv import _kernels

AVAILABLE = _kernels.available_isas

choices_of_avx512 = pytest.mark.skipif(
    _kernels.isa != "avx512",
    reason="what the planners choose depends on registers and lanes; this expects those of AVX-512",
)


FAMILIES = (
    "activation", "conv", "group_norm", "norm", "pointwise", "pool", "resample", "sparse",
    "winograd",
)  # fmt: skip


def builds(family, isa):
    """The modules of a kernel family, keyed as `_kernels` keys them: by dtype.char."""
    return {
        char: importlib.import_module(f"fastconv._kernels.{family}_{isa}_{dtype}")
        for char, dtype in (("f", "f32"), ("d", "f64"))
    }


@contextmanager
def using(isa, families=FAMILIES):
    """Inside, every call runs on the kernels built for `isa`."""
    with ExitStack() as stack:
        for family in families:
            table = getattr(_kernels, family)
            stack.enter_context(mock.patch.dict(table, builds(family, isa)))
        yield
