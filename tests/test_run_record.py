"""From train.py as typed through results.json to the report: a run is what it records, wherever it lies."""

import csv
import io
import json
import shutil

import pytest
from PIL import Image

import benchmark
import train
from tests.small_data import few_digits

RUNS = {  # folder, which tells nothing or the wrong thing -> dataset, flags, KEY VALUE pairs
    "digits/CoOp/tiny_16shots/seed7": ("digits", "--seed 1", "DATASET.NUM_SHOTS 4"),
    "there": (
        "image_folder",
        "--seed 5 --eval-only --model-dir digits/CoOp/tiny_16shots/seed7/prompt_learner",
        "DATASET.DIR photos",
    ),
    "half": ("digits", "--seed 1", "DATASET.NUM_SHOTS 2 DATASET.SUBSAMPLE_CLASSES base"),
    "other": ("digits", "--seed 1 --variant slow", "DATASET.NUM_SHOTS 4 OPTIM.LR 0.1"),
}


@pytest.fixture(scope="module")
def output(root, tmp_path_factory):
    """The folder of these runs."""
    output = tmp_path_factory.mktemp("output")
    few_digits(output / "data")
    for name in ("cat", "dog"):
        (output / "data/photos/test" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(output / "data/photos/test" / name / "one.png")
    for folder, (dataset, flags, pairs) in RUNS.items():
        words = ["--root", "data", "--trainer", "CoOp", "--output-dir", folder]
        words += ["--config-file", str(root / "configs/trainers/CoOp/tiny.yaml")]
        words += ["--dataset-config-file", str(root / f"configs/datasets/{dataset}.yaml")]
        words += [*flags.split(), *pairs.split(), "OPTIM.MAX_EPOCH", "1"]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(output)
            assert train.run(words) == 0
    return output


def rows(output, capsys) -> set[tuple[str, ...]]:
    """Protocol, dataset, shots, method and seeds of each row of the report."""
    assert benchmark.main(["report", str(output), "--format", "csv"]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    return {
        tuple(row[name] for name in ("protocol", "dataset", "shots", "method", "seeds"))
        for block in blocks
        for row in csv.DictReader(io.StringIO(block))
    }


def test_tables_show_what_runs_record_not_what_their_folders_say(output, capsys):
    assert rows(output, capsys) == {
        ("base-to-new", "digits", "2", "CoOp tiny", "base 1, new none (no 1)"),
        ("cross-dataset", "image_folder-photos", "4", "CoOp tiny", "1"),
        ("few-shot", "digits", "4", "CoOp tiny", "1"),
        ("few-shot", "digits", "4", "CoOp tiny/slow", "1"),
    }


def test_a_run_records_the_model_that_it_tests_and_the_code(output):
    results = json.loads((output / "there/results.json").read_text())
    model = json.loads((output / "digits/CoOp/tiny_16shots/seed7/results.json").read_text())["run"]
    assert results["run"]["model"] == model
    assert (model["protocol"], model["dataset"], model["shots"], model["seed"]) == ("few_shot", "digits", 4, 1)
    assert results["run"]["protocol"] == "cross_dataset"
    assert set(results["code"]) == {"commit", "changed"}


def test_a_copy_of_a_run_counts_once_and_another_result_of_it_is_refused(output, tmp_path, capsys):
    copies = tmp_path / "copies"
    shutil.copytree(output / "half", copies / "one/half")
    shutil.copytree(output / "half", copies / "two/half")
    assert {row[-1] for row in rows(copies, capsys)} == {"base 1, new none (no 1)"}
    file = copies / "two/half/results.json"
    results = json.loads(file.read_text())
    results["metrics"]["accuracy"] += 1
    file.write_text(json.dumps(results))
    assert benchmark.main(["report", str(copies)]) == 2
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1 and "one/half" in refused and "two/half" in refused
