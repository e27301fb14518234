"""The bundled MNIST, and every kind of folder and file that holds a data set."""

import gzip
import hashlib
import pickle
import tarfile

import numpy as np
import pytest
from data_files import FILES, arrays, cifar_batches, save_cifar, write

from fastconv.data import load_folder, mnist, statistics
from fastconv.data.datasets import MNIST


def test_mnist_is_the_published_one():
    data = mnist()
    assert [each.shape for each in data] == [
        (60000, 1, 28, 28), (60000,), (10000, 1, 28, 28), (10000,)
    ]  # fmt: skip
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert (data.image_shape, data.num_classes) == ((1, 28, 28), 10)
    # Counts of the digits, from the authors' page and the literature.
    assert np.bincount(data.y_train).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949
    ]  # fmt: skip
    assert data.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The well-known constants of MNIST preprocessing.
    mean, std = statistics(data.x_train)
    assert (round(mean, 4), round(std, 4)) == (0.1307, 0.3081)


def test_mnist_files_are_the_authors():
    # MD5 of the unpacked files, as many copies of MNIST list them.
    published = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
    for name, checksum in published.items():
        content = gzip.decompress((MNIST / f"{name}.gz").read_bytes())
        assert hashlib.md5(content).hexdigest() == checksum


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_load_folder(tmp_path, suffix):
    parts = arrays()
    data = load_folder(write(tmp_path, parts, suffix))
    np.testing.assert_array_equal(data.x_train[:, 0], parts[0], strict=True)
    np.testing.assert_array_equal(data.y_train, parts[1])
    np.testing.assert_array_equal(data.x_test[:, 0], parts[2], strict=True)
    np.testing.assert_array_equal(data.y_test, parts[3])
    assert (data.image_shape, data.num_classes) == ((1, 5, 7), 4)
    assert mnist(tmp_path).image_shape == (1, 5, 7)


def test_four_axes_hold_channels(tmp_path):
    parts = arrays(size=(3, 8, 9))
    assert load_folder(write(tmp_path, parts)).image_shape == (3, 8, 9)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        load_folder(tmp_path / "absent")
    write(tmp_path, arrays())
    (tmp_path / FILES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=r"no t10k-labels-idx1-ubyte, plain or .gz"):
        load_folder(tmp_path)


def change(index, array):
    parts = arrays()
    parts[index] = array
    return parts


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (change(1, np.zeros(5, np.uint8)), "train-labels.*6 images need as many labels, got 5"),
        (change(1, np.int8([0, 1, 2, 0, 1, -1])), "train-labels.*labels must be 0 to.*got -1"),
        (change(1, np.int32([0, 1, 2, 0, 1, 2**30])), "train-labels.*labels must be 0 to"),
        (change(1, np.zeros((6, 1), np.uint8)), "train-labels.*one whole number per image"),
        (change(3, np.zeros(4, np.float32)), "t10k-labels.*one whole number per image"),
        (change(2, np.zeros((4, 5, 8), np.uint8)), r"one size.*\(1, 5, 7\) and \(1, 5, 8\)"),
        (change(0, np.zeros((6, 5), np.uint8)), r"train-images.*\(N, H, W\).*got shape \(6, 5\)"),
        (change(2, np.zeros((0, 5, 7), np.uint8)), "t10k-images.*none of these 0"),
    ],
)
def test_files_must_agree(tmp_path, parts, message):
    write(tmp_path, parts)
    with pytest.raises(ValueError, match=message):
        load_folder(tmp_path)


# ------------------------------------------------------------------------------------- NPZ

KEYS = ("x_train", "y_train", "x_test", "y_test")


def npz(folder, parts, **changes):
    path = folder / "data.npz"
    np.savez_compressed(path, **(dict(zip(KEYS, parts, strict=True)) | changes))
    return path


def test_npz_of_grey_images(tmp_path):
    parts = arrays()
    data = load_folder(npz(tmp_path, parts, more=np.zeros(3)))
    np.testing.assert_array_equal(data.x_train[:, 0], parts[0], strict=True)
    assert data.y_test.tolist() == parts[3].tolist()
    assert (data.image_shape, data.num_classes) == ((1, 5, 7), 4)
    assert data.y_test.dtype == np.int64


def test_npz_with_channels_first_or_last(tmp_path):
    parts = arrays(size=(3, 8, 9))
    first = load_folder(npz(tmp_path, parts))
    last = [parts[0].transpose(0, 2, 3, 1), parts[1][:, None], parts[2].transpose(0, 2, 3, 1)]
    for got, expected in zip(load_folder(npz(tmp_path, [*last, parts[3]])), first, strict=True):
        np.testing.assert_array_equal(got, expected, strict=True)
    np.testing.assert_array_equal(first.x_test, parts[2])


class Opener:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(tmp_path):
    trap = tmp_path / "trap"
    objects = np.array([Opener(trap)], object)
    with pytest.raises(ValueError, match=r"data.npz: y_train is pickled, which can run code"):
        load_folder(npz(tmp_path, arrays(), y_train=objects))
    for name in ("data.npz", "data.tar.gz", "data.pkl"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(Opener(trap)))
        with pytest.raises((ValueError, FileNotFoundError), match=name):
            load_folder(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(y_train=np.zeros(5, int)), r"data.npz: y_train: 6 images need as many labels, got 5"),
        (dict(x_test=np.zeros((4, 5, 8))), r"data.npz: .*one size.*\(1, 5, 7\) and \(1, 5, 8\)"),
        (dict(x_test=np.array(["a"])), r"data.npz: x_test must hold real numbers, got <U1"),
        (dict(x_train=np.zeros((6, 4))), r"data.npz: x_train: images must be"),
    ],
    ids=str,
)
def test_npz_must_agree(tmp_path, changes, message):
    path = npz(tmp_path, arrays(), **changes)
    with pytest.raises(ValueError, match=message):
        load_folder(path)


def test_npz_damaged_or_incomplete(tmp_path):
    path = npz(tmp_path, arrays())
    content = path.read_bytes()
    for damaged in (content[:100], b"", content[: len(content) // 2], b"\x93NUMPY" + content):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"data\.npz"):
            load_folder(path)
    np.savez(path, x_train=1, labels=2)
    with pytest.raises(ValueError, match=r"must be x_train, y_train, .* got x_train, labels"):
        load_folder(path)


# ----------------------------------------------------------------------------------- CIFAR-10


@pytest.mark.parametrize("where", ["folder", "parent", "archive", "parent of archive"])
def test_cifar(tmp_path, where):
    names = ["test_batch.bin", *(f"data_batch_{i}.bin" for i in range(11, 0, -1))]
    contents, meant = cifar_batches(names)
    classes = tuple(f"class {letter}" for letter in "abcdefghij")
    contents["batches.meta.txt"] = "\n".join([*classes, "", ""]).encode()
    contents["readme.html"] = b"..."
    if "archive" in where:
        members = {f"cifar-10-batches-bin/{name}": each for name, each in contents.items()}
        path = save_cifar(tmp_path, members, archive=True)
    else:
        path = save_cifar(tmp_path / "cifar-10-batches-bin", contents)
    data = load_folder(tmp_path if "parent" in where else path)
    order = [meant[f"data_batch_{i}.bin"] for i in range(1, 12)]
    np.testing.assert_array_equal(data.x_train, np.concatenate([x for x, _ in order]), strict=True)
    np.testing.assert_array_equal(data.y_train, np.concatenate([y for _, y in order]), strict=True)
    np.testing.assert_array_equal(data.x_test, meant["test_batch.bin"][0])
    assert data.class_names == classes
    assert data.image_shape == (3, 32, 32)
    assert len(list(tmp_path.iterdir())) == 1  # nothing was unpacked


def test_cifar_archive_is_not_trusted(tmp_path):
    contents, _ = cifar_batches()
    path = save_cifar(tmp_path, contents | {"../../evil": b"x", "/evil": b"x"}, archive=True)
    with tarfile.open(tmp_path / "links.tar.gz", "w:gz") as tar:
        for name in contents:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/dev/zero"
            tar.addfile(member)
    assert len(load_folder(path).x_train) == 10
    with pytest.raises(FileNotFoundError, match=r"there is no data_batch_1.bin"):
        load_folder(tmp_path / "links.tar.gz")
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-200], b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz: damaged archive"):
            load_folder(path)


def test_cifar_files_must_be_right(tmp_path):
    contents, _ = cifar_batches()
    save_cifar(tmp_path, contents | {"data_batch_2.bin": contents["data_batch_2.bin"][:-1]})
    with pytest.raises(ValueError, match=r"data_batch_2.bin must hold records of 3073 bytes, got"):
        load_folder(tmp_path)
    save_cifar(tmp_path, contents | {"test_batch.bin": b"\x0a" + contents["test_batch.bin"][1:]})
    with pytest.raises(ValueError, match=r"test_batch.bin: labels must be 0 to 9, got 10"):
        load_folder(tmp_path)
    save_cifar(tmp_path, contents | {"batches.meta.txt": b"plane\ncar\n"})
    with pytest.raises(ValueError, match=r"batches.meta.txt must name the \d+ classes .* got 2"):
        load_folder(tmp_path)
    (tmp_path / "data_batch_1.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"no data_batch_1.bin; .* binary version"):
        load_folder(tmp_path)


# ------------------------------------------------------------------------- folders of images


def picture(path, size=(6, 5), mode="L", seed=0):
    Image = pytest.importorskip("PIL.Image")
    width, height = size
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode=None).save(path)
    return pixels


def test_image_folder_with_train_and_test(tmp_path):
    pixels = {
        name: picture(tmp_path / name, seed=seed)
        for seed, name in enumerate([
            "train/dog/b.png", "train/dog/a.PNG", "train/cat/z.bmp", "train/ant/1.png",
            "test/dog/1.png", "test/cat/1.png",
        ])
    }  # fmt: skip
    (tmp_path / "train" / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "dog" / "._a.PNG").write_text("what macOS leaves beside a file")
    (tmp_path / "train" / "dog" / "folder.png").mkdir()
    data = load_folder(tmp_path)
    assert data.class_names == ("ant", "cat", "dog")
    assert (data.image_shape, data.num_classes) == ((1, 5, 6), 3)
    assert data.x_train.dtype == np.uint8
    order = ["train/ant/1.png", "train/cat/z.bmp", "train/dog/a.PNG", "train/dog/b.png"]
    assert data.y_train.tolist() == [0, 1, 2, 2]
    np.testing.assert_array_equal(data.x_train[:, 0], [pixels[name] for name in order])
    assert data.y_test.tolist() == [1, 2]
    np.testing.assert_array_equal(data.x_test[1, 0], pixels["test/dog/1.png"])


def test_image_folder_of_classes_is_divided(tmp_path):
    for index in range(20):
        picture(tmp_path / "many" / f"{index:02}.png", seed=index)
    for index in range(2):
        picture(tmp_path / "few" / f"{index}.png", seed=100 + index)
    picture(tmp_path / "one" / "0.png", seed=200)
    data = load_folder(tmp_path)
    assert np.bincount(data.y_train).tolist() == [1, 16, 1]
    assert np.bincount(data.y_test).tolist() == [1, 4]
    everything = [image.tobytes() for image in (*data.x_train, *data.x_test)]
    assert len(set(everything)) == 23
    again = load_folder(tmp_path)
    for left, right in zip(data, again, strict=True):
        np.testing.assert_array_equal(left, right)


def test_one_colour_image_makes_all_rgb(tmp_path):
    grey = picture(tmp_path / "a" / "1.png")
    picture(tmp_path / "a" / "2.png", mode="RGBA")
    colour = picture(tmp_path / "b" / "1.png", mode="RGB", seed=1)
    picture(tmp_path / "b" / "2.png", mode="RGB", seed=2)
    data = load_folder(tmp_path)
    assert data.image_shape == (3, 5, 6)
    images = [*data.x_train, *data.x_test]
    assert any(np.array_equal(image, np.stack([grey] * 3)) for image in images)
    assert any(np.array_equal(image, colour.transpose(2, 0, 1)) for image in images)


def test_image_folder_is_checked(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        picture(tmp_path / name)
    picture(tmp_path / "b" / "2.png", size=(5, 6))
    with pytest.raises(
        ValueError, match=r"b.2.png: images must be 6 wide and 5 high, .* got 5 x 6"
    ):
        load_folder(tmp_path)
    (tmp_path / "b" / "2.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b.2.png: not a readable image"):
        load_folder(tmp_path)
    Image = pytest.importorskip("PIL.Image")
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(tmp_path / "b" / "2.png")
    with pytest.raises(ValueError, match=r"b.2.png: .*more than 8 bits per channel"):
        load_folder(tmp_path)
    (tmp_path / "c").mkdir()
    with pytest.raises(ValueError, match=r"c: there must be images in it, .bmp"):
        load_folder(tmp_path)


def test_train_and_test_folders_must_agree(tmp_path):
    picture(tmp_path / "train" / "a" / "1.png")
    with pytest.raises(FileNotFoundError, match="beside the folder train there must be one test"):
        load_folder(tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match="there are no test images"):
        load_folder(tmp_path)
    picture(tmp_path / "test" / "z" / "1.png")
    with pytest.raises(ValueError, match="its classes must be among those of train, got z"):
        load_folder(tmp_path)


# ------------------------------------------------------------------------------ none of these


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="no data set in it; it must be a folder with"):
        load_folder(tmp_path)
    path = tmp_path / "data.csv"
    path.write_text("1,2,3")
    with pytest.raises(FileNotFoundError, match=r"data.csv: there is no data set in it"):
        load_folder(path)


def test_class_names_do_not_disturb_the_tuple():
    data = mnist()
    x_train, y_train, x_test, y_test = data
    assert (len(x_train), len(y_train), len(x_test), len(y_test)) == (60000, 60000, 10000, 10000)
    assert data.class_names == tuple("0123456789")
