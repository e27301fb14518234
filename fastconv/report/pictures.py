"""The pictures of a report: each function returns (figure or None, caption)."""

import math

import numpy as np

from fastconv import nn
from fastconv.data import normalize
from fastconv.images import make_grid

MOST_CLASSES = 25  # in the confusion matrix
MOST_MISTAKES = 32
MOST_MAPS = 32  # of one block, and slices of filters twice as many
BLOCKS = 3

# Okabe & Ito, "Color universal design": told apart by colour-blind eyes, too.
TRAINING, VALIDATION, QUIET = "#0072B2", "#D55E00", "#666666"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    "savefig.dpi": 160,
}


def draw_curves(curves):
    """Loss, accuracy and learning rate by training step."""
    figure = _figure(10, 3.3)
    panels = figure.subplots(1, 3)
    training, validation = curves.training, curves.validation
    steps = np.array(training["step"])
    window = max(len(steps) // 40, 1)
    some = f"{curves.validation_images:,} test images"
    for panel, name in zip(panels, ("loss", "accuracy"), strict=False):
        scale = 100 if name == "accuracy" else 1
        each = scale * np.array(training[name])
        panel.plot(steps, each, color=TRAINING, alpha=0.25, linewidth=0.7)
        smooth = np.convolve(each, np.ones(window) / window, mode="valid")
        label = "training batches" + (f", mean of {window}" if window > 1 else "")
        panel.plot(steps[window - 1 :], smooth, color=TRAINING, linewidth=1.6, label=label)
        panel.plot(
            validation["step"], scale * np.array(validation[name]), color=VALIDATION,
            linewidth=1.2, marker="o", markersize=3, clip_on=False, zorder=3, label=some,
        )  # fmt: skip
        if name == "loss":
            panel.set_ylim(bottom=0)
        else:
            # From where the test scores begin: the first batches would flatten all the rest.
            panel.set_ylim(max(100 * min(validation[name]) - 5, 0), 100)
            panel.yaxis.set_major_formatter(_percent)
        panel.legend(loc="upper right" if name == "loss" else "lower right", fontsize=8)
    panels[2].plot(steps, training["lr"], color=QUIET, linewidth=1.6)
    panels[2].set_ylim(bottom=0)
    for panel, title in zip(panels, ("Loss", "Accuracy", "Learning rate"), strict=True):
        panel.set_title(title)
        panel.set_xlabel("training step (batch)")
        panel.set_xlim(0, 1.01 * steps[-1])
        panel.xaxis.get_major_locator().set_params(integer=True)
        if len(curves.epoch_ends) <= 12:
            for end in curves.epoch_ends[:-1]:
                panel.axvline(end, color="#bbbbbb", linewidth=0.8, linestyle=(0, (2, 3)))
    caption = (
        f"Pale: every batch of {curves.batches.batch_size} training images, scored as it was "
        f"learned from. The test scores are those of {some} and decided nothing."
    )
    if 1 < len(curves.epoch_ends) <= 12:
        caption += " Dotted lines end an epoch."
    return figure, caption


def draw_confusion(true, probabilities):
    """True class by predicted class: counts as numbers, shares of the true class as colour."""
    from matplotlib.colors import PowerNorm

    predicted = probabilities.argmax(axis=1)
    classes, caption = np.arange(probabilities.shape[1]), "Colour: share of the true class."
    if len(classes) > MOST_CLASSES:
        wrong = np.bincount(true[true != predicted], minlength=len(classes))
        wrong += np.bincount(predicted[true != predicted], minlength=len(classes))
        classes = np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES])
        caption += f" Of {len(wrong)} classes these {MOST_CLASSES} have most of the mistakes."
    place = np.full(probabilities.shape[1], -1)
    place[classes] = np.arange(len(classes))
    shown = (place[true] >= 0) & (place[predicted] >= 0)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (place[true[shown]], place[predicted[shown]]), 1)
    totals = np.bincount(true, minlength=probabilities.shape[1])[classes]
    share = counts / np.maximum(totals, 1)[:, np.newaxis]

    cell = min(0.42, 7.2 / len(classes))
    side = cell * max(len(classes), 6)
    figure = _figure(side + 2.8, side + 0.7)
    panel = figure.subplots()
    panel.grid(False)
    # The root tells a handful of mistakes from none.
    norm = PowerNorm(0.5, 0, 1)
    image = panel.imshow(share, cmap="Blues", norm=norm)
    size = min(9, 72 * cell / (0.75 * len(str(counts.max()))))  # points: a digit is 0.64 wide
    for row, column in np.argwhere(counts):
        light = norm(share[row, column]) > 0.55
        panel.text(
            column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=size,
            color="white" if light else "#222222",
        )  # fmt: skip
    panel.set_xticks(range(len(classes)), classes)
    panel.set_yticks(range(len(classes)), classes)
    panel.tick_params(length=0)
    panel.set_xticks(np.arange(1, len(classes)) - 0.5, minor=True)
    panel.set_yticks(np.arange(1, len(classes)) - 0.5, minor=True)
    panel.grid(which="minor", color="white", linewidth=1)
    panel.tick_params(which="minor", length=0)
    panel.spines[:].set_visible(False)
    panel.set_xlabel("predicted class")
    panel.set_ylabel("true class")
    recall = panel.secondary_yaxis("right")
    recall.spines[:].set_visible(False)
    texts = [f"{100 * share[i, i]:.1f} %" if totals[i] else "-" for i in range(len(classes))]
    recall.set_yticks(range(len(classes)), texts)
    recall.tick_params(length=0, labelcolor=QUIET)
    recall.set_ylabel("recognised", color=QUIET)
    bar = figure.colorbar(image, ax=panel, shrink=0.6, pad=0.02, label="share of the true class")
    bar.set_ticks(
        [0, 0.01, 0.1, 0.25, 0.5, 1], labels=["0", "1 %", "10 %", "25 %", "50 %", "100 %"]
    )
    bar.outline.set_visible(False)
    return figure, f"Counts of test images. {caption}"


def draw_mistakes(data, probabilities):
    """The test images whose wrong class got the highest probability."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != data.y_test)
    if not len(wrong):
        return None, "No test image was classified wrongly."
    confidence = probabilities.max(axis=1)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_MISTAKES]
    columns = 8
    rows = -(-len(worst) // columns)
    figure = _figure(10, 1.75 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, index in zip(panels, worst, strict=False):
        _show(panel, data.x_test[index], data.x_test)
        panel.set_title(
            f"{predicted[index]}, not {data.y_test[index]}\n{100 * confidence[index]:.1f} %",
            fontsize=8.5, fontweight="normal", loc="center", pad=4,
        )  # fmt: skip
    return figure, (
        f"{len(wrong):,} of {len(data.y_test):,} test images were classified wrongly"
        + (f", here the {len(worst)}" if len(worst) < len(wrong) else ", here those")
        + " of which the model was surest: its answer, the label, and its probability."
    )


def draw_filters(model):
    """The weights of the first 2-D convolution."""
    first = next((each for each in model.modules() if isinstance(each, nn.Conv2d)), None)
    if first is None:
        return None, "The model has no 2-D convolution."
    weight = first.weight.data.astype(np.float64)
    limit = np.abs(weight).max() or 1.0
    coloured = weight.shape[1] == 3
    slices = weight if coloured else weight.reshape(-1, 1, *weight.shape[2:])
    shown = slices[: 2 * MOST_MAPS]
    columns = min(len(shown), 12)
    rows = -(-len(shown) // columns)
    figure = _figure(0.7 * columns + 1.5, 0.7 * rows + 0.4)
    panel = figure.subplots()
    panel.set_axis_off()
    caption = f"{first!r}: "
    if coloured:
        grid = make_grid(0.5 + shown / (2 * limit), columns, 1, pad_value=1.0)
        panel.imshow(grid.transpose(1, 2, 0))
        caption += f"grey is 0, white and black are {limit:.2g} and {-limit:.2g}."
    else:
        grid = make_grid(shown, columns, 1, pad_value=np.nan)[0]
        image = panel.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit)
        bar = figure.colorbar(image, ax=panel, shrink=0.8, pad=0.02, aspect=15)
        bar.outline.set_visible(False)
        caption += "red is positive, blue negative."
    if len(shown) < len(slices):
        caption += f" The first {len(shown)} of {len(slices)}."
    return figure, caption


def draw_features(classifier, data):
    """What the first blocks of convolution, pool and activation make of three test images."""
    _, where = np.unique(data.y_test, return_index=True)
    images = data.x_test[where[:3]]
    blocks = _blocks(classifier, images)
    if not blocks:
        return None, "The model is no sequence of convolutions."
    grids, ratios = [], []
    for maps in blocks:
        shown = maps[:, :MOST_MAPS]
        columns = _columns(shown.shape[1])
        # One scale for the block: what is dark is silent.
        each = [make_grid(image, columns, 1, pad_value=np.nan)[0] for image in shown]
        grids.append((each, shown.max()))
        ratios.append(each[0].shape[1] / each[0].shape[0])
    height, width = images.shape[2:]
    figure = _figure(10, 0.4 + len(images) * 9.5 / (sum(ratios) + 0.5 * width / height))
    panels = figure.subplots(
        len(images), 1 + len(blocks), squeeze=False,
        gridspec_kw={"width_ratios": [0.5 * width / height, *ratios]},
    )  # fmt: skip
    for row, (panel_row, image) in enumerate(zip(panels, images, strict=True)):
        for panel in panel_row:
            panel.set_axis_off()
            panel.set_anchor("N")
        _show(panel_row[0], image, data.x_test)
        for panel, (each, top) in zip(panel_row[1:], grids, strict=True):
            panel.imshow(each[row], cmap="magma", vmin=min(np.nanmin(each), 0), vmax=top or 1)
    panels[0][0].set_title(f"Input\n{height} x {width}", fontsize=9)
    for index, (panel, maps) in enumerate(zip(panels[0][1:], blocks, strict=True), 1):
        channels, *space = maps.shape[1:]
        some = f"{MOST_MAPS} of {channels}" if channels > MOST_MAPS else f"{channels}"
        panel.set_title(f"Block {index}\n{some} maps, {space[0]} x {space[1]}", fontsize=9)
    return figure, "A block ends before the next convolution. Dark: silent; bright: strong."


def _columns(count):
    """Of a grid with more columns than rows, and full if it can be."""
    least = math.ceil(math.sqrt(count))
    return next((each for each in range(least, 2 * least + 1) if count % each == 0), least)


def _blocks(classifier, images):
    """The inputs (N, C, H, W) of the second convolution, the third, ..., and of Flatten."""
    found = []
    x = classifier.prepare(images)
    if isinstance(classifier.model, nn.Sequential):
        for index, module in enumerate(classifier.model.eval()):
            if index and isinstance(module, (nn.Conv2d, nn.Flatten)) and x.ndim == 4:
                found.append(x)
            x = module(x)
    return found[:BLOCKS]


def _percent(value, position=None):
    return f"{value:g} %"


def _figure(width, height):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _show(panel, image, images):
    """An image (C, H, W) as stored among `images`: RGB in colour, else the mean of the channels."""
    if image.dtype.kind in "iu":
        image = normalize(image)
    else:
        low, high = np.min(images), np.max(images)
        image = (image - low) / ((high - low) or 1)
    if len(image) == 3:
        panel.imshow(np.clip(image.transpose(1, 2, 0), 0, 1))
    else:
        panel.imshow(image.mean(axis=0), cmap="gray", vmin=0, vmax=1)
