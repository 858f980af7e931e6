"""benchmark.py --launcher slurm: sweeps of real runs through a real SLURM on this machine, one killed in the middle."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from comparison.slurm import minutes_of
from support.user_error import UserError
from tests.slurm_cluster import missing, slurm_cluster
from tests.small_data import few_digits


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """What the clients of one cluster for all tests need."""
    if reason := missing():
        pytest.skip(reason)
    with slurm_cluster(tmp_path_factory.mktemp("cluster")) as environment:
        yield environment


@pytest.fixture
def cluster(variables):
    """The environment of a cluster with an empty queue."""
    environment = {**os.environ, **variables}
    asked(environment, "scancel", "--user", "root")  # what a test that failed has left
    wait_until(lambda: asked(environment, "squeue", "--noheader") == "")
    return environment


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return few_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture
def sweep(root, data):
    """Start benchmark.py with CoOp and zero-shot CLIP on digits."""

    def sweep(output, environment, *more, epochs=8):
        command = [sys.executable, str(root / "benchmark.py"), "base2new", "--output", str(output), "--data", str(data)]
        command += ["--trainers", "CoOp", "ZeroshotCLIP", "--datasets", "digits", "--seeds", "1"]
        command += ["--set", "OPTIM.MAX_EPOCH", str(epochs), "DATASET.NUM_SHOTS", "4", *more]
        return subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    return sweep


def asked(environment, *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout


def wait_until(holds, seconds: float = 90):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


SLURM = ("--launcher", "slurm", "--slurm-partition", "low", "--time", "10")


def test_a_run_at_its_time_limit_and_then_preempted_is_queued_again_and_goes_on(sweep, cluster, tmp_path):
    output = tmp_path / "output"
    process = sweep(output, cluster, *SLURM, epochs=60)
    checkpoint = output / "base2new/train_base/digits/shots_4/CoOp/tiny/seed1/prompt_learner/checkpoint"
    wait_until(checkpoint.exists)
    assert not (checkpoint.parents[1] / "results.json").exists()
    number = json.loads((output / "slurm/submitted.json").read_text())[str(checkpoint.parents[1])]
    assert re.fullmatch(r"\d+_\d+", number), "not submitted as an array"
    asked(cluster, "scancel", "--signal", "USR2", number)  # what a job gets before its time limit
    log = next((output / "logs").glob("*train_base*CoOp*"))
    wait_until(lambda: "will resume training" in log.read_text())
    asked(cluster, "srun", "--partition", "high", "--ntasks", "2", "sleep", "1")  # takes both cores of the node
    assert "Restarts=2" in asked(cluster, "scontrol", "show", "job", number)
    printed = process.communicate(timeout=180)[0].decode()
    assert process.returncode == 0, printed
    assert "4 runs, 0 finished before, as SLURM array jobs" in printed
    assert "failed" not in printed and "CoOp tiny" in printed.rpartition("base-to-new, digits")[2]
    assert log.read_text().count("will resume training") == 2

    assert len(list(output.rglob("results.json"))) == 4


def test_a_signal_cancels_the_runs_and_a_killed_call_finds_its_runs_in_the_queue(sweep, cluster, tmp_path):
    output = tmp_path / "output"
    stopped = sweep(output, cluster, *SLURM, "--trainers", "CoOp", epochs=400)
    wait_until(lambda: "RUNNING" in asked(cluster, "squeue", "--noheader", "--format", "%T"))
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(timeout=60) == 143
    assert asked(cluster, "squeue", "--noheader") == ""

    killed = sweep(output, cluster, *SLURM, "--trainers", "ZeroshotCLIP")
    submitted = output / "slurm/submitted.json"
    wait_until(lambda: asked(cluster, "squeue", "--noheader").strip() and "ZeroshotCLIP" in submitted.read_text())
    killed.kill()
    killed.wait()
    last = max(int(file.name.split("_")[0]) for file in (output / "slurm").glob("*_submission.sh"))
    again = sweep(output, cluster, *SLURM, "--trainers", "ZeroshotCLIP")
    assert again.wait(timeout=120) == 0
    assert last == max(int(file.name.split("_")[0]) for file in (output / "slurm").glob("*_submission.sh"))


def test_a_hopeless_run_fails_on_the_cluster_once_and_is_told(sweep, cluster, tmp_path):
    process = sweep(tmp_path / "output", cluster, *SLURM, "--trainers", "CoOp", "--set", "INPUT.SIZE", "(8, 8)")
    printed = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 1
    assert (
        "is tried once more" not in printed and "1 of 2 runs failed, so that 1 could not test their models" in printed
    )
    assert "    error: INPUT.SIZE (8, 8) does not fit the backbone" in printed


def test_what_sbatch_refuses_is_one_line(sweep, cluster, tmp_path):
    process = sweep(tmp_path / "output", cluster, "--launcher", "slurm", "--slurm-partition", "nowhere")
    last = process.communicate(timeout=60)[0].decode().splitlines()[-1]
    assert process.returncode == 2
    assert last.startswith("error: sbatch refuses the runs: ") and "partition" in last


def test_without_slurm_the_launcher_is_refused_in_one_line(sweep, tmp_path):
    empty = {**os.environ, "PATH": "/usr/bin/nowhere:" + str(tmp_path)}
    (tmp_path / "bash").symlink_to("/bin/bash")
    for name in ("dirname", "basename", "grep"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    process = sweep(tmp_path / "output", empty, "--launcher", "slurm")
    printed = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 2, printed
    assert (
        printed == "error: --launcher slurm: no sbatch and srun on the PATH; start from a login node of the cluster\n"
    )


@pytest.mark.parametrize(
    ("limit", "minutes"), [("90", 90), ("10:00", 10), ("0:30", 1), ("24:00:00", 1440), ("2-12:00:00", 3600)]
)
def test_time_limits_are_written_as_for_slurm(limit, minutes):
    assert minutes_of(limit) == minutes


@pytest.mark.parametrize("limit", ["", "long", "1:2:3:4", "-5"])
def test_what_is_no_time_limit_is_refused(limit):
    with pytest.raises(UserError, match="--time"):
        minutes_of(limit)
