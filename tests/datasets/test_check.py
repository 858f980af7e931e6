import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from dassl.data.datasets import DATASET_REGISTRY
from datasets.check import __main__ as command
from datasets.check.inspection import (
    FOUND,
    INCOMPLETE,
    MISSING,
    NOT_MADE,
    UNUSABLE,
    Inspection,
    inspect,
    known_names,
    published_names,
    resolve,
    spread,
)
from datasets.check.sheet import write_sheet
from datasets.dtd import DescribableTextures
from datasets.splits import ListedImage
from tests.dassl.utils.raw_images import tiff
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


@pytest.mark.parametrize("name", ["digits", "fashion", "lamplight"])
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


def test_the_images_of_each_class_are_counted(own_images, check):
    (own_images / "cat/10.png").write_bytes((own_images / "cat/0.png").read_bytes())
    printed = check("mine")[1]
    assert [line.split() for line in printed.splitlines() if line.endswith(tuple("0123456789"))][-2:] == [
        ["0", "cat", "6", "2", "3"],
        ["1", "dog", "5", "2", "3"],
    ]


def test_of_published_data_sets_they_are_counted_where_all_is_asked_for(dtd, check):
    assert "banded  " not in check("dtd")[1]
    assert sum(line.split()[1:2] == ["banded"] for line in check("dtd", "--verbose")[1].splitlines()) == 1


def test_many_classes_are_not_all_listed(check, tmp_path):
    image = io.BytesIO()
    Image.new("RGB", (4, 4)).save(image, "PNG")
    for label in range(120):
        (tmp_path / f"mine/{label:03d}").mkdir(parents=True)
        for number in range(4):
            (tmp_path / f"mine/{label:03d}/{number}.png").write_bytes(image.getvalue())
    assert "\n... and 20 more classes (--verbose shows all)" in check("mine")[1]
    assert "more classes" not in check("mine", "--verbose")[1]
    code, printed, _ = check("mine", "--sheet", str(tmp_path / "sheet.png"))
    assert code == 0 and "240 images of 120 classes" in printed


def test_an_image_that_cannot_be_read_is_told_with_the_reason(own_images, check):
    bands = tiff(np.zeros((4, 5, 13), np.uint16), photometric=1, extra=[0] * 12)
    (own_images / "dog/5.tif").write_bytes(bands)
    code, printed, _ = check("mine")
    assert code == 1
    assert f"{own_images}/dog/5.tif: it is a TIFF of 13 band(s) of 16 bits (multispectral)" in printed


def test_images_of_formats_that_are_not_read_are_told(own_images, check):
    for name in ("a.CR2", "b.cr2", "c.jp2"):
        (own_images / "dog" / name).touch()
    code, printed, _ = check("mine")
    assert code == 0
    assert "2 image(s) are camera raw, which is not read here: save it as PNG or JPEG (" in printed
    assert "1 image(s) are JPEG 2000, which is not read here" in printed


# Contact sheet -----------------------------------------------------------------------------------------------------


def colours_of(path):
    with Image.open(path) as sheet:
        return {colour for number, colour in sheet.getcolors(2**24) if number > 500}


def test_the_sheet_shows_what_is_read(check, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    for name, colour in (("Кошка", (200, 0, 0)), ("猫 with a long name " * 8, (0, 200, 0))):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(6):
            image = Image.new("RGB", (40, 20), colour)
            image.paste((0, 0, 200), (36, 0, 40, 20))  # is at the top once it is turned, and cut off there
            image.save(tmp_path / "mine" / name / f"{number}.png", exif=exif)
            Image.new("RGBA", (20, 20), (9, 9, 9, 0)).save(tmp_path / "mine" / name / f"clear {number}.png")
    code, printed, _ = check("mine", "--sheet", str(tmp_path / "new folder/sheet.PNG"))
    assert code == 0
    assert f"wrote {tmp_path}/new folder/sheet.PNG: 24 images of 2 classes, as the program sees them" in printed
    assert colours_of(tmp_path / "new folder/sheet.PNG") == {(255, 255, 255), (200, 0, 0), (0, 200, 0)}


def test_the_sheet_marks_what_cannot_be_read(own_images, check, tmp_path):
    (own_images / "dog/5.png").write_bytes(b"")
    code, printed, _ = check("mine", "--sheet", str(tmp_path / "sheet.png"))
    assert code == 1 and "20 images of 2 classes" in printed and (tmp_path / "sheet.png").exists()


def test_a_test_set_is_shown_once(check, tmp_path):
    make_tree("ImageNetA", tmp_path)
    printed = check("imagenet_a", "--verbose", "--sheet", str(tmp_path / "sheet.png"))[1]
    assert "9 images of 3 classes" in printed
    assert [line.split()[-3:] for line in printed.splitlines() if line.split()[:1] == ["0"]] == [["0", "0", "3"]]


@pytest.mark.parametrize("classes", [2, 26, 301])
def test_the_sheet_is_of_bounded_size(classes, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.check.sheet._tile", lambda *_: Image.new("RGB", (112, 112)))
    items = [
        ListedImage(f"{label}_{n}.png", label, classname=f"{label}") for label in range(classes) for n in range(30)
    ]
    told = write_sheet(Inspection("mine", images=(items, [], [])), str(tmp_path / "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width <= 1600 and sheet.height <= 5000
    assert ("300 images of 300 of" in told) == (classes > 300)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("mine", "dtd", "--sheet", "s.png"), "--sheet shows one dataset, but 2 is named: name one"),
        (("--sheet", "s.png"), "--sheet shows one dataset, but none is named: name one"),
        (("mine", "--sheet", "s.jpg"), "--sheet s.jpg: the picture is a PNG, so let its name end in .png"),
        (("digits", "--sheet", "s.png"), "digits is not made yet: there are no images for a sheet, see above"),
        (("mine", "--sheet", "mine/cat/0.png/s.png"), "cannot write"),
    ],
)
def test_mistakes_with_the_sheet_are_told_in_a_line(arguments, error, own_images, check, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, printed = check(*arguments)
    assert code == 2 and printed.startswith("error: ") and error in printed and printed.count("\n") == 1
    assert not list(tmp_path.rglob("s.*"))


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
