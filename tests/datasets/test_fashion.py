"""The embedded photographs of clothes."""

import re
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import fashion

NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
SPLIT_HASH = "b37e7faccd5f8e78fd1c57bb143641872dd42cb3ae511f74d3c593b77aef6f4d"
# Rows 3 and 4 of the first image of the published training set, an ankle boot; row 7 of the first test image, one too.
FIRST_OF_TRAIN = {
    3: [0] * 12 + [1, 0, 0, 13, 73, 0, 0, 1, 4, 0, 0, 0, 0, 1, 1, 0],
    4: [0] * 12 + [3, 0, 36, 136, 127, 62, 54, 0, 0, 0, 1, 3, 4, 0, 0, 3],
}
FIRST_OF_TEST = {7: [0] * 19 + [3, 1, 0, 0, 7, 0, 37, 0, 0]}


@pytest.fixture
def stored():
    with np.load(fashion.STORED, allow_pickle=False) as file:
        return dict(file)


def parts_of(dataset):
    return {"train": dataset.train_x, "val": dataset.val, "test": dataset.test}


def test_it_is_written_once_with_50_50_and_200_images_of_each_class(build, tmp_path, monkeypatch):
    dataset = build("Fashion")
    assert dataset.classnames == NAMES
    counts = {part: Counter(item.classname for item in items) for part, items in parts_of(dataset).items()}
    assert counts == {part: dict.fromkeys(NAMES, n) for part, n in (("train", 50), ("val", 50), ("test", 200))}
    assert dataset.split_hash == SPLIT_HASH, "the split must never change"
    assert (tmp_path / "fashion/split_fashion.json").is_file()
    folders = {path.name: len(list(path.iterdir())) for path in (tmp_path / "fashion/images").iterdir()}
    assert folders == {name.replace(" ", "_"): 300 for name in NAMES}

    monkeypatch.setattr(fashion, "STORED", Path("gone"))  # another look at it would now fail
    assert build("Fashion", seed=2).split_hash == dataset.split_hash


def test_the_files_hold_the_stored_pixels_of_their_part_and_class(build, stored):
    for part, items in parts_of(build("Fashion")).items():
        chosen = stored["parts"] == part
        assert [item.label for item in items] == stored["labels"][chosen].tolist()
        for item, pixels in zip(items, stored["images"][chosen], strict=True):
            with Image.open(item.impath) as image:
                assert (image.format, image.mode) == ("PNG", "L")
                assert np.array_equal(np.asarray(image), pixels), item.impath


def test_the_stored_pixels_are_the_published_ones(stored):
    for part, rows in (("train", FIRST_OF_TRAIN), ("test", FIRST_OF_TEST)):
        boots = stored["images"][(stored["parts"] == part) & (stored["labels"] == NAMES.index("ankle boot"))]
        assert {row: boots[0, row].tolist() for row in rows} == rows


def test_no_image_is_there_twice_neither_in_a_part_nor_in_two(build):
    dataset = build("Fashion")
    contents = Counter(Path(item.impath).read_bytes() for item in chain.from_iterable(parts_of(dataset).values()))
    assert set(contents.values()) == {1} and len(contents) == 3000


def test_the_base_classes_are_the_first_five(build):
    assert build("Fashion", subsample="base").classnames == NAMES[:5]
    assert build("Fashion", subsample="new").classnames == NAMES[5:]


def test_the_licence_comes_with_the_images(root):
    licence = (root / "datasets/fashion_licence.txt").read_text()
    assert "Copyright (c) 2017 Zalando SE" in licence and "The above copyright notice and this permission" in licence
    packed = re.search(r'"datasets": \[(.*)\]', (root / "setup.py").read_text())[1]
    assert packed == '"*.npz", "*_licence.txt"'
    written = (root / "docs/licences.md").read_text()
    assert "datasets/fashion.npz" in written and "datasets/fashion_licence.txt" in written
