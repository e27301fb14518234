"""Data sets by download, from mirrors on this machine: broken, lying, good, and none at all."""

import gzip
import hashlib
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from data_files import FILES, arrays, cifar_batches, save_cifar, write

from fastconv.data import cifar10, datasets, fashion_mnist


@pytest.fixture
def server():
    """Serves `server.files`, {path: content}, and notes what was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + server.missing))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.asked, server.missing = {}, asked, 0
        server.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere():
    """A mirror that nobody answers for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.delenv("FASTCONV_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """Small files in place of the real ones: {name: content as served}, and the arrays."""
    folder = tmp_path / "made"
    folder.mkdir()
    parts = arrays()
    write(folder, parts)
    plain = {name: (folder / name).read_bytes() for name in FILES}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in plain.items()}
    monkeypatch.setattr(datasets, "FASHION_MNIST", sums)
    # Not the bytes of any other gzip: the sum is of what they unpack to.
    return {f"{name}.gz": gzip.compress(each, 1) for name, each in plain.items()}, parts


def mirrors(monkeypatch, *urls):
    monkeypatch.setattr(datasets, "FASHION_MNIST_MIRRORS", urls)
    monkeypatch.setattr(datasets, "CIFAR10_MIRRORS", urls)


def serve(server, folder, files):
    server.files |= {f"/{folder}/{name}": content for name, content in files.items()}
    return f"{server.url}{folder}/"


def test_the_first_good_mirror_is_taken_and_kept(server, nowhere, fashion, tmp_path, monkeypatch):
    files, parts = fashion
    lying = serve(server, "lying", dict.fromkeys(files, gzip.compress(b"something else")))
    damaged = serve(server, "damaged", {name: each[:-9] for name, each in files.items()})
    good = serve(server, "good", files)
    mirrors(monkeypatch, nowhere, f"{server.url}absent/", lying, damaged, good)
    data = fashion_mnist()
    for got, expected in zip(data, parts, strict=True):
        np.testing.assert_array_equal(got.reshape(expected.shape), expected)
    assert data.class_names[9] == "Ankle boot"
    assert len(server.asked) == 4 * 4
    folder = tmp_path / "cache" / "fastconv" / "fashion-mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    # The second time nobody is asked.
    mirrors(monkeypatch)
    np.testing.assert_array_equal(fashion_mnist().x_test, data.x_test)
    # One that got lost comes again, alone.
    mirrors(monkeypatch, good)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    fashion_mnist()
    assert server.asked[16:] == ["/good/t10k-labels-idx1-ubyte.gz"]


def test_a_server_that_unpacks(server, fashion, monkeypatch):
    files, parts = fashion
    plain = {name: gzip.decompress(content) for name, content in files.items()}
    mirrors(monkeypatch, serve(server, "plain", plain))
    np.testing.assert_array_equal(fashion_mnist().x_test[:, 0], parts[2])


def test_wrong_content_is_refused(server, nowhere, fashion, tmp_path, monkeypatch):
    files, _ = fashion
    lying = serve(server, "lying", dict.fromkeys(files, gzip.compress(b"something else")))
    mirrors(monkeypatch, lying, f"{server.url}absent/", nowhere)
    folder = tmp_path / "here"
    with pytest.raises(FileNotFoundError) as error:
        fashion_mnist(folder)
    assert str(error.value) == (
        f"train-images-idx3-ubyte.gz could not be downloaded from {lying} (wrong content), "
        f"{server.url}absent/ (status 404), {nowhere} (ConnectionError); "
        "download train-images-idx3-ubyte.gz from "
        f"https://github.com/zalandoresearch/fashion-mnist and put it in {folder}, "
        "or set FASTCONV_DATA to the folder where it is"
    )
    assert list(folder.iterdir()) == []


def test_a_download_that_breaks_off(server, fashion, tmp_path, monkeypatch):
    files, _ = fashion
    server.missing = 10  # bytes that were promised
    mirrors(monkeypatch, serve(server, "good", files))
    with pytest.raises(FileNotFoundError, match=r"/good/ \(\w+Error\)"):
        fashion_mnist(tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_files_of_ones_own_need_no_network(tmp_path, monkeypatch):
    mirrors(monkeypatch)
    monkeypatch.setitem(sys.modules, "pooch", None)
    inner = tmp_path / "fashion-mnist"
    inner.mkdir()
    write(inner, arrays(size=(2, 3)))
    assert fashion_mnist(inner).image_shape == (1, 2, 3)
    for folder in (tmp_path, inner):
        monkeypatch.setenv("FASTCONV_DATA", str(folder))
        assert fashion_mnist().image_shape == (1, 2, 3)


def test_downloads_go_where_fastconv_data_says(server, fashion, tmp_path, monkeypatch):
    files, _ = fashion
    mirrors(monkeypatch, serve(server, "good", files))
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path / "own"))
    fashion_mnist()
    assert len(list((tmp_path / "own" / "fashion-mnist").iterdir())) == 4


def test_without_pooch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"needs pooch: pip install 'fastconv\[download\]'; or"):
        fashion_mnist()
    with pytest.raises(
        ImportError, match=r"cifar-10-binary.tar.gz from .*cifar.html and put it in .*here"
    ):
        cifar10(tmp_path / "here")


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    contents, meant = cifar_batches()
    path = save_cifar(tmp_path, contents, archive=True)
    content = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(datasets, "CIFAR10", hashlib.sha256(content).hexdigest())
    return content, contents, meant


def test_cifar10_from_the_second_mirror(server, cifar, tmp_path, monkeypatch):
    content, _, meant = cifar
    lying = serve(server, "lying", {"cifar-10-binary.tar.gz": content + b" "})
    good = serve(server, "good", {"cifar-10-binary.tar.gz": content})
    mirrors(monkeypatch, lying, good)
    for _ in range(2):
        data = cifar10()
        np.testing.assert_array_equal(data.x_test, meant["test_batch.bin"][0])
        assert (data.class_names[0], data.num_classes) == ("airplane", 10)
    assert server.asked == ["/lying/cifar-10-binary.tar.gz", "/good/cifar-10-binary.tar.gz"]
    mirrors(monkeypatch, lying)
    with pytest.raises(FileNotFoundError, match=re.escape(f"{lying} (wrong content)")):
        cifar10(tmp_path / "other")


def test_cifar10_unpacked_by_hand(cifar, tmp_path, monkeypatch):
    mirrors(monkeypatch)
    save_cifar(tmp_path / "cifar-10-batches-bin", cifar[1])
    for folder in (tmp_path, tmp_path / "cifar-10-batches-bin"):
        assert len(cifar10(folder).x_train) == 10
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
    assert len(cifar10().x_train) == 10
