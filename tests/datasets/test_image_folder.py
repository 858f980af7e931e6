import errno
import json
import os

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


def test_without_val_a_fifth_of_train_serves_where_val_is_used(parts, build, as_lists):
    for name in PARTS["val"]:
        remove(parts / "val" / name)
    (parts / "val").rmdir()
    dataset = build("ImageFolder", directory="mine", seed=1, model="best_val")
    assert sizes(dataset) == [16, 4, 9]
    assert as_lists(build("ImageFolder", directory="mine", seed=2, model="best_val")) == as_lists(dataset)
    assert sizes(build("ImageFolder", directory="mine")) == [20, 0, 9]


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


def test_images_in_folders_inside_a_class_folder_count_to_the_class(build, make_images, capsys):
    make_images("mine/dog", {".": 2, "puppies": 2, "puppies/asleep": ["b.jpg"], ".cache": 3})
    make_images("mine", {"cat": 5})
    dataset = build("ImageFolder", directory="mine")
    assert dataset.classnames == ["cat", "dog"] and sum(sizes(dataset)) == 10
    assert "3 image(s) lie deeper" in capsys.readouterr().out


@pytest.mark.parametrize(
    "names", [("train", "validation", "test"), ("Training", "dev", "EVAL"), ("train", "valid", "testing")]
)
def test_part_folders_may_have_the_names_that_others_use(parts, build, names):
    for part, name in zip(PARTS, names, strict=True):
        (parts / part).rename(parts / name)
    dataset = build("ImageFolder", directory="mine")
    assert sizes(dataset) == [20, 6, 9]
    assert all(f"/{names[1]}/" in item.impath for item in dataset.val)


def test_two_folders_for_one_part_are_named(parts, build, make_images, user_error):
    make_images("mine/Validation", {"cat": 1})
    message = user_error(build, "ImageFolder", directory="mine")
    assert str(parts / "val") in message and str(parts / "Validation") in message


def test_folders_beside_the_parts_get_a_notice(parts, build, make_images, capsys):
    make_images("mine", {"zebra": 3})
    assert build("ImageFolder", directory="mine").num_classes == 2
    assert "of 4 folders only test, train, val are used" in capsys.readouterr().out


def test_a_moved_folder_has_the_same_split(flat, build, tmp_path, capsys):
    before = build("ImageFolder", directory="mine", shots=3).split_hash
    (tmp_path / "elsewhere").mkdir()
    flat.rename(tmp_path / "elsewhere" / "pets")
    capsys.readouterr()
    assert build("ImageFolder", directory="elsewhere/pets", shots=3).split_hash == before
    assert capsys.readouterr().out == ""


def test_a_folder_that_cannot_be_written_to_is_split_the_same_way_each_time(flat, build, monkeypatch, capsys):
    def refuse(source, target):
        raise OSError(errno.EROFS, "Read-only file system", target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        unsaved = {build("ImageFolder", directory="mine").split_hash for _ in range(2)}
    assert capsys.readouterr().out.count("notice: the split is not saved") == 2
    assert sorted(path.name for path in flat.iterdir()) == ["cat", "polar_bear"]
    assert unsaved == {build("ImageFolder", directory="mine").split_hash}


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
    assert "lists 1 image(s) that are missing" in message and "image_0004.jpg" in message
    assert f"delete {flat / 'split_image_folder.json'} to have the images split anew" in message
    (flat / "split_image_folder.json").unlink()
    assert sum(sizes(build("ImageFolder", directory="mine"))) == 29


def test_many_images_that_are_gone_are_counted_and_three_are_named(flat, build, user_error):
    build("ImageFolder", directory="mine")
    (flat / "cat").rename(flat / "kitten")
    message = user_error(build, "ImageFolder", directory="mine")
    assert "lists 10 image(s) that are missing" in message and message.count(".jpg") == 3


def test_a_later_class_is_named(flat, build, make_images, user_error):
    build("ImageFolder", directory="mine")
    make_images("mine", {"ant": 9})
    message = user_error(build, "ImageFolder", directory="mine")
    assert str(flat / "ant") in message and "delete" in message and "split_image_folder.json" in message


@pytest.mark.parametrize("text", ["", "[]", '{"train": [["cat/image_0001.jpg", 0]], "val": [], "test": []}'])
def test_a_split_file_that_is_none_is_named(flat, build, user_error, text):
    (flat / "split_image_folder.json").write_text(text)
    message = user_error(build, "ImageFolder", directory="mine")
    assert "split_image_folder.json is no split file" in message and "delete" in message


def test_suffixes_count_in_any_case_and_other_files_get_a_notice(build, make_images, capsys):
    images = ["a.jpg", "b.JPEG", "c.Png", "d.webp", "e.BMP", "f.tif", "g.tiff", "h.ppm", "i.PGM"]
    make_images("mine", {"cat": [*images, "notes.txt", ".hidden.jpg"], "dog": 4, ".cache": 3})
    dataset = build("ImageFolder", directory="mine")
    assert sum(sizes(dataset)) == len(images) + 4
    notice = capsys.readouterr().out.splitlines()[0]
    assert "left out 1 file(s)" in notice and "notes.txt" in notice


def test_images_of_formats_that_are_not_read_get_a_notice_each(build, make_images, capsys):
    make_images("mine", {"cat": [*(f"{n}.JFIF" for n in range(4)), "a.CR2", "b.cr2", "c.dcm"], "dog": 4})
    dataset = build("ImageFolder", directory="mine")
    assert len(dataset.train_x) + len(dataset.val) + len(dataset.test) == 8
    notices = capsys.readouterr().out.splitlines()[:2]
    assert notices[0].startswith("notice: 2 image(s) are camera raw, which is not read here: save it as PNG or JPEG (")
    assert notices[0].endswith("; they are left out") and "1 image(s) are DICOM" in notices[1]


def test_a_link_to_nowhere_gets_a_notice(build, make_images, capsys):
    folder = make_images("mine", {"cat": 5, "dog": 4})
    (folder / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    assert sum(sizes(build("ImageFolder", directory="mine"))) == 9
    assert "left out 1 file(s)" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("link", ["mine/train/zebra", "mine/test/cat", "mine/val"])
def test_a_folder_that_is_a_link_to_nowhere_is_named(parts, build, tmp_path, user_error, link):
    path = tmp_path / link
    if path.exists():
        path.rename(tmp_path / "moved")
    path.symlink_to("nowhere")
    assert f"the link {path} leads nowhere" in user_error(build, "ImageFolder", directory="mine")


def test_links_to_class_folders_are_followed(flat, build, tmp_path):
    (tmp_path / "links").mkdir()
    for name in ("cat", "polar_bear"):
        (tmp_path / "links" / name).symlink_to(flat / name)
    assert sum(sizes(build("ImageFolder", directory="links"))) == 30


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_that_leads_back_is_named(flat, build, user_error, target):
    link = flat / "cat" / "again"
    link.symlink_to(target)
    assert f"the link {link} leads back to" in user_error(build, "ImageFolder", directory="mine")


def test_a_link_to_itself_is_named(flat, build, user_error):
    link = flat / "cat" / "again"
    link.symlink_to("again")
    assert f"{link} cannot be followed" in user_error(build, "ImageFolder", directory="mine")


def test_two_links_that_lead_to_each_other_are_named(flat, build, user_error):
    (flat / "cat" / "bear").symlink_to(flat / "polar_bear")
    (flat / "polar_bear" / "cat").symlink_to(flat / "cat")
    message = user_error(build, "ImageFolder", directory="mine")
    assert str(flat / "cat") in message and "link" in message


def test_images_trained_on_are_not_tested_on_through_a_link(parts, build, user_error):
    remove(parts / "test" / "cat")
    (parts / "test" / "cat").symlink_to(parts / "train" / "cat")
    message = user_error(build, "ImageFolder", directory="mine")
    assert str(parts / "test/cat") in message and str(parts / "train/cat") in message


def test_val_may_be_a_link_to_test(parts, build):
    for name in PARTS["val"]:
        remove(parts / "val" / name)
    (parts / "val").rmdir()
    (parts / "val").symlink_to("test")
    assert sizes(build("ImageFolder", directory="mine")) == [20, 9, 9]


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"caf\xe9/a.jpg"])
def test_a_name_that_is_not_utf8_is_named(flat, build, user_error, name):
    path = os.path.join(os.fsencode(flat / "cat"), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").close()
    assert "caf\\xe9" in user_error(build, "ImageFolder", directory="mine")


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


@pytest.mark.parametrize("folders", [("polar bear", "polar_bear"), ("Cat", "cat")])
def test_folders_that_read_as_one_class_are_named(build, make_images, user_error, folders):
    make_images("mine", dict.fromkeys(folders, 4))
    message = user_error(build, "ImageFolder", directory="mine")
    assert all(f"mine/{folder} " in message for folder in folders)


def test_a_class_that_is_too_small_to_be_split_is_named(build, make_images, user_error, tmp_path):
    make_images("mine", {"cat": 9, "polar_bear": 3})
    message = user_error(build, "ImageFolder", directory="mine")
    assert f"class folder {tmp_path / 'mine/polar_bear'} has 3 image(s), 4 or more" in message
    assert not (tmp_path / "mine/split_image_folder.json").exists()


def test_train_without_test_is_not_taken_for_two_classes(build, make_images, user_error):
    for part in ("train", "val"):
        make_images(f"mine/{part}", {"cat": 9, "dog": 9})
    assert "train/ but no test/" in user_error(build, "ImageFolder", directory="mine")


def test_a_class_may_be_called_train(build, make_images):
    make_images("mine", {"train": 4, "tram": 4})
    assert build("ImageFolder", directory="mine").classnames == ["train", "tram"]


def test_a_class_may_be_called_test_or_dev(build, make_images):
    make_images("mine", {"dev": 4, "Test": 4})
    assert build("ImageFolder", directory="mine").classnames == ["Test", "dev"]


@pytest.mark.parametrize("folder", ["mine", "mine/train"])
def test_a_list_of_images_without_class_folders_is_pointed_to(build, make_images, user_error, folder, tmp_path):
    make_images("mine/test", {"cat": 9, "dog": 9})
    path = make_images(folder, {".": ["1.jpg", "metadata.csv"]}) / "metadata.csv"
    if folder == "mine":
        (tmp_path / "mine/test").rename(tmp_path / "other")
    message = user_error(build, "ImageFolder", directory="mine")
    assert "ImageList" in message and str(path) in message


def test_images_without_class_folders_are_told_where_to_go(build, make_images, user_error):
    folder = make_images("mine", {".": 3})
    assert f"into {folder}/<class>/" in user_error(build, "ImageFolder", directory="mine")


def test_test_without_train_is_reported(build, make_images, user_error):
    make_images("mine/test", {"cat": 9, "dog": 9})
    assert "test/ but no train/" in user_error(build, "ImageFolder", directory="mine")


def test_test_images_without_class_folders_are_reported(build, make_images, user_error):
    make_images("mine/train", {"cat": 9, "dog": 9})
    make_images("mine", {"test": 5})
    assert "no class folders" in user_error(build, "ImageFolder", directory="mine")


def test_new_classes_are_the_second_half(parts, build):
    assert build("ImageFolder", directory="mine", subsample="new").classnames == ["polar bear"]


SYSTEM_FOLDERS = ("@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "#recycle")
SYSTEM_FOLDERS += (".ipynb_checkpoints", ".thumbnails", ".Trash-1000", ".@__thumb", "@Recently-Snapshot", "#snapshot")


@pytest.mark.parametrize("where", ["mine", "mine/cat", "mine/polar_bear/deeper"])
def test_folders_of_systems_are_passed_over_among_classes_and_below_them(flat, build, make_images, capsys, where):
    before = build("ImageFolder", directory="mine").split_hash
    make_images(where, {f"{name}/image_0001.jpg": ["SYNOPHOTO_THUMB_M.jpg"] for name in SYSTEM_FOLDERS})
    make_images(where, {".": ["Thumbs.db", ".DS_Store", "._image_0001.jpg", "desktop.ini", "a.jpg@SynoEAStream"]})
    (flat / "split_image_folder.json").unlink()
    capsys.readouterr()
    assert build("ImageFolder", directory="mine").split_hash == before
    assert capsys.readouterr().out.startswith("notice: made the split"), "no word of what is passed over"


@pytest.mark.parametrize("where", ["mine", "mine/train", "mine/test", "mine/val/cat"])
def test_folders_of_systems_are_passed_over_beside_parts_and_in_them(parts, build, make_images, capsys, where):
    make_images(where, dict.fromkeys(SYSTEM_FOLDERS, 2))
    assert sizes(build("ImageFolder", directory="mine")) == [20, 6, 9]
    assert capsys.readouterr().out == ""


def test_a_class_may_be_called_as_a_system_calls_a_folder_in_an_ordinary_word(build, make_images):
    make_images("mine", {"recycled": 4, "thumbs": 4})
    assert build("ImageFolder", directory="mine").classnames == ["recycled", "thumbs"]


def test_a_split_that_lists_thumbnails_of_a_system_is_to_be_made_anew(flat, build, make_images, user_error):
    build("ImageFolder", directory="mine")
    make_images("mine/cat", {"@eaDir": ["thumb.jpg"]})
    split = flat / "split_image_folder.json"
    content = json.loads(split.read_text())
    content["train"].append(["cat/@eaDir/thumb.jpg", 0, "cat"])
    split.write_text(json.dumps(content))
    message = user_error(build, "ImageFolder", directory="mine")
    assert "lists 1 image(s) in folders of systems" in message and f"delete {split}" in message


def test_test_images_alone_serve_a_run_that_only_tests(build, make_images):
    make_images("mine/test", {"ant": 1, "cat": 2, "dog": 3})
    make_images("mine/val", {"cat": 2})
    dataset = build("ImageFolder", directory="mine", only_tested=True, shots=1)
    assert dataset.only_tested and len(dataset.test) == 6 and not dataset.val
    new = build("ImageFolder", directory="mine", only_tested=True, subsample="new")
    assert new.classnames == ["dog"] and len(new.test) == 3


def test_a_class_that_is_called_test_is_no_part_for_a_run_that_only_tests(build, make_images):
    make_images("mine", {"dev": 4, "test": 4})
    assert build("ImageFolder", directory="mine", only_tested=True).classnames == ["dev", "test"]
