"""The command line: `fastconv` and `python -m fastconv`.

Exit status: 0 done, 1 target accuracy missed or a wrong result in a benchmark, 2 bad usage or bad
input, with one line on stderr.
"""

import argparse
import importlib.util
import json
import math
import os
import sys
import time
from pathlib import Path

import fastconv
from fastconv import _kernels, _threads, nn, recipes, report
from fastconv._random import manual_seed
from fastconv.bench import DTYPES, LAYOUTS, problems
from fastconv.bench import command as benchmark
from fastconv.callbacks import TerminateOnNaN
from fastconv.classifier import Classifier
from fastconv.config import show_config
from fastconv.data import DataLoader, load_folder, mnist, statistics
from fastconv.images import read_images
from fastconv.train import BATCH_SIZE, evaluate, fit

DONE, MISSED, BAD = 0, 1, 2


def main(argv=None):
    """Runs one command and returns its exit status."""
    args = _parser().parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else argv
    try:
        return args.run(args)
    except (ValueError, OSError, ImportError, MemoryError, OverflowError) as error:
        # A file or an option that cannot be right: the message says which and why.
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"fastconv {args.command}: error: {text}", file=sys.stderr)
        return BAD
    except KeyboardInterrupt:
        print(f"fastconv {args.command}: interrupted", file=sys.stderr)
        return 130  # as the shell counts a process ended by SIGINT


# ---------------------------------------------------------------------------------- commands


def train(args):
    if args.out:
        _check_out(args.out)
    if args.report:
        report.check_report(args.report)
    data = _data(args.data)
    recipe = recipes.RECIPES[args.recipe]
    epochs, batch_size = args.epochs or recipe.epochs, args.batch_size or recipe.batch_size
    lr = args.lr or recipe.lr
    with _threads.num_threads(args.num_threads):
        manual_seed(args.seed)
        shape, classes = data.image_shape, data.num_classes
        model = recipe.model(shape, classes)
        classifier = Classifier(model, shape, classes, *statistics(data.x_train))
        batches = DataLoader(data.x_train, data.y_train, batch_size, shuffle=True, seed=args.seed)
        batches.transform = recipe.transform(classifier.prepare, batches, epochs)
        training = recipe.training(model, lr, total_steps=epochs * len(batches))
        callbacks = [TerminateOnNaN()]
        if args.report:
            curves = report.LearningCurves(classifier, data, batches, training["loss"])
            callbacks.append(curves)
        start = time.perf_counter()
        run = fit(model, batches, epochs=epochs, callbacks=callbacks, **training)
        seconds = time.perf_counter() - start
        if not math.isfinite(run.logs["loss"]):
            raise ValueError(
                f"the loss is {run.logs['loss']} in epoch {run.epoch}: training diverged, "
                f"try an --lr below {lr:g}"
            )
        scores = _test_scores(classifier, data)
        page = args.report and report.write_report(args.report, classifier, data, curves)
        threads = _threads.get_num_threads()
    accuracy = scores["test_accuracy"]
    print(f"test accuracy {accuracy:.4f} after {seconds:.1f} s of training")
    if args.out:
        classifier.save(args.out)
        print(f"saved {args.out}")
    if args.report:
        print(f"wrote {page}")
    status = DONE
    if args.target_acc is not None and accuracy < args.target_acc:
        print(
            f"fastconv train: test accuracy {accuracy:.4f} is below the target {args.target_acc:g}",
            file=sys.stderr,
        )
        status = MISSED
    if args.json:
        _print_json(
            test_accuracy=accuracy,
            train_seconds=seconds,
            images_per_second=run.samples / seconds,
            epochs=run.epoch,
            num_threads=threads,
            isa=_kernels.isa,
        )
    return status


def evaluate_model(args):
    classifier = Classifier.load(args.model)
    data = _data(args.data)
    if data.image_shape != classifier.image_shape or data.num_classes > classifier.num_classes:
        raise ValueError(
            f"{args.model} knows {classifier.num_classes} classes of images of "
            f"{_size(classifier.image_shape)}, the data have {data.num_classes} of "
            f"{_size(data.image_shape)}"
        )
    with _threads.num_threads(args.num_threads):
        scores = _test_scores(classifier, data)
    print(f"test accuracy {scores['test_accuracy']:.4f}, loss {scores['test_loss']:.4f}")
    if args.json:
        _print_json(**scores, images=len(data.x_test))
    return DONE


def predict_images(args):
    classifier = Classifier.load(args.model)
    # All are read before the first is printed: a bad one stops the command, not half of it.
    named = [each for path in args.images for each in read_images(path, classifier.image_shape)]
    for name, image in named:
        probabilities = classifier.probabilities(image[None])[0]
        best = int(probabilities.argmax())
        print(f"{name}: class {best}, probability {probabilities[best]:.4f}")
    return DONE


def bench(args):
    for option, path in (("--json", args.json), ("--plot", args.plot)):
        if path:
            _check_writable(option, path)
    return benchmark.command(args, args.argv)


def explain(args):
    problem = problems.find(args.problem)
    request = {
        "operation": problem.operation,
        "input_shape": problem.input_shape,
        "weight_shape": problem.weight_shape,
        "layout": args.layout,
        "dtype": args.dtype,
        "num_threads": args.num_threads,
        **problem.arguments,
    }
    fastconv.explain(**request)
    if args.json:
        _print_json(**fastconv.explain(**request, mode="dicts"))
    return DONE


def info(args):
    show_config()
    if args.json:
        _print_json(**show_config("dicts"))
    return DONE


def _data(folder):
    return mnist() if folder is None else load_folder(folder)


def _test_scores(classifier, data):
    batches = DataLoader(data.x_test, data.y_test, BATCH_SIZE, seed=0, transform=classifier.prepare)
    scores = evaluate(classifier.model, batches, loss=nn.CrossEntropyLoss())
    return {f"test_{name}": value for name, value in scores.items()}


def _check_out(path):
    if importlib.util.find_spec("safetensors") is None:
        raise ImportError("--out needs safetensors: pip install 'fastconv[save]'")
    _check_writable("--out", path)


def _check_writable(option, path):
    """Refuses before minutes of work what would fail after them."""
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{option} {path}: must name a file in a folder that exists")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{option} {path}: the folder cannot be written")


def _print_json(**values):
    # A number that JSON lacks (NaN, infinity) becomes null.
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
    print(json.dumps(finite, allow_nan=False), flush=True)


def _size(image_shape):
    channels, height, width = image_shape
    return f"{height} x {width} with {channels} channel{'s' * (channels > 1)}"


# ----------------------------------------------------------------------------------- options


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; argparse would print the usage before it."""

    def error(self, message):
        self.exit(BAD, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _number(kind, holds, rule):
    """An option's type: a number that meets the rule."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not holds(value):
            raise argparse.ArgumentTypeError(f"must be {rule}, got {text!r}")
        return value

    return parse


_count = _number(int, lambda n: n >= 1, "a whole number of at least 1")
_seed = _number(int, lambda n: n >= 0, "a whole number of at least 0")
_rate = _number(float, lambda x: 0 < x < math.inf, "a number above 0")
_fraction = _number(float, lambda x: 0 <= x <= 1, "a fraction from 0 to 1, as 0.99")


def _parser():
    parser = _Parser(
        prog="fastconv",
        description="Trains small convolutional networks on the CPU.",
        epilog="Try: fastconv train --out digits.safetensors, then fastconv evaluate "
        "digits.safetensors. Exit status: 0 done, 1 target accuracy missed or a wrong result in "
        "a benchmark, 2 bad usage or input.",
    )
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, run, summary, text):
        sub = commands.add_parser(name, help=summary, description=f"{summary}. {text}")
        sub.set_defaults(run=run)
        return sub

    def with_data(sub):
        sub.add_argument(
            "--data",
            metavar="PATH",
            help="folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the same two "
            "with t10k, plain or .gz; or CIFAR-10's binary version, as a folder or .tar.gz; or an "
            ".npz file with x_train, y_train, x_test and y_test; or a folder with a folder of "
            "images for each class, or with two such, train and test (default: the bundled MNIST)",
        )

    def with_threads(sub):
        sub.add_argument(
            "--num-threads",
            type=_count,
            metavar="N",
            help="threads of the kernels; the results are the same for any number (default: "
            "OMP_NUM_THREADS, else the processors that this process may use)",
        )

    def with_json(sub):
        sub.add_argument(
            "--json", action="store_true", help="print one JSON object as the last line"
        )

    sub = command(
        "train",
        train,
        "Train a small CNN on MNIST, or on your own images, and test it",
        "The network adapts to the size of the images and the number of classes. Adam with a "
        "one-cycle learning rate; the same seed gives the same model, to the bit.",
    )
    with_data(sub)
    sub.add_argument(
        "--recipe", choices=recipes.RECIPES, default="fast",
        help="the network and how it is trained: fast, 99 %% of the test digits in seconds, or "
        "best, 99.6 %% in a minute (default: %(default)s)",
    )  # fmt: skip
    sub.add_argument(
        "--epochs", type=_count, metavar="N",
        help="passes over the training images (default: the recipe's)",
    )  # fmt: skip
    sub.add_argument(
        "--batch-size", type=_count, metavar="N", help="images per step (default: the recipe's)"
    )
    sub.add_argument(
        "--lr", type=_rate, metavar="X",
        help="the largest learning rate of the cycle (default: the recipe's)",
    )  # fmt: skip
    sub.add_argument(
        "--seed", type=_seed, default=recipes.SEED, metavar="N",
        help="decides initial weights and order of the images (default: %(default)s)",
    )  # fmt: skip
    with_threads(sub)
    sub.add_argument(
        "--target-acc", type=_fraction, metavar="X",
        help="exit with status 1 when the test accuracy is below X, as 0.985",
    )  # fmt: skip
    sub.add_argument(
        "--out", metavar="FILE",
        help="save the model as a safetensors file (needs the extra: fastconv[save])",
    )  # fmt: skip
    sub.add_argument(
        "--report", metavar="DIR",
        help="write learning curves, confusion matrix, mistakes, filters and feature maps as PNG "
        "files and one page, DIR/report.html (needs the extra: fastconv[plot])",
    )  # fmt: skip
    with_json(sub)

    sub = command(
        "evaluate",
        evaluate_model,
        "Test a saved model",
        "Prints its accuracy and loss on the test images.",
    )
    sub.add_argument("model", metavar="MODEL", help="a file of fastconv train --out")
    with_data(sub)
    with_threads(sub)
    with_json(sub)

    sub = command(
        "predict",
        predict_images,
        "Classify image files with a saved model",
        "An image must have the size of the training images: nothing is resized. MNIST's digits "
        "are light on a dark ground.",
    )
    sub.add_argument("model", metavar="MODEL", help="a file of fastconv train --out")
    sub.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help=".npy (H, W), (C, H, W) or a stack of them, or PNG and the like, which become grey "
        "or RGB (needs the extra: fastconv[image])",
    )

    sub = command(
        "bench",
        bench,
        "Measure the convolutions beside PyTorch, ONNX Runtime and im2col",
        "All results are compared before anything is timed. The contestants take turns, a block "
        "of calls each. A peer that is not installed is left out. The whole list takes minutes.",
    )
    benchmark.add_options(sub, _count)

    sub = command(
        "explain",
        explain,
        "Say how a convolution would run, and why",
        "What the planner chose for each pass: lanes, tile, tasks, memory. Nothing is computed.",
    )
    sub.add_argument(
        "problem",
        metavar="PROBLEM",
        help="a name of fastconv bench --list, or a problem string as mb4ic64ih56oc64kh3ph1",
    )
    sub.add_argument(
        "--layout", choices=LAYOUTS, default="nchw", help="of the arrays (default: %(default)s)"
    )
    sub.add_argument("--dtype", choices=DTYPES, default="float32", help="default: %(default)s")
    with_threads(sub)
    with_json(sub)

    sub = command(
        "info",
        info,
        "Show what this installation uses",
        "Version, instruction set, OpenMP, threads and why, extras.",
    )
    with_json(sub)
    return parser
