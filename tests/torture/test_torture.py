"""Shortened, what `python -m tests.torture` does; and disks that are really full or read-only."""

import os
import random
import shutil
import subprocess
import sys

import pytest

from tests.small_data import few_digits
from tests.torture.runs import ROOT, Kind, differences, disturb, end_of, start

SHORT = Kind("MuDPT", {"OPTIM.MAX_EPOCH": "2"})


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return few_digits(tmp_path_factory.mktemp("data"))


def test_a_run_that_is_killed_stopped_and_denied_space_ends_to_the_same_bits(data, tmp_path):
    outcome = disturb(SHORT, data, tmp_path, kills=2, others=True, chance=random.Random(3))
    assert outcome.faults == []
    assert (outcome.kills, outcome.stops, outcome.full_disks, outcome.short_writes) == (2, 2, 1, 1)
    assert outcome.resumed > 0


def in_namespace(commands: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a shell script in which the tests may mount file systems, with as many threads as `start` gives a run."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a file system of their own")
    command = ["unshare", "-rm", "bash", "-euc", commands, "bash", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # another number gives other bits
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)


def test_a_disk_that_fills_up_is_one_line_and_what_was_saved_is_gone_on_from(data, tmp_path):
    whole = start(SHORT.arguments(data, tmp_path / "whole"))
    assert whole.communicate() and whole.returncode == 0
    checkpoint = (tmp_path / "whole/prompt_learner/model.pth.tar-2").stat().st_size
    folder = tmp_path / "full"
    folder.mkdir()
    arguments = SHORT.arguments(data, folder / "run")
    full = in_namespace(
        'folder=$1 saved=$2 size=$3; shift 3; mount -t tmpfs -o size="$size" tmpfs "$folder"; code=0\n'
        '"$@" || code=$?; cp -a "$folder" "$saved"; exit $code',
        # room for two checkpoints, and not for a third beside them
        *(str(folder), str(tmp_path / "saved"), str(int(2.5 * checkpoint) + 2**16), sys.executable, "train.py"),
        *arguments,
    )
    assert full.returncode == 2, full.stdout
    assert full.stderr.startswith("error: cannot write ") and ": No space left on device; " in full.stderr
    assert full.stderr.count("\n") == 1
    assert not (tmp_path / "saved/run/results.json").exists()
    assert not list((tmp_path / "saved").rglob("*.tmp-*"))

    shutil.copytree(tmp_path / "saved/run", folder / "run")
    process = start(arguments)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "will resume training" in printed
    assert differences(end_of(tmp_path / "whole"), end_of(folder / "run")) == []


def test_a_read_only_folder_is_one_line(data, tmp_path):
    (tmp_path / "fixed/run").mkdir(parents=True)
    (tmp_path / "fixed/run/results.json").write_text("{}")
    done = in_namespace(
        'folder=$1; shift; mount --bind "$folder" "$folder"; mount -o remount,bind,ro "$folder"; "$@"',
        *(str(tmp_path / "fixed"), sys.executable, "train.py", *SHORT.arguments(data, tmp_path / "fixed/run")),
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write ") and "Read-only file system" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "fixed/run").iterdir()] == ["results.json"]
