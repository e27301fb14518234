"""The command line: `fastconv` and `python -m fastconv`; each command is a file of `commands`.

Exit status: 0 done, 1 target accuracy missed or a wrong result in a benchmark, 2 bad usage or bad
input, with one line on stderr, 130 interrupted by Ctrl-C, 141 who read the output has ended.
"""

import argparse
import importlib
import os
import sys

import fastconv

BAD, INTERRUPTED, UNREAD = 2, 130, 141  # the last as a shell counts SIGINT and SIGPIPE

# What the first help says of each, beside the file of that name in fastconv/commands.
COMMANDS = {
    "train": "Train a small CNN on MNIST, or on your own images, and test it",
    "evaluate": "Test a saved model",
    "predict": "Classify image files with a saved model",
    "bench": "Measure the convolutions beside PyTorch, ONNX Runtime and im2col",
    "draw": "Draw a convolution, its gradient or its transpose, with real numbers",
    "explain": "Say how a convolution would run, and why",
    "info": "Show what this installation uses",
}


def main(argv=None):
    """Runs one command and returns its exit status."""
    args = _parser().parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else argv
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python will flush what is left as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except (ValueError, OSError, ImportError, MemoryError, OverflowError) as error:
        # A file or an option that cannot be right: the message says which and why.
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"fastconv {args.command}: error: {text}", file=sys.stderr)
        return BAD
    except KeyboardInterrupt as interrupt:
        text = " ".join(["interrupted", *map(str, interrupt.args)])
        print(f"fastconv {args.command}: {text}", file=sys.stderr)
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; argparse would print the usage before it."""

    def error(self, message):
        self.exit(BAD, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class _Command(_Parser):
    """Imports its command only when that is the one: start-up time is a part of every run."""

    def parse_known_args(self, args=None, namespace=None):
        module = importlib.import_module(f"fastconv.commands.{self.prog.split()[-1]}")
        self.description += f". {module.DESCRIPTION}"
        self.set_defaults(run=module.run)
        module.add_options(self)
        return super().parse_known_args(args, namespace)


class _Version(argparse.Action):
    def __call__(self, parser, *rest):
        print(f"fastconv {fastconv.__version__}")
        parser.exit()


def _parser():
    parser = _Parser(
        prog="fastconv",
        description="Trains small convolutional networks on the CPU.",
        epilog="Try: fastconv train --out digits.safetensors, then fastconv evaluate "
        "digits.safetensors. Exit status: 0 done, 1 target accuracy missed or a wrong result in "
        "a benchmark, 2 bad usage or input, 130 interrupted.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Command
    )
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, description=summary)
    return parser
