import json
import os

import pytest

from datasets import splits
from datasets.splits import ListedImage


def items_of(classes):
    """Make a list of `{class name: number of images}`, labels in the given order; there are no such files."""
    return [
        ListedImage(f"/images/{name}/{number}.jpg", label, classname=name)
        for label, (name, count) in enumerate(classes.items())
        for number in range(count)
    ]


def counts(items):
    labels = [item.label for item in items]
    return {label: labels.count(label) for label in labels}


def test_split_file_survives_a_round_trip_to_another_folder(tmp_path, make_images):
    split = tuple(items_of({"cat": 2, "dog": 1}) for _ in splits.PARTS)
    path = str(tmp_path / "split.json")
    splits.write_split(split, path, "/images")
    assert json.load(open(path))["val"] == [["cat/0.jpg", 0, "cat"], ["cat/1.jpg", 0, "cat"], ["dog/0.jpg", 1, "dog"]]
    assert os.listdir(tmp_path) == ["split.json"]
    moved = str(make_images("moved", {"cat": ["0.jpg", "1.jpg"], "dog": ["0.jpg"]}))
    read = splits.read_split(path, moved)
    assert [item.impath for item in read[0]] == [f"{moved}/cat/0.jpg", f"{moved}/cat/1.jpg", f"{moved}/dog/0.jpg"]
    assert [(item.label, item.classname) for item in read[2]] == [(0, "cat"), (0, "cat"), (1, "dog")]


def test_a_listed_image_that_is_missing_is_named(tmp_path, make_images, user_error):
    folder = str(make_images("images", {"cat": ["0.jpg", "1.jpg"]}))
    path = str(tmp_path / "split.json")
    splits.write_split(tuple(items_of({"cat": count}) for count in (1, 2, 3)), path, "/images")
    message = user_error(splits.read_split, path, folder)
    assert path in message and f"{folder}/cat/2.jpg" in message


@pytest.mark.parametrize("path", ["../secret.jpg", "cat/../../secret.jpg", "/secret.jpg"])
def test_a_split_file_may_not_lead_out_of_its_image_folder(path, tmp_path, make_images, user_error):
    folder = str(make_images("images", {"cat": ["0.jpg"]}))
    (tmp_path / "secret.jpg").touch()
    path = path if path[0] == "." or path[0] == "c" else f"{tmp_path}{path}"
    entries = [["cat/0.jpg", 0, "cat"]]
    (tmp_path / "split.json").write_text(json.dumps({"train": [[path, 0, "cat"]], "val": entries, "test": entries}))
    message = user_error(splits.read_split, str(tmp_path / "split.json"), folder)
    assert "split.json" in message and "secret.jpg" in message and "outside of" in message
    assert splits.read_split(str(tmp_path / "split.json"), folder, anywhere=True)  # a person's own list may


def test_an_absolute_path_into_the_image_folder_is_read(tmp_path, make_images):
    folder = str(make_images("images", {"cat": ["0.jpg"]}))
    entries = [[f"{folder}/cat/0.jpg", 0, "cat"], ["cat/./0.jpg", 0, "cat"], ["cat/../cat/0.jpg", 0, "cat"]]
    (tmp_path / "split.json").write_text(json.dumps({"train": entries, "val": [], "test": []}))
    assert len(splits.read_split(str(tmp_path / "split.json"), folder)[0]) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"train": [["a.jpg", 0, "cat"]',
        "[]",
        '{"train": [], "val": []}',
        '{"train": [["a.jpg", 0]], "val": [], "test": []}',
        '{"train": [["a.jpg", "x", "cat"]], "val": [], "test": []}',
        '{"train": [["a.jpg", 0, null]], "val": [], "test": []}',
        '{"train": [[1, 0, "cat"]], "val": [], "test": []}',
        '{"train": [["a.jpg", 0.7, "cat"]], "val": [], "test": []}',
        '{"train": [["a.jpg", Infinity, "cat"]], "val": [], "test": []}',
        '{"train": [["a.jpg", NaN, "cat"]], "val": [], "test": []}',
        '{"train": [["a.jpg", -1, "cat"]], "val": [], "test": []}',
        '{"train": [["a.jpg", 0, " _"]], "val": [], "test": []}',
        '{"train": [["a.jpg", 0, "\\ud800"]], "val": [], "test": []}',
        '{"train": [3], "val": [], "test": []}',
        '{"train": null, "val": [], "test": []}',
    ],
)
def test_a_broken_split_file_is_named(tmp_path, user_error, text):
    path = tmp_path / "split_broken.json"
    path.write_text(text)
    message = user_error(splits.read_split, str(path), "/images")
    assert str(path) in message and "missing" not in message


def test_split_hash_ignores_where_the_data_are_and_sees_every_field():
    split = (items_of({"cat": 2, "dog": 2}), [], items_of({"cat": 1, "dog": 1}))
    moved = tuple([ListedImage("/moved" + i.impath, i.label, classname=i.classname) for i in part] for part in split)
    reference = splits.split_hash(split, "/images")
    assert splits.split_hash(moved, "/moved/images") == reference
    renamed = (*split[:2], [ListedImage(i.impath, i.label, classname=i.classname + "s") for i in split[2]])
    relabelled = (*split[:2], [ListedImage(i.impath, 1 - i.label, classname=i.classname) for i in split[2]])
    others = [renamed, relabelled, (split[0], split[2], []), (split[0][::-1], *split[1:])]
    assert splits.split_hash((split[0], None, split[2]), "/images") == reference, "no val is an empty val"
    assert len({reference, *(splits.split_hash(other, "/images") for other in others)}) == 5


def test_split_classes_cuts_each_class_50_20_30_and_uses_every_image_once():
    cats, dogs = items_of({"cat": 10}), items_of({"dog": 20})
    split = splits.split_classes([cats, dogs])
    assert [len(part) for part in split] == [5 + 10, 2 + 4, 3 + 6]
    assert sorted(i.impath for part in split for i in part) == sorted(i.impath for i in cats + dogs)
    assert cats == sorted(cats, key=lambda item: item.impath), "the caller's list was shuffled"


def test_split_classes_names_a_class_with_too_few_images(user_error):
    assert splits.split_classes([items_of({"cat": 4})])
    message = user_error(splits.split_classes, [items_of({"cat": 4}), items_of({"emu": 3})])
    assert '"emu" has 3 images' in message and "50/20/30" in message


def test_split_off_val_takes_a_fifth_of_each_class_and_nothing_from_tiny_classes():
    train, val = splits.split_off_val(items_of({"cat": 10, "dog": 5, "emu": 2}))
    assert counts(train) == {0: 8, 1: 4, 2: 2}
    assert counts(val) == {0: 2, 1: 1}


def test_few_shot_keeps_small_classes_whole_and_caps_val_at_four():
    train, val = items_of({"cat": 20, "emu": 3}), items_of({"cat": 9, "emu": 2})
    few_train, few_val = splits.sample_few_shot(train, val, 16, seed=1)
    assert counts(few_train) == {0: 16, 1: 3}
    assert counts(few_val) == {0: 4, 1: 2}
    assert counts(splits.sample_few_shot(train, val, 2, seed=1)[1]) == {0: 2, 1: 2}


@pytest.mark.parametrize("shots", [0, -1])
def test_few_shot_below_one_keeps_everything(shots):
    train, val = items_of({"cat": 20}), items_of({"cat": 9})
    assert splits.sample_few_shot(train, val, shots, seed=1) == (train, val)


def test_few_shot_depends_on_the_seed_and_a_negative_seed_is_none():
    def paths(seed):
        return [item.impath for item in splits.sample_few_shot(items_of({"cat": 500}), [], 100, seed)[0]]

    assert paths(1) == paths(1)
    assert paths(1) != paths(2)
    assert paths(-1) != paths(-1)


@pytest.mark.parametrize("number, base", [(2, 1), (5, 3), (10, 5)])
def test_base_and_new_divide_the_classes_and_are_labelled_from_zero(number, base):
    items = items_of({f"class {n}": 2 for n in range(number)})[::-1]
    (of_base,), (of_new,) = (splits.subsample_classes([items], which) for which in ("base", "new"))
    assert {(i.label, i.classname) for i in of_base} == {(n, f"class {n}") for n in range(base)}
    assert {(i.label, i.classname) for i in of_new} == {(n - base, f"class {n}") for n in range(base, number)}
    assert splits.subsample_classes([items], "all") == [items]


def test_subsample_keeps_the_domain():
    items = [ListedImage(impath="a", label=label, domain=3, classname=str(label)) for label in range(2)]
    assert splits.subsample_classes([items], "new")[0][0].domain == 3


def test_unknown_subsample_suggests_the_nearest(user_error):
    message = user_error(splits.subsample_classes, [items_of({"cat": 1})], "bas")
    assert "SUBSAMPLE_CLASSES" in message and '"base"' in message


def test_no_new_class_of_one(user_error):
    assert "SUBSAMPLE_CLASSES new" in user_error(splits.subsample_classes, [items_of({"cat": 1})], "new")


def test_check_split_names_what_is_wrong(user_error):
    both = items_of({"cat": 1, "dog": 1})
    splits.check_split((both, [], both), "Pets")
    assert '"dog" has no images in train' in user_error(splits.check_split, (both[:1], [], both), "Pets")
    assert '"dog" has no images in train' in user_error(splits.check_split, (both[:1], both, both[:1]), "Pets")
    assert "no test images" in user_error(splits.check_split, (both, [], []), "Pets")
    assert "no training images" in user_error(splits.check_split, ([], both, both), "Pets")
    namesakes = [*items_of({"cat": 1}), ListedImage("b.jpg", 1, classname="cat")]
    assert 'labels 0 and 1 have one class name, "cat"' in user_error(
        splits.check_split, (namesakes, [], namesakes), "Pets"
    )
    splits.check_split((namesakes, [], namesakes), "Pets", names_repeat=True)
    gap = [ListedImage(impath="x.jpg", label=label, classname=str(label)) for label in (0, 2)]
    assert "none is 1" in user_error(splits.check_split, (gap, [], gap), "Pets")
    twice = [*both, ListedImage(impath="second.jpg", label=1, classname="hound")]
    message = user_error(splits.check_split, (twice, [], both), "Pets")
    assert '"dog"' in message and '"hound"' in message and "second.jpg" in message
