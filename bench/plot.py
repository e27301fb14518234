"""A picture of the ratios: a panel for each pass, a row for each layer, a colour for each peer."""

import math
from pathlib import Path

from fastconv.bench import PASSES
from fastconv.bench.report import cells, peers

COLOURS = {"torch": "#d95f02", "onnxruntime": "#1b6ca8", "im2col": "#8d8d8d"}
NAMES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "im2col": "im2col + BLAS"}
TITLES = {"forward": "forward", "grad_input": "input gradient", "grad_weight": "weight gradient"}


def check_plot(path):
    """ImportError without matplotlib, ValueError where it cannot write such a file."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("--plot needs matplotlib: pip install 'fastconv[bench]'") from error
    known = sorted(Figure().canvas.get_supported_filetypes())
    if Path(path).suffix.removeprefix(".").lower() not in known:
        raise ValueError(f"--plot {path}: the name must end in one of .{', .'.join(known)}")


def plot(figures, path):
    """Draws the figures into a file, a picture of any format that matplotlib writes.

    Full dots compare NCHW as called, rings the best format of each side.  Right of the line at 1
    fastconv is faster.  ValueError when the figures hold no peer; else as `check_plot`.
    """
    check_plot(path)
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = peers(figures)
    if not names:
        raise ValueError("--plot: there is no peer to compare with")
    every, layers = cells(figures), list(figures["layers"])
    directions = [each for each in PASSES if any(key[1] == each for key in every)]
    figure = Figure(figsize=(2.4 + 4 * len(directions), 2.2 + 0.27 * len(layers)), dpi=130)
    panels = figure.subplots(1, len(directions), sharey=True, squeeze=False)[0]
    ratios = []
    for panel, direction in zip(panels, directions, strict=True):
        for at, layer in enumerate(layers):
            if at % 2:
                panel.axhspan(at - 0.5, at + 0.5, color="0.965", linewidth=0, zorder=0)
            cell = every.get((layer, direction))
            for place, peer in enumerate(names if cell else ()):
                # Side by side within the row, so that no peer hides another.
                y = at + 0.27 * (place - (len(names) - 1) / 2)
                called, best = cell.ratio([peer], "nchw"), cell.ratio([peer])
                colour = COLOURS[peer]
                panel.plot([called, best], [y, y], color=colour, linewidth=0.9, zorder=2)
                panel.plot(called, y, "o", color=colour, markersize=5, zorder=4)
                panel.plot(
                    best, y, "o", color=colour, markerfacecolor="white", markersize=4.2, zorder=3
                )
                ratios += [each for each in (called, best) if not math.isnan(each)]
        panel.set_title(TITLES[direction], fontsize=11, pad=24)
    for panel in panels:
        _scale(panel, ratios)
    panels[0].set_yticks(range(len(layers)), layers, fontsize=9)
    panels[0].set_ylim(len(layers) - 0.5, -0.5)
    marks = [Line2D([], [], marker="o", linestyle="", color=COLOURS[n], label=NAMES[n])
             for n in names]  # fmt: skip
    marks += [
        Line2D([], [], marker="o", linestyle="", color="0.3", label="NCHW as called"),
        Line2D([], [], marker="o", linestyle="", color="0.3", markerfacecolor="white",
               label="best format of each"),
    ]  # fmt: skip
    figure.legend(handles=marks, loc="lower center", ncols=len(marks), frameon=False, fontsize=9)
    figure.suptitle(
        f"fastconv {figures['versions'].get('fastconv', '')} against its peers, "
        f"{figures['threads']} thread{'s' * (figures['threads'] > 1)}, {figures['dtype']}, "
        f"{figures['cpu']} ({figures['isa']})",
        fontsize=11,
    )
    figure.tight_layout(rect=(0, 0.9 / (2.2 + 0.27 * len(layers)) * 0.5, 1, 1))
    figure.savefig(path)


def _scale(panel, ratios):
    """A logarithmic axis of powers of two, with the losing side shaded."""
    low = min(-1, math.floor(math.log2(min(ratios, default=1)) - 0.1))
    high = max(2, math.ceil(math.log2(max(ratios, default=1)) + 0.1))
    panel.set_xscale("log", base=2)
    panel.set_xlim(2.0**low, 2.0**high)
    step = max(1, (high - low) // 7)
    ticks = [each for each in range(low, high + 1) if each % step == 0]
    panel.set_xticks([2.0**each for each in ticks])
    panel.set_xticklabels([f"{2**t}x" if t >= 0 else f"1/{2**-t}x" for t in ticks], fontsize=8)
    panel.minorticks_off()
    panel.axvspan(2.0**low, 1, color="#d1495b", alpha=0.10, linewidth=0, zorder=1)
    panel.axvline(1, color="black", linewidth=1.2, zorder=2)
    panel.grid(axis="x", color="0.88", linewidth=0.6, zorder=0)
    panel.tick_params(length=0)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    edge = panel.get_xaxis_transform()
    panel.text(
        0.97, 1.01, "fastconv slower", transform=edge, ha="right", fontsize=8, color="#a32638"
    )
    panel.text(1.03, 1.01, "fastconv faster", transform=edge, ha="left", fontsize=8, color="0.25")
