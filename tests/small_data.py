"""The embedded datasets with few images, for tests of runs in which another image would show nothing more."""

import json
from pathlib import Path

import pytest

from datasets.check.inspection import located, resolve
from datasets.drawn import dataset as drawn

FEW_PER_CLASS = {"train": 2, "val": 2, "test": 2}


def few_digits(root: Path) -> Path:
    """Write the handwritten digits below a data root, with every fourth of their test images; returns the root.

    What is left has all classes, and more images than one batch of a test holds.
    """
    _write("digits", root)
    file = root / "digits" / "split_digits.json"
    split = json.loads(file.read_text())
    file.write_text(json.dumps({**split, "test": split["test"][::4]}))
    return root


def draw_few(root: Path, *names: str) -> Path:
    """Draw datasets below a data root with two images per class in each part; returns the root."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "IMAGES_PER_CLASS", FEW_PER_CLASS)
        for name in names:
            _write(name, root)
    return root


def _write(name: str, root: Path) -> None:
    located(resolve(name, str(root))[1]).prepare()
