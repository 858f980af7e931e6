"""A person's own images, listed in a file."""

import csv
import io
import json
import os
import re
import reprlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils.image_formats import require_format
from support.user_error import DataError, did_you_mean

from .class_names import normal_form
from .near_files import NearFiles, advice_on
from .own_images import PART_OF, OwnImages, read_text, report_classes_without_images, under_root
from .splits import PARTS, ListedImage, Split, listing, read_split

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
COLUMNS = {"path": ("path", "file_name"), "label": ("label",), "split": ("split",)}  # file_name is Hugging Face's
OTHER_NAMES = {  # for advice alone: what they hold is not certain
    "path": ("image", "img", "file", "filename", "filepath", "image_path", "image_id", "image_name", "id", "name"),
    "label": ("class", "class_name", "classname", "category", "target", "label_name", "species", "breed", "y"),
    "split": ("subset", "set", "part", "partition", "phase", "usage"),
}
_QUOTED_AND_SPACE = re.compile(r'("(?:[^"]|"")*") +(?=[,;\t\r\n]|\Z)|"(?:[^"]|"")*"')


class Row(NamedTuple):
    """One image of a list."""

    where: str  # "line 7" or "entry 7"
    path: str  # absolute, or as the list has it
    label: str
    part: str  # train, val, test, or "" where the list leaves it open


@DATASET_REGISTRY.register()
class ImageList(OwnImages):
    """The images in the file `cfg.DATASET.LIST`, a path under the data root or an absolute one.

    - .csv or .tsv: the first line names the columns, `path,label` and perhaps `split`, in any order, parted by comma,
      semicolon or tab; other columns are passed over.
    - .json: a list of objects with these keys, or a split file (see splits.py), whose order and labels are kept.
    - .jsonl: one such object per line.

    Paths are absolute, or relative to `cfg.DATASET.DIR`, which by default is the folder of the list. `split` is one of
    NAMES_OF_PARTS for every image or for none. Without val images, a fifth of each class of train becomes val in runs
    that use val images. Without any split, the images of each class are split 50/20/30, once, which is kept in
    `split_<list>.json` beside the list; FEWEST_TO_SPLIT or more images of each class are needed. A run that only tests
    needs no training images.

    Labels are text or whole numbers; the classes are in the order of the sorted labels, of the numbers if all are
    numbers. OwnImages tells where class names come from; `classnames.txt` lies beside the list.
    """

    def locate(self, cfg) -> None:
        if not cfg.DATASET.LIST:
            raise DataError("ImageList: DATASET.LIST is empty: set it to the .csv or .json file that lists your images")
        self.list_path = under_root(cfg, "LIST")
        self.dataset_dir = self.names_dir = os.path.dirname(self.list_path)
        self.image_dir = under_root(cfg, "DIR") if cfg.DATASET.DIR else self.dataset_dir
        stem = os.path.splitext(os.path.basename(self.list_path))[0]
        self.split_path = os.path.join(self.dataset_dir, f"split_{stem}.json")
        self.way_to_test_all = 'give all images the split "test" to test all'
        self.read_settings(cfg)

    def prepare(self) -> None:
        if not os.path.isfile(self.list_path):
            raise DataError(
                f"ImageList: DATASET.LIST {self.list_path} is no file: set it to your list, a path under the data root "
                "(--root) or an absolute one"
            )
        if not self.list_path.lower().endswith(SUFFIXES):
            raise DataError(f"ImageList: DATASET.LIST {self.list_path} must end in one of {', '.join(SUFFIXES)}")
        if not os.path.isdir(self.image_dir):
            raise DataError(f"ImageList: DATASET.DIR {self.image_dir} is no folder: set it to the folder of the images")

    def load_split(self) -> Split:
        rows = read_list(self.list_path)
        if rows is None:
            return self._given_split()
        rows = self._located(rows)
        self._check(rows)
        where = {row.label: row.where for row in reversed(rows)}
        rows.sort(key=lambda row: row.path)  # the order decides which images are drawn; ImageFolder has the same
        labels = sorted(where, key=int if all(re.fullmatch("[0-9]{1,18}", label) for label in where) else None)
        if len(labels) < 2:
            raise DataError(f'{self.list_path}: all images are of class "{labels[0]}", two or more classes are needed')
        places = {label: f'{self.list_path}, {where[label]}: label "{label}"' for label in labels}
        names = self.class_names(places)
        number = {label: position for position, label in enumerate(labels)}
        images: dict[str, list[tuple[str, Datum]]] = {label: [] for label in labels}
        for row in rows:
            item = ListedImage(row.path, number[row.label], classname=names[row.label])
            images[row.label].append((row.part, item))
        if not rows[0].part:
            return self.split_once({places[label]: [item for _, item in images[label]] for label in labels})
        train, val, test = ([item for label in labels for of, item in images[label] if of == part] for part in PARTS)
        return self._completed(train, val, test)

    def _located(self, rows: list[Row]) -> list[Row]:
        """Return the rows with absolute paths, which are those of the files that they mean, see `NearFiles`.

        Raises:
            UserError: images are missing.
        """
        near, located, missing = NearFiles(), [], []
        for row in rows:
            path = os.path.normpath(os.path.join(self.image_dir, row.path))
            if not os.path.isfile(path):
                path = near.find(path)
                missing += [path] if not os.path.isfile(path) else []
            require_format(path, f"{self.list_path}, {row.where}")
            located.append(row._replace(path=path))
        if missing:
            raise DataError(
                f"{self.list_path} {listing(missing)}: put them there{advice_on(missing[0], self.image_dir, near)}, or "
                "set DATASET.DIR to the folder that the paths start from"
            )
        self._report_renamed(near)
        return located

    def _report_renamed(self, near: NearFiles) -> None:
        if near.renamed:
            written, file = next(iter(near.renamed.items()))
            print(
                f"notice: {self.list_path}: {len(near.renamed)} path(s) have no suffix or another one than their "
                f'image, "{os.path.basename(written)}" and so on are read as "{os.path.basename(file)}"'
            )

    def _check(self, rows: list[Row]) -> None:
        if not rows:
            raise DataError(f"{self.list_path} lists no images: add some")
        row_of: dict[str, Row] = {}
        for row in rows:
            other = row_of.setdefault(row.path, row)
            if other is not row:
                raise DataError(
                    f"{self.list_path}: {other.where} and {row.where} list one image, {row.path}: keep one, as an "
                    "image has one class and is either trained or tested on"
                )
            if bool(row.part) != bool(rows[0].part):
                without, named = (row, rows[0]) if rows[0].part else (rows[0], row)
                raise DataError(
                    f"{self.list_path}: {without.where} has no split, but {named.where} has one: fill in all, or none "
                    "to have the images split"
                )

    def _given_split(self) -> Split:
        near = NearFiles()
        split = read_split(self.list_path, self.image_dir, anywhere=True, find=near.find)
        self._report_renamed(near)
        seen: set[str] = set()
        for item in (item for part in split for item in part):
            path = os.path.normpath(item.impath)
            require_format(path, self.list_path)
            if path in seen:
                raise DataError(f"{self.list_path} lists {path} twice: keep one, to train or to test on")
            seen.add(path)
        if self.names_path:
            labels = sorted({item.classname for part in split for item in part})
            names = self.class_names({label: f'{self.list_path}: class "{label}"' for label in labels})
            split = tuple(
                [ListedImage(item.impath, item.label, classname=names[item.classname]) for item in part]
                for part in split
            )
        else:
            self.report_codes({item.classname for part in split for item in part})
        return self._completed(*split)

    def _completed(self, train: list[Datum], val: list[Datum], test: list[Datum]) -> Split:
        """Return the split, with val images from train if it has none; test alone will do for a run that only tests."""
        if self.only_tests and test and not train:
            return self.test_images_alone(test, val if self.use_of_val else [])
        for part, items in (("train", train), ("test", test)):
            if not items:
                raise DataError(f"{self.list_path} lists no {part} images: add some, or leave out all splits")
        split = (train, val, test) if val else (*self.with_val(train), test)
        report_classes_without_images(split, type(self).__name__)
        return split


def read_list(path: str) -> list[Row] | None:
    """Return the rows of a list; None for a split file.

    Raises:
        UserError: the file cannot be read or is not what its name says, a row lacks path or label, a split is unknown.
    """
    text = read_text(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".json":
        content = _parsed(text, path)
        if isinstance(content, dict) and not content.keys().isdisjoint(PARTS):
            return None
        if not isinstance(content, list):
            raise DataError(f'{path}: expected [{{"path": ..., "label": ..., "split": ...}}, ...] or a split file')
        records = ((f"entry {number}", entry) for number, entry in enumerate(content, start=1))
    elif suffix == ".jsonl":
        lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
        records = ((f"line {number}", _parsed(line, path, number)) for number, line in lines)
    else:
        records = _csv_records(text, path)
    records = list(records)
    _report_unused_split(path, [record for _, record in records if isinstance(record, dict)])
    return [_row(path, where, record) for where, record in records]


def _report_unused_split(path: str, records: list[dict]) -> None:
    """Print a notice where the parts seem to be named, but under another word than split."""
    for name in OTHER_NAMES["split"]:
        values = {str(record[name]).strip().lower() for record in records if record.get(name)}
        if values and values <= PART_OF.keys() and not any(record.get("split") for record in records):
            print(f'notice: {path}: the column "{name}" is not used: rename it to split to use these parts')


def _csv_records(text: str, path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield ("line 7", {column: field}) for each line of a CSV file but the first, which names the columns."""
    first_line = re.split("[\r\n]", text.lstrip("\r\n "), maxsplit=1)[0]
    delimiter = max(",;\t", key=first_line.count)
    text = _QUOTED_AND_SPACE.sub(lambda found: found[1] or found[0], text)  # csv takes no space behind quotes
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    columns: list[str] = []
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {number}: {error}: the quotes do not match, write a quote inside of quotes as two"
            ) from error
        if fields is None:
            break
        if not any(field.strip() for field in fields):
            continue
        if not columns:
            columns = [field.strip().lower() for field in fields]
            for column, names in COLUMNS.items():
                count = sum(columns.count(name) for name in names)
                if count > 1 or (count < 1 and column != "split"):
                    what = f"two columns {column}" if count else f"no column {column}"
                    near = "" if count else did_you_mean(column, columns) or _called(column, columns)
                    raise DataError(
                        f"{path} has {what}{near}: the first line must be path,label or path,label,split, but is "
                        f'"{first_line.strip()}"'
                    )
            continue
        if len(fields) != len(columns):
            raise DataError(
                f"{path}, line {number} has {len(fields)} field(s), the first line {len(columns)}: quote a field that "
                "holds the separator"
            )
        yield f"line {number}", dict(zip(columns, fields, strict=True))
    if not columns:
        raise DataError(f"{path} is empty: write path,label or path,label,split into its first line, then the images")


def _called(column: str, columns: list[str]) -> str:
    """Return advice where a column seems to be `column` under another name, else ""."""
    other = next((name for name in columns if name in OTHER_NAMES[column]), None)
    return f' (rename "{other}" to {column}?)' if other else ""


def _parsed(text: str, path: str, line: int = 0) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a list of images: replace it") from error
    except ValueError as error:
        number = line or getattr(error, "lineno", 1)
        raise DataError(f"{path}, line {number}: not valid JSON ({getattr(error, 'msg', error)}): mend it") from error


def _row(path: str, where: str, record: Any) -> Row:
    if not isinstance(record, dict):
        raise DataError(f'{path}, {where}: expected {{"path": ..., "label": ...}}, found {reprlib.repr(record)}')
    values = {}
    for column, names in COLUMNS.items():
        value = next((record[name] for name in names if record.get(name) is not None), "")
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise DataError(f"{path}, {where}: {column} is {reprlib.repr(value)}: write a text or a whole number")
        values[column] = str(value).strip()
        if not values[column] and column != "split":
            raise DataError(f"{path}, {where} has no {column}: fill it in, or remove the image from the list")
        try:
            values[column].encode()
        except UnicodeEncodeError as error:  # JSON can write half a character
            raise DataError(f"{path}, {where}: {column} {values[column]!a} is not UTF-8: rename it") from error
    part = PART_OF.get(values["split"].lower(), "")
    if values["split"] and not part:
        near = did_you_mean(values["split"], PARTS)
        raise DataError(f'{path}, {where}: split "{values["split"]}" is none of train, val and test{near}')
    return Row(where, values["path"], normal_form(values["label"]), part)
