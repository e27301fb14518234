"""What several commands share: options and their types, data, files, the line of JSON."""

import argparse
import json
import math
import os
from pathlib import Path

from fastconv import nn
from fastconv.data import DataLoader, load_folder, mnist
from fastconv.train import BATCH_SIZE, evaluate

DONE = 0


# ----------------------------------------------------------------------------------- options


def number(kind, holds, rule):
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


count = number(int, lambda n: n >= 1, "a whole number of at least 1")


def with_model(parser):
    parser.add_argument("model", metavar="MODEL", help="a file of fastconv train --out")


def with_data(parser):
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the same two "
        "with t10k, plain or .gz; or CIFAR-10's binary version, as a folder or .tar.gz; or an "
        ".npz file with x_train, y_train, x_test and y_test; or a folder with a folder of "
        "images for each class, or with two such, train and test (default: the bundled MNIST)",
    )


def with_threads(parser):
    parser.add_argument(
        "--num-threads",
        type=count,
        metavar="N",
        help="threads of the kernels; the results are the same for any number (default: "
        "OMP_NUM_THREADS, else the processors that this process may use)",
    )


def with_json(parser):
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line"
    )


# -------------------------------------------------------------------------------------- work


def load_data(path):
    """The Dataset of --data."""
    return mnist() if path is None else load_folder(path)


def test_scores(classifier, data):
    """{"test_loss": ..., "test_accuracy": ...}."""
    batches = DataLoader(data.x_test, data.y_test, BATCH_SIZE, seed=0, transform=classifier.prepare)
    scores = evaluate(classifier.model, batches, loss=nn.CrossEntropyLoss())
    return {f"test_{name}": value for name, value in scores.items()}


def check_writable(option, path):
    """Refuses before minutes of work what would fail after them."""
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{option} {path}: must name a file in a folder that exists")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{option} {path}: the folder cannot be written")


def print_json(**values):
    # A number that JSON lacks (NaN, infinity) becomes null.
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
    print(json.dumps(finite, allow_nan=False), flush=True)


def size(image_shape):
    """An image's size in words."""
    channels, height, width = image_shape
    return f"{height} x {width} with {channels} channel{'s' * (channels > 1)}"
