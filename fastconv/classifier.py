"""A trained image classifier as one file: weights, architecture, and how images are prepared."""

import json
import math
from dataclasses import dataclass

import numpy as np

from fastconv import functional, nn
from fastconv.data import normalize
from fastconv.serialization import load, load_metadata, save
from fastconv.train import predict

KEY = "fastconv.classifier"


@dataclass
class Classifier:
    """model: a module from images (N, *image_shape), normalised with mean and std, to logits.

    class_names: one for each class, or None.
    """

    model: nn.Module
    image_shape: tuple
    num_classes: int
    mean: float
    std: float
    class_names: tuple | None = None

    def class_name(self, index):
        """The name of a class, or its number where there are none."""
        return str(index) if self.class_names is None else self.class_names[index]

    def prepare(self, images, rng=None):
        """Images as stored to what the model takes, fastest channels last; a `transform`."""
        return functional.channels_last(normalize(images, self.mean, self.std))

    def probabilities(self, images):
        """(N, classes) for images (N, *image_shape)."""
        return functional.softmax(predict(self.model, self.prepare(images)), axis=1)

    def save(self, path):
        """Writes a safetensors file, whole or not at all."""
        about = {
            "architecture": nn.describe(self.model),
            "image_shape": list(self.image_shape),
            "num_classes": self.num_classes,
            "mean": self.mean,
            "std": self.std,
            "class_names": self.class_names and list(self.class_names),
        }
        save(self.model, path, {KEY: json.dumps(about)})

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote.

        Raises OSError if it cannot be read, ValueError if it is anything else.
        """
        text = load_metadata(path).get(KEY)
        if text is None:
            raise ValueError(f"{path}: not a model of `fastconv train --out`: no {KEY} in it")
        try:
            about = json.loads(text)
            shape, mean, std = tuple(about["image_shape"]), about["mean"], about["std"]
            num_classes, names = about["num_classes"], about.get("class_names")
            numbers = (*shape, num_classes)
            if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in numbers):
                raise ValueError(f"sizes must be positive integers, got {numbers}")
            if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
                raise ValueError(f"mean and std must be finite, std > 0, got {mean} and {std}")
            if names is not None:
                names = tuple(names)
                if len(names) != num_classes or not all(isinstance(each, str) for each in names):
                    raise ValueError(f"class_names must be {num_classes} texts, got {names}")
            model = nn.build(about["architecture"])
            model.load_state_dict(load(path))
            logits = model.eval()(np.zeros((1, *shape), np.float32))
            if logits.shape != (1, num_classes):
                raise ValueError(f"the output must be (N, {num_classes}), got {logits.shape}")
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path}: a damaged model file: {error}") from error
        return cls(model, shape, num_classes, mean, std, names)
