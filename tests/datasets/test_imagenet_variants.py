import os

import pytest

from tests.datasets.fake_trees import make_tree

VARIANTS = {
    "ImageNetA": ("imagenet-adversarial", "imagenet-a"),
    "ImageNetR": ("imagenet-rendition", "imagenet-r"),
    "ImageNetSketch": ("imagenet-sketch", "images"),
    "ImageNetV2": ("imagenetv2", "imagenetv2-matched-frequency-format-val"),
}


@pytest.fixture(params=VARIANTS)
def variant(request, tmp_path):
    """Return (name of the dataset, its folder, its image folder) of a variant that is there."""
    make_tree(request.param, tmp_path)
    folder, images = VARIANTS[request.param]
    return request.param, tmp_path / folder, tmp_path / folder / images


def test_a_variant_is_tested_whole_and_says_so(variant, build, capsys):
    name, _, _ = variant
    whole = build(name)
    assert capsys.readouterr().out.count("notice") == 0
    dataset = build(name, shots=1, subsample="base")
    assert capsys.readouterr().out == f"notice: {name} is tested whole, DATASET.SUBSAMPLE_CLASSES is not applied\n"
    assert dataset.classnames == whole.classnames
    assert dataset.train_x == dataset.test and len(dataset.test) == len(whole.test) and not dataset.val


def test_a_missing_classnames_file_is_said_to_be_a_copy(variant, build, user_error):
    name, folder, _ = variant
    (folder / "classnames.txt").unlink()
    message = user_error(build, name)
    assert message.startswith(f"{name}: {folder / 'classnames.txt'} is missing;")
    assert "(a copy of imagenet/classnames.txt)" in message


def test_imagenets_own_classnames_file_serves_all_variants(variant, build):
    name, folder, _ = variant
    expected = build(name).classnames
    (folder.parent / "imagenet").mkdir()
    (folder / "classnames.txt").rename(folder.parent / "imagenet/classnames.txt")
    assert build(name).classnames == expected


def test_an_empty_class_is_named(variant, build, user_error):
    name, _, images = variant
    class_dir = images / ("17" if name == "ImageNetV2" else "n03126707")
    for image in class_dir.iterdir():
        image.unlink()
    message = user_error(build, name)
    assert message.startswith(f"{name}: class ") and str(class_dir) in message


@pytest.mark.parametrize("name", ["ImageNetA", "ImageNetR", "ImageNetSketch"])
def test_a_folder_without_a_line_is_named(name, tmp_path, build, user_error):
    make_tree(name, tmp_path)
    folder, images = (tmp_path.joinpath(*VARIANTS[name][:end]) for end in (1, 2))
    (images / "n99").mkdir()
    assert (
        user_error(build, name)
        == f"{folder}/classnames.txt has no line for the folder {images}/n99: add it or remove the folder"
    )


def test_a_folder_beyond_the_list_and_one_that_is_missing_are_named(tmp_path, build, user_error):
    make_tree("ImageNetV2", tmp_path)
    images = tmp_path.joinpath(*VARIANTS["ImageNetV2"])
    (images / "1000").mkdir()
    message = user_error(build, "ImageNetV2")
    assert message.startswith(f"{images / '1000'}: ") and "folders must be named 0 to 999" in message
    (images / "1000").rename(images / "007")
    assert user_error(build, "ImageNetV2").startswith(f"{images / '007'}: ")
    (images / "007").rmdir()
    (images / "999").rename(tmp_path / "999")
    assert f'class "class number 999" has no images: {images / "999"} is missing' in user_error(build, "ImageNetV2")


def test_a_folder_without_images_is_named(tmp_path, build, user_error):
    make_tree("ImageNetA", tmp_path)
    images = tmp_path.joinpath(*VARIANTS["ImageNetA"])
    images.rename(tmp_path / "elsewhere")
    images.mkdir()
    assert f"ImageNetA: {images} holds no class folders" in user_error(build, "ImageNetA")


def test_a_class_folder_that_leads_to_itself_is_named(tmp_path, build, user_error):
    make_tree("ImageNetSketch", tmp_path)
    loop = tmp_path.joinpath(*VARIANTS["ImageNetSketch"], "n01440764x")
    loop.symlink_to(loop)
    assert user_error(build, "ImageNetSketch").startswith(f"{loop} cannot be followed (")


def test_a_folder_name_that_is_not_utf_8_is_shown(tmp_path, build, user_error):
    make_tree("ImageNetSketch", tmp_path)
    images = tmp_path.joinpath(*VARIANTS["ImageNetSketch"])
    os.mkdir(os.fsencode(images) + b"/caf\xe9")
    message = user_error(build, "ImageNetSketch")
    assert message.startswith(f"{images}/caf\\xe9: this name is not UTF-8") and message.isprintable()
