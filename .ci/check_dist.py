"""Checks what a wheel and an sdist hold: python check_dist.py WHEEL SDIST."""

import email
import sys
import tarfile
import zipfile
from pathlib import PurePosixPath

SOURCES = (".pyx", ".pxi", ".c", ".cpp")
# C that people wrote lies here.
BY_HAND = ("bench/", "fastconv/bench/", "examples/embed/")
COMPILED = (".so", ".pyd", ".dylib", ".dll")
# What an installed package offers to Python, Cython, C and type checkers.
INTERFACES = (".py", ".pyi", ".pxd", ".typed")


def package_files(names):
    """Those of an sdist that an installed fastconv must hold."""
    for name in names:
        path = PurePosixPath(name)
        header = path.suffix == ".h" and path.parts[:2] == ("fastconv", "include")
        if path.parts[0] == "fastconv" and (path.suffix in INTERFACES or header):
            yield name


def check(wheel, sdist):
    """The faults, one line each."""
    with zipfile.ZipFile(wheel) as file:
        installed = set(file.namelist())
        (info,) = {name.split("/")[0] for name in installed if ".dist-info/" in name}
        metadata = email.message_from_bytes(file.read(f"{info}/METADATA"))
        tags = email.message_from_bytes(file.read(f"{info}/WHEEL")).get_all("Tag")
    with tarfile.open(sdist) as file:
        shipped = {name.partition("/")[2] for name in file.getnames()} - {""}

    yield from (
        f"wheel: {name} is a source"
        for name in installed
        if name.endswith(SOURCES) and not name.startswith(BY_HAND)
    )
    folders = {"fastconv", "fastconv.libs", info}
    yield from (f"wheel: {name}" for name in installed if name.split("/")[0] not in folders)
    yield from (f"wheel: no {name}" for name in {*package_files(shipped)} - installed)
    kernels = [name for name in installed if name.endswith(COMPILED) and "_kernels/" in name]
    if not kernels:
        yield "wheel: no compiled kernels"
    if any("-abi3-" in tag for tag in tags):
        # On Windows the suffix does not tell.
        yield from (
            f"wheel: {name} is for one version of Python, the tag {tags[0]} for many"
            for name in kernels
            if not name.endswith((".abi3.so", ".pyd"))
        )
    for licence in metadata.get_all("License-File"):
        if f"{info}/licenses/{licence}" not in installed:
            yield f"wheel: no {licence}"
    if any("manylinux" in tag for tag in tags) and not any("libgomp" in name for name in installed):
        yield f"wheel: the tag {tags[0]} promises a libgomp of its own"

    generated = (name for name in shipped if name.endswith((".c", ".cpp", *COMPILED)))
    yield from (f"sdist: {name} is generated" for name in generated if not name.startswith(BY_HAND))
    for name in (
        "setup.py", "LICENSE", "tests/conftest.py", "fastconv/_kernels/conv.pyx", "bench/doors.c",
        "examples/embed/c_door.c",
    ):  # fmt: skip
        if name not in shipped:
            yield f"sdist: no {name}"


if __name__ == "__main__":
    faults = sorted(check(*sys.argv[1:]))
    sys.exit("\n".join(faults) or 0)
