"""Accuracy of recipes on 10,000 training images of MNIST held out: how those in use were chosen.

    python bench/choose_recipe.py [NAME ...] [--seeds N]

A candidate is a recipe of fastconv.recipes with some of its fields replaced.  The test images are
not looked at.
"""

import argparse
import statistics
import time
from dataclasses import replace

import fastconv
from fastconv.classifier import Classifier
from fastconv.data import DataLoader, mnist
from fastconv.data import statistics as mean_and_deviation
from fastconv.recipes import RECIPES

HELD_OUT = 10_000

FAST, BEST = RECIPES["fast"], RECIPES["best"]
CANDIDATES = {
    "fast": FAST,
    "fast, batch 192": replace(FAST, batch_size=192),
    "fast, batch 256": replace(FAST, batch_size=256),
    "fast, rate 0.007": replace(FAST, lr=0.007),
    "fast, rate 0.015, batch 256": replace(FAST, lr=0.015, batch_size=256),
    "fast, smoothing 0.05": replace(FAST, label_smoothing=0.05),
    "fast, 24 and 32 channels": replace(FAST, channels=(24, 32), hidden=256, batch_size=256),
    "fast, 32 and 32 channels": replace(FAST, channels=(32, 32), batch_size=256),
    "fast, 16 and 48 channels": replace(FAST, channels=(16, 48), batch_size=256),
    "fast, 16 and 64 channels": replace(FAST, channels=(16, 64), batch_size=256),
    "fast, no hidden layer": replace(FAST, hidden=0),
    "fast, batch normalisation": replace(FAST, batch_norm=True, batch_size=256),
    "best": BEST,
    "best, 7 epochs": replace(BEST, epochs=7),
    "best, 24, 48, 64 channels": replace(BEST, channels=(24, 48, 64)),
    "best, 8 epochs, 128 channels": replace(BEST, channels=(32, 64, 128), epochs=8),
    "best, 48, 64, 64 channels": replace(BEST, channels=(48, 64, 64), epochs=7),
}  # fmt: skip


def run(recipe, data, seed):
    """(accuracy on the images held out, seconds of training)."""
    fastconv.manual_seed(seed)
    train, held_out = slice(None, -HELD_OUT), slice(-HELD_OUT, None)
    model = recipe.model(data.image_shape, data.num_classes)
    prepare = Classifier(
        model, data.image_shape, data.num_classes, *mean_and_deviation(data.x_train[train])
    ).prepare
    batches = DataLoader(
        data.x_train[train], data.y_train[train], recipe.batch_size, shuffle=True, seed=seed
    )
    batches.transform = recipe.transform(prepare, batches, recipe.epochs)
    training = recipe.training(model, recipe.lr, recipe.epochs * len(batches))
    start = time.perf_counter()
    fastconv.fit(model, batches, epochs=recipe.epochs, verbose=0, **training)
    seconds = time.perf_counter() - start
    test = DataLoader(data.x_train[held_out], data.y_train[held_out], 500)
    test.transform = lambda images, rng: prepare(images)
    return fastconv.evaluate(model, test)["accuracy"], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[], help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = mnist()
    for name in options.names or CANDIDATES:
        runs = [run(CANDIDATES[name], data, seed) for seed in range(options.seeds)]
        accuracies = [accuracy for accuracy, _ in runs]
        print(
            f"{name:<28} accuracy {statistics.mean(accuracies):.4f}, least {min(accuracies):.4f}; "
            f"{statistics.median(seconds for _, seconds in runs):.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
