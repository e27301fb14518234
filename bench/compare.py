"""What got slower between two files of `fastconv bench --json`.

    python bench/compare.py OLD NEW [--threshold 0.05] [--by peer|roof|time]

Machines drift, so times are put in relation to something that did not change: PyTorch's time of
the same layer, pass and run where both files have it (another peer if not), else the multiply-add
roof of the run; `--by roof` and `--by time` do without.  Exit status: 0 nothing is slower by more
than the threshold, 1 something is, 2 bad input.
"""

import argparse
import json
import math
import statistics
import sys

PEERS = ("torch", "onnxruntime", "im2col")
KEY = ("layer", "pass", "layout", "contestant")
SETTINGS = ("cpu", "isa", "threads", "dtype")


def load(path):
    """The figures of a file, its rows by (layer, pass, layout, contestant)."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        figures = json.loads(text)
        right = figures["schema"] == 1 and figures["roof"] > 0
        right = right and all(name in figures for name in SETTINGS)
        rows = {tuple(row[key] for key in KEY): row for row in figures["rows"] if row["best"]}
    except (KeyError, TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(f"{path}: not a file of fastconv bench --json")
    return figures | {"rows": rows}


def changes(old, new, by="peer"):
    """{(layer, pass, layout): (new time / old time, its measure)} of fastconv, drift taken out."""
    found = {}
    for key in old["rows"].keys() & new["rows"].keys():
        layer, direction, layout, contestant = key
        if contestant != "fastconv":
            continue
        drift, measure = 1.0, "time"
        if by != "time":
            drift, measure = old["roof"] / new["roof"], "roof"
        for peer in PEERS if by == "peer" else ():
            theirs = (layer, direction, "nchw", peer)
            if theirs in old["rows"] and theirs in new["rows"]:
                drift, measure = new["rows"][theirs]["best"] / old["rows"][theirs]["best"], peer
                break
        change = new["rows"][key]["best"] / old["rows"][key]["best"] / drift
        found[layer, direction, layout] = change, measure
    order = {key[:3]: at for at, key in enumerate(old["rows"])}
    return dict(sorted(found.items(), key=lambda item: order[item[0]]))


def report(old, new, found, threshold):
    """Lines: what differs between the runs, what got slower, what got faster, and the means."""
    for name in SETTINGS:
        if old[name] != new[name]:
            yield f"different {name}: {old[name]} -> {new[name]}"
    yield f"roof {old['roof'] / 1e9:.0f} -> {new['roof'] / 1e9:.0f} GFLOP/s"
    for word, slow in (("slower", 1), ("faster", -1)):
        cells = {key: each for key, each in found.items() if slow * math.log(each[0]) > 0}
        cells = {key: each for key, each in cells.items() if moved(each[0], threshold)}
        for (layer, direction, layout), (change, measure) in sorted(
            cells.items(), key=lambda item: -slow * item[1][0]
        ):
            times = change if slow > 0 else 1 / change
            yield (f"{word} {times:5.2f}x  {layer:<12} {direction:<11} {layout:<13} "
                   f"by {measure}")  # fmt: skip
    for direction in dict.fromkeys(key[1] for key in found):
        ratios = [change for key, (change, _) in found.items() if key[1] == direction]
        yield (
            f"{direction}: time x {statistics.geometric_mean(ratios):.3f} (geometric mean of "
            f"{len(ratios)}), {sum(r > 1 + threshold for r in ratios)} slower, "
            f"{sum(r < 1 / (1 + threshold) for r in ratios)} faster by more than {threshold:.0%}"
        )
    ours = [{key for key in each["rows"] if key[3] == "fastconv"} for each in (old, new)]
    for word, missing in (("only in OLD", ours[0] - ours[1]), ("only in NEW", ours[1] - ours[0])):
        if missing:
            yield f"{word}: {len(missing)} measurements"


def moved(change, threshold):
    return max(change, 1 / change) > 1 + threshold


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("--threshold", type=float, default=0.05, help="default: 0.05, 5 %%")
    parser.add_argument("--by", choices=("peer", "roof", "time"), default="peer")
    options = parser.parse_args(argv)
    try:
        old, new = load(options.old), load(options.new)
        found = changes(old, new, options.by)
        if not found:
            raise ValueError("the two files have no measurement of fastconv in common")
        for line in report(old, new, found, options.threshold):
            print(line)
    except (OSError, ValueError) as error:
        print(f"compare: error: {error}", file=sys.stderr)
        return 2
    return int(any(change > 1 + options.threshold for change, _ in found.values()))


if __name__ == "__main__":
    sys.exit(main())
