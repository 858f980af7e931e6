import dataclasses
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from dassl.data.datasets import DATASET_REGISTRY
from datasets.check.inspection import known_names
from datasets.prepare import __main__ as command
from datasets.prepare import archives, layout
from datasets.prepare.archives import unpack
from datasets.sources import SOURCES, Source
from support import verified_download
from tests.datasets.fake_idx import write_fashion_mnist
from tests.datasets.fake_trees import as_lists, make_tree
from tests.file_server import FileServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(verified_download, "_PAUSES", (0, 0, 0, 0))
    with FileServer() as server:
        yield server


# Archives in the layout of the published ones ----------------------------------------------------------------------


def packed_tar(entries, mode="w:gz"):
    """A .tar of {name in it: path, or content}."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, content in entries.items():
            if isinstance(content, bytes):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.add(content, name)
    return file.getvalue()


def packed_zip(entries):
    """A .zip of {name in it: path, or content}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, content in entries.items():
            if isinstance(content, bytes):
                zipped.writestr(name, content)
                continue
            for path in sorted(content.rglob("*")):
                zipped.write(path, f"{name}/{path.relative_to(content)}".lstrip("/"))
    return file.getvalue()


def published(name, root):
    """{name of a file: its content} as the data set `name` is published, from its folder under `root`."""
    folder = root / DATASET_REGISTRY.get(known_names()[name]).dataset_dir
    if name == "caltech101":
        images = packed_tar({"101_ObjectCategories": folder / "101_ObjectCategories"})
        entries = {
            "caltech-101/101_ObjectCategories.tar.gz": images,
            "caltech-101/Annotations.tar": b"",
            "__MACOSX/._": b"",
        }
        return {"caltech-101.zip": packed_zip(entries)}
    if name == "dtd":
        return {
            "dtd-r1.0.1.tar.gz": packed_tar({"dtd": folder, "dtd/imdb/imdb.mat": b"", "dtd/labels/train1.txt": b""})
        }
    if name == "eurosat":
        return {"EuroSAT.zip": packed_zip({"2750": folder / "2750"})}
    if name == "fashion_mnist":
        return {path.name: path.read_bytes() for path in folder.glob("*.gz")}
    if name == "fgvc_aircraft":
        entries = {"fgvc-aircraft-2013b/data": folder, "fgvc-aircraft-2013b/README.html": b""}
        return {"fgvc-aircraft-2013b.tar.gz": packed_tar(entries)}
    if name == "food101":
        return {"food-101.tar.gz": packed_tar({"food-101": folder, "food-101/README.txt": b""})}
    if name == "oxford_flowers":
        labels = (folder / "imagelabels.mat").read_bytes()
        return {"102flowers.tgz": packed_tar({"jpg": folder / "jpg"}), "imagelabels.mat": labels}
    if name == "oxford_pets":
        return {f"{part}.tar.gz": packed_tar({part: folder / part}) for part in ("images", "annotations")}
    if name == "stanford_cars":
        tars = {"cars_train.tgz": "cars_train", "cars_test.tgz": "cars_test", "car_devkit.tgz": "devkit"}
        labels = "cars_test_annos_withlabels.mat"
        return {tar: packed_tar({part: folder / part}) for tar, part in tars.items()} | {
            labels: (folder / labels).read_bytes()
        }
    if name == "sun397":
        lists = {path.name: path.read_bytes() for path in folder.glob("*.txt")}
        return {"SUN397.tar.gz": packed_tar({"SUN397": folder / "SUN397"}), "Partitions.zip": packed_zip(lists)}
    if name == "imagenetv2":
        images = "imagenetv2-matched-frequency-format-val"
        return {"imagenetv2-matched-frequency.tar.gz": packed_tar({images: folder / images}, "w")}
    if name == "imagenet_sketch":
        return {"ImageNet-Sketch.zip": packed_zip({"sketch": folder / "images"})}
    letter = name.removeprefix("imagenet_")
    return {f"imagenet-{letter}.tar": packed_tar({f"imagenet-{letter}": folder / f"imagenet-{letter}"}, "w")}


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def publish(server, monkeypatch):
    """Put `{file: content}` on the server as the archives of a data set, with their hashes in the table."""

    def publish(name, contents):
        def served(archive):
            content = contents[archive.name]
            url = server.url(archive.name) if archive.url else ""
            return dataclasses.replace(archive, url=url, digest=digest_of(content), size=len(content))

        server.files.update(contents)
        source = SOURCES[name]
        source = dataclasses.replace(source, archives=tuple(map(served, source.archives)))
        monkeypatch.setitem(SOURCES, name, source)
        return source

    return publish


@pytest.fixture
def original(tmp_path):
    """Make the folder of a data set as it should be, and return its data root."""

    def original(name):
        root = tmp_path / "original"
        if name == "imagenetv2":  # the usual tree has 1,000 folders
            make_tree("ImageNetSketch", root)
            (root / "imagenet-sketch").rename(root / "imagenetv2")
            images = root / "imagenetv2/imagenetv2-matched-frequency-format-val"
            (root / "imagenetv2/images").rename(images)
            for place, folder in enumerate(sorted(images.iterdir())):
                folder.rename(images / str(place))
        elif name == "fashion_mnist":  # which is no dataset of CoOp's, as those of the trees are
            write_fashion_mnist(root / name)
        else:
            make_tree(known_names()[name], root)
        return root

    return original


@pytest.fixture
def dtd(original, publish):
    root = original("dtd")
    publish("dtd", published("dtd", root))
    return root / "dtd"


@pytest.fixture
def prepare(tmp_path):
    """Run the command's function with `tmp_path/data` as data root."""

    def prepare(name, keep_archives=False, root=tmp_path / "data"):
        return command.prepare(name, str(root), keep_archives, scheme="http")

    return prepare


def tree(folder):
    """{path: content} of all files under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def top(root):
    return sorted(os.listdir(root))


# Laying out --------------------------------------------------------------------------------------------------------

FETCHED = [name for name, source in SOURCES.items() if source.archives]


@pytest.mark.parametrize("name", FETCHED)
def test_each_data_set_is_laid_out_as_its_class_reads_it(name, original, publish, prepare, build, tmp_path, server):
    first, root = original(name), tmp_path / "data"
    contents = published(name, first)
    source = publish(name, contents)
    for archive in source.archives:
        if not archive.url:
            path = root / "downloads" / name / archive.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[archive.name])
    dataset_dir = DATASET_REGISTRY.get(known_names()[name]).dataset_dir
    # files that no archive holds are brought by hand, here before the images
    for path in source.by_hand:
        if (first / dataset_dir / path).is_file():
            (root / dataset_dir).mkdir(parents=True, exist_ok=True)
            shutil.copy(first / dataset_dir / path, root / dataset_dir / path)
    if name.startswith("imagenet"):
        (root / "imagenet").mkdir(parents=True)
        shutil.copy(first / dataset_dir / "classnames.txt", root / "imagenet")
    assert prepare(name)
    made, wanted = tree(root / dataset_dir), tree(first / dataset_dir)
    assert {path: made.get(path) for path in wanted if path != "classnames.txt"} == {
        path: content for path, content in wanted.items() if path != "classnames.txt"
    }
    of_class = known_names()[name]
    assert as_lists(build(of_class, root=root), root) == as_lists(build(of_class, root=first), first)
    # nothing is left over, and nothing is fetched again
    assert not list(root.rglob(".*"))
    brought = {archive.name for archive in source.archives if not archive.url}
    assert {path.name for path in root.glob("downloads/*/*")} == brought
    assert len(server.requests) == len(source.archives) - len(brought)
    server.requests.clear()
    assert prepare(name)
    assert server.requests == []


def test_the_report_shows_what_is_there_and_what_is_to_be_brought(dtd, prepare, capsys, tmp_path):
    prepare("dtd")
    printed = capsys.readouterr().out
    assert "dtd         incomplete" in printed
    assert str(tmp_path / "data/dtd/split_zhou_DescribableTextures.json") in printed and "drive.google.com" in printed


def test_archives_are_kept_on_demand_and_used_again(dtd, prepare, tmp_path, server):
    prepare("dtd", keep_archives=True)
    archive = tmp_path / "data/downloads/dtd/dtd-r1.0.1.tar.gz"
    assert archive.read_bytes() == server.files["dtd-r1.0.1.tar.gz"]
    shutil.rmtree(tmp_path / "data/dtd")
    prepare("dtd")
    assert len(server.requests) == 1 and archive.exists()


def test_only_what_is_missing_is_fetched_and_nothing_is_overwritten(original, publish, prepare, tmp_path, server):
    first = original("oxford_pets")
    publish("oxford_pets", published("oxford_pets", first))
    folder = tmp_path / "data/oxford_pets"
    shutil.copytree(first / "oxford_pets/images", folder / "images")
    (folder / "images/Abyssinian_1.jpg").write_bytes((folder / "images/Bengal_1.jpg").read_bytes() + b"mine")
    (folder / "notes.txt").write_text("mine")
    before = tree(folder)
    prepare("oxford_pets")
    assert [name for name, _ in server.requests] == ["annotations.tar.gz"]
    after = tree(folder)
    assert {path: after[path] for path in before} == before
    assert "annotations/trainval.txt" in after


def test_files_beside_a_missing_one_stay_as_they_are(original, publish, prepare, tmp_path):
    first = original("fgvc_aircraft")
    publish("fgvc_aircraft", published("fgvc_aircraft", first))
    folder = tmp_path / "data/fgvc_aircraft"
    shutil.copytree(first / "fgvc_aircraft", folder)
    (folder / "images_variant_test.txt").unlink()
    variants = (folder / "variants.txt").read_text() + "My Variant\n"
    (folder / "variants.txt").write_text(variants)
    prepare("fgvc_aircraft")
    assert (folder / "variants.txt").read_text() == variants
    assert (folder / "images_variant_test.txt").exists()


def test_a_data_set_folder_may_be_a_link(dtd, prepare, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dtd").symlink_to(tmp_path / "disk")
    prepare("dtd")
    assert top(tmp_path / "disk") == ["images", "imdb", "labels"]


@pytest.mark.parametrize("place", ["dtd", "dtd/images"])
def test_a_link_that_leads_nowhere_is_left_alone(dtd, prepare, user_error, tmp_path, place):
    link = tmp_path / "data" / place
    link.parent.mkdir(parents=True)
    link.symlink_to("nowhere")
    assert str(link) in user_error(prepare, "dtd")
    assert os.readlink(link) == "nowhere"


def test_an_archive_that_was_brought_must_be_the_published_one(dtd, prepare, user_error, tmp_path, server):
    archive = tmp_path / "data/downloads/dtd/dtd-r1.0.1.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"another file")
    message = user_error(prepare, "dtd")
    assert str(archive) in message and hashlib.sha256(b"another file").hexdigest() in message
    assert archive.read_bytes() == b"another file" and server.requests == []


def test_cars_are_laid_out_as_far_as_they_were_brought(original, publish, prepare, tmp_path, capsys):
    contents = published("stanford_cars", original("stanford_cars"))
    publish("stanford_cars", contents)
    downloads = tmp_path / "data/downloads/stanford_cars"
    downloads.mkdir(parents=True)
    (downloads / "cars_train.tgz").write_bytes(contents["cars_train.tgz"])
    prepare("stanford_cars")
    assert top(tmp_path / "data/stanford_cars") == ["cars_train"]
    printed = capsys.readouterr().out
    assert "cars_test.tgz" in printed and str(downloads) in printed and "cars_train.tgz (" not in printed


def test_two_runs_at_once_fetch_once(dtd, server, tmp_path):
    root, errors = tmp_path / "data", []

    def run():
        try:
            layout.lay_out("dtd", SOURCES["dtd"], str(root), str(root / "dtd"), scheme="http")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == [] and len(server.requests) == 1
    assert top(root) == ["dtd"]


# Being stopped -----------------------------------------------------------------------------------------------------


def test_a_run_stopped_before_the_move_leaves_no_data_and_goes_on_without_network(dtd, prepare, tmp_path, server):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(layout, "_move", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
        prepare("dtd")
    assert top(tmp_path / "data") == ["downloads"]
    server.requests.clear()
    prepare("dtd")
    assert server.requests == [] and top(tmp_path / "data") == ["dtd"]


def test_a_run_killed_while_it_moved_several_things_is_completed(dtd, prepare, tmp_path, server):
    (tmp_path / "data/dtd").mkdir(parents=True)  # so that its contents are moved one by one
    rename, moved = os.rename, []

    def killed_after_one(source, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(os.path.basename(target))
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "rename", killed_after_one)
        prepare("dtd")
    assert moved != ["images"]  # which tells that all is there
    prepare("dtd")
    assert top(tmp_path / "data/dtd") == ["images", "imdb", "labels"]
    assert len(server.requests) == 1


@pytest.mark.parametrize("place", [".dtd.unpacking", "dtd/.dtd.unpacking"])
def test_what_a_killed_run_left_is_cleared(dtd, prepare, tmp_path, place):
    leftover = tmp_path / "data" / place / "images/banded/half.jpg"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    (tmp_path / "data/.dtd.lock").touch()
    prepare("dtd")
    assert not list((tmp_path / "data").rglob(".*")) and not list((tmp_path / "data").rglob("half.jpg"))


def test_a_download_that_broke_is_continued_by_the_next_call(dtd, prepare, user_error, tmp_path, server):
    server.drops = [1000] + [0] * 10
    assert "goes on" in user_error(prepare, "dtd")
    assert top(tmp_path / "data") == ["downloads"]
    server.drops, server.requests = [], []
    prepare("dtd")
    assert server.requests == [("dtd-r1.0.1.tar.gz", "bytes=1000-")]


# What is refused ---------------------------------------------------------------------------------------------------


def member(name, **attributes):
    info = tarfile.TarInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


IMAGE = b"an image"
BAD_TAR_MEMBERS = {
    "above": member("dtd/../../evil"),
    "absolute": member("/tmp/evil"),
    "drive": member("C:/evil"),
    "backslash": member("dtd\\..\\evil"),
    "symbolic link": member("dtd/images/evil", type=tarfile.SYMTYPE, linkname="/etc"),
    "symbolic link inside": member("dtd/images/evil", type=tarfile.SYMTYPE, linkname="banded"),
    "hard link": member("dtd/evil", type=tarfile.LNKTYPE, linkname="/etc/hostname"),
    "device": member("dtd/evil", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "pipe": member("dtd/evil", type=tarfile.FIFOTYPE),
    "outside of what is taken": member("evil/link", type=tarfile.SYMTYPE, linkname=".."),
}
BAD_ZIP_NAMES = {"above": "2750/../../evil", "absolute": "/tmp/evil", "backslash": "2750\\..\\evil", "drive": "C:evil"}


def bad_tar(bad):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        good = member("dtd/images/banded/image_0001.jpg", size=len(IMAGE))
        tar.addfile(good, io.BytesIO(IMAGE))
        tar.addfile(bad)
    return file.getvalue()


def nothing_came(root, refused, message, name, archive):
    assert archive in message and name in message.replace("\\\\", "\\")
    assert not [path for path in root.rglob("*") if "evil" in path.name or path.suffix == ".jpg"]
    assert top(root / "data") == ["downloads"] and not (root / "data" / refused).exists()
    assert not os.path.exists("/tmp/evil")


@pytest.mark.parametrize("kind", BAD_TAR_MEMBERS)
def test_a_tar_with_a_member_that_may_do_harm_is_refused_whole(kind, publish, prepare, user_error, tmp_path):
    bad = BAD_TAR_MEMBERS[kind]
    publish("dtd", {"dtd-r1.0.1.tar.gz": bad_tar(bad)})
    nothing_came(tmp_path, "dtd", user_error(prepare, "dtd"), bad.name, "dtd-r1.0.1.tar.gz")


def bad_zip(bad, mode=stat.S_IFREG):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("2750/Forest/Forest_1.jpg", IMAGE)
        info = zipfile.ZipInfo("placeholder")
        info.filename, info.create_system, info.external_attr = bad, 3, (mode | 0o777) << 16
        zipped.writestr(info, b"/etc")
    return file.getvalue()


@pytest.mark.parametrize("kind", BAD_ZIP_NAMES)
def test_a_zip_with_a_name_that_leads_out_is_refused_whole(kind, publish, prepare, user_error, tmp_path):
    publish("eurosat", {"EuroSAT.zip": bad_zip(BAD_ZIP_NAMES[kind])})
    nothing_came(tmp_path, "eurosat", user_error(prepare, "eurosat"), BAD_ZIP_NAMES[kind], "EuroSAT.zip")


def test_a_zip_with_a_member_without_a_name_is_unpacked_without_it(tmp_path):
    (tmp_path / "a.zip").write_bytes(bad_zip(""))
    unpack(str(tmp_path / "a.zip"), str(tmp_path / "out"), "a.zip")
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["Forest_1.jpg"]


def test_a_tar_with_a_folder_that_has_the_name_of_a_file(tmp_path):
    folder = tarfile.TarInfo("2750/Forest/Forest_1.jpg")
    folder.type = tarfile.DIRTYPE
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        file = tarfile.TarInfo(folder.name)
        file.size = len(IMAGE)
        tar.addfile(file, io.BytesIO(IMAGE))
        tar.addfile(folder)
    unpack(str(tmp_path / "a.tar"), str(tmp_path / "out"), "a.tar")
    assert (tmp_path / "out" / folder.name).read_bytes() == IMAGE


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_zip_with_a_link_or_device_is_refused_whole(mode, publish, prepare, user_error, tmp_path):
    publish("eurosat", {"EuroSAT.zip": bad_zip("2750/evil", mode)})
    nothing_came(tmp_path, "eurosat", user_error(prepare, "eurosat"), "2750/evil", "EuroSAT.zip")


def test_an_archive_within_an_archive_is_checked_too(publish, prepare, user_error, tmp_path):
    inner = bad_tar(member("101_ObjectCategories/evil", type=tarfile.SYMTYPE, linkname="/etc"))
    outer = {"caltech-101.zip": packed_zip({"caltech-101/101_ObjectCategories.tar.gz": inner})}
    publish("caltech101", outer)
    message = user_error(prepare, "caltech101")
    assert "101_ObjectCategories.tar.gz" in message
    nothing_came(tmp_path, "caltech-101", message, "101_ObjectCategories/evil", "caltech-101.zip")
    publish("caltech101", {"caltech-101.zip": bad_zip("../evil")})
    shutil.rmtree(tmp_path / "data")
    nothing_came(tmp_path, "caltech-101", user_error(prepare, "caltech101"), "../evil", "caltech-101.zip")


@pytest.mark.parametrize("limit, value", [("MOST_MEMBERS", 3), ("MOST_BYTES", 1000)])
def test_an_archive_that_grows_too_large_is_refused(dtd, prepare, user_error, tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(archives, limit, value)
    assert "refused" in user_error(prepare, "dtd")
    assert top(tmp_path / "data") == ["downloads"]


@pytest.mark.parametrize("share", [0.3, 0.95])
@pytest.mark.parametrize("name", ["dtd", "eurosat", "imagenet_a"])  # .tar.gz, .zip, .tar
def test_a_truncated_archive_is_damaged(name, share, original, publish, prepare, user_error, tmp_path):
    contents = published(name, original(name))
    file, content = next(iter(contents.items()))
    content = content.rstrip(b"\0") if file.endswith(".tar") else content  # the end of a .tar is filled up
    publish(name, {file: content[: int(len(content) * share)]})
    message = user_error(prepare, name)
    assert file in message and "damaged" in message
    assert top(tmp_path / "data") == ["downloads"]


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"PK\x03\x04", bytes(2048)])
def test_a_file_that_is_no_archive(content, publish, prepare, user_error, tmp_path):
    publish("dtd", {"dtd-r1.0.1.tar.gz": content})
    assert "dtd-r1.0.1.tar.gz" in user_error(prepare, "dtd")
    assert top(tmp_path / "data") == ["downloads"]


@pytest.mark.parametrize(
    "entries",
    [{"other/images/a.jpg": IMAGE}, {"dtd/labels/train1.txt": IMAGE}, {"dtd/images": IMAGE, "dtd/images/a": IMAGE}],
)
def test_an_archive_with_another_layout_is_not_laid_out(entries, publish, prepare, user_error, tmp_path):
    publish("dtd", {"dtd-r1.0.1.tar.gz": packed_tar(entries)})
    assert "dtd-r1.0.1.tar.gz" in user_error(prepare, "dtd")
    assert top(tmp_path / "data") == ["downloads"]


def test_odd_names_are_unpacked(publish, tmp_path):
    """A name that is not UTF-8, a name twice (the last counts), names with "./", an empty folder."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        for name, content in (
            ("./dtd/images/caf\xe9.jpg", b"1"),
            ("dtd/images/twice", b"2"),
            ("dtd/images/twice", b"3"),
        ):
            tar.addfile(member(name, size=1), io.BytesIO(content))
        tar.addfile(member("dtd/empty", type=tarfile.DIRTYPE))
    publish("dtd", {"dtd-r1.0.1.tar.gz": file.getvalue()})
    layout.lay_out("dtd", SOURCES["dtd"], str(tmp_path), str(tmp_path / "dtd"), scheme="http")
    assert {
        name: Path(os.fsdecode(tmp_path), "dtd/images", os.fsdecode(name)).read_bytes()
        for name in os.listdir(os.fsencode(tmp_path / "dtd/images"))
    } == {b"caf\xe9.jpg": b"1", b"twice": b"3"}


def test_a_wrong_hash_leaves_nothing(dtd, prepare, user_error, tmp_path, server):
    wanted = SOURCES["dtd"].archives[0].digest.removeprefix("sha256:")
    server.files["dtd-r1.0.1.tar.gz"] = bytes(len(server.files["dtd-r1.0.1.tar.gz"]))
    message = user_error(prepare, "dtd")
    assert wanted in message and server.url("dtd-r1.0.1.tar.gz") in message
    assert top(tmp_path / "data") == []


@pytest.mark.parametrize("share", [0.5, 1.5])  # of twice the archive, which is what is needed
def test_a_full_disk_is_told_before_anything_is_fetched(dtd, prepare, user_error, tmp_path, server, monkeypatch, share):
    free = int(share * len(server.files["dtd-r1.0.1.tar.gz"]))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "free")(free))
    assert "GB free" in user_error(prepare, "dtd")
    assert server.requests == [] and top(tmp_path / "data") == []


def test_a_root_that_cannot_be_written(dtd, prepare, user_error, tmp_path, server):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in user_error(prepare, "dtd", root=tmp_path / "file/data")
    assert server.requests == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_root(dtd, prepare, user_error, tmp_path, server):
    (tmp_path / "data").mkdir(mode=0o555)
    assert str(tmp_path / "data") in user_error(prepare, "dtd")
    assert server.requests == []


# The table ---------------------------------------------------------------------------------------------------------


def test_the_table_is_complete():
    for name, source in SOURCES.items():
        dataset = DATASET_REGISTRY.get(known_names()[name])
        assert dataset.published
        if dataset.in_coops_paper and dataset.split_file:
            assert dataset.split_file in source.by_hand
        for archive in source.archives:
            kind, value = archive.digest.split(":")
            assert len(bytes.fromhex(value)) == {"sha256": 32, "md5": 16}[kind]
            assert archive.url.startswith("https://") or (not archive.url and source.note)
            assert archive.size > 0 and archive.gives
    assert {name for name, of in known_names().items() if DATASET_REGISTRY.get(of).published} == set(SOURCES)


# The command -------------------------------------------------------------------------------------------------------


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "datasets.prepare", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_without_network_the_command_says_so_in_a_line(tmp_path):
    proxy = "http://127.0.0.1:9"  # nobody listens there
    done = run("dtd", "--root", tmp_path / "data", https_proxy=proxy, HTTPS_PROXY=proxy, no_proxy="", NO_PROXY="")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "dtd-r1.0.1.tar.gz" in done.stderr and "Traceback" not in done.stderr
    assert top(tmp_path / "data") == []


def test_one_that_fails_does_not_stop_the_next(publish, original, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "prepare", lambda name, *args: prepare_only_dtd(name))
    asked = []

    def prepare_only_dtd(name):
        asked.append(name)
        if name != "dtd":
            raise command.DataError(f"{name} fails")
        return True

    assert command.main(["eurosat", "DTD", "DescribableTextures"]) == 1
    assert asked == ["eurosat", "dtd"] and capsys.readouterr().err == "error: eurosat fails\n"


@pytest.mark.parametrize(
    "names, part", [(["dtdd"], '"dtd"'), (["dtd", "nowhere"], "nowhere"), (["digits"], "needs no preparation")]
)
def test_names_that_cannot_be_prepared(names, part, capsys, tmp_path):
    assert command.main([*names, "--root", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert part in error and error.count("\n") == 1
    assert top(tmp_path) == []


@pytest.mark.parametrize(
    "name, parts",
    [
        ("imagenet", ["ILSVRC2012_img_train.tar", "classnames.txt", "account"]),
        ("ucf101", ["UCF-101-midframes.zip", "split_zhou_UCF101.json"]),
        ("stanford_cars", ["cars_train.tgz", "512b227b30e2", "downloads/stanford_cars", "no longer"]),
    ],
)
def test_what_cannot_be_fetched_is_told(name, parts, capsys, tmp_path):
    assert command.main([name, "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(part in printed for part in parts) and "missing" in printed
    assert top(tmp_path) == []


def test_a_data_set_without_archives_needs_no_folder(tmp_path):
    layout.lay_out("any", Source(), str(tmp_path / "data"), str(tmp_path / "data/any"))
    assert top(tmp_path) == []
