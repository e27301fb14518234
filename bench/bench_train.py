"""Training beside PyTorch: images per second and peak memory on the same networks.

    python bench/bench_train.py [--networks NAMES] [--algorithm auto] [--threads N]
        [--rounds N] [--json FILE]

Both sides have the same network, data, order, loss and optimizer, from the same weights; all data
are in memory; each runs in NCHW and in channels-last order.  The losses of the first steps are
compared before anything is timed: they agree to rounding until that decides on a ReLU or a pool,
and may part by a hundredth after.  Then the contestants take turns, a block of steps each.  Memory
is the growth of a process's peak from before its first step, in a process for each (Linux).
A ratio above 1 means that fastconv is faster, and for memory that it takes more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import fastconv
from fastconv import nn, optim
from fastconv._algorithm import ALGORITHMS
from fastconv.data import mnist, normalize
from fastconv.recipes import RECIPES

STEPS = 50  # compared before anything is timed
FAST = RECIPES["fast"]
BLOCK = 0.5  # seconds of training in one turn
SLEEP = 0.1  # until the threads of the other library have stopped spinning


# ------------------------------------------------------------------------------------ networks


def keras_convnet():
    """Keras' MNIST convnet, without its dropout: that draws numbers of its own on each side."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 10),
    )  # fmt: skip


def pytorch_example():
    """The network of PyTorch's MNIST example, without its dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def lenet():
    """LeNet-5 with ReLU and max-pools."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def main_job():
    """The network of `fastconv train`."""
    return FAST.model((1, 28, 28), 10)


def resnet():
    """Three residual blocks of 16, 32 and 64 channels on 3 x 32 x 32, after He et al. 2016."""

    def block(in_channels, out_channels, stride):
        body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels), nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )  # fmt: skip
        if stride == 1:
            return nn.Residual(body)
        projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        return nn.Residual(body, nn.Sequential(projection, nn.BatchNorm2d(out_channels)))

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        block(16, 16, 1), nn.ReLU(), block(16, 32, 2), nn.ReLU(), block(32, 64, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def generator():
    """A DCGAN generator of 3 x 32 x 32 images (Radford et al. 2016), trained towards images."""
    layers = []
    for in_channels, out_channels, options in (
        (100, 256, {}), (256, 128, {"stride": 2, "padding": 1}),
        (128, 64, {"stride": 2, "padding": 1}),
    ):  # fmt: skip
        convolution = nn.ConvTranspose2d(in_channels, out_channels, 4, bias=False, **options)
        layers += [convolution, nn.BatchNorm2d(out_channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, stride=2, padding=1), nn.Tanh())


# name -> (network, batch, shape of an image; None: the digits of MNIST)
NETWORKS = {
    "keras": (keras_convnet, 128, None),
    "pytorch": (pytorch_example, 64, None),
    "lenet": (lenet, 128, None),
    "main": (main_job, FAST.batch_size, None),
    "resnet": (resnet, 128, (3, 32, 32)),
    "generator": (generator, 64, (100, 1, 1)),
}


def batches_of(name):
    """Batches (x, y) that are walked over and over again."""
    _, batch, shape = NETWORKS[name]
    if shape is None:
        data = mnist()
        x = normalize(data.x_train[: 64 * batch], 0.1307, 0.3081)
        y = data.y_train[: 64 * batch].astype(np.int64)
    else:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((16 * batch, *shape), np.float32)
        y = rng.integers(0, 10, len(x))
        if name == "generator":
            y = rng.uniform(-1, 1, (len(x), 3, 32, 32)).astype(np.float32)
    return [(x[i : i + batch], y[i : i + batch]) for i in range(0, len(x), batch)]


# --------------------------------------------------------------------------------- contestants


def ours(model, regression, channels_last):
    loss = nn.MSELoss() if regression else nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), 1e-3)

    def step(x, y):
        if channels_last:
            x = fastconv.channels_last(x)
        optimizer.zero_grad()
        value = loss(model(x), y)
        model.backward(loss.backward(), needs_input_grad=False)
        optimizer.step()
        return float(value)

    return step


def in_torch(model, memory_format):
    """The same network in PyTorch, layer by layer, with our weights."""
    import torch

    class Residual(torch.nn.Module):
        def __init__(self, body, shortcut):
            super().__init__()
            self.body, self.shortcut = body, shortcut

        def forward(self, x):
            return self.body(x) + (x if self.shortcut is None else self.shortcut(x))

    def translated(layer):
        if isinstance(layer, nn.Sequential):
            return torch.nn.Sequential(*map(translated, layer))
        if isinstance(layer, nn.Residual):
            shortcut = layer.shortcut
            return Residual(translated(layer.body), shortcut and translated(shortcut))
        args, kwargs = layer._arguments
        return getattr(torch.nn, type(layer).__name__)(*args, **kwargs)

    net = translated(model)
    state = {key: torch.from_numpy(array.copy()) for key, array in model.state_dict().items()}
    net.load_state_dict(state, strict=False)  # theirs also counts the batches of a BatchNorm
    return net.to(memory_format=memory_format)


def theirs(model, regression, channels_last):
    import torch

    memory = torch.channels_last if channels_last else torch.contiguous_format
    net = in_torch(model, memory)
    loss = torch.nn.MSELoss() if regression else torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def step(x, y):
        x = torch.from_numpy(x).contiguous(memory_format=memory)
        optimizer.zero_grad()
        value = loss(net(x), torch.from_numpy(y))
        value.backward()
        optimizer.step()
        return value.item()

    return step


OURS = ("fastconv, NCHW", "fastconv, channels-last")
THEIRS = ("torch, NCHW", "torch, channels-last")
CONTESTANTS = OURS + THEIRS


def contestant(which, name, threads):
    """A function step(x, y) -> loss; every contestant starts from the same weights."""
    fastconv.manual_seed(0)
    model = NETWORKS[name][0]()
    fastconv.set_num_threads(threads)
    channels_last = which.endswith("channels-last")
    if which in OURS:
        return ours(model, name == "generator", channels_last)
    import torch

    torch.set_num_threads(threads)
    return theirs(model, name == "generator", channels_last)


# --------------------------------------------------------------------------------- measurements


def run_steps(step, batches, count):
    return [step(*batches[i % len(batches)]) for i in range(count)]


def throughput(name, threads, rounds):
    """Images per second of each contestant, and how far their losses lie apart."""
    batches = batches_of(name)
    batch = len(batches[0][0])
    steps = {which: contestant(which, name, threads) for which in CONTESTANTS}
    losses = {which: run_steps(step, batches, STEPS) for which, step in steps.items()}
    apart = max(
        abs(a - b) / max(1.0, abs(b))
        for which in CONTESTANTS[1:]
        for a, b in zip(losses[CONTESTANTS[0]], losses[which], strict=True)
    )
    rates = {which: [] for which in CONTESTANTS}
    for _ in range(rounds):
        for which, step in steps.items():
            time.sleep(SLEEP)
            run_steps(step, batches, 3)
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < BLOCK:
                run_steps(step, batches, 4)
                count += 4
            rates[which].append(count * batch / (time.perf_counter() - start))
    return rates, apart


def peak_growth(which, name, threads):
    """Bytes by which the peak of this process grows in ten steps after the first import."""
    batches = batches_of(name)
    step = contestant(which, name, threads)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _status("VmRSS")
    run_steps(step, batches, 10)
    return _status("VmHWM") - before


def _status(name):
    """A figure of this process, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def memory(name, threads):
    """The same of each contestant, measured in a process of its own."""
    code = (
        "import sys, bench_train; which, name, threads = sys.argv[1:]; "
        "print(bench_train.peak_growth(which, name, int(threads)))"
    )
    return {
        which: int(
            subprocess.run(
                [sys.executable, "-c", code, which, name, str(threads)],
                cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
            ).stdout
        )
        for which in CONTESTANTS
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", default=",".join(NETWORKS), help="default: %(default)s")
    parser.add_argument("--algorithm", choices=ALGORITHMS, help="of ours (default: direct)")
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    if options.algorithm:
        fastconv.set_algorithm(options.algorithm)
        os.environ["FASTCONV_ALGORITHM"] = options.algorithm  # of the processes, too
    print(f"algorithm {fastconv.get_algorithm()}")
    print(f"{options.threads} threads; images/s, median of {options.rounds} blocks, in NCHW and in")
    print("channels-last order; ratios of the better order of each; MB that training adds")
    print(f"{'network':<10} {'fastconv':>15} {'torch':>15} {'ratio':>6}  {'MB':>5} {'torch':>5} "
          f"{'ratio':>6}  losses apart")  # fmt: skip
    found = {}
    for name in options.networks.split(","):
        rates, apart = throughput(name, options.threads, options.rounds)
        peaks = memory(name, options.threads)
        middle = {which: statistics.median(each) for which, each in rates.items()}
        best = {side: max(side, key=middle.get) for side in (OURS, THEIRS)}
        ratio = middle[best[OURS]] / middle[best[THEIRS]]
        megabytes = [peaks[best[side]] / 1e6 for side in (OURS, THEIRS)]
        print(
            f"{name:<10} {middle[OURS[0]]:7.0f} {middle[OURS[1]]:7.0f} "
            f"{middle[THEIRS[0]]:7.0f} {middle[THEIRS[1]]:7.0f} {ratio:6.2f}  "
            f"{megabytes[0]:5.0f} {megabytes[1]:5.0f} {megabytes[0] / megabytes[1]:6.2f}  "
            f"{apart:.1e}",
            flush=True,
        )
        found[name] = {"rates": rates, "peak_growth": peaks, "losses_apart": apart}
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
