"""`fastconv info`."""

from fastconv.commands import common
from fastconv.config import show_config

DESCRIPTION = "Version, instruction set, OpenMP, threads and why, extras."


def add_options(parser):
    common.with_json(parser)


def run(args):
    show_config()
    if args.json:
        common.print_json(**show_config("dicts"))
    return common.DONE
