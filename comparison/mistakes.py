"""What a run got wrong, by its predictions.csv: weak classes, confused pairs, the surest of the wrong answers."""

from __future__ import annotations

import base64
import csv
import heapq
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from dassl.utils import read_image
from support.regular_file import regular_only
from support.user_error import DataError, ResultsError

MOST_CLASSES, MOST_PAIRS, MOST_IMAGES = 30, 10, 12  # of a run that are shown
MOST_ROWS = 2_000_000
LONGEST = 4096  # characters of a path or name
THUMBNAIL = 96  # pixels, of the longer side
MOST_BYTES = 1_500_000  # of all thumbnails of a page together


@dataclass(frozen=True)
class WrongImage:
    """An image with a wrong answer; ``path`` as in predictions.csv."""

    path: str
    label: str
    prediction: str
    probability: float


@dataclass(frozen=True)
class Mistakes:
    """What is shown of a run's mistakes.

    Attributes:
        num_classes: those that have images.
        classes: name, right answers and images of each class, the lowest accuracy first.
        pairs: true class, predicted class and number of images, the most first.
        images: wrong answers, the highest probability first.
    """

    num_classes: int
    classes: list[tuple[str, int, int]]
    pairs: list[tuple[str, str, int]]
    images: list[WrongImage]

    @classmethod
    def of_csv(cls, file: Path) -> Mistakes:
        """Those of a predictions.csv.

        Raises:
            UserError: the file cannot be read, or a line is none that a test writes.
        """
        names: dict[str, str] = {}
        images, right, confused = Counter(), Counter(), Counter()
        worst: list[tuple[float, int, WrongImage]] = []  # a heap, the least probable first
        for number, row in enumerate(_rows(file), start=1):
            if number > MOST_ROWS:
                raise _damaged(file, f"it has more than {MOST_ROWS:,} lines")
            label, prediction = row["label_id"], row["prediction_id"]
            names[label], names[prediction] = row["label"], row["prediction"]
            images[label] += 1
            if label == prediction:
                right[label] += 1
                continue
            confused[label, prediction] += 1
            image = WrongImage(row["path"], row["label"], row["prediction"], row["probability"])
            heapq.heappush(worst, (image.probability, -number, image))
            if len(worst) > MOST_IMAGES:
                heapq.heappop(worst)
        by_accuracy = sorted(images, key=lambda label: (right[label] / images[label], -images[label]))
        pairs = confused.most_common(MOST_PAIRS)
        return cls(
            len(images),
            [(names[label], right[label], images[label]) for label in by_accuracy[:MOST_CLASSES]],
            [(names[label], names[prediction], count) for (label, prediction), count in pairs],
            [image for _, _, image in sorted(worst, reverse=True)],
        )

    def to_dict(self, numbers: dict[str, int], root: str) -> dict:
        """For the page, whose thumbnails are told by their ``numbers``; None: there is none."""
        return {
            "classes": self.classes,
            "num_classes": self.num_classes,
            "pairs": self.pairs,
            "images": [
                {
                    "path": image.path,
                    "label": image.label,
                    "prediction": image.prediction,
                    "probability": image.probability,
                    "thumbnail": numbers.get(os.path.join(root, image.path)),
                }
                for image in self.images
            ],
        }


def _rows(file: Path) -> Iterable[dict]:
    """The lines of a predictions.csv, with ``probability`` as a number."""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape", newline="", opener=regular_only) as opened:
            for row in csv.DictReader(opened):
                columns = ("path", "label", "prediction", "label_id", "prediction_id")
                if not all(isinstance(row.get(column), str) for column in columns):
                    raise ValueError("a line lacks a column")
                if any(len(row[column]) > LONGEST for column in columns):
                    raise ValueError(f"a name has more than {LONGEST} characters")
                probability = float(row.get("probability") or "")
                if not 0 <= probability <= 1 and probability == probability:  # NaN is what a NaN score gives
                    raise ValueError(f"a probability is {probability}")
                yield {**row, "probability": probability if probability == probability else 0.0}
    except OSError as error:
        raise ResultsError(f"cannot read {file}: {error.strerror or error}; check its permissions") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise _damaged(file, str(error)[:200]) from error


def _damaged(file: Path, reason: str) -> ResultsError:
    return ResultsError(f"{file} is not what a test writes ({reason}): delete it, or repeat that run")


def thumbnails(mistakes: Sequence[tuple[Mistakes, str]], most_bytes: int = MOST_BYTES) -> dict[str, str]:
    """Data URIs of wrong images by path: of every run the worst one, then the second, until the bytes are used up.

    Images that several runs got wrong are there once. Those that are gone or cannot be read are left out.

    Args:
        mistakes: of the runs, each with its data root.
    """
    paths = [[os.path.join(root, image.path) for image in own.images] for own, root in mistakes]
    in_turns = dict.fromkeys(path for turn in zip_longest(*paths) for path in turn if path is not None)
    found: dict[str, str] = {}
    for path in in_turns:
        uri = thumbnail(path)
        if uri is None:
            continue
        most_bytes -= len(uri)
        if most_bytes < 0:
            break
        found[path] = uri
    return found


def thumbnail(path: str) -> str | None:
    """A small JPEG of an image as a data URI, None where it cannot be read."""
    try:
        image = read_image(path, suffices=lambda width, height: min(width, height) >= THUMBNAIL, as_shown=True)
    except (DataError, ValueError):  # ValueError: a zero byte in the path
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
