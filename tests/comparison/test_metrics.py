"""`benchmark.py report --metric KEY`: other figures than the accuracy in the tables."""

import csv
import io
import statistics

import pytest

import benchmark
from tests.fake_runs import FakeRuns


@pytest.fixture
def fake(tmp_path) -> FakeRuns:
    return FakeRuns(tmp_path / "output")


@pytest.fixture
def report(fake, capsys):
    """The report as it is printed, and what is printed to standard error; or the line of a mistake."""

    def report(metric, *more):
        code = benchmark.main(["report", str(fake.folder), "--metric", metric, *more])
        out, errors = capsys.readouterr()
        if code:
            assert code == 2 and not out and errors.startswith("error: ") and errors.count("\n") == 1
        return out, errors

    return report


def few_shot(fake, trainer, seed, accuracy, **metrics):
    own = {"accuracy": accuracy, "total": 400, **metrics}
    fake.add_few_shot("digits", f"{trainer}/tiny", 4, seed, accuracy, metrics=own)


def base_to_new(fake, trainer, seed, base, new, metric):
    for half, value in (("train_base", base), ("test_new", new)):
        metrics = {"accuracy": 50.0, "total": 400, metric: value}
        folder = f"base2new/{half}/digits/shots_16/{trainer}/tiny/seed{seed}"
        fake.add(folder, 50, trainer, "digits", seed, metrics=metrics)


def rows(out):
    return list(csv.DictReader(io.StringIO(out.partition("\n\n")[0])))


def test_mean_and_deviation_are_those_of_the_metric_and_the_lowest_is_best(fake, report):
    for seed, (one, other) in enumerate(((0.3412, 0.3001), (0.3598, 0.3477)), start=1):
        few_shot(fake, "CoOp", seed, 90, brier_score=one)
        few_shot(fake, "MuDPT", seed, 80, brier_score=other)
    coop, mudpt = rows(report("brier_score", "--format", "csv")[0])
    assert float(coop["brier_score"]) == pytest.approx(statistics.mean([0.3412, 0.3598]))
    assert float(mudpt["brier_score std"]) == pytest.approx(statistics.pstdev([0.3001, 0.3477]))
    assert "s.e." not in {name for name, value in coop.items() if value}
    out, errors = report("brier_score", "--format", "markdown")
    assert "| **0.3239 ± 0.0238** |" in out and " 0.3505 ± 0.0093 |" in out and not errors
    assert "### few-shot: all classes, brier_score\n" in out
    assert out.startswith("Brier score, from 0 to 2, the lowest is the best: mean")


@pytest.mark.parametrize(
    "metric, best", [("macro_f1", "70"), ("error_rate", "40"), ("expected_calibration_error", "40")]
)
def test_the_best_is_bold_by_the_direction_of_the_metric(metric, best, fake, report):
    few_shot(fake, "CoOp", 1, 50, **{metric: 70.0})
    few_shot(fake, "MuDPT", 1, 50, **{metric: 40.0})
    assert report(metric, "--format", "markdown")[0].count(f"**{best}.00**") == 1


def test_base_and_new_have_an_h_where_it_makes_sense(fake, report):
    for metric in ("mean_per_class_accuracy", "brier_score"):
        base_to_new(fake, {"brier_score": "CoOp"}.get(metric, "MuDPT"), 1, 0.5, 0.25, metric)
    by_method = {row["method"]: row for row in rows(report("mean_per_class_accuracy", "--format", "csv")[0])}
    assert float(by_method["MuDPT tiny"]["H"]) == pytest.approx(2 / (1 / 0.5 + 1 / 0.25))
    assert by_method["CoOp tiny"]["H"] == ""
    coop = rows(report("brier_score", "--format", "csv")[0])[0]
    assert (coop["base"], coop["new"]) == ("0.5", "0.25") and not coop.get("H")


def test_a_baseline_is_compared_by_the_metric(fake, report):
    for seed in range(1, 7):
        few_shot(fake, "CoOp", seed, 90, brier_score=0.5 + seed / 100)
        few_shot(fake, "MuDPT", seed, 90, brier_score=0.45 + seed / 200)
    mudpt = rows(report("brier_score", "--against", "CoOp", "--format", "csv")[0])[1]
    assert float(mudpt["vs CoOp"]) == pytest.approx(-0.05 - 3.5 / 200)
    assert float(mudpt["p"]) == pytest.approx(2 / 2**6)
    assert "-0.0675" in report("brier_score", "--against", "CoOp")[0]


def test_earlier_results_without_the_metric_have_a_dash_and_one_line(fake, report):
    few_shot(fake, "CoOp", 1, 90)
    few_shot(fake, "MuDPT", 1, 80, macro_f1=75.0)
    out, errors = report("macro_f1", "--format", "markdown")
    (coop,) = (line for line in out.splitlines() if "CoOp tiny" in line)
    assert [cell.strip() for cell in coop.split("|")][3:5] == ["CoOp tiny", "–"] and "75.00" in out
    assert errors.count("\n") == 1
    assert errors.startswith(f"notice: 1 of 2 runs have no macro_f1: {fake.folder}/digits/CoOp/tiny_4shots/seed1")


def test_every_number_of_a_run_is_a_metric_and_nothing_else_is(fake, report):
    few_shot(fake, "CoOp", 1, 90, theirs=3.0, note="text", missing=None, flag=True)
    assert rows(report("theirs", "--format", "csv")[0])[0]["theirs"] == "3.0"
    for metric in ("note", "missing", "flag", "their"):
        error = report(metric)[1]
        assert f'no run has --metric "{metric}"' in error and error.endswith("there are accuracy, theirs, total\n")
    assert '(did you mean "theirs"?)' in report("their")[1]


def test_an_average_and_an_overview_are_of_the_metric(fake, report):
    for dataset, value in (("digits", 60.0), ("letters", 70.0)):
        metrics = {"accuracy": 50.0, "total": 400, "macro_f1": value}
        fake.add_few_shot(dataset, "CoOp/tiny", 4, 1, 50, metrics=metrics)
    out = report("macro_f1", "--format", "markdown")[0]
    assert "| average of 2, tiny |       4 | CoOp tiny |      65.00 |" in out
    assert "few-shot, macro_f1 on every dataset" in out and "50.00" not in out


def test_page_and_pictures_are_written_beside_the_tables_of_a_metric(fake, report, tmp_path):
    few_shot(fake, "CoOp", 1, 90, brier_score=0.1234)
    report("brier_score", "--html", str(tmp_path / "page.html"), "--plots", str(tmp_path / "plots"))
    assert '<td class="words"' in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">0.1234</td>" in (tmp_path / "page.html").read_text(encoding="utf-8")
