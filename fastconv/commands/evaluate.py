"""`fastconv evaluate`."""

from fastconv import _threads
from fastconv.classifier import Classifier
from fastconv.commands import common

DESCRIPTION = "Prints its accuracy and loss on the test images."


def add_options(parser):
    common.with_model(parser)
    common.with_data(parser)
    common.with_threads(parser)
    common.with_json(parser)


def run(args):
    classifier = Classifier.load(args.model)
    data = common.load_data(args.data)
    if data.image_shape != classifier.image_shape or data.num_classes > classifier.num_classes:
        raise ValueError(
            f"{args.model} knows {classifier.num_classes} classes of images of "
            f"{common.size(classifier.image_shape)}, the data have {data.num_classes} of "
            f"{common.size(data.image_shape)}"
        )
    with _threads.num_threads(args.num_threads):
        scores = common.test_scores(classifier, data)
    print(f"test accuracy {scores['test_accuracy']:.4f}, loss {scores['test_loss']:.4f}")
    if args.json:
        common.print_json(**scores, images=len(data.x_test))
    return common.DONE
