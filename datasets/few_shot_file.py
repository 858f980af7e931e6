"""The few images of a run, read from a file instead of drawn: those that another run, or another code, was trained on.

Read are, by the end of the file's name:

- .json, a split file, as few_shot.json of a run: {"train": [[path, label, class name], ...], "val": [...]}
- .json of Cross-Modal Adaptation, indices/<dataset>/shot_16-seed_1.json in its repository:
  {"train": {"data": [{"impath": ..., "label": ..., "classname": ...}, ...]}, "val": {"data": [...]}}
- .jsonl of 2SFS, split_fewshot/shot_16-seed_1_train.jsonl: {"_impath": ..., "_label": ..., "_classname": ...} in each
  line; those of ..._val.jsonl beside it are the val images
- .pth or .pt with one of these contents, where torch.load(weights_only=True) reads it

A pickle, as CoOp's split_fewshot/shot_16-seed_1.pkl, runs code where it is read, so it never is.

Others' paths begin with folders of their machines: an image is the one of the training split at which the path ends.
Labels and class names are the split's own; those of the file only have to tell the same images apart.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from posixpath import normpath
from typing import Any, NamedTuple

from dassl.data.datasets import Datum
from support.user_error import DataError, shorten

from .annotations import read_json, read_lines
from .splits import Split, relative_path

PICKLES = (".pkl", ".pickle", ".p")
SUFFIXES = (".json", ".jsonl", ".pth", ".pt")


class Entry(NamedTuple):
    """An image as the file lists it."""

    path: str
    label: int
    classname: str


def find_file(value: str, dataset_dir: str, root: str, shots: int, seed: int) -> str:
    """Return the path that DATASET.FEW_SHOT_FILE means: absolute, or under the dataset's folder or the data root.

    "{shots}" and "{seed}" in it are those of the run.

    Raises:
        UserError: there is no such file.
    """
    value = os.path.expanduser(value.replace("{shots}", str(shots)).replace("{seed}", str(seed)))
    places = list(dict.fromkeys(os.path.normpath(os.path.join(folder, value)) for folder in (dataset_dir, root)))
    found = next(filter(os.path.isfile, places), None)
    if found is None:
        raise DataError(f"DATASET.FEW_SHOT_FILE: there is no file {' and no '.join(places)}: correct the path")
    return found


def read_few_shot(path: str, split: Split, image_dir: str, shots: int) -> tuple[list[Datum], list[Datum]]:
    """Return (train, val) that a file lists, in its order; val is empty where it lists none.

    Args:
        split: the whole dataset's, whose images they are.
        shots: images per class that there have to be, or all where a class has fewer; below 1: any number.

    Raises:
        UserError: the file cannot be read, lists an image that is not to be trained on, or an image twice, or has
            another number of images of a class.
    """
    listed_train, listed_val = read_entries(path)
    train, val, test = ({relative_path(item.impath, image_dir): item for item in part} for part in split)
    chosen = _images_of(path, listed_train, train, test, "training image(s) that are not in the training split")
    trained_on = {item.impath for item in chosen}
    to_validate = {key: item for key, item in {**train, **val}.items() if item.impath not in trained_on}
    chosen_val = _images_of(
        path, listed_val, to_validate, test, "validation image(s) that are in no split, or tested or trained on"
    )
    _check_classes(path, [*listed_train, *listed_val], [*chosen, *chosen_val])
    _check_counts(path, chosen, split[0], shots)
    return chosen, chosen_val


def require_classes(train: list[Datum], whole: list[Datum], path: str) -> None:
    """UserError unless ``train``, images that the file lists, has some of each class of ``whole``."""
    there = {item.label for item in train}
    lacking = {item.label: item.classname for item in whole if item.label not in there}
    if lacking:
        names = [f'"{lacking[label]}"' for label in sorted(lacking)]
        raise DataError(
            f"{path} lists no images of {len(lacking)} class(es), {shorten(names)}: name a file that does, or choose "
            "its classes by DATASET.SUBSAMPLE_CLASSES"
        )


def read_entries(path: str) -> tuple[list[Entry], list[Entry]]:
    """Return (train, val) as the file lists them.

    Raises:
        UserError: the file cannot be read, or is none of those above.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix in PICKLES:
        raise DataError(f"{path} is a pickle, which runs code where it is read, so it is not read: {_conversion(path)}")
    if suffix not in SUFFIXES:
        raise DataError(f"DATASET.FEW_SHOT_FILE {path} must end in one of {', '.join(SUFFIXES)}")
    if suffix == ".jsonl":
        val_path = f"{path[: -len('_train.jsonl')]}_val.jsonl" if path.endswith("_train.jsonl") else ""
        return _entries(path, _lines(path)), _entries(path, _lines(val_path)) if os.path.isfile(val_path) else []
    content = _torch_content(path) if suffix in (".pth", ".pt") else read_json(path)
    parts = content if isinstance(content, dict) else {"train": content}
    parts = {name: part.get("data") if isinstance(part, dict) else part for name, part in parts.items()}
    return _entries(path, parts.get("train")), _entries(path, parts.get("val") or [])


def _lines(path: str) -> list[Any]:
    records = []
    for number, line in read_lines(path):
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not valid JSON ({error}): get the file again") from error
    return records


def _torch_content(path: str) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch fails in many ways on what it does not know
        raise DataError(
            f"{path} holds more than lists, texts and numbers, so it is not read, as it may run code: "
            f"{_conversion(path)}"
        ) from error


def _conversion(path: str) -> str:
    name = os.path.basename(path)
    module, load = "torch", f"torch.load('{name}', weights_only=False)"
    if path.lower().endswith(PICKLES):
        module, load = "pickle", f"pickle.load(open('{name}', 'rb'))"
    lists = "{p: [[d.impath, d.label, d.classname] for d in s[p]] for p in s}"
    return (
        "if you trust it, write it as JSON in the checkout of its code, "
        f"python -c \"import json, {module}; s = {load}; json.dump({lists}, open('few_shot.json', 'w'))\", and name "
        "that file; or name none: of CoOp's split file the same seed draws the same images"
    )


def _entries(path: str, records: Any) -> list[Entry]:
    try:
        return [_entry(record) for record in records]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f'{path} is no list of few-shot images: expected {{"train": [[path, label, class name], ...], "val": '
            f'[...]}}, or "impath", "label" and "classname" of each image ({type(error).__name__}: {error})'
        ) from error


def _entry(record: Any) -> Entry:
    if isinstance(record, dict):
        record = [record[name] if name in record else record[f"_{name}"] for name in ("impath", "label", "classname")]
    path, label, classname = record
    if not isinstance(path, str) or not isinstance(classname, str) or isinstance(label, bool):
        raise TypeError(f"{record!r}")
    return Entry(normpath(path.replace("\\", "/")), int(label), classname)


def _images_of(
    path: str, entries: Iterable[Entry], images: dict[str, Datum], test: dict[str, Datum], missing_ones: str
) -> list[Datum]:
    """The images that the entries name, by the ends of their paths; ``missing_ones`` is what others are called."""
    chosen: dict[str, Datum] = {}
    missing = []
    for entry in entries:
        key = _key_of(entry.path, images)
        if key is None:
            missing.append(entry.path)
        elif key in chosen:
            raise DataError(f"{path} lists {entry.path} twice: remove one, as an image counts once")
        else:
            chosen[key] = images[key]
    if missing:
        tested = [name for name in missing if _key_of(name, test) is not None]
        told = f"; {len(tested)} are test images" if tested else ""
        raise DataError(
            f"{path} lists {len(missing)} {missing_ones}: {shorten(missing)}{told}: it is "
            "of another dataset or split, use CoOp's split file or name another"
        )
    return list(chosen.values())


def _key_of(path: str, images: dict[str, Datum]) -> str | None:
    """The longest end of a path that is one of ``images``."""
    parts = path.split("/")
    return next((end for start in range(len(parts)) if (end := "/".join(parts[start:])) in images), None)


def _check_classes(path: str, entries: list[Entry], images: list[Datum]) -> None:
    """UserError where images of one class in the file are of two in the split, or the other way round."""
    of_file: dict[tuple[int, str], Datum] = {}
    of_split: dict[int, Entry] = {}
    for entry, item in zip(entries, images, strict=True):
        first = of_file.setdefault((entry.label, entry.classname), item)
        other = of_split.setdefault(item.label, entry)
        if first.label != item.label or other[1:] != entry[1:]:
            raise DataError(
                f'{path}: {entry.path} is of class "{entry.classname}" (label {entry.label}) there, but its image is '
                f'of "{item.classname}", as others are that the file tells apart: it is of another dataset or split'
            )


def _check_counts(path: str, chosen: list[Datum], whole: list[Datum], shots: int) -> None:
    if shots < 1:
        return
    available, counts = Counter(item.label for item in whole), Counter(item.label for item in chosen)
    for item in chosen:
        if counts[item.label] != (wanted := min(shots, available[item.label])):
            raise DataError(
                f'{path} lists {counts[item.label]} training image(s) of "{item.classname}", but DATASET.NUM_SHOTS is '
                f"{shots}, of which the class has {wanted}: name the file of {shots} shots, or set DATASET.NUM_SHOTS"
            )
