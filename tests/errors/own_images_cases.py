"""Cases of DataError: a person's own images, in folders and in lists."""

from __future__ import annotations

import json
import os

from tests.errors.cases import case, cases
from tests.errors.person import Person


def folders(person: Person, images: list[str], words: str = "", **links: str) -> None:
    """A run on the images in mine/; ``links`` are {path there, "__" for "/": where it leads}."""
    person.images(*(f"mine/{image}" for image in images))
    for path, target in links.items():
        (person.data / "mine" / path.replace("__", "/")).symlink_to(target)
    person.train(f"DATASET.DIR mine {words}", dataset="image_folder")


def linked(person: Person, images: list[str], links: dict[str, str]) -> None:
    folders(person, images, **links)


PARTS = ["train/cat/{2}.jpg", "train/dog/{2}.jpg", "test/cat/{2}.jpg", "test/dog/{2}.jpg"]
CLASSES = ["cat/{4}.jpg", "dog/{4}.jpg"]

cases(
    Person.train,
    {
        "ImageFolder: DATASET.DIR is empty: set it to the folder that holds your class folders": (
            "",
            "CoOp",
            "image_folder",
        ),
        "ImageFolder: DATASET.DIR <folder> is no folder; expected: <layout>": (
            "DATASET.DIR mine",
            "CoOp",
            "image_folder",
        ),
        "ImageList: DATASET.LIST is empty: set it to the .csv or .json file that lists your images": (
            "",
            "CoOp",
            "image_list",
        ),
        "ImageList: DATASET.LIST <file> is no file: set it to your list, a path under the data root (--root) or an absolute one": (
            "DATASET.LIST list.csv",
            "CoOp",
            "image_list",
        ),
    },
)
cases(
    folders,
    {
        "ImageFolder: <folder> has <part>/ but no <part>/: add <part>/<class>/, rename a folder to <part>/, or put the class folders directly into <folder> to have them split": (
            ["train/cat/0.jpg"],
        ),
        "ImageFolder: <folder> and <folder> are both the <part> images: remove or merge one": (
            [*PARTS, "val/cat/0.jpg", "validation/cat/0.jpg"],
        ),
        "ImageFolder: <folder> holds <n> class folder(s), two or more are needed: sort its images into <folder>/<class>/<file>": (
            ["cat/{4}.jpg"],
        ),
        'ImageFolder: <folder> has no counterpart: class "<name>" has no folder in train: add it there or remove it<did you mean>': (
            [*PARTS, "test/bird/0.jpg"],
        ),
        "ImageFolder: class folder <folder> holds no images (<suffixes>): fill or remove it; <n> image(s) are Windows icon, which is not read here: save it as PNG or JPEG (<files>)": (
            [*CLASSES, "bird/0.ico"],
        ),
        "<class> has <n> image(s), <n> or more of each class are needed to split them 50/20/30 into train, val and test: add images or remove the class<others>": (
            ["cat/{4}.jpg", "dog/{3}.jpg"],
        ),
        '<class> has an empty name, for "_" reads as a space: give it another': ([*CLASSES, "__/{4}.jpg"],),
        '<class> and <class> read as one class, "<name>"<source>: rename or merge one': ([*CLASSES, "Cat/{4}.jpg"],),
    },
)
cases(
    linked,
    {
        "ImageFolder: the link <link> leads nowhere: correct or remove it": (CLASSES, {"bird": "nowhere"}),
        "ImageFolder: the link <link> leads back to <folder>, which it lies in: remove the link": (
            CLASSES,
            {"cat__again": "../../mine"},
        ),
        "ImageFolder: <folder> and <folder> are one folder through a link, so its images would count twice: remove the link": (
            CLASSES,
            {"kitten": "cat"},
        ),
    },
)


@case("ImageFolder: <folder> holds no class folders: sort its images into <folder>/<class>/<file>")
def images_beside_the_class_folders(person):
    folders(person, ["train/cat/{2}.jpg", "train/dog/{2}.jpg", "test/{4}.jpg"])


@case('config key "<key>" in <source>: <value> is not UTF-8 or has a zero byte, mend it')
def folder_named_in_latin_1(person):
    os.makedirs(os.fsencode(person.data) + b"/caf\xe9")
    person.train("DATASET.DIR caf\udce9", dataset="image_folder")


@case("DATASET.ONLY_TESTED True stands for --eval-only: give that flag in its place")
def training_on_test_images(person):
    person.images("mine/test/cat/{2}.jpg", "mine/test/dog/{2}.jpg")
    person.train("DATASET.DIR mine DATASET.ONLY_TESTED True", dataset="image_folder", flags="")


@case("ImageFolder: <folder> has <part>/ but no <part>/: <what to do>")
def testing_without_test_images(person):
    person.images("mine/val/cat/{2}.jpg", "mine/val/dog/{2}.jpg")
    person.train("DATASET.DIR mine", dataset="image_folder", flags="--eval-only")


# the split that an earlier run made


def split_again(person: Person, split: str | dict) -> None:
    """A run on cats and dogs, {0 to 3}.jpg, of which an earlier one has left this split file."""
    text = split if isinstance(split, str) else json.dumps(split)
    person.write("data/mine/split_image_folder.json", text)
    folders(person, CLASSES)


def parts_of(*train: str) -> dict:
    return {"train": [[image, 0, "x"] for image in train], "val": [], "test": [["cat/3.jpg", 0, "cat"]]}


cases(
    split_again,
    {
        "<file> is no split file (<kind>: <reason>): <way out>": ("{}",),
        "<file> <lists n images that are missing>: put them back, or <way out>": (parts_of("cat/9.jpg"),),
        "<class> has no training images in <file>, which was made before: <way out>": (parts_of("cat/0.jpg"),),
        "<file> lists <n> image(s) in folders of systems, which are no longer used: <images>: <way out>": (
            parts_of("cat/@eaDir/0.jpg"),
        ),
    },
)


# classnames.txt


def named(person: Person, text: str | bytes) -> None:
    """A run on cats and dogs with this classnames.txt."""
    person.write("data/mine/classnames.txt", text)
    folders(person, CLASSES)


cases(
    named,
    {
        '<class> has no line in <file><did you mean>: add "<label> <class name>"': ("cat tabby\n",),
        '<file>, line <n>: expected "<label> <class name>", found "<line>"': ("cat tabby\ndog\n",),
        '<file>: lines <n> and <n> both name "<label>": remove one': ("cat tabby\ncat tom\ndog hound\n",),
        "<file> is not UTF-8 text (byte <n>): save it as UTF-8": (b"cat caf\xe9\n",),
    },
)


@case("<file> cannot be read (<reason>): check path and permissions")
def folder_in_place_of_the_class_names(person):
    (person.data / "mine/classnames.txt").mkdir(parents=True)
    folders(person, CLASSES)


@case("<file> cannot be read (<reason>): check path and permissions")
def pipe_in_place_of_the_class_names(person):
    person.images(*(f"mine/{image}" for image in CLASSES))
    os.mkfifo(person.data / "mine/classnames.txt")
    folders(person, [])


# lists


@case(
    "ImageList: DATASET.LIST <file> is no file: set it to your list, a path under the data root (--root) or an absolute one"
)
def pipe_in_place_of_the_list(person):
    person.data.mkdir()
    os.mkfifo(person.data / "list.csv")
    person.train("DATASET.LIST list.csv", dataset="image_list")


def listed(person: Person, text: str, suffix: str = "csv", words: str = "") -> None:
    """A run on a list with this text; of its images there are 0.jpg to 3.jpg."""
    person.images("{4}.jpg")
    person.write(f"data/list.{suffix}", text)
    person.train(f"DATASET.LIST list.{suffix} {words}", dataset="image_list")


HEAD = "path,label\n"
SPLIT_HEAD = "path,label,split\n"
cases(
    listed,
    {
        "ImageList: DATASET.LIST <file> must end in one of <suffixes>": (HEAD, "txt"),
        "ImageList: DATASET.DIR <folder> is no folder: set it to the folder of the images": (
            HEAD,
            "csv",
            "DATASET.DIR nowhere",
        ),
        "<file> is empty: write path,label or path,label,split into its first line, then the images": ("",),
        '<file> has <what>: the first line must be path,label or path,label,split, but is "<line>"': ("image,label\n",),
        "<file>, line <n> has <n> field(s), the first line <n>: quote a field that holds the separator": (
            HEAD + "0.jpg,cat,black\n",
        ),
        "<file>, line <n>: <reason>: the quotes do not match, write a quote inside of quotes as two": (
            HEAD + '0.jpg,"cat"s\n',
        ),
        "<file>, line <n>: not valid JSON (<reason>): mend it": ("[{", "json"),
        '<file>: expected [{"path": ..., "label": ..., "split": ...}, ...] or a split file': ("{}", "json"),
        "<file> is nested too deeply to be a list of images: replace it": ("[" * 200_000, "json"),
        '<file>, <place>: expected {"path": ..., "label": ...}, found <text>': ("[1]", "json"),
        "<file>, <place>: <column> is <value>: write a text or a whole number": (
            '[{"path": "0.jpg", "label": 1.5}]',
            "json",
        ),
        "<file>, <place> has no <column>: fill it in, or remove the image from the list": (HEAD + "0.jpg,\n",),
        "<file>, <place>: <column> <text> is not UTF-8: rename it": (
            '[{"path": "0.jpg", "label": "\\ud83d"}]',
            "json",
        ),
        '<file>, <place>: split "<name>" is none of train, val and test<did you mean>': (
            SPLIT_HEAD + "0.jpg,cat,trian\n",
        ),
        "<file> lists no images: add some": (HEAD,),
        "<file>: <place> and <place> list one image, <image>: keep one, as an image has one class and is either trained or tested on": (
            HEAD + "0.jpg,cat\n0.jpg,dog\n",
        ),
        "<file> lists <image> twice: keep one, to train or to test on": (
            json.dumps({"train": [["0.jpg", 0, "cat"]], "val": [], "test": [["0.jpg", 0, "cat"]]}),
            "json",
        ),
        "<file>: <place> has no split, but <place> has one: fill in all, or none to have the images split": (
            SPLIT_HEAD + "0.jpg,cat,train\n1.jpg,dog,\n",
        ),
        "<file> lists no <part> images: add some, or leave out all splits": (
            SPLIT_HEAD + "0.jpg,cat,train\n1.jpg,dog,train\n",
        ),
        "<file> <lists n images that are missing>: put them there<advice>, or set DATASET.DIR to the folder that the paths start from": (
            HEAD + "9.jpg,cat\n",
        ),
        "<file>, <where>: <image> is <format>, which is not read here: save it as PNG or JPEG": (
            HEAD + "0.jpg,cat\n1.JP2,dog\n",
        ),
        '<file>: all images are of class "<name>", two or more classes are needed': (HEAD + "0.jpg,cat\n1.jpg,cat\n",),
    },
)
