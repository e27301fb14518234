"""The kernels in other people's code: doors to the C interface.

The functions are those of ``fastconv.h``, which documents them, in the folder `get_include()`:

    C, C++            #include "fastconv.h", fastconv_import() or the pointer from `table`
    Cython            from fastconv cimport fastconv_problem, fastconv_conv_forward_f32
    ctypes, numba     `ctypes_function`, `address`
    SciPy             scipy.LowLevelCallable(`capsule`(name), user_data)

All doors lead to the same pointers.  None copies an array, and none holds the GIL while it computes
(ctypes and nogil code release it).
"""

import ctypes
import re
from pathlib import Path

from fastconv import _shapes
from fastconv._kernels import capi

__all__ = ["Problem", "address", "capsule", "ctypes_function", "get_include", "names", "table"]

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]

_TYPES = {
    "int": ctypes.c_int,
    "int64_t": ctypes.c_int64,
    "intptr_t": ctypes.c_ssize_t,
    "void": None,
    "char const *": ctypes.c_char_p,
}


class Problem(ctypes.Structure):
    """fastconv_problem: the sizes and strides of one convolution or pool.

    Fields are those of fastconv.h; `Problem()` fills in struct_size, `Problem.of` all of them.
    """

    _fields_ = (
        [
            (name, ctypes.c_int64)
            for name in (
                "struct_size", "dimensions", "batch", "groups", "in_channels", "out_channels",
            )
        ]
        + [
            (name, ctypes.c_int64 * 3)
            for name in ("in_size", "out_size", "kernel", "stride", "dilation", "padding")
        ]
        + [(name, ctypes.c_int64 * 5) for name in ("in_strides", "out_strides")]
    )  # fmt: skip

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(Problem), **fields)

    @classmethod
    def of(cls, input, output, kernel_size, stride=1, padding=0, dilation=1, groups=1):
        """The problem of two arrays, (N, C, *space) and (N, O, *out), which lend sizes and strides.

        stride, padding (on the low side) and dilation: an int or one for each spatial axis.  The
        functions check the sizes; ValueError or TypeError for arrays and options of other forms.
        """
        op = "Problem.of"
        ndim = input.ndim - 2
        if ndim not in (1, 2, 3) or output.ndim != input.ndim:
            raise ValueError(
                f"{op}: input and output must both have 3, 4 or 5 axes, got shapes {input.shape} "
                f"and {output.shape}"
            )
        if len(output) != len(input):
            raise ValueError(
                f"{op}: output must have the batch size {len(input)} of input, got {len(output)}"
            )
        problem = cls(
            dimensions=ndim,
            batch=input.shape[0],
            groups=_shapes.integer(op, "groups", groups, 1),
            in_channels=input.shape[1],
            out_channels=output.shape[1],
        )
        for name, value, least in (
            ("kernel", kernel_size, 1),
            ("stride", stride, 1),
            ("dilation", dilation, 1),
            ("padding", padding, 0),
        ):
            getattr(problem, name)[:ndim] = _shapes.per_axis(op, name, value, ndim, least)
        for side, array in ("in", input), ("out", output):
            getattr(problem, f"{side}_size")[:ndim] = array.shape[2:]
            steps = [step // array.itemsize for step in array.strides]
            getattr(problem, f"{side}_strides")[: ndim + 2] = steps
        return problem


def get_include():
    """The folder of fastconv.h, for a compiler's include path."""
    return str(Path(__file__).parent / "include")


def names():
    """The functions of fastconv.h, by which the doors below know them."""
    return sorted(capi.__pyx_capi__)


def capsule(name):
    """A PyCapsule that holds the function of this name; the capsule's own name is its C signature.

    As scipy.LowLevelCallable takes it.  ValueError for a name that is not among `names()`.
    """
    try:
        return capi.__pyx_capi__[name]
    except (KeyError, TypeError):
        raise ValueError(f"embed: name must be one of {', '.join(names())}, got {name!r}") from None


def address(name):
    """The address of the function of this name, an int; ValueError as for `capsule`."""
    function = capsule(name)
    return _pointer(function, _name(function))


def ctypes_function(name):
    """The function of this name for ctypes, and for numba's compiled code.

    Pointers are c_void_p: an address, `array.ctypes`, or `ctypes.byref(problem)`.  ctypes does not
    know what they point at: shapes, dtypes and lifetimes are the caller's to get right.
    ValueError as for `capsule`.
    """
    signature = _name(capsule(name)).decode()
    result, arguments = re.fullmatch(r"(.*?) ?\((.*)\)", signature).groups()
    kinds = [_TYPES.get(kind, ctypes.c_void_p) for kind in arguments.split(", ")]
    function = ctypes.CFUNCTYPE(_TYPES[result], *kinds)(address(name))
    function.__name__ = name
    return function


def table():
    """The address of fastconv.h's fastconv_table, an int: what fastconv_api must point to."""
    return _pointer(capi.table, b"fastconv._kernels.capi.table")
