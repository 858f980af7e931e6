"""Published figures: what the data files hold, and beside which of our rows they stand."""

import csv
import io
import math

import pytest

from comparison.published import AVERAGE, BASE_TO_NEW, DATASETS, FEW_SHOT, published_figures, read_table
from comparison.rendering import render
from comparison.runs import read_runs
from comparison.statistics import harmonic_mean
from comparison.tables import all_tables
from tests.fake_runs import FakeRuns

BASE2NEW, SHOTS = read_table("published_base2new.csv"), read_table("published_few_shot.csv")
ROUNDING = 0.0101  # base, new and H are rounded to hundredths
MISPRINTED = {  # H in the source that its own base and new contradict
    ("CoOp", "Koorye/SkipTuning examples/base_to_new.png", "caltech101"),
    ("PromptKD", "zhengli97/PromptKD images/exp_results.png", "stanford_cars"),
    ("PromptKD", "zhengli97/PromptKD images/exp_results.png", "ucf101"),
    ("DePT+PromptSRC", "Koorye/DePT examples/base_to_new_performance.png", "ucf101"),
    ("GDA", "mrflogs/ICLR24 ICLR 2024", AVERAGE),
}
# Base, new and H as READMEs and papers print them, without cells.
PRINTED_AVERAGES = {
    "ZeroshotCLIP": (69.34, 74.22, 71.70),
    "CoOp": (82.69, 63.22, 71.66),
    "CoCoOp": (80.47, 71.69, 75.83),
    "KgCoOp": (80.73, 73.60, 77.00),
    "ProGrad": (82.48, 70.75, 76.16),
    "MaPLe": (82.28, 75.14, 78.55),
    "PromptSRC": (84.26, 76.10, 79.97),
    "TCP": (84.13, 75.36, 79.51),
    "CLIP_Adapter": (76.92, 73.52, 75.18),
    "CoPrompt": (84.00, 77.23, 80.48),
    "SkipTuning": (85.04, 77.53, 81.11),
    "PromptKD": (86.96, 80.73, 83.73),
}


def test_every_h_is_that_of_its_base_and_new_but_for_the_known_misprints():
    wrong = {
        (row["trainer"], row["source"], row["dataset"])
        for row in BASE2NEW
        if abs(harmonic_mean(float(row["base"]), float(row["new"])) - float(row["printed H"])) > ROUNDING
    }
    assert wrong == MISPRINTED


@pytest.mark.parametrize("trainer", PRINTED_AVERAGES)
def test_averages_of_the_cells_are_the_printed_ones(trainer):
    cells = {row["dataset"]: row for row in first_source(trainer)}
    assert cells.keys() == DATASETS
    base, new = (math.fsum(float(row[name]) for row in cells.values()) / len(cells) for name in ("base", "new"))
    for found, printed in zip((base, new, harmonic_mean(base, new)), PRINTED_AVERAGES[trainer], strict=True):
        assert abs(found - printed) <= ROUNDING
    row = next(row for row in published_figures() if (row.trainer, row.protocol) == (trainer, BASE_TO_NEW))
    assert row.over(sorted(DATASETS)) == pytest.approx((base, new))


def first_source(trainer):
    own = [row for row in BASE2NEW if row["trainer"] == trainer]
    return [row for row in own if row["source"] == own[0]["source"]]


def test_few_shot_averages_of_the_cells_are_the_printed_ones():
    whole = [row for row in SHOTS if all(row[dataset] for dataset in DATASETS)]
    assert len(whole) == 30
    for row in whole:
        cells = [float(row[dataset]) for dataset in DATASETS]
        assert abs(math.fsum(cells) / len(cells) - float(row[AVERAGE])) <= ROUNDING, row


def test_every_row_has_all_datasets_or_an_average_alone_and_names_its_source():
    for row in published_figures():
        assert row.source and row.scores.keys() in (DATASETS, {AVERAGE})
        assert all(0 < score < 100 for scores in row.scores.values() for score in scores)
    keys = [(row["trainer"], row["config"], row["source"], row["dataset"]) for row in BASE2NEW]
    assert len(set(keys)) == len(keys)


def test_nothing_is_published_for_mudpt_but_its_claim():
    assert not [row for row in published_figures() if row.trainer == "MuDPT"]
    assert {row["claim"] for row in read_table("published_claims.csv")} == {"+8.20 over CoOp, +6.31 over CoCoOp"}


# beside our rows


@pytest.fixture
def fake(tmp_path):
    return FakeRuns(tmp_path / "output")


def shown(fake, kind):
    """(dataset, shots, method) -> what is published, and its source, in the tables of a kind."""
    tables = [table for table in all_tables(read_runs(fake.folder)) if table.kind == kind]
    found = csv.DictReader(io.StringIO(render(tables, "csv")))
    return {(row["dataset"], row["shots"], row["method"]): (row["published"], row["source"]) for row in found}


def add_base_to_new(fake, datasets=DATASETS, method="CoOp/vit_b16_ctxv1", backbone="ViT-B/16"):
    for dataset in datasets:
        fake.add_base_to_new(dataset, method, 1, 80, 60, backbone=backbone)


def test_base_to_new_figures_stand_beside_each_dataset_and_the_average_of_all(fake):
    methods = ("IVLP/vit_b16_c2_ep20_batch4_4+4ctx", "IVLP/mine", "MuDPT/vit_b16_bz4_ep10_nctx4_depth9")
    for method in ("CoOp/vit_b16_ctxv1", *methods):
        add_base_to_new(fake, method=method)
    found = shown(fake, BASE_TO_NEW)
    average = {method: cells for (dataset, _, method), cells in found.items() if dataset.startswith("average")}
    assert average == {
        "CoOp vit_b16_ctxv1": ("82.69 / 63.22 / 71.66", "zhengli97/PromptKD"),
        "IVLP mine": ("", ""),
        "IVLP vit_b16_c2_ep20_batch4_4+4ctx": ("84.21 / 71.79 / 77.51", "muzairkhattak/PromptSRC"),
        "MuDPT vit_b16_bz4_ep10_nctx4_depth9": ("", ""),
    }
    assert found["dtd", "16", "CoOp vit_b16_ctxv1"] == ("79.44 / 41.18 / 54.24", "zhengli97/PromptKD")
    assert found["dtd", "16", "IVLP vit_b16_c2_ep20_batch4_4+4ctx"] == ("", "")
    assert "published: what the source has" in render(all_tables(read_runs(fake.folder)), "terminal")


def test_a_note_of_a_source_is_shown_with_it(fake):
    add_base_to_new(fake, ["dtd"], "CLIP_Adapter/vit_b16")
    assert shown(fake, BASE_TO_NEW)["dtd", "16", "CLIP_Adapter vit_b16"][1] == "Koorye/DePT (re-run by DePT)"


def test_few_shot_figures_stand_beside_as_many_shots(fake):
    for dataset in DATASETS:
        for shots in (1, 16):
            fake.add_few_shot(dataset, "CoOp/vit_b16", shots, 1, 70, backbone="ViT-B/16")
    found = shown(fake, FEW_SHOT)
    assert found["dtd", "1", "CoOp vit_b16"] == ("50.23", "MCG-NJU/AWT")
    assert found["dtd", "16", "CoOp vit_b16"] == ("69.87", "MCG-NJU/AWT")
    assert found["average of 11, ViT-B/16", "16", "CoOp vit_b16"] == ("79.89", "MCG-NJU/AWT")


def test_the_claim_of_mudpt_stands_beside_its_average_over_the_eleven(fake):
    method = "MuDPT/vit_b16_bz4_ep10_nctx4_depth9"
    for dataset in DATASETS:
        fake.add_few_shot(dataset, method, 16, 1, 70, backbone="ViT-B/16")
    found = {key[0]: cells for key, cells in shown(fake, FEW_SHOT).items()}
    claim = ("+8.20 over CoOp, +6.31 over CoCoOp", "arXiv:2306.11400 (its claim; no figure is public)")
    assert found.pop("average of 11, ViT-B/16") == claim
    assert set(found.values()) == {("", "")}


@pytest.mark.parametrize("other", [{"datasets": ["digits", "letters"]}, {"backbone": "ViT-B/32"}])
def test_figures_of_other_datasets_or_backbones_are_not_compared(other, fake):
    add_base_to_new(fake, **other)
    assert "published" not in render(all_tables(read_runs(fake.folder)), "markdown")


def test_an_average_over_fewer_than_the_eleven_has_no_published_one(fake):
    add_base_to_new(fake, sorted(DATASETS)[1:])
    found = shown(fake, BASE_TO_NEW)
    assert all((cells == ("", "")) == dataset.startswith("average") for (dataset, _, _), cells in found.items())


def test_zero_shot_rows_of_a_few_shot_table_have_the_columns_of_the_others(fake):
    fake.add_zero_shot("dtd", 60, backbone="ViT-B/16")
    fake.add_few_shot("dtd", "CoOp/vit_b16", 16, 1, 70, backbone="ViT-B/16")
    (table,) = [table for table in all_tables(read_runs(fake.folder)) if table.kind == FEW_SHOT]
    assert len({tuple(row.cells) for row in table.rows}) == 1
    assert [row.cells["published"] for row in table.rows] == [None, "69.87"]
