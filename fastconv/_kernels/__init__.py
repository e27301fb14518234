"""The compiled kernels: typed nogil loops on raw pointers, once per instruction set.

Each family (``conv``, ``pool``, ...) is one Cython source, built for every instruction set and
element type.  This module looks at the processor once and imports only the builds it can run.
After that ``_kernels.conv["f"]`` is the float32 module of the convolutions and
``_kernels.conv["d"]`` the float64 one, keyed by ``dtype.char``.  ``augment``, ``capi``
(the C interface), ``cpu``, ``loss`` and ``memory`` are built once, for any processor, and imported
where they are used.
"""

import importlib
import importlib.util
import os


def _refuse_subinterpreters():
    """Before any compiled module, of which a process has one copy: its first interpreter owns it.

    Memory and threads of the kernels are those of the process, under one interpreter's lock; nor
    is NumPy made for several.
    """
    for name in ("_interpreters", "_xxsubinterpreters"):  # the second up to Python 3.12
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "fastconv: sub-interpreters are not supported; use threads or processes"
            )
        return


_refuse_subinterpreters()

from fastconv._kernels import cpu  # noqa: E402

ISAS = ("baseline", "avx2", "avx512")


def _available():
    """The instruction sets that this processor has and this build holds, oldest first."""
    built = [
        isa for isa in ISAS if importlib.util.find_spec(f"{__name__}.conv_{isa}_f32") is not None
    ]
    if not built:
        raise ImportError("fastconv: the compiled kernels are missing; reinstall the package")
    if cpu.level() < 0:
        raise ImportError("fastconv: this processor lacks SSE4.2, the least that the build needs")
    return tuple(isa for isa in built if ISAS.index(isa) <= cpu.level())


def _choose():
    wanted = os.environ.get("FASTCONV_ISA")
    if not wanted:
        return available_isas[-1]
    if wanted not in ISAS:
        raise ImportError(
            f"fastconv: FASTCONV_ISA must be one of {', '.join(ISAS)}, got {wanted!r}"
        )
    if wanted not in available_isas:
        raise ImportError(
            f"fastconv: FASTCONV_ISA={wanted}, but this processor and build offer only "
            f"{', '.join(available_isas)}"
        )
    return wanted


def _load(family):
    return {
        char: importlib.import_module(f"{__name__}.{family}_{isa}_{dtype}")
        for char, dtype in (("f", "f32"), ("d", "f64"))
    }


available_isas = _available()
isa = _choose()
activation = _load("activation")
conv = _load("conv")
group_norm = _load("group_norm")
norm = _load("norm")
pointwise = _load("pointwise")
pool = _load("pool")
resample = _load("resample")
sparse = _load("sparse")
winograd = _load("winograd")
