"""What ImageFolder and ImageList share: class names from a file, names of the parts, a split that is made once."""

import json
import os
import re
from collections.abc import Hashable, Iterable, Mapping
from itertools import chain

from dassl.data.datasets import Datum
from dassl.engine.val_use import use_of_val
from support.regular_file import regular_only
from support.system_files import is_system_file
from support.user_error import DataError, did_you_mean, shorten

from .class_names import both, is_code, normal_form, tokens
from .split_dataset import SplitDataset
from .splits import PARTS, Split, listing, split_classes, split_off_val

NAMES_OF_PARTS = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
PART_OF = {name: part for part, names in NAMES_OF_PARTS.items() for name in names}  # keys in lower case
FEWEST_TO_SPLIT = 4  # images of a class; of fewer, 50/20/30 leaves a part empty


class OwnImages(SplitDataset):
    """A person's own images. A class is known by its *label*: its folder's name, or its label in a list.

    Class names come from `cfg.DATASET.CLASSNAMES`, else from `classnames.txt` in `names_dir` where there is one, else
    they are the labels with "_" read as a space. `places` below map each label to the words that tell a person where it
    is: a folder, or a line of a list.
    """

    images_as_shown = True
    way_to_test_all = ""  # advice for a run that only tests
    names_dir = ""  # the folder where classnames.txt is looked for
    names_path = ""  # the file that names the classes; "": none
    only_tests = False  # whether the run trains nothing, so that training images may be missing
    use_of_val = ""  # what the run uses val images for, "": nothing
    takes_val = True  # whether val images may be taken from train
    lacks_val = False  # whether there are training but no val images

    def read_settings(self, cfg) -> None:
        """Set the attributes above but for the first and the last. Call it once `names_dir` is set."""
        self.only_tests = cfg.DATASET.ONLY_TESTED
        self.use_of_val = use_of_val(cfg, self.only_tests)
        self.takes_val = not (self.only_tests and cfg.TEST.CALIBRATE)  # the tested model may have learned from all
        beside = os.path.join(self.names_dir, "classnames.txt")
        self.names_path = beside if os.path.lexists(beside) else ""
        if cfg.DATASET.CLASSNAMES:
            self.names_path = under_root(cfg, "CLASSNAMES")

    def class_names(self, places: dict[str, str]) -> dict[str, str]:
        """Return the class name of each label, in the order of `places`.

        Raises:
            UserError: a label has no line in the file, an empty name or one that CLIP reads as that of another.
        """
        source = f" in {self.names_path}" if self.names_path else ""
        if self.names_path:
            _check_distinct({label: normal_form(label) for label in places}, places, {label: label for label in places})
            names, listed = read_class_names(self.names_path, places)
            for label, place in places.items():
                if label not in names:
                    near = did_you_mean(label, listed)
                    raise DataError(f'{place} has no line in {self.names_path}{near}: add "{label} <class name>"')
            names = {label: names[label] for label in places}
        else:
            names = {label: " ".join(label.replace("_", " ").split()) for label in places}
            self.report_codes(names.values())
        read = {label: tokens(name) for label, name in names.items()}
        for label, found in read.items():
            if not found:
                raise DataError(f'{places[label]} has an empty name, for "_" reads as a space: give it another')
        _check_distinct(read, places, names, source)
        return names

    def report_codes(self, names: Iterable[str]) -> None:
        """Print a notice where half of the class names or more are codes, or hold one beside their words."""
        names = list(names)
        codes = [name for name in names if is_code(name)]
        if 2 * len(codes) >= len(names):
            print(
                f'notice: class names are "{codes[0]}" and so on, which tell CLIP little: put lines '
                f'"<label> <class name>" into {os.path.join(self.names_dir, "classnames.txt")}'
            )

    def with_val(self, train: list[Datum]) -> tuple[list[Datum], list[Datum]]:
        """Return train and val of images that come without val: a fifth of each class where the run uses val images."""
        self.lacks_val = True
        if not self.use_of_val or not self.takes_val:
            return train, []
        few, val = split_off_val(train)
        self.split_note = (
            f"{len(val)} of the {len(train)} training images were taken for validation, a fifth of each class, as "
            f"{self.use_of_val}; with val images of your own all are trained on"
        )
        return few, val

    def test_images_alone(self, test: list[Datum], val: list[Datum] | None = None) -> Split:
        """Return the split of a run that only tests on images that have no training images beside them."""
        self.only_tested = True
        return test, val or [], test

    def split_once(self, classes: dict[str, list[Datum]]) -> Split:
        """Split the images of each class 50/20/30, or as the split file says, which then lists them.

        Args:
            classes: the images of each class, by the words that tell where it is.

        A run that only tests takes all images for testing where there is no split file and classes are too small.

        Raises:
            UserError: a class has fewer than FEWEST_TO_SPLIT images, or the split file is no such file, lists an image
                that is missing, or has no training images of a class.
        """
        split = self._split_once(classes)
        if not self.only_tested:
            parts = ", ".join(f"{len(items)} {part}" for part, items in zip(PARTS, split, strict=True))
            self.split_note = (
                f"the images of each class were split 50/20/30, in all {parts}; delete {self.split_path} to have them "
                "split anew"
            )
            if self.only_tests:
                self.split_note = f"only the test images are tested: {self.split_note}; {self.way_to_test_all}"
        return split

    def _split_once(self, classes: dict[str, list[Datum]]) -> Split:
        if os.path.exists(self.split_path):
            return self._kept_split(classes)
        small = {place: len(items) for place, items in classes.items() if len(items) < FEWEST_TO_SPLIT}
        if small and self.only_tests:
            images = list(chain.from_iterable(classes.values()))
            self.split_note = f"all {len(images)} images are tested, as there are too few to split them"
            return self.test_images_alone(images)
        for place, number in small.items():
            others = f"; {len(small) - 1} more class(es) are too small" if len(small) > 1 else ""
            raise DataError(
                f"{place} has {number} image(s), {FEWEST_TO_SPLIT} or more of each class are needed to split them "
                f"50/20/30 into train, val and test: add images or remove the class{others}"
            )
        return self.read_or_build(lambda: split_classes(classes.values()))

    def advice_on_split(self) -> str:
        return " (50 % train, 20 % val, 30 % test of each class); delete it to have the images split anew"

    def _way_out(self) -> str:
        return f"delete {self.split_path} to have the images split anew"

    def _kept_split(self, classes: dict[str, list[Datum]]) -> Split:
        # Only which image is in which part is taken from the file: class names may have been given since.
        images = {item.impath: item for items in classes.values() for item in items}
        by_form = {normal_form(path): item for path, item in images.items()}  # a Mac may have made the file
        text = read_text(self.split_path)
        try:
            content = json.loads(text)
            parts = [
                [os.path.normpath(os.path.join(self.image_dir, path)) for path, _, _ in content[part]] for part in PARTS
            ]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(
                f"{self.split_path} is no split file ({type(error).__name__}: {error}): {self._way_out()}"
            ) from error
        listed = {path: images.get(path) or by_form.get(normal_form(path)) for part in parts for path in part}
        missing = [path for path, item in listed.items() if item is None]
        of_systems = [path for path in missing if any(map(is_system_file, path[len(self.image_dir) :].split(os.sep)))]
        if of_systems:
            raise DataError(
                f"{self.split_path} lists {len(of_systems)} image(s) in folders of systems, which are no longer used: "
                f"{shorten(of_systems)}: {self._way_out()}"
            )
        if missing:
            raise DataError(f"{self.split_path} {listing(missing)}: put them back, or {self._way_out()}")
        train, val, test = ([listed[path] for path in part] for part in parts)
        to_train = {item.impath for item in train}
        for place, items in classes.items():
            if to_train.isdisjoint(item.impath for item in items):
                raise DataError(
                    f"{place} has no training images in {self.split_path}, which was made before: {self._way_out()}"
                )
        later = len(images) - sum(map(len, parts))
        if later > 0:
            print(f"notice: {later} image(s) came after {self.split_path} was made and are not used: {self._way_out()}")
        return train, val, test


def _check_distinct(
    read: Mapping[str, Hashable], places: Mapping[str, str], names: Mapping[str, str], source: str = ""
) -> None:
    """Raise a UserError where two labels are read alike; `names` and their `source` are for the message."""
    label_of: dict[Hashable, str] = {}
    for label, found in read.items():
        other = label_of.setdefault(found, label)
        if other != label:
            raise DataError(
                f"{places[other]} and {places[label]} read as one class, {both(names[other], names[label])}{source}: "
                "rename or merge one"
            )


def under_root(cfg, key: str) -> str:
    """Return the path in `cfg.DATASET[key]`, which is absolute, under the home folder ("~/...") or the data root."""
    root = os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
    return os.path.normpath(os.path.join(root, os.path.expanduser(cfg.DATASET[key])))


def read_text(path: str) -> str:
    """Return the text of a file that a person wrote, line ends as they are.

    Raises:
        UserError: the file cannot be read or is not UTF-8.
    """
    # utf-8-sig: spreadsheets put a mark at the start of the file, which is no part of the text.
    try:
        with open(path, encoding="utf-8-sig", newline="", opener=regular_only) as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check path and permissions") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error


def read_class_names(path: str, labels: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Read a file with one class per line, `<label> <class name>`, parted by space, tab or comma.

    Labels may hold these themselves: a line belongs to the longest of `labels` that it starts with, in whatever Unicode
    normal form. Lines of other labels are passed over, so one file can serve many datasets.

    Returns:
        the class names of those `labels` that have a line, and the labels of all lines.

    Raises:
        UserError: the file cannot be read, a label has no name or two lines.
    """
    names, line_of, listed = {}, {}, []
    label_of = {normal_form(label): label for label in labels}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        line = normal_form(line.strip())
        parted = [(line[: mark.start()], line[mark.end() :]) for mark in re.finditer(r"[ \t,]+", line)]
        known = [(label_of[label], name) for label, name in parted if label in label_of and name]
        if not known:
            if line.rstrip(" \t,") in label_of:
                raise DataError(f'{path}, line {number}: expected "<label> <class name>", found "{line}"')
            listed += [label for label, _ in parted[:1]]
            continue
        label, name = known[-1]
        if label in names:
            raise DataError(f'{path}: lines {line_of[label]} and {number} both name "{label}": remove one')
        names[label] = " ".join(name.strip('"').replace("_", " ").split())  # quoted by a spreadsheet
        line_of[label] = number
    return names, [*listed, *names]


def report_classes_without_images(split: Split, dataset: str) -> None:
    """Print a notice for val and test if classes of train have no images there."""
    train, val, test = split
    names = {item.label: item.classname for item in train}
    for part, items in (("val", val), ("test", test)):
        without = sorted(names.keys() - {item.label for item in items})
        if items and without:
            first = names[without[0]]
            print(f'notice: {dataset}: no {part} images for {len(without)} class(es), the first is "{first}"')
