"""Small data folders in the layout of the published datasets: their file names and annotation formats, tiny images.

tests/golden/dataset_lists.json holds what upstream CoOp's dataset classes make of exactly these folders; after a change
here, make it anew with tests/golden/make_dataset_lists.py. That script runs without this repository on its path, so
this module imports nothing from it.
"""

import hashlib
import io
import json
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

KEYS = [f"{shots} {seed} {which}" for shots in (1, 16) for seed in (1, 2, 3) for which in ("all", "base", "new")]
SIZES = (40, 12, 36, 9, 34)  # images of a class: with a train share of one half, three of five have 16 to draw from
TRAINVAL_SIZES = (22, 9, 26, 12, 21)  # the same for a train share of 0.8
TEXTURES = ("banded", "blotchy", "braided", "bubbly", "bumpy")
WNIDS = {
    "n01440764": "tench",
    "n01443537": "goldfish",
    "n01484850": "great white shark",
    "n02012849": "crane",
    "n03126707": "crane",  # the machine: ImageNet has namesakes
    "n04285008": "sports car",
    "n07753592": "banana",
}


def as_lists(dataset, root: Path) -> list[list[list]]:
    """Return [train, val, test] of [path relative to `root`, label, class name]."""
    start = len(str(root)) + 1
    parts = (dataset.train_x, dataset.val or [], dataset.test)
    return [[[item.impath[start:], item.label, item.classname] for item in part] for part in parts]


def digest_of(lists) -> str:
    return hashlib.sha256(json.dumps(lists, separators=(",", ":")).encode()).hexdigest()


def arguments_of(key: str) -> tuple[int, int, str]:
    """Return (shots, seed, classes) of a key."""
    shots, seed, which = key.split()
    return int(shots), int(seed), which


def make_tree(name: str, root: Path) -> None:
    """Make the data folder of TREES' `name` under `root`."""
    TREES[name](root)


def _caltech101(root: Path) -> None:
    sizes = {"BACKGROUND_Google": 5, "Faces": 43, "Faces_easy": 6, "Leopards": 40, "Motorbikes": 38, "accordion": 11}
    _class_folders(root / "caltech-101/101_ObjectCategories", {**sizes, "airplanes": 36, "yin_yang": 33})


def _dtd(root: Path) -> None:
    _class_folders(root / "dtd/images", dict(zip(TEXTURES, SIZES, strict=True)))


def _dtd_with_split(root: Path) -> None:
    """Give a split file that is not the one made from the folders, in an order of its own."""
    _dtd(root)
    entries = [(f"{name}/image_{i:04d}.jpg", k, name) for k, name in enumerate(TEXTURES) for i in range(1, 10)]
    entries = _shuffled(entries)
    split = {"train": entries[:30], "val": entries[30:36], "test": entries[36:]}
    _write(root / "dtd/split_zhou_DescribableTextures.json", json.dumps(split, indent=4))


def _eurosat(root: Path) -> None:
    names = ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial")
    names += ("Pasture", "PermanentCrop", "Residential", "River", "SeaLake")
    _class_folders(root / "eurosat/2750", dict(zip(names, SIZES + SIZES, strict=True)))


def _food101(root: Path) -> None:
    names = ("apple_pie", "baby_back_ribs", "beef_tartare", "croque_madame", "waffles")
    _class_folders(root / "food-101/images", dict(zip(names, SIZES, strict=True)))
    _write(root / "food-101/meta/classes.txt", "\n".join(names))


def _oxford_pets(root: Path) -> None:
    folder = root / "oxford_pets"
    breeds = ("Abyssinian", "american_bulldog", "Bengal", "Egyptian_Mau", "yorkshire_terrier")
    trainval = [(f"{breed}_{n}", k) for k, breed in enumerate(breeds, 1) for n in range(1, TRAINVAL_SIZES[k - 1] + 1)]
    test = [(f"{breed}_{n}", k) for k, breed in enumerate(breeds, 1) for n in range(100, 104)]
    _images(folder / "images", [f"{image}.jpg" for image, _ in trainval + test])
    for name, entries in (("trainval", trainval), ("test", test)):
        lines = [f"{image} {number} {1 if image[0].isupper() else 2} 1" for image, number in _shuffled(entries)]
        _write(folder / "annotations" / f"{name}.txt", "\n".join(lines) + "\n")


def _stanford_cars(root: Path) -> None:
    folder = root / "stanford_cars"
    models = ["AM General Hummer SUV 2000", "Audi S5 Coupe 2012", "Dodge Caliber Wagon 2012"]
    models += ["Dodge Caliber Wagon 2007", "Ram C/V Cargo Van Minivan 2012"]
    meta = np.empty((1, len(models)), dtype=object)
    meta[0] = models
    _save_mat(folder / "devkit/cars_meta.mat", class_names=meta)
    train = _shuffled([number for number, size in enumerate(TRAINVAL_SIZES, 1) for _ in range(size)])
    _cars_annotations(folder / "devkit/cars_train_annos.mat", folder / "cars_train", train)
    test = _shuffled([number for number in range(1, 6) for _ in range(4)])
    _cars_annotations(folder / "cars_test_annos_withlabels.mat", folder / "cars_test", test)


def _cars_annotations(path: Path, image_dir: Path, numbers: list[int]) -> None:
    corners = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
    annotations = np.empty((1, len(numbers)), dtype=[(field, object) for field in (*corners, "class", "fname")])
    for index, number in enumerate(numbers):
        annotations[0, index] = (*(np.uint16(c) for c in (39, 116, 569, 375)), np.uint8(number), f"{index + 1:05d}.jpg")
    _save_mat(path, annotations=annotations)
    _images(image_dir, annotations[0]["fname"])


def _oxford_flowers(root: Path) -> None:
    folder = root / "oxford_flowers"
    labels = _shuffled([number for number, size in enumerate(SIZES, 1) for _ in range(size)])
    _save_mat(folder / "imagelabels.mat", labels=np.array([labels], dtype=np.uint8))
    _images(folder / "jpg", [f"image_{number:05d}.jpg" for number in range(1, len(labels) + 1)])
    names = {"5": "english marigold", "3": "canterbury bells", "1": "pink primrose"}
    names = {**names, "4": "sweet pea", "2": "hard-leaved pocket orchid"}
    _write(folder / "cat_to_name.json", json.dumps(names))


def _fgvc_aircraft(root: Path) -> None:
    folder = root / "fgvc_aircraft"
    variants = ("707-320", "A340-300", "Challenger 600", "F-16A/B", "Yak-42")
    _write(folder / "variants.txt", "\n".join(variants) + "\n")
    first = 34309
    for part, sizes in (("train", (20, 6, 18, 5, 17)), ("val", (4, 6, 5, 2, 6)), ("test", (4, 4, 4, 4, 4))):
        entries = _shuffled([variant for variant, size in zip(variants, sizes, strict=True) for _ in range(size)])
        lines = [f"{number:07d} {variant}" for number, variant in enumerate(entries, first)]
        _write(folder / f"images_variant_{part}.txt", "\n".join(lines) + "\n")
        _images(folder / "images", [f"{line[:7]}.jpg" for line in lines])
        first += 1000


def _sun397(root: Path) -> None:
    folder = root / "sun397"
    classes = ("/a/abbey", "/a/airplane_cabin", "/a/apse/indoor", "/b/balcony/exterior", "/y/yard/small/back")
    _write(folder / "ClassName.txt", "\n".join(classes) + "\n")
    for name, sizes, letter in (("Training_01", TRAINVAL_SIZES, "a"), ("Testing_01", (4,) * 5, "b")):
        lines = [f"{classes[k]}/sun_{letter}{n:04d}.jpg" for k in range(5) for n in range(sizes[k])]
        _write(folder / f"{name}.txt", "\n".join(_shuffled(lines)) + "\n")
        _images(folder / "SUN397", [line[1:] for line in lines])


def _ucf101(root: Path) -> None:
    folder = root / "ucf101"
    actions = ("ApplyEyeMakeup", "BasketballDunk", "HandstandPushups", "TaiChi", "YoYo")
    renamed = ("Apply_Eye_Makeup", "Basketball_Dunk", "Handstand_Pushups", "Tai_Chi", "Yo_Yo")
    lists = folder / "ucfTrainTestlist"
    _write(lists / "classInd.txt", "".join(f"{number} {action}\r\n" for number, action in enumerate(actions, 1)))
    for name, sizes, first in (("trainlist01", TRAINVAL_SIZES, 1), ("testlist01", (4,) * 5, 50)):
        videos = [(k, f"v_{actions[k]}_g{n:02d}_c01") for k in range(5) for n in range(first, first + sizes[k])]
        number = (lambda k: f" {k + 1}") if name == "trainlist01" else (lambda k: "")
        lines = [f"{actions[k]}/{video}.avi{number(k)}\r\n" for k, video in _shuffled(videos)]
        _write(lists / f"{name}.txt", "".join(lines))
        _images(folder / "UCF-101-midframes", [f"{renamed[k]}/{video}.jpg" for k, video in videos])


def _imagenet(root: Path) -> None:
    sizes = dict(zip(WNIDS, (22, 9, 30, 18, 16, 25, 20), strict=True))
    _images(root / "imagenet/images/train", [f"{w}/{w}_{n}.JPEG" for w, size in sizes.items() for n in range(size)])
    numbers = zip(WNIDS, (3, 4, 5, 3, 2, 3, 4), strict=True)
    _images(root / "imagenet/images/val", [f"{w}/ILSVRC2012_val_{n:08d}.JPEG" for w, k in numbers for n in range(k)])
    _classnames(root / "imagenet", {**WNIDS, "n15075141": "toilet paper"})


def _imagenetv2(root: Path) -> None:
    folder = root / "imagenetv2"
    _images(
        folder / "imagenetv2-matched-frequency-format-val",
        [f"{place}/{hashlib.md5(b'%d' % place).hexdigest()}.jpeg" for place in range(1000)],
    )
    _classnames(folder, {f"n{1440764 + 1000 * place:08d}": f"class number {place}" for place in range(1000)})


def _imagenet_sketch(root: Path) -> None:
    _images(root / "imagenet-sketch/images", [f"{w}/sketch_{n}.JPEG" for w in WNIDS for n in range(3)])
    _classnames(root / "imagenet-sketch", WNIDS)


def _imagenet_a(root: Path) -> None:
    chosen = ("n01443537", "n03126707", "n07753592")
    _images(root / "imagenet-adversarial/imagenet-a", [f"{w}/0.00{n}_{n}.jpg" for w in chosen for n in range(3)])
    _write(root / "imagenet-adversarial/imagenet-a/README.txt", "n07753592 banana\n")
    _classnames(root / "imagenet-adversarial", WNIDS)


def _imagenet_r(root: Path) -> None:
    chosen = ("n01484850", "n02012849", "n03126707", "n04285008")
    _images(root / "imagenet-rendition/imagenet-r", [f"{w}/{s}_{n}.jpg" for w in chosen for s in "ab" for n in (1, 2)])
    _write(root / "imagenet-rendition/imagenet-r/README.txt", "n04285008 sports car\n")
    _classnames(root / "imagenet-rendition", WNIDS)


TREES = {  # the first word is the dataset's name in the registry
    "Caltech101": _caltech101,
    "DescribableTextures": _dtd,
    "DescribableTextures with a split file": _dtd_with_split,
    "EuroSAT": _eurosat,
    "FGVCAircraft": _fgvc_aircraft,
    "Food101": _food101,
    "ImageNet": _imagenet,
    "ImageNetA": _imagenet_a,
    "ImageNetR": _imagenet_r,
    "ImageNetSketch": _imagenet_sketch,
    "ImageNetV2": _imagenetv2,
    "OxfordFlowers": _oxford_flowers,
    "OxfordPets": _oxford_pets,
    "StanfordCars": _stanford_cars,
    "SUN397": _sun397,
    "UCF101": _ucf101,
}


def _classnames(folder: Path, names: dict[str, str]) -> None:
    _write(folder / "classnames.txt", "".join(f"{wnid} {name}\n" for wnid, name in names.items()))


def _class_folders(folder: Path, sizes: dict[str, int]) -> None:
    _images(folder, [f"{name}/image_{n:04d}.jpg" for name, size in sizes.items() for n in range(1, size + 1)])


def _images(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_TINY_IMAGE)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def _save_mat(path: Path, **variables) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables)


def _shuffled(entries: Iterable) -> list:
    entries = list(entries)
    random.Random(7).shuffle(entries)
    return entries


def _tiny_image() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "orange").save(file, "JPEG")
    return file.getvalue()


_TINY_IMAGE = _tiny_image()
