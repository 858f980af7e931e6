"""What is said about annotation files that are missing, damaged or do not fit the images."""

import json
import re

import numpy as np
import pytest
from numpy.lib.recfunctions import drop_fields
from scipy.io import loadmat, savemat

from tests.datasets.fake_trees import make_tree

FILES = [
    ("FGVCAircraft", "fgvc_aircraft/variants.txt"),
    ("FGVCAircraft", "fgvc_aircraft/images_variant_val.txt"),
    ("OxfordFlowers", "oxford_flowers/cat_to_name.json"),
    ("OxfordFlowers", "oxford_flowers/imagelabels.mat"),
    ("OxfordPets", "oxford_pets/annotations/test.txt"),
    ("StanfordCars", "stanford_cars/cars_test_annos_withlabels.mat"),
    ("StanfordCars", "stanford_cars/devkit/cars_meta.mat"),
    ("StanfordCars", "stanford_cars/devkit/cars_train_annos.mat"),
    ("SUN397", "sun397/ClassName.txt"),
    ("SUN397", "sun397/Training_01.txt"),
    ("UCF101", "ucf101/ucfTrainTestlist/classInd.txt"),
    ("UCF101", "ucf101/ucfTrainTestlist/testlist01.txt"),
]
LINES = [  # dataset, file, line, what is wrong with it
    ("FGVCAircraft", "fgvc_aircraft/images_variant_test.txt", "0036309 Concorde", 'class "Concorde" is not in '),
    ("FGVCAircraft", "fgvc_aircraft/images_variant_train.txt", "0034309", '"<image> <variant>", found "0034309"'),
    ("OxfordPets", "oxford_pets/annotations/trainval.txt", "Bengal_1 1 1", 'found "Bengal_1 1 1"'),
    ("OxfordPets", "oxford_pets/annotations/trainval.txt", "Bengal_1 one 1 1", 'found "Bengal_1 one 1 1"'),
    ("OxfordPets", "oxford_pets/annotations/trainval.txt", "Bengal 1 1 1", 'found "Bengal 1 1 1"'),
    ("OxfordPets", "oxford_pets/annotations/test.txt", "Bengal_100 0 1 1", 'found "Bengal_100 0 1 1"'),
    ("SUN397", "sun397/Training_01.txt", "/z/zoo/sun_a.jpg", 'class "z/zoo" is not in '),
    ("SUN397", "sun397/Testing_01.txt", "sun_a.jpg", 'class "" is not in '),
    ("SUN397", "sun397/ClassName.txt", "abbey", '"/<letter>/<class>", found "abbey"'),
    ("UCF101", "ucf101/ucfTrainTestlist/testlist01.txt", "Yawning/v_g01.avi", 'class "Yawning" is not in'),
    ("UCF101", "ucf101/ucfTrainTestlist/trainlist01.txt", "v_YoYo_g01.avi 5", '"<action>/<video>.avi"'),
    ("UCF101", "ucf101/ucfTrainTestlist/classInd.txt", "YoYo", '"<class from 1> <action>", found "YoYo"'),
]


@pytest.fixture
def tree(tmp_path):
    """Return a function that makes a dataset's folder and gives the path of a file in it."""

    def tree(name, file):
        make_tree(name, tmp_path)
        return tmp_path / file

    return tree


@pytest.mark.parametrize("name, file", FILES)
def test_a_missing_file_is_named_with_layout_and_source(name, file, tree, build, user_error):
    path = tree(name, file)
    path.unlink()
    message = user_error(build, name)
    assert message.startswith(f"{name}: {path} is missing; expected under the data root") and "https://" in message


@pytest.mark.parametrize("name, file", FILES)
@pytest.mark.parametrize("content", [b"", b"caf\xe9", b"\x00" * 300], ids=["empty", "not UTF-8", "zeros"])
def test_a_damaged_file_is_named(name, file, content, tree, build, user_error):
    path = tree(name, file)
    path.write_bytes(content)
    message = user_error(build, name)
    assert str(path) in message and message.isprintable()
    if path.suffix == ".txt" and content == b"caf\xe9":
        assert message == f"{path} cannot be read (it is not UTF-8 text): get the file again"


@pytest.mark.parametrize("name, file", [(name, file) for name, file in FILES if file.endswith(".mat")])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_mat_file_is_named(name, file, share, tree, build, user_error):
    path = tree(name, file)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert str(path) in user_error(build, name)


@pytest.mark.parametrize("name, file, line, reason", LINES)
def test_a_line_that_does_not_fit_is_numbered(name, file, line, reason, tree, build, user_error):
    path = tree(name, file)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "", line, *lines[1:]]))
    message = user_error(build, name)
    assert message.startswith(f"{path}, line 3: ") and reason in message


def test_a_car_beyond_the_class_names_is_named(tree, build, user_error):
    path = tree("StanfordCars", "stanford_cars/cars_test_annos_withlabels.mat")
    annotations = loadmat(path)["annotations"]
    annotations[0, 6]["class"] = np.uint8([[199]])
    savemat(path, {"annotations": annotations})
    message = user_error(build, "StanfordCars")
    meta_path = path.with_name("devkit") / "cars_meta.mat"
    assert message == f'{path}, annotations 7: class "199" is not in {meta_path}: get both files again'


@pytest.mark.parametrize("field", ["class", "fname"])
def test_an_annotation_file_of_cars_without_labels_is_named(field, tree, build, user_error):
    """The official test annotations come in two versions; cars_test_annos.mat has no classes."""
    path = tree("StanfordCars", "stanford_cars/cars_test_annos_withlabels.mat")
    annotations = loadmat(path)["annotations"]
    savemat(path, {"annotations": drop_fields(annotations, field)})
    assert f"{path}, annotations 1: expected" in user_error(build, "StanfordCars")
    savemat(path, {"other": annotations})
    assert user_error(build, "StanfordCars") == f"{path} cannot be read (KeyError: 'annotations'): get the file again"


def test_a_flower_without_a_name_is_numbered(tree, build, user_error):
    path = tree("OxfordFlowers", "oxford_flowers/imagelabels.mat")
    names_path = path.with_name("cat_to_name.json")
    names = json.loads(names_path.read_text())
    del names["2"]
    names_path.write_text(json.dumps(names))
    position = loadmat(path)["labels"][0].tolist().index(2) + 1
    message = user_error(build, "OxfordFlowers")
    assert message == f'{path}, labels {position}: class "2" is not in {names_path}: get both files again'


@pytest.mark.parametrize("text", ["[]", '{"one": "rose"}', "{"])
def test_names_of_flowers_that_are_none_are_reported(text, tree, build, user_error):
    path = tree("OxfordFlowers", "oxford_flowers/cat_to_name.json")
    path.write_text(text)
    assert user_error(build, "OxfordFlowers").startswith(f"{path} cannot be read (")


@pytest.mark.parametrize(
    "name, images, listed_in",
    [
        ("FGVCAircraft", "fgvc_aircraft/images", "images_variant_train.txt"),
        ("OxfordFlowers", "oxford_flowers/jpg", "imagelabels.mat"),
        ("OxfordPets", "oxford_pets/images", "trainval.txt"),
        ("StanfordCars", "stanford_cars/cars_test", "cars_test_annos_withlabels.mat"),
        ("SUN397", "sun397/SUN397/a/apse", "Training_01.txt"),
        ("UCF101", "ucf101/UCF-101-midframes/Yo_Yo", "trainlist01.txt"),
    ],
)
def test_missing_images_are_counted_and_three_are_named(name, images, listed_in, tree, build, user_error):
    folder = tree(name, images)
    paths = list(folder.rglob("*.jpg"))
    for path in [path for path in paths if path.stem.endswith("7")] if len(paths) > 40 else paths:
        path.unlink()
    message = user_error(build, name)
    assert re.search(f"/{listed_in} lists [0-9]+ image.s. that are missing: ", message)
    assert message.count(".jpg") == 3 and ", ...: " in message


def test_a_car_without_a_name_is_numbered(tree, build, user_error):
    path = tree("StanfordCars", "stanford_cars/devkit/cars_meta.mat")
    names = loadmat(path)["class_names"]
    names[0, 2] = 7
    savemat(path, {"class_names": names})
    message = user_error(build, "StanfordCars")
    assert message.startswith(f'{path}, class_names 3: expected "<model> <year>", found "7"')
