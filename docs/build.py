"""Renders the figures of the course and runs its snippets: `python docs/build.py`.

Exit status 1 when the output of a snippet is not what its page shows.  Needs the extras
`plot` and `image`.
"""

import doctest
import re
import sys
from pathlib import Path

import fastconv.plot as plot

HERE = Path(__file__).parent
FIGURES = {
    "conv.png": lambda: plot.draw_conv((5, 5), 3, stride=2, padding=1, step=4),
    "pool.png": lambda: plot.draw_pool((4, 4), 2),
    "contributions.png": lambda: plot.draw_conv((7,), 3, stride=2, step=1),
    "inverted.png": lambda: plot.draw_inverted((4, 4), 3),
    "regroup.png": lambda: plot.draw_regroup(),
    "matrix.png": lambda: plot.draw_matrix((12,), 4, stride=2),
    "deconvolution.png": lambda: plot.draw_deconvolution((12,), 4, stride=2),
    "steps.png": lambda: plot.draw_steps((3, 3), 3, stride=2),
    "steps.gif": lambda: plot.draw_steps((3, 3), 3, stride=2, step="all"),
    "phases.png": lambda: plot.draw_phases((5,), 4, stride=2),
    "phases2d.png": lambda: plot.draw_phases((3, 3), 3, stride=2),
    "transposed.png": lambda: plot.draw_transposed((3, 3), 3, stride=2, padding=1),
    "arithmetic.png": lambda: plot.draw_arithmetic((6,), 3, stride=2, padding=1),
    "arithmetic_transposed.png": lambda: plot.draw_arithmetic(
        (3,), 3, stride=2, padding=1, output_padding=1
    ),
}


def pages():
    return sorted(HERE.glob("*.md"))


def run(page):
    """(failed, tried) snippets of a page, all in one namespace."""
    # To doctest a fence that follows an output would be a part of it.
    text = re.sub(r"^```.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    return doctest.DocTestRunner(verbose=False).run(test)


def render(name):
    from PIL import Image

    path = HERE / "figures" / name
    plot.save(FIGURES[name](), path)
    if path.suffix == ".png":  # few colours, a third of the bytes
        with Image.open(path) as image:
            small = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


def main():
    (HERE / "figures").mkdir(exist_ok=True)
    for name in FIGURES:
        render(name)
    failed = sum([run(page).failed for page in pages()])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
