"""Shared by all tests: their order, the project's root, an environment without the variables that steer the scripts."""

import json
import sys
from pathlib import Path

import pytest

# Files that take longest, begun first: so that at the end no worker has such a file left to itself.
SLOW_FILES = [
    "test_benchmark_on_slurm.py",
    "null_cuda/test_null_cuda.py",
    "test_end_to_end.py",
    "torture/test_torture.py",
    "test_distributed.py",
    "test_benchmark_runs.py",
    "errors/test_command_line.py",
    "test_standard_streams.py",
    "bench/test_comparisons.py",
    "trainers/test_closed_set.py",
    "dassl/data/test_epoch_loader.py",
    "test_porting.py",
]


def pytest_collection_modifyitems(items):
    places = {Path(__file__).parent / name: place for place, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(SLOW_FILES)))


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_settings_of_the_person_testing(monkeypatch):
    settings = (
        "DATA OUTPUT CFG SHOTS SOURCE VARIANT PYTHON TRAINED_BY PROCESSES DATASETS METHODS SEEDS JOBS MUDPT_DEBUG"
    )
    for name in settings.split():
        monkeypatch.delenv(name, raising=False)


# Stands in for Python: records the command line and leaves the results.json of a finished run.
RECORDER = """\
import json, os, pathlib, sys
arguments = sys.argv[1:]
if arguments[0].endswith("scripts/run.py"):  # which calls Python again, for each run
    os.execv(sys.executable, [sys.executable, *arguments])
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
if os.environ.get("FAIL", "no failure") in " ".join(arguments):
    print("line 1\\nerror: it did not work")
    sys.exit(int(os.environ.get("FAIL_CODE", 2)))
if os.environ.get("SLEEP"):
    import time
    pathlib.Path(os.environ["CALLS"] + ".pid").write_text(str(os.getpid()))
    time.sleep(float(os.environ["SLEEP"]))
if "--output-dir" in arguments:
    folder = pathlib.Path(arguments[arguments.index("--output-dir") + 1])
    folder.mkdir(parents=True)
    print("=> result\\n* accuracy: 75.0%")
    results = {"backbone": "tiny", "metrics": {"accuracy": 75.0, "total": 400}, "sampling_error": 2.2,
               "learned_parameters": 8, "seconds": {"train": 3.0, "total": 4.0},
               "config": json.loads(os.environ.get("CONFIG", "{}"))}
    (folder / "results.json").write_text(json.dumps(results))
"""


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    """Sets PYTHON to the stand-in; returns the function that gives the calls made so far."""
    script, calls = tmp_path / "recorder", tmp_path / "calls"
    script.write_text(f"#!{sys.executable}\n{RECORDER}")
    script.chmod(0o755)
    monkeypatch.setenv("PYTHON", str(script))
    monkeypatch.setenv("CALLS", str(calls))
    return lambda: [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
