import csv
import io
import json
from pathlib import Path

import pytest

import benchmark
from comparison.tables import LEGEND


class Output:
    """Makes an output folder of finished runs."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, run: str, accuracy: float, learned: int = 0, train_seconds: float | None = None, **changes) -> Path:
        results = {
            "backbone": "tiny",
            "metrics": {"accuracy": accuracy, "total": 400},
            "sampling_error": 100 * (accuracy / 100 * (1 - accuracy / 100) / 400) ** 0.5,
            "learned_parameters": learned,
            "seconds": {"train": train_seconds, "test": 1.0, "total": 5.0},
            **changes,
        }
        file = self.folder / run / "results.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(results))
        return file

    def add_base_to_new(self, dataset, method, seed, base, new, learned=0, train_seconds=None, **changes) -> None:
        for half, accuracy in (("train_base", base), ("test_new", new)):
            run = f"base2new/{half}/{dataset}/shots_16/{method}/seed{seed}"
            self.add(run, accuracy, learned, train_seconds if half == "train_base" else None, **changes)


@pytest.fixture
def output(tmp_path) -> Output:
    return Output(tmp_path / "output")


def report(output: Output, *options: str, capsys) -> str:
    assert benchmark.main(["report", str(output.folder), *options]) == 0
    return capsys.readouterr().out


def cells(output: Output, capsys) -> list[dict[str, str]]:
    """The rows of the CSV report's first block."""
    text = report(output, "--format", "csv", capsys=capsys)
    return list(csv.DictReader(io.StringIO(text.partition("\n\n")[0])))


GOLDEN = """\
base-to-new, digits, 16 shots
method                     base           new      H    s.e. base    s.e. new    learned    train s  seeds
-----------------  ------------  ------------  -----  -----------  ----------  ---------  ---------  ----------
ZeroshotCLIP tiny         80.00         70.00  74.67         2.00        2.29          0          –  –
CoOp tiny          90.00 ± 0.82  60.00 ± 1.63  72.00         1.50        2.45      2,048      11.00  1 2 3
MuDPT tiny         93.50 ± 0.50  75.50 ± 0.50  83.54         1.23        2.15    345,678      20.50  1 2 (no 3)

few-shot: all classes
dataset      shots  method                                accuracy    s.e.    learned    train s  seeds
---------  -------  --------------------------------  ------------  ------  ---------  ---------  -------
digits           0  ZeroshotCLIP tiny                        74.00    2.19          0          –  –
digits           4  CoOp rn50/nctx16_cscFalse_ctpend  61.50 ± 0.50    2.43      8,192      10.00  1 2
digits          16  MuDPT tiny                               88.00    1.62    345,678      30.00  1

cross-dataset: trained on the source dataset, tested on these
dataset      shots  method             accuracy    s.e.    learned  seeds
---------  -------  ---------------  ----------  ------  ---------  -------
letters         16  MuDPT tiny            50.00    2.50    345,678  1
letters         16  MuDPT tiny/wide       40.00    2.45    345,678  1
"""


def test_prints_every_protocol(output, capsys):
    for seed in (1, 2, 3):
        output.add_base_to_new("digits", "ZeroshotCLIP/tiny", seed, 80, 70)
        output.add_base_to_new("digits", "CoOp/tiny", seed, 88 + seed, 56 + 2 * seed, 2048, 9.0 + seed)
    for seed in (1, 2):
        output.add_base_to_new("digits", "MuDPT/tiny", seed, 92 + seed, 74 + seed, 345678, 19.0 + seed)
        output.add(f"digits/CoOp/rn50_4shots/nctx16_cscFalse_ctpend/seed{seed}", 60 + seed, 8192, 10)
    output.add("digits/MuDPT/tiny_16shots/seed1", 88, 345678, 30)
    output.add("ZeroshotCLIP/tiny/digits", 74)
    output.add("evaluation/MuDPT/tiny_16shots/letters/seed1", 50, 345678)
    output.add("evaluation/MuDPT/tiny_16shots/wide/letters/seed1", 40, 345678)
    printed = report(output, capsys=capsys)
    assert printed.startswith(LEGEND)
    assert printed.removeprefix(LEGEND).lstrip() == GOLDEN


def test_h_is_of_the_means_not_the_mean_of_h(output, capsys):
    output.add_base_to_new("digits", "CoOp/tiny", 1, 90, 10)
    output.add_base_to_new("digits", "CoOp/tiny", 2, 10, 90)
    (row,) = cells(output, capsys)
    assert float(row["H"]) == 50  # the mean of H would be 18


def test_no_h_from_halves_with_different_seeds(output, capsys):
    output.add_base_to_new("digits", "CoOp/tiny", 1, 90, 60)
    output.add("base2new/train_base/digits/shots_16/CoOp/tiny/seed2", 92)
    (row,) = cells(output, capsys)
    assert (row["base"], row["new"], row["H"]) == ("91.0", "60.0", "")
    assert row["seeds"] == "base 1 2, new 1 (no 2)"


def test_a_method_without_new_classes_has_no_h(output, capsys):
    output.add("base2new/train_base/digits/shots_16/CoOp/tiny/seed1", 90)
    (row,) = cells(output, capsys)
    assert (row["new"], row["H"], row["seeds"]) == ("", "", "base 1, new none (no 1)")


def test_a_method_of_the_training_classes_alone_has_base_and_no_h(output, capsys):
    for dataset, accuracy in (("digits", 90), ("letters", 70)):
        for seed in (1, 2):
            output.add(f"base2new/train_base/{dataset}/shots_16/LinearProbe/tiny/seed{seed}", accuracy, 650)
            output.add_base_to_new(dataset, "CoOp/tiny", seed, 95, 60, 2048)
    rows = [row for row in cells(output, capsys) if row["method"] == "LinearProbe tiny"]
    assert [(row["base"], row["new"], row["H"], row["seeds"]) for row in rows] == [
        ("90.0", "", "", "1 2, base only"),
        ("70.0", "", "", "1 2, base only"),
        ("80.0", "", "", "1 2, base only"),  # the average
    ]
    assert "LinearProbe tiny  80.00 ± 0.00             –      –" in report(output, capsys=capsys)


def test_settings_of_the_training_classes_alone_have_base_and_no_h(output, capsys):
    """As CoOp with contexts of classes of their own, which CoOp's other settings are not."""
    for config, knows_new_classes in (("tiny", True), ("tiny/csc", False)):
        run = f"base2new/train_base/digits/shots_16/CoOp/{config}/seed1"
        output.add(run, 90, train_seconds=1.0, knows_new_classes=knows_new_classes)
    rows = {row["method"]: row for row in cells(output, capsys)}
    assert rows["CoOp tiny/csc"]["seeds"] == "1, base only" and rows["CoOp tiny"]["seeds"] != "1, base only"


def test_a_sweep_leaves_out_new_classes_where_the_settings_know_none(tmp_path, capsys):
    command = f"base2new --trainers CoOp --datasets digits --seeds 1 --output {tmp_path / 'output'} --dry-run"
    assert benchmark.main([*command.split(), "--set", "TRAINER.COOP.CSC", "True", "TRAINER.COOP.CTX_INIT", ""]) == 0
    out = capsys.readouterr().out
    assert "no test on new classes: with these settings CoOp tiny knows only the classes it was trained on" in out
    assert "1 runs, 1 to do" in out and "new classes  " not in out
    assert benchmark.main(command.split()) == 0
    assert "2 runs, 2 to do" in capsys.readouterr().out


def test_a_missing_run_of_a_method_of_the_training_classes_is_told(output, capsys):
    output.add("base2new/train_base/digits/shots_16/LinearProbe/tiny/seed1", 90)
    output.add_base_to_new("letters", "CoOp/tiny", 1, 95, 60)
    row = next(row for row in cells(output, capsys)[::-1] if row["method"] == "LinearProbe tiny")
    assert row["base"] == "" and row["seeds"] == "missing 1 of 2 runs: letters: base 1"


def test_the_average_is_per_seed_over_datasets(output, capsys):
    for seed, digits, letters in ((1, 90, 50), (2, 80, 70)):
        output.add_base_to_new("digits", "CoOp/tiny", seed, digits, 60, 2048, 10)
        output.add_base_to_new("letters", "CoOp/tiny", seed, letters, 40, 2048, 20)
    row = cells(output, capsys)[-1]
    assert row["dataset"] == "average of 2, tiny"
    assert (row["base"], row["base std"]) == ("72.5", "2.5")  # of 70 and 75
    assert float(row["H"]) == pytest.approx(2 * 72.5 * 50 / 122.5)
    assert row["train s"] == "15.0"
    errors = [100 * (p * (1 - p) / 400) ** 0.5 for p in (0.6, 0.4)]
    assert float(row["s.e. new"]) == pytest.approx((errors[0] ** 2 + errors[1] ** 2) ** 0.5 / 2)


def test_the_overview_has_h_of_every_dataset_beside_the_average(output, capsys):
    output.add_base_to_new("digits", "CoOp/tiny", 1, 90, 60, 2048, 10)
    output.add_base_to_new("letters", "CoOp/tiny", 1, 80, 40, 2048, 20)
    output.add_base_to_new("digits", "MuDPT/tiny", 1, 95, 95, 4096, 30)
    text = report(output, "--format", "csv", capsys=capsys)
    block = next(block for block in text.split("\n\n") if "overview" in block)
    coop, mudpt = csv.DictReader(io.StringIO(block))
    assert (coop["digits"], float(coop["letters"])) == ("72.0", pytest.approx(2 * 80 * 40 / 120))
    assert (coop["base"], coop["new"], coop["learned"], coop["train s"]) == ("85.0", "50.0", "2048", "15.0")
    assert float(coop["H"]) == pytest.approx(2 * 85 * 50 / 135)
    assert (mudpt["digits"], mudpt["letters"], mudpt["H"]) == ("95.0", "", "")
    table = next(part for part in report(output, capsys=capsys).split("\n\n") if "H on every dataset" in part)
    assert [line.split()[0] for line in table.splitlines()[3:]] == ["CoOp", "MuDPT"]


@pytest.mark.parametrize(
    "dataset",
    [
        "method",
        "H",
        "base",
        "new",
        "learned",
        "train s",
        "protocol",
        "dataset",
        "seeds",
        "accuracy",
        "base std",
        "new std",
    ],
)
def test_a_dataset_called_like_a_column_keeps_a_column_of_its_own(dataset, output, capsys):
    output.add_base_to_new("digits", "CoOp/tiny", 1, 90, 60, 2048, 10)
    output.add_base_to_new(dataset, "CoOp/tiny", 1, 80, 40, 2048, 20)
    text = report(output, "--format", "csv", capsys=capsys)
    (row,) = csv.DictReader(io.StringIO(next(block for block in text.split("\n\n") if "overview" in block)))
    assert float(row[f"{dataset} (dataset)"]) == pytest.approx(2 * 80 * 40 / 120)
    assert (row["method"], row["learned"], row["train s"]) == ("CoOp tiny", "2048", "15.0")
    assert (row["base"], row["new"], float(row["H"])) == ("85.0", "50.0", pytest.approx(2 * 85 * 50 / 135))
    assert f"{dataset} (dataset)" in report(output, capsys=capsys)


def test_parameters_are_those_that_training_learned(output, capsys):
    """A cache that holds one key per training image has none for the new classes."""
    output.add("base2new/train_base/digits/shots_16/TipAdapterF/tiny/seed1", 90, 1024, 3.0)
    output.add("base2new/test_new/digits/shots_16/TipAdapterF/tiny/seed1", 70, 0)
    output.add_base_to_new("digits", "CoOp/tiny", 1, 90, 60, 384, 3.0)
    assert [(row["method"], row["learned"]) for row in cells(output, capsys)] == [
        ("CoOp tiny", "384"),
        ("TipAdapterF tiny", "1024"),
    ]


def test_an_incomplete_method_is_not_averaged(output, capsys):
    for dataset in ("digits", "letters"):
        output.add_base_to_new(dataset, "CoOp/tiny", 1, 90, 60)
        output.add_base_to_new(dataset, "CoOp/tiny", 2, 90, 60)
        output.add_base_to_new(dataset, "MuDPT/tiny", 1, 95, 70)
    output.add_base_to_new("digits", "MuDPT/tiny", 2, 95, 70)
    coop, mudpt = cells(output, capsys)[-2:]
    assert (coop["base"], coop["seeds"]) == ("90.0", "1 2")
    assert (mudpt["base"], mudpt["H"]) == ("", "")
    assert mudpt["seeds"] == "missing 2 of 8 runs: letters: base 2, letters: new 2"


def test_backbones_are_averaged_apart_and_one_paper_config_per_dataset_together(output, capsys):
    for dataset, config in (("dtd", "vit_b16_ctxv1"), ("imagenet", "vit_b16_ep50_ctxv1")):
        output.add_base_to_new(dataset, f"CoOp/{config}", 1, 80, 70, backbone="ViT-B/16")
    output.add_base_to_new("digits", "CoOp/tiny", 1, 50, 50)
    average = cells(output, capsys)[3:]
    assert [row["method"] for row in average] == ["CoOp vit_b16_ctxv1, vit_b16_ep50_ctxv1"]
    assert average[0]["base"] == "80.0"


def test_two_configs_on_one_dataset_stay_two_methods(output, capsys):
    for dataset in ("digits", "letters"):
        for config, base in (("nctx2", 70), ("nctx4", 80)):
            output.add_base_to_new(dataset, f"MuDPT/{config}", 1, base, 60)
    average = cells(output, capsys)[-2:]
    assert [(row["method"], row["base"]) for row in average] == [("MuDPT nctx2", "70.0"), ("MuDPT nctx4", "80.0")]


def test_few_shot_results_are_averaged_over_datasets_where_none_is_missing(output, capsys):
    for dataset, first, second in (("digits", 80, 90), ("letters", 60, 74)):
        for seed, accuracy in ((1, first), (2, second)):
            output.add(f"{dataset}/MuDPT/tiny_16shots/seed{seed}", accuracy, 7, 4.0)
    output.add("digits/CoOp/tiny_16shots/seed1", 70, 3, 2.0)
    rows = [row for row in cells(output, capsys) if row["dataset"].startswith("average of 2")]
    assert [(row["method"], row["accuracy"], row["accuracy std"]) for row in rows] == [
        ("CoOp tiny", "", ""),
        ("MuDPT tiny", "76.0", "6.0"),
    ]
    assert rows[0]["seeds"] == "missing 1 of 2 runs: letters: 1" and rows[1]["seeds"] == "1 2"


def test_a_few_shot_overview_has_numbers_in_csv(output, capsys):
    for dataset, accuracy in (("digits", 80), ("letters", 60)):
        for seed in (1, 2):
            output.add(f"{dataset}/CoOp/tiny_4shots/seed{seed}", accuracy + seed, 3, 2.0)
    text = report(output, "--format", "csv", capsys=capsys)
    (row,) = csv.DictReader(io.StringIO(next(block for block in text.split("\n\n") if "overview" in block)))
    assert (row["digits"], row["letters"], row["average"]) == ("81.5", "61.5", "71.5")


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("markdown", "| CoOp tiny | 80.50 ± 0.50 |"),
        ("latex", "CoOp tiny & 80.50 ± 0.50 &"),
        ("csv", "base-to-new,digits,16,CoOp tiny,80.5,0.5,"),
    ],
)
def test_formats(style, expected, output, capsys):
    output.add_base_to_new("digits", "CoOp/tiny", 1, 80, 70)
    output.add_base_to_new("digits", "CoOp/tiny", 2, 81, 70)
    assert expected in report(output, "--format", style, capsys=capsys)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"backbone": "tiny", "metrics": {"accuracy": null}}'])
def test_a_damaged_result_is_one_line_and_exit_code_2(content, output, capsys):
    output.add_base_to_new("digits", "CoOp/tiny", 1, 80, 70)
    damaged = output.add("digits/MuDPT/tiny_16shots/seed1", 88)
    damaged.write_text(content)
    assert benchmark.main(["report", str(output.folder)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert str(damaged) in printed.err


def test_a_run_that_was_not_tested_is_left_out(output, capsys):
    output.add_base_to_new("digits", "CoOp/tiny", 1, 80, 70)
    output.add("digits/CoOp/tiny_16shots/seed1", 0, metrics={}, sampling_error=None)
    assert "few-shot" not in report(output, capsys=capsys)


def test_a_folder_without_results_is_an_error(output, capsys):
    assert benchmark.main(["report", str(output.folder)]) == 2
    assert str(output.folder) in capsys.readouterr().err
    (output.folder / "elsewhere").mkdir(parents=True)
    (output.folder / "elsewhere" / "results.json").write_text("not ours")
    assert benchmark.main(["report", str(output.folder)]) == 2
    assert "no finished run" in capsys.readouterr().err


def test_a_report_writes_its_page_and_its_pictures_beside_the_tables(output, tmp_path, capsys):
    for dataset in ("digits", "letters"):
        for method in ("CoOp/tiny", "MuDPT/tiny"):
            output.add_base_to_new(dataset, method, 1, 90, 60, 2048, 10)
            output.add(f"{dataset}/{method}_4shots/seed1", 70, 2048, 5)
    page, pictures = tmp_path / "new/report.html", tmp_path / "figures"
    printed = report(output, "--html", str(page), "--plots", str(pictures), "--against", "CoOp", capsys=capsys)
    assert "vs CoOp" in printed
    text = page.read_text()
    assert text.count("<svg") >= 5 and "vs CoOp" in text and "https://" not in text
    names = sorted(file.name for file in pictures.iterdir())
    assert {"few-shot_digits.pdf", "few-shot_average.svg"} <= set(names)
    assert all(name.replace(".", "").replace("-", "").replace("_", "").isalnum() for name in names)
