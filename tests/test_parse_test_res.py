import json
from pathlib import Path

import pytest

import parse_test_res

GOLDEN = json.loads((Path(__file__).parent / "golden" / "parse_test_res.json").read_text())


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """The golden file's logs, in the working directory."""
    for name, text in GOLDEN["files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: " ".join(case["arguments"]))
def test_prints_what_upstream_prints(case, logs, capsys):
    assert parse_test_res.main(case["arguments"]) == 0
    assert capsys.readouterr().out == case["stdout"]


def test_an_unfinished_run_is_named_and_left_out(logs, capsys):
    (logs / "exp/few/seed2/log.txt").write_text("=> result\n* accuracy: 99.0%\n")
    assert parse_test_res.main(["exp/few"]) == 0
    printed = capsys.readouterr()
    assert "* accuracy: 85.70% +- 0.70%" in printed.out
    assert "exp/few/seed2/log.txt" in printed.err


@pytest.mark.parametrize("beside", ["seed4/", "seed4/tensorboard/", "notes.txt"])
def test_a_run_without_a_log_and_a_file_beside_the_runs_are_named_and_left_out(beside, logs, capsys):
    assert parse_test_res.main(["exp/few"]) == 0
    expected = capsys.readouterr()
    path = logs / "exp/few" / beside
    path.mkdir(parents=True) if beside.endswith("/") else path.touch()
    assert parse_test_res.main(["exp/few"]) == 0
    printed = capsys.readouterr()
    assert printed.out == expected.out
    assert printed.err == expected.err + f"warning: no exp/few/{beside.partition('/')[0]}/log.txt, left out\n"


def test_an_experiment_without_results_is_named_and_left_out(logs, capsys):
    assert parse_test_res.main(["exp", "--multi-exp"]) == 0
    expected = capsys.readouterr().out
    (logs / "exp/pending/seed1").mkdir(parents=True)
    (logs / "exp/notes.txt").touch()
    assert parse_test_res.main(["exp", "--multi-exp"]) == 0
    printed = capsys.readouterr()
    assert printed.out.replace("Parsing files in exp/pending\n", "") == expected
    assert "exp/pending" in printed.err and "exp/notes.txt" in printed.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nowhere"], "nowhere"),
        (["tested"], "--test-log"),
        (["exp/few", "--keyword", "acuracy"], "acuracy"),
        (["exp"], "exp/few/log.txt"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, named, logs, capsys):
    assert parse_test_res.main(arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert named in last
