"""Image files in a folder for each class, whose names are the names of the classes."""

import numpy as np

from fastconv.images import image_shape, read_images

SUFFIXES = {
    ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
SEED = 0  # decides which images of a folder without test/ are test images


def class_folders(folder):
    """Sorted names of the folders in it, but for hidden ones."""
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def read(folder, test_fraction):
    """(x_train, y_train, x_test, y_test, class names) of train/CLASS/FILE and test/CLASS/FILE.

    Without these two, of CLASS/FILE: `test_fraction` of each class, the same ones every time,
    become test images.  Images (N, C, H, W) uint8: C is 1 if all are grey, else 3.
    Raises ValueError for a class without images, for images of another size than the first, and
    for a file that is no image; ImportError without Pillow.
    """
    names = class_folders(folder)
    if "train" in names:
        if "test" not in names:
            raise FileNotFoundError(f"{folder}: beside the folder train there must be one test")
        names = class_folders(folder / "train")
        unknown = set(class_folders(folder / "test")) - set(names)
        if unknown:
            raise ValueError(
                f"{folder / 'test'}: its classes must be among those of train, "
                f"got {', '.join(sorted(unknown))}"
            )
        train = _files(folder / "train", names)
        test = _files(folder / "test", class_folders(folder / "test"), names)
    else:
        train, test = _divided(_files(folder, names), test_fraction)
    for split, files in (("training", train), ("test", test)):
        if not files:
            raise ValueError(f"{folder}: there are no {split} images")
    shapes = [image_shape(path) for path, _ in train + test]
    shape = max(channels for channels, *_ in shapes), *shapes[0][1:]
    return (*_arrays(train, shape), *_arrays(test, shape), tuple(names))


def _files(folder, names, labels=None):
    """[(path, label)] of the images of all classes; a label is a place among `labels`."""
    files = []
    for name in names:
        label = (labels or names).index(name)
        found = [
            path
            for path in (folder / name).iterdir()
            if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()
        ]
        if not found:
            raise ValueError(
                f"{folder / name}: there must be images in it, {', '.join(sorted(SUFFIXES))}"
            )
        files += [(path, label) for path in sorted(found)]
    return files


def _divided(files, test_fraction):
    """Training and test files; each class of two images or more has at least one in either."""
    rng = np.random.default_rng(SEED)
    labels = np.array([label for _, label in files])
    is_test = np.zeros(len(files), bool)
    for label in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(test_fraction * len(places))), len(places) - 1)
        is_test[places[:count]] = True
    split = [[], []]
    for file, test in zip(files, is_test.tolist(), strict=True):
        split[test].append(file)
    return split


def _arrays(files, shape):
    images = np.empty((len(files), *shape), np.uint8)
    for image, (path, _) in zip(images, files, strict=True):
        image[...] = read_images(path, shape)[0][1]
    return images, np.array([label for _, label in files], np.int64)
