"""`benchmark.py report` with --columns and --caption, as typed."""

import csv
import io

import pytest

import benchmark
from tests.fake_runs import FakeRuns, add_comparison


@pytest.fixture
def report(tmp_path, capsys):
    """Run `report` with these words; returns what it printed."""
    runs = FakeRuns(tmp_path / "output")

    def report(*words, code=0):
        if not runs.folder.exists():
            add_comparison(runs)
        assert benchmark.main(["report", str(runs.folder), *words]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    report.runs = runs
    return report


def header(text, title):
    """The columns of a Markdown table below a title."""
    line = text.partition(f"### {title}\n\n")[2].splitlines()[0]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_columns_are_those_named_in_their_order_behind_what_a_row_is(report):
    text = report("--format", "markdown", "--columns", "train s", "H", "base")
    assert header(text, "base-to-new, digits, 16 shots") == ["method", "train s", "H", "base"]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "| MuDPT" in line]
    assert lines[0] == ["MuDPT tiny", "20.50", "**79.05**", "**85.50 ± 0.50**"]
    text = report("--format", "markdown", "--columns", "accuracy", "method")
    assert header(text, "few-shot: all classes") == ["dataset", "shots", "accuracy", "method"]


def test_tables_without_a_named_figure_are_left_out(report):
    text = report("--format", "markdown", "--columns", "s.e.", "method")
    assert [line for line in text.splitlines() if line.startswith("###")] == ["### few-shot: all classes"]


def test_a_column_that_is_named_is_shown_though_it_is_empty_and_whatever_the_terminal_is(report):
    assert "published" not in report()
    headers = [line.split() for line in report("--columns", "peak", "published").splitlines() if "peak  " in line]
    assert headers[0] == ["method", "peak", "published"]


def test_csv_has_the_named_columns_too(report):
    first = report("--format", "csv", "--columns", "new", "base std").partition("\n\n")[0]
    assert next(csv.reader(io.StringIO(first))) == ["protocol", "dataset", "shots", "method", "new", "base std"]
    row = list(csv.DictReader(io.StringIO(first)))[2]
    assert (row["method"], float(row["new"]), float(row["base std"])) == ("MuDPT tiny", 73.5, 0.5)


def test_captions_of_several_latex_tables_end_in_their_titles_and_labels_differ(report):
    report.runs.add_base_to_new("my_set", "CoOp/tiny", 1, 80, 60)
    add_comparison(report.runs)
    text = report("--format", "latex", "--columns", "H", "--caption", r"Our runs \cite{us}.")
    assert r"\caption{Our runs \cite{us}. Base-to-new, my\_set, 16 shots.}" in text
    labels = [line for line in text.splitlines() if line.startswith(r"\label{tab:")]
    assert labels[0] == r"\label{tab:base-to-new-digits-16-shots}" and len(labels) == len(set(labels)) == 5
    tables = text.split(r"\begin{table}")[1:]
    order = (r"\centering", r"\caption{", r"\label{", r"\begin{tabular}", r"\end{tabular}", r"\end{table}")
    assert all([table.index(part) for part in order] == sorted(table.index(part) for part in order) for table in tables)


def test_the_caption_of_a_single_table_stands_alone(report):
    report.runs.add_base_to_new("digits", "CoOp/tiny", 1, 80, 60)
    assert "\\caption{Ours}\n" in report("--format", "latex", "--caption", "Ours")
    assert "\n\nTable: Ours\n" in report("--format", "markdown", "--caption", "Ours")


def test_without_caption_latex_is_the_bare_tabular(report):
    assert r"\begin{table}" not in report("--format", "latex", "--columns", "H")


@pytest.mark.parametrize(
    "words, told",
    [
        (["--columns", "acuracy"], '--columns: no table has a column "acuracy" (did you mean "accuracy"?); there are'),
        (["--columns", "H", "base std"], 'no table has a column "base std" (did you mean "base"?)'),  # but in CSV
        (["--caption", "Ours"], "--caption is for --format latex or markdown, not terminal"),
        (["--caption", "Ours", "--format", "csv"], "--caption is for --format latex or markdown, not csv"),
    ],
)
def test_mistakes_are_one_line(words, told, report):
    error = report(*words, code=2)
    assert error.startswith("error: ") and error.count("\n") == 1 and told in error
