"""Cases of DATASET.FEW_SHOT_FILE: few-shot images that do not fit the handwritten digits."""

from __future__ import annotations

import json

from dassl.data.datasets import DATASET_REGISTRY, DatasetBase
from tests.errors.cases import case, cases
from tests.errors.person import Person


@DATASET_REGISTRY.register()
class DrawsItself(DatasetBase):
    """A third party's dataset, which knows no file of few-shot images."""


def listed(person: Person, name: str, *change: object) -> None:
    """Train on two images per class from a file of this name; ``change`` is its text, or of its first training image."""
    split = json.loads((person.embedded / "digits/split_digits.json").read_text())
    few = [[entry for entry in split["train"] if entry[1] == label][:2] for label in range(10)]
    content = {"train": [entry for entries in few for entry in entries], "val": [], "test": []}
    if len(change) == 1:
        text = change[0]
    else:
        for place, value in zip(change[::2], change[1::2], strict=True):
            content["train"][0][place] = value
        text = json.dumps(content)
    person.train(f"DATASET.NUM_SHOTS 2 DATASET.FEW_SHOT_FILE {person.write(name, text)}")


cases(
    listed,
    {
        "DATASET.FEW_SHOT_FILE <file> must end in one of <suffixes>": ("few.txt", ""),
        "<file> is a pickle, which runs code where it is read, so it is not read: <how to convert it>": ("few.pkl", ""),
        "<file> holds more than lists, texts and numbers, so it is not read, as it may run code: <how to convert it>": (
            "few.pth",
            "",
        ),
        "<file>, line <n>: not valid JSON (<reason>): get the file again": ("few.jsonl", "{"),
        '<file> is no list of few-shot images: expected {"train": [[path, label, class name], ...], "val": [...]}, or "impath", "label" and "classname" of each image (<reason>)': (
            "few.json",
            "[1]",
        ),
        "<file> lists <n> training image(s) that are not in the training split: <paths><test images>: it is of another dataset or split, use CoOp's split file or name another": (
            "few.json",
            *(0, "nothing.png"),
        ),
        '<file>: <path> is of class "<name>" (label <n>) there, but its image is of "<name>", as others are that the file tells apart: it is of another dataset or split': (
            "few.json",
            *(1, 7),
        ),
    },
)


def with_entries(person: Person, text: str) -> None:
    person.train(f"DATASET.NUM_SHOTS 2 DATASET.FEW_SHOT_FILE {person.write('few.json', text)}")


def digits(person: Person, count: int) -> list:
    return json.loads((person.embedded / "digits/split_digits.json").read_text())["train"][:count]


@case("<file> lists <path> twice: remove one, as an image counts once")
def image_twice(person):
    with_entries(person, json.dumps({"train": digits(person, 1) * 2}))


@case(
    "<file> lists <n> validation image(s) that are in no split, or tested or trained on: <paths>: it is of another dataset or split, use CoOp's split file or name another"
)
def validated_on_what_is_trained_on(person):
    with_entries(person, json.dumps({"train": digits(person, 1), "val": digits(person, 1)}))


@case(
    '<file> lists <n> training image(s) of "<name>", but DATASET.NUM_SHOTS is <n>, of which the class has <n>: name the file of <n> shots, or set DATASET.NUM_SHOTS'
)
def other_number_of_shots(person):
    with_entries(person, json.dumps({"train": digits(person, 1)}))


@case(
    "<file> lists no images of <n> class(es), <names>: name a file that does, or choose its classes by DATASET.SUBSAMPLE_CLASSES"
)
def classes_without_images(person):
    with_entries(person, json.dumps({"train": digits(person, 2)}))


@case("DATASET.FEW_SHOT_FILE: there is no file <file> and no <file>: correct the path")
def no_file(person):
    person.train("DATASET.FEW_SHOT_FILE few.json")


@case("DATASET.FEW_SHOT_FILE: <name> is a dataset of others, which draws its images itself")
def dataset_of_others(person):
    person.train("DATASET.NAME DrawsItself DATASET.FEW_SHOT_FILE few.json", flags="")
