import errno
import json
import os

import pytest

from dassl.data.datasets import DATASET_REGISTRY
from datasets import split_dataset

PUBLISHED = {  # folder of the images, number of images: all that are used of the download
    "Caltech101": ("caltech-101/101_ObjectCategories", 9144 - 467 - 435),  # without background and easy faces
    "DescribableTextures": ("dtd/images", 47 * 120),
    "EuroSAT": ("eurosat/2750", 27000),
    "FGVCAircraft": ("fgvc_aircraft/images", 10000),
    "FashionMNIST": ("fashion_mnist", 60000 + 10000),
    "Food101": ("food-101/images", 101 * 1000),
    "ImageNet": ("imagenet/images", 1281167 + 50000),
    "ImageNetA": ("imagenet-adversarial/imagenet-a", 7500),
    "ImageNetR": ("imagenet-rendition/imagenet-r", 30000),
    "ImageNetSketch": ("imagenet-sketch/images", 50889),
    "ImageNetV2": ("imagenetv2/imagenetv2-matched-frequency-format-val", 1000 * 10),
    "OxfordFlowers": ("oxford_flowers/jpg", 8189),
    "OxfordPets": ("oxford_pets/images", 3680 + 3669),
    "StanfordCars": ("stanford_cars", 8144 + 8041),
    "SUN397": ("sun397/SUN397", 397 * 100),
    "UCF101": ("ucf101/UCF-101-midframes", 9537 + 3783),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_missing_folder_is_named_with_layout_and_source(name, build, tmp_path, user_error):
    folder, _ = PUBLISHED[name]
    message = user_error(build, name)
    assert message.startswith(f"{name}: {tmp_path / folder} is missing")
    assert f"--root): {folder}/" in message.replace("images/{train,val}", "images/")
    assert "https://" in message
    assert list(tmp_path.iterdir()) == [], "looking for data left something behind"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_add_up_to_the_download(name):
    dataset = DATASET_REGISTRY.get(name)
    numbers = dict(dataset.published)
    assert numbers.pop("classes") >= 10
    assert set(numbers) == ({"test"} if dataset.only_tested else {"train", "val", "test"})
    if name == "ImageNet":
        assert numbers.pop("val") == numbers["test"], "they are the same images"
    assert sum(numbers.values()) == PUBLISHED[name][1]


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
    (folder / "banded" / "Thumbs.db").touch()
    (folder / "dtd.tar.gz").touch()
    make_images("dtd/images", {"@eaDir": 9, "__MACOSX": 9, "bumpy/@eaDir": 9})
    dataset = build("DescribableTextures")
    assert dataset.classnames == ["banded", "bumpy"]
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


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_split_file_with_an_empty_part_is_reported(part, build, make_images, user_error):
    folder = make_images("dtd/images", {"banded": 10, "bumpy": 10})
    build("DescribableTextures")
    path = folder.parent / "split_zhou_DescribableTextures.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: []}))
    assert "DescribableTextures: there are no t" in user_error(build, "DescribableTextures")


def test_two_classes_with_one_name_are_reported(build, make_images, user_error):
    make_images("food-101/images", {"apple_pie": 10, "apple pie": 10})
    message = user_error(build, "Food101")
    assert "labels 0 and 1 have one class name" in message and "apple" in message


def test_missing_images_of_a_split_file_are_counted_and_three_are_named(build, make_images, user_error):
    folder = make_images("food-101/images", {"apple_pie": 10, "waffles": 10})
    build("Food101")
    for number in (2, 3, 5, 8):
        (folder / "waffles" / f"image_{number:04d}.jpg").unlink()
    message = user_error(build, "Food101")
    assert f"{folder.parent}/split_zhou_Food101.json lists 4 image(s) that are missing: " in message
    assert message.count("/waffles/image_") == 3 and ", ...: " in message


def test_a_class_folder_that_leads_to_itself_is_named(build, make_images, user_error):
    loop = make_images("food-101/images", {"apple_pie": 10, "waffles": 10}) / "ramen"
    loop.symlink_to(loop)
    assert user_error(build, "Food101").startswith(f"{loop} cannot be followed (")


def test_a_folder_name_that_is_not_utf_8_is_shown(build, make_images, user_error):
    folder = make_images("food-101/images", {"apple_pie": 10, "waffles": 10})
    os.mkdir(os.fsencode(folder) + b"/caf\xe9")
    message = user_error(build, "Food101")
    assert message.startswith(f"{folder}/caf\\xe9: this name is not UTF-8") and message.isprintable()
