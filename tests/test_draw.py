"""`fastconv draw`: every kind, its options, its files, and its errors."""

import sys

import pytest

pytest.importorskip("matplotlib")

from fastconv import plot
from fastconv.cli import main
from fastconv.commands.draw import KINDS

PNG = b"\x89PNG\r\n\x1a\n"


def test_every_drawing_is_a_kind():
    assert set(KINDS.values()) == {
        getattr(plot, name) for name in plot.__all__ if name.startswith("draw_")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_without_options_a_kind_draws_its_example(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["draw", kind]) == 0
    assert capsys.readouterr() == (f"{kind}.png\n", "")
    plot.save(KINDS[kind](), tmp_path / "other.png")
    found = (tmp_path / f"{kind}.png").read_bytes()
    assert found.startswith(PNG)
    assert found == (tmp_path / "other.png").read_bytes()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("conv --input-size 7x6 --kernel-size 3x2 --stride 2,1 --padding 1x0 --dilation 1",
         lambda: plot.draw_conv((7, 6), (3, 2), (2, 1), (1, 0), 1)),
        ("conv --input-size 6x6 --padding same --stride 2",
         lambda: plot.draw_conv((6, 6), padding="same", stride=2)),
        ("transposed --input-size 4 --kernel-size 3 --stride 2 --output-padding 1",
         lambda: plot.draw_transposed(4, 3, 2, output_padding=1)),
        ("steps --input-size 2x2x2 --kernel-size 2 --step 3",
         lambda: plot.draw_steps((2, 2, 2), 2, step=3)),
        ("regroup --in-channels 2 --out-channels 4 --groups 2",
         lambda: plot.draw_regroup(in_channels=2, out_channels=4, groups=2)),
        ("arithmetic --input-size 3 --kernel-size 3 --stride 2 --output-padding 1",
         lambda: plot.draw_arithmetic(3, 3, 2, output_padding=1)),
        ("pool --input-size 5x5 --kernel-size 3 --stride 1",
         lambda: plot.draw_pool((5, 5), 3, 1)),
    ],
)  # fmt: skip
def test_options_are_those_of_the_function(line, expected, tmp_path):
    assert main(["draw", *line.split(), "-o", str(tmp_path / "a.svg")]) == 0
    plot.save(expected(), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_gif_has_a_frame_for_each_step(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.gif"
    line = ["draw", "conv", "--input-size", "4x4", "--kernel-size", "3", "-o", str(path)]
    assert main(line) == 0
    assert capsys.readouterr().out == f"{path}, 4 frames\n"
    with image.open(path) as gif:
        assert gif.n_frames == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pool --output-padding 1", "--output-padding is no option of pool, which takes --input-"),
        ("regroup --stride 2", "--stride is no option of regroup"),
        ("conv --groups 2", "--groups is no option of conv"),
        ("conv --stride 0", "stride must be at least 1, got 0"),
        ("conv --input-size 2x2 --kernel-size 3", "must fit the padded input"),
        ("transposed --padding 5", "leaves no output"),
        ("conv --step 9", "step must be below 9"),
        ("conv --input-size 4000x4000", "at most 20000 cells"),
        ("conv -o a.jpg", "must end in .png, .svg, .pdf, .gif"),
        ("conv -o nowhere/a.png", "must name a file in a folder that exists"),
        ("conv --step 1 -o a.gif", "--step must be left out"),
        ("conv -o folder.png", "must name a file in a folder that exists"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_leave_no_file(line, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    assert main(["draw", *line.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastconv draw: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("line", ["", "frob", "conv --stride x", "conv --input-size 5y5",
                                  "conv --input-size -3", "conv --step -1"])  # fmt: skip
def test_bad_usage_is_one_line(line, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["draw", *line.split()])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_matplotlib_names_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["draw", "conv", "-o", str(tmp_path / "a.png")]) == 2
    assert "pip install 'fastconv[plot]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
