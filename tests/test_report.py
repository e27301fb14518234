"""`fastconv train --report`: the pictures, what they show, and the page that holds them."""

import base64
import io
import json
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import fastconv
from fastconv import nn, report
from fastconv.classifier import Classifier
from fastconv.cli import main
from fastconv.data import DataLoader, Dataset, save_idx, statistics
from fastconv.recipes import RECIPES
from fastconv.report import pictures
from fastconv.serialization import load

PICTURES = ("curves", "confusion", "mistakes", "filters", "features")


def dataset(classes, shape, train=96, test=40, dtype=np.uint8, hard=True):
    """Images that are brighter the higher their class; at random if hard."""
    rng = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count) % classes
        images = rng.integers(0, 200 if hard else 1, (count, *shape))
        images += (50 * labels // classes).reshape(-1, 1, 1, 1)
        images = images.astype(dtype)
        return (images if np.dtype(dtype).kind == "u" else images / 25 - 3), labels

    return Dataset(*split(train), *split(test))


def write(data, folder):
    folder.mkdir()
    for split, images, labels in (("train", *data[:2]), ("t10k", *data[2:])):
        save_idx(folder / f"{split}-images-idx3-ubyte", images)
        save_idx(folder / f"{split}-labels-idx1-ubyte", labels.astype(np.int32))
    return folder


def trained(data, epochs=2, batch_size=20, model=None):
    fastconv.manual_seed(0)
    shape, classes = data.image_shape, data.num_classes
    model = model or RECIPES["fast"].model(shape, classes)
    classifier = Classifier(model, shape, classes, *statistics(data.x_train))
    batches = DataLoader(
        data.x_train, data.y_train, batch_size, shuffle=True, seed=1, transform=classifier.prepare
    )
    recipe = RECIPES["fast"].training(model, 0.003, epochs * len(batches))
    curves = report.LearningCurves(classifier, data, batches, recipe["loss"])
    run = fastconv.fit(model, batches, epochs=epochs, callbacks=[curves], verbose=0, **recipe)
    return classifier, curves, run


class Page(HTMLParser):
    """What a page holds; every tag must be closed in its order."""

    def __init__(self, text):
        super().__init__()
        self.images, self.text, self.open, self.links = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        self.links += [value for name, value in attributes.items() if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check(folder, names):
    """The page and exactly the named pictures, whole and the same in both places."""
    image = pytest.importorskip("PIL.Image")
    assert {path.name for path in folder.iterdir()} == {"report.html", *(f"{n}.png" for n in names)}
    page = Page((folder / "report.html").read_text("utf-8"))
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    embedded = [base64.b64decode(each["src"].partition(",")[2]) for each in page.images]
    assert embedded == [(folder / f"{name}.png").read_bytes() for name in names]
    for png, attributes in zip(embedded, page.images, strict=True):
        with image.open(io.BytesIO(png)) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert picture.width == pytest.approx(int(attributes["width"]) * 160 / 96, abs=2)
            assert picture.width <= 1600
            pixels = np.asarray(picture.convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10  # not an empty sheet
    return "".join(page.text)


def test_the_command_with_two_classes_in_rgb(tmp_path, capsys):
    data = write(dataset(2, (3, 12, 15)), tmp_path / "data")
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "mistakes.png").write_bytes(b"of an earlier run")
    args = ["train", "--data", str(data), "--batch-size", "16", "--report", str(folder), "--json"]
    assert main(args) == 0
    *_, line, last = capsys.readouterr().out.splitlines()
    assert line == f"wrote {folder / 'report.html'}"
    text = check(folder, PICTURES)
    assert f"{100 * json.loads(last)['test_accuracy']:.2f} %" in text
    assert "96, 12 x 15, RGB" in text
    assert "Conv2d(3, 16, (5, 5)" in text


@pytest.mark.parametrize(
    ("classes", "shape", "dtype"),
    [(1, (1, 1, 1), np.uint8), (40, (1, 9, 30), np.float32), (3, (2, 40, 33), np.uint8)],
)
def test_any_images_and_classes(tmp_path, classes, shape, dtype):
    data = dataset(classes, shape, dtype=dtype, test=80)
    classifier, curves, _ = trained(data, epochs=1)
    report.write_report(tmp_path, classifier, data, curves)
    names = [name for name in PICTURES if classes > 1 or name != "mistakes"]
    text = check(tmp_path, names)
    assert ("Of 40 classes these 25 have most" in text) == (classes == 40)
    assert ("No test image was classified wrongly." in text) == (classes == 1)


def test_other_models(tmp_path):
    data = dataset(3, (1, 6, 6))
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    classifier, curves, _ = trained(data, model=model)
    report.write_report(tmp_path, classifier, data, curves)
    text = check(tmp_path, ("curves", "confusion", "mistakes"))
    assert "The model has no 2-D convolution." in text


def test_curves_are_those_of_the_run():
    data = dataset(3, (1, 8, 8))
    classifier, curves, run = trained(data, epochs=3, batch_size=20)  # 96 = 4 * 20 + 16
    training, validation = curves.training, curves.validation
    assert training["step"] == list(range(1, 16))
    assert curves.epoch_ends == [5, 10, 15]
    counts = np.array([20, 20, 20, 20, 16] * 3)
    for name in ("loss", "accuracy"):
        means = (counts * training[name]).reshape(3, 5).sum(axis=1) / 96
        np.testing.assert_allclose(means, run.history[name], rtol=1e-9)
    right = counts * training["accuracy"]
    np.testing.assert_allclose(right, np.rint(right), atol=1e-9)
    assert validation["step"] == training["step"]
    scores = fastconv.evaluate(
        classifier.model, (classifier.prepare(data.x_test), data.y_test), loss=curves.loss
    )
    assert validation["accuracy"][-1] == scores["accuracy"]
    assert validation["loss"][-1] == scores["loss"]


def test_the_report_does_not_change_the_training(tmp_path):
    pytest.importorskip("safetensors")
    data = write(dataset(3, (1, 8, 8)), tmp_path / "data")
    states = []
    for extra in ([], ["--report", str(tmp_path / "report")]):
        args = ["train", "--data", str(data), "--out", str(tmp_path / "model"), *extra]
        assert main(args) == 0
        states.append({name: a.tobytes() for name, a in load(tmp_path / "model").items()})
    assert states[0] == states[1]


def test_confusion_counts():
    true = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 2, 1, 0, 2])
    figure, _ = pictures.draw_confusion(true, np.eye(4)[predicted])
    panel = figure.axes[0]
    counts = {t.get_position(): t.get_text() for t in panel.texts}
    # (column, row) = (predicted, true)
    assert counts == {(0, 0): "2", (2, 0): "1", (1, 1): "1", (0, 1): "1", (2, 2): "1"}
    share = panel.images[0].get_array()
    np.testing.assert_allclose(share[:3].sum(axis=1), 1)
    np.testing.assert_allclose(share[0], [2 / 3, 0, 1 / 3, 0])
    right = [t.get_text() for t in panel.child_axes[0].get_yticklabels()]
    assert right == ["66.7 %", "50.0 %", "100.0 %", "-"]


def test_the_most_confused_of_many_classes_are_shown():
    true = np.arange(200) % 100
    predicted = np.where(true < 60, true, np.where(true < 70, true + 10, true))
    figure, caption = pictures.draw_confusion(true, np.eye(100)[predicted])
    labels = {int(t.get_text()) for t in figure.axes[0].get_xticklabels()}
    assert set(range(60, 80)) <= labels
    assert len(labels) == 25
    assert "Of 100 classes these 25" in caption


def test_the_surest_mistakes_come_first():
    data = dataset(3, (1, 4, 4), test=6)
    probabilities = np.full((6, 3), 0.1)
    probabilities[np.arange(6), data.y_test] = 0.3
    probabilities[1] = 0.2, 0.1, 0.7  # label 1
    probabilities[3] = 0.1, 0.9, 0.0  # label 0
    figure, caption = pictures.draw_mistakes(data, probabilities)
    titles = [panel.get_title() for panel in figure.axes if panel.images]
    assert titles == ["1, not 0\n90.0 %", "2, not 1\n70.0 %"]
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, data.x_test[3, 0] / 255, atol=1e-6)
    assert caption.startswith("2 of 6 test images")


def test_feature_maps_are_what_the_blocks_give():
    data = dataset(3, (1, 20, 20))
    classifier = Classifier(RECIPES["fast"].model((1, 20, 20), 3), (1, 20, 20), 3, 0.5, 0.25)
    images = data.x_test[:3]
    blocks = pictures._blocks(classifier, images)
    model = classifier.model.eval()
    first = model[:3](classifier.prepare(images))
    np.testing.assert_array_equal(blocks[0], first)
    np.testing.assert_array_equal(blocks[1], model[3:5](first))
    assert len(blocks) == 2


def test_what_cannot_be_is_refused_before_training(tmp_path, capsys, monkeypatch):
    def refused(folder):
        assert main(["train", "--data", "absent", "--report", str(folder)]) == 2
        return capsys.readouterr().err

    (tmp_path / "file").write_text("")
    assert "must name a folder, in one that exists" in refused(tmp_path / "file")
    assert "must name a folder, in one that exists" in refused(tmp_path / "no" / "report")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "pip install 'fastconv[plot]'" in refused(tmp_path / "report")
    assert not (tmp_path / "report").exists()
