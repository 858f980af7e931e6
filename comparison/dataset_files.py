"""The dataset files in configs/datasets/: their names, and which of them come with this repository."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from comparison.methods import ROOT, read_yaml_file
from support.user_error import ConfigError, did_you_mean

EMBEDDED = "tiny"  # the backbone in clip/tiny, which the embedded datasets name


def dataset_files() -> dict[str, Path]:
    """Name -> file."""
    return {file.stem: file for file in sorted((ROOT / "configs" / "datasets").glob("*.yaml"))}


def check_dataset(name: str, flag: str) -> None:
    """UserError with the nearest name where there is no such dataset; ``flag`` is where the name was given."""
    known = dataset_files()
    if name not in known:
        raise ConfigError(f'{flag}: unknown "{name}"{did_you_mean(name, known)}; known: {", ".join(known)}')


def is_embedded(name: str) -> bool:
    """Whether the dataset's file names the embedded backbone, which its images were drawn for."""
    return _value(name, "MODEL", "BACKBONE", "NAME") == EMBEDDED


def registered_name(name: str) -> str:
    """The DATASET.NAME in the dataset's file."""
    return str(_value(name, "DATASET", "NAME"))


def embedded_datasets() -> list[str]:
    return [name for name in dataset_files() if is_embedded(name)]


def _value(name: str, *keys: str) -> object:
    """A value in the dataset's file, None where there is none. Raises UserError where the file is no YAML mapping."""
    value = _content(name)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


@cache
def _content(name: str) -> dict:
    return read_yaml_file(dataset_files()[name])
