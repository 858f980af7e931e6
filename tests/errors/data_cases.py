"""Cases of DataError, but for one's own images: published data sets, third parties', check and prepare."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from dassl.data.datasets import DATASET_REGISTRY, DatasetBase
from dassl.utils import listdir_nohidden
from datasets.digits import Digits
from datasets.prepare import archives
from datasets.sources import SOURCES, Source
from tests.datasets.fake_idx import idx, write_fashion_mnist
from tests.datasets.fake_trees import make_tree
from tests.errors.cases import case, cases
from tests.errors.person import Person

# any data set

cases(
    Person.train,
    {
        "<data set>: <folder> is missing; expected under the data root (--root): <layout>; official source: <address>": (
            "",
            "CoOp",
            "dtd",
        ),
        'DATASET.TEMPLATE is "<template>": write one {} where the class name goes, as in "a photo of a {}."': (
            "DATASET.TEMPLATE 'a photo of a'",
        ),
        'text "<text>" has <n> tokens, start and end included, but the context holds <n>: shorten it': (
            f"DATASET.TEMPLATE '{'very ' * 80}{{}}'",
            "ZeroshotCLIP",
        ),
    },
)


def describe(person: Person, content: str, words: str = "") -> None:
    """A test of CuPL on the digits with this file of descriptions."""
    file = person.write("texts.json", content)
    person.train(f"DATASET.DESCRIPTIONS {file} {words}", "CuPL", flags="--eval-only")


cases(
    describe,
    {
        '<file> is not valid JSON in UTF-8 (<reason>): expected {"class name": ["sentence", ...], ...}': ("{",),
        '<file> holds <kind> where an object is expected: {"class name": ["sentence", ...], ...}': ("[]",),
        '<file>, class <name>: <reason>: expected {"class name": ["sentence", ...], ...}': ('{"zero": "a ring"}',),
        '<file>: "<name>" and "<name>" are one class as CLIP reads them: remove one': (
            '{"zero": ["o"], "Zero": ["O"]}',
        ),
        "<file> describes <n> of the <n> classes; without a sentence are <names>: add them": ('{"zeroo": ["a ring"]}',),
    },
)
cases(
    Person.train,
    {
        '<trainer> needs descriptions of the classes: name a JSON file, {"class name": ["sentence", ...], ...}, in DATASET.DESCRIPTIONS': (
            "",
            "CuPL",
            "digits",
            "--eval-only",
        ),
        "<file> cannot be read (<reason>): check DATASET.DESCRIPTIONS": ("DATASET.DESCRIPTIONS gone.json",),
    },
)


@case("<file> has more than <n> MiB: give fewer sentences per class")
def too_long_descriptions(person):
    person.patch.setattr("trainers.descriptions.MOST_BYTES", 8)
    describe(person, json.dumps({"zero": ["a ring"]}))


def make(person: Person, name: str) -> None:
    """A published data set's folder, with few images."""
    make_tree(name, person.data)


@case("<data set>: <folder> cannot be reached (<reason>): mend its permissions")
def no_permission(person):
    make(person, "DescribableTextures")
    stat = os.stat

    def refuse(path, *args, **kwargs):
        if str(path).endswith("dtd/images"):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, *args, **kwargs)

    person.patch.setattr(os, "stat", refuse)  # root, as whom the tests may run, is refused nothing
    person.train(dataset="dtd")


@case("<folder> <what> (<reason>): check path and permissions")
def link_to_itself(person):
    make(person, "DescribableTextures")
    (person.data / "dtd/images/banded/loop.jpg").symlink_to("loop.jpg")
    person.train(dataset="dtd")


@case("<folder>: this name is not UTF-8, as class names and split files are: rename it")
def folder_in_latin_1(person):
    make(person, "DescribableTextures")
    os.mkdir(os.fsencode(person.data / "dtd/images") + b"/caf\xe9")
    person.train(dataset="dtd")


@case("class folder <folder> holds no images: fill or remove it")
def empty_folder(person):
    make(person, "DescribableTextures")
    (person.data / "dtd/images/checked").mkdir()
    person.train(dataset="dtd")


@case(
    'class "<name>" has <n> images in <folder>, too few to be split <shares> into train, val and test: add images or remove the class'
)
def two_images(person):
    make(person, "DescribableTextures")
    person.images("dtd/images/checked/{2}.jpg")
    person.train(dataset="dtd")


def split_file(person: Person, split: object) -> None:
    """A run on a data set whose split file holds ``split``; of its images there are 0.jpg to 3.jpg."""
    person.images("dtd/images/banded/{4}.jpg")
    text = split if isinstance(split, str) else json.dumps(split)
    person.write("data/dtd/split_zhou_DescribableTextures.json", text)
    person.train(dataset="dtd")


def entry(image: int | str, label: int = 0, name: str = "banded") -> list:
    return [f"banded/{image}.jpg", label, name]


def split_of(train: list, val: list, test: list) -> dict:
    return {"train": train, "val": val, "test": test}


cases(
    split_file,
    {
        '<file> is not a split file: expected {"train": [[path, label, class name], ...], "val": [...], "test": [...]} (<kind>: <reason>); replace or delete it': (
            {"train": []},
        ),
        "<file> <lists n images that are missing>: put all images there, or mend or replace that file": (
            split_of([entry("gone")], [], [entry(1)]),
        ),
        "<file> lists <image>, outside of <folder>: mend or replace that file": (
            split_of([["../../digits/0.jpg", 0, "banded"]], [], [entry(1)]),
        ),
        "<data set>: there are no <part> images: add some": (split_of([entry(0)], [], []),),
        '<data set>: label <n> has two class names, "<name>" and "<name>", the second at <image>: mend the split': (
            split_of([entry(0)], [], [entry(1, name="blotchy")]),
        ),
        '<data set>: class "<name>" has no images in train: add some or remove the class': (
            split_of([entry(0)], [], [entry(1, 1, "blotchy")]),
        ),
        "<data set>: labels must be 0 to <n>, but none is <n>: mend the split": (
            split_of([entry(0), entry(2, 2, "blotchy")], [], [entry(1)]),
        ),
        '<data set>: labels <n> and <n> have one class name, "<name>", so no prompt can tell them apart: rename or merge one': (
            split_of([entry(0), entry(2, 1)], [], [entry(1)]),
        ),
    },
)


@case("<data set>: the chosen classes have no test images: add some")
def no_test_images_of_the_new_classes(person):
    person.images("dtd/images/banded/{4}.jpg")
    split = split_of([entry(0), entry(2, 1, "blotchy")], [], [entry(1)])
    person.write("data/dtd/split_zhou_DescribableTextures.json", json.dumps(split))
    person.train("DATASET.SUBSAMPLE_CLASSES new", dataset="dtd")


def digits_of_ones_own(person: Person) -> None:
    """A copy of the digits that may be spoilt."""
    shutil.copytree(person.embedded / "digits", person.data / "digits")
    person.embedded = person.data


@case("image not found: <image>: put it there, or take it out of the dataset")
def image_that_vanishes_after_the_start(person):
    import dassl.engine

    digits_of_ones_own(person)
    build = dassl.engine.build_trainer

    def without_an_image(cfg):
        trainer = build(cfg)
        os.remove(trainer.dm.dataset.test[0].impath)
        return trainer

    person.patch.setattr(dassl.engine, "build_trainer", without_an_image)
    person.train(trainer="ZeroshotCLIP", flags="--eval-only")


def spoilt_images(person: Person, spoil: Callable[[Path], object]) -> None:
    """A test on the digits after ``spoil`` has changed the files of all zeros."""
    digits_of_ones_own(person)
    for image in (person.data / "digits/images/zero").iterdir():
        spoil(image)
    person.train(trainer="ZeroshotCLIP", flags="--eval-only")


def put_in_a_pipe(image: Path) -> None:
    image.unlink()
    os.mkfifo(image)


for spoil in (
    lambda image: image.write_bytes(image.read_bytes()[:60]),
    lambda image: image.write_bytes(b""),
    lambda image: image.write_bytes(b"P6 13000 13000 255\n"),  # of which memory would take much
    lambda image: Image.new("L", (8000, 1)).save(image),
):
    cases(spoilt_images, {"cannot read the image <image>: <reason>; replace the file or take it out": (spoil,)})
cases(
    spoilt_images,
    {"<file> <lists n images that are missing>: put all images there, or mend or replace that file": (put_in_a_pipe,)},
)


@case("<folder> is incomplete, <file> is missing: delete that folder, it will be written again")
def digits_without_their_split(person):
    digits_of_ones_own(person)
    (person.data / "digits/split_digits.json").unlink()
    person.train()


@case("<folder> cannot be written (<reason>): choose another --root")
def file_in_place_of_the_data_root(person):
    person.embedded = person.write("data")
    person.train()


@case("LinearProbe tells classes apart, but <data set> has one here")
def one_class(person):
    person.train("DATASET.NAME OneDigit DATASET.NUM_SHOTS 1", "LinearProbe", flags="")


# published data sets


@case("<file> lists no images: get the file again")
def empty_annotation_file(person):
    make(person, "OxfordPets")
    person.write("data/oxford_pets/annotations/test.txt")
    person.train(dataset="oxford_pets")


@case("<file> cannot be read (<reason>): get the file again")
def damaged_mat_file(person):
    make(person, "StanfordCars")
    person.write("data/stanford_cars/devkit/cars_meta.mat", b"no MATLAB")
    person.train(dataset="stanford_cars")


@case("<file>, <line or entry> <n>: <reason>: get both files again")
def unknown_class_in_an_annotation_file(person):
    make(person, "FGVCAircraft")
    person.write("data/fgvc_aircraft/variants.txt", "707-320\n")
    person.train(dataset="fgvc_aircraft")


@case('<file>, <line or entry> <n>: expected "<layout>", found <text>: mend it or get the file again')
def annotation_line_that_lacks_a_word(person):
    make(person, "OxfordPets")
    person.write("data/oxford_pets/annotations/test.txt", "Abyssinian_100 1 1\n")
    person.train(dataset="oxford_pets")


@case("<data set>: <folder> holds no class folders: sort the images into <layout>")
def imagenet_without_folders(person):
    make(person, "ImageNet")
    shutil.rmtree(person.data / "imagenet/images/train")
    (person.data / "imagenet/images/train").mkdir()
    person.train(dataset="imagenet")


@case("<file> has no line for the folder <folder>: add it or remove the folder")
def imagenet_with_another_folder(person):
    make(person, "ImageNet")
    person.images("imagenet/images/train/n99999999/0.jpg")
    person.train(dataset="imagenet")


@case('<data set>: class "<name>" has no images: <folder> is missing or empty')
def imagenet_with_an_empty_folder(person):
    make(person, "ImageNet")
    (person.data / "imagenet/images/train/n15075141").mkdir()
    person.train(dataset="imagenet")


@case('<folder> has no counterpart: class "<name>" has no images in <folder>: add or remove the folder<did you mean>')
def imagenet_with_a_class_in_val_alone(person):
    make(person, "ImageNet")
    person.images("imagenet/images/val/n15075141/0.jpg")
    person.train(dataset="imagenet")


@case("<folder>: <file> has <n> classes, so folders must be named 0 to <n>: complete the file or remove the folder")
def imagenetv2_with_another_folder(person):
    folder = "imagenetv2/imagenetv2-matched-frequency-format-val"
    person.images(f"{folder}/0/0.jpg", f"{folder}/1/0.jpg")
    person.write("data/imagenetv2/classnames.txt", "n01440764 tench\n")
    person.train(dataset="imagenetv2")


def fashion_mnist(person: Person, file: str, array: np.ndarray) -> None:
    """A run on Fashion-MNIST one file of which holds another array."""
    write_fashion_mnist(person.data / "fashion_mnist")
    person.write(f"data/fashion_mnist/{file}", idx(array))
    person.train(dataset="fashion_mnist")
    assert not (person.data / "fashion_mnist/png").exists()


IMAGE_FILE, LABEL_FILE = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
cases(
    fashion_mnist,
    {
        "<file> cannot be read (<reason>): get the file again": (IMAGE_FILE, np.zeros(9)),
        "<file> holds images of <n> x <n> pixels, not <n> x <n>: get the file again": (
            IMAGE_FILE,
            np.zeros((9, 32, 32)),
        ),
        "<file> has <n> labels for <n> images: get both files again": (LABEL_FILE, np.arange(10)),
        "<file> does not hold the labels <n> to <n>: get the file again": (LABEL_FILE, np.zeros(100)),
    },
)


# data sets of third parties


def third_party(name: str, **splits: list[tuple[str, int]]):
    """Register a data set with these images of the digits as (file, label)."""

    def build(self, cfg):
        digits = {os.path.basename(item.impath): item for item in Digits(cfg).train_x}
        first = next(iter(digits.values()))
        made = {
            part: [type(first)(first.impath, label, classname=text) for text, label in split]
            for part, split in splits.items()
        }
        DatasetBase.__init__(self, **made)

    DATASET_REGISTRY.register(type(name, (DatasetBase,), {"__init__": build}))


third_party("NoTraining", train_x=[], test=[("a", 0)])
third_party("LabelGap", train_x=[("a", 0), ("c", 2)], test=[("a", 0)])
third_party("OtherTestClass", train_x=[("a", 0)], test=[("b", 1)])
third_party("NoTest", train_x=[("a", 0), ("b", 1)], test=[])


@DATASET_REGISTRY.register()
class TwoDomains(Digits):
    """A third party's data set for domain generalization."""

    domains = ["photo", "sketch"]

    def __init__(self, cfg):
        super().__init__(cfg)
        self.check_input_domains(cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS)


@DATASET_REGISTRY.register()
class ListsAFolder(DatasetBase):
    """A third party's data set that reads a folder by itself."""

    def __init__(self, cfg):
        listdir_nohidden(os.path.join(cfg.DATASET.ROOT, "theirs"))


cases(
    Person.train,
    {
        "<data set>: there are no training images: add some": ("DATASET.NAME NoTraining",),
        "<data set>: class <n> of <n> has no training image: add one": ("DATASET.NAME LabelGap",),
        '<data set>: <image> in the <part> split has class <n> ("<name>"), but the training images have <n> classes: correct the split': (
            "DATASET.NAME OtherTestClass",
        ),
        "dataset <name>: a <part> split has no images: add some": ("DATASET.NAME NoTest",),
        "<key> is empty; choose from <names>": ("DATASET.NAME TwoDomains",),
        '<data set> has no domain "<name>"; choose from <names>': (
            "DATASET.NAME TwoDomains",
            "CoOp",
            "digits",
            "--source-domains foto --no-train",
        ),
        "cannot list the folder <folder>: <reason>; correct the path or its permissions": (
            "DATASET.NAME ListsAFolder",
        ),
    },
)


# check and prepare

case('"<name>" is neither a data set nor a path<did you mean>; there are <names>')(lambda person: person.check("dtdd"))
case('"<name>" needs no preparation: choose <names>')(lambda person: person.prepare("digits"))


@case("<data set> is a data set of another kind than those here: only train.py can read it")
def prepare_a_data_set_of_a_third_party(person):
    from datasets.check import inspection

    person.patch.setitem(inspection.known_names(), "dtd", "NoTest")
    person.prepare("dtd")
    person.expected_code = 1


def brought(person: Person, content: bytes) -> None:
    """Prepare DTD from an archive of this content, which the person brought and which counts as the published one."""
    person.write("data/downloads/dtd/dtd-r1.0.1.tar.gz", content)
    publish(person, content)
    person.prepare("dtd")
    person.expected_code = 1


def publish(person: Person, content: bytes, **changes) -> None:
    """The one archive of DTD from now on; ``changes`` are of the others of its attributes."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    (first, *_) = SOURCES["dtd"].archives
    first = dataclasses.replace(first, digest=digest, size=len(content), **changes)
    person.patch.setitem(SOURCES, "dtd", Source(archives=(first,), by_hand=SOURCES["dtd"].by_hand))


def packed(*names: str) -> bytes:
    """A .tar.gz with small files of these names."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    return file.getvalue()


cases(
    brought,
    {
        "<archive> is damaged (<reason>): get it again": (packed("dtd/images/a.jpg")[:40],),
        '<archive> holds no "<folder>", nothing was unpacked: it is another archive': (packed("other/a.jpg"),),
        '<archive> is refused, nothing was unpacked: its member "<name>" <objection>': (packed("dtd/../../a.jpg"),),
        "<archive> does not hold <folders>, so it is not laid out: get it again": (packed("dtd/a.txt"),),
    },
)


@case("<archive> is refused, nothing was unpacked: it holds more than <n> members or <n> GB")
def archive_with_too_many_members(person):
    person.patch.setattr(archives, "MOST_MEMBERS", 1)
    brought(person, packed("dtd/images/a.jpg", "dtd/images/b.jpg"))


@case("<file> is not the published file (<hash>, published: <hash>): replace or remove it")
def another_file_brought(person):
    person.write("data/downloads/dtd/dtd-r1.0.1.tar.gz", b"something else")
    person.prepare("dtd")
    person.expected_code = 1


@case("<folder> is no folder, or a link that leads nowhere: mend or remove it")
def file_in_place_of_the_data_set(person):
    person.write("data/dtd")
    brought(person, packed("dtd/images/a.jpg"))


@case("<path> is in the way: remove it")
def dead_link_in_place_of_the_images(person):
    (person.data / "dtd").mkdir(parents=True)
    (person.data / "dtd/images").symlink_to("nowhere")
    brought(person, packed("dtd/images/banded/a.jpg"))


@case("cannot unpack <archive> to <folder> (<reason>): free some space, or mend permissions")
def disk_that_fills_while_unpacking(person):
    def full(*args):
        raise OSError(28, "No space left on device")

    person.patch.setattr(archives.shutil, "copyfileobj", full)
    brought(person, packed("dtd/images/banded/a.jpg"))
