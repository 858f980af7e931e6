"""The whole of Fashion-MNIST, from the files as they are published."""

import dataclasses
import hashlib
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import FashionMNIST as Torchvisions

from datasets.check import __main__ as check
from datasets.check.inspection import INCOMPLETE, MISSING, NOT_MADE, inspect, resolve
from datasets.prepare import __main__ as command
from datasets.prepare import layout
from datasets.sources import SOURCES
from support import verified_download
from tests.datasets.fake_idx import OF_EACH_CLASS, idx, write_fashion_mnist
from tests.file_server import FileServer

NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


@pytest.fixture
def laid_out(tmp_path):
    """Write the published files, with few images, and return what is in them."""
    return write_fashion_mnist(tmp_path / "fashion_mnist")


def parts_of(dataset):
    return {"train": dataset.train_x, "val": dataset.val, "test": dataset.test}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Reading ---------------------------------------------------------------------------------------------------------


def test_a_fifth_of_each_class_of_the_training_images_is_val_and_test_is_the_published_one(build, laid_out):
    dataset = build("FashionMNIST")
    assert dataset.classnames == NAMES
    of_each = {"train": 8, "val": 2, "test": OF_EACH_CLASS["t10k"]}
    for part, items in parts_of(dataset).items():
        assert Counter(item.classname for item in items) == dict.fromkeys(NAMES, of_each[part]), part


def test_val_is_drawn_by_coops_rule_with_the_seed_of_all_splits(build, laid_out):
    generator, labels, expected = random.Random(1), laid_out["train"][1].tolist(), []
    for label in dict.fromkeys(labels):  # in the order of first appearance
        indices = [index for index, other in enumerate(labels) if other == label]
        generator.shuffle(indices)
        expected += indices[: round(0.2 * len(indices))]
    assert [Path(item.impath).name for item in build("FashionMNIST").val] == [f"train_{n:05d}.png" for n in expected]


def test_the_files_hold_the_published_pixels_and_every_one_is_used_once(build, laid_out):
    dataset = build("FashionMNIST")
    for part, items in (("train", dataset.train_x + dataset.val), ("t10k", dataset.test)):
        images, labels = laid_out[part]
        seen = set()
        for item in items:
            index = int(item.impath[-9:-4])
            seen.add(index)
            with Image.open(item.impath) as image:
                assert (image.format, image.mode) == ("PNG", "L")
                assert np.array_equal(np.asarray(image), images[index]) and item.label == labels[index]
        assert seen == set(range(len(labels)))


def test_it_is_written_once_and_the_same_everywhere_whatever_the_seed(build, laid_out, tmp_path):
    first = build("FashionMNIST")
    folder = tmp_path / "fashion_mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "png"])
    write_fashion_mnist(tmp_path / "elsewhere/fashion_mnist")
    assert build("FashionMNIST", seed=2, root=tmp_path / "elsewhere").split_hash == first.split_hash
    for file in FILES:
        (folder / file).unlink()  # another look at them would now fail
    assert build("FashionMNIST", seed=3).split_hash == first.split_hash


def test_few_shots_and_base_classes(build, laid_out):
    dataset = build("FashionMNIST", shots=4, subsample="base")
    assert (len(dataset.train_x), len(dataset.val), dataset.classnames) == (20, 10, NAMES[:5])


def test_the_files_are_those_that_torchvision_reads():
    archives = SOURCES["fashion_mnist"].archives
    assert [archive.name for archive in archives] == [name for name, _ in Torchvisions.resources] == FILES
    assert [name.lower() for name in Torchvisions.classes] == ["t-shirt/top", *NAMES[1:]]
    assert sum(archive.size for archive in archives) == 26_421_880 + 29_515 + 4_422_102 + 5_148


# What is wrong with them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_named(missing, build, laid_out, tmp_path, user_error):
    (tmp_path / "fashion_mnist" / missing).unlink()
    message = user_error(build, "FashionMNIST")
    assert message.startswith(f"FashionMNIST: {tmp_path / 'fashion_mnist' / missing} is missing")
    assert not (tmp_path / "fashion_mnist/png").exists()


def other_sizes(images, labels):
    return images[:, :27], labels


def fewer_labels(images, labels):
    return images, labels[1:]


def a_label_too_many(images, labels):
    return images, np.where(labels == 3, 10, labels)


def a_class_that_is_missing(images, labels):
    return images[labels != 3], labels[labels != 3]


@pytest.mark.parametrize("part", ["train", "t10k"])
@pytest.mark.parametrize(
    "spoil, file, reason",
    [
        (other_sizes, "images-idx3", "holds images of 27 x 28 pixels, not 28 x 28: get the file again"),
        (fewer_labels, "labels-idx1", "images: get both files again"),
        (a_label_too_many, "labels-idx1", "does not hold the labels 0 to 9: get the file again"),
        (a_class_that_is_missing, "labels-idx1", "does not hold the labels 0 to 9: get the file again"),
    ],
)
def test_files_that_are_not_fashion_mnists_are_told_and_nothing_is_written(
    part, spoil, file, reason, build, laid_out, tmp_path, user_error
):
    folder = tmp_path / "fashion_mnist"
    images, labels = spoil(*laid_out[part])
    (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
    (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    message = user_error(build, "FashionMNIST")
    assert message.startswith(f"{folder / part}-{file}-ubyte.gz ") and message.endswith(reason)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_told_and_nothing_is_written(file, build, laid_out, tmp_path, user_error):
    path = tmp_path / "fashion_mnist" / file
    path.write_bytes(path.read_bytes()[:-20])
    assert user_error(build, "FashionMNIST").startswith(f"{path} cannot be read (")
    assert sorted(path.name for path in path.parent.iterdir()) == sorted(FILES)


# The commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Serve files as the published ones over http, which the command then takes; returns the server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(verified_download, "_PAUSES", (0, 0, 0, 0))
    monkeypatch.setattr(command, "lay_out", lambda *arguments: layout.lay_out(*arguments[:-1], scheme="http"))
    write_fashion_mnist(tmp_path / "published")
    with FileServer() as server:

        def served(archive):
            content = (tmp_path / "published" / archive.name).read_bytes()
            server.files[archive.name] = content
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            return dataclasses.replace(archive, url=server.url(archive.name), digest=digest, size=len(content))

        source = SOURCES["fashion_mnist"]
        archives = tuple(served(archive) for archive in source.archives)
        monkeypatch.setitem(SOURCES, "fashion_mnist", dataclasses.replace(source, archives=archives))
        yield server


def test_prepare_fetches_and_writes_it_so_that_a_run_needs_no_more(serve, build, tmp_path, capsys):
    root = tmp_path / "data"
    assert command.main(["fashion_mnist", "--root", str(root)]) == 0
    printed = capsys.readouterr().out
    assert f"notice: writing FashionMNIST to {root}/fashion_mnist/png, once" in printed
    assert sorted(name for name, _ in serve.requests) == sorted(FILES)
    (row,) = [line.split() for line in printed.splitlines() if line.startswith("fashion_mnist ")]
    assert row[1:9] == ["incomplete", "10", "80", "(48,000)", "20", "(12,000)", "30", "(10,000)"]  # of what is served
    before = contents(root)
    assert len([path for path in before if path.endswith(".png")]) == 130
    assert not [path for path in before if path.startswith((".", "downloads"))]

    assert len(build("FashionMNIST", root=root).test) == 30
    serve.requests.clear()
    assert command.main(["FashionMNIST", "--root", str(root)]) == 0
    assert serve.requests == [] and contents(root) == before
    assert "writing" not in capsys.readouterr().out


def test_prepare_refuses_another_file_than_the_published_one(serve, tmp_path, capsys):
    name = "t10k-labels-idx1-ubyte.gz"
    serve.files[name] = bytes(len(serve.files[name]))
    assert command.main(["fashion_mnist", "--root", str(tmp_path / "data")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and name in error and "came incomplete or altered" in error
    assert not (tmp_path / "data/fashion_mnist").exists()


def test_prepare_tells_of_a_damaged_file_that_was_put_there(laid_out, tmp_path, capsys):
    path = tmp_path / "fashion_mnist/train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    assert command.main(["fashion_mnist", "--root", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} cannot be read (") and error.count("\n") == 1
    assert sorted(path.name for path in path.parent.iterdir()) == sorted(FILES)


def test_check_tells_what_is_missing_what_is_not_made_yet_and_what_is_there(build, tmp_path, capsys):
    def look():
        return inspect(*resolve("fashion_mnist", str(tmp_path)))

    assert look().state == MISSING and not look().is_usable
    assert check.main(["fashion_mnist", "--root", str(tmp_path)]) == 1
    assert f"fetch it (30.9 MB): python -m datasets.prepare fashion_mnist --root {tmp_path}" in capsys.readouterr().out
    write_fashion_mnist(tmp_path / "fashion_mnist")
    before = contents(tmp_path)
    assert look().state == NOT_MADE and look().is_usable
    assert look().problems == [f"{tmp_path}/fashion_mnist/png is written on first use"]
    assert contents(tmp_path) == before
    build("FashionMNIST")
    found = look()
    assert found.state == INCOMPLETE and found.counts == {"classes": 10, "train": 80, "val": 20, "test": 30}
    shutil.rmtree(tmp_path / "fashion_mnist/png/bag")
    assert look().state == "unusable" and "lists 13 image(s) that are missing" in look().problems[0]


def test_the_dataset_names_no_backbone(root):
    assert "BACKBONE" not in Path(root, "configs/datasets/fashion_mnist.yaml").read_text()
