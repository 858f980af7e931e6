"""Figures over seeds and datasets: mean and spread, the harmonic mean, the paired test against a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from comparison.metrics import WITH_H
from comparison.runs import Run

FEWEST_PAIRS = 6  # with fewer, no outcome of the two-sided signed-rank test is below 0.05


@dataclass(frozen=True)
class Measure:
    """Mean and standard deviation (ddof 0, as CoOp's parse_test_res.py) over seeds; no deviation from a single one.

    ``digits``: the decimals that are shown.
    """

    mean: float
    std: float | None
    digits: int = 2

    @classmethod
    def of(cls, values: Iterable[float], digits: int = 2) -> Measure:
        values = list(values)
        return cls(float(np.mean(values)), float(np.std(values)) if len(values) > 1 else None, digits)


def harmonic_mean(base: float, new: float) -> float:
    return 2 * base * new / (base + new) if base + new else 0.0


def mean_of(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are known, None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def common(values: Iterable[int | None]) -> int | None:
    """The value that all share, None where they differ (class-specific context on datasets with other classes)."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def paired_scores(runs: Iterable[Run]) -> dict[tuple[str, int | None], float]:
    """One score per (dataset, seed): H where the runs are of base-to-new, else the metric that they are compared by.

    A pair of base-to-new that lacks a half, or whose metric has no H, has no score.
    """
    halves: dict[str, dict] = {}
    for run in runs:
        if run.score is not None and (run.classes == "all" or run.metric in WITH_H):
            halves.setdefault(run.classes, {})[run.dataset, run.seed] = run.score
    if halves.keys() & {"base", "new"}:
        base, new = halves.get("base", {}), halves.get("new", {})
        return {pair: harmonic_mean(base[pair], new[pair]) for pair in sorted(base.keys() & new.keys())}
    return {pair: score for found in halves.values() for pair, score in found.items()}


def p_value(scores: Mapping[tuple, float], baseline: Mapping[tuple, float]) -> float | None:
    """Two-sided Wilcoxon signed-rank test of the scores against the baseline's of the same (dataset, seed).

    What has no seeds (zero-shot CLIP) is the same for every seed. None with fewer than `FEWEST_PAIRS` pairs.
    """
    from scipy.stats import wilcoxon  # takes a quarter of a second to import

    gains = [
        scores.get(pair, scores.get((pair[0], None))) - baseline.get(pair, baseline.get((pair[0], None)))
        for pair in scores.keys() | baseline.keys()
        if {pair, (pair[0], None)} & scores.keys() and {pair, (pair[0], None)} & baseline.keys()
    ]
    if len(gains) < FEWEST_PAIRS:
        return None
    if not any(gains):
        return 1.0
    return float(wilcoxon(gains).pvalue)
