"""Layers that are no convolutions, and losses, beside PyTorch: forward, and forward with backward.

    python bench/bench_layers.py [--layers NAMES] [--threads N] [--rounds N] [--json FILE]

Both sides have the same arrays, in NCHW and, where the input is images, in channels-last order.
Results are compared before anything is timed.  Then the two take turns, a block of calls each
(race.py); times are of the best block, and a ratio above 1 means that fastconv is faster.
"""

import argparse
import json
import math
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch

import fastconv
from fastconv import nn
from fastconv.bench.race import race

ORDERS = ("NCHW", "channels last")  # what has no images is in the first one
IMAGES = (32, 64, 32, 32)
ROWS = (4096, 256)

# (class, arguments, options, shape of the input)
LAYERS = [
    ("ReLU", (), {}, IMAGES),
    ("LeakyReLU", (), {}, IMAGES),
    ("Sigmoid", (), {}, IMAGES),
    ("Tanh", (), {}, IMAGES),
    ("SiLU", (), {}, IMAGES),
    ("GELU", (), {}, IMAGES),
    ("GELU", (), {"approximate": "tanh"}, IMAGES),
    ("Softplus", (), {}, IMAGES),
    ("Softmax", (1,), {}, IMAGES),
    ("Softmax", (-1,), {}, ROWS),
    ("LogSoftmax", (1,), {}, IMAGES),
    ("Dropout", (0.3,), {}, IMAGES),
    ("Dropout2d", (0.3,), {}, IMAGES),
    ("BatchNorm2d", (64,), {}, IMAGES),
    ("GroupNorm", (8, 64), {}, IMAGES),
    ("LayerNorm", ((64, 32, 32),), {}, IMAGES),
    ("LayerNorm", (256,), {}, ROWS),
    ("MaxPool2d", (2,), {}, IMAGES),
    ("MaxPool2d", (3, 2, 1), {}, IMAGES),
    ("AvgPool2d", (2,), {}, IMAGES),
    ("AvgPool2d", (3, 2, 1), {}, IMAGES),
    ("AdaptiveAvgPool2d", (1,), {}, IMAGES),
    ("AdaptiveAvgPool2d", (7,), {}, IMAGES),
    ("PixelShuffle", (2,), {}, IMAGES),
    ("PixelUnshuffle", (2,), {}, IMAGES),
    ("Upsample", (), {"scale_factor": 2}, IMAGES),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, IMAGES),
    ("Linear", (256, 512), {}, (512, 256)),
]

# (class, shape of the input, how its target is drawn)
LOSSES = [
    ("CrossEntropyLoss", (256, 10), "classes"),
    ("CrossEntropyLoss", (8, 21, 64, 64), "classes"),
    ("MSELoss", IMAGES, "numbers"),
    ("BCEWithLogitsLoss", IMAGES, "shares"),
]


def contestants(name, args, options, shape, channels_last):
    """{side: (forward, forward with backward)}, each a function that returns NumPy arrays."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    if channels_last:
        x = fastconv.channels_last(x)
    layer, other = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    state = {key: torch.from_numpy(array.copy()) for key, array in layer.state_dict().items()}
    other.load_state_dict(state, strict=False)
    grad = np.empty_like(layer(x))
    grad[...] = rng.standard_normal(grad.shape)
    tensor, their_grad = torch.from_numpy(x).requires_grad_(True), torch.from_numpy(grad)

    def forward():
        return (layer(x),)

    def both():
        return layer(x), layer.backward(grad)

    def their_forward():
        return (other(tensor),)

    def their_both():
        tensor.grad = None
        y = other(tensor)
        y.backward(their_grad)
        return y, tensor.grad

    return {"fastconv": (forward, both), "torch": (their_forward, their_both)}


def loss_contestants(name, shape, target):
    """The same of a loss, whose gradient is always wanted."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    if target == "classes":
        y = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    else:
        y = rng.random(shape, np.float32)
    loss, other = getattr(nn, name)(), getattr(torch.nn, name)()
    tensor, their_target = torch.from_numpy(x).requires_grad_(True), torch.from_numpy(y)

    def both():
        return loss(x, y), loss.backward()

    def their_both():
        tensor.grad = None
        value = other(tensor, their_target)
        value.backward()
        return value, tensor.grad

    return {"fastconv": (None, both), "torch": (None, their_both)}


def agree(ours, theirs):
    """Whether the arrays are equal up to the rounding of long sums."""
    for a, b in zip(ours, theirs, strict=True):
        b = b.detach().numpy()
        if not np.allclose(a, b, rtol=1e-4, atol=1e-4 * max(1e-3, np.abs(b).max())):
            return False
    return True


def problems():
    """(layer, order, function that makes its contestants)"""
    for name, args, options, shape in LAYERS:
        words = [*map(str, args), *(f"{key}={value}" for key, value in options.items())]
        label = f"{name}({', '.join(words)}) {'x'.join(map(str, shape))}"
        for order in ORDERS if len(shape) == 4 else ORDERS[:1]:
            last = order == ORDERS[1]
            yield label, order, partial(contestants, name, args, options, shape, last)
    for name, shape, target in LOSSES:
        label = f"{name}() {'x'.join(map(str, shape))}"
        yield label, ORDERS[0], partial(loss_contestants, name, shape, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", help="those with one of these in their names, by commas")
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    fastconv.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    wanted = options.layers.split(",") if options.layers else [""]
    print(
        f"{options.threads} threads, float32; ms of the best block, fastconv and torch, and ratio"
    )
    print(f"{'layer':<48} {'order':<13} {'forward':>26} {'and backward':>26}")
    found, logs = [], []
    for label, order, make in problems():
        if not any(each in label for each in wanted):
            continue
        sides = make()
        # Each side of a dropout draws its own.
        if "Dropout" not in label and not agree(*(both() for _, both in sides.values())):
            print(f"{label}, {order}: results differ", file=sys.stderr)
            return 1
        line, row = f"{label:<48} {order:<13}", {}
        for which, what in enumerate(("forward", "both")):
            calls = {side: each[which] for side, each in sides.items()}
            if None in calls.values():
                line += " " * 27
                continue
            times = {side: best for side, (best, _) in race(calls, options.rounds, 0.1).items()}
            ratio = times["torch"] / times["fastconv"]
            line += f" {times['fastconv'] * 1e3:9.3f} {times['torch'] * 1e3:9.3f} {ratio:6.2f}"
            row[what] = times
            logs.append(math.log(ratio))
        print(line, flush=True)
        found.append({"layer": label, "order": order, **row})
    if logs:
        below = sum(each < 0 for each in logs)
        print(f"geometric mean {math.exp(np.mean(logs)):.2f}, {below} of {len(logs)} below 1")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
