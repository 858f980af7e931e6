import os
import stat

import pytest
from PIL import Image

from dassl.data.datasets import Datum
from datasets.generated_dataset import GeneratedDataset
from datasets.splits import split_classes


class Squares(GeneratedDataset):
    """Two classes of gray squares; `meanwhile` runs while they are being written."""

    dataset_dir = "squares"
    split_file = "split_squares.json"

    def __init__(self, root, meanwhile=lambda: None):
        self.meanwhile = meanwhile
        self.dataset_dir = os.path.join(root, "squares")
        self.image_dir = os.path.join(self.dataset_dir, self.image_subdir)
        self.split_path = os.path.join(self.dataset_dir, self.split_file)

    def generate(self, image_dir):
        classes = []
        for label, name in enumerate(["dark", "light"]):
            os.mkdir(os.path.join(image_dir, name))
            paths = [os.path.join(image_dir, name, f"{number}.png") for number in range(4)]
            for path in paths:
                Image.new("L", (2, 2), 200 * label).save(path)
            classes.append([Datum(impath=path, label=label, classname=name) for path in paths])
        self.meanwhile()
        return split_classes(classes)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_is_written_once_with_usual_permissions(tmp_path):
    Squares(tmp_path).prepare()
    assert names_in(tmp_path) == ["squares"]
    assert names_in(tmp_path / "squares") == ["images", "split_squares.json"]
    plain = tmp_path / "plain"
    plain.mkdir()
    assert stat.S_IMODE((tmp_path / "squares").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)

    def fail():
        raise AssertionError("written twice")

    Squares(tmp_path, meanwhile=fail).prepare()
    assert [len(part) for part in Squares(tmp_path).load_split()] == [4, 2, 2]


def test_the_slower_of_two_runs_leaves_the_faster_ones_data_alone(tmp_path):
    faster = Squares(tmp_path)

    def overtake():
        faster.prepare()
        (tmp_path / "squares" / "mark").touch()

    slower = Squares(tmp_path, meanwhile=overtake)
    slower.prepare()
    assert names_in(tmp_path) == ["squares"]
    assert names_in(tmp_path / "squares") == ["images", "mark", "split_squares.json"]
    assert [len(part) for part in slower.load_split()] == [4, 2, 2]


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Squares(tmp_path, meanwhile=interrupt).prepare()
    assert names_in(tmp_path) == []


def test_a_folder_that_lost_images_is_reported(tmp_path, user_error):
    squares = Squares(tmp_path)
    squares.prepare()
    for image in (tmp_path / "squares/images").glob("*/*.png"):
        image.unlink()
    assert "split_squares.json" in user_error(squares.load_split)


def test_an_incomplete_folder_is_reported_and_kept(tmp_path, user_error):
    (tmp_path / "squares").mkdir()
    (tmp_path / "squares" / "mine.txt").touch()
    message = user_error(Squares(tmp_path).prepare)
    assert str(tmp_path / "squares") in message and "delete" in message
    assert names_in(tmp_path) == ["squares"]
    assert names_in(tmp_path / "squares") == ["mine.txt"]


def test_a_root_that_cannot_be_written_is_reported(tmp_path, user_error):
    (tmp_path / "file").touch()
    message = user_error(Squares(tmp_path / "file").prepare)
    assert str(tmp_path / "file" / "squares") in message and "--root" in message
