"""The visual language of every picture: what a colour means, how light it is, how text looks.

The colours are those of Okabe & Ito, "Color universal design" (2008), which colour-blind eyes tell
apart.  A role has one hue everywhere; a cell is pale, and strong where the present step touches it.
The taps of a kernel go from light to dark in the order of the weights, so that an inverted filter
looks inverted and shared weights look alike at sizes where no number can be read.
"""

from dataclasses import dataclass
from functools import lru_cache

FONT = "DejaVu Sans"  # in every matplotlib
RC = {
    "font.family": [FONT],
    "text.usetex": False,
    "axes.unicode_minus": True,
    "path.simplify": False,
    "svg.hashsalt": "fastconv",  # the same picture, the same bytes
}
INK, QUIET, LINE = "#222222", "#666666", "#9a9a9a"
TITLE, WORDS, LABEL, LEAST = 10.5, 8.5, 8.0, 4.6  # points; a number smaller than LEAST is left out


@dataclass(frozen=True)
class Role:
    strong: str
    pale: str
    label: str  # as text on white


ROLES = {
    "input": Role("#0072B2", "#d3e6f3", "#005a8c"),
    "kernel": Role("#E69F00", "#fdf1d8", "#8a5f00"),
    "output": Role("#009E73", "#cfece2", "#00704f"),
    "gradient": Role("#CC79A7", "#f6e2ee", "#9c3f74"),
    "padding": Role("#c4c4c4", "#f1f1f1", "#666666"),
    "empty": Role("#ffffff", "#ffffff", "#666666"),
}


def mix(first, second, share):
    """The colour `share` of the way from the first to the second."""
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (first, second)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(*ends, strict=True))


def fill(role, strong=False, shade=None):
    """The colour of a cell; `shade` from 0 to 1 is its place among the taps or phases."""
    look = ROLES[role]
    if strong:
        return look.strong
    return look.pale if shade is None else mix(look.pale, look.strong, 0.15 + 0.85 * shade)


@lru_cache(4096)
def ink(colour):
    """Black or white, whichever is told better from that ground (WCAG's contrast ratio)."""

    def linear(value):
        value /= 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    # White letters on saturated colours look stronger than the ratio says.
    return "#ffffff" if 1.05 / (light + 0.05) > 3.2 else INK


@lru_cache(65536)
def text_width(text, bold=False):
    """Width in units of the font size."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FONT, weight="bold" if bold else "normal", size=100)
    return text_to_path.get_text_width_height_descent(text, font, False)[0] / 100


def wrapped(text, size, inches):
    """The lines of a text that fit the width."""
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and text_width(longer) * size / 72 > inches:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
