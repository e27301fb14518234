"""Balls found among bars in noisy volumes by a small 3-D U-Net with skip connections.

The data are made here: volumes of 24 x 24 x 24 with balls and bars of one brightness, under noise,
so that only the shape tells them apart.  The figure is the Dice score, 2 |A and B| / (|A| + |B|),
of the balls in volumes never seen; a threshold on the brightness, the best one, is the comparison.

O. Ronneberger et al. 2015, "U-Net"; O. Cicek et al. 2016, "3D U-Net", with fewer channels.
"""

import argparse
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import nn, optim
from fastconv.data import DataLoader

SIZE = 24
NOISE = 0.5  # standard deviation; bodies are 1, the ground 0


def make_volumes(count: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Volumes (count, 1, SIZE, SIZE, SIZE) and where balls are in them, both float32."""
    shape = (count, 1, SIZE, SIZE, SIZE)
    bodies, balls = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    z, y, x = np.ogrid[:SIZE, :SIZE, :SIZE]
    for body, ball in zip(bodies[:, 0], balls[:, 0], strict=True):
        for _ in range(3):
            low = rng.integers(0, SIZE - 4, 3)
            size = rng.permutation([3, 4, SIZE])
            body[tuple(slice(a, a + b) for a, b in zip(low, size, strict=True))] = 1
        for _ in range(3):
            cz, cy, cx = rng.uniform(4, SIZE - 4, 3)
            ball[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(2.5, 4.5) ** 2] = 1
    volumes = np.maximum(bodies, balls)
    volumes += NOISE * rng.standard_normal(shape, dtype=np.float32)
    return volumes, balls


def block(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv3d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(outputs), nn.ReLU())


def unet(channels: tuple[int, ...] = (8, 16, 32)) -> nn.Module:
    """Logits of the size of the input; each level halves it, and hands its features across."""
    inner: list[nn.Module] = []
    for outer, deeper in reversed(list(itertools.pairwise(channels))):
        up = nn.ConvTranspose3d(deeper, outer, kernel_size=2, stride=2)
        below = nn.Sequential(nn.MaxPool3d(2), block(outer, deeper), *inner, up)
        skip = nn.Concat(nn.Identity(), below)
        inner = [nn.Sequential(skip, block(2 * outer, outer))]
    return nn.Sequential(block(1, channels[0]), *inner, nn.Conv3d(channels[0], 1, kernel_size=1))


def dice(found: NDArray[Any], true: NDArray[Any]) -> float:
    return float(2 * np.sum(found & true) / (np.sum(found) + np.sum(true)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--volumes", type=int, default=200, help="training volumes to make")
    args = parser.parse_args()

    fastconv.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train, (test, true) = make_volumes(args.volumes, rng), make_volumes(40, rng)
    batches = DataLoader(*train, batch_size=4, shuffle=True)
    model = unet()
    adam = optim.Adam(model.parameters(), lr=0.01)
    steps = args.epochs * len(batches)
    cycle = optim.lr_scheduler.OneCycleLR(adam, 0.01, total_steps=steps)
    loss = nn.BCEWithLogitsLoss()
    options = {"optimizer": adam, "lr_scheduler": cycle, "epochs": args.epochs}
    fastconv.fit(model, batches, loss=loss, **options)

    true = true > 0.5
    by_brightness = max(dice(test > level, true) for level in np.linspace(0, 2, 21))
    found = fastconv.predict(model, test, batch_size=4) > 0  # the logit of probability 0.5
    print(f"Dice score: best threshold {by_brightness:.3f}, U-Net {dice(found, true):.3f}")


if __name__ == "__main__":
    main()
