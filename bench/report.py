"""Figures as a table, and their summary.  A ratio above 1: fastconv is faster."""

import math
import statistics

from fastconv.bench import PASSES, PEERS

OURS = "fastconv"
WINOGRAD = "winograd"  # ours, too, by another algorithm


class Cell:
    """One pass of one layer: who took how long, in which layout."""

    def __init__(self, rows):
        self.rows = {(row["contestant"], row["layout"]): row for row in rows}

    def seconds(self, names, layout=None):
        """The least of their best times, in one layout or in any; NaN without one."""
        return min(
            (
                row["best"]
                for (name, each), row in self.rows.items()
                if name in names and layout in (None, each)
            ),
            default=math.nan,
        )

    def ratio(self, peers, layout=None, ours=OURS):
        return self.seconds(peers, layout) / self.seconds([ours], layout)

    def first(self, name):
        """The row of a contestant's first layout, NCHW where it was measured; or None."""
        return next((row for (each, _), row in self.rows.items() if each == name), None)


def cells(figures, layer=None):
    """{(layer, pass): Cell}, in the order of the figures."""
    grouped = {}
    for row in figures["rows"]:
        if layer in (None, row["layer"]):
            grouped.setdefault((row["layer"], row["pass"]), []).append(row)
    return {key: Cell(rows) for key, rows in grouped.items()}


def peers(figures):
    """The peers that took part, in our order."""
    names = {row["contestant"] for row in figures["rows"]}
    return [peer for peer in PEERS if peer in names]


def _layouts(figures):
    rows = figures["rows"]
    return list(dict.fromkeys(row["layout"] for row in rows if row["contestant"] == OURS))


def heading(figures):
    """What was measured with what, and the rule of the columns."""
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    yield f"{figures['cpu']}, {figures['isa']}, {figures['threads']} threads, {figures['dtype']}"
    yield versions
    yield (
        f"by layout: GFLOP/s of fastconv's best block of {figures['rounds']} (and of the median "
        "one), and its share of the roof so far"
    )
    yield "by winograd: GFLOP/s of the direct sum, which it does not do; error of the largest value"
    yield "by peer: its time / ours, above 1 we are faster: NCHW as called | best format of each"
    yield "1st: the first call in ms, and as a multiple of a later one"
    yield "memory: KiB of scratch and packed weights, and their share of im2col's matrix"


def lines(figures, layer=None):
    """The column titles and a line for each pass; of one layer, titles before the first only."""
    layouts, names = _layouts(figures), peers(figures)
    # First calls: ours, and the framework's that most users come from.
    firsts = [OURS, *(name for name in names if name == "torch")]
    width = min(32, max(map(len, ["layer", *figures["layers"]])))
    if layer is None or layer == next(iter(figures["layers"])):
        yield (
            f"{'layer':<{width}} {'pass':<11}"
            + "".join(f" {layout:>17}" for layout in layouts)
            + "".join(f" {name:>13}" for name in names)
            + "".join(f" {name + ' 1st':>14}" for name in firsts)
            + f" {'memory':>11}"
        ).rstrip()
    for (name, direction), cell in cells(figures, layer).items():
        flops = figures["layers"][name]["flops"]
        text = f"{name[:width]:<{width}} {direction:<11}"
        for layout in layouts:
            row = cell.rows[OURS, layout]
            best, median = flops / row["best"], flops / row["median"]
            text += f" {best / 1e9:5.0f} ({median / 1e9:4.0f}) {best / figures['roof']:4.0%}"
        for peer in names:
            text += f" {_ratio(cell.ratio([peer], 'nchw')):>5} | {_ratio(cell.ratio([peer])):>5}"
        for contestant in firsts:
            row = cell.first(contestant)
            text += f" {1e3 * row['first']:7.2f} {row['first'] / row['best']:5.1f}x"
        yield (text + _memory(cell)).rstrip()
        if any(contestant == WINOGRAD for contestant, _ in cell.rows):
            yield " " * (width + 1) + _winograd_line(figures, cell, flops, layouts, names)


def _winograd_line(figures, cell, flops, layouts, names):
    """The same pass by winograd; GFLOP/s are those of the direct sum, which it does not do."""
    by_layout = [
        f"{layout} {flops / cell.rows[WINOGRAD, layout]['best'] / 1e9:.0f} "
        f"({cell.ratio([OURS], layout, WINOGRAD):.2f}x direct)"
        for layout in layouts
    ]
    by_peer = [
        f"{peer} {_ratio(cell.ratio([peer], 'nchw', WINOGRAD))} | "
        f"{_ratio(cell.ratio([peer], None, WINOGRAD))}"
        for peer in names
        if not math.isnan(cell.ratio([peer], None, WINOGRAD))
    ]
    errors = (cell.first(name)["error"] for name in (WINOGRAD, OURS))
    return (
        f"by winograd: {', '.join(by_layout + by_peer)}, error "
        + "{:.0e}, direct {:.0e}".format(*errors)
    )


def summary(figures):
    """The roof; mean, least and number below 1 of the ratios, for each pass and peer, and all."""
    yield f"roof {figures['roof'] / 1e9:.0f} GFLOP/s: multiply-adds in registers, best of the run"
    names = peers(figures)
    if not names:
        return
    every = cells(figures)
    yield f"{'pass':<12} {'peer':<12} {'format':<14} {'geo. mean':>9} {'least':>6}  below 1"
    yield from _means(every, names, OURS)
    if any(row["contestant"] == WINOGRAD for row in figures["rows"]):
        yield "by winograd, another algorithm, in the layers that it applies to:"
        yield from _means(every, names, WINOGRAD)


def _means(every, names, ours):
    for direction in PASSES:
        for peer in [*names, "all"] if len(names) > 1 else names:
            for layout, text in (("nchw", "NCHW as called"), (None, "best")):
                group = names if peer == "all" else [peer]
                found = {
                    layer: cell.ratio(group, layout, ours)
                    for (layer, each), cell in every.items()
                    if each == direction
                }
                found = {layer: ratio for layer, ratio in found.items() if not math.isnan(ratio)}
                if found:
                    worst = min(found, key=found.get)
                    mean = statistics.geometric_mean(found.values())
                    below = sum(ratio < 1 for ratio in found.values())
                    yield (
                        f"{direction:<12} {peer:<12} {text:<14} {mean:9.2f} {found[worst]:6.2f}"
                        f"  {below} of {len(found)}, least {worst}"
                    )


def _ratio(ratio):
    return "-" if math.isnan(ratio) else f"{ratio:.2f}"


def _memory(cell):
    ours, theirs = cell.first(OURS)["extra_bytes"], cell.first("im2col")
    share = f"{ours / theirs['extra_bytes']:.0%}" if theirs and theirs["extra_bytes"] else ""
    return f" {ours / 1024:6.0f} {share:>4}"
