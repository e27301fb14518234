"""`fastconv bench`: its options, and what it does with them."""

import json
import shlex
import sys

import fastconv
from fastconv.bench import DTYPES, LAYOUTS, PASSES, PEERS, compare, problems, report
from fastconv.bench.plot import check_plot, plot
from fastconv.bench.run import WrongResult, run

DONE, WRONG = 0, 1


def add_options(parser, count):
    """`count` is the type of an option that counts from 1."""
    parser.add_argument(
        "--layers", metavar="L,...",
        help="names of the list (see --list), or problem strings as mb4ic64ih56oc64kh3ph1 "
        "(default: the whole list)",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the layers and end")
    for option, choices in (("passes", PASSES), ("peers", PEERS), ("layout", LAYOUTS)):
        parser.add_argument(
            f"--{option}", metavar=f"{option[0].upper()},...", default=",".join(choices),
            help="default: %(default)s" + (
                "; none: ours alone" if option == "peers" else
                "; of our arrays, a peer is measured in all that it has" if option == "layout"
                else ""
            ),
        )  # fmt: skip
    parser.add_argument(
        "--threads", "--num-threads", type=count, metavar="N",
        help="threads of every contestant (default: as for the other commands)",
    )  # fmt: skip
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default: %(default)s")
    parser.add_argument(
        "--rounds", type=count, default=5, metavar="N",
        help="blocks of calls for each contestant (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--block-ms", type=count, default=50, metavar="MS",
        help="least length of a block; a shorter one measures the pools of the others, too "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write all figures here")
    parser.add_argument(
        "--plot", metavar="FILE",
        help="draw the ratios, as .png, .svg or .pdf (needs the extra: fastconv[bench])",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="source", metavar="FILE",
        help="show the figures of an earlier --json instead of measuring",
    )  # fmt: skip


def command(args, argv):
    """Runs the command whose words are `argv`; its exit status."""
    if args.list:
        for name, problem in _list().items():
            print(f"{name:<12} {problem}")
        return DONE
    if args.plot:
        check_plot(args.plot)
    if args.source:
        figures = _load(args.source)
        _print(report.heading(figures))
        _print(report.lines(figures))
    else:
        try:
            figures = _measure(args)
        except WrongResult as error:
            print(f"fastconv bench: wrong result: {error}", file=sys.stderr)
            return WRONG
        figures["command"] = shlex.join(["fastconv", *argv])
    _print(report.summary(figures))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
        print(f"wrote {args.json}")
    if args.plot:
        plot(figures, args.plot)
        print(f"wrote {args.plot}")
    return DONE


def _measure(args):
    def show(figures, layer):
        if layer == next(iter(figures["layers"])):
            _print(report.heading(figures))
        _print(report.lines(figures, layer))

    return run(
        _chosen_layers(args.layers),
        _chosen("--passes", args.passes, PASSES),
        [] if args.peers == "none" else _chosen("--peers", args.peers, PEERS),
        _chosen("--layout", args.layout, LAYOUTS),
        args.threads or fastconv.get_num_threads(),
        args.dtype,
        args.rounds,
        args.block_ms / 1000,
        show,
    )


def _print(lines):
    for line in lines:
        print(line, flush=True)


def _list():
    return {problem.name: problem for problem in problems.load()}


def _chosen(option, text, choices):
    """The words of a comma-separated option, in the order of the choices."""
    words = text.split(",")
    for word in words:
        if word not in choices:
            raise ValueError(f"{option}: no {word!r}; choose from {', '.join(choices)}")
    return [choice for choice in choices if choice in words]


def _chosen_layers(text):
    """{name: Problem}; a problem string that has no name is its own."""
    if text is None:
        return _list()
    try:
        found = {word: problems.find(word) for word in text.split(",")}
    except ValueError as error:
        raise ValueError(f"--layers: {error}") from error
    return {problem.name or word: problem for word, problem in found.items()}


def _load(path):
    figures = compare.load(path)
    figures["rows"] = list(figures["rows"].values())
    return figures
