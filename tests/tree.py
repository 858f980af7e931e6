"""A copy of the program, for a test that puts files of others into it."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_tree(folder: Path) -> Path:
    """Copy what train.py needs into ``folder``, and return it."""
    for name in ("clip", "comparison", "dassl", "datasets", "support", "trainers", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.glob("*.py"):
        shutil.copy(file, folder)
    return folder
