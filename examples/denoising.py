"""A denoising autoencoder: convolutions of stride 2 down, transposed convolutions up again.

Every epoch sees the digits of MNIST under new noise.  The figure is the peak signal-to-noise ratio
on the test images, beside that of the noisy images themselves.

    python examples/denoising.py --out denoised.png      clean, noisy and denoised digits

P. Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders".
"""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import nn, optim
from fastconv.data import DataLoader, mnist, normalize
from fastconv.images import save_image

NOISE = 0.5  # standard deviation; a pixel lies between 0 and 1


def add_noise(images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    return np.asarray(np.clip(images + np.float32(NOISE) * noise, 0, 1))


def autoencoder() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=4, stride=2, padding=1),  # 28 x 28 to 14 x 14
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=4, stride=2, padding=1),  # to 7 x 7
        nn.ReLU(),
        nn.Conv2d(32, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 16, kernel_size=4, stride=2, padding=1),  # to 14 x 14
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, kernel_size=4, stride=2, padding=1),  # to 28 x 28
    )


def psnr(images: NDArray[Any], clean: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB, the peak being 1."""
    return float(-10 * np.log10(np.mean(np.square(images - clean))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=60000, help="training images to use")
    parser.add_argument("--out", metavar="PNG", help="draw some of the test images")
    args = parser.parse_args()

    fastconv.manual_seed(args.seed)
    data = mnist()
    clean = normalize(data.x_train[: args.images])
    batches = DataLoader(clean, clean, 64, shuffle=True, transform=add_noise)
    model = autoencoder()
    steps = args.epochs * len(batches)
    adam = optim.Adam(model.parameters(), lr=0.003)
    cycle = optim.lr_scheduler.OneCycleLR(adam, 0.003, total_steps=steps)
    fastconv.fit(
        model, batches, loss=nn.MSELoss(), optimizer=adam, epochs=args.epochs, lr_scheduler=cycle
    )

    clean = normalize(data.x_test)
    noisy = add_noise(clean, np.random.default_rng(args.seed))
    denoised = fastconv.predict(model, noisy)
    print(f"PSNR: noisy {psnr(noisy, clean):.2f} dB, denoised {psnr(denoised, clean):.2f} dB")
    if args.out:
        save_image(np.concatenate([clean[:16], noisy[:16], denoised[:16]]), args.out, nrow=16)


if __name__ == "__main__":
    main()
