"""Super-resolution by 2 with sub-pixel convolution, and with transposed convolution.

The digits of MNIST are halved to 14 x 14 and drawn again at 28 x 28.  Two networks differ in their
last layer: a 3x3 convolution to four channels, which PixelShuffle turns into pixels, or a 6x6
transposed convolution of stride 2.  Both have 16 * 36 weights there, need as many multiplications,
and can express the same functions (Shi et al. 2016, "Is the deconvolution layer the same as a
convolutional layer?", arXiv:1609.07009), but start from weights of another size.  The figures are
peak signal-to-noise ratios on the test images, beside that of bilinear interpolation.

    python examples/superresolution.py --out upscaled.png      small, bilinear, both networks, true
"""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import nn, optim
from fastconv.data import DataLoader, mnist, normalize
from fastconv.images import save_image


def network(*last: nn.Module) -> nn.Sequential:
    features = [nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.Conv2d(32, 16, 3, padding=1)]
    return nn.Sequential(*features, nn.ReLU(), *last)


def bilinear(small: NDArray[Any]) -> NDArray[Any]:
    """Itself a transposed convolution: each pixel spreads over 4 x 4, and zeros lie outside."""
    line = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
    return fastconv.conv_transpose2d(small, np.outer(line, line)[None, None], stride=2, padding=1)


def psnr(images: NDArray[Any], true: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB, the peak being 1."""
    return float(-10 * np.log10(np.mean(np.square(np.clip(images, 0, 1) - true))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=60000, help="training images to use")
    parser.add_argument("--out", metavar="PNG", help="draw some of the test images")
    args = parser.parse_args()

    fastconv.manual_seed(args.seed)
    data = mnist()
    true = normalize(data.x_train[: args.images])
    small = fastconv.avg_pool2d(true, 2)
    true_test = normalize(data.x_test)
    small_test = fastconv.avg_pool2d(true_test, 2)
    networks = {
        "PixelShuffle": network(nn.Conv2d(16, 4, 3, padding=1), nn.PixelShuffle(2)),
        "ConvTranspose2d": network(nn.ConvTranspose2d(16, 1, 6, stride=2, padding=2)),
    }
    upscaled = {"bilinear": bilinear(small_test)}
    for name, model in networks.items():
        batches = DataLoader(small, true, batch_size=64, shuffle=True, seed=args.seed)
        adam = optim.Adam(model.parameters(), lr=0.005)
        steps = args.epochs * len(batches)
        cycle = optim.lr_scheduler.OneCycleLR(adam, 0.005, total_steps=steps)
        options = {"optimizer": adam, "lr_scheduler": cycle, "epochs": args.epochs}
        fastconv.fit(model, batches, loss=nn.MSELoss(), **options)
        upscaled[name] = fastconv.predict(model, small_test)

    for name, images in upscaled.items():
        print(f"{name:<16} PSNR {psnr(images, true_test):.2f} dB")
    if args.out:
        pixels = np.kron(small_test, np.ones((2, 2), np.float32))
        rows = [pixels, *upscaled.values(), true_test]
        save_image(np.concatenate([images[:16] for images in rows]), args.out, nrow=16)


if __name__ == "__main__":
    main()
