import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dassl.data.datasets import DATASET_REGISTRY
from datasets.check import __main__ as command
from datasets.check.inspection import (
    FOUND,
    INCOMPLETE,
    MISSING,
    NOT_MADE,
    UNUSABLE,
    inspect,
    known_names,
    published_names,
    resolve,
    spread,
)
from datasets.dtd import DescribableTextures
from tests.datasets.fake_trees import TREES, make_tree

ROOT = Path(__file__).parents[2]
FIFTEEN = """
caltech101 dtd eurosat fgvc_aircraft food101 imagenet imagenet_a imagenet_r imagenet_sketch imagenetv2 oxford_flowers
oxford_pets stanford_cars sun397 ucf101
""".split()


@pytest.fixture
def look(tmp_path):
    """Inspect a data set with `tmp_path` as data root."""
    return lambda name, **options: inspect(*resolve(name, str(tmp_path)), **options)


@pytest.fixture
def check(tmp_path, capsys):
    """Run the command with `tmp_path` as data root; return (exit code, standard output, standard error)."""

    def check(*arguments):
        code = command.main([*arguments, "--root", str(tmp_path)])
        return code, *capsys.readouterr()

    return check


@pytest.fixture
def dtd(tmp_path, monkeypatch):
    """The textures' folder, of which the small numbers count as the published ones."""
    make_tree("DescribableTextures", tmp_path)
    monkeypatch.setattr(DescribableTextures, "published", {"classes": 5, "train": 65, "val": 26, "test": 40})
    return tmp_path / "dtd"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def row_of(printed, name):
    return next(line.split() for line in printed.splitlines() if line.startswith(f"{name} "))


def snapshot(root):
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


# What is there -----------------------------------------------------------------------------------------------------


def test_without_names_the_fifteen_published_data_sets_are_looked_at(check):
    assert published_names() == FIFTEEN
    code, printed, _ = check()
    assert code == 1
    for name in FIFTEEN:
        assert row_of(printed, name) == [name, "missing"]


def test_what_is_missing_is_told_with_folder_source_files_and_command(check, tmp_path):
    code, printed, _ = check("dtd")
    assert code == 1
    for part in (
        str(tmp_path / "dtd/images"),
        DescribableTextures.source,
        "split_zhou_DescribableTextures.json",
        "https://drive.google.com/file/d/1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x",
        f"python -m datasets.prepare dtd --root {tmp_path}",
    ):
        assert part in printed


def test_numbers_are_those_of_a_run_and_of_the_hash_that_it_writes_down(dtd, look, build):
    found = look("dtd")
    dataset = build("DescribableTextures")
    assert found.state == FOUND and found.is_usable
    assert found.counts == {"classes": 5, "train": 65, "val": 26, "test": 40}
    assert [found.counts[part] for part in ("train", "val", "test")] == [
        len(part) for part in (dataset.train_x, dataset.val, dataset.test)
    ]
    assert found.split_hash == dataset.split_hash


def test_numbers_that_differ_stand_beside_the_published_ones(dtd, check):
    assert "(" not in " ".join(row_of(check("dtd")[1], "dtd"))
    (dtd / "images/banded/image_9999.jpg").write_bytes((dtd / "images/banded/image_0001.jpg").read_bytes())
    code, printed, _ = check("dtd")
    assert code == 0
    assert "(40)" in row_of(printed, "dtd") or "(65)" in row_of(printed, "dtd")
    assert "other numbers than published" in printed


def test_fewer_than_published_are_incomplete(dtd, check, monkeypatch):
    monkeypatch.setitem(DescribableTextures.published, "test", 41)
    code, printed, _ = check("dtd")
    assert code == 1 and row_of(printed, "dtd")[1] == INCOMPLETE
    assert f"40 test images (41): get the rest from {DescribableTextures.source}" in printed


def test_nothing_is_written(tmp_path, check):
    for name in TREES:
        make_tree(name, tmp_path)
    (tmp_path / "dtd/split_zhou_DescribableTextures.json").unlink()
    before = snapshot(tmp_path)
    code, printed, _ = check()
    assert code == 1
    assert all(row_of(printed, name)[1] == INCOMPLETE for name in FIFTEEN)
    assert snapshot(tmp_path) == before


def test_a_test_set_has_no_numbers_for_train_and_val(tmp_path, look):
    make_tree("ImageNetA", tmp_path)
    assert look("imagenet_a").counts == {"classes": 3, "test": 9}


# Splits ------------------------------------------------------------------------------------------------------------


def test_a_split_to_be_made_here_is_usable_with_a_warning(dtd, check):
    code, printed, _ = check("dtd")
    assert code == 0
    assert "made here" in " ".join(row_of(printed, "dtd"))
    assert str(dtd / "split_zhou_DescribableTextures.json") in printed and "drive.google.com" in printed


def test_a_split_that_a_run_made_here_is_not_taken_for_coops(dtd, look, build):
    build("DescribableTextures")
    assert (dtd / "split_zhou_DescribableTextures.json").exists()
    found = look("dtd")
    assert found.split == "made here" and "was made here" in found.problems[0]


@pytest.mark.parametrize(
    "name, later",
    [
        ("dtd", "dtd/images/banded/Thumbs.db"),
        ("eurosat", "eurosat/2750/Forest/copy.jpg"),
        ("caltech101", "caltech-101/101_ObjectCategories/new/1.jpg"),
    ],
)
def test_nor_if_files_came_since(name, later, tmp_path, look, build):
    make_tree(known_names()[name], tmp_path)
    build(known_names()[name])
    (tmp_path / later).parent.mkdir(exist_ok=True)
    (tmp_path / later).write_text("")
    assert look(name).split == "made here"


@pytest.mark.parametrize("name", ["oxford_pets", "sun397", "stanford_cars", "oxford_flowers", "ucf101"])
def test_the_same_with_annotations(name, tmp_path, look, build):
    make_tree(known_names()[name], tmp_path)
    build(known_names()[name])
    assert look(name).split == "made here"


def test_another_split_file_is_coops(tmp_path, look, check):
    make_tree("DescribableTextures with a split file", tmp_path)
    found = look("dtd")
    assert found.split == "split_zhou"
    assert not [problem for problem in found.problems if "split" in problem]
    _, printed, _ = check("dtd", "--verbose")
    assert found.split_hash in printed and found.split_hash[:12] in row_of(printed, "dtd")
    assert found.split_hash not in check("dtd")[1]


def test_coops_split_file_suffices_where_annotations_are_missing(tmp_path, look, build):
    make_tree("OxfordPets", tmp_path)
    build("OxfordPets")
    for path in (tmp_path / "oxford_pets/annotations").iterdir():
        path.unlink()
    assert look("oxford_pets").split == "split_zhou"


@pytest.mark.parametrize(
    "text", ["{", "[]", json.dumps({"train": [["banded/x.jpg", 0, "banded"]], "val": [], "test": []})]
)
def test_a_damaged_split_is_unusable_and_does_not_stop_the_others(dtd, check, text, tmp_path):
    (dtd / "split_zhou_DescribableTextures.json").write_text(text)
    make_tree("EuroSAT", tmp_path)
    code, printed, _ = check("dtd", "eurosat")
    assert code == 1
    assert row_of(printed, "dtd")[1] == "unusable" and row_of(printed, "eurosat")[1] == INCOMPLETE
    assert str(dtd / "split_zhou_DescribableTextures.json") in printed


def test_folders_that_may_not_be_read_are_told_and_do_not_stop_the_others(check, tmp_path, monkeypatch):
    for name in ("OxfordPets", "EuroSAT"):
        make_tree(name, tmp_path)
    stat, listdir, closed = os.stat, os.listdir, str(tmp_path / "oxford_pets/annotations")

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def is_below(path):
        return isinstance(path, str) and path.startswith(f"{closed}/")

    monkeypatch.setattr(os, "stat", lambda path, **options: refuse(path) if is_below(path) else stat(path, **options))
    monkeypatch.setattr(os, "listdir", lambda path: refuse(path) if path == closed else listdir(path))
    code, printed, _ = check("oxford_pets", "eurosat")
    assert code == 1
    assert row_of(printed, "oxford_pets")[1] == "unusable" and row_of(printed, "eurosat")[1] == INCOMPLETE
    assert f"{closed}/trainval.txt cannot be reached (Permission denied)" in printed
    assert "datasets.prepare oxford_pets" not in printed


def test_an_unexpected_error_does_not_stop_the_others(dtd, check, monkeypatch, tmp_path):
    monkeypatch.setattr(DescribableTextures, "load_split", lambda self: 1 // 0)
    make_tree("EuroSAT", tmp_path)
    code, printed, _ = check("dtd", "eurosat")
    assert code == 1 and "ZeroDivisionError" in printed
    assert row_of(printed, "eurosat")[1] == INCOMPLETE


# Images ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", [truncate, lambda path: path.write_text("no image"), lambda path: path.write_bytes(b"")]
)
def test_an_image_that_cannot_be_decoded_makes_it_unusable(dtd, check, damage):
    path = dtd / "images/bumpy/image_0001.jpg"
    damage(path)
    code, printed, _ = check("dtd")
    assert code == 1
    assert row_of(printed, "dtd")[-3:] == ["1", "of", "131"] and row_of(printed, "dtd")[1] == "unusable"
    assert str(path) in printed


def test_the_first_three_are_named(dtd, look):
    paths = sorted((dtd / "images/banded").iterdir())[:5]
    for path in paths:
        truncate(path)
    found = look("dtd")
    assert found.state == UNUSABLE and sorted(found.unreadable) == [str(path) for path in paths]
    problem = next(problem for problem in found.problems if "cannot be read" in problem)
    assert sum(str(path) in problem for path in paths) == 3 and problem.startswith("5 of 131")


def test_a_sample_is_looked_at_unless_all_are_asked_for(dtd, check, monkeypatch):
    monkeypatch.setattr("datasets.check.inspection.SAMPLE", 10)
    for path in (dtd / "images").rglob("*.jpg"):
        truncate(path)
    assert row_of(check("dtd")[1], "dtd")[-3:] == ["10", "of", "10"]
    assert row_of(check("dtd", "--all")[1], "dtd")[-3:] == ["131", "of", "131"]


def test_a_sample_is_spread_evenly_from_first_to_last():
    assert spread(list(range(7)), 10) == list(range(7))
    assert spread(list(range(101)), 5) == [0, 25, 50, 75, 100]
    sample = spread(list(range(12_345)), 200)
    assert len(set(sample)) == 200 and {b - a for a, b in zip(sample, sample[1:], strict=False)} <= {61, 62, 63}


def test_images_of_val_that_are_those_of_test_are_looked_at_once(tmp_path, look):
    make_tree("ImageNet", tmp_path)
    assert look("imagenet").looked_at == 140 + 24


# Names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dtd", "DTD", "DescribableTextures", "describabletextures"])
def test_names_are_those_of_the_configs_or_of_the_classes(dtd, check, name):
    code, printed, _ = check(name)
    assert code == 0 and row_of(printed, "dtd")[1] == "found"


@pytest.mark.parametrize("name, near", [("dtdd", "dtd"), ("imagenet-a", "imagenet_a"), ("./nowhere", "neither")])
def test_an_unknown_name_is_told_in_a_line_with_the_nearest(check, name, near):
    code, printed, error = check("eurosat", name)
    assert code == 2 and printed == ""
    assert error.count("\n") == 1 and name in error and near in error


@pytest.mark.parametrize("name", ["digits", "lamplight"])
def test_what_is_made_on_first_use_is_not_made(name, look, check, tmp_path):
    assert look(name).state == NOT_MADE
    assert check(name)[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_on_first_use_is_looked_at(look, build):
    build("Digits")
    found = look("digits")
    assert found.state == FOUND and found.counts["classes"] == 10 and found.looked_at == 200


@pytest.fixture
def own_images(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (4, 4)).save(tmp_path / "mine" / name / f"{number}.png")
    return tmp_path / "mine"


def test_a_folder_of_ones_own(own_images, check, tmp_path, monkeypatch):
    for name in (str(own_images), "mine"):
        code, printed, _ = check(name)
        assert code == 0
        assert row_of(printed, name)[1:6] == ["found", "2", "10", "4", "6"]
    monkeypatch.chdir(tmp_path)
    assert check("./mine")[0] == 0
    (own_images / "dog/5.png").write_bytes(b"")
    assert check("mine")[0] == 1


def test_a_list_of_ones_own(own_images, check, build, tmp_path):
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in own_images.rglob("*.png")]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]))
    code, printed, _ = check(str(tmp_path / "list.csv"))
    assert code == 0
    assert row_of(printed, str(tmp_path / "list.csv"))[1:7] == ["found", "2", "10", "4", "6", "none"]
    build("ImageList", LIST="list.csv")
    assert row_of(check("list.csv")[1], "list.csv")[6:8] == ["made", "here"]


def test_a_mistake_in_ones_own_folder_is_told(own_images, check):
    (own_images / "empty").mkdir()
    code, printed, _ = check("mine")
    assert code == 1 and str(own_images / "empty") in printed


def test_a_data_set_file_of_another_kind_is_told(check, monkeypatch):
    class Other:
        pass

    monkeypatch.setitem(DATASET_REGISTRY._objects, "DescribableTextures", Other)
    code, printed, _ = check("dtd")
    assert code == 1 and row_of(printed, "dtd")[1] == "unusable" and "another kind" in printed


# As typed ----------------------------------------------------------------------------------------------------------


def test_as_typed_with_the_root_from_the_environment(dtd, tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "datasets.check", "dtd", "ucf101"],
        cwd=ROOT,
        env={**os.environ, "DATA": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1 and run.stderr == ""
    assert row_of(run.stdout, "dtd")[1] == INCOMPLETE and row_of(run.stdout, "ucf101")[1] == MISSING
    assert max(len(line) for line in run.stdout.split("\n\n")[0].splitlines()) <= 120
