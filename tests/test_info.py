"""The command line: what it says of itself, by `info`, `--help` and `--version`."""

import json
import sys
from pathlib import Path

import numpy as np
import programs
import pytest

import fastconv
from fastconv import _kernels, _threads
from fastconv.cli import main
from fastconv.config import EXTRAS, show_config


def test_info_tells_the_truth(capsys):
    assert main(["info", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    config = json.loads(lines[-1])
    assert config == show_config("dicts")
    assert config["version"] == fastconv.__version__
    assert config["isa"] == _kernels.isa
    assert config["available_isas"] == list(_kernels.available_isas)
    assert config["numpy"] == np.__version__
    assert config["num_threads"] == fastconv.get_num_threads()
    assert set(config["extras"]) == set(EXTRAS)
    text = "\n".join(lines[:-1])
    for shown in (config["version"], config["isa"], config["num_threads_reason"]):
        assert shown in text
    with pytest.raises(ValueError, match="show_config: mode must be"):
        show_config("json")


def test_info_explains_the_number_of_threads(monkeypatch):
    if not show_config("dicts")["openmp"]:
        pytest.skip("a serial build")
    done = programs.command("info", "--json", OMP_NUM_THREADS="1")
    assert (done.returncode, done.stderr) == (0, "")
    limited = json.loads(done.stdout.splitlines()[-1])
    assert (limited["num_threads"], limited["num_threads_reason"]) == (1, "OMP_NUM_THREADS=1")
    monkeypatch.setattr(_threads, "_asked", None)
    assert "affinity" in show_config("dicts")["num_threads_reason"]
    with fastconv.num_threads(1):
        assert "set_num_threads" in show_config("dicts")["num_threads_reason"]


def test_info_shows_the_cap_of_the_instruction_set():
    done = programs.command("info", FASTCONV_ISA="baseline")
    assert "baseline (of baseline" in done.stdout
    assert "capped by FASTCONV_ISA" in done.stdout


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["predict"], ["info"]], ids=str)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(" ".join(["usage: fastconv", *command]))
    assert captured.err == ""


def test_version():
    done = programs.command("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"fastconv {fastconv.__version__}\n"


def test_the_installed_command():
    script = Path(sys.executable).with_name("fastconv")
    if not script.exists():
        pytest.skip("not installed")
    assert programs.run(script, "--version").stdout == f"fastconv {fastconv.__version__}\n"


def test_import_is_silent():
    done = programs.run("-P", "-c", "import fastconv.cli")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
