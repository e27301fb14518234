"""The command line: what it prints, what it writes, and its exit status."""

import json
import sys

import numpy as np
import programs
import pytest

from fastconv import _kernels, nn
from fastconv.classifier import Classifier
from fastconv.cli import main
from fastconv.data import DataLoader, load_folder, save_idx
from fastconv.recipes import RECIPES
from fastconv.serialization import load, load_metadata, save


def write_data(folder, size=(9, 8), classes=4, train=240, test=40, suffix=".gz"):
    """Images whose bright column tells the class: easy to learn."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for split, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % classes).astype(np.uint8)
        images = rng.integers(0, 60, (count, *size), np.uint8)
        images[np.arange(count), ..., labels % size[-1]] += 180
        save_idx(folder / f"{split}-images-idx3-ubyte{suffix}", images)
        save_idx(folder / f"{split}-labels-idx1-ubyte{suffix}", labels)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("cli") / "data")


@pytest.fixture(scope="module")
def model(tmp_path_factory, data):
    pytest.importorskip("safetensors")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    assert main([*quick(data), "--out", str(path)]) == 0
    return path


def quick(data):
    return ["train", "--data", str(data), "--batch-size", "20", "--epochs", "3"]


def refused(capsys, *args):
    """The one line on stderr of a command that must end with status 2."""
    try:
        status = main([str(arg) for arg in args])
    except SystemExit as ended:  # argparse
        status = ended.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith("fastconv")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


# ------------------------------------------------------------------------------------- train


def test_train_in_a_process(data):
    done = programs.command(
        *quick(data), "--seed", 7, "--num-threads", 2, "--target-acc", 0.9, "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["epoch", f"{e}/3"] for e in (1, 2, 3)]
    assert lines[3].startswith("test accuracy ")
    result = json.loads(lines[-1])
    assert set(result) == {
        "test_accuracy", "train_seconds", "images_per_second", "epochs", "num_threads", "isa"
    }  # fmt: skip
    assert result["test_accuracy"] >= 0.9
    assert result["test_accuracy"] * 40 == round(result["test_accuracy"] * 40)
    assert result["images_per_second"] == pytest.approx(3 * 240 / result["train_seconds"])
    assert (result["epochs"], result["isa"]) == (3, _kernels.isa)
    assert result["num_threads"] in (1, 2)  # 1 in a serial build


def test_the_form_of_the_data_does_not_matter(data, tmp_path, capsys):
    arrays = load_folder(data)
    names = arrays._fields
    np.savez(tmp_path / "data.npz", **dict(zip(names, arrays, strict=True)))
    Image = pytest.importorskip("PIL.Image")
    for split, images, labels in zip(("train", "test"), arrays[::2], arrays[1::2], strict=True):
        for index, (image, label) in enumerate(zip(images[:, 0], labels, strict=True)):
            folder = tmp_path / "images" / split / f"class {label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{index:03}.png")
    scores = []
    for path in (data, tmp_path / "data.npz", tmp_path / "images"):
        assert main([*quick(path), "--target-acc", "0.9", "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out.splitlines()[-1])["test_accuracy"])
    assert scores[0] == scores[1]  # the files of the third come in another order


def test_missed_target_is_status_1(data, capsys):
    """Labels without any relation to the images."""
    args = [*quick(data), "--epochs", "1", "--lr", "1e-9", "--target-acc", "1", "--json"]
    assert main(args) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["test_accuracy"] < 1
    assert captured.err.count("\n") == 1
    assert "below the target 1" in captured.err


def test_same_seed_same_bits_for_any_number_of_threads(data, tmp_path):
    pytest.importorskip("safetensors")
    states = []
    for seed, threads in ((3, 1), (3, 2), (3, 3), (4, 1)):
        out = tmp_path / f"{seed}-{threads}"
        args = [*quick(data), "--epochs", "1", "--seed", str(seed)]
        assert main([*args, "--num-threads", str(threads), "--out", str(out)]) == 0
        states.append({name: value.tobytes() for name, value in load(out).items()})
    assert states[0] == states[1] == states[2] != states[3]


@pytest.mark.parametrize(
    ("size", "classes", "suffix"),
    [((1, 1), 1, ""), ((1, 13), 2, ".gz"), ((3, 2), 2, ""), ((3, 6, 7), 5, ".gz"),
     ((40, 33), 300, "")],
    ids=str,
)  # fmt: skip
def test_any_image_size_and_class_count(tmp_path, size, classes, suffix, capsys):
    folder = write_data(tmp_path / "data", size, classes, train=24, test=12, suffix=suffix)
    assert main(["train", "--data", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["epochs"] == 1


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_networks_fit_every_size(recipe, channels):
    for height in (1, 2, 5, 7, 8, 11, 40):
        for width in (1, 2, 5, 9, 28, 33):
            model = RECIPES[recipe].model((channels, height, width), 7).eval()
            x = np.zeros((2, channels, height, width), np.float32)
            assert model(x).shape == (2, 7)


def test_the_networks_for_mnist():
    shapes = [p.shape for p in RECIPES["fast"].model((1, 28, 28), 10).parameters()]
    assert shapes == [
        (16, 1, 5, 5), (16,), (32, 16, 3, 3), (32,), (128, 800), (128,), (10, 128), (10,)
    ]  # fmt: skip
    shapes = [
        p.shape for p in RECIPES["best"].model((1, 28, 28), 10).parameters() if p.data.ndim > 1
    ]
    assert shapes == [(32, 1, 5, 5), (64, 32, 3, 3), (64, 64, 3, 3), (10, 64 * 3 * 3)]


def test_the_best_recipe_changes_the_images_of_all_epochs_but_the_last(tmp_path):
    folder = write_data(tmp_path / "data", (9, 9), 3, train=60, test=12)
    data = load_folder(folder)
    recipe = RECIPES["best"]
    seen = []
    batches = DataLoader(data.x_train, data.y_train, 20, seed=0)
    batches.transform = recipe.transform(lambda images: seen.append(images) or images, batches, 3)
    for _ in range(3):
        list(batches)
    plain = data.x_train.reshape(3, 20, 1, 9, 9)
    same = [np.array_equal(images, plain[index % 3]) for index, images in enumerate(seen)]
    assert same == [False] * 6 + [True] * 3
    assert main(["train", "--data", str(folder), "--recipe", "best", "--epochs", "2"]) == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "COMMAND"),
        (["sing"], "invalid choice: 'sing'"),
        (["train", "--epochs", "0"], "--epochs: must be a whole number of at least 1, got '0'"),
        (["train", "--epochs", "1.5"], "--epochs: must be a whole number"),
        (["train", "--batch-size", "-3"], "--batch-size: must be a whole number of at least 1"),
        (["train", "--lr", "0"], "--lr: must be a number above 0, got '0'"),
        (["train", "--lr", "nan"], "--lr: must be a number above 0"),
        (["train", "--lr", "inf"], "--lr: must be a number above 0"),
        (["train", "--seed", "-1"], "--seed: must be a whole number of at least 0"),
        (["train", "--num-threads", "0"], "--num-threads: must be a whole number of at least 1"),
        (["train", "--target-acc", "98.5"], "--target-acc: must be a fraction from 0 to 1"),
        (["train", "--what"], "unrecognized arguments: --what"),
        (["train", "--data", "absent"], "no folder absent"),
        (["train", "--out", "absent/model"], "--out absent/model: must name a file in a folder"),
        (["train", "--out", "."], "--out .: must name a file"),
        (["evaluate"], "MODEL"),
        (["evaluate", "absent"], "No such file or directory: 'absent'"),
        (["predict", "absent"], "IMAGE"),
        (["predict", "absent", "image.png"], "No such file or directory: 'absent'"),
    ],
)
def test_bad_usage(args, message, capsys):
    assert message in refused(capsys, *args)


def test_bad_input_in_a_process(tmp_path):
    bad = programs.command("train", "--data", tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith(f"fastconv train: error: {tmp_path}: there is no data set in it;")
    assert bad.stderr.count("\n") == 1
    assert programs.command("train", "--epochs", "none").returncode == 2


def test_bad_data_is_refused_before_training(data, tmp_path, capsys):
    folder = write_data(tmp_path / "data", suffix="")
    labels = folder / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1])
    assert "t10k-labels-idx1-ubyte: truncated" in refused(capsys, *quick(folder))


def test_out_is_refused_before_training_without_safetensors(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = refused(capsys, *quick(data), "--out", tmp_path / "model")
    assert "pip install 'fastconv[save]'" in message


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, on the way to infinity
def test_divergence_is_reported(data, capsys):
    assert "training diverged, try an --lr below 1e+30" in refused(
        capsys, *quick(data), "--lr", "1e30"
    )


def test_interruption(data, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastconv.commands.train.fit", interrupt)
    assert main(quick(data)) == 130
    assert capsys.readouterr().err == (
        "fastconv train: interrupted - nothing was saved; --checkpoint FILE does\n"
    )


def test_paths_of_a_training_are_checked_first(data, tmp_path, capsys):
    pytest.importorskip("safetensors")
    file = tmp_path / "file"
    for option in ("--out", "--checkpoint", "--report"):
        assert f"{option}: the path is empty" in refused(capsys, *quick(data), option, "")
    message = refused(capsys, *quick(data), "--out", file, "--checkpoint", tmp_path / "x/../file")
    assert message.strip().endswith("the model would replace the file of --checkpoint")
    assert not list(tmp_path.iterdir())


def test_a_last_batch_of_one_image_does_not_end_the_best_recipe(tmp_path):
    data = write_data(tmp_path / "data", size=(12, 12), train=41, test=8)
    assert main([*quick(data), "--recipe", "best", "--epochs", "1", "--quiet"]) == 0


# ---------------------------------------------------------------------- evaluate and predict


def test_evaluate_repeats_the_accuracy_of_train(data, tmp_path, capsys):
    pytest.importorskip("safetensors")
    out = tmp_path / "model"
    assert main([*quick(data), "--out", str(out), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert main(["evaluate", str(out), "--data", str(data), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert set(result) == {"test_accuracy", "test_loss", "images"}
    assert result["test_accuracy"] == trained["test_accuracy"]
    assert lines[0].startswith(f"test accuracy {trained['test_accuracy']:.4f}, loss ")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_evaluate_needs_fitting_data(model, tmp_path, capsys):
    other = write_data(tmp_path / "data", size=(5, 6), train=8, test=8)
    message = refused(capsys, "evaluate", model, "--data", other)
    assert "4 classes of images of 9 x 8 with 1 channel" in message
    assert "4 of 5 x 6 with 1 channel" in message
    more = write_data(tmp_path / "more", classes=5, train=10, test=10)
    assert "the data have 5 of 9 x 8" in refused(capsys, "evaluate", model, "--data", more)


@pytest.fixture
def pictures(tmp_path):
    """One image per class, as the training images are made, without noise."""
    images = np.full((4, 9, 8), 30, np.uint8)
    for label in range(4):
        images[label, :, label] = 210
    return images


def test_predict_npy(model, pictures, tmp_path, capsys):
    files = {
        "plane": (pictures[2], 2),
        "channels": (pictures[1][np.newaxis], 1),
        "float": (np.float32(pictures[3]) / 255, 3),
        "stack": (pictures, None),
        "batch": (pictures[:, np.newaxis], None),
    }
    for name, (array, _) in files.items():
        np.save(tmp_path / name, array)
    paths = [str(tmp_path / f"{name}.npy") for name in files]
    assert main(["predict", str(model), *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 4 + 4
    expected = [(paths[i], files[name][1]) for i, name in enumerate(("plane", "channels", "float"))]
    expected += [(f"{path}[{label}]", label) for path in paths[3:] for label in range(4)]
    classifier = Classifier.load(model)
    for line, (name, label) in zip(lines, expected, strict=True):
        probability = classifier.probabilities(pictures[label][None, None])[0, label]
        assert line == f"{name}: class {label}, probability {probability:.4f}"
        assert probability > 0.5


def test_predict_png(model, pictures, tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    grey = image.fromarray(pictures[2])
    for mode in ("L", "RGB", "P", "RGBA"):
        path = tmp_path / f"{mode}.png"
        grey.convert(mode).save(path)
        assert main(["predict", str(model), str(path)]) == 0
        assert capsys.readouterr().out.startswith(f"{path}: class 2, probability ")


def test_predict_colour(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7), np.uint8)
    classifier = Classifier(RECIPES["fast"].model((3, 5, 7), 2), (3, 5, 7), 2, 0.5, 0.3)
    classifier.save(tmp_path / "model")
    np.save(tmp_path / "a.npy", pixels)
    image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / "b.png")
    names = [str(tmp_path / name) for name in ("a.npy", "b.png")]
    assert main(["predict", str(tmp_path / "model"), *names]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split(": ")[1] == second.split(": ")[1]


def test_predict_knows_the_names_of_the_classes(pictures, tmp_path, capsys):
    pytest.importorskip("safetensors")
    Image = pytest.importorskip("PIL.Image")
    names = ("ant", "bee", "cat", "dog")
    for label, name in enumerate(names):
        (tmp_path / "images" / name).mkdir(parents=True)
        for shade in range(10):
            picture = Image.fromarray(pictures[label] + np.uint8(shade))
            picture.save(tmp_path / "images" / name / f"{shade}.png")
    out, image = tmp_path / "model", tmp_path / "images" / "cat" / "0.png"
    assert main([*quick(tmp_path / "images"), "--epochs", "20", "--out", str(out), "--quiet"]) == 0
    assert Classifier.load(out).class_names == names
    assert main(["predict", str(out), str(image)]) == 0
    assert capsys.readouterr().out.startswith(f"{image}: class 2 (cat), probability ")
    digits = Classifier(RECIPES["fast"].model((1, 9, 8), 4), (1, 9, 8), 4, 0.5, 0.3, tuple("0123"))
    digits.save(tmp_path / "digits")
    assert main(["predict", str(tmp_path / "digits"), str(image)]) == 0
    assert "(" not in capsys.readouterr().out
    assert Classifier(digits.model, (1, 9, 8), 4, 0.5, 0.3).class_name(3) == "3"


def test_predict_refuses_bad_images(model, pictures, tmp_path, capsys):
    pytest.importorskip("PIL.Image")
    from PIL import Image

    good, path = tmp_path / "good.npy", tmp_path / "bad.npy"
    np.save(good, pictures[0])

    def message(path=path):
        error = refused(capsys, "predict", model, good, path)
        assert str(path) in error
        return error

    np.save(path, np.zeros((8, 9)))
    assert "8 wide and 9 high, 1 channel(s), got an array of shape (8, 9)" in message()
    np.save(path, np.full((9, 8), np.nan))
    assert "NaN" in message()
    np.save(path, np.zeros((9, 8), complex))
    assert "real numbers, got complex128" in message()
    np.save(path, np.array([{}]), allow_pickle=True)
    assert "not a readable .npy file" in message()
    path.write_bytes(b"not at all")
    assert "not a readable .npy file" in message()
    np.save(path, np.zeros((9, 8)))
    path.write_bytes(path.read_bytes()[:-8])
    assert "not a readable .npy file" in message()
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 9, 8), }".ljust(117)
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00" + header + b"\n" + bytes(64))
    assert "not a readable .npy file" in message()
    assert "No such file" in message(tmp_path / "absent.npy")
    assert "No such file" in message(tmp_path / "absent.png")
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    assert "not a readable image" in message(picture)
    Image.fromarray(np.zeros((28, 20), np.uint8)).save(picture)
    assert "8 wide and 9 high, 1 channel(s), got 20 x 28: resize it first" in message(picture)


def test_predict_without_pillow(model, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    np.save(tmp_path / "image.npy", pictures[0])
    assert main(["predict", str(model), str(tmp_path / "image.npy")]) == 0
    capsys.readouterr()
    message = refused(capsys, "predict", model, tmp_path / "image.png")
    assert "pip install 'fastconv[image]'" in message


def test_damaged_model_files(model, tmp_path, capsys):
    path = tmp_path / "bad"
    content = model.read_bytes()
    for damaged in (b"", b"junk", content[:100], content[:-1]):
        path.write_bytes(damaged)
        assert "bad is not readable as safetensors" in refused(capsys, "evaluate", path)
    save({"a": np.zeros(3)}, path)
    assert "not a model of `fastconv train --out`" in refused(capsys, "evaluate", path)
    good = json.loads(load_metadata(model)["fastconv.classifier"])
    for change in (
        {"image_shape": [1, 9]},
        {"image_shape": "abc"},
        {"image_shape": [1, 9, 9.5]},
        {"num_classes": 5},
        {"std": 0},
        {"mean": "low"},
        {"class_names": ["a", "b"]},
        {"class_names": [1, 2, 3, 4]},
        {"class_names": 4},
        {"architecture": {"class": "system", "arguments": {}}},
        {"architecture": nn.describe(RECIPES["fast"].model((1, 28, 28), 4))},
        {"architecture": None},
        {"architecture": {"class": "Linear", "arguments": {"in_features": 2**70}}},
    ):
        save(load(model), path, {"fastconv.classifier": json.dumps({**good, **change})})
        assert "bad: a damaged model file" in refused(capsys, "evaluate", path), change
    for text in ("[]", "{}", "{", "null", "[" * 100_000):
        save(load(model), path, {"fastconv.classifier": text})
        assert "bad: a damaged model file" in refused(capsys, "evaluate", path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_reader_that_has_enough_is_no_error():
    """As in `fastconv info | head -1`."""
    code = (
        "import os, sys; from fastconv.cli import main; read, write = os.pipe(); os.close(read); "
        "os.dup2(write, 1); sys.exit(main(['explain', 'mb4ic64ih56oc64kh3ph1']))"
    )
    ended = programs.run("-c", code)
    assert (ended.returncode, ended.stderr) == (141, "")
