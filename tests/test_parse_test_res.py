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
