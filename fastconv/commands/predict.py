"""`fastconv predict`."""

from fastconv.classifier import Classifier
from fastconv.commands import common
from fastconv.images import read_images

DESCRIPTION = (
    "An image must have the size of the training images: nothing is resized. MNIST's digits are "
    "light on a dark ground."
)


def add_options(parser):
    common.with_model(parser)
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help=".npy (H, W), (C, H, W) or a stack of them, or PNG and the like, which become grey "
        "or RGB (needs the extra: fastconv[image])",
    )


def run(args):
    classifier = Classifier.load(args.model)
    # All are read before the first is printed: a bad one stops the command, not half of it.
    named = [each for path in args.images for each in read_images(path, classifier.image_shape)]
    for name, image in named:
        probabilities = classifier.probabilities(image[None])[0]
        best = int(probabilities.argmax())
        label = classifier.class_name(best)
        known_as = "" if label == str(best) else f" ({label})"
        print(f"{name}: class {best}{known_as}, probability {probabilities[best]:.4f}")
    return common.DONE
