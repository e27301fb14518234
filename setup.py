"""Builds the kernels: one Cython source per family, once per instruction set and element type.

Environment:
  FASTCONV_NO_OPENMP=1  build without OpenMP (serial kernels)
  FASTCONV_DEBUG=1      checks on the array views that enter the kernels; the loops behind them run
                        on raw pointers, for which the sanitizers of gcc are the tool
"""

import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

KERNELS = "fastconv/_kernels"
# Cython's views of arrays, which every module uses: compiled once rather than in each.
VIEWS = "fastconv._kernels._cyutility"
FAMILIES = (
    "activation", "conv", "group_norm", "norm", "pointwise", "pool", "resample", "sparse",
    "winograd",
)  # fmt: skip
SHARED = (
    "types.pxd", "openmp.pxd", "shares.pxi", "cells.pxi", "parts.pxi", "vec.h", "vec_scalar.h",
    "float_mode.h",
)  # fmt: skip
INCLUDE = "fastconv/include"
# What the modules that the C interface calls have in common with it.
INTERFACE = [f"{KERNELS}/entries.pxd", f"{INCLUDE}/fastconv.h"]
EMBEDDED = ("conv", "pool")
# What the families that go element by element have in common.
VECTORS = [f"{KERNELS}/vec_math.h", f"{KERNELS}/lanes.pxi"]
ELEMENTWISE = ("activation", "pointwise")
# Winograd shares the tile, a convolution is pooled and normalized where it is, groups of channels
# are normalized by the sums of channels, and all turn lines.
BORROWS = {
    "winograd": ("conv", "pool", "norm"), "conv": ("pool", "norm"), "sparse": ("conv", "norm"),
    "norm": ("gradient",), "group_norm": ("norm", "gradient"), "resample": ("conv",),
}  # fmt: skip
X86 = platform.machine().lower() in ("x86_64", "amd64")
MSVC = sys.platform == "win32"

# One binary serves every Python from this one on; a free-threaded one has an ABI of its own.
LIMITED_API = None if sysconfig.get_config_var("Py_GIL_DISABLED") else (3, 11)

# name -> (bytes of a vector, compiler flags)
ISAS = {"baseline": (16, ["-msse4.2"] if X86 and not MSVC else [])}
if X86 and not MSVC:
    ISAS["avx2"] = (32, ["-mavx2", "-mfma"])
    ISAS["avx512"] = (
        64, ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mavx2", "-mfma"],
    )  # fmt: skip

# Not -ffast-math: NaN and Inf must propagate.  These three let a*b+c become one instruction.
OPTIMIZE = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]

DEBUG = os.environ.get("FASTCONV_DEBUG") == "1"
# The register tile is one only when its loops are unrolled; gcc stops earlier by itself.
OPTIMIZE += [f"--param=max-completely-peel{limit}" for limit in ("-times=24", "ed-insns=1000")]
if not DEBUG:
    OPTIMIZE += ["-g0"]  # the line tables that Python's own flags ask for are most of a wheel
DIRECTIVES = {
    "language_level": 3,
    # Kernels index raw pointers with sizes that the caller has checked.
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    # Divisors are checked to be positive before a kernel runs.
    "cdivision": True,
}


def included(*parts):
    """The files that a source is made of, by the names of its parts."""
    return sorted(str(path) for part in parts for path in Path(KERNELS).glob(f"{part}_*.pxi"))


def single_modules():
    """The modules that every instruction set and element type have in common."""
    return [
        Extension(VIEWS, []),
        *(
            Extension(
                f"fastconv._kernels.{name}",
                [f"{KERNELS}/{name}.pyx"],
                include_dirs=[KERNELS, INCLUDE],
                depends=[f"{KERNELS}/{header}" for header in SHARED]
                + ([*INTERFACE, *included("capi")] if name == "capi" else []),
            )
            for name in ("augment", "capi", "cpu", "loss", "memory")
        ),
    ]


def variants():
    """One extension for each family, instruction set and element type.

    A module's name is fixed in its generated C, so every variant gets a copy of the source.
    """
    extensions = []
    for family in FAMILIES:
        source = Path(KERNELS, f"{family}.pyx")
        includes = included(family, *BORROWS.get(family, ()))
        for isa, (vec_bytes, flags) in ISAS.items():
            for dtype in ("f32", "f64"):
                name = f"{family}_{isa}_{dtype}"
                copy = Path("build", "variants", f"{name}.pyx")
                copy.parent.mkdir(parents=True, exist_ok=True)
                text = source.read_text()
                if not copy.exists() or copy.read_text() != text:
                    copy.write_text(text)
                extensions.append(
                    Extension(
                        f"fastconv._kernels.{name}",
                        [str(copy)],
                        include_dirs=[KERNELS, INCLUDE],
                        define_macros=[("VEC_BYTES", str(vec_bytes))]
                        + ([("FASTCONV_F64", "1")] if dtype == "f64" else []),
                        extra_compile_args=flags,
                        depends=includes
                        + [f"{KERNELS}/{name}" for name in SHARED]
                        + (INTERFACE if family in EMBEDDED else [])
                        + (VECTORS if family in ELEMENTWISE else []),
                    )
                )
    return extensions


class BuildKernels(build_ext):
    """Adds the variants, the limited API, and the flags that depend on the compiler."""

    def finalize_options(self):
        # Here and not in setup(): asking for metadata compiles nothing.
        self.distribution.ext_modules = cythonize(
            [*self.distribution.ext_modules, *variants()],
            compiler_directives=DIRECTIVES,
            include_path=[".", KERNELS],
            shared_utility_qualified_name=VIEWS,
            build_dir="build",
            nthreads=os.cpu_count(),
        )
        if LIMITED_API:
            version = "0x{:02X}{:02X}0000".format(*LIMITED_API)
            for extension in self.distribution.ext_modules:
                extension.py_limited_api = True
                extension.define_macros.append(("Py_LIMITED_API", version))
        super().finalize_options()

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            compile_args, link_args, optimize = ["/openmp"], [], ["/O2"]
        elif sys.platform == "darwin":  # Apple's clang has the compiler's half of OpenMP only
            compile_args, link_args, optimize = ["-Xpreprocessor", "-fopenmp"], ["-lomp"], OPTIMIZE
        else:
            compile_args, link_args, optimize = ["-fopenmp"], ["-fopenmp"], OPTIMIZE
        if not self.openmp_works(compile_args, link_args):
            compile_args, link_args = [], []
        for extension in self.extensions:
            extension.extra_compile_args = optimize + extension.extra_compile_args + compile_args
            extension.extra_link_args = extension.extra_link_args + link_args
        self.parallel = self.parallel or os.cpu_count()
        super().build_extensions()

    def openmp_works(self, compile_args, link_args):
        if os.environ.get("FASTCONV_NO_OPENMP") == "1":
            print("fastconv: FASTCONV_NO_OPENMP=1, building serial kernels")
            return False
        code = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(code)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_args
                )
                program = str(Path(folder, "probe"))
                self.compiler.link_executable(objects, program, extra_postargs=link_args)
                subprocess.run([program], check=True)
                return True
            except Exception as error:  # setuptools has had more than one CompileError
                print(
                    "*" * 72,
                    "fastconv: this compiler has no working OpenMP; the kernels will run on one",
                    "thread.  On Debian: apt-get install gcc libgomp1; macOS: brew install libomp.",
                    f"The probe said: {error}",
                    "*" * 72,
                    sep="\n",
                )
                return False


# Cython translates in processes of its own, which on some systems import this file again.
if __name__ == "__main__":
    setup(
        # The benchmark's one folder is also the package behind `fastconv bench`.
        packages=[*find_packages(include=["fastconv*"]), "fastconv.bench"],
        package_dir={"fastconv.bench": "bench"},
        ext_modules=single_modules(),
        cmdclass={"build_ext": BuildKernels},
        options={"bdist_wheel": {"py_limited_api": "cp{}{}".format(*LIMITED_API)}}
        if LIMITED_API
        else {},
    )
