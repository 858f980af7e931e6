"""A person's own images through the command line, on the embedded CLIP: folders, a list, class names, mistakes."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import train

COLOURS = {"n01": (230, 20, 20), "n02": (20, 200, 20), "n03": (20, 20, 230)}
NAMES = "n03 blue square\nn01 red square\nn02 green square\n"
SHOWN = ["* class: 0 (red square)", "* class: 1 (green square)", "* class: 2 (blue square)"]
QUICK = ["DATASET.NUM_SHOTS", "2", "OPTIM.MAX_EPOCH", "1", "TEST.PER_CLASS_RESULT", "True"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A data root with the folder `mine`: three classes of twelve small pictures, in several formats, with names."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.RandomState(0)
    for name, colour in COLOURS.items():
        (root / "mine" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(np.array(colour) + random.randint(-20, 20, (40, 48, 3)), 0, 255).astype(np.uint8)
            suffix = ("jpg", "png", "webp", "bmp", "tif", "ppm", "gif", "jfif")[number % 8]
            Image.fromarray(pixels).save(root / "mine" / name / f"{number:02d}.{suffix}")
    (root / "mine" / "classnames.txt").write_text(NAMES)
    return root


@pytest.fixture
def data(pictures, tmp_path):
    return shutil.copytree(pictures, tmp_path / "data")


@pytest.fixture
def run(data, root, tmp_path, capsys):
    """Run train.py; returns exit code, error output and, after a success, results and log."""

    def run(dataset, *more, trainer="MuDPT"):
        output = tmp_path / "out"
        code = train.run(
            [
                *["--root", str(data), "--seed", "1", "--trainer", trainer, "--output-dir", str(output)],
                *["--dataset-config-file", str(root / f"configs/datasets/{dataset}.yaml")],
                *["--config-file", str(root / f"configs/trainers/{trainer}/tiny.yaml"), *map(str, more)],
            ]
        )
        error = capsys.readouterr().err
        if code:
            assert not output.exists()
            return code, error
        return json.loads((output / "results.json").read_text()), (output / "log.txt").read_text()

    return run


def assert_one_line(outcome, *parts):
    code, error = outcome
    assert code == 2
    assert error.startswith("error: ") and error.count("\n") == 1, error
    for part in parts:
        assert part in error


def write_list(data, rows):
    (data / "mine" / "mine.csv").write_text("\n".join(["path,label,split", *(",".join(row) for row in rows)]))


def all_rows(data):
    """[path, label, split] of every picture: 6 of each class for train, 2 for val, 4 for test."""
    return [
        [f"{label}/{path.name}", label, "train" if number < 6 else "val" if number < 8 else "test"]
        for label in COLOURS
        for number, path in enumerate(sorted((data / "mine" / label).iterdir()))
    ]


def test_class_folders_are_split_and_shown_to_clip_by_their_names(run, data):
    results, log = run("image_folder", *QUICK, "DATASET.DIR", "mine")
    assert results["num_images"] == {"train": 6, "val": 6, "test": 12}  # of 6, 2 and 4 of each class
    assert results["num_classes"] == 3
    assert all(line in log for line in SHOWN)
    assert (data / "mine" / "split_image_folder.json").is_file()


def test_a_list_with_splits(run, data):
    write_list(data, all_rows(data))
    results, log = run("image_list", *QUICK, "DATASET.LIST", "mine/mine.csv")
    assert results["num_images"] == {"train": 6, "val": 6, "test": 12}
    assert results["dataset"] == "ImageList" and results["split_hash"]
    assert all(line in log for line in SHOWN)


def test_a_folder_as_hugging_face_has_it(run, data):
    for path, label, part in all_rows(data):
        target = data / "hub" / {"val": "validation"}.get(part, part) / label
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "mine" / path, target)
    names = ["DATASET.CLASSNAMES", "mine/classnames.txt"]
    results, log = run("image_folder", *QUICK, "DATASET.DIR", data / "hub", *names)
    assert results["num_images"] == {"train": 6, "val": 6, "test": 12}
    assert all(line in log for line in SHOWN)


def test_zero_shot_clip_with_a_template(run):
    pairs = ["DATASET.DIR", "mine", "DATASET.TEMPLATE", "a drawing of a {}, seen twice."]
    results, log = run("image_folder", "--eval-only", *pairs, trainer="ZeroshotCLIP")
    assert "Templates: ['a drawing of a {}, seen twice.']" in log
    assert results["metrics"]["total"] == 12 and results["config"]["DATASET"]["TEMPLATE"] == pairs[-1]


def test_a_template_without_a_place_for_the_name_is_one_line(run):
    pairs = ["DATASET.DIR", "mine", "DATASET.TEMPLATE", "a drawing."]
    outcome = run("image_folder", "--eval-only", *pairs, trainer="ZeroshotCLIP")
    assert_one_line(outcome, "DATASET.TEMPLATE", '"a drawing."', "{}")


def test_mistakes_in_a_list_are_one_line_and_leave_nothing(run, data):
    def outcome(rows):
        write_list(data, rows)
        return run("image_list", *QUICK, "DATASET.LIST", "mine/mine.csv")

    rows = all_rows(data)
    assert_one_line(outcome([*rows, [rows[0][0], "n02", "test"]]), "line 2 and line 38", rows[0][0])
    assert_one_line(outcome([*rows, ["n02/new.jpg", "n02", "test"]]), "lists 1 image(s)", "n02/new.jpg")
    assert_one_line(outcome([*rows[:-1], [rows[-1][0], "n3", "test"]]), 'line 37: label "n3"', 'did you mean "n03"')
    assert_one_line(outcome([row for row in rows if row[2] != "test"]), "lists no test images")
    assert_one_line(run("image_list", *QUICK, "DATASET.LIST", "mine/yours.csv"), "DATASET.LIST", "mine/yours.csv")


def test_mistakes_in_a_folder_are_one_line_and_leave_nothing(run, data):
    mine, pairs = data / "mine", [*QUICK, "DATASET.DIR", "mine"]
    (mine / "classnames.txt").write_text(NAMES.replace("green", "red"))
    assert_one_line(run("image_folder", *pairs), "classnames.txt", "mine/n01 and ", '"red square"')
    (mine / "classnames.txt").unlink()
    (mine / "n01" / "again").symlink_to("..")
    assert_one_line(run("image_folder", *pairs), str(mine / "n01" / "again"))
    (mine / "n01" / "again").unlink()
    bad = os.path.join(os.fsencode(mine / "n01"), b"caf\xe9.jpg")
    open(bad, "w").close()
    assert_one_line(run("image_folder", *pairs), "caf\\xe9.jpg", "UTF-8")


def test_an_image_that_cannot_be_read_and_is_taken_out_tells_the_way_on(run, data):
    pairs, folder = [*QUICK[2:], "DATASET.DIR", "mine"], data / "mine" / "n02"
    whole = {image: image.read_bytes() for image in folder.iterdir()}
    for image, content in whole.items():
        image.write_bytes(content[:100])
    outcome = run("image_folder", *pairs)
    assert_one_line(outcome, "cannot read the image")
    for image, content in whole.items():
        image.write_bytes(content)
        if str(image) in outcome[1]:
            image.unlink()
    split = data / "mine" / "split_image_folder.json"
    assert_one_line(run("image_folder", *pairs), "missing", f"delete {split} to have the images split anew")
    split.unlink()
    assert run("image_folder", *pairs)[0]["num_images"] == {"train": 18, "val": 6, "test": 11}
