"""What is kept of a test's scores, against scikit-learn and naive loops over all of them."""

import csv
import math
import os

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, top_k_accuracy_score

from dassl.evaluation.calibration import HIGHEST, LOWEST, fit_temperature
from dassl.evaluation.predictions import PredictionRecorder, expected_calibration_error, join, reduce_scores
from dassl.utils import UserError

N, C = 101, 9


@pytest.fixture
def scores():
    return 4 * torch.randn(N, C, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels(scores):
    """Most of them the best class of the scores; class 8 has no image."""
    random = torch.Generator().manual_seed(1)
    others = torch.randint(0, C - 1, (N,), generator=random)
    return torch.where(torch.rand(N, generator=random) < 0.6, scores.argmax(1) % (C - 1), others)


def record(scores, labels, batch_size=16, temperature=1.0):
    recorder = PredictionRecorder(temperature)
    for first in range(0, len(labels), batch_size):
        part = slice(first, first + batch_size)
        paths = [f"/data/{index}.png" for index in range(len(labels))][part]
        recorder.add(scores[part], labels[part], {"impath": paths, "index": torch.arange(len(labels))[part]})
    return recorder.collect(is_shared=False)


def naive_calibration_error(probabilities, right):
    total = 0.0
    for number in range(15):
        inside = [i for i, p in enumerate(probabilities) if number / 15 < p <= (number + 1) / 15]
        if inside:
            accuracy = sum(bool(right[i]) for i in inside) / len(inside)
            mean = sum(probabilities[i] for i in inside) / len(inside)
            total += len(inside) / len(probabilities) * abs(accuracy - mean)
    return total


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_metrics_are_those_of_all_scores_at_once(scores, labels, temperature):
    metrics = record(scores, labels, temperature=temperature).metrics()
    probabilities = torch.softmax(scores.double() / temperature, dim=1).numpy()
    predicted = probabilities.argmax(1)
    right = predicted == labels.numpy()
    classes = range(C)
    squared = brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False)
    calibration = naive_calibration_error(probabilities.max(1), right)
    assert metrics["brier_score"] == pytest.approx(squared, rel=1e-5)
    assert metrics["top5_accuracy"] == pytest.approx(100 * top_k_accuracy_score(labels, scores, k=5, labels=classes))
    # scikit-learn's warns that class 8, which is predicted, is never true
    with pytest.warns(UserWarning):
        assert metrics["mean_per_class_accuracy"] == pytest.approx(100 * balanced_accuracy_score(labels, predicted))
    assert metrics["expected_calibration_error"] == pytest.approx(100 * calibration, rel=1e-5)


def test_probability_and_rank_of_each_image(scores, labels):
    predictions = record(scores, labels)
    for i, row in enumerate(scores.tolist()):
        total = sum(math.exp(score) for score in row)
        assert predictions.probabilities[i] == pytest.approx(math.exp(max(row)) / total, rel=1e-5)
        assert predictions.ranks[i] == 1 + sum(score > row[labels[i]] for score in row)
    assert ((predictions.ranks == 1) == (predictions.predictions == predictions.labels)).all()


def test_five_classes_have_no_top_5():
    assert "top5_accuracy" not in record(torch.eye(5), torch.arange(5)).metrics()
    assert record(torch.eye(6), torch.arange(6)).metrics()["top5_accuracy"] == 100.0


def test_of_equal_scores_the_prediction_alone_has_rank_1():
    _, predictions, _, ranks, _ = reduce_scores(torch.zeros(4, 4), torch.arange(4))
    assert ((ranks == 1) == (predictions == torch.arange(4))).all()
    assert ranks.tolist() == [1, 2, 3, 4]


def test_a_label_without_a_score_is_wrong_and_last():
    metrics = record(torch.eye(3), torch.tensor([0, 1, 7])).metrics()
    assert metrics["mean_per_class_accuracy"] == pytest.approx(200 / 3)
    assert record(torch.eye(3), torch.tensor([0, 1, 7])).ranks.tolist() == [1, 1, 4]


@pytest.mark.parametrize("worst", [math.nan, math.inf])
def test_figures_of_scores_that_are_not_finite_are_left_out(worst):
    scores = torch.eye(3)
    scores[0, 0] = worst
    assert record(scores, torch.arange(3)).metrics().keys() == {"mean_per_class_accuracy"}


def test_the_calibration_error_at_the_edges_of_bins():
    probabilities = np.array([1 / 15, 2 / 15, 1.0, 1.0, 0.5])
    right = np.array([True, False, True, False, True])
    assert expected_calibration_error(probabilities, right) == pytest.approx(
        naive_calibration_error(probabilities.tolist(), right)
    )


def test_half_precision_scores_count_as_they_are():
    scores = torch.tensor([[9.0, 1.0], [2.0, 3.0]])
    assert record(scores.half(), torch.tensor([0, 0])).metrics() == record(scores, torch.tensor([0, 0])).metrics()


def test_scores_of_another_kind_leave_nothing_to_record():
    for scores in ((torch.eye(2), torch.eye(2)), torch.zeros(2, 3, 4), torch.zeros(2, 3).long(), torch.zeros(3, 3)):
        recorder = PredictionRecorder()
        recorder.add(scores, torch.tensor([0, 1]), {})
        assert recorder.collect(is_shared=False) is None
    assert PredictionRecorder().collect(is_shared=False) is None  # a process without images


def test_parts_of_several_processes_are_in_the_order_of_the_split():
    def part(*indices):
        columns = [np.array(indices)] * 5
        return 3, np.array(indices, dtype=int), [str(index) for index in indices], columns

    joined = join([part(0, 2, 4), part(1, 3), part()])
    assert joined.paths == list("01234") and joined.labels.tolist() == [0, 1, 2, 3, 4]


def read(file):
    with open(file, encoding="utf-8", errors="surrogateescape", newline="") as opened:
        return list(csv.reader(opened))


def test_every_name_and_path_survives(tmp_path):
    names = {0: 'a, "b"', 1: "line\nend\r, tab\t", 2: "café 猫", 3: 'a, "b"'}
    root = tmp_path / "data"
    paths = [str(root / "d/x,y.png"), os.fsdecode(bytes(root) + b"/\xff\n.png"), "/elsewhere/é.png", f"{root}2/z.png"]
    recorder = PredictionRecorder()
    scores = torch.tensor([[9.0, 0, 0, 0], [0, 0, 9.0, 0], [0, 0, 9.0, 0], [9.0, 0, 0, 0]])
    recorder.add(scores, torch.tensor([0, 1, 2, 3]), {"impath": paths})
    recorder.collect(is_shared=False).write_csv(tmp_path / "p.csv", str(root), names)
    header, *rows = read(tmp_path / "p.csv")
    assert header == ["path", "label", "prediction", "probability", "rank", "label_id", "prediction_id"]
    assert [row[0] for row in rows] == ["d/x,y.png", os.fsdecode(b"\xff\n.png"), "/elsewhere/é.png", f"{root}2/z.png"]
    assert [row[1] for row in rows] == list(names.values())
    assert [row[2] for row in rows] == [names[0], names[2], names[2], names[0]]
    assert [row[4:] for row in rows] == [["1", "0", "0"], ["3", "1", "2"], ["1", "2", "2"], ["4", "3", "0"]]
    assert float(rows[0][3]) == pytest.approx(math.exp(9) / (math.exp(9) + 3), abs=1e-5)


def test_no_batch_of_scores_is_kept():
    recorder = PredictionRecorder()
    recorder.add(torch.randn(50, 1000), torch.arange(50), {})
    kept = [column for columns in recorder._columns for column in columns]
    assert sum(column.untyped_storage().nbytes() for column in kept) == 5 * 50 * 8


def test_the_file_of_imagenet_is_small(tmp_path):
    scores = torch.randn(50, 1000)
    recorder = PredictionRecorder()
    path = "/data/imagenet/images/val/n01440764/ILSVRC2012_val_00000293.JPEG"
    recorder.add(scores, torch.arange(50), {"impath": [path] * 50})
    recorder.collect(is_shared=False).write_csv(
        tmp_path / "p.csv", "/data", dict.fromkeys(range(1000), "vacuum cleaner")
    )
    assert (tmp_path / "p.csv").stat().st_size < 50 * 140  # 7 MB for 50,000


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path, scores, labels):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        record(scores, labels).write_csv(tmp_path / "file" / "p.csv", "", {})


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_of_drawn_labels_is_found(true):
    """Labels drawn by the softmax of scores / T are best explained by T; a grid of temperatures has no better one."""
    random = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(20000, 4, generator=random)
    labels = torch.multinomial(torch.softmax(scores / true, 1), 1, generator=random).squeeze(1)
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(true, rel=0.05)

    def loss(temperature):
        return torch.nn.functional.cross_entropy(scores.double() / temperature, labels).item()

    assert loss(found) <= min(loss(found * factor) for factor in np.linspace(0.5, 2, 61)) + 1e-9


def test_labels_that_are_all_right_or_wrong_have_a_temperature_within_bounds():
    scores = 3 * torch.eye(4)
    assert LOWEST <= fit_temperature(scores, torch.arange(4)) < 0.1  # below it the loss is 0 to the last bit
    assert fit_temperature(scores, torch.arange(4).flip(0)) == pytest.approx(HIGHEST, rel=1e-3)
