"""save and load: safetensors, whole or not at all."""

import json
import os
import stat
import sys
import threading

import numpy as np
import pytest
from nn_cases import small_net

import fastconv
from fastconv import nn
from fastconv.serialization import load_metadata

pytest.importorskip("safetensors")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def entries(path):
    return sorted(each.name for each in path.parent.iterdir())


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for key, array in expected.items():
        array = np.asarray(array)
        assert got[key].dtype == array.dtype.newbyteorder("=")
        assert got[key].shape == array.shape
        np.testing.assert_array_equal(got[key], array)


def test_roundtrip_of_a_module(path):
    net = small_net()
    net(np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32))
    fastconv.save(net, path)
    assert entries(path) == ["model.safetensors"]
    assert_same(fastconv.load(path), net.state_dict())
    twin = small_net(seed=1)
    twin.load_state_dict(fastconv.load(path))
    assert_same(twin.state_dict(), net.state_dict())
    assert twin.state_dict()["2.body.1.num_batches_tracked"] == 1


ARRAYS = {
    "float64": np.linspace(-1, 1, 7),
    "float16": np.arange(4, dtype=np.float16),
    "int8": np.arange(-3, 3, dtype=np.int8).reshape(2, 3),
    "uint64": np.array([2**64 - 1], np.uint64),
    "bool": np.array([True, False]),
    "scalar": np.array(2.5, np.float32),
    "number": 3.0,
    "empty": np.zeros((2, 0, 3), np.float32),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "reversed": np.arange(5.0)[::-1],
    "sliced": np.arange(20.0).reshape(4, 5)[::2, 1:4],
    "broadcast": np.broadcast_to(np.float32(2), (3, 2)),
    "other byte order": np.arange(4, dtype=">f4"),
    "unaligned": np.frombuffer(b"\0" + np.arange(3.0).tobytes(), np.uint8)[1:].view(np.float64),
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
    "ключ 鍵": np.ones(1),
    "": np.ones(2),
}


def test_every_kind_of_array(path):
    fastconv.save(ARRAYS, path)
    assert_same(fastconv.load(path), ARRAYS)
    assert np.signbit(fastconv.load(path)["special"][2])


def test_loaded_arrays_are_writeable_and_their_own(path):
    fastconv.save({"a": np.zeros(3)}, path)
    first = fastconv.load(path)["a"]
    first += 1
    np.testing.assert_array_equal(fastconv.load(path)["a"], 0)


def test_nothing_to_save(path):
    fastconv.save({}, path)
    assert fastconv.load(path) == {}
    assert load_metadata(path) == {}


def test_metadata(path):
    net = small_net()
    metadata = {"architecture": json.dumps(nn.describe(net)), "note": "ünïcode \n\0"}
    fastconv.save(net, path, metadata)
    assert load_metadata(path) == metadata
    twin = nn.build(json.loads(load_metadata(path)["architecture"]))
    twin.load_state_dict(fastconv.load(path))
    assert_same(twin.state_dict(), net.state_dict())


@pytest.mark.parametrize("as_type", [str, os.fspath, lambda path: path])
def test_kinds_of_path(path, as_type, monkeypatch):
    fastconv.save({"a": np.ones(1)}, as_type(path))
    assert_same(fastconv.load(as_type(path)), {"a": np.ones(1)})
    monkeypatch.chdir(path.parent)
    fastconv.save({"a": np.zeros(1)}, "model.safetensors")
    assert_same(fastconv.load("model.safetensors"), {"a": np.zeros(1)})


def test_the_safetensors_package_reads_it(path):
    import safetensors.numpy

    fastconv.save({"a": np.arange(3.0)}, path, {"k": "v"})
    assert_same(safetensors.numpy.load_file(path), {"a": np.arange(3.0)})


def test_models_travel_to_torch_and_back(path):
    torch = pytest.importorskip("torch")
    import safetensors.torch

    torch.manual_seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, groups=1, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.SiLU(),
        torch.nn.ConvTranspose2d(4, 6, (3, 2), stride=2, padding=1, output_padding=1, groups=2),
        torch.nn.GroupNorm(2, 6),
        torch.nn.GELU(),
        torch.nn.AdaptiveAvgPool2d((2, 3)),
        torch.nn.Flatten(),
        torch.nn.Linear(36, 5),
    )
    ours = nn.Sequential(
        nn.Conv2d(3, 4, 3, groups=1, padding=1),
        nn.BatchNorm2d(4),
        nn.SiLU(),
        nn.ConvTranspose2d(4, 6, (3, 2), stride=2, padding=1, output_padding=1, groups=2),
        nn.GroupNorm(2, 6),
        nn.GELU(),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(),
        nn.Linear(36, 5),
    )
    theirs(torch.randn(5, 3, 6, 7))  # moves the running statistics
    safetensors.torch.save_file(theirs.state_dict(), path)
    ours.load_state_dict(fastconv.load(path))
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 7)).astype(np.float32)

    def assert_same_outputs():
        expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(ours.eval()(x), expected, rtol=1e-4, atol=1e-5)

    assert_same_outputs()
    for parameter in ours.parameters():
        parameter.data *= 1.1
    fastconv.save(ours, path)
    theirs.load_state_dict(safetensors.torch.load_file(path))
    assert_same_outputs()


# ---- what cannot be saved


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ({"a": np.array([None])}, "save: a must hold numbers or booleans, got object"),
        ({"a": np.array(["x"])}, "save: a must hold numbers or booleans, got <U1"),
        ({"a": np.zeros(1, complex)}, "got complex128"),
        ({"a": np.zeros(1, "M8[s]")}, "got datetime64"),
        ({1: np.zeros(1)}, "save: a key must be a string, not '__metadata__', got 1"),
        ({"__metadata__": np.zeros(1)}, "a key must be .* got '__metadata__'"),
    ],
)
def test_bad_arrays(path, state, match):
    with pytest.raises(TypeError, match=match):
        fastconv.save(state, path)
    assert entries(path) == []


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": None}, {"a": {"b": "c"}}])
def test_bad_metadata(path, metadata):
    with pytest.raises(TypeError, match="save: metadata must map strings to strings"):
        fastconv.save({}, path, metadata)
    assert entries(path) == []


# ---- atomicity

OLD, NEW = {"a": np.zeros(5)}, {"a": np.ones(5)}


def failing(*args, **kwargs):
    raise OSError("no space left")


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_only(path, monkeypatch, broken):
    fastconv.save(OLD, path)
    with monkeypatch.context() as patch:
        patch.setattr(os, broken, failing)
        with pytest.raises(OSError, match="no space left"):
            fastconv.save(NEW, path)
    assert entries(path) == ["model.safetensors"]
    assert_same(fastconv.load(path), OLD)


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_a_write_that_stops_halfway_leaves_the_old_file_only(path, monkeypatch, error):
    fastconv.save(OLD, path)
    real_open = open

    class Half:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *details):
            self.file.close()

        def write(self, data):
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            raise error

    def half_open(name, mode="r", *args, **kwargs):
        file = real_open(name, mode, *args, **kwargs)
        return Half(file) if "r" not in mode else file

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", half_open)
        with pytest.raises(type(error)):
            fastconv.save(NEW, path)
    assert entries(path) == ["model.safetensors"]
    assert_same(fastconv.load(path), OLD)


def test_the_name_appears_only_when_all_is_on_the_disk(path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(handle):
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        return fsync(handle)

    def spy_replace(source, target):
        assert not path.exists()
        assert_same(fastconv.load(source), NEW)
        assert os.path.dirname(source) == os.path.dirname(target)
        events.append("replace")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    fastconv.save(NEW, path)
    assert events == ["file", "replace", "folder"]


def test_the_file_has_the_usual_permissions(path):
    mask = os.umask(0o027)
    try:
        fastconv.save(NEW, path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_a_link(path):
    target = path.with_name("target.safetensors")
    fastconv.save(OLD, target)
    path.symlink_to(target)
    fastconv.save(NEW, path)
    assert path.is_symlink()
    assert_same(fastconv.load(target), NEW)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastconv.save(NEW, tmp_path / "missing" / "model.safetensors")


# ---- files that are none


@pytest.mark.parametrize("read", [fastconv.load, load_metadata])
def test_missing_file(path, read):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        read(path)
    with pytest.raises(IsADirectoryError):
        read(path.parent)


def header(text):
    return len(text).to_bytes(8, "little") + text.encode()


BROKEN = {
    "empty": b"",
    "short": b"\x08\0\0",
    "text": b"this is no safetensors file at all",
    "huge header": (2**63).to_bytes(8, "little") + b"{}",
    "lying header": (10**6).to_bytes(8, "little") + b"{}",
    "no json": header("{not json"),
    "no object": header("[1, 2]"),
    "unknown type": header('{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}') + b"\0" * 4,
    "wrong size": header('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}') + b"\0" * 4,
    "beyond": header('{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}') + b"\0" * 4,
    "overflow": header('{"a":{"dtype":"I8","shape":[9223372036854775807,4],"data_offsets":[0,0]}}'),
    "bfloat16": header('{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}') + b"\0" * 2,
    "float8": header('{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}') + b"\0",
    "left over": header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}') + b"\0" * 8,
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_corrupt_files(path, name):
    path.write_bytes(BROKEN[name])
    with pytest.raises(ValueError, match=r"load: .*model\.safetensors is not readable as"):
        fastconv.load(path)
    if name not in ("bfloat16", "float8"):  # the metadata of these are fine
        with pytest.raises(ValueError, match=r"load_metadata: .*model\.safetensors is not"):
            load_metadata(path)


def test_every_truncation_is_refused(path):
    fastconv.save({"a": np.arange(3.0), "b": np.ones(2, np.float32)}, path, {"k": "v"})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="is not readable as safetensors"):
            fastconv.load(path)


def test_no_code_in_the_file(path):
    import pickle

    path.write_bytes(pickle.dumps({"a": np.zeros(3)}))
    with pytest.raises(ValueError, match="is not readable as safetensors"):
        fastconv.load(path)


@pytest.mark.parametrize("function", ["save", "load", "load_metadata"])
def test_without_safetensors(path, monkeypatch, function):
    fastconv.save({}, path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    arguments = ({}, path) if function == "save" else (path,)
    with pytest.raises(
        ImportError, match=rf"{function} needs safetensors: pip install 'fastconv\["
    ):
        getattr(fastconv.serialization, function)(*arguments)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    fastconv.save({"a": np.ones(3, np.float32)}, path)
    reader.join()
    assert path.is_fifo()
    fastconv.save({"a": np.ones(3, np.float32)}, tmp_path / "file")
    assert read == [(tmp_path / "file").read_bytes()]
