"""Split files, image lists, class names and annotations with damaged bytes or other values."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from scipy.io import savemat

import train
from dassl.config import get_cfg_default
from datasets.annotations import label_of, parse_lines, parse_mat
from datasets.idx_files import read_idx
from datasets.image_list import ImageList
from datasets.imagenet_family import read_classnames
from datasets.splits import check_split, read_split
from support.user_error import UserError
from tests.datasets.fake_idx import idx
from tests.hostile.attempts import Kind, snapshot
from tests.hostile.mutations import damaged, restructured
from trainers.descriptions import descriptions_of, read_descriptions

NAMES = [f"{label}_{number}.png" for label in ("cat", "dog") for number in range(4)]
ENTRIES = [[name, int(name.startswith("dog")), name[:3]] for name in NAMES]
SPLIT = {"train": ENTRIES[::2], "val": ENTRIES[1::4], "test": ENTRIES[3::4]}
ROWS = [{"path": name, "label": name[:3], "split": ("train", "val", "test", "train")[int(name[4])]} for name in NAMES]
ROWS_WITHOUT_SPLIT = [{"path": row["path"], "label": row["label"]} for row in ROWS]
DESCRIPTIONS = {"cat": ["A cat purrs.", "Whiskers."], "dog": ["A dog barks."]}
CLASSNAMES = b"cat domestic cat\ndog domestic dog\nn01440764 tench\n"


def as_csv(rows: list[dict], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def as_json_lines(rows: object) -> bytes:
    return b"\n".join(map(as_json, rows)) if isinstance(rows, list) else as_json(rows)


def matlab() -> list[bytes]:
    records = np.zeros(3, dtype=[("fname", object), ("class", object)])
    for number in range(3):
        records[number] = (f"{number}.jpg", number + 1)
    files = []
    for packed in (False, True):
        buffer = io.BytesIO()
        savemat(buffer, {"annotations": records, "labels": np.arange(1, 9)}, do_compression=packed)
        files.append(buffer.getvalue())
    return files


@cache
def _defaults():
    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    return cfg


def _image_list(folder: Path, name: str) -> None:
    cfg = _defaults().clone()
    cfg.merge_from_list(["DATASET.ROOT", str(folder), "DATASET.LIST", name])
    before = snapshot(folder)
    try:
        ImageList(cfg)
    except UserError:
        assert snapshot(folder) == before, "a refused list left something"
        raise


def load(content: tuple[str, bytes], folder: Path) -> None:
    name, text = content
    for image in NAMES:
        (folder / image).touch()
    (folder / name).write_bytes(text)
    path = str(folder / name)
    if name == "split.json":
        check_split(read_split(path, str(folder)), "Some")
    elif name == "split_list.json":  # one that was made earlier, for a list that is whole
        (folder / "list.csv").write_bytes(as_csv(ROWS_WITHOUT_SPLIT))
        _image_list(folder, "list.csv")
    elif name.startswith("list."):
        _image_list(folder, name)
    elif name == "classnames.txt":
        read_classnames(path)
        (folder / "list.csv").write_bytes(as_csv(ROWS))
        _image_list(folder, "list.csv")
    elif name == "classes.txt":
        parse_lines(path, lambda line: (label_of(line.split()[0]), line.split()[1]), "<class> <name>")
    elif name == "descriptions.json":
        descriptions_of(["dog", "cat"], read_descriptions(path), path)
    elif name == "images.gz":
        read_idx(path, 3)
    else:
        parse_mat(path, "annotations", lambda entry: (str(entry["fname"]), int(entry["class"])), "fields fname, class")
        parse_mat(path, "labels", int, "<class>")


def named(name: str, contents: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(st.just(name), contents)


LISTS = Kind(
    "splits, lists, annotations",
    st.one_of(
        named("split.json", restructured([SPLIT]).map(as_json)),
        named("split.json", damaged([as_json(SPLIT)])),
        named("split_list.json", restructured([SPLIT]).map(as_json)),
        named("list.json", restructured([ROWS, ROWS_WITHOUT_SPLIT, SPLIT]).map(as_json)),
        named("list.jsonl", restructured([ROWS, ROWS_WITHOUT_SPLIT]).map(as_json_lines)),
        named("list.jsonl", damaged([as_json_lines(ROWS)])),
        named("list.csv", damaged([as_csv(ROWS), as_csv(ROWS_WITHOUT_SPLIT, ";"), as_csv(ROWS, "\t")])),
        named("classnames.txt", damaged([CLASSNAMES])),
        named("descriptions.json", restructured([DESCRIPTIONS]).map(as_json)),
        named("descriptions.json", damaged([as_json(DESCRIPTIONS)])),
        named("classes.txt", damaged([b"1 cat\n2 dog\n"])),
        named("labels.mat", damaged(matlab())),
        named("images.gz", damaged([idx(np.arange(60).reshape(3, 5, 4))])),
    ),
    load,
    20,
)
