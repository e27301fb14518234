"""Training throughput of the main job's network beside PyTorch's: images per second.

    python bench/bench_train.py [--threads N] [--steps N] [--rounds N]

The same network, data, order, loss, optimizer and schedule on both sides, from the same weights;
all data in memory.  Losses of the first steps are compared before anything is timed.  The two
take turns, a block of steps each.  A ratio above 1 means that fastconv is faster.
"""

import argparse
import statistics
import time

import numpy as np
import torch

import fastconv
from fastconv import recipes
from fastconv.data import mnist, normalize

BATCH = recipes.BATCH_SIZE


def ours(model, total_steps):
    recipe = recipes.one_cycle(model, recipes.LR, total_steps)
    loss, optimizer, schedule = recipe["loss"], recipe["optimizer"], recipe["lr_scheduler"]

    def step(x, y):
        value = loss(model(x), y)
        model.backward(loss.backward(), needs_input_grad=False)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        return float(value)

    return step


def theirs(model, total_steps, channels_last):
    """The same in PyTorch, layer by layer from our model, with our weights."""
    layers = []
    for layer in model:
        if isinstance(layer, fastconv.nn.Conv2d):
            out_channels, in_channels, *kernel = layer.weight.shape
            layers.append(torch.nn.Conv2d(in_channels, out_channels, kernel))
        elif isinstance(layer, fastconv.nn.Linear):
            layers.append(torch.nn.Linear(*layer.weight.shape[::-1]))
        elif isinstance(layer, fastconv.nn.MaxPool2d):
            layers.append(torch.nn.MaxPool2d(2))
        else:
            layers.append(getattr(torch.nn, type(layer).__name__)())
    net = torch.nn.Sequential(*layers)
    net.load_state_dict(
        {key: torch.from_numpy(array.copy()) for key, array in model.state_dict().items()}
    )
    memory = torch.channels_last if channels_last else torch.contiguous_format
    net = net.to(memory_format=memory)
    lr = recipes.LR
    loss = torch.nn.CrossEntropyLoss(label_smoothing=recipes.LABEL_SMOOTHING)
    optimizer = torch.optim.Adam(net.parameters(), lr, betas=(0.7, 0.9))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=total_steps, cycle_momentum=False
    )

    def step(x, y):
        x = torch.from_numpy(x).contiguous(memory_format=memory)
        optimizer.zero_grad()
        value = loss(net(x), torch.from_numpy(y))
        value.backward()
        optimizer.step()
        schedule.step()
        return value.item()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument("--steps", type=int, default=40, help="of a block")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    fastconv.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)

    data = mnist()
    x_train = normalize(data.x_train, 0.1307, 0.3081)
    y_train = data.y_train.astype(np.int64)
    total = (options.steps + 3) * options.rounds + 10
    fastconv.manual_seed(0)
    model = recipes.small_cnn(data.image_shape, data.num_classes)
    contestants = {
        "torch, NCHW": theirs(model, total, channels_last=False),
        "torch, channels-last": theirs(model, total, channels_last=True),
        "fastconv": ours(model, total),
    }

    def block(step, steps, first):
        losses = []
        for i in range(first, first + steps):
            at = i * BATCH % (len(x_train) - BATCH)
            losses.append(step(x_train[at : at + BATCH], y_train[at : at + BATCH]))
        return losses

    first = {name: block(step, 10, 0) for name, step in contestants.items()}
    for name, losses in first.items():
        np.testing.assert_allclose(losses, first["fastconv"], rtol=2e-3, err_msg=name)
    rates = {name: [] for name in contestants}
    for turn in range(options.rounds):
        for name, step in contestants.items():
            block(step, 3, 10)
            start = time.perf_counter()
            block(step, options.steps, 10 + turn * options.steps)
            rates[name].append(options.steps * BATCH / (time.perf_counter() - start))
    print(f"{options.threads} threads, batch {BATCH}, images/s, median of {options.rounds} blocks")
    for name, each in rates.items():
        print(f"{name:<22} {statistics.median(each):7.0f}   best {max(each):7.0f}")
    best = max(statistics.median(each) for name, each in rates.items() if name != "fastconv")
    print(f"ratio to the better PyTorch {statistics.median(rates['fastconv']) / best:.2f}")


if __name__ == "__main__":
    main()
