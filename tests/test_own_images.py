"""A person's own images through the command line, on the embedded CLIP: folders, a list, class names, mistakes."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import benchmark
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

    def run(dataset, *more, trainer="MuDPT", output="out"):
        output = tmp_path / output
        code = train.run(
            [
                *["--root", str(data), "--seed", "1", "--trainer", trainer, "--output-dir", str(output)],
                *["--dataset-config-file", str(root / f"configs/datasets/{dataset}.yaml")],
                *["--config-file", str(root / f"configs/trainers/{trainer}/tiny.yaml"), *map(str, more)],
            ]
        )
        error = capsys.readouterr().err
        if code:
            assert not (output / "results.json").exists() and not (output / "log.txt").exists()
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


# What the shots say and what is trained on


def lay_out_parts(data, train_images):
    """`parts/train/<class>/` with so many images and `parts/test/<class>/` with four, no val."""
    for label in COLOURS:
        images = sorted((data / "mine" / label).iterdir())
        for part, chosen in (("train", images[: train_images.get(label, 4)]), ("test", images[-4:])):
            (data / "parts" / part / label).mkdir(parents=True)
            for image in chosen:
                shutil.copy(image, data / "parts" / part / label)
    return ["DATASET.DIR", "parts", "DATASET.NUM_SHOTS", "4", "OPTIM.MAX_EPOCH", "1"]


def report(tmp_path, capsys, *more):
    capsys.readouterr()
    assert benchmark.main(["report", str(tmp_path / "out"), *more]) == 0
    return capsys.readouterr().out


def test_k_images_of_each_class_are_k_shots_unless_val_is_used_and_then_the_report_tells(run, data, tmp_path, capsys):
    pairs, place = lay_out_parts(data, {}), "image_folder-parts/CoOp/tiny_4shots"
    results, log = run("image_folder", *pairs, trainer="CoOp", output=f"out/{place}/seed1")
    assert results["num_images"] == {"train": 12, "val": 0, "test": 12}
    assert results["images_per_class"] == {"train": [4, 4], "val": None, "test": [4, 4]}
    assert "Trained on 12 images, 4 of each class (DATASET.NUM_SHOTS 4)" in log
    assert "Images per class" not in report(tmp_path, capsys)

    pairs += ["TEST.FINAL_MODEL", "best_val", "--variant", "best"]
    results, log = run("image_folder", *pairs, trainer="CoOp", output=f"out/{place}/best/seed1")
    assert results["images_per_class"] == {"train": [3, 3], "val": [1, 1], "test": [4, 4]}
    told = "3 of the 12 training images were taken for validation, a fifth of each class, as TEST.FINAL_MODEL best_val"
    assert log.count(told) == 2, "at the start and at the end"
    assert "Trained on 9 images, 3 of each class (DATASET.NUM_SHOTS 4)" in log
    note = "Images per class that were trained on: 3, not 4 (image_folder-parts, CoOp tiny/best)."
    page = tmp_path / "report.html"
    assert note in report(tmp_path, capsys, "--html", str(page)) and note in page.read_text()
    rows = [line.split(",") for line in report(tmp_path, capsys, "--format", "csv").splitlines()]
    assert [row[rows[0].index("trained per class")] for row in rows[1:]] == ["", "3"]


def test_classes_with_fewer_images_than_shots_are_told(run, data, tmp_path, capsys):
    pairs, folder = lay_out_parts(data, {"n02": 2}), "out/image_folder-parts/CoOp/tiny_4shots/seed1"
    shutil.copy(data / "mine/classnames.txt", data / "parts")
    results, log = run("image_folder", *pairs, trainer="CoOp", output=folder)
    assert results["images_per_class"]["train"] == [2, 4]
    assert '1 of 3 classes have fewer than 4 training images, the smallest is "green square" with 2' in log
    assert 'Trained on 10 images, 2 of the smallest class "green square" to 4 of the largest "red square"' in log
    assert "2 to 4, not 4 (image_folder-parts, CoOp tiny)" in report(tmp_path, capsys, "--format", "markdown")


def test_what_a_split_made_here_gave_is_told_at_the_start_and_the_end_of_every_run(run):
    for output in ("out/first", "out/second"):
        _, log = run("image_folder", *QUICK, "DATASET.DIR", "mine", trainer="CoOp", output=output)
        assert log.count("the images of each class were split 50/20/30, in all 18 train, 6 val, 12 test") == 2


def test_a_model_and_zero_shot_clip_are_tested_on_test_images_alone(run, data, tmp_path):
    pairs = lay_out_parts(data, {})
    run("image_folder", *pairs, trainer="CoOp", output="model")
    (data / "parts/test").rename(data / "parts/eval")
    shutil.rmtree(data / "parts/train")
    rows = [
        f"{path.relative_to(data / 'parts/eval')},{path.parent.name},test\n" for path in data.glob("parts/eval/*/*")
    ]
    (data / "parts/eval/list.csv").write_text("path,label,split\n" + "".join(sorted(rows)))
    model = ["--model-dir", tmp_path / "model"]
    accuracies = {}
    for trainer, flags in (("ZeroshotCLIP", []), ("CoOp", model)):
        for dataset, keys in (
            ("image_folder", ["DATASET.DIR", "parts"]),
            ("image_list", ["DATASET.LIST", "parts/eval/list.csv"]),
        ):
            output = f"{trainer}-{dataset}"
            results, log = run(dataset, "--eval-only", *flags, *keys, trainer=trainer, output=output)
            assert results["num_images"] == {"train": 0, "val": 0, "test": 12} and "Trained on" not in log
            assert results["images_per_class"]["train"] == ([4, 4] if flags else None)
            accuracies.setdefault(trainer, set()).add(results["metrics"]["accuracy"])
    assert all(len(found) == 1 for found in accuracies.values())


def test_test_images_alone_cannot_be_trained_on(run, data):
    pairs = lay_out_parts(data, {})
    shutil.rmtree(data / "parts/train")
    assert_one_line(run("image_folder", *pairs), "has test/ but no train/")
    assert_one_line(run("image_folder", *pairs, "DATASET.ONLY_TESTED", "True"), "ONLY_TESTED", "--eval-only")


def test_a_run_that_only_tests_class_folders_says_which_images(run, data):
    flags, advice = ["--eval-only", "DATASET.DIR"], f"move the class folders into {data / 'mine/test'}/ to test all"
    results, log = run("image_folder", *flags, "mine", trainer="ZeroshotCLIP")
    assert results["metrics"]["total"] == 12 and "only the test images are tested" in log and advice in log
    lay_out_parts(data, {})
    for image in data.glob("parts/test/*/*"):
        if image.stem in ("10", "11"):
            image.unlink()
    results, log = run("image_folder", *flags, "parts/test", trainer="ZeroshotCLIP", output="small")
    assert results["metrics"]["total"] == 6
    assert "all 6 images are tested, as there are too few to split them" in log
