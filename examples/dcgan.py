"""A small DCGAN invents digits, and a classifier trained on real ones judges them.

Generator: transposed convolutions from 64 random numbers to 28 x 28.  Discriminator: convolutions
of stride 2 back to one logit.  They take turns: one step each on every batch of MNIST.

The figure is the inception score exp(mean KL(p(y|x) || p(y))) of Salimans et al. 2016 ("Improved
techniques for training GANs", section 4) with that classifier in the part of the Inception network:
1 for noise of one kind, 10 if every image is surely a digit and all ten are equally frequent.
Beside it, the scores of real test images and of the generator before training.

    python examples/dcgan.py --out digits.png      100 invented digits

A. Radford et al. 2016, "Unsupervised representation learning with deep convolutional generative
adversarial networks", with fewer channels.
"""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import nn, optim
from fastconv.data import DataLoader, mnist, normalize
from fastconv.images import save_image

LATENT = 64


def generator() -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(LATENT, 64, kernel_size=7, bias=False),  # 1 x 1 to 7 x 7
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1, bias=False),  # to 14 x 14
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, kernel_size=4, stride=2, padding=1),  # to 28 x 28
        nn.Tanh(),
    )


def discriminator() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 1),
    )


def random_input(count: int, rng: np.random.Generator) -> NDArray[Any]:
    return rng.standard_normal((count, LATENT, 1, 1), dtype=np.float32)


def train(
    generate: nn.Module,
    judge: nn.Module,
    batches: DataLoader,
    epochs: int,
    rng: np.random.Generator,
) -> None:
    for module in (*generate.modules(), *judge.modules()):  # as in the paper
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02, rng=rng)
    loss = nn.BCEWithLogitsLoss()
    adam_g = optim.Adam(generate.parameters(), lr=1e-3, betas=(0.5, 0.999))
    adam_d = optim.Adam(judge.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for epoch in range(1, epochs + 1):
        sums = np.zeros(2)
        for real, _ in batches:
            ones = np.ones((len(real), 1), np.float32)
            fake = generate(random_input(len(real), rng))
            # The discriminator: real is 1, invented 0.
            adam_d.zero_grad()
            loss_d = 0
            for images, truth in ((real, ones), (fake, 0 * ones)):
                loss_d += loss(judge(images), truth)
                judge.backward(loss.backward(), needs_input_grad=False)
            adam_d.step()
            # The generator: what it invents should pass for 1.
            adam_g.zero_grad()
            loss_g = loss(judge(fake), ones)
            generate.backward(judge.backward(loss.backward()), needs_input_grad=False)
            adam_g.step()
            sums += loss_d, loss_g
        means = sums / len(batches)
        print(f"epoch {epoch}/{epochs}  discriminator {means[0]:.3f}  generator {means[1]:.3f}")


def train_classifier(images: NDArray[Any], labels: NDArray[Any]) -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(1, 24, kernel_size=5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(24, 32, kernel_size=3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 5 * 5, 10),
    )  # fmt: skip
    adam = optim.Adam(model.parameters(), lr=0.002)
    data = images, labels
    fastconv.fit(model, data, loss=nn.CrossEntropyLoss(), optimizer=adam, epochs=1, verbose=0)
    return model


def inception_score(classifier: nn.Module, images: NDArray[Any]) -> float:
    p = fastconv.softmax(fastconv.predict(classifier, images).astype(np.float64), axis=1)
    return float(np.exp(np.mean(np.sum(p * (np.log(p) - np.log(p.mean(axis=0))), axis=1))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, default=60000, help="training images to use")
    parser.add_argument("--out", metavar="PNG", help="draw some of the invented digits")
    args = parser.parse_args()

    fastconv.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    data = mnist()
    real = normalize(data.x_train[: args.images], 0.5, 0.5)  # -1 to 1, as Tanh gives it
    classifier = train_classifier(real, data.y_train[: args.images])
    generate, judge = generator(), discriminator()
    z = random_input(2000, rng)
    before = fastconv.predict(generate, z)
    batches = DataLoader(real, real, batch_size=64, shuffle=True, drop_last=True)
    train(generate, judge, batches, args.epochs, rng)

    invented = fastconv.predict(generate, z)
    scored = {"untrained": before, "invented": invented, "real": normalize(data.x_test, 0.5, 0.5)}
    text = ", ".join(f"{k} {inception_score(classifier, v):.2f}" for k, v in scored.items())
    print(f"inception score: {text}")
    if args.out:
        save_image((invented[:100] + 1) / 2, args.out, nrow=10)


if __name__ == "__main__":
    main()
