"""The loops that do the multiply-adds keep their sums in registers, as the compiler wrote them.

A sum that visits the stack at every step costs more than its arithmetic, and only the machine code
says so.  This reads it: of every conv module, whether this processor can run it or not.
"""

import importlib.util
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from fastconv import _kernels

MODULES = [
    name
    for isa in _kernels.ISAS
    for family in ("conv", "sparse", "winograd")
    for name in (f"{family}_{isa}_f32", f"{family}_{isa}_f64")
    if importlib.util.find_spec(f"fastconv._kernels.{name}")
]
FEWEST_LOOPS = 40  # tiles of every height and width, and inner products
LARGEST_TILE = 12  # multiply-adds; with 32 registers there are more

ADDRESS = re.compile(r"\s*([0-9a-f]+):\s")
FUNCTION = re.compile(r"[0-9a-f]+ <(.+)>:")
JUMP = re.compile(r"\sj\w+\s+([0-9a-f]+)\b")
LEAVES = re.compile(r"\s(j\w+|call\w*|ret\w*)\b")
FUSED = re.compile(r"\svfn?m(add|sub)\w*p[sd]\s")
PRODUCT, SUM = re.compile(r"\sv?mulp[sd]\s"), re.compile(r"\sv?addp[sd]\s")
TILES = re.compile(r"_(tile|multiply)_")  # of winograd
# Below a frame pointer; %rbp without a frame is any register.
STACK = r"(?:\(%rsp|\s-0x[0-9a-f]+\(%rbp\))"  # where there is an index, it is no frame
ON_STACK = re.compile(rf"%[xyz]mm\d+.*{STACK}|{STACK}.*%[xyz]mm\d+")


@dataclass
class Loop:
    function: str
    multiply_adds: int
    spills: list  # instructions that move vectors to or from the stack


def hot_loops(listing):
    """The innermost loops of at least two vector multiply-adds in what objdump -d printed."""
    lines = listing.splitlines()
    place = {int(m[1], 16): i for i, line in enumerate(lines) if (m := ADDRESS.match(line))}
    loops, function = [], ""
    for end, line in enumerate(lines):
        if name := FUNCTION.match(line):
            function = name[1]
        jump = JUMP.search(line)
        start = place.get(int(jump[1], 16), end) if jump else end
        body = lines[start:end]
        if not body or any(LEAVES.search(each) for each in body):
            continue
        fused, products, sums = (
            sum(bool(wanted.search(each)) for each in body) for wanted in (FUSED, PRODUCT, SUM)
        )
        if (count := fused or min(products, sums)) >= 2:
            loops.append(Loop(function, count, list(filter(ON_STACK.search, body))))
    return loops


def disassembled(module):
    path = importlib.util.find_spec(f"fastconv._kernels.{module}").origin
    command = ["objdump", "-d", "--no-show-raw-insn", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="reads x86-64 machine code"
)
@pytest.mark.skipif(not shutil.which("objdump"), reason="objdump is missing: install binutils")
@pytest.mark.parametrize("module", MODULES)
def test_hot_loops_do_not_spill(module):
    loops = hot_loops(disassembled(module))
    assert len(loops) >= FEWEST_LOOPS
    assert max(loop.multiply_adds for loop in loops) >= LARGEST_TILE
    # The transforms of winograd keep constants there, and that is well.
    hot = [loop for loop in loops if "winograd" not in module or TILES.search(loop.function)]
    assert not [loop for loop in hot if loop.spills]


# What objdump prints, in small: a loop with a spilled sum, one without, and what is no hot loop.
FUSED_LOOPS = """
0000000000001000 <tile_nv1>:
    1000:\tvxorps %xmm0,%xmm0,%xmm0
    1004:\tvmovaps %ymm3,0x40(%rsp)
    1010:\tvbroadcastss (%rax),%ymm2
    1014:\tvfmadd231ps (%rdx),%ymm2,%ymm1
    1018:\tvfmadd213ps -0x20(%rsp),%ymm2,%ymm0
    101c:\tvmovaps %ymm0,-0x20(%rsp)
    1020:\tadd    $0x1,%rcx
    1024:\tcmp    %rcx,0x10(%rsp)
    1028:\tjne    1010 <tile_nv1+0x10>
    1030:\tret

0000000000002000 <tile_nv2>:
    2000:\tvfmadd231ps (%rdx),%zmm2,%zmm1
    2004:\tvfmadd231ps (%rax){1to16},%zmm2,%zmm30
    2008:\tcmp    %rcx,-0x10(%rsp)
    200c:\tjg     2000 <tile_nv2>
    2010:\tjmp    2000 <tile_nv2>
    2014:\tvmulps (%rdx),%ymm0,%ymm0
    2018:\tvmovaps %ymm0,-0x20(%rsp)
    201c:\tjne    2014 <tile_nv2+0x14>
"""

SEPARATE_LOOP = """
0000000000003000 <dot>:
    3000:\tmovups (%rax),%xmm1
    3004:\tmulpd  %xmm1,%xmm2
    3008:\taddpd  {operand},%xmm2
    300c:\tmulpd  %xmm1,%xmm3
    3010:\taddpd  %xmm3,%xmm4
    3014:\tjne    3000 <dot>
"""


def test_a_spill_is_seen():
    spilled, clean = hot_loops(FUSED_LOOPS)
    assert (spilled.function, spilled.multiply_adds) == ("tile_nv1", 2)
    assert [line.split()[0] for line in spilled.spills] == ["1018:", "101c:"]
    assert (clean.function, clean.multiply_adds, clean.spills) == ("tile_nv2", 2, [])


@pytest.mark.parametrize(
    ("operand", "spills"), [("%xmm5", 0), ("-0x78(%rsp)", 1), ("-0x8(%rbp)", 1)]
)
def test_a_spill_is_seen_without_fused_multiply_adds(operand, spills):
    (loop,) = hot_loops(SEPARATE_LOOP.format(operand=operand))
    assert (loop.multiply_adds, len(loop.spills)) == (2, spills)
