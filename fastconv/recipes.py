"""The default recipe: a small CNN for images of any size, and how it is trained.

For MNIST, 28 x 28 with one channel, this is the network and the schedule of
https://github.com/tuomaso/train_mnist_fast.  Label smoothing comes on top: on 10,000 training
images held out it raised the accuracy after one epoch from 98.7 to 99.1 %, three seeds each.
"""

from fastconv import nn, optim

# What the command line can change.
EPOCHS = 1
BATCH_SIZE = 256
LR = 0.01
SEED = 0

CHANNELS = (24, 32)  # of the first block and of all later ones
KERNELS = (5, 3)
HIDDEN = 256
SMALL = 7  # blocks follow until no side of the image is longer
LABEL_SMOOTHING = 0.1


def small_cnn(image_shape, num_classes):
    """Blocks of convolution, max-pool and ReLU until the image is small, then two linear layers.

    image_shape: (channels, height, width), any size from 1 x 1; kernels and pools never exceed it.
    """
    channels, *space = image_shape
    layers = []
    while not layers or max(space) > SMALL:
        first = not layers
        width, kernel = CHANNELS[not first], KERNELS[not first]
        kernel_size = tuple(min(kernel, size) for size in space)
        layers.append(nn.Conv2d(channels, width, kernel_size))
        space = [size - k + 1 for size, k in zip(space, kernel_size, strict=True)]
        pool = tuple(min(2, size) for size in space)
        layers += [nn.MaxPool2d(pool), nn.ReLU()]
        space = [size // p for size, p in zip(space, pool, strict=True)]
        channels = width
    features = channels * space[0] * space[1]
    layers += [nn.Flatten(), nn.Linear(features, HIDDEN), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN, num_classes))


def one_cycle(model, lr, total_steps):
    """What `fit` needs: loss, Adam, and its rate up to `lr` and down again in `total_steps`."""
    optimizer = optim.Adam(model.parameters(), lr, betas=(0.7, 0.9))
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=total_steps, cycle_momentum=False
    )
    loss = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    return {"loss": loss, "optimizer": optimizer, "lr_scheduler": schedule}
