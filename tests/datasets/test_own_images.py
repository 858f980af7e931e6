import json

import pytest

from datasets.own_images import FEWEST_TO_SPLIT, read_class_names
from datasets.splits import ListedImage, split_classes
from support.user_error import UserError

FOLDERS = {"n01440764": 4, "n01443537": 4}


@pytest.fixture
def wordnet(make_images):
    return make_images("mine", FOLDERS)


def read(tmp_path, text, labels):
    path = tmp_path / "classnames.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_class_names(str(path), dict.fromkeys(labels, ""))[0]


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", ", "  "])
def test_folders_are_given_names_in_the_order_of_the_folders(wordnet, build, separator, capsys):
    lines = ["n01443537", "goldfish"], ["n01440764", "tench, the fish"], ["n99999999", "not here"]
    (wordnet / "classnames.txt").write_text("\n".join(separator.join(line) for line in lines))
    dataset = build("ImageFolder", directory="mine")
    assert dataset.classnames == ["tench, the fish", "goldfish"]
    assert dataset.lab2cname[0] == "tench, the fish" and "/n01440764/" in dataset.train_x[0].impath
    assert "tell CLIP little" not in capsys.readouterr().out


def test_names_given_after_the_split_was_made_are_used(wordnet, build, capsys):
    assert build("ImageFolder", directory="mine").classnames == list(FOLDERS)
    assert 'class names are "n01440764" and so on' in capsys.readouterr().out
    (wordnet / "classnames.txt").write_text("n01440764 tench\nn01443537 goldfish\n")
    assert build("ImageFolder", directory="mine").classnames == ["tench", "goldfish"]


def test_another_file_of_names_wins(wordnet, build, tmp_path):
    (wordnet / "classnames.txt").write_text("n01440764 tench\nn01443537 goldfish\n")
    (tmp_path / "german.txt").write_text("n01440764 Schleie\nn01443537 Goldfisch\n")
    for path in ("german.txt", tmp_path / "german.txt"):
        assert build("ImageFolder", directory="mine", CLASSNAMES=path).classnames == ["Schleie", "Goldfisch"]


def test_a_missing_file_of_names_is_named(wordnet, build, user_error, tmp_path):
    message = user_error(build, "ImageFolder", directory="mine", CLASSNAMES="german.txt")
    assert f"{tmp_path / 'german.txt'} cannot be read" in message


def test_labels_may_hold_separators(tmp_path):
    labels = ["cat", "cat big", "cat, small", "3"]
    text = "cat big lion\ncat kitten\r\n\ncat, small\tmouser\n3,three_\t 3\n"
    names = {"cat": "kitten", "cat big": "lion", "cat, small": "mouser", "3": "three 3"}
    assert read(tmp_path, text, labels) == names
    assert read(tmp_path, b'\xef\xbb\xbfcat,"kitten, small"', ["cat"]) == {"cat": "kitten, small"}


def test_a_folder_without_a_name_is_named_with_the_nearest_line(wordnet, build, user_error):
    (wordnet / "classnames.txt").write_text("n01440764 tench\nn01443573 goldfish\n")
    message = user_error(build, "ImageFolder", directory="mine")
    assert f"{wordnet / 'n01443537'} has no line in {wordnet / 'classnames.txt'}" in message
    assert 'did you mean "n01443573"' in message


def test_two_folders_with_one_name_are_named(wordnet, build, user_error):
    (wordnet / "classnames.txt").write_text("n01440764 Tench\nn01443537 tench\n")
    message = user_error(build, "ImageFolder", directory="mine")
    assert all(part in message for part in (*FOLDERS, "classnames.txt", '"tench"'))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("n01440764 tench\nn01443537\n", "line 2: expected"),
        ("n01440764,tench\nn01443537,\n", "line 2: expected"),
        ("n01440764 tench\nn01443537 goldfish\n\nn01440764,carp", "lines 1 and 4"),
        ("n01440764 tench\nn01443537 _\n", "empty name"),
        (b"n01440764 tench\nn01443537 poisson dor\xe9\n", "not UTF-8"),
    ],
)
def test_a_wrong_file_of_names_is_named(wordnet, build, user_error, text, part):
    (wordnet / "classnames.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    message = user_error(build, "ImageFolder", directory="mine")
    assert part in message and str(wordnet) in message


def test_the_fewest_images_that_can_be_split_are_what_the_message_says():
    def images(number):
        return [[ListedImage(f"{n}.jpg", 0, classname="cat") for n in range(number)]]

    assert all(min(map(len, split_classes(images(number)))) > 0 for number in range(FEWEST_TO_SPLIT, 200))
    with pytest.raises(UserError):
        split_classes(images(FEWEST_TO_SPLIT - 1))


ONE_PROMPT = [
    ("R&D", "R&amp;D"),
    ("men's", "men\u2019s"),
    ("caf\u00e9", "cafe\u0301"),
    ("ice-cream", "ice - cream"),
    ("Polar__Bear", "polar bear"),
    ("\ufb01sh", "fish"),
]


@pytest.mark.parametrize("names", ONE_PROMPT)
def test_classes_that_give_one_prompt_are_named(build, make_images, wordnet, user_error, names):
    make_images("other", dict.fromkeys(names, 4))
    message = user_error(build, "ImageFolder", directory="other")
    assert "read as one class" in message and all(f"other/{name} " in message for name in names)
    lines = "".join(f"{folder} {name}\n" for folder, name in zip(FOLDERS, names, strict=True))
    (wordnet / "classnames.txt").write_text(lines)
    message = user_error(build, "ImageFolder", directory="mine")
    assert "read as one class" in message and names[0].replace("_", " ").split()[0] in message


def test_classes_that_differ_in_normal_form_only_are_said_to(build, make_images, wordnet, user_error):
    make_images("other", dict.fromkeys(("caf\u00e9", "cafe\u0301"), 4))
    assert "which differ in Unicode normal form only" in user_error(build, "ImageFolder", directory="other")
    (wordnet.parent / "other/classnames.txt").write_text("caf\u00e9 bar\n")
    assert "which differ in Unicode normal form only" in user_error(build, "ImageFolder", directory="other")


def test_a_name_of_which_clip_reads_nothing_is_named(build, make_images, user_error):
    make_images("mine", {"cat": 4, "&nbsp;": 4})
    assert "mine/&nbsp; has an empty name" in user_error(build, "ImageFolder", directory="mine")


@pytest.mark.parametrize(("written", "folder"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_folders_of_a_mac_meet_their_names_and_their_counterparts(build, make_images, written, folder):
    make_images("mine/train", {folder: 4, "dog": 4})
    root = make_images("mine/test", {written: 3, "dog": 3}).parent
    assert len(build("ImageFolder", directory="mine").test) == 6
    (root / "classnames.txt").write_text(f"{written} coffee house\ndog hound\n")
    dataset = build("ImageFolder", directory="mine")
    assert dataset.classnames == (["coffee house", "hound"])


def test_a_split_that_a_mac_has_made_is_read_here(build, make_images, as_lists):
    folder = make_images("mine", {"caf\u00e9": ["e\u0301.jpg", *"abcd"], "dog": 4})
    for name in "abcd":
        (folder / "caf\u00e9" / name).rename(folder / "caf\u00e9" / f"{name}.jpg")
    before = as_lists(build("ImageFolder", directory="mine"))
    split = folder / "split_image_folder.json"
    split.write_text(json.dumps(json.loads(split.read_text())).replace("caf\\u00e9", "cafe\\u0301"))
    assert as_lists(build("ImageFolder", directory="mine")) == before


CODES = [
    ("001.Black_footed_Albatross", "002.Laysan_Albatross"),
    ("n02085620-Chihuahua", "n02085782-Japanese_spaniel"),
    ("0.0", "1.0"),
    ("class_03", "class_04"),
    ("01_cat", "02_dog"),
    ("c0", "c1"),
    ("cat_01", "dog_02"),
]


@pytest.mark.parametrize("labels", CODES)
def test_names_that_are_codes_or_hold_them_get_a_notice(build, make_images, tmp_path, labels, capsys):
    make_images("mine", dict.fromkeys(labels, 4))
    build("ImageFolder", directory="mine")
    name = labels[0].replace("_", " ")
    assert f'notice: class names are "{name}" and so on, which tell CLIP little' in capsys.readouterr().out
    rows = [f"{label}/image_000{n}.jpg,{label}" for label in labels for n in (1, 2, 3, 4)]
    (tmp_path / "mine/list.csv").write_text("\n".join(["path,label", *rows]))
    build("ImageList", LIST="mine/list.csv")
    assert "which tell CLIP little" in capsys.readouterr().out


@pytest.mark.parametrize("labels", [("polar_bear", "7up"), ("Boeing_747", "A320"), ("3D_printer", "2CV", "01_cat")])
def test_names_with_a_number_in_them_are_no_codes(build, make_images, labels, capsys):
    make_images("mine", dict.fromkeys(labels, 4))
    build("ImageFolder", directory="mine")
    assert "tell CLIP little" not in capsys.readouterr().out
