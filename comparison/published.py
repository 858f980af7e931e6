"""Published figures of ViT-B/16: base-to-new with 16 shots, few-shot with 1 to 16, three seeds, eleven datasets.

published_base2new.csv   accuracy on base and new classes of a dataset; "average" where a source has nothing else
published_few_shot.csv   accuracy on each dataset; with an average alone where a source has nothing else
published_claims.csv     what a paper says of an average, where no figure of it is public

`trainer` is the name of the trainer here, or the field's name of a method that is not here; `config` the configuration
that was measured, "" where that does not tell methods apart; `source` a repository and the place in it, transcribed
there; `note` what a reader must know of it. H and averages are computed from the cells, because several sources
misprint H; what they print is kept beside them. Of two rows for one method the first with the wanted figures counts.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from comparison.dataset_groups import ELEVEN
from comparison.runs import Run
from comparison.statistics import harmonic_mean

FOLDER = Path(__file__).parent
DATASETS = set(ELEVEN)
AVERAGE = "average"
BACKBONE = "ViT-B/16"
BASE_TO_NEW, FEW_SHOT = "base-to-new", "few-shot"


@dataclass(frozen=True)
class Published:
    """The figures of one method in one source.

    Attributes:
        protocol: as in titles of tables.
        scores: of each dataset, or of "average" alone: (base, new) or (accuracy,).
    """

    trainer: str
    config: str
    protocol: str
    shots: int
    source: str
    note: str
    scores: dict[str, tuple[float, ...]]

    def over(self, datasets: Sequence[str]) -> tuple[float, ...] | None:
        """Its scores on one dataset, or averaged over the eleven; None where it has none of these."""
        if len(datasets) == 1:
            return self.scores.get(datasets[0])
        if set(datasets) != DATASETS:
            return None
        if not DATASETS <= self.scores.keys():
            return self.scores.get(AVERAGE)
        columns = zip(*(self.scores[dataset] for dataset in DATASETS), strict=True)
        return tuple(math.fsum(column) / len(DATASETS) for column in columns)


@cache
def published_figures() -> tuple[Published, ...]:
    """All of published_base2new.csv and published_few_shot.csv."""
    columns: dict[tuple, dict[str, tuple[float, ...]]] = {}
    for row in read_table("published_base2new.csv"):
        key = row["trainer"], row["config"], BASE_TO_NEW, 16, row["source"], row["note"]
        columns.setdefault(key, {})[row["dataset"]] = float(row["base"]), float(row["new"])
    for row in read_table("published_few_shot.csv"):
        key = row["trainer"], row["config"], FEW_SHOT, int(row["shots"]), row["source"], row["note"]
        cells = {dataset: (float(row[dataset]),) for dataset in DATASETS if row[dataset]}
        columns[key] = cells or {AVERAGE: (float(row[AVERAGE]),)}
    return tuple(Published(*key, scores) for key, scores in columns.items())


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of one of the files beside this module."""
    with open(FOLDER / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def published(runs: Iterable[Run], datasets: Sequence[str]) -> tuple[str, str] | None:
    """What was published for the runs of one method on a dataset, or on the average of several, and its source.

    A row for the very configuration comes before one for any.
    """
    settings = {(run.table, run.trainer, run.shots, run.backbone) for run in runs}
    if len(settings) != 1:
        return None
    protocol, trainer, shots, backbone = settings.pop()
    configs = {run.config for run in runs}
    if backbone != BACKBONE:
        return None
    rows = [row for row in published_figures() if (row.trainer, row.protocol, row.shots) == (trainer, protocol, shots)]
    for row in [row for row in rows if row.config in configs] + [row for row in rows if not row.config]:
        if scores := row.over(datasets):
            note = f" ({row.note})" if row.note else ""
            return in_words(scores), row.source.partition(" ")[0] + note
    return claim(trainer, configs, protocol) if set(datasets) == DATASETS else None


def in_words(scores: tuple[float, ...]) -> str:
    """ "82.69 / 63.22 / 71.66": base, new and their H; "79.89": accuracy."""
    shown = scores if len(scores) == 1 else (*scores, harmonic_mean(*scores))
    return " / ".join(f"{score:.2f}" for score in shown)


def claim(trainer: str, configs: Iterable[str], protocol: str) -> tuple[str, str] | None:
    """What a paper says of a method's average over the eleven datasets without showing it."""
    for row in read_table("published_claims.csv"):
        if row["trainer"] == trainer and row["config"] in configs and row["protocol"] == protocol:
            return row["claim"], row["source"].partition(" ")[0] + " (its claim; no figure is public)"
    return None
