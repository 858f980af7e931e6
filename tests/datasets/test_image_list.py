import errno
import json
import random

import pytest

SIZES = {"cat": 10, "polar_bear": 10}


@pytest.fixture
def images(make_images):
    """The folder `mine` with `<class>/image_0001.jpg` and so on."""
    return make_images("mine", SIZES)


@pytest.fixture
def rows():
    """[path, label, split] of all these images: 7 of each class for train, 3 for test."""
    return [
        [f"{label}/image_{n:04d}.jpg", label, "train" if n <= 7 else "test"]
        for label, size in SIZES.items()
        for n in range(1, size + 1)
    ]


@pytest.fixture
def build_list(images, build):
    """Write a list as `name` into the folder of the images and build the dataset."""

    def build_list(content, name="mine.csv", **keys):
        content = content if isinstance(content, bytes) else content.encode()
        (images / name).write_bytes(content)
        return build("ImageList", LIST=f"mine/{name}", **keys)

    return build_list


def csv_text(rows, header="path,label,split"):
    return "\n".join([header, *(",".join(row) for row in rows), ""])


def sizes(dataset):
    return [len(part) for part in (dataset.train_x, dataset.val, dataset.test)]


# What is read


def test_a_list_with_splits_is_used_as_it_is(build_list, rows, images, as_lists):
    rows = [[path, label, {"image_0007.jpg": "val"}.get(path.partition("/")[2], part)] for path, label, part in rows]
    dataset = build_list(csv_text(rows))
    assert dataset.classnames == ["cat", "polar bear"]
    assert sizes(dataset) == [12, 2, 6]
    names = {"cat": "cat", "polar_bear": "polar bear"}
    expected = [[path, list(SIZES).index(label), names[label]] for path, label, part in rows if part == "test"]
    assert as_lists(dataset)[2] == expected
    assert [path.name for path in images.iterdir() if path.suffix == ".json"] == []


def test_without_val_a_fifth_of_train_serves_where_val_is_used(build_list, rows):
    assert sizes(build_list(csv_text(rows))) == [14, 0, 6]
    assert sizes(build_list(csv_text(rows), model="best_val")) == [12, 2, 6]


def test_the_order_of_the_lines_does_not_matter(build_list, rows):
    split_hash = build_list(csv_text(rows), shots=2).split_hash
    shuffled = random.Random(3).sample(rows, len(rows))
    assert build_list(csv_text(shuffled), shots=2).split_hash == split_hash
    unsplit = [row[:2] for row in shuffled]
    assert build_list(csv_text(unsplit, "path,label"), shots=2).split_hash != split_hash


def test_forms_of_a_list_that_say_the_same(build_list, rows, tmp_path):
    def objects(*keys):
        return [dict(zip(keys, row, strict=True)) for row in rows]

    given = [[path, list(SIZES).index(label), label.replace("_", " ")] for path, label, _ in rows]
    parts = {
        part: [entry for entry, row in zip(given, rows, strict=True) if row[2] == part] for part in ("train", "test")
    }
    turned = [[part.upper(), "someone, somewhere", label, path] for path, label, part in rows]
    forms = [
        ("a.csv", csv_text(rows)),
        ("b.CSV", "\r\n".join(";".join(f'"{field}" ' if field == "cat" else f'"{field}"' for field in row)
                              for row in [["path", "label", "split"], *rows]).replace('" ', '"')),
        ("c.csv", b"\xef\xbb\xbf" + csv_text(rows, "Path, LABEL ,Split").encode()),
        ("d.tsv", csv_text(rows).replace(",", "\t") + "\t\t\n\n"),
        ("e.csv", csv_text([['"' + field + '"' for field in row] for row in turned], "split,who,label,file_name")),
        ("f.csv", csv_text([[str(tmp_path / "mine" / row[0]), *row[1:]] for row in rows])),
        ("g.json", json.dumps(objects("path", "label", "split"))),
        ("h.jsonl", "\n".join(map(json.dumps, objects("file_name", "label", "split"))) + "\n\n"),
        ("i.json", json.dumps({**parts, "val": []})),
    ]  # fmt: skip
    hashes = {name: build_list(text, name).split_hash for name, text in forms}
    assert len(set(hashes.values())) == 1, hashes


@pytest.mark.parametrize("words", [("training", "validation", "testing"), ("Train", "dev", "EVAL")])
def test_parts_may_have_the_names_that_others_use(build_list, rows, words):
    rows[0][2] = "val"
    of = dict(zip(("train", "val", "test"), words, strict=True))
    assert sizes(build_list(csv_text([[*row[:2], of[row[2]]] for row in rows]))) == [13, 1, 6]


@pytest.mark.parametrize("header", ["path,label", "path,label,split"])
def test_without_a_split_the_list_is_split_as_a_folder_is(build_list, build, rows, images, capsys, header):
    text = csv_text([[*row[:2], ""][: header.count(",") + 1] for row in rows], header)
    dataset = build_list(text, "pets.csv")
    assert sizes(dataset) == [10, 4, 6]
    assert str(images / "split_pets.json") in capsys.readouterr().out
    assert build_list(text, "pets.csv", seed=2).split_hash == dataset.split_hash
    assert capsys.readouterr().out == ""
    assert build("ImageFolder", directory="mine").split_hash == dataset.split_hash


def test_numbers_are_sorted_as_numbers_and_named_in_a_file(build_list, make_images, images, capsys):
    make_images("mine", {str(n): 4 for n in (10, 9, 2)})
    rows = [f"{label}/image_{n:04d}.jpg,{label}" for label in (10, 9, 2) for n in range(1, 5)]
    text = "\n".join(["path,label", *rows])
    assert build_list(text).classnames == ["2", "9", "10"]
    assert "tell CLIP little" in capsys.readouterr().out
    entries = [
        dict(zip(("path", "label"), (path, int(label)), strict=True)) for path, label in (r.split(",") for r in rows)
    ]
    (images / "classnames.txt").write_text("0 ant\n10 emu\n9,dog\n2\tcat\n")
    assert build_list(json.dumps(entries), "mine.json").classnames == ["cat", "dog", "emu"]


def test_a_label_of_too_many_digits_is_text(build_list, rows):
    labels = {"cat": "9" * 5000, "polar_bear": "10"}
    text = csv_text([[path, labels[label], part] for path, label, part in rows])
    assert [len(name) for name in build_list(text).classnames] == [2, 5000]


def test_names_given_in_a_file_hold_for_a_split_file_too(build_list, build, rows, images, tmp_path):
    build_list(csv_text([row[:2] for row in rows], "path,label"), "pets.csv")
    (tmp_path / "names.txt").write_text("cat moggy\npolar bear ice bear\n")
    dataset = build("ImageList", LIST="mine/split_pets.json", CLASSNAMES="names.txt")
    assert dataset.classnames == ["moggy", "ice bear"]


def test_images_may_lie_elsewhere(build_list, build, rows, images, tmp_path):
    split_hash = build_list(csv_text(rows)).split_hash
    (tmp_path / "lists").mkdir()
    (images / "mine.csv").rename(tmp_path / "lists/mine.csv")
    assert build("ImageList", LIST="lists/mine.csv", directory="mine").split_hash == split_hash
    assert build("ImageList", LIST=tmp_path / "lists/mine.csv", directory=images, root="/x").split_hash == split_hash


def test_a_moved_list_keeps_its_split(build_list, build, rows, images, tmp_path):
    split_hash = build_list(csv_text([row[:2] for row in rows], "path,label"), shots=2).split_hash
    images.rename(tmp_path / "moved")
    assert build("ImageList", LIST="moved/mine.csv", shots=2).split_hash == split_hash


def test_a_folder_that_cannot_be_written_to_will_do(build_list, rows, images, monkeypatch, capsys):
    def refuse(source, target):
        raise OSError(errno.EROFS, "Read-only file system", target)

    text = csv_text([row[:2] for row in rows], "path,label")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        split_hash = build_list(text).split_hash
    assert "notice: the split is not saved" in capsys.readouterr().out
    assert build_list(text).split_hash == split_hash


def test_editing_the_list_after_it_was_split_is_noticed(build_list, rows, images, user_error, capsys):
    rows = [row[:2] for row in rows]
    build_list(csv_text(rows[1:], "path,label"))
    capsys.readouterr()
    build_list(csv_text(rows, "path,label"))
    assert "1 image(s) came after" in capsys.readouterr().out
    message = user_error(build_list, csv_text(rows[2:], "path,label"))
    assert "lists 1 image(s) that are missing" in message and f"delete {images / 'split_mine.json'}" in message


def test_a_class_that_lost_its_training_images_since_the_split_is_named(build_list, rows, images, user_error):
    build_list(csv_text([row[:2] for row in rows], "path,label"))
    test = {path for path, _, _ in json.loads((images / "split_mine.json").read_text())["test"]}
    relabelled = [[path, "lynx" if path in test and label == "cat" else label] for path, label, _ in rows]
    message = user_error(build_list, csv_text(relabelled, "path,label"))
    assert 'label "lynx" has no training images' in message and f"delete {images / 'split_mine.json'}" in message


def test_a_class_without_test_images_gets_a_notice(build_list, rows, make_images, capsys):
    make_images("mine", {"zebra": 1})
    build_list(csv_text([*rows, ["zebra/image_0001.jpg", "zebra", "train"]]))
    assert 'no test images for 1 class(es), the first is "zebra"' in capsys.readouterr().out


# Mistakes


def changed(rows, number, *fields):
    return [list(fields) if position == number else row for position, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        (["cat/image_0001.jpg", "cat", "trian"], ["line 4", '"trian"', 'did you mean "train"']),
        (["cat/image_0003.jpg", "cat", ""], ["line 4 has no split", "line 2"]),
        (["", "cat", "train"], ["line 4 has no path"]),
        (["cat/image_0001.jpg", " ", "train"], ["line 4 has no label"]),
        (["cat/image_0001.jpg", "train"], ["line 4 has 2 field(s)", "3"]),
        (["cat/image,0001.jpg", "cat", "train"], ["line 4 has 4 field(s)", "3"]),
        (["cat/image_0001.jpg", "cat", "test"], ["line 2 and line 4", "mine/cat/image_0001.jpg"]),
        (["polar_bear/../cat/image_0001.jpg", "polar_bear", "train"], ["line 2 and line 4", "cat/image_0001.jpg"]),
        (['"cat/image_0003.jpg', "cat", "train"], ["line 4", "quotes"]),
        (['"cat"/image_0003.jpg', "cat", "train"], ["line 4", "quotes"]),
        (["cat/image_0003.jpg", "Polar Bear", "train"], ['"Polar Bear"', '"polar_bear"', "one class"]),
        (["cat/image_0003.jpg", "_", "train"], ["line 4", "empty name"]),
        (["cat", "cat", "train"], ["lists 1 image(s)", "mine/cat:"]),
        (["cat/image_0003.jpg", "emu", "test"], ['class "emu" has no images in train']),
    ],
)
def test_a_wrong_line_is_named(build_list, rows, user_error, fields, parts):
    message = user_error(build_list, csv_text(changed(rows, 2, *fields)))
    assert "ImageList" in message or "mine/mine.csv" in message
    for part in parts:
        assert part in message


def test_missing_images_are_counted_and_three_are_named(build_list, rows, images, user_error):
    for number in range(1, 6):
        (images / f"cat/image_{number:04d}.jpg").unlink()
    message = user_error(build_list, csv_text(rows))
    assert "mine.csv lists 5 image(s) that are missing" in message and "DATASET.DIR" in message
    assert message.count(".jpg") == 3 and ", ..." in message


def test_paths_written_on_windows_are_told_apart_from_other_missing_ones(build_list, rows, user_error):
    backslashes = [[row[0].replace("/", "\\"), *row[1:]] for row in rows]
    assert 'write "/" for each "\\"' in user_error(build_list, csv_text(backslashes))
    assert "\\" not in user_error(build_list, csv_text([["gone.jpg", *row[1:]] for row in rows[:1]] + rows[1:]))


@pytest.mark.parametrize("label, near", [("polar_beer", 'did you mean "polar_bear"'), ("emu", "add")])
def test_a_label_outside_the_class_list_is_named(build_list, rows, images, user_error, label, near):
    (images / "classnames.txt").write_text("cat,cat\npolar_bear,polar bear\n")
    rows = [row for row in rows if row[1] == "cat"] + [[row[0], label, row[2]] for row in rows if row[1] != "cat"]
    message = user_error(build_list, csv_text(rows))
    assert f'mine.csv, line 12: label "{label}" has no line in {images / "classnames.txt"}' in message
    assert near in message


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("mine.csv", "", "is empty"),
        ("mine.csv", "\n\n", "is empty"),
        ("mine.csv", "path,label\n", "lists no images"),
        ("mine.csv", "image,label\na.jpg,cat\n", "no column path"),
        ("mine.csv", "path,lable\na.jpg,cat\n", 'no column label (did you mean "lable"?)'),
        ("mine.csv", "a.jpg,cat\n", '"a.jpg,cat"'),
        ("mine.csv", "path,file_name,label\na.jpg,a.jpg,cat\n", "two columns path"),
        ("mine.csv", b"path,label\ncaf\xe9.jpg,cat\n", "not UTF-8"),
        ("mine.csv", "path,label\n".encode("utf-16"), "not UTF-8"),
        ("mine.json", "", "line 1: not valid JSON"),
        ("mine.json", '[{"path": "a.jpg", "label": "cat"},\n{"path"]', "line 2: not valid JSON"),
        ("mine.json", "[" * 100_000, "nested too deeply"),
        ("mine.json", "[]", "lists no images"),
        ("mine.json", '{"images": []}', "expected"),
        ("mine.json", '["a.jpg"]', "entry 1: expected"),
        ("mine.json", '[{"path": "a.jpg"}]', "entry 1 has no label"),
        ("mine.json", '[{"path": "a.jpg", "label": 1.5}]', "entry 1: label is 1.5"),
        ("mine.json", '[{"path": "a.jpg", "label": true}]', "entry 1: label is True"),
        ("mine.json", '[{"path": ["a.jpg"], "label": 1}]', "entry 1: path is ['a.jpg']"),
        ("mine.json", '[{"path": "a\\udce9.jpg", "label": "cat"}]', "entry 1: path 'a\\udce9.jpg' is not UTF-8"),
        ("mine.json", '{"train": [["a.jpg", 0, "cat"]]}', "not a split file"),
        ("mine.jsonl", '{"path": "a.jpg", "label": "cat"}\nnothing\n', "line 2: not valid JSON"),
        ("mine.txt", "a.jpg cat\n", ".csv, .tsv, .json, .jsonl"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_is_named(build_list, user_error, name, text, part):
    message = user_error(build_list, text, name)
    assert f"mine/{name}" in message and part in message


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_split_is_named(build_list, rows, user_error, part):
    message = user_error(build_list, csv_text([row for row in rows if row[2] != part]))
    assert f"mine.csv lists no {part} images" in message


def test_one_class_is_not_enough(build_list, rows, user_error):
    assert "two or more classes" in user_error(build_list, csv_text([row for row in rows if row[1] == "cat"]))


def test_a_class_that_is_too_small_to_be_split_is_named(build_list, rows, user_error, images):
    message = user_error(build_list, csv_text([row[:2] for row in rows[:13]], "path,label"))
    assert 'line 12: label "polar_bear" has 3 image(s), 4 or more' in message
    assert not (images / "split_mine.json").exists()


def test_an_image_that_a_split_file_lists_twice_is_named(build_list, user_error):
    entries = [[f"{label}/image_0001.jpg", number, label] for number, label in enumerate(SIZES)]
    message = user_error(build_list, json.dumps({"train": entries, "val": [], "test": entries[:1]}), "mine.json")
    assert "cat/image_0001.jpg twice" in message


def test_no_list_a_missing_one_and_a_missing_folder_are_named(build, build_list, rows, user_error, tmp_path):
    assert "DATASET.LIST is empty" in user_error(build, "ImageList")
    message = user_error(build, "ImageList", LIST="mine/yours.csv")
    assert f"DATASET.LIST {tmp_path / 'mine/yours.csv'} is no file" in message
    message = user_error(build_list, csv_text(rows), directory="elsewhere")
    assert f"DATASET.DIR {tmp_path / 'elsewhere'} is no folder" in message


@pytest.mark.parametrize("name", ["mine.csv", "mine.json"])
def test_an_image_of_a_format_that_is_not_read_is_told_before_any_work(name, build_list, rows, images, user_error):
    rows[-1][0] = "polar_bear/image.jp2"
    (images / rows[-1][0]).touch()
    parts = {
        part: [[path, label == "cat", label] for path, label, of in rows if of == part] for part in ("train", "test")
    }
    content = csv_text(rows) if name == "mine.csv" else json.dumps({**parts, "val": []})
    message = user_error(build_list, content, name)
    assert "polar_bear/image.jp2 is JPEG 2000, which is not read here: save it as PNG or JPEG" in message
    assert str(images / name) in message and ("line 21" in message) == (name == "mine.csv")


# Lists that say it a little otherwise


@pytest.mark.parametrize("separator", [", ", " , ", ";", " ; "])
def test_spaces_around_quoted_fields_do_not_count(build_list, rows, separator):
    expected = build_list(csv_text(rows), shots=2).split_hash
    quoted = [separator.join(f'"{field}"' for field in row) for row in [["path", "label", "split"], *rows]]
    assert build_list("\n".join(quoted), shots=2).split_hash == expected


def test_spaces_inside_of_quotes_stay(build_list, images, rows, make_images):
    make_images("mine", {"cat": ['a "b" ,c" .jpg']})
    rows.append(['"cat/a ""b"" ,c"" .jpg" ', "cat", "train"])
    assert any('a "b" ,c" .jpg' in item.impath for item in build_list(csv_text(rows)).train_x)


def test_ids_without_suffix_are_read_as_the_images_there_and_told(build_list, rows, capsys):
    expected = build_list(csv_text(rows)).split_hash
    capsys.readouterr()
    ids = [[path.removesuffix(".jpg"), *rest] for path, *rest in rows]
    assert build_list(csv_text(ids)).split_hash == expected
    out = capsys.readouterr().out
    assert "20 path(s) have no suffix" in out and '"image_0001" and so on are read as "image_0001.jpg"' in out


def test_a_suffix_in_other_case_is_the_same_and_told(build_list, rows, capsys):
    upper = [[path.replace(".jpg", ".JPG"), *rest] for path, *rest in rows]
    assert sum(sizes(build_list(csv_text(upper)))) == 20
    assert '"image_0001.JPG" and so on are read as "image_0001.jpg"' in capsys.readouterr().out


def test_an_id_of_two_images_is_refused_with_both(build_list, rows, make_images, user_error):
    make_images("mine", {"cat": ["image_0001.png"]})
    message = user_error(build_list, csv_text([["cat/image_0001", *rows[0][1:]], *rows[1:]]))
    assert "lists 1 image(s)" in message and "or write image_0001.jpg, image_0001.png, which is there" in message


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("cat/IMAGE_0001.jpg", "image_0001.jpg"),
        ("cat/image_0001.png", "image_0001.jpg"),
        ("/home/someone/photos/cat/image_0001.jpg", "cat/image_0001.jpg"),
        ("mine/cat/image_0001.jpg", "cat/image_0001.jpg"),
        ("deeper/image_0001.jpg", "cat/deeper/image_0001.jpg"),
    ],
)
def test_what_is_like_a_missing_image_is_named(build_list, make_images, rows, user_error, written, there):
    make_images("mine/cat", {"deeper": 1})
    message = user_error(build_list, csv_text(changed(rows, 0, written, *rows[0][1:])))
    assert "lists 1 image(s) that are missing" in message and f"or write {there}, which is there" in message


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ("id,label,split", 'no column path (rename "id" to path?)'),
        ("path,breed,split", 'no column label (rename "breed" to label?)'),
    ],
)
def test_a_column_under_another_name_is_pointed_to(build_list, rows, user_error, header, advice):
    assert advice in user_error(build_list, csv_text(rows, header))


def test_a_split_under_another_name_is_not_passed_over_without_a_word(build_list, rows, capsys):
    assert sizes(build_list(csv_text(rows, "path,label,subset"), "pets.csv")) == [10, 4, 6]
    assert 'the column "subset" is not used: rename it to split' in capsys.readouterr().out


NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(("written", "there"), [(NFC, NFD), (NFD, NFC)])
def test_names_of_a_mac_meet_their_list(build_list, make_images, rows, user_error, written, there):
    make_images("mine", {there: [f"{there}_{n}.jpg" for n in range(4)]})
    more = [[f"{written}/{written}_{n}.jpg", label, "train"] for n, label in enumerate((NFC, NFD, NFC, NFD))]
    dataset = build_list(csv_text([*rows, *more]))
    assert dataset.classnames == [NFC, "cat", "polar bear"]
    assert sum(sizes(dataset)) == 24
    twice = csv_text([*rows, *more, [f"{there}/{there}_0.jpg", NFC, "test"]])
    assert "list one image" in user_error(build_list, twice)


def test_names_of_a_mac_meet_their_split_file(build_list, make_images):
    make_images("mine", {NFD: [f"{NFD}_{n}.jpg" for n in range(3)]})
    entries = [[f"{NFC}/{NFC}_{n}.jpg", 0, NFC] for n in range(3)]
    bears = [[f"polar_bear/image_000{n}.jpg", 1, "polar bear"] for n in (1, 2)]
    parts = {"train": [entries[0], bears[0]], "val": [entries[1]], "test": [entries[2], bears[1]]}
    assert sizes(build_list(json.dumps(parts), "mine.json")) == [2, 1, 2]
