"""`fastconv train`."""

import argparse
import importlib.util
import json
import math
import os
import shlex
import sys
import zlib
from types import SimpleNamespace

import numpy as np

from fastconv import _algorithm, _kernels, _threads, checkpoint, nn, recipes
from fastconv._algorithm import algorithm, get_algorithm
from fastconv._random import manual_seed
from fastconv.callbacks import TerminateOnNaN
from fastconv.checkpoint import Checkpoint
from fastconv.classifier import Classifier
from fastconv.commands import common
from fastconv.data import DataLoader, statistics
from fastconv.serialization import load_metadata
from fastconv.train import fit

DESCRIPTION = (
    "The network adapts to the size of the images and the number of classes. Adam with a one-cycle "
    "learning rate; the same seed gives the same model, to the bit, also when the run was stopped "
    "and resumed. Ctrl-C stops it after the present batch."
)
MISSED = 1
KEY = "fastconv.train"  # in a checkpoint: the options of the run, and what the data were

# These decide the bits of the model, so a resumed run cannot change them,
DECISIVE = {
    "data": None,
    "recipe": "fast",
    "epochs": None,  # these three: the recipe's
    "batch_size": None,
    "lr": None,
    "seed": recipes.SEED,
    "algorithm": None,  # get_algorithm()
}
# and these do not.
DEFAULTS = DECISIVE | {
    "num_threads": None,
    "target_acc": None,
    "out": None,
    "report": None,
    "checkpoint": None,
    "checkpoint_every": 60.0,
    "quiet": False,
    "json": False,
}
PATHS = ("data", "out", "report")  # kept so that they hold in any folder

# What a checkpoint keeps of them, and its types.
KINDS = {
    "data": (str, type(None)),
    "recipe": (str,),
    "epochs": (int,),
    "batch_size": (int,),
    "lr": (float,),
    "seed": (int,),
    "algorithm": (str,),
    "num_threads": (int, type(None)),
    "target_acc": (float, type(None)),
    "out": (str, type(None)),
    "report": (str, type(None)),
    "checkpoint_every": (float,),
    "quiet": (bool,),
    "json": (bool,),
}

_seed = common.number(int, lambda n: n >= 0, "a whole number of at least 0")
_rate = common.number(float, lambda x: 0 < x < math.inf, "a number above 0")
_seconds = common.number(float, lambda x: 0 <= x < math.inf, "a number of seconds, at least 0")
_fraction = common.number(float, lambda x: 0 <= x <= 1, "a fraction from 0 to 1, as 0.99")


def add_options(parser):
    # Only what is given becomes an attribute: the rest comes from a checkpoint, or from DEFAULTS.
    parser.argument_default = argparse.SUPPRESS
    common.with_data(parser)
    parser.add_argument(
        "--recipe", choices=recipes.RECIPES,
        help="the network and how it is trained: fast, 99 %% of the test digits in seconds, or "
        f"best, 99.6 %% in a minute (default: {DEFAULTS['recipe']})",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=common.count, metavar="N",
        help="passes over the training images (default: the recipe's)",
    )  # fmt: skip
    parser.add_argument(
        "--batch-size", type=common.count, metavar="N",
        help="images per step (default: the recipe's)",
    )  # fmt: skip
    parser.add_argument(
        "--lr", type=_rate, metavar="X",
        help="the largest learning rate of the cycle (default: the recipe's)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=_seed, metavar="N",
        help=f"decides initial weights and order of the images (default: {recipes.SEED})",
    )  # fmt: skip
    parser.add_argument(
        "--algorithm", choices=_algorithm.ALGORITHMS,
        help="of the convolutions: direct, winograd (2 or 3 taps for each stride everywhere), or "
        "auto, winograd where that is expected to be faster (default: FASTCONV_ALGORITHM, else "
        "direct)",
    )  # fmt: skip
    common.with_threads(parser)
    parser.add_argument(
        "--target-acc", type=_fraction, metavar="X",
        help="exit with status 1 when the test accuracy is below X, as 0.985",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FILE",
        help="save the model as a safetensors file (needs the extra: fastconv[save])",
    )  # fmt: skip
    parser.add_argument(
        "--report", metavar="DIR",
        help="write learning curves, confusion matrix, mistakes, filters and feature maps as PNG "
        "files and one page, DIR/report.html (needs the extra: fastconv[plot])",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", metavar="FILE",
        help="keep the state of the run in this file, for --resume, whatever ends the process "
        "(needs the extra: fastconv[save])",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint-every", type=_seconds, metavar="SECONDS",
        help="write it after a batch when so much time has passed, 0: after each (default: "
        f"{DEFAULTS['checkpoint_every']:g}), and at a Ctrl-C and the end",
    )  # fmt: skip
    parser.add_argument(
        "--resume", metavar="FILE",
        help="go on with the run whose --checkpoint this is, with its options, to the same bits",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors, and --json")
    common.with_json(parser)


def run(args):
    options = _options(vars(args))
    _check_paths(options)
    keeper = _keeper(options)
    if options.report:
        _report().check_report(options.report)
    try:
        return _train(options, keeper)
    except KeyboardInterrupt as interrupt:
        where = " ".join(map(str, interrupt.args))
        if keeper is not None and (keeper.saved or options.resume):
            hint = f"go on with: fastconv train --resume {shlex.quote(str(keeper.path))}"
        else:
            hint = "nothing was saved; --checkpoint FILE does"
        raise KeyboardInterrupt(*filter(None, [where]), f"- {hint}") from None


def _train(options, keeper):
    data = common.load_data(options.data)
    recipe = recipes.RECIPES[options.recipe]
    with _threads.num_threads(options.num_threads), algorithm(options.algorithm):
        manual_seed(options.seed)
        shape, classes = data.image_shape, data.num_classes
        model = recipe.model(shape, classes)
        classifier = Classifier(model, shape, classes, *statistics(data.x_train), data.class_names)
        # A lone image at the end may have no variance for a batch normalization.
        lone = len(data.x_train) > 1 and len(data.x_train) % options.batch_size == 1
        lone = lone and any(isinstance(each, nn.BatchNorm2d) for each in model.modules())
        batches = DataLoader(
            data.x_train, data.y_train, options.batch_size, shuffle=True, drop_last=lone,
            seed=options.seed,
        )  # fmt: skip
        batches.transform = recipe.transform(classifier.prepare, batches, options.epochs)
        training = recipe.training(model, options.lr, total_steps=options.epochs * len(batches))
        callbacks = [TerminateOnNaN()]
        if options.report:
            curves = _report().LearningCurves(classifier, data, batches, training["loss"])
            callbacks.append(curves)
        if keeper is not None:
            keeper.metadata[KEY] = json.dumps(_about(options, data))
            callbacks.append(keeper)
            if options.resume:
                _check_same(options.resume, keeper.metadata)
        run = fit(
            model, batches, epochs=options.epochs, callbacks=callbacks, resume=options.resume,
            verbose=0 if options.quiet else "auto", **training,
        )  # fmt: skip
        if run.stop_training:
            raise ValueError(
                f"training diverged, try an --lr below {options.lr:g} ({run.stop_reason})"
            )
        scores = common.test_scores(classifier, data)
        page = options.report and _report().write_report(options.report, classifier, data, curves)
        threads = _threads.get_num_threads()
    accuracy = scores["test_accuracy"]
    say = (lambda line: None) if options.quiet else print
    say(f"test accuracy {accuracy:.4f} after {run.seconds:.1f} s of training")
    if options.out:
        classifier.save(options.out)
        say(f"saved {options.out}")
    if options.report:
        say(f"wrote {page}")
    status = common.DONE
    if options.target_acc is not None and accuracy < options.target_acc:
        print(
            f"fastconv train: test accuracy {accuracy:.4f} is below the target "
            f"{options.target_acc:g}",
            file=sys.stderr,
        )
        status = MISSED
    if options.json:
        common.print_json(
            test_accuracy=accuracy,
            train_seconds=run.seconds,
            images_per_second=run.samples / run.seconds,
            epochs=run.epoch,
            num_threads=threads,
            isa=_kernels.isa,
        )
    return status


def _report():
    from fastconv import report  # only where there is one: it costs start-up time

    return report


# ------------------------------------------------------------------------ checkpoint, resume


def _options(given):
    """DEFAULTS, over them those of the run to resume, over these what is `given` now."""
    given = {name: given[name] for name in (*DEFAULTS, "resume") if name in given}
    resume = given.setdefault("resume", None)
    options = dict(DEFAULTS)
    if resume is not None:
        begun = _metadata(resume)["options"]
        for name in DECISIVE.keys() & given.keys():
            if _lasting(name, given[name]) != begun[name]:
                raise ValueError(
                    f"--{name.replace('_', '-')} {given[name]}: the run in {resume} has "
                    f"{'the bundled MNIST' if begun[name] is None else begun[name]}"
                )
        if given.get("report") and not begun["report"]:
            raise ValueError(f"--report: the run in {resume} was begun without it")
        options |= begun | {"checkpoint": resume}
    options = SimpleNamespace(**options | given)
    recipe = recipes.RECIPES[options.recipe]
    for name in ("epochs", "batch_size", "lr"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(recipe, name))
    options.algorithm = options.algorithm or get_algorithm()
    return options


def _lasting(name, value):
    return os.path.abspath(value) if name in PATHS and value is not None else value


def _about(options, data):
    """What --resume needs to know of the run."""
    return {
        "options": {name: _lasting(name, getattr(options, name)) for name in KINDS},
        "data": {
            "images": len(data.x_train),
            "image_shape": list(data.image_shape),
            "num_classes": data.num_classes,
            "crc32": [zlib.crc32(np.ascontiguousarray(each)) for each in data[:2]],
        },
        "isa": _kernels.isa,
    }


def _metadata(path):
    """The `_about` of a checkpoint."""
    text = load_metadata(path).get(KEY)
    try:
        about = json.loads(text or "")
        options, _, _ = about["options"], about["data"], about["isa"]
        known = options.keys() == KINDS.keys() and options["recipe"] in recipes.RECIPES
        if known and all(type(value) in KINDS[name] for name, value in options.items()):
            return about
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise ValueError(f"{path}: not a checkpoint of fastconv train")


def _check_same(path, metadata):
    """Refuses other data, and says when another processor will round in another way."""
    begun, now = _metadata(path), json.loads(metadata[KEY])
    if begun["data"] != now["data"]:
        raise ValueError(f"{path}: the data were {begun['data']} and are {now['data']}")
    if begun["isa"] != now["isa"]:
        print(
            f"fastconv train: begun on {begun['isa']}, goes on on {now['isa']}: the last bits will "
            f"differ from those of one run (FASTCONV_ISA={begun['isa']} keeps them, where it can)",
            file=sys.stderr,
        )


def _check_paths(options):
    """Refuses empty ones, as of an unset variable, and a model in place of its checkpoint."""
    for name in ("out", "checkpoint", "report"):
        if getattr(options, name) == "":
            raise ValueError(f"--{name}: the path is empty")
    for name in ("checkpoint", "resume"):
        path = getattr(options, name)
        if options.out and path and os.path.realpath(options.out) == os.path.realpath(path):
            raise ValueError(f"--out {options.out}: the model would replace the file of --{name}")


def _keeper(options):
    """The Checkpoint of the run.  With only an --out to keep, it is written at a Ctrl-C alone."""
    for option, path in (("--out", options.out), ("--checkpoint", options.checkpoint)):
        if path:
            if importlib.util.find_spec("safetensors") is None:
                raise ImportError(f"{option} needs safetensors: pip install 'fastconv[save]'")
            common.check_writable(option, path)
    if options.checkpoint is None:
        return None if options.out is None else Checkpoint(f"{options.out}.checkpoint", every=None)
    if options.checkpoint != options.resume and os.path.exists(options.checkpoint):
        _check_replaceable(options.checkpoint)
    return Checkpoint(options.checkpoint, options.checkpoint_every)


def _check_replaceable(path):
    """Refuses to write over a run that has not ended, and over what is no checkpoint."""
    epochs = _metadata(path)["options"]["epochs"]
    state = checkpoint.read(path)["run"]
    if state["phase"] or not (state["epoch"] == epochs or state["stop_training"]):
        raise ValueError(
            f"--checkpoint {path}: holds a run that has not ended, in epoch {state['epoch']} of "
            f"{epochs}: go on with --resume {path}, or remove it"
        )
