"""DATASET.FEW_SHOT_FILE: the training images of a run from a file, by the formats that are published, as typed."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

import benchmark
import train
from tests.datasets.fake_trees import make_tree
from tests.small_data import few_digits

QUICK = ["OPTIM.MAX_EPOCH", "1", "TEST.NO_TEST", "True"]


@pytest.fixture
def dtd(tmp_path, build):
    """A small DTD; returns its folder, and the 2-shot images of seed 5 as drawn here."""
    make_tree("DescribableTextures", tmp_path)
    drawn = build("DescribableTextures", shots=2, seed=5)
    return tmp_path / "dtd", drawn.train_x, drawn.val


def paths(items):
    return [(item.impath, item.label, item.classname) for item in items]


def split_file(train_x, val, folder):
    def part(items):
        return [[os.path.relpath(item.impath, folder / "images"), item.label, item.classname] for item in items]

    return json.dumps({"train": part(train_x), "val": part(val), "test": []})


def theirs(items, prefix="", root="./data"):
    """As other codes list images, with the path of their own machine."""
    return [
        {
            f"{prefix}impath": f"{root}/{item.impath.partition('/dtd/')[2]}".replace(f"{root}/", f"{root}/dtd/"),
            f"{prefix}label": item.label,
            f"{prefix}domain": 0,
            f"{prefix}classname": item.classname,
        }
        for item in items
    ]


def cross_modal(train_x, val, folder):
    return json.dumps({p: {"data": theirs(items), "indices": [0]} for p, items in (("train", train_x), ("val", val))})


def lines(items):
    return "\n".join(json.dumps(record) for record in theirs(items, "_", "/home/others/datasets"))


# Formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [split_file, cross_modal])
def test_json_of_this_project_and_of_cross_modal_adaptation(written, dtd, build, capsys):
    folder, train_x, val = dtd
    (folder / "few.json").write_text(written(train_x, val, folder))
    read = build("DescribableTextures", shots=2, seed=1, FEW_SHOT_FILE="few.json")
    assert paths(read.train_x) == paths(train_x) and paths(read.val) == paths(val)
    assert paths(read.train_x) != paths(build("DescribableTextures", shots=2, seed=1).train_x)
    assert f"trained on the 10 images that {folder / 'few.json'} lists" in capsys.readouterr().out


def test_json_lines_of_2sfs_with_val_beside_them(dtd, build):
    folder, train_x, val = dtd
    (folder / "split_fewshot").mkdir()
    (folder / "split_fewshot/shot_2-seed_1_train.jsonl").write_text(lines(train_x))
    (folder / "split_fewshot/shot_2-seed_1_val.jsonl").write_text(lines(val))
    name = "split_fewshot/shot_{shots}-seed_{seed}_train.jsonl"
    read = build("DescribableTextures", shots=2, seed=1, FEW_SHOT_FILE=name)
    assert paths(read.train_x) == paths(train_x) and paths(read.val) == paths(val)


def test_without_val_images_in_the_file_they_are_drawn_as_always(dtd, build):
    folder, train_x, _ = dtd
    (folder / "few.jsonl").write_text(lines(train_x))
    read = build("DescribableTextures", shots=2, seed=1, FEW_SHOT_FILE="few.jsonl")
    assert paths(read.val) == paths(build("DescribableTextures", shots=2, seed=1).val)


def test_pth_of_lists_and_texts(dtd, build):
    folder, train_x, val = dtd
    torch.save({"train": theirs(train_x), "val": {"data": theirs(val)}}, folder / "few.pth")
    read = build("DescribableTextures", shots=2, seed=1, FEW_SHOT_FILE="few.pth")
    assert paths(read.train_x) == paths(train_x) and paths(read.val) == paths(val)


class Payload:
    def __reduce__(self):
        return Path.touch, (Path("harm"),)


@pytest.mark.parametrize("name", ["shot_2-seed_1.pkl", "few.pth"])
def test_what_would_run_code_is_refused_and_the_line_says_how_to_convert(name, dtd, build, user_error, monkeypatch):
    folder = dtd[0]
    monkeypatch.chdir(folder)
    if name.endswith("pkl"):
        (folder / name).write_bytes(pickle.dumps({"train": [Payload()]}))
    else:
        torch.save({"train": [Payload()]}, folder / name)
    message = user_error(build, "DescribableTextures", shots=2, FEW_SHOT_FILE=name)
    assert str(folder / name) in message and "json.dump(" in message and "same seed draws the same" in message
    assert not (folder / "harm").exists()


class Datum:
    """As Dassl's, for the pickle of CoOp."""

    def __init__(self, impath, label, classname):
        self.impath, self.label, self.classname = impath, label, classname


def test_the_conversion_that_the_line_gives_works(dtd, build, user_error, monkeypatch):
    folder, train_x, val = dtd
    monkeypatch.chdir(folder)
    content = {
        part: [Datum(item.impath, item.label, item.classname) for item in items]
        for part, items in (("train", train_x), ("val", val))
    }
    (folder / "shot_2-seed_1.pkl").write_bytes(pickle.dumps(content))
    message = user_error(build, "DescribableTextures", shots=2, FEW_SHOT_FILE="shot_2-seed_1.pkl")
    exec(message.partition('python -c "')[2].partition('"')[0], {})
    read = build("DescribableTextures", shots=2, seed=1, FEW_SHOT_FILE="few_shot.json")
    assert paths(read.train_x) == paths(train_x) and paths(read.val) == paths(val)


# Classes, places, ImageNet -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsample", ["base", "new"])
def test_base_and_new_classes_are_those_of_the_split_not_of_the_file(subsample, dtd, build):
    folder, train_x, val = dtd
    (folder / "all.json").write_text(split_file(train_x, val, folder))
    half = build("DescribableTextures", shots=2, seed=5, subsample=subsample)
    (folder / "half.json").write_text(split_file(half.train_x, half.val, folder))
    for name in ("all.json", "half.json"):
        read = build("DescribableTextures", shots=2, seed=1, subsample=subsample, FEW_SHOT_FILE=name)
        assert paths(read.train_x) == paths(half.train_x) and paths(read.test) == paths(half.test)


def test_a_file_of_the_base_classes_lacks_others_unless_the_run_only_tests(dtd, build, user_error):
    folder = dtd[0]
    half = build("DescribableTextures", shots=2, seed=5, subsample="base")
    (folder / "half.json").write_text(split_file(half.train_x, half.val, folder))
    for subsample, lacking in (("all", 2), ("new", 2)):
        wanted = {"shots": 2, "subsample": subsample, "FEW_SHOT_FILE": "half.json"}
        assert f"lists no images of {lacking} class(es)" in user_error(build, "DescribableTextures", **wanted)
        assert build("DescribableTextures", only_tested=True, **wanted).test


@pytest.mark.parametrize("place", ["data root", "absolute", "home"])
def test_where_the_file_may_be(place, dtd, build, tmp_path, monkeypatch):
    folder, train_x, val = dtd
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/few.json").write_text(split_file(train_x, val, folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    name = {"data root": "lists/few.json", "absolute": tmp_path / "lists/few.json", "home": "~/lists/few.json"}[place]
    assert paths(build("DescribableTextures", shots=2, FEW_SHOT_FILE=name).train_x) == paths(train_x)


def test_imagenet_keeps_its_val_images_where_the_file_has_none_and_takes_training_images_where_it_has(tmp_path, build):
    make_tree("ImageNet", tmp_path)
    drawn, other = (build("ImageNet", shots=2, seed=seed) for seed in (5, 7))
    images = {item.impath for item in drawn.train_x}
    val = [item for item in other.train_x if item.impath not in images]
    records = {
        part: [[f"./data/{item.impath.partition('/imagenet/')[2]}", item.label, item.classname] for item in items]
        for part, items in (("train", drawn.train_x), ("val", val))
    }
    file = tmp_path / "imagenet/few.json"
    file.write_text(json.dumps(records))
    read = build("ImageNet", shots=2, seed=1, FEW_SHOT_FILE="few.json")
    assert paths(read.train_x) == paths(drawn.train_x) and paths(read.val) == paths(val)
    file.write_text(json.dumps({"train": records["train"]}))
    assert paths(build("ImageNet", shots=2, seed=1, FEW_SHOT_FILE="few.json").val) == paths(drawn.val)


# Mistakes ----------------------------------------------------------------------------------------------------------


def changed(change):
    """A file whose content, {"train": ..., "val": ...} of [path, label, class name], was changed."""

    def write(folder, train_x, val, test):
        content = json.loads(split_file(train_x, val, folder))
        change(content, json.loads(split_file(test, [], folder))["train"])
        return json.dumps(content)

    return write


MISTAKES = {
    "lists 1 training image(s) that are not in the training split: banded/nothing.jpg:": changed(
        lambda content, test: content["train"][0].__setitem__(0, "banded/nothing.jpg")
    ),
    "; 1 are test images: it is of another dataset or split": changed(
        lambda content, test: content["train"].__setitem__(0, test[0])
    ),
    "validation image(s) that are in no split, or tested or trained on": changed(
        lambda content, test: content["val"].append(content["train"][0])
    ),
    "twice: remove one": changed(lambda content, test: content["train"].append(content["train"][0])),
    'lists 1 training image(s) of "banded", but DATASET.NUM_SHOTS is 2': changed(
        lambda content, test: content["train"].pop(0)
    ),
    'is of class "blotchy" (label 1) there, but its image is of "banded"': changed(
        lambda content, test: content["train"][1].__setitem__(slice(1, 3), [1, "blotchy"])
    ),
    'lists no images of 1 class(es), "banded"': changed(
        lambda content, test: content.update(train=[entry for entry in content["train"] if entry[2] != "banded"])
    ),
    "is no list of few-shot images: expected": lambda *args: '{"test": []}',
    "(TypeError": lambda *args: '{"train": [[1, 2, 3]]}',
    "cannot be read": lambda *args: '{"train": ',
}


@pytest.mark.parametrize("told", MISTAKES)
def test_a_file_that_does_not_fit_is_refused(told, dtd, build, user_error):
    folder, train_x, val = dtd
    test = build("DescribableTextures").test
    (folder / "few.json").write_text(MISTAKES[told](folder, train_x, val, test))
    message = user_error(build, "DescribableTextures", shots=2, FEW_SHOT_FILE="few.json")
    assert told in message and str(folder / "few.json") in message


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("gone.json", None, "there is no file {folder}/gone.json and no {root}/gone.json"),
        ("few.txt", "", "{folder}/few.txt must end in one of .json, .jsonl, .pth, .pt"),
        ("few.jsonl", "{}\n{", "few.jsonl, line 2: not valid JSON"),
        ("few.jsonl", '{"a": 1}', "is no list of few-shot images"),
    ],
)
def test_a_file_that_is_none(name, content, told, dtd, build, user_error, tmp_path):
    if content is not None:
        (dtd[0] / name).write_text(content)
    message = user_error(build, "DescribableTextures", shots=2, FEW_SHOT_FILE=name)
    assert told.format(folder=dtd[0], root=tmp_path) in message


# Runs --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return few_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(digits, root, capsys):
    """Run train.py, CoOp on digits with the embedded CLIP; returns exit code and standard error."""

    def run(output, seed, *more, trainer="CoOp"):
        code = train.run(
            [
                *["--root", str(digits), "--seed", str(seed), "--trainer", trainer, "--output-dir", str(output)],
                *["--dataset-config-file", str(root / "configs/datasets/digits.yaml")],
                *["--config-file", str(root / f"configs/trainers/{trainer}/tiny.yaml"), *QUICK, *map(str, more)],
            ]
        )
        return code, capsys.readouterr().err

    return run


def few_shot_of(folder):
    return json.loads((folder / "few_shot.json").read_text()), json.loads((folder / "results.json").read_text())


def test_a_run_is_trained_on_the_images_of_another_run(run, tmp_path):
    run(tmp_path / "one", 3, "DATASET.NUM_SHOTS", "2")
    file = tmp_path / "one/few_shot.json"
    code, error = run(tmp_path / "two", 1, "DATASET.NUM_SHOTS", "2", "DATASET.FEW_SHOT_FILE", file)
    assert code == 0, error
    (one, of_one), (two, of_two) = few_shot_of(tmp_path / "one"), few_shot_of(tmp_path / "two")
    assert one == two and of_one["few_shot"] == of_two["few_shot"]
    assert of_two["config"]["DATASET"]["FEW_SHOT_FILE"] == str(file)


def test_a_mistake_ends_the_run_in_one_line_before_anything_is_written(run, tmp_path):
    (tmp_path / "few.pkl").write_bytes(b"")
    code, error = run(tmp_path / "out", 1, "DATASET.NUM_SHOTS", "2", "DATASET.FEW_SHOT_FILE", tmp_path / "few.pkl")
    assert code == 2 and error.startswith("error: ") and error.count("\n") == 1 and "is a pickle" in error
    assert not (tmp_path / "out/results.json").exists()


def test_a_sweep_looks_at_the_files_of_all_seeds_before_it_starts(
    digits, root, tmp_path, capsys, monkeypatch, recorder
):
    monkeypatch.chdir(root)
    words = ["few_shot", "--trainers", "CoOp", "--datasets", "digits", "--shots", "1", "2", "--seeds", "1", "2"]
    words += ["--data", str(digits), "--output", str(tmp_path / "output"), "--set", "DATASET.FEW_SHOT_FILE"]
    assert benchmark.main([*words, str(tmp_path / "shot_{shots}-seed_{seed}.json")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4 and recorder() == []
    assert all(
        str(tmp_path / f"shot_{shots}-seed_{seed}.json") in "".join(errors) for shots in (1, 2) for seed in (1, 2)
    )
