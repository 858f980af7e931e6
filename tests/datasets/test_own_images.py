import pytest

from datasets.own_images import FEWEST_TO_SPLIT, read_class_names
from datasets.splits import ListedImage, split_classes
from user_error import UserError

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
