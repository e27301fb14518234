"""The house's arrows: imports point down, without a circle, and at nothing that is optional."""

import ast
import io
import re
import sys
import tokenize
from pathlib import Path

import pytest
from programs import output

import fastconv.bench

HOUSE = Path(fastconv.__file__).parent

# Each room imports from its own floor and from those below it, which are named first.
FLOORS = (
    ("_kernels",),
    ("_setting", "_shapes", "_threads", "_algorithm", "_random", "_typing"),
    ("functional",),
    ("nn", "torch", "optim", "data", "gradcheck", "serialization", "images", "progress", "metrics",
     "interrupt", "theory"),
    ("train", "callbacks", "checkpoint", "classifier", "recipes"),
    ("config", "embed"),
    ("__init__",),
    ("bench", "report", "plot"),
    ("commands",),
    ("cli", "__main__"),
)  # fmt: skip
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
EXTRAS = {
    "tqdm", "safetensors", "PIL", "matplotlib", "torch", "onnx", "onnxruntime", "threadpoolctl",
    "pooch", "scipy",
}  # fmt: skip


def sources(package, folder):
    """{module: file} of a folder, without the programs in bench/ that nothing imports."""
    for path in sorted(folder.rglob("*.py")):
        if not path.name.startswith(("test_", "bench_")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join((package, *parts)).removesuffix(".__init__"), path


# In a source tree the benchmark lies beside the package, once installed within it.
SOURCES = dict(sources("fastconv", HOUSE)) | dict(
    sources("fastconv.bench", Path(fastconv.bench.__file__).parent)
)
KERNELS = sorted(
    path for path in HOUSE.glob("_kernels/*") if path.suffix in (".pyx", ".pxi", ".pxd")
)


def tree(module):
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


def imported(nodes, module):
    """Full names of what the import statements among `nodes` bring in."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                # A module of that name, or else a name that node.module defines.
                yield inner if inner in SOURCES else node.module


def inside(module):
    """The modules of the house that `module` imports, in functions too."""
    for name in imported(ast.walk(tree(module)), module):
        if name.partition(".")[0] == "fastconv":
            yield name


def room(module):
    return module.split(".")[1] if "." in module else "__init__"


def at_import(node):
    """Statements that run when the module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from at_import(child)


def test_the_whole_house_is_seen():
    seen = {"fastconv", "fastconv._shapes", "fastconv._kernels", "fastconv.bench.run"}
    assert seen <= SOURCES.keys()
    assert set(inside("fastconv.functional.conv")) >= {
        "fastconv._shapes",
        "fastconv.functional._run",
    }


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_down(module):
    here = FLOOR.get(room(module))
    assert here is not None, f"{module} needs a place in FLOORS"
    upwards = {name for name in inside(module) if FLOOR[room(name)] > here}
    assert not upwards


def test_there_is_no_circle():
    graph = {module: set(inside(module)) & SOURCES.keys() - {module} for module in SOURCES}
    while True:  # until only circles are left
        used = set().union(*graph.values())
        ends = {module for module, needs in graph.items() if not needs or module not in used}
        if not ends:
            break
        graph = {module: needs - ends for module, needs in graph.items() if module not in ends}
    assert not graph


@pytest.mark.parametrize("module", SOURCES)
def test_only_numpy_is_required(module):
    # The package fastconv.torch is its extra, and nothing else imports it.
    allowed = sys.stdlib_module_names | {"numpy", "fastconv"}
    if room(module) == "torch":
        allowed |= {"torch"}
    top = {name.partition(".")[0] for name in imported(at_import(tree(module)), module)}
    assert top <= allowed
    anywhere = {name.partition(".")[0] for name in imported(ast.walk(tree(module)), module)}
    assert anywhere <= allowed | EXTRAS


def code(path):
    """The source without comments and strings; Cython's tokens are close enough to Python's."""
    kept = (tokenize.NAME, tokenize.OP, tokenize.NUMBER)
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return " ".join(token.string for token in tokens if token.type in kept)


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernels_know_nothing_of_numpy_and_im2col(path):
    words = set(re.findall(r"\w+", code(path)))
    # Memory is an allocator for Python's arrays: it says MemoryError where kernels return a status.
    said = set() if path.name == "memory.pyx" else {"raise"}
    assert not words & ({"numpy", "np", "print"} | said)
    assert not [word for word in words if re.search(r"im2col|col2im|unfold", word)]


def test_importing_is_quiet_and_needs_no_extra():
    program = """
import sys
import fastconv
unwanted = ("tqdm", "safetensors", "PIL", "matplotlib", "torch", "scipy", "onnx", "threadpoolctl",
            "pooch", "requests")
print([name for name in unwanted if name in sys.modules])
"""
    assert output(program) == "[]"


def test_the_bridge_names_its_extra():
    program = """
import sys
sys.modules["torch"] = None  # as if it were not installed
try:
    import fastconv.torch
except ImportError as error:
    print(error)
"""
    assert output(program) == "fastconv.torch needs PyTorch: pip install 'fastconv[torch]'"
