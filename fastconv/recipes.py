"""The recipes of `fastconv train`: a CNN for images of any size, and how it is trained.

They were chosen on 10,000 training images of MNIST held out (bench/choose_recipe.py), never on the
test images.  FAST goes back to https://github.com/tuomaso/train_mnist_fast.
"""

from dataclasses import dataclass

from fastconv import nn, optim
from fastconv.data import random_affine

SEED = 0
SMALL = 7  # pools follow the convolutions, and more convolutions, until no side is longer


@dataclass(frozen=True)
class Recipe:
    """Convolutions with ReLU, one or two linear layers, and Adam with a one-cycle learning rate.

    channels, kernels: of the convolutions in turn; batch_norm: behind each of them.
    hidden: units of the first linear layer, 0 for none; dropout: before the last one.
    affine: arguments of `random_affine` for the images of all epochs but the last, or None.
    """

    epochs: int
    batch_size: int
    lr: float
    channels: tuple
    kernels: tuple
    hidden: int = 0
    batch_norm: bool = False
    dropout: float = 0.0
    betas: tuple = (0.9, 0.99)
    label_smoothing: float = 0.1
    affine: dict | None = None

    def model(self, image_shape, num_classes):
        """The network for images (channels, height, width), any size from 1 x 1."""
        channels, *space = image_shape
        widths, kernels = list(self.channels), list(self.kernels)
        layers = []
        while widths or max(space) > SMALL:
            width = widths.pop(0) if widths else self.channels[-1]
            kernel = kernels.pop(0) if kernels else self.kernels[-1]
            # Neither kernel nor pool is larger than what it slides over.
            kernel_size = tuple(min(kernel, size) for size in space)
            layers.append(nn.Conv2d(channels, width, kernel_size, bias=not self.batch_norm))
            space = [size - k + 1 for size, k in zip(space, kernel_size, strict=True)]
            if max(space) > SMALL:
                pool = tuple(min(2, size) for size in space)
                layers.append(nn.MaxPool2d(pool))
                space = [size // p for size, p in zip(space, pool, strict=True)]
            # Behind the pool they have a quarter of the work.
            layers += [nn.BatchNorm2d(width)] * self.batch_norm + [nn.ReLU()]
            channels = width
        features = channels * space[0] * space[1]
        layers.append(nn.Flatten())
        if self.hidden:
            layers += [nn.Linear(features, self.hidden), nn.ReLU()]
        if self.dropout:
            layers.append(nn.Dropout(self.dropout))
        return nn.Sequential(*layers, nn.Linear(self.hidden or features, num_classes))

    def training(self, model, lr, total_steps):
        """What `fit` needs: loss, Adam, and its rate up to `lr` and down again in `total_steps`."""
        optimizer = optim.Adam(model.parameters(), lr, betas=self.betas)
        schedule = optim.lr_scheduler.OneCycleLR(
            optimizer, lr, total_steps=total_steps, cycle_momentum=False
        )
        loss = nn.CrossEntropyLoss(label_smoothing=self.label_smoothing)
        return {"loss": loss, "optimizer": optimizer, "lr_scheduler": schedule}

    def transform(self, prepare, loader, epochs):
        """`prepare` for the batches of a DataLoader, behind random changes of the images."""
        if self.affine is None:
            return prepare

        def changed(images, rng):
            if loader.state_dict()["epoch"] < epochs - 1:
                images = random_affine(images, rng=rng, **self.affine)
            return prepare(images)

        return changed


RECIPES = {
    "fast": Recipe(
        epochs=1, batch_size=128, lr=0.01, channels=(16, 32), kernels=(5, 3), hidden=128,
        betas=(0.7, 0.9),
    ),
    "best": Recipe(
        epochs=9, batch_size=256, lr=0.008, channels=(32, 64, 64), kernels=(5, 3, 3),
        batch_norm=True, dropout=0.3, label_smoothing=0.05,
        affine={"degrees": 12, "translate": (2 / 28, 2 / 28), "scale": (0.9, 1.1)},
    ),
}  # fmt: skip
