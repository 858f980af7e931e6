"""`python -m datasets.prepare NAME --from huggingface`, from a Hub on this machine."""

import io
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from dassl.data.datasets import DATASET_REGISTRY
from datasets.check import __main__ as check
from datasets.check.inspection import known_names, located, published_names, resolve
from datasets.hub_copies import HUB_COPIES, REPOSITORY
from datasets.prepare import __main__ as command
from datasets.splits import write_split
from support import verified_download
from tests.datasets.fake_hub import COMMIT, FakeHub
from tests.datasets.fake_trees import as_lists, make_tree

ROOT = Path(__file__).parents[2]
SMALL = ["dtd", "fgvc_aircraft", "imagenet_r", "stanford_cars"]  # one of each kind


@pytest.fixture
def hub(monkeypatch):
    """The Hub; whatever huggingface_hub asks goes there."""
    for name in ("HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(verified_download, "_PAUSES", (0, 0, 0, 0))
    with FakeHub() as hub:
        point_to(hub.endpoint, monkeypatch)
        yield hub


def point_to(endpoint, monkeypatch):
    """As HF_ENDPOINT does when huggingface_hub is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    huggingface_hub.close_session()


@pytest.fixture
def original(tmp_path):
    """Make the folder of a dataset as it should be, with a split file where CoOp has one; returns its data root."""

    def original(name):
        root = tmp_path / "original"
        if not root.exists():
            root.mkdir()
        make_tree(known_names()[name], root)
        dataset = located(resolve(name, str(root))[1])
        if dataset.split_file and not os.path.exists(dataset.split_path):
            write_split(dataset.whole_split(), dataset.split_path, dataset.image_dir)
        return root

    return original


def files_of(name, root):
    """{path in the dataset's folder: content}"""
    return tree(root / dataset_dir(name))


def dataset_dir(name):
    return DATASET_REGISTRY.get(known_names()[name]).dataset_dir


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def zipped(entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def placed(folder, files):
    return {f"{folder}/{path}": content for path, content in files.items()}


def publish(hub, name, entries):
    content = entries if isinstance(entries, bytes) else zipped(entries)
    hub.files[f"{REPOSITORY}/{HUB_COPIES[name].file}"] = content
    return content


def prepare(*words, root, code=0):
    """Run the command; returns the files under the data root."""
    assert command.main([*words, "--from", "huggingface", "--root", str(root)]) == code
    return tree(root) if root.exists() else {}


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    return error


# Layouts -----------------------------------------------------------------------------------------------------------

JUNK = {
    "__MACOSX/x/._images": b"junk",
    "x/.DS_Store": b"junk",
    "x/._README": b"junk",
    "x/split_fewshot/shot_1-seed_1.pkl": b"a pickle",
    "README.md": b"# of the repository",
}


def one_folder(name, files):
    return placed(dataset_dir(name), files)


def flat(name, files):
    return files


def nested(name, files):
    return placed(f"mnt/hdd/DATA/{dataset_dir(name)}", files)


def macos(name, files):
    junk = {path.replace("x/", f"{dataset_dir(name)}/"): content for path, content in JUNK.items()}
    copies = {f"__MACOSX/{dataset_dir(name)}/{path}": b"junk" for path in files}
    return {**copies, **junk, **one_folder(name, files)}


LAYOUTS = [one_folder, flat, nested, macos]


@pytest.mark.parametrize("name", HUB_COPIES)
def test_each_of_the_fourteen_is_laid_out_as_its_class_reads_it(name, hub, original, build, tmp_path):
    first, root = original(name), tmp_path / "data"
    files = files_of(name, first)
    publish(hub, name, one_folder(name, files))
    assert prepare(name, root=root) == placed(dataset_dir(name), files)
    of_class = known_names()[name]
    assert as_lists(build(of_class, root=root), root) == as_lists(build(of_class, root=first), first)
    # nothing is left over, and nothing is asked for again
    assert sorted(path.name for path in root.iterdir()) == [dataset_dir(name)]
    hub.requests.clear()
    prepare(name, root=root)
    assert hub.requests == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SMALL)
def test_the_folder_is_found_wherever_it_is_in_the_archive(name, layout, hub, original, tmp_path):
    files = files_of(name, original(name))
    publish(hub, name, layout(name, files))
    assert prepare(name, root=tmp_path / "data") == placed(dataset_dir(name), files)


def test_a_split_file_outside_of_the_folder_is_put_into_it(hub, original, tmp_path):
    files = files_of("dtd", original("dtd"))
    split = files.pop("split_zhou_DescribableTextures.json")
    publish(hub, "dtd", {**placed("a/dtd", files), "b/split_zhou_DescribableTextures.json": split})
    made = prepare("dtd", root=tmp_path / "data")
    assert made == placed("dtd", {**files, "split_zhou_DescribableTextures.json": split})


@pytest.mark.parametrize(
    "name, folder", [("eurosat", "EuroSAT_RGB"), ("imagenet_sketch", "sketch"), ("imagenetv2", "val"), ("eurosat", "")]
)
def test_images_in_a_folder_of_another_name_come_alone(name, folder, hub, original, tmp_path):
    files = files_of(name, original(name))
    images = DATASET_REGISTRY.get(known_names()[name]).image_subdir
    moved = {path.replace(f"{images}/", f"{folder}/".lstrip("/"), 1): content for path, content in files.items()}
    publish(hub, name, {**moved, f"{folder}/notes.txt".lstrip("/"): b"of the copy"})
    assert prepare(name, root=tmp_path / "data") == placed(dataset_dir(name), files)


def test_the_split_says_which_of_two_folders_it_is(hub, original, tmp_path):
    files = files_of("dtd", original("dtd"))
    half = {path: content for path, content in files.items() if "bumpy" not in path and not path.endswith("json")}
    publish(hub, "dtd", {**placed("a", half), **placed("dtd", files)})
    assert prepare("dtd", root=tmp_path / "data") == placed("dtd", files)


def test_what_is_there_stays_as_it_is_and_what_is_missing_comes(hub, original, tmp_path):
    files = files_of("dtd", original("dtd"))
    publish(hub, "dtd", one_folder("dtd", files))
    shutil.copytree(tmp_path / "original/dtd/images", tmp_path / "data/dtd/images")
    mine = files["images/banded/image_0001.jpg"] + b"mine"
    (tmp_path / "data/dtd/images/banded/image_0001.jpg").write_bytes(mine)
    made = prepare("dtd", root=tmp_path / "data")
    assert made.pop("dtd/images/banded/image_0001.jpg") == mine
    assert made.items() < placed("dtd", files).items() and "dtd/split_zhou_DescribableTextures.json" in made


def test_archives_are_kept_on_demand_and_used_again(hub, original, tmp_path):
    content = publish(hub, "dtd", one_folder("dtd", files_of("dtd", original("dtd"))))
    assert prepare("dtd", "--keep-archives", root=tmp_path / "data")["downloads/dtd/dtd.zip"] == content
    shutil.rmtree(tmp_path / "data/dtd")
    hub.requests.clear()
    assert "dtd/images/banded/image_0001.jpg" in prepare("dtd", root=tmp_path / "data")
    assert [name for name, _ in hub.requests] == [f"list of {REPOSITORY}"]


def test_the_table_names_what_the_classes_read():
    for name, copy in HUB_COPIES.items():
        dataset = DATASET_REGISTRY.get(known_names()[name])
        assert not dataset.split_file or dataset.split_file in copy.needs
        assert dataset.image_subdir in (".", *copy.needs)
    assert HUB_COPIES.keys() | {"imagenet"} == set(published_names())


@pytest.mark.parametrize("name", ["sun397", "ucf101", "imagenet_a"])
def test_check_says_how_to_fetch_what_is_missing(name, tmp_path, capsys):
    check.main([name, "--root", str(tmp_path)])
    printed = capsys.readouterr().out
    assert f"python -m datasets.prepare {name} --from huggingface --root {tmp_path}" in printed
    assert "SUN397.tar.gz" not in printed or "reported dead" in printed


# All of them, sizes and room ---------------------------------------------------------------------------------------


@pytest.fixture
def fourteen(hub, original):
    """All fourteen are published, small; ImageNetV2's thousand folders are packed without images of most."""
    sizes = {}
    for name in HUB_COPIES:
        sizes[name] = len(publish(hub, name, one_folder(name, files_of(name, original(name)))))
    return sizes


def test_all_lists_sizes_asks_once_and_lays_out_fourteen(fourteen, hub, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *args: pytest.fail("it asks"))
    prepare("all", root=tmp_path / "data")
    printed = capsys.readouterr().out
    for name, size in fourteen.items():
        assert f"{name} " in printed and f"{size / 1e6:.1f} MB" in printed
    assert f"to fetch: {sum(fourteen.values()) / 1e6:.1f} MB" in printed
    listed = [name for name, _ in hub.requests if name.startswith("list")]
    assert listed == [f"list of {REPOSITORY}"] == [hub.requests[0][0]] and len(hub.requests) == 15
    assert {path.name for path in (tmp_path / "data").iterdir()} == {dataset_dir(name) for name in HUB_COPIES}


@pytest.mark.parametrize("share", [0.5, 1.02])
def test_no_room_for_all_is_told_before_anything_is_fetched(share, hub, original, tmp_path, monkeypatch, capsys):
    sizes = [len(publish(hub, name, one_folder(name, files_of(name, original(name))))) for name in ("dtd", "eurosat")]
    free = int(share * sum(sizes))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "free")(free))
    assert prepare("dtd", "eurosat", root=tmp_path / "data", code=1) == {}
    assert "GB free, but laying all of it out needs" in one_line(capsys)
    assert [name for name, _ in hub.requests] == [f"list of {REPOSITORY}"]


def test_one_that_fails_does_not_stop_the_next(hub, original, tmp_path, capsys):
    publish(hub, "eurosat", {"eurosat/notes.txt": b""})
    publish(hub, "dtd", one_folder("dtd", files_of("dtd", original("dtd"))))
    made = prepare("eurosat", "dtd", root=tmp_path / "data", code=1)
    assert "it holds no split_zhou_EuroSAT.json" in one_line(capsys)
    assert "dtd/split_zhou_DescribableTextures.json" in made


# What is refused ---------------------------------------------------------------------------------------------------


def without(files, part):
    return {path: content for path, content in files.items() if part not in path}


REFUSED = {
    "another data set": ("dtd", lambda files: {"a/cat/1.jpg": b"", "a/split_zhou_EuroSAT.json": b""}, "it holds no"),
    "no images": ("dtd", lambda files: without(files, ".jpg"), "no folder of it holds all: 131 are in none"),
    "an image lost": ("dtd", lambda files: without(files, "bumpy/image_0003"), "1 are in none, bumpy/image_0003.jpg"),
    "no split": ("dtd", lambda files: without(files, "split_zhou"), "it holds no split_zhou_DescribableTextures.json"),
    "an empty split": (
        "dtd",
        lambda files: {**files, "split_zhou_DescribableTextures.json": b'{"train": [], "val": [], "test": []}'},
        "split_zhou_DescribableTextures.json lists no images",
    ),
    "no JSON": (
        "dtd",
        lambda files: {**files, "split_zhou_DescribableTextures.json": b"{"},
        "split_zhou_DescribableTextures.json is not a split file",
    ),
    "a list of images lost": ("fgvc_aircraft", lambda files: without(files, "_val"), "it has no folder that holds"),
    "an image of a list lost": (
        "fgvc_aircraft",
        lambda files: {path: content for number, (path, content) in enumerate(sorted(files.items())) if number},
        "cannot be read",
    ),
    "no classes": ("imagenet_a", lambda files: {"imagenet-a/cat/1.jpg": b""}, "named as ImageNet's classes"),
    "in two folders": (
        "dtd",
        lambda files: {
            **{f"a/{path}": content for path, content in without(files, "bumpy").items()},
            **{f"b/{path}": content for path, content in files.items() if "bumpy" in path},
        },
        "are in several folders",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_archive_that_does_not_match_is_refused_in_one_line_and_nothing_is_written(
    kind, hub, original, tmp_path, capsys
):
    name, change, told = REFUSED[kind]
    publish(hub, name, change(files_of(name, original(name))))
    made = prepare(name, root=tmp_path / "data", code=1)
    error = one_line(capsys)
    archive = f"downloads/{name}/{HUB_COPIES[name].file}.fetched"
    assert told in error and archive in error
    assert list(made) == [archive]


@pytest.mark.parametrize("bad", ["dtd/../../evil", "/tmp/evil", "dtd\\evil"])
def test_an_archive_that_may_do_harm_is_refused(bad, hub, original, tmp_path, capsys):
    publish(hub, "dtd", {**one_folder("dtd", files_of("dtd", original("dtd"))), bad: b"evil"})
    made = prepare("dtd", root=tmp_path / "data", code=1)
    assert "dtd.zip is refused" in one_line(capsys) and list(made) == ["downloads/dtd/dtd.zip.fetched"]
    assert not list(tmp_path.rglob("evil")) and not os.path.exists("/tmp/evil")


def test_an_archive_with_a_link_is_refused(hub, original, tmp_path, capsys):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path, content in one_folder("dtd", files_of("dtd", original("dtd"))).items():
            archive.writestr(path, content)
        link = zipfile.ZipInfo("dtd/evil")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
    publish(hub, "dtd", file.getvalue())
    prepare("dtd", root=tmp_path / "data", code=1)
    assert "is a symbolic link" in one_line(capsys) and not (tmp_path / "data/dtd").exists()


def test_a_wrong_hash_leaves_nothing(hub, original, tmp_path, capsys):
    publish(hub, "dtd", one_folder("dtd", files_of("dtd", original("dtd"))))
    hub.promised[f"{REPOSITORY}/dtd.zip"] = "1" * 64
    assert prepare("dtd", root=tmp_path / "data", code=1) == {}
    error = one_line(capsys)
    assert "1" * 64 in error and f"{hub.endpoint}/{REPOSITORY}/resolve/{COMMIT}/dtd.zip" in error


def test_a_file_that_the_repository_lacks_or_has_no_hash_of(hub, original, tmp_path, capsys):
    publish(hub, "dtd", one_folder("dtd", files_of("dtd", original("dtd"))))
    assert prepare("dtd", "sun397", root=tmp_path / "data", code=1) == {}
    assert "has no sun397.zip: get sun397 in another way" in one_line(capsys)
    hub.plain.add(f"{REPOSITORY}/dtd.zip")
    assert prepare("dtd", root=tmp_path / "data", code=1) == {}
    assert "has no hash of its dtd.zip" in one_line(capsys)


@pytest.mark.parametrize("gone", ["repository", "network"])
def test_a_hub_that_cannot_be_asked_is_told_at_once(gone, hub, tmp_path, monkeypatch, capsys):
    if gone == "network":
        point_to("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"it waits {seconds} s"))
    assert prepare("dtd", root=tmp_path / "data", code=1) == {}
    error = one_line(capsys)
    assert "cannot list" in error and REPOSITORY in error and "HF_ENDPOINT" in error
    assert ("refused" if gone == "network" else "correct the name") in error


@pytest.mark.parametrize(
    "words, told",
    [
        (["imagenet"], '"imagenet" is not in the repository of --from huggingface'),
        (["dtd", "fashion_mnist"], '"fashion_mnist" is not in the repository'),
        (["digits"], '"digits" needs no preparation'),
        (["dtdd"], '(did you mean "dtd"?)'),
        (["all", "dtd"], '"all" is neither a data set nor a path'),
    ],
)
def test_names_that_the_repository_does_not_have_are_mistakes(words, told, hub, tmp_path, capsys):
    assert prepare(*words, root=tmp_path / "data", code=2) == {}
    assert told in one_line(capsys) and hub.requests == []


def test_another_origin_is_a_mistake(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["dtd", "--from", "hugingface"])
    assert stopped.value.code == 2 and "choose from" in one_line(capsys)


# Processes: HF_ENDPOINT, and being killed --------------------------------------------------------------------------


def start(hub, root, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "datasets.prepare", *words, "--from", "huggingface", "--root", str(root)],
        cwd=ROOT,
        env={**os.environ, "HF_ENDPOINT": hub.endpoint, "no_proxy": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_call_goes_on_where_it_was_by_the_mirror_that_hf_endpoint_names(hub, original, tmp_path):
    files, root = files_of("dtd", original("dtd")), tmp_path / "data"
    files["labels/large.bin"] = os.urandom(3 << 20)
    content = publish(hub, "dtd", one_folder("dtd", files))
    partial = root / "downloads/dtd/dtd.zip.fetched.part"
    hub.stops_at = 2 << 20
    killed = start(hub, root, "dtd")
    wait_for(lambda: partial.exists() and partial.stat().st_size >= 1 << 20)
    killed.kill()
    killed.communicate(timeout=60)
    came = partial.stat().st_size
    assert not (root / "dtd").exists() and partial.read_bytes() == content[:came]
    hub.stops_at = None
    hub.requests.clear()
    again = start(hub, root, "dtd")
    printed, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert hub.requests[-1] == (f"{REPOSITORY}/dtd.zip", f"bytes={came}-")
    assert tree(root).keys() - {f"dtd/{path}" for path in files} <= {".dtd.lock"}  # the killed run's
    assert tree(root / "dtd") == files and "dtd" in printed


def wait_for(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
