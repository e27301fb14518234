"""Whether training by winograd ends where training by direct sums does.

    python bench/bench_winograd.py [--seeds N] [--images N]

The MNIST networks and the small ResNet of bench_train.py, with Adam, over the digits once (for the
ResNet they are padded to 32 x 32 and repeated as three channels).  For each algorithm: mean test
accuracy over the seeds, and its standard deviation; an algorithm is at fault when the means lie
further apart than the deviations.  "auto" takes winograd where it is expected to be faster.
"""

import argparse
import statistics

import bench_train
import numpy as np

import fastconv
from fastconv import nn, optim
from fastconv.data import DataLoader, mnist, normalize

NETWORKS = ("keras", "pytorch", "main", "resnet")


def digits(name):
    """((x, y) for training, (x, y) for the test) as the network takes them."""
    data = mnist()
    sides = []
    for x, y in (data.x_train, data.y_train), (data.x_test, data.y_test):
        x = normalize(x, 0.1307, 0.3081)
        if name == "resnet":
            x = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))).repeat(3, 1)
        sides.append((fastconv.channels_last(x), y.astype(np.int64)))
    return sides


def accuracy(name, algorithm, seed, train, test):
    fastconv.manual_seed(seed)
    model = bench_train.NETWORKS[name][0]()
    batches = DataLoader(*train, bench_train.NETWORKS[name][1], shuffle=True, seed=seed)
    with fastconv.algorithm(algorithm):
        fastconv.fit(
            model, batches, loss=nn.CrossEntropyLoss(), optimizer=optim.Adam(model.parameters()),
            epochs=1, verbose=0,
        )  # fmt: skip
        predicted = fastconv.predict(model, test[0]).argmax(1)
    return float((predicted == test[1]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--images", type=int, default=60000, help="default: %(default)s")
    options = parser.parse_args()
    for name in NETWORKS:
        train, test = digits(name)
        train = [each[: options.images] for each in train]
        for algorithm in "direct", "auto":
            found = [
                100 * accuracy(name, algorithm, seed, train, test) for seed in range(options.seeds)
            ]
            print(
                f"{name:<8} {algorithm:<7} {statistics.mean(found):.2f} % "
                f"+- {statistics.stdev(found):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
