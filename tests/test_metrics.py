"""Metrics against plain loops, and the same for any way to cut the data into batches."""

import numpy as np
import pytest

from fastconv import metrics, nn
from fastconv.metrics import Scores
from fastconv.train import evaluate

RNG = np.random.default_rng(0)


def plain_rank(outputs, label):
    """How many classes come before that of the label: larger, or equal and named earlier."""
    order = sorted(range(len(outputs)), key=lambda c: (-outputs[c], c))
    return order.index(label)


@pytest.mark.parametrize("space", [(), (3,), (2, 4)])
@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_by_sorting(space, k):
    """Small integers, so that there are ties."""
    output = RNG.integers(0, 4, (20, 7, *space)).astype(np.float32)
    target = RNG.integers(0, 7, (20, *space))
    columns = np.moveaxis(output, 1, -1).reshape(-1, 7)
    ranks = [plain_rank(row, label) for row, label in zip(columns, target.ravel(), strict=True)]
    expected = np.mean([rank < k for rank in ranks])
    assert metrics.top_k_accuracy(output, target, k) == pytest.approx(expected, abs=0)
    if k == 1:
        assert metrics.accuracy(output, target) == metrics.top_k_accuracy(output, target, 1)


def test_top_k_as_torch():
    torch = pytest.importorskip("torch")
    output, target = RNG.normal(size=(50, 12)), RNG.integers(0, 12, 50)
    chosen = torch.topk(torch.from_numpy(output), 3).indices.numpy()
    expected = np.mean([label in row for row, label in zip(chosen, target, strict=True)])
    assert metrics.top_k_accuracy(output, target, 3) == pytest.approx(expected, abs=0)


def test_nan_is_never_among_the_best():
    output = np.full((4, 6), np.nan)
    assert metrics.top_k_accuracy(output, np.arange(4)) == 0
    output[:, 0] = 1
    assert metrics.top_k_accuracy(output, np.zeros(4, int)) == 0  # five others may be larger


def test_errors_by_hand():
    output, target = np.float32([[1, 2], [3, 5]]), np.float32([[1, 0], [0, 9]])
    assert metrics.mean_squared_error(output, target) == (0 + 4 + 9 + 16) / 4
    assert metrics.mean_absolute_error(output, target) == (0 + 2 + 3 + 4) / 4
    assert metrics.mean_squared_error(np.uint8([1]), np.uint8([3])) == 4  # nothing wraps around


def test_confusion_matrix_and_shares_by_counting():
    true, predicted = RNG.integers(0, 5, 200), RNG.integers(0, 5, 200)
    true[true == 3] = 0  # one class that does not occur
    predicted[predicted == 4] = 0  # and one that is never predicted
    pairs = list(zip(true.tolist(), predicted.tolist(), strict=True))
    counts = metrics.confusion_matrix(true, predicted)
    assert counts.shape == (5, 5)
    assert all(counts[i, j] == pairs.count((i, j)) for i in range(5) for j in range(5))
    shares = metrics.precision_recall_fscore_support(true, predicted)
    for c, (precision, recall, f1, support) in enumerate(zip(*shares, strict=True)):
        right = pairs.count((c, c))
        taken = sum(p == c for _, p in pairs)
        present = sum(t == c for t, _ in pairs)
        assert support == present
        assert precision == (right / taken if taken else 0)
        assert recall == (right / present if present else 0)
        harmonic = 2 * precision * recall / (precision + recall) if right else 0
        assert f1 == pytest.approx(harmonic, rel=1e-15)
    assert metrics.confusion_matrix([0], [1], num_classes=3).tolist() == [
        [0, 1, 0],
        [0] * 3,
        [0] * 3,
    ]
    assert metrics.confusion_matrix(np.zeros(0, int), np.zeros(0, int)).shape == (0, 0)


def test_bad_arguments():
    for call, message in (
        (lambda: metrics.confusion_matrix([0, 1], [0]), "must be class indices of one shape"),
        (lambda: metrics.confusion_matrix([0.5], [0]), "must be class indices of one shape"),
        (lambda: metrics.confusion_matrix([0, -1], [0, 1]), "classes must be 0 to 1, got -1 to 1"),
        (lambda: metrics.confusion_matrix([0], [2], 2), "classes must be 0 to 1, got 0 to 2"),
        (lambda: metrics.top_k_accuracy(np.zeros((2, 3)), [0, 3]), "targets must be 0 to 2, got 0"),
        (lambda: metrics.top_k_accuracy(np.zeros((2, 3)), [0, 1], 0), "k must be at least 1"),
        (lambda: metrics.accuracy(np.zeros((2, 3)), np.zeros((2, 3))), "accuracy: output must be"),
        (lambda: metrics.accuracy(np.zeros((2, 3)), [0, 1, 2]), "accuracy: output must be"),
        (lambda: metrics.mean_squared_error(np.zeros(2), np.zeros((2, 1))), "must have one shape"),
        (lambda: Scores(["precision"]), "metrics must hold .*, got 'precision'"),
        (lambda: Scores(["top_0_accuracy"]), "metrics must hold .*, got 'top_0_accuracy'"),
        (lambda: Scores([None]), "metrics must hold .*, got None"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20])
def test_any_cut_into_batches(batch_size):
    """Exactly for what counts, and to rounding for the rest."""
    identity = nn.Sequential(nn.LeakyReLU(1.0))
    x, y = RNG.normal(size=(20, 4)).astype(np.float32), RNG.integers(0, 4, 20)

    def largest_error(output, target):
        return np.abs(output.argmax(axis=1) - target).mean()

    names = ["accuracy", "top_2_accuracy", largest_error]
    scores = evaluate(identity, (x, y), metrics=names, batch_size=batch_size)
    assert scores == {
        "accuracy": metrics.accuracy(x, y),
        "top_2_accuracy": metrics.top_k_accuracy(x, y, 2),
        "largest_error": pytest.approx(largest_error(x, y), rel=1e-14),
    }
    target = RNG.normal(size=(20, 4)).astype(np.float32)
    scores = evaluate(identity, (x, target), metrics=["mse", "mae"], batch_size=batch_size)
    assert scores == {
        "mse": pytest.approx(metrics.mean_squared_error(x, target), rel=1e-14),
        "mae": pytest.approx(metrics.mean_absolute_error(x, target), rel=1e-14),
    }
    assert evaluate(identity, (x, y), metrics=["accuracy"], loss=nn.CrossEntropyLoss()).keys() == {
        "loss", "accuracy"
    }  # fmt: skip
    with pytest.raises(ValueError, match="mse: output and target must have one shape"):
        evaluate(identity, (x, y), metrics=["mse"])


def test_an_output_that_is_not_a_number_is_never_right():
    output, target = np.full((3, 2), np.nan), np.zeros(3, int)
    assert metrics.accuracy(output, target) == 0
    output[0] = [2, 1]
    assert metrics.accuracy(output, target) == pytest.approx(1 / 3)
    assert metrics.top_k_accuracy(output, target, 1) == pytest.approx(1 / 3)
