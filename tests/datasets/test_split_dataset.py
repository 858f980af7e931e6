import errno
import json

import pytest

from datasets import split_dataset


@pytest.mark.parametrize(
    "name, folder",
    [
        ("Caltech101", "caltech-101/101_ObjectCategories"),
        ("DescribableTextures", "dtd/images"),
        ("EuroSAT", "eurosat/2750"),
        ("ImageNet", "imagenet/images"),
        ("OxfordPets", "oxford_pets/images"),
    ],
)
def test_a_missing_folder_is_named_with_layout_and_source(name, folder, build, tmp_path, user_error):
    message = user_error(build, name)
    assert message.startswith(f"{name}: {tmp_path / folder} is missing")
    assert f"--root): {folder}/" in message.replace("images/{train,val}", "images/")
    assert "https://" in message
    assert list(tmp_path.iterdir()) == [], "looking for data left something behind"


def test_a_file_in_place_of_a_folder_is_named(build, make_images, user_error):
    path = make_images("dtd", {".": ["images"]}) / "images"
    assert f"{path} cannot be listed (Not a directory)" in user_error(build, "DescribableTextures")


def test_a_built_split_is_saved_once_and_read_again(build, make_images, as_lists, capsys):
    folder = make_images("dtd/images", {"banded": 10, "bumpy": 20})
    first = as_lists(build("DescribableTextures"))
    path = folder.parent / "split_zhou_DescribableTextures.json"
    assert str(path) in capsys.readouterr().out
    content = json.loads(path.read_text())
    assert [content[part] for part in ("train", "val", "test")] == first
    make_images("dtd/images", {"banded": 12})
    assert as_lists(build("DescribableTextures")) == first
    assert capsys.readouterr().out.count("notice") == 0


def test_data_that_cannot_be_written_to_are_used_all_the_same(build, make_images, as_lists, monkeypatch, capsys):
    folder = make_images("eurosat/2750", {"Forest": 10, "River": 20})

    def refuse(source, target):
        raise OSError(errno.EROFS, "Read-only file system", target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        unsaved = as_lists(build("EuroSAT", seed=3))
    notice = capsys.readouterr().out
    assert notice.startswith("notice: the split is not saved") and "Read-only file system" in notice
    assert [path.name for path in folder.parent.iterdir()] == ["2750"]
    assert as_lists(build("EuroSAT")) == unsaved


def test_class_names_are_coops_and_background_folders_no_classes(build, make_images):
    make_images(
        "caltech-101/101_ObjectCategories",
        {"BACKGROUND_Google": 9, "Faces": 9, "Faces_easy": 9, "airplanes": 9, "water_lilly": 9, ".hidden": 9},
    )
    assert build("Caltech101").classnames == ["face", "airplane", "water_lilly"]


def test_hidden_and_loose_files_are_no_images(build, make_images):
    folder = make_images("dtd/images", {"banded": 10, "bumpy": 10})
    (folder / "banded" / ".directory").touch()
    (folder / "dtd.tar.gz").touch()
    dataset = build("DescribableTextures")
    assert len(dataset.train_x) + len(dataset.val) + len(dataset.test) == 20


def test_an_empty_class_folder_is_named(build, make_images, user_error):
    folder = make_images("dtd/images", {"banded": 10, "bumpy": 0})
    assert str(folder / "bumpy") in user_error(build, "DescribableTextures")


def test_a_split_file_of_other_images_is_reported(build, make_images, user_error):
    folder = make_images("dtd/images", {"banded": 10, "bumpy": 10})
    build("DescribableTextures")
    for image in (folder / "banded").iterdir():
        image.unlink()
    message = user_error(build, "DescribableTextures")
    assert "split_zhou_DescribableTextures.json" in message and str(folder / "banded") in message


def test_a_split_file_without_train_images_for_a_class_is_reported(build, make_images, user_error):
    folder = make_images("dtd/images", {"banded": 10, "bumpy": 10})
    build("DescribableTextures")
    path = folder.parent / "split_zhou_DescribableTextures.json"
    content = json.loads(path.read_text())
    content["train"] = [entry for entry in content["train"] if entry[2] != "bumpy"]
    path.write_text(json.dumps(content))
    assert 'DescribableTextures: class "bumpy" has no images in train' in user_error(build, "DescribableTextures")


def test_new_classes_without_test_images_are_reported(build, make_images, user_error):
    folder = make_images("dtd/images", {"banded": 10, "bumpy": 10})
    build("DescribableTextures")
    path = folder.parent / "split_zhou_DescribableTextures.json"
    content = json.loads(path.read_text())
    content["test"] = [entry for entry in content["test"] if entry[2] != "bumpy"]
    path.write_text(json.dumps(content))
    assert "no test images" in user_error(build, "DescribableTextures", subsample="new")


def test_wrong_subsample_is_reported(build, make_images, user_error):
    make_images("dtd/images", {"banded": 10, "bumpy": 10})
    assert '"base"' in user_error(build, "DescribableTextures", subsample="bse")


def test_split_hash_is_that_of_the_images_in_use(build, make_images):
    make_images("dtd/images", {"banded": 40, "bumpy": 40})
    first = build("DescribableTextures", shots=2, seed=1)
    assert first.split_hash == build("DescribableTextures", shots=2, seed=1).split_hash
    assert first.split_hash == split_dataset.split_hash((first.train_x, first.val, first.test), first.image_dir)
    others = [build("DescribableTextures", shots=2, seed=2), build("DescribableTextures", shots=2, subsample="base")]
    assert first.split_hash not in [other.split_hash for other in others]
