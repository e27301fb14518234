"""FASTCONV_ISA: every build of the kernels computes the same, and a wrong wish is refused.

The property tests reach every build too (isas.using); here each one is loaded as users load it.
"""

import json
from pathlib import Path

import isas
import pytest
from programs import output, run

PROGRAM = Path(__file__).with_name("isa_program.py")


def test_every_build_computes_the_same():
    said = {}
    for isa in isas.AVAILABLE:
        done = run(str(PROGRAM), FASTCONV_ISA=isa)
        assert done.returncode == 0, done.stderr
        said[isa] = json.loads(done.stdout)
    assert {isa: answer["isa"] for isa, answer in said.items()} == {isa: isa for isa in said}
    assert len({answer["digest"] for answer in said.values()}) == 1


def test_the_newest_is_the_default():
    program = "from fastconv import _kernels; print(_kernels.isa)"
    assert output(program, FASTCONV_ISA=None) == isas.AVAILABLE[-1]


def test_an_unknown_name_is_an_import_error():
    done = run("-c", "import fastconv", FASTCONV_ISA="mmx")
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: ")
    assert "FASTCONV_ISA" in message
    assert "'mmx'" in message
    assert "baseline" in message


# A processor of a lower level, for a build that holds all instruction sets.
OLDER = """
import sys, types
cpu = types.ModuleType("fastconv._kernels.cpu")
cpu.level, cpu.openmp_version, cpu.openmp_max_threads = lambda: {level}, lambda: 0, lambda: 1
sys.modules["fastconv._kernels.cpu"] = cpu
from fastconv import _kernels
print(_kernels.isa, _kernels.available_isas)
"""


@pytest.mark.skipif(len(isas.AVAILABLE) < 2, reason="this build or processor has the baseline only")
@pytest.mark.parametrize("wanted", isas.AVAILABLE[1:])
def test_an_instruction_set_that_the_processor_lacks_is_an_import_error(wanted):
    done = run("-c", OLDER.format(level=0), FASTCONV_ISA=wanted)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: ")
    assert f"FASTCONV_ISA={wanted}" in message
    assert "baseline" in message


def test_an_older_processor_gets_what_it_can_run():
    assert output(OLDER.format(level=0), FASTCONV_ISA=None) == "baseline ('baseline',)"


def test_a_processor_below_the_baseline_is_an_import_error():
    done = run("-c", OLDER.format(level=-1), FASTCONV_ISA=None)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: fastconv: this processor lacks")
