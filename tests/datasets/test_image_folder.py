import json

import pytest

PARTS = {
    "train": {"cat": 10, "polar_bear": 10},
    "val": {"cat": 3, "polar_bear": 3},
    "test": {"cat": 4, "polar_bear": 5},
}


@pytest.fixture
def parts(make_images):
    for part, classes in PARTS.items():
        folder = make_images(f"mine/{part}", classes)
    return folder.parent


@pytest.fixture
def flat(make_images):
    return make_images("mine", {"cat": 10, "polar_bear": 20})


def sizes(dataset):
    return [len(part) for part in (dataset.train_x, dataset.val, dataset.test)]


def remove(folder):
    for image in folder.iterdir():
        image.unlink()
    folder.rmdir()


def test_given_parts_are_used_as_they_are(parts, build):
    dataset = build("ImageFolder", directory="mine")
    assert dataset.classnames == ["cat", "polar bear"]
    assert sizes(dataset) == [20, 6, 9]
    assert all("/test/" in item.impath for item in dataset.test)
    assert sorted(path.name for path in parts.iterdir()) == ["test", "train", "val"]


def test_the_folder_may_be_absolute_or_under_home(parts, build, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    hashes = {build("ImageFolder", directory=path, root="/nowhere").split_hash for path in (parts, "~/mine/")}
    assert hashes == {build("ImageFolder", directory="mine").split_hash}


def test_without_val_a_fifth_of_train_serves(parts, build, as_lists):
    for name in PARTS["val"]:
        remove(parts / "val" / name)
    (parts / "val").rmdir()
    dataset = build("ImageFolder", directory="mine", seed=1)
    assert sizes(dataset) == [16, 4, 9]
    assert as_lists(build("ImageFolder", directory="mine", seed=2)) == as_lists(dataset)


def test_one_image_per_class_is_enough_to_train_on(build, make_images):
    for part in ("train", "test"):
        make_images(f"mine/{part}", {"cat": 1, "dog": 1})
    assert sizes(build("ImageFolder", directory="mine", shots=1)) == [2, 0, 2]


def test_class_folders_are_split_once_and_the_split_is_kept(flat, build, as_lists, capsys):
    dataset = build("ImageFolder", directory="mine", seed=1)
    assert sizes(dataset) == [15, 6, 9]
    assert dataset.classnames == ["cat", "polar bear"]
    content = json.loads((flat / "split_image_folder.json").read_text())
    assert [content[part] for part in ("train", "val", "test")] == as_lists(dataset)
    assert "split_image_folder.json" in capsys.readouterr().out
    assert as_lists(build("ImageFolder", directory="mine", seed=2)) == as_lists(dataset)
    assert capsys.readouterr().out == ""


def test_later_images_are_left_out_with_a_notice(flat, build, make_images, as_lists, capsys):
    before = as_lists(build("ImageFolder", directory="mine"))
    make_images("mine", {"cat": ["new.jpg"]})
    capsys.readouterr()
    assert as_lists(build("ImageFolder", directory="mine")) == before
    assert "1 image(s) came after" in capsys.readouterr().out


def test_a_listed_image_that_is_gone_is_named(flat, build, user_error):
    build("ImageFolder", directory="mine")
    (flat / "cat" / "image_0004.jpg").unlink()
    message = user_error(build, "ImageFolder", directory="mine")
    assert "image_0004.jpg" in message and "split_image_folder.json" in message


def test_suffixes_count_in_any_case_and_other_files_get_a_notice(build, make_images, capsys):
    images = ["a.jpg", "b.JPEG", "c.Png", "d.webp", "e.BMP"]
    make_images("mine", {"cat": [*images, "notes.txt", ".hidden.jpg"], "dog": 4, ".cache": 3})
    dataset = build("ImageFolder", directory="mine")
    assert sum(sizes(dataset)) == len(images) + 4
    notice = capsys.readouterr().out.splitlines()[0]
    assert "left out 1 file(s)" in notice and "notes.txt" in notice


def test_a_class_without_test_images_gets_a_notice(parts, build, make_images, capsys):
    make_images("mine/train", {"zebra": 5})
    make_images("mine/val", {"zebra": 1})
    assert build("ImageFolder", directory="mine").num_classes == 3
    assert "zebra" in capsys.readouterr().out


def test_no_folder_given(build, user_error):
    assert "DATASET.DIR is empty" in user_error(build, "ImageFolder")


def test_a_missing_folder_is_named_with_the_layout(build, user_error, tmp_path):
    message = user_error(build, "ImageFolder", directory="mine")
    assert str(tmp_path / "mine") in message and "/<class>/" in message


@pytest.mark.parametrize("folder", ["mine/cat", "mine/train/cat", "mine/val/cat", "mine/test/cat"])
def test_an_empty_class_folder_is_named(build, make_images, user_error, folder):
    if folder == "mine/cat":
        root = make_images("mine", {"cat": 4, "dog": 4})
    else:
        for part in ("train", "val", "test"):
            root = make_images(f"mine/{part}", {"cat": 4, "dog": 4}).parent
    path = root.parent / folder
    remove(path)
    path.mkdir()
    message = user_error(build, "ImageFolder", directory="mine")
    assert f"class folder {path} holds no images" in message


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_train_lacks_is_named(parts, build, make_images, user_error, part):
    make_images(f"mine/{part}", {"polar_beer": 1})
    message = user_error(build, "ImageFolder", directory="mine")
    assert str(parts / part / "polar_beer") in message and 'did you mean "polar_bear"' in message


@pytest.mark.parametrize("classes", [{}, {"cat": 9}])
def test_two_classes_are_needed(build, make_images, user_error, classes, tmp_path):
    make_images("mine", classes)
    (tmp_path / "mine").mkdir(exist_ok=True)
    assert "two or more" in user_error(build, "ImageFolder", directory="mine")


def test_folders_that_read_as_one_class_are_named(build, make_images, user_error):
    make_images("mine", {"polar bear": 4, "polar_bear": 4})
    message = user_error(build, "ImageFolder", directory="mine")
    assert '"polar bear"' in message and '"polar_bear"' in message


def test_a_class_that_is_too_small_to_be_split_is_named(build, make_images, user_error, tmp_path):
    make_images("mine", {"cat": 9, "polar_bear": 3})
    message = user_error(build, "ImageFolder", directory="mine")
    assert '"polar bear" has 3 images' in message and str(tmp_path / "mine/polar_bear") in message
    assert not (tmp_path / "mine/split_image_folder.json").exists()


def test_train_without_test_is_not_taken_for_two_classes(build, make_images, user_error):
    for part in ("train", "val"):
        make_images(f"mine/{part}", {"cat": 9, "dog": 9})
    assert "train/ but no test/" in user_error(build, "ImageFolder", directory="mine")


def test_a_class_may_be_called_train(build, make_images):
    make_images("mine", {"train": 4, "tram": 4})
    assert build("ImageFolder", directory="mine").classnames == ["train", "tram"]


def test_test_without_train_is_reported(build, make_images, user_error):
    make_images("mine/test", {"cat": 9, "dog": 9})
    assert "test/ but no train/" in user_error(build, "ImageFolder", directory="mine")


def test_test_images_without_class_folders_are_reported(build, make_images, user_error):
    make_images("mine/train", {"cat": 9, "dog": 9})
    make_images("mine", {"test": 5})
    assert "no class folders" in user_error(build, "ImageFolder", directory="mine")


def test_new_classes_are_the_second_half(parts, build):
    assert build("ImageFolder", directory="mine", subsample="new").classnames == ["polar bear"]
