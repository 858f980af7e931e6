import csv
import io

import pytest

from comparison.rendering import render, size
from comparison.runs import read_runs
from comparison.tables import all_tables
from support.user_error import UserError
from tests.fake_runs import FakeRuns


@pytest.fixture
def fake(tmp_path):
    return FakeRuns(tmp_path / "output")


def rows(fake, kind, against=None):
    """The rows of the tables of a kind, as they are read in CSV."""
    text = render([table for table in all_tables(read_runs(fake.folder), against) if table.kind == kind], "csv")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_difference_is_that_of_the_figures_shown_and_p_is_over_data_sets_and_seeds(fake):
    for seed in (1, 2, 3):
        for dataset in ("digits", "letters"):
            fake.add_base_to_new(dataset, "CoOp/tiny", seed, 60 + seed, 60 + seed)
            fake.add_base_to_new(dataset, "MuDPT/tiny", seed, 70 + 3 * seed, 70 + 3 * seed)
    coop, mudpt = rows(fake, "base-to-new", "CoOp")[-2:]
    assert (coop["vs CoOp"], coop["p"]) == ("", "")
    assert float(mudpt["vs CoOp"]) == pytest.approx(76 - 62)
    assert float(mudpt["p"]) == pytest.approx(2 / 2**6, rel=0.3)  # every gain is doubled: ties
    assert [row["p"] for row in rows(fake, "base-to-new", "CoOp")[:4]] == [""] * 4  # three pairs are too few


def test_zero_shot_without_seeds_is_a_baseline_at_every_number_of_shots(fake):
    fake.add_zero_shot("digits", 60)
    for shots in (1, 4):
        for seed in range(1, 7):
            fake.add_few_shot("digits", "CoOp/tiny", shots, seed, 61 + shots + seed)
    found = {row["shots"]: row for row in rows(fake, "few-shot", "ZeroshotCLIP")}
    assert float(found["1"]["vs ZeroshotCLIP"]) == pytest.approx(5.5)
    assert float(found["4"]["p"]) == pytest.approx(2 / 2**6)
    assert found["0"]["vs ZeroshotCLIP"] == ""


def test_zero_shot_runs_alone_have_a_table(fake):
    fake.add_zero_shot("digits", 60)
    fake.add_zero_shot("letters", 40)
    assert [(row["dataset"], row["accuracy"]) for row in rows(fake, "few-shot")] == [
        ("digits", "60.0"),
        ("letters", "40.0"),
        ("average of 2, tiny", "50.0"),
    ]
    titles = [table.title for table in all_tables(read_runs(fake.folder))]
    assert titles == [
        "few-shot: all classes",
        "few-shot, accuracy on every dataset, then the average over them (backbone tiny, 0 shots)",
    ]


def test_an_unknown_baseline_is_refused_with_the_nearest_and_one_of_several_configs_too(fake):
    fake.add_few_shot("digits", "CoOp/tiny", 4, 1, 60)
    fake.add_few_shot("digits", "CoOp/wide", 4, 1, 60)
    with pytest.raises(UserError, match='no run of --against "CoOpp" \\(did you mean "CoOp"'):
        rows(fake, "few-shot", "CoOpp")
    with pytest.raises(UserError, match="several configs: name one of CoOp/tiny, CoOp/wide"):
        rows(fake, "few-shot", "CoOp")
    assert rows(fake, "few-shot", "CoOp/wide")[0]["vs CoOp/wide"] == "0.0"


def test_the_best_is_bold_in_markdown_and_latex_also_where_it_is_shared(fake):
    for method, base, new in (("ZeroshotCLIP/tiny", 70, 68), ("CoOp/tiny", 80, 60.001), ("MuDPT/tiny", 80.001, 60)):
        fake.add_base_to_new("digits", method, 1, base, new)
    markdown = render(all_tables(read_runs(fake.folder)), "markdown")
    assert "| ZeroshotCLIP tiny |     70.00 | **68.00** | **68.99** |" in markdown
    assert "| CoOp tiny         | **80.00** |     60.00 |" in markdown
    assert "| MuDPT tiny        | **80.00** |     60.00 |" in markdown
    latex = render(all_tables(read_runs(fake.folder)), "latex")
    assert r"\textbf{68.00}" in latex and r"\toprule" in latex and r"\textbf{70.00}" not in latex


def test_few_shot_figures_are_best_among_those_of_the_same_shots(fake):
    figures = {("CoOp", 1): 50, ("MuDPT", 1): 55, ("CoOp", 4): 80, ("MuDPT", 4): 70}
    for (trainer, shots), accuracy in figures.items():
        fake.add_few_shot("digits", f"{trainer}/tiny", shots, 1, accuracy)
    markdown = render(all_tables(read_runs(fake.folder)), "markdown")
    assert [line.count("**55.00**") + line.count("**80.00**") for line in markdown.splitlines()].count(1) == 2
    assert "**50.00**" not in markdown and "**70.00**" not in markdown


def test_a_single_method_is_not_the_best_of_anything(fake):
    fake.add_base_to_new("digits", "CoOp/tiny", 1, 80, 60)
    assert "**" not in render(all_tables(read_runs(fake.folder)), "markdown")


def test_domain_generalization_has_an_overview_that_begins_with_the_source(fake):
    fake.add_few_shot("shapes", "CoOp/tiny", 16, 1, 90)
    for dataset, accuracy in (("shapes_blur", 70), ("shapes_noise", 60)):
        model = {"model_dir": "output/shapes/CoOp/tiny_16shots/seed1", "epoch": 5}
        fake.add(f"evaluation/CoOp/tiny_16shots/{dataset}/seed1", accuracy, "CoOp", dataset, 1, tested_model=model)
    table = next(table for table in all_tables(read_runs(fake.folder)) if "overview" in table.kind)
    assert table.title.startswith("domain generalization, accuracy on every dataset")
    (row,) = table.rows
    values = {name: getattr(value, "mean", value) for name, value in row.cells.items()}
    assert list(values)[:5] == ["method", "shapes (source)", "shapes_blur", "shapes_noise", "average"]
    assert (values["shapes (source)"], values["average"]) == (90, 65)


@pytest.mark.parametrize(
    ("count", "shown"), [(12, "12 B"), (1500, "1.5 KB"), (11_480, "11 KB"), (88_900_000, "89 MB"), (2e9, "2.0 GB")]
)
def test_sizes_are_read_at_a_glance(count, shown):
    assert size(int(count)) == shown
