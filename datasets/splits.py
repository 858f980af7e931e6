"""Which image belongs where: split files, few-shot subsets, base and new classes.

A *split* is a tuple (train, val, test) of `Datum` lists. A *split file* is its JSON form in the layout that CoOp
introduced, `{"train": [[path, label, class name], ...], "val": [...], "test": [...]}`, with paths relative to the
image folder, so that a data folder can be moved and shared.

Two random streams, both private, so that no other draw in the program can change a subset:

- A split made here from class folders always uses SPLIT_SEED. Runs with different seeds therefore share one test set.
  (CoOp shuffles with the global generator, so there the split depends on the seed of the first run ever made.)
- A few-shot subset uses `random.Random(seed)`, which is the stream that CoOp gets from `random.seed(seed)`: for a
  given split file the subset of a seed is CoOp's.
"""

import hashlib
import json
import math
import os
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain

from dassl.data.datasets import Datum
from dassl.utils import write_json
from support.folders import printable, scan
from support.user_error import ConfigError, DataError, did_you_mean, shorten

from .annotations import read_json
from .class_names import both, tokens

Split = tuple[list[Datum], list[Datum], list[Datum]]

PARTS = ("train", "val", "test")
SPLIT_SEED = 1
TRAIN_SHARE = 0.5
VAL_SHARE = 0.2
MOST_VAL_SHOTS = 4


class ListedImage(Datum):
    """A `Datum` whose file a folder listing or an earlier look has shown to be there.

    `Datum` looks for its file. That is one look-up per image, which for ImageNet on a network drive takes minutes.
    """

    def __init__(self, impath: str, label: int, domain: int = 0, classname: str = ""):
        self._impath = impath
        self._label = label
        self._domain = domain
        self._classname = classname


# Folders ---------------------------------------------------------------------------------------------------------


def list_folders(folder: str) -> list[str]:
    """Return the sorted names of the folders in `folder`, without hidden ones and those of systems."""
    return require_utf8(scan(folder).folders, folder)


def list_files(folder: str) -> list[str]:
    """Return the sorted names of the files in `folder`, without hidden ones and those of systems."""
    return require_utf8(scan(folder).files, folder)


def require_utf8(names: list[str], folder: str = "") -> list[str]:
    """Return `names` of what is in `folder`. Raises a UserError if one is not UTF-8."""
    for name in names:
        if name != printable(name):
            raise DataError(
                f"{printable(os.path.join(folder, name))}: this name is not UTF-8, as class names and split files are: "
                "rename it"
            )
    return names


def require_images(items: Iterable[Datum], listed_in: str) -> None:
    """Raise a UserError, with the number and the first three, if images of `items` are missing.

    `listed_in` is the file that lists them.
    """
    missing = [item.impath for item in items if not os.path.isfile(item.impath)]
    if missing:
        raise DataError(f"{listed_in} {listing(missing)}: put all images there, or mend or replace that file")


def listing(missing: list[str]) -> str:
    """Return "lists ... image(s) that are missing: ..." with the first three of the paths."""
    return f"lists {len(missing)} image(s) that are missing: {shorten(missing)}"


# Split files -----------------------------------------------------------------------------------------------------


def read_split(
    split_path: str, image_dir: str, anywhere: bool = False, find: Callable[[str], str] | None = None
) -> Split:
    """Read a split file; its paths are taken relative to `image_dir`.

    Args:
        anywhere: whether paths may lead out of `image_dir`, as in a person's own list.
        find: called with a path that leads nowhere; returns that of the file that it means, or the same path.

    Raises:
        UserError: the file cannot be read, is not JSON, is not a split, or lists an image that is missing or elsewhere.
    """
    content = read_json(split_path)
    try:
        train, val, test = ([_listed_image(entry, image_dir) for entry in content[part]] for part in PARTS)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f'{split_path} is not a split file: expected {{"train": [[path, label, class name], ...], "val": [...], '
            f'"test": [...]}} ({type(error).__name__}: {error}); replace or delete it'
        ) from error
    inside = os.path.join(os.path.normpath(image_dir), "")
    for item in () if anywhere else chain(train, val, test):
        is_plain = item.impath.startswith(inside) and os.pardir not in item.impath  # normpath is slow for all images
        if not is_plain and not os.path.normpath(item.impath).startswith(inside):
            raise DataError(f"{split_path} lists {item.impath!a}, outside of {image_dir}: mend or replace that file")
    for item in chain(train, val, test) if find else ():
        if not os.path.isfile(item.impath):
            item._impath = find(item.impath)
    require_images(chain(train, val, test), split_path)
    return train, val, test


def write_split(split: Split, split_path: str, image_dir: str) -> None:
    """Write a split file, atomically, with paths relative to `image_dir`.

    Raises:
        UserError: the file cannot be written.
    """
    write_json(_as_lists(split, image_dir), split_path)


def split_hash(split: Sequence[list[Datum] | None], image_dir: str) -> str:
    """Return the SHA-256 that identifies a split: its images (relative to `image_dir`), labels and class names.

    A missing part (None) counts as an empty one, so this also serves datasets that have no val.
    Two runs with the same hash trained and tested on the same images, wherever their data folders are.
    """
    canonical = json.dumps(_as_lists(split, image_dir), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def relative_path(path: str, image_dir: str) -> str:
    """Return the path of an image as a split file has it: relative to `image_dir`, with "/"."""
    prefix = os.path.join(image_dir, "")
    # os.path.relpath alone takes seconds for the size of ImageNet.
    path = path[len(prefix) :] if path.startswith(prefix) else os.path.relpath(path, image_dir)
    return path.replace(os.sep, "/")


def _listed_image(entry: Sequence, image_dir: str) -> Datum:
    path, label, classname = entry
    if not isinstance(classname, str) or not classname.replace("_", " ").strip():
        raise TypeError(f"class name {classname!r} is no text or an empty one")
    classname.encode()  # JSON can write half a character
    if int(label) < 0 or int(label) != float(label):
        raise ValueError(f"label {label!r} is no whole number from 0")
    return ListedImage(os.path.join(image_dir, path), int(label), classname=classname)


def _as_lists(split: Sequence[list[Datum] | None], image_dir: str) -> dict[str, list[list]]:
    return {
        part: [[relative_path(item.impath, image_dir), item.label, item.classname] for item in items or ()]
        for part, items in zip(PARTS, split, strict=True)
    }


# Making a split --------------------------------------------------------------------------------------------------


def split_class_folders(
    image_dir: str,
    train_share: float = TRAIN_SHARE,
    val_share: float = VAL_SHARE,
    ignored: Collection[str] = (),
    new_names: Mapping[str, str] | None = None,
) -> Split:
    """Split `<image_dir>/<class>/<image>` class by class.

    Labels follow the sorted folder names; `ignored` folders are skipped first. A class is named after its folder
    unless `new_names` maps the folder to another name.
    """
    new_names = new_names or {}
    classes = []
    for label, folder in enumerate(name for name in list_folders(image_dir) if name not in ignored):
        class_dir = os.path.join(image_dir, folder)
        classname = new_names.get(folder, folder)
        images = [os.path.join(class_dir, name) for name in list_files(class_dir)]
        if not images:
            raise DataError(f"class folder {class_dir} holds no images: fill or remove it")
        classes.append([ListedImage(path, label, classname=classname) for path in images])
    return split_classes(classes, train_share, val_share)


def split_classes(
    classes: Iterable[list[Datum]], train_share: float = TRAIN_SHARE, val_share: float = VAL_SHARE
) -> Split:
    """Shuffle each class's images and cut them into train, val and test; CoOp's rule with SPLIT_SEED.

    Raises:
        UserError: a class has so few images that one of its three parts would be empty.
    """
    generator = random.Random(SPLIT_SEED)
    train, val, test = [], [], []
    for items in classes:
        items = list(items)
        generator.shuffle(items)
        end_of_train = round(len(items) * train_share)
        end_of_val = end_of_train + round(len(items) * val_share)
        if not 0 < end_of_train < end_of_val < len(items):
            shares = "/".join(f"{100 * share:.0f}" for share in (train_share, val_share, 1 - train_share - val_share))
            raise DataError(
                f'class "{items[0].classname}" has {len(items)} images in {os.path.dirname(items[0].impath)}, too few '
                f"to be split {shares} into train, val and test: add images or remove the class"
            )
        train += items[:end_of_train]
        val += items[end_of_train:end_of_val]
        test += items[end_of_val:]
    return train, val, test


def by_label(items: Iterable[Datum]) -> dict[int, list[Datum]]:
    """Group `items` by label, in order of first appearance, on which the order of the draws depends."""
    groups: dict[int, list[Datum]] = {}
    for item in items:
        groups.setdefault(item.label, []).append(item)
    return groups


def split_off_val(trainval: list[Datum], val_share: float = VAL_SHARE) -> tuple[list[Datum], list[Datum]]:
    """Divide `trainval` into (train, val) class by class; CoOp's rule with SPLIT_SEED.

    A class of one or two images gives none to val.
    """
    generator = random.Random(SPLIT_SEED)
    train, val = [], []
    for items in by_label(trainval).values():
        number_of_val = round(len(items) * val_share)
        generator.shuffle(items)
        val += items[:number_of_val]
        train += items[number_of_val:]
    return train, val


# Choosing from a split -------------------------------------------------------------------------------------------


def check_split(split: Split, name: str, names_repeat: bool = False) -> None:
    """Raise a UserError unless the split of dataset `name` can be trained and tested on.

    That is: train and test are not empty, the labels are 0..C-1, each has one class name of its own, as CLIP reads it
    (classes may share one with `names_repeat`), and at least one image in train.
    """
    train, _, test = split
    for part, items in (("training", train), ("test", test)):
        if not items:
            raise DataError(f"{name}: there are no {part} images: add some")
    names: dict[int, str] = {}
    for part in split:
        for item in part:
            if names.setdefault(item.label, item.classname) != item.classname:
                raise DataError(
                    f'{name}: label {item.label} has two class names, "{names[item.label]}" and "{item.classname}", '
                    f"the second at {item.impath}: mend the split"
                )
    labels_of_train = {item.label for item in train}
    for label in sorted(names):
        if label not in labels_of_train:
            raise DataError(f'{name}: class "{names[label]}" has no images in train: add some or remove the class')
    if sorted(names) != list(range(len(names))):
        missing = min(set(range(len(names))) - set(names))
        raise DataError(f"{name}: labels must be 0 to {len(names) - 1}, but none is {missing}: mend the split")
    if names_repeat:
        return
    label_of: dict[tuple[int, ...], int] = {}
    for label, classname in names.items():
        other = label_of.setdefault(tokens(classname), label)
        if other != label:
            raise DataError(
                f"{name}: labels {other} and {label} have one class name, {both(names[other], classname)}, so no "
                "prompt can tell them apart: rename or merge one"
            )


def report_fewer_images(train: list[Datum], shots: int, name: str) -> None:
    """Print a notice if classes have fewer training images than `shots`."""
    groups = by_label(train).values()
    small = [items for items in groups if len(items) < shots]
    if small:
        fewest = min(small, key=len)
        print(
            f"notice: {name}: {len(small)} of {len(groups)} classes have fewer than {shots} training images, the "
            f'smallest is "{fewest[0].classname}" with {len(fewest)}'
        )


def sample_few_shot(train: list[Datum], val: list[Datum], shots: int, seed: int) -> tuple[list[Datum], list[Datum]]:
    """Draw `shots` images per class from train, then min(shots, 4) from val; CoOp's subset for this seed.

    A class with fewer images keeps all of them, and `shots` below 1 keeps everything. A negative seed means that
    the run is not seeded: each call then draws anew.
    """
    if shots < 1:
        return train, val
    generator = random.Random(seed if seed >= 0 else None)
    return _sample(train, shots, generator), _sample(val, min(shots, MOST_VAL_SHOTS), generator)


def subsample_classes(parts: Sequence[list[Datum]], which: str) -> list[list[Datum]]:
    """Keep all classes, the base ones or the new ones in each of `parts` (base and new get labels from 0).

    The sorted labels of the first part are cut in two: the first ceil(C/2) classes are base, the rest new.

    Raises:
        UserError: `which` is not "all", "base" or "new", or no class is left.
    """
    choices = ["all", "base", "new"]
    if which not in choices:
        raise ConfigError(
            f'DATASET.SUBSAMPLE_CLASSES is "{which}": set it to all, base or new{did_you_mean(which, choices)}'
        )
    if which == "all":
        return list(parts)
    labels = sorted({item.label for item in parts[0]})
    middle = math.ceil(len(labels) / 2)
    chosen = labels[:middle] if which == "base" else labels[middle:]
    if not chosen:
        raise ConfigError(f"DATASET.SUBSAMPLE_CLASSES {which}: of {len(labels)} class(es) none is left, use all")
    new_label = {label: position for position, label in enumerate(chosen)}
    return [
        [
            ListedImage(item.impath, new_label[item.label], item.domain, item.classname)
            for item in part
            if item.label in new_label
        ]
        for part in parts
    ]


def _sample(items: list[Datum], shots: int, generator: random.Random) -> list[Datum]:
    chosen = []
    for group in by_label(items).values():
        # Too small a class takes no draw, else the draws of all later classes would differ from CoOp's.
        chosen += generator.sample(group, shots) if len(group) >= shots else group
    return chosen
