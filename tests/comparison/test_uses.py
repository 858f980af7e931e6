"""What results draw on beyond the labelled images of their shots: declared, recorded by runs and shown by tables."""

import csv
import io
import json
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

import train
from comparison.methods import Method
from comparison.page import render_page
from comparison.rendering import FORMATS, render
from comparison.run_spec import RunSpec
from comparison.runs import read_runs
from comparison.tables import all_tables
from comparison.uses import is_chosen_by_dataset, names_dataset, uses_of_run
from support.uses import MEANINGS, in_order
from tests.fake_runs import FakeRuns
from tests.golden_cases import tuned_clip
from tests.small_data import few_digits


@pytest.fixture
def fake(tmp_path):
    return FakeRuns(tmp_path / "output")


def add(fake, uses):
    """CoOp, and MuDPT which draws on ``uses``, on two datasets, and few-shot."""
    for dataset in ("digits", "letters"):
        fake.add_base_to_new(dataset, "CoOp/tiny", 1, 80, 60, uses=[])
        fake.add_base_to_new(dataset, "MuDPT/tiny", 1, 81, 61, uses=uses)
        fake.add_few_shot(dataset, "MuDPT/tiny", 4, 1, 70, uses=uses)


def test_every_kind_of_table_says_what_its_rows_draw_on(fake):
    add(fake, ["split", "settings"])
    tables = all_tables(read_runs(fake.folder))
    for table in tables:
        for row in table.rows:
            wanted = "settings, split" if row.cells["method"].startswith("MuDPT") else None
            assert row.cells["uses"] == wanted, table.title
    assert {table.kind.partition(" overview")[0] for table in tables} == {"base-to-new", "few-shot"}
    assert sum(" overview" in table.kind for table in tables) == 2


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_has_the_column_and_says_what_it_means(style, fake):
    add(fake, ["settings"])
    shown = render(all_tables(read_runs(fake.folder)), style)
    if style == "csv":
        rows = list(csv.DictReader(io.StringIO(shown.partition("\n\n")[0])))
        assert {row["method"]: row["uses"] for row in rows} == {"CoOp tiny": "", "MuDPT tiny": "settings"}
    else:
        assert "uses: what a result draws on" in shown and shown.count(" settings ") > 3


def test_the_page_has_it_in_its_tables_its_list_of_runs_and_its_legend(fake):
    add(fake, ["unlabelled"])
    runs = read_runs(fake.folder)
    page = render_page(runs, all_tables(runs), datetime.now(timezone.utc))
    assert "<b>uses</b>: what a result draws on" in page
    run_table = page.partition('id="run-table"')[2]
    assert ">uses</th>" in run_table and ">unlabelled</td>" in run_table
    assert ">unlabelled</td>" in page.partition('id="run-table"')[0]


@pytest.mark.parametrize("style", set(FORMATS) - {"csv"})
def test_tables_in_which_nothing_draws_on_more_have_no_such_column(style, fake):
    add(fake, [])
    runs = read_runs(fake.folder)
    assert "uses" not in render(all_tables(runs), style)
    assert ">uses</th>" not in render_page(runs, all_tables(runs), datetime.now(timezone.utc))


def test_an_average_draws_on_what_any_of_its_runs_does(fake):
    fake.add_base_to_new("digits", "CoOp/tiny", 1, 80, 60, uses=["descriptions"])
    fake.add_base_to_new("letters", "CoOp/tiny", 1, 80, 60)  # as runs were recorded before
    cells = {row.cells.get("dataset"): row.cells["uses"] for table in all_tables(read_runs(fake.folder))
             for row in table.rows}  # fmt: skip
    assert (cells["digits"], cells["letters"], cells["average of 2, tiny"]) == ("descriptions", None, "descriptions")


# declared and recorded


def spec(dataset="dtd", trainer="PromptSRC", config="far", shots=16, **more):
    return RunSpec("few_shot", "all", dataset, trainer, config, shots=shots, seed=1, **more)


@pytest.mark.parametrize(
    ("dataset", "config", "shots", "named"),
    [
        ("dtd", "far", 16, True),
        ("eurosat", "far", 16, False),  # not the paper's for it
        ("eurosat", "near", 16, False),
        ("dtd", "near", 16, False),  # what all datasets without a name have
        ("imagenet", "short", 16, True),
        ("imagenet", "short", 1, False),  # with one shot every dataset has it
    ],
)
def test_a_configuration_for_a_dataset_by_name_is_a_setting_per_dataset(dataset, config, shots, named):
    configs = {"few_shot/dtd/*": "far", "*/imagenet/*": "short", "few_shot/*/1": "short", "*": "near"}
    method = Method("some", "PromptSRC", paper_config=configs)
    assert names_dataset(method, spec(dataset, config=config, shots=shots)) == named


def test_the_papers_own_configurations_per_dataset_are_declared():
    far = "vit_b16_c2_ep50_batch4_4+4ctx_few_shot_far"
    assert is_chosen_by_dataset(spec("dtd", config=far))
    assert not is_chosen_by_dataset(spec("caltech101", config=far.removesuffix("_far")))
    assert not is_chosen_by_dataset(spec("dtd", config=far, variant="mine"))
    assert not is_chosen_by_dataset(spec("dtd", trainer="SomebodyElses"))


def test_a_trainer_of_others_declares_nothing_and_a_method_what_it_says():
    assert uses_of_run(SimpleNamespace(), spec(config="tiny")) == []
    declared = SimpleNamespace(method=SimpleNamespace(uses=("split", "descriptions")))
    assert (
        uses_of_run(declared, spec(config="tiny")) == ["descriptions", "split"] == in_order(["split", "descriptions"])
    )


def test_a_tested_model_draws_on_what_its_training_recorded(fake):
    trained = fake.add_few_shot("dtd", "CoOp/tiny", 4, 1, 70, uses=["settings"])
    before = fake.add_few_shot("eurosat", "CoOp/tiny", 4, 1, 70)
    method = SimpleNamespace(method=SimpleNamespace(uses=("split",)))
    assert uses_of_run(method, spec(config="tiny"), str(trained)) == ["settings"]
    assert uses_of_run(method, spec(config="tiny"), str(before)) == ["split"]  # recorded nothing


@pytest.mark.parametrize(
    ("dataset", "options", "uses"),
    [
        ("EuroSAT", {}, ("settings",)),
        ("EuroSAT", {"SEARCH_SCALE": [7, 3]}, ("settings",)),  # alpha is still EuroSAT's
        ("EuroSAT", {"SEARCH_SCALE": [7, 3], "INIT_ALPHA": 1.0}, ()),
        ("ImageNet", {}, ()),  # those that every other dataset has
        ("Digits", {}, ()),
    ],
)
@pytest.mark.parametrize("trainer", ["TipAdapter", "TipAdapterF"])
def test_tip_adapter_declares_the_search_ranges_of_its_dataset(trainer, dataset, options, uses):
    assert tuned_clip(trainer, ["cat", "dog"], dataset, **options).method.uses == uses


def test_a_run_records_what_its_method_declares(root, tmp_path, monkeypatch, capsys):
    from trainers.coop import PromptLearner

    monkeypatch.setattr(PromptLearner, "uses", ("descriptions",))
    data, output = few_digits(tmp_path / "data"), tmp_path / "run"
    code = train.run(
        [
            *("--root", str(data), "--seed", "1", "--trainer", "CoOp", "--output-dir", str(output)),
            *("--dataset-config-file", str(root / "configs/datasets/digits.yaml")),
            *("--config-file", str(root / "configs/trainers/CoOp/tiny.yaml")),
            *("DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1"),
        ]
    )
    assert code == 0, capsys.readouterr().err
    assert json.loads((output / "results.json").read_text())["uses"] == ["descriptions"]
    assert read_runs(tmp_path)[0].uses == ("descriptions",)


def test_every_method_declares_only_known_words():
    from dassl.engine import TRAINER_REGISTRY

    for name in TRAINER_REGISTRY.registered_names():
        method = getattr(TRAINER_REGISTRY.get(name), "Method", None)
        if method is not None and not isinstance(method.uses, property):
            assert set(method.uses) <= MEANINGS.keys(), name
