"""`fastconv explain`."""

import fastconv
from fastconv._algorithm import ALGORITHMS
from fastconv.bench import DTYPES, LAYOUTS, problems
from fastconv.commands import common

DESCRIPTION = (
    "What the planner chose for each pass: algorithm, lanes, tile, tasks, memory. Nothing is "
    "computed."
)


def add_options(parser):
    parser.add_argument(
        "problem",
        metavar="PROBLEM",
        help="a name of fastconv bench --list, or a problem string as mb4ic64ih56oc64kh3ph1",
    )
    parser.add_argument(
        "--layout", choices=LAYOUTS, default="nchw", help="of the arrays (default: %(default)s)"
    )
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default: %(default)s")
    parser.add_argument(
        "--algorithm",
        choices=ALGORITHMS,
        help="of the convolution (default: FASTCONV_ALGORITHM, else direct)",
    )
    common.with_threads(parser)
    common.with_json(parser)


def run(args):
    problem = problems.find(args.problem)
    request = {
        "operation": problem.operation,
        "input_shape": problem.input_shape,
        "weight_shape": problem.weight_shape,
        "layout": args.layout,
        "dtype": args.dtype,
        "num_threads": args.num_threads,
        "algorithm": args.algorithm,
        **problem.arguments,
    }
    fastconv.explain(**request)
    if args.json:
        common.print_json(**fastconv.explain(**request, mode="dicts"))
    return common.DONE
