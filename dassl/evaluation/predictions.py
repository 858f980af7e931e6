"""What a test answered for each image, and the metrics that follow from it.

    scores (B, C) of a batch -> PredictionRecorder: five numbers per image -> Predictions -> predictions.csv, metrics

All scores of ImageNet's 50,000 test images would be 200 MB, so each batch is reduced at once, on its device.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dassl.utils.atomic import atomic_write
from dassl.utils.distributed import gather, rank, world_size

PREDICTIONS_FILE = "predictions.csv"
COLUMNS = ("path", "label", "prediction", "probability", "rank", "label_id", "prediction_id")
BINS = 15  # of the calibration error, as in Guo et al. (ICML 2017)
TOP = 5


@dataclass(frozen=True)
class Predictions:
    """The answers to N images, in the order of the split.

    Attributes:
        paths: of the images, "" where the loader does not tell.
        labels, predictions: (N,) int64, classes by label.
        probabilities: (N,) float64, that of the prediction by the softmax of the scores.
        ranks: (N,) int64, place of the true label among the scores; 1: the prediction is right.
        squared_errors: (N,) float64, sum over the classes of (probability - 1 of the true class)^2.
        num_classes: C, those that have a score.
    """

    paths: list[str]
    labels: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray
    ranks: np.ndarray
    squared_errors: np.ndarray
    num_classes: int

    def metrics(self) -> dict[str, float]:
        """The figures that a reader trusts or distrusts a model by.

        The names are keys of results.json: ``mean_per_class_accuracy`` over the classes that have images,
        ``top5_accuracy`` of six classes or more and ``expected_calibration_error`` in %, ``brier_score`` from 0 to 2.
        A figure that is not finite, of scores that are not, is left out.

        scikit-learn's functions are the oracle of the tests and not called here: those of top-5 and Brier score take
        the scores of all images at once, and importing them takes longer than a small test (2 to 4 s on one core).
        """
        right = self.predictions == self.labels
        images, hits = np.bincount(self.labels), np.bincount(self.labels[right], minlength=self.labels.max() + 1)
        figures = {"mean_per_class_accuracy": 100 * float(np.mean(hits[images > 0] / images[images > 0]))}
        if self.num_classes > TOP:
            figures["top5_accuracy"] = 100 * float(np.mean(self.ranks <= TOP))
        figures["expected_calibration_error"] = 100 * expected_calibration_error(self.probabilities, right)
        figures["brier_score"] = float(np.mean(self.squared_errors))
        return {name: figure for name, figure in figures.items() if math.isfinite(figure)}

    def write_csv(self, file: str, root: str, class_names: Mapping[int, str]) -> None:
        """Write a line per image, at once or not at all.

        Text is quoted, so that commas, quotes and line ends in names survive; bytes of a path that are not UTF-8 are
        written as they are (``errors="surrogateescape"`` reads them). Two classes may share a name: the last two
        columns have their labels.

        Args:
            root: paths below it are written relative to it, the others absolute, all with forward slashes.
            class_names: by label; a label without a name is written as its number.

        Raises:
            UserError: the file cannot be written.
        """
        root = os.path.abspath(os.path.expanduser(root))
        names = [class_names.get(label, str(label)) for label in range(self._largest_label + 1)]
        columns = (self.labels, self.predictions, self.probabilities, self.ranks)
        rows = zip(self.paths, *(column.tolist() for column in columns), strict=True)
        text = io.StringIO(newline="")
        text.write(",".join(COLUMNS) + "\n")
        table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        for path, label, prediction, probability, place in rows:
            shown = (relative_path(path, root), names[label], names[prediction], float(f"{probability:.6g}"))
            table.writerow((*shown, place, label, prediction))
        with atomic_write(file, "wb") as opened:
            opened.write(text.getvalue().encode("utf-8", "surrogateescape"))

    @property
    def _largest_label(self) -> int:
        return int(max(self.labels.max(), self.predictions.max()))


def relative_path(path: str, root: str) -> str:
    """``path`` from the absolute folder ``root`` on where it lies below, else absolute; with forward slashes."""
    if not path:
        return ""
    path = os.path.abspath(path)
    below = os.path.join(root, "")
    return (path[len(below) :] if path.startswith(below) else path).replace(os.sep, "/")


def expected_calibration_error(probabilities: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Mean over the images of |accuracy - mean probability| in the bin of each (Guo et al., ICML 2017).

    The bins (0, 1/15], (1/15, 2/15], ... have equal widths. scikit-learn has no such function, and torchmetrics, which
    has, would be one more dependency for these lines.

    Args:
        probabilities: (N,) of the predictions.
        right: (N,) bool, whether they are right.

    Returns:
        From 0 to 1.
    """
    of_bin = np.digitize(probabilities, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    surplus = np.bincount(of_bin, weights=right - probabilities)  # N_bin * (accuracy - mean probability)
    return float(np.abs(surplus).sum() / len(probabilities))


class PredictionRecorder:
    """Reduces batches of scores to `Predictions`.

    Scores that are no (B, C) of floating-point numbers, as a third party's trainer may give to its own evaluator, leave
    nothing to record.

    Args:
        temperature: that scores are divided by before the softmax.
    """

    def __init__(self, temperature: float = 1.0):
        self.temperature = temperature
        self._is_usable = True
        self._num_classes = 0
        self._paths: list[str] = []
        self._indices: list[Tensor] = []
        self._columns: list[tuple[Tensor, ...]] = []

    def add(self, scores: Tensor, labels: Tensor, batch: object) -> None:
        """Add a batch: scores (B, C), labels (B,), and what the loader gave, for paths and places in the split."""
        is_usable = isinstance(scores, Tensor) and scores.dim() == 2 and scores.is_floating_point()
        if not (self._is_usable and is_usable and isinstance(labels, Tensor) and labels.shape == scores.shape[:1]):
            self._is_usable = False
            return
        batch = batch if isinstance(batch, dict) else {}
        size = len(labels)
        first = len(self._paths)
        in_turns = rank() + world_size() * torch.arange(first, first + size)  # as a test deals them out
        self._indices.append(batch.get("index", in_turns))
        self._paths += batch.get("impath", [""] * size)
        self._num_classes = max(self._num_classes, scores.shape[1])
        self._columns.append(reduce_scores(scores, labels, self.temperature))

    def collect(self, is_shared: bool) -> Predictions | None:
        """What was added, of all processes together where each ``is_shared`` a part; None where nothing was usable."""
        own = None
        if self._is_usable:
            # one transfer of each column from a GPU
            columns = [torch.cat(parts).cpu().numpy() for parts in zip(*self._columns, strict=True)]
            indices = torch.cat(self._indices).cpu().numpy() if self._indices else np.empty(0, int)
            own = self._num_classes, indices, self._paths, columns
        parts = gather(own) if is_shared else [own]
        if None in parts:
            return None
        return join(parts)


def reduce_scores(scores: Tensor, labels: Tensor, temperature: float = 1.0) -> tuple[Tensor, ...]:
    """Label, prediction, probability, rank and squared error of each image, (B,) each, see `Predictions`.

    A label without a score counts as the class that comes last. Of equal scores the first class comes first.
    """
    scores = scores.detach().float()
    is_true = labels[:, None] == torch.arange(scores.shape[1], device=scores.device)  # (B, C)
    probabilities = torch.softmax(scores / temperature, dim=1)
    predictions = scores.argmax(1)
    true_scores = scores.masked_fill(~is_true, -torch.inf).amax(1)
    is_before = scores > true_scores[:, None]
    is_before |= (scores == true_scores[:, None]) & (
        torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    )
    ranks = is_before.sum(1) + 1
    ranks = torch.where(predictions == labels, 1, ranks.clamp(min=2))
    squared_errors = (probabilities - is_true.float()).square().sum(1)
    chosen = probabilities.gather(1, predictions[:, None]).squeeze(1)
    return labels, predictions, chosen.double(), ranks, squared_errors.double()


def join(parts: Sequence[tuple]) -> Predictions | None:
    """The `Predictions` of parts (C, indices in the split, paths, columns); None where they hold no image."""
    filled = [part for part in parts if len(part[1])]
    if not filled:
        return None
    order = np.argsort(np.concatenate([indices for _, indices, _, _ in filled]), kind="stable")
    paths = [path for _, _, own, _ in filled for path in own]
    columns = [np.concatenate(column)[order] for column in zip(*(own for _, _, _, own in filled), strict=True)]
    return Predictions([paths[place] for place in order], *columns, max(count for count, *_ in filled))
