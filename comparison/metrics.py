"""The metrics of results.json that tables can show: names, directions, and of which an H makes sense."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from support.user_error import ConfigError, did_you_mean

if TYPE_CHECKING:
    from comparison.runs import Run

ACCURACY = "accuracy"
DESCRIPTIONS = {
    ACCURACY: "Accuracy in %",
    "error_rate": "Error rate in %, the lowest is the best",
    "macro_f1": "Macro F1 in %",
    "mean_per_class_accuracy": "Mean of the accuracies of the classes in %",
    "perclass_accuracy": "Mean of the accuracies of the classes in %",
    "top5_accuracy": "Top-5 accuracy in %",
    "expected_calibration_error": "Expected calibration error in %, 15 bins, the lowest is the best",
    "brier_score": "Brier score, from 0 to 2, the lowest is the best",
}
LOWER_IS_BETTER = {"error_rate", "expected_calibration_error", "brier_score"}
WITH_H = DESCRIPTIONS.keys() - LOWER_IS_BETTER  # shares of right answers, of which a harmonic mean makes sense


def digits_of(metric: str) -> int:
    """Decimals that tables show."""
    return 4 if metric == "brier_score" else 2


def at_metric(runs: Iterable[Run], metric: str) -> list[Run]:
    """The runs with this metric as their score.

    Raises:
        UserError: no run has it.
    """
    runs = [run.at_metric(metric) for run in runs]
    if all(run.score is None for run in runs):
        known = sorted({ACCURACY}.union(*(run.metrics for run in runs)))
        raise ConfigError(f'no run has --metric "{metric}"{did_you_mean(metric, known)}; there are {", ".join(known)}')
    return runs
