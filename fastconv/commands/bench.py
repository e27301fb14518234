"""`fastconv bench`: `fastconv.bench.command` as one of the commands."""

from fastconv.bench import command
from fastconv.commands import common

DESCRIPTION = (
    "All results are compared before anything is timed. The contestants take turns, a block of "
    "calls each. A peer that is not installed is left out. The whole list takes minutes."
)


def add_options(parser):
    command.add_options(parser, common.count)


def run(args):
    for option, path in (("--json", args.json), ("--plot", args.plot)):
        if path:
            common.check_writable(option, path)
    return command.command(args, args.argv)
