import pytest

import train
from tests.datasets.fake_trees import make_tree

NAMES = "n01 tench\nn02 great white shark\nn03 never seen\n"


@pytest.fixture
def imagenet(make_images):
    for part in ("train", "val"):
        make_images(f"imagenet/images/{part}", {"n01": 6, "n02": 6}, suffix=".JPEG")
    folder = make_images("imagenet", {})
    folder.joinpath("classnames.txt").write_text(NAMES)
    return folder


def test_names_come_from_the_text_file_and_val_images_serve_twice(imagenet, build):
    dataset = build("ImageNet", shots=2)
    assert dataset.classnames == ["tench", "great white shark"]
    assert len(dataset.train_x) == 4
    assert [item.impath for item in dataset.val] == [item.impath for item in dataset.test]
    assert len(dataset.test) == 12, "test images must not be sampled"
    assert {path.name for path in imagenet.iterdir()} == {"images", "classnames.txt"}, "nothing is cached"


def test_missing_class_names_are_reported(imagenet, build, user_error):
    imagenet.joinpath("classnames.txt").unlink()
    assert str(imagenet / "classnames.txt") in user_error(build, "ImageNet")


@pytest.mark.parametrize("text, expected", [("n01 tench\nn02\n", ", line 2: "), ("n01 tench\n\n", "no line for")])
def test_bad_class_names_are_reported(imagenet, build, user_error, text, expected):
    imagenet.joinpath("classnames.txt").write_text(text)
    message = user_error(build, "ImageNet")
    assert expected in message and str(imagenet / "classnames.txt") in message


def test_test_images_that_are_not_sorted_into_folders_are_reported(imagenet, build, user_error):
    for image in (imagenet / "images/val").glob("*/*"):
        image.rename(imagenet / "images/val" / f"{image.parent.name}_{image.name}")
    for folder in (imagenet / "images/val").glob("n0?"):
        folder.rmdir()
    assert "no class folders" in user_error(build, "ImageNet")


@pytest.mark.parametrize("part", ["train", "val"])
def test_an_empty_class_is_named(imagenet, build, user_error, part):
    for image in (imagenet / "images" / part / "n02").iterdir():
        image.unlink()
    message = user_error(build, "ImageNet")
    assert "great white shark" in message and str(imagenet / "images" / part / "n02") in message


def test_a_class_that_is_missing_from_one_part_is_named(imagenet, build, make_images, user_error):
    make_images("imagenet/images/val", {"n03": 2})
    assert '"never seen" has no images' in user_error(build, "ImageNet")
    make_images("imagenet/images/train", {"n03": 2})
    assert build("ImageNet").num_classes == 3
    for image in (imagenet / "images/val/n03").iterdir():
        image.unlink()
    (imagenet / "images/val/n03").rmdir()
    assert '"never seen" has no images' in user_error(build, "ImageNet")


@pytest.fixture
def run(tmp_path, root, monkeypatch):
    """Run train.py on the fake ImageNet, with best_val; return its exit code."""
    make_tree("ImageNet", tmp_path / "data")
    monkeypatch.chdir(tmp_path)

    def run(trainer, *more):
        configs = root / "configs"
        return train.run(
            [
                *("--root", "data", "--output-dir", "output", "--trainer", trainer),
                *("--config-file", f"{configs}/trainers/{trainer}/tiny.yaml"),
                *("--dataset-config-file", f"{configs}/datasets/imagenet.yaml", *more),
                *("DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1", "TEST.FINAL_MODEL", "best_val"),
            ]
        )

    return run


def test_no_model_is_chosen_on_the_test_images(run, capsys):
    assert run("CoOp") == 2
    assert "TEST.FINAL_MODEL best_val: ImageNet has no val" in capsys.readouterr().err


def test_a_config_with_best_val_can_be_tested_with(run, capsys):
    assert run("ZeroshotCLIP", "--eval-only") == 0
    assert "* total: 24" in capsys.readouterr().out
