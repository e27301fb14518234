"""The scripts in examples/ do what they say.

By default each runs on a part of its data, for some seconds; with FASTCONV_TEST_EFFORT above 1 as
a user runs it, within a minute.  The bounds are missed with a transposed convolution that does not
learn or learns the inverted filter, a PixelShuffle in another order, a Concat that takes one
branch's gradient for the other's, a batch normalisation without gradient.
"""

import re
from pathlib import Path

import numpy as np
import programs
import pytest
from strategies import EFFORT

EXAMPLES = Path(__file__).parent.parent / "examples"


def numbers(name, pattern, *arguments, quick=()):
    """The groups of the pattern in the last lines that the example prints, as numbers."""
    done = programs.run(
        EXAMPLES / name, *map(str, arguments), *(() if EFFORT > 1 else quick), timeout=280
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = re.search(pattern + "\n$", done.stdout)
    assert found, done.stdout
    return [float(text) for text in found.groups()]


def bound(full, quick):
    return full if EFFORT > 1 else quick


def test_every_example_is_tested():
    here = Path(__file__).read_text()
    assert all(f'"{path.name}"' in here for path in EXAMPLES.glob("*.py"))


def test_mnist_in_twenty_lines():
    assert len((EXAMPLES / "mnist.py").read_text().splitlines()) <= 20
    (accuracy,) = numbers("mnist.py", r"^epoch 1/1 .*\ntest accuracy (\S+)")
    assert accuracy >= 0.989


def test_denoising(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    picture = tmp_path / "digits.png"
    noisy, denoised = numbers(
        "denoising.py", r"PSNR: noisy (\S+) dB, denoised (\S+) dB", "--out", picture,
        quick=("--epochs", "1", "--images", "12000"),
    )  # fmt: skip
    assert 9 < noisy < 10  # of a black image: 9.4
    assert denoised >= bound(18, 14.5)
    with pillow.open(picture) as image:
        assert (image.mode, image.size) == ("L", (16 * 30 + 2, 3 * 30 + 2))
        rows = np.asarray(image, float)[2:].reshape(3, 30, -1)
    clean, noisy, denoised = rows
    assert np.abs(denoised - clean).mean() < 0.5 * np.abs(noisy - clean).mean()


def test_superresolution(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    picture = tmp_path / "digits.png"
    bilinear, shuffled, transposed = numbers(
        "superresolution.py",
        r"bilinear +PSNR (\S+) dB\nPixelShuffle +PSNR (\S+) dB\nConvTranspose2d +PSNR (\S+) dB",
        "--out", picture, quick=("--epochs", "1", "--images", "12000"),
    )  # fmt: skip
    assert bilinear == pytest.approx(18.35, abs=0.01)
    assert min(shuffled, transposed) >= bilinear + bound(5, 2)
    with pillow.open(picture) as image:
        assert image.size == (16 * 30 + 2, 5 * 30 + 2)


def test_bilinear_of_the_example_is_that_of_torch():
    torch = pytest.importorskip("torch")
    namespace = {"__name__": "superresolution"}
    exec((EXAMPLES / "superresolution.py").read_text(), namespace)
    x = np.random.default_rng(0).normal(size=(2, 1, 5, 7)).astype(np.float32)
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))  # PyTorch repeats the border, here it is 0
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(x), scale_factor=2, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(namespace["bilinear"](x), theirs.numpy(), atol=1e-5)


def test_signals():
    *each, accuracy = numbers(
        "signals.py",
        r"sine +(\S+)\ntriangle +(\S+)\nsquare +(\S+)\nsawtooth +(\S+)\npulse +(\S+)\n"
        r"test accuracy (\S+)",
        quick=("--epochs", "3", "--signals", "2000"),
    )
    assert accuracy >= bound(0.91, 0.85)
    assert min(each) > 0.5  # all five are told apart


def test_segmentation3d():
    by_brightness, dice = numbers(
        "segmentation3d.py",
        r"Dice score: best threshold (\S+), U-Net (\S+)",
        quick=("--epochs", "3", "--volumes", "80"),
    )
    assert by_brightness < 0.5
    assert dice >= bound(0.9, 0.78)


def test_dcgan(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    picture = tmp_path / "digits.png"
    untrained, invented, real = numbers(
        "dcgan.py", r"inception score: untrained (\S+), invented (\S+), real (\S+)",
        "--out", picture, quick=("--images", "10000"),
    )  # fmt: skip
    assert untrained < 1.1
    assert invented >= bound(4.5, 2)
    assert real >= bound(9, 7)
    with pillow.open(picture) as image:
        assert image.size == (302, 302)
        pixels = np.asarray(image, float)
    digits = pixels[2:, 2:].reshape(10, 30, 10, 30)[:, :28, :, :28].transpose(0, 2, 1, 3)
    assert np.unique(digits.reshape(100, -1), axis=0).shape[0] == 100  # not one digit, repeated


def test_pytorch(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")
    monkeypatch.chdir(tmp_path)
    theirs, ours, *_ = numbers(
        "pytorch.py",
        r"loss (\S+) by PyTorch, (\S+) by fastconv\n"
        r"PyTorch: (\S+) ms a step\nfastconv: (\S+) ms a step\nzero copies: True",
    )
    assert ours == pytest.approx(theirs, rel=1e-4)
