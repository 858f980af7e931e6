"""What of a run's configuration decides on its result, and whether two runs may be compared under one name."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath

Settings = dict[str, str]  # full key -> value

# Where a run is and how it is printed, stored and spread over a machine: results do not depend on these
_PLACE = {
    *("OUTPUT_DIR", "RESUME", "VERSION", "VERBOSE", "USE_CUDA", "DATASET.ROOT", "DATASET.ONLY_TESTED"),
    *("DATALOADER.NUM_WORKERS", "DATALOADER.CACHE_MB", "DATALOADER.TEST.BATCH_SIZE"),
    *(
        "TRAIN.PRINT_FREQ",
        "TRAIN.CHECKPOINT_FREQ",
        "TRAIN.CHUNK_CLASSES",
        "TRAIN.CUDA_GRAPH",
        "TEST.PER_CLASS_RESULT",
        "TEST.COMPUTE_CMAT",
    ),
}


def settings_of(config: Mapping) -> Settings:
    """The settings that a result depends on, of a configuration given as nested dictionaries or nodes."""
    settings = {}

    def flatten(prefix: str, node: object) -> None:
        if isinstance(node, Mapping):
            for name in sorted(node, key=str):
                flatten(f"{prefix}.{name}" if prefix else str(name), node[name])
        elif prefix in ("MODEL.BACKBONE.PATH", "DATASET.DESCRIPTIONS"):
            settings[prefix] = PurePath(_plain(node)).name  # the file may lie elsewhere on another machine
        elif prefix not in _PLACE:
            settings[prefix] = _plain(node)

    flatten("", config)
    return settings


def _plain(value: object) -> str:
    """A value as results.json has it, or as a printed configuration has it: there, a tuple is text."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith("(") and value.endswith(")"):
        try:
            value = ast.literal_eval(value)
        except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
            return value
    return value if isinstance(value, str) else json.dumps(value, default=str)  # YAML knows dates


def digest(settings: Settings) -> str:
    """The first twelve hexadecimal digits of the SHA-256 of all settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def differing(one: Settings, other: Settings, ignored: Sequence[str] = ()) -> list[str]:
    """The keys whose values differ.

    A key that only one of the two has is not a difference: an older version did not know it.

    Args:
        ignored: keys that may differ, and nodes, with a dot at the end, whose keys all may.
    """
    nodes = tuple(name for name in ignored if name.endswith("."))
    return [
        key
        for key in sorted(one.keys() & other.keys())
        if one[key] != other[key] and key not in ignored and not key.startswith(nodes)
    ]


def describe(one: Settings, other: Settings, keys: Sequence[str], limit: int = 4) -> str:
    """``KEY a, b`` for the first of the keys."""
    shown = [f"{key} {one[key] or '(empty)'}, {other[key] or '(empty)'}" for key in keys[:limit]]
    return "; ".join(shown) + ("; ..." if len(keys) > limit else "")
