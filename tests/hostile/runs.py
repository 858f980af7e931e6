"""Whole runs of the command line with one odd setting: they run, or end in one line and leave nothing."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

import train
from dassl.config import all_items, get_cfg_default
from support.user_error import ConfigError
from tests.hostile.attempts import Kind

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1", "DATALOADER.NUM_WORKERS", "0", "TEST.NO_TEST", "True"]
PLACES = ("DATASET.ROOT", "OUTPUT_DIR")  # flags of the runs below
_VALUES = {
    bool: ["True", "False", "1"],
    int: ["-1", "0", "99999999999999999999", "1.5"],
    float: ["-1.0", "0.0", "1e308", "(1,)"],
    str: ["x", "../..", "\ud800", "a/b", "None"],
    tuple: ["()", "('a',)", "(-1,-1)", "(1e308,0)", "([],)", "(0,0)", "(None,)", "3"],
}


@cache
def _data() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


def settings() -> list[tuple[str, str]]:
    """Keys of every part that a run of CoOp reads, each with values of its type and beyond."""
    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    pairs = []
    for key, default in all_items(cfg):
        own = not key.startswith("TRAINER.") or key.startswith("TRAINER.COOP.")
        if own and key not in PLACES and not isinstance(default, dict):
            kind = tuple if isinstance(default, (list, tuple)) else type(default)
            pairs += [(key, value) for value in _VALUES.get(kind, ["x"])]
    return pairs


@contextlib.contextmanager
def _within(folder: Path) -> Iterator[None]:
    """In ``folder``, for what a setting such as OUTPUT_DIR leads to; contextlib has this from Python 3.11 on."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def load(content: tuple[str, str], folder: Path) -> None:
    output, errors = folder / "output", io.StringIO()
    with contextlib.redirect_stderr(errors), _within(folder):
        code = train.run(
            [
                *("--root", _data().name, "--output-dir", str(output), "--seed", "1", "--trainer", "CoOp"),
                *("--dataset-config-file", str(ROOT / "configs/datasets/digits.yaml")),
                *("--config-file", str(ROOT / "configs/trainers/CoOp/tiny.yaml"), *QUICK, *content),
            ]
        )
    if code:
        assert code == 2 and errors.getvalue().startswith("error: ") and errors.getvalue().count("\n") == 1
        assert not output.exists(), "a run that was refused left something"
        raise ConfigError(errors.getvalue())


RUNS = Kind("runs with odd settings", st.deferred(lambda: st.sampled_from(settings())), load, 2)
