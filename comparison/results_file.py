"""results.json of a finished run, which anyone may have edited: read, and its figures and groups checked."""

from __future__ import annotations

import math
from pathlib import Path

from dassl.utils import read_json
from support.user_error import ResultsError
from support.uses import MEANINGS, is_list_of_uses

DEEPEST = 20
MOST_VALUES = 1_000_000
LONGEST_PATH = 4096  # characters
_LARGEST = 2.0**53  # up to which floats hold whole numbers
_NEEDED = ("metrics", "seconds", "backbone", "learned_parameters")
_GROUPS = ("metrics", "seconds", "config", "environment", "tested_model", "images_per_class")  # dicts, or not there
_FIGURES = {  # numbers from 0 to the one here, or None
    "sampling_error": 100.0,
    "learned_parameters": _LARGEST,
    "checkpoint_bytes": _LARGEST,
    "peak_memory_mb": _LARGEST,
    "epochs": _LARGEST,
}


def read_results(file: Path) -> dict:
    """The content of a results.json: ``metrics``, ``seconds``, ``backbone`` and ``learned_parameters`` are there.

    Raises:
        UserError: the file cannot be read, is not JSON, or one of the entries that reports are made of is not what a
            run writes.
    """
    results = read_json(str(file), advice="delete it and repeat that run")
    if wrong := _is_too_large(results) or _wrong_entry(results):
        raise ResultsError(f"{file} is not a complete result: {wrong}; delete it and repeat that run")
    return results


def _wrong_entry(results: object) -> str:
    """What is wrong with an entry, "" where none is."""
    if not isinstance(results, dict):
        return "it is no group of entries"
    for key in _NEEDED:
        if key not in results:
            return f"it has no {key}"
    for key in _GROUPS:
        if not isinstance({} if results.get(key) is None and key not in _NEEDED else results[key], dict):
            return f"{key} is no group of entries"
    metrics, seconds = results["metrics"], results["seconds"]
    optim = (results.get("config") or {}).get("OPTIM") or {}
    if not isinstance(optim, dict):
        return "config.OPTIM is no group of entries"
    if metrics and not is_figure(metrics.get("accuracy"), 100.0):
        return f"metrics.accuracy is {_shown(metrics.get('accuracy'))}, no number from 0 to 100"
    figures = {
        **{key: (results.get(key), most) for key, most in _FIGURES.items()},
        **{f"seconds.{key}": (seconds.get(key), _LARGEST) for key in ("train", "total")},
        "config.OPTIM.MAX_EPOCH": (optim.get("MAX_EPOCH"), _LARGEST),
    }
    for key, (value, most) in figures.items():
        if value is not None and not is_figure(value, most):
            return f"{key} is {_shown(value)}, no number from 0 to {most:.0f}"
    if not isinstance(results["learned_parameters"], int):
        return f"learned_parameters is {_shown(results['learned_parameters'])}, no whole number"
    per_class = (results.get("images_per_class") or {}).get("train")
    if per_class is not None and not _is_range(per_class):
        return f"images_per_class.train is {_shown(per_class)}, no two whole numbers"
    if (uses := results.get("uses")) is not None and not is_list_of_uses(uses):
        return f"uses is {_shown(uses)}, no list of {', '.join(MEANINGS)}"
    folder = (results.get("tested_model") or {}).get("model_dir") or ""
    if not isinstance(folder, str) or len(folder) > LONGEST_PATH:
        return f"tested_model.model_dir is {_shown(folder)}, no path"
    return ""


def is_figure(value: object, most: float = _LARGEST) -> bool:
    """Whether a value is a number from 0 to ``most``."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most


def _is_range(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int and 0 <= n <= _LARGEST for n in value)


def _shown(value: object) -> str:
    return repr(value)[:80]


def _is_too_large(results: object) -> str:
    todo, values = [(results, 0)], 0
    while todo:
        value, depth = todo.pop()
        values += 1
        if depth > DEEPEST or values > MOST_VALUES:
            return f"it is nested more than {DEEPEST} deep, or holds more than {MOST_VALUES:,} values"
        if isinstance(value, (dict, list)):
            todo += [(part, depth + 1) for part in (value.values() if isinstance(value, dict) else value)]
        elif isinstance(value, float) and not math.isfinite(value):
            return f"it holds {value}"
    return ""
