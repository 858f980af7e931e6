"""results.json that a person or a broken disk has edited: refused with the entry and its value, in one line."""

import json
import os

import pytest

from comparison.results_file import read_results
from comparison.runs import read_runs
from support.user_error import DataError, ResultsError
from tests.fake_runs import FakeRuns


@pytest.fixture
def folder(tmp_path):
    return FakeRuns(tmp_path).add_few_shot("dtd", "CoOp/c", 4, 1, 66.6)


def refusal(folder) -> str:
    file = folder / "results.json"
    with pytest.raises((DataError, ResultsError)) as caught:
        read_results(file)
    with pytest.raises((DataError, ResultsError)):
        read_runs(folder.parents[3])
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


WRONG = [
    *(("metrics.accuracy", value) for value in ("75", None, True, [75], -1, 101, float("nan"), 1e999, 10**400)),
    *(("metrics", value) for value in (None, [], 5, "high")),
    *(("seconds", value) for value in (None, [1], 3.0)),
    *(("seconds.train", value) for value in ("10", -1, [1])),
    *(("learned_parameters", value) for value in ("8", 1.5, -1, 2**60, None, False)),
    *(("sampling_error", value) for value in ("2", -1)),
    *(("checkpoint_bytes", "8"), ("peak_memory_mb", "8"), ("config.OPTIM", 3), ("config.OPTIM.MAX_EPOCH", "5")),
    *(("config", [1]), ("environment", "x"), ("tested_model", 3)),
    *(("images_per_class", value) for value in ([4, 4], {"train": 4}, {"train": [4]}, {"train": ["4", 4]})),
    *(("images_per_class", {"train": [-1, 4]}), ("images_per_class", {"train": [4, True]})),
    *(("uses", value) for value in ("settings", {"settings": 1}, ["cheating"], [3], [["settings"]], 5)),
    *(("tested_model", {"model_dir": 3}), ("tested_model", {"model_dir": "a/" * 9000})),
]


@pytest.mark.parametrize("key, value", WRONG, ids=lambda value: str(value)[:20])
def test_an_entry_that_no_run_writes_is_named(key, value, folder):
    results = json.loads((folder / "results.json").read_text())
    *path, last = key.split(".")
    node = results
    for name in path:
        node = node[name]
    node[last] = value
    (folder / "results.json").write_text(json.dumps(results))
    message = refusal(folder)
    assert key.split(".")[0] in message or "holds" in message or "JSON" in message


@pytest.mark.parametrize("key", ["metrics", "seconds", "backbone", "learned_parameters"])
def test_a_missing_entry_is_named(key, folder):
    results = json.loads((folder / "results.json").read_text())
    del results[key]
    (folder / "results.json").write_text(json.dumps(results))
    assert f"it has no {key}" in refusal(folder)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{", "[" * 10**5, '{"a": ' * 30 + "1" + "}" * 30])
def test_a_file_that_holds_no_results_is_named(text, folder):
    (folder / "results.json").write_text(text)
    refusal(folder)


def test_a_pipe_is_refused_at_once(folder):
    (folder / "results.json").unlink()
    os.mkfifo(folder / "results.json")
    assert "no regular file" in refusal(folder)
