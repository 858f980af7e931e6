"""Runs on this machine: started by a warm process, they are what a cold start makes of them."""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

import train
from comparison import job, workers
from comparison.job import Job
from comparison.run_spec import RunSpec
from comparison.sweep import Task, execute
from comparison.workers import Workers
from support.warm_python import WarmPython
from tests.small_data import few_digits

pytestmark = pytest.mark.skipif(not WarmPython.is_possible(), reason="no fork here")
RUN = """
import sys
import torch
before = set(sys.modules)
assert not torch.cuda.is_initialized() and not torch.cuda._is_in_bad_fork()
assert torch.cuda._cached_device_count is None
print("seed at first:", torch.initial_seed())
import train
code = train.run(sys.argv[1:])
print("threads:", torch.get_num_threads())
print("imported:", *(set(sys.modules) - before))
sys.exit(code)
"""


@pytest.fixture
def task(tmp_path):
    """Makes the tasks of small runs on the digits in data/."""

    def task(name: str, *pairs: str) -> Task:
        spec = RunSpec("few_shot", "all", "digits", "CoOp", "tiny", shots=1, seed=1, variant=name)
        return Task(
            Job.of(spec, "digits", str(tmp_path / "data"), tmp_path / "output", ("OPTIM.MAX_EPOCH", "2", *pairs))
        )

    return task


@pytest.fixture
def train_py(tmp_path, monkeypatch):
    """Sets what stands in for train.py, started by a server that imports nothing."""
    monkeypatch.setattr(workers, "IMPORTED", ())

    def train_py(script: str) -> None:
        (tmp_path / "train.py").write_text(script)
        monkeypatch.setattr(job, "ROOT", tmp_path)

    return train_py


def ended(workers: Workers, task: Task) -> int:
    deadline = time.monotonic() + 60
    while (code := workers.exit_code(task)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return code


def learned(task: Task) -> dict[str, torch.Tensor]:
    file = task.job.folder / "prompt_learner/model.pth.tar-2"
    return torch.load(file, weights_only=True)["state_dict"]


def test_warm_runs_import_nothing_and_are_to_the_bit_as_others(task, tmp_path, monkeypatch):
    few_digits(tmp_path / "data")
    threads = str(torch.get_num_threads())
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    here, *runs = task("here"), task("warm"), task("unseeded", "SEED", "-1")
    assert train.run(list(here.job.arguments)) == 0
    (tmp_path / "train.py").write_text(RUN)
    monkeypatch.setattr(job, "ROOT", tmp_path)
    launcher, seeds = Workers(2), []
    launcher.start(runs)
    codes = [ended(launcher, run) for run in runs]
    launcher.stop()
    for run, code in zip(runs, codes, strict=True):
        log = run.job.log.read_text(encoding="utf-8")
        assert code == 0, log
        assert log.startswith(f"\n$ {sys.executable} {tmp_path}/train.py --root ")
        lines = dict(line.partition(": ")[::2] for line in log.splitlines())
        assert lines["threads"] == threads
        packages = ("torch", "torchvision", "sklearn", "scipy", "trainers", "datasets", "dassl", "clip", "PIL")
        assert [name for name in lines["imported"].split() if name.partition(".")[0] in packages] == []
        seeds.append(lines["seed at first"])
    assert seeds[0] != seeds[1]
    warm = runs[0]
    expected, actual = learned(here), learned(warm)
    assert expected.keys() == actual.keys() and all(torch.equal(expected[name], actual[name]) for name in expected)
    results = [json.loads((of.job.folder / "results.json").read_text()) for of in (here, warm)]
    assert results[0]["metrics"] == results[1]["metrics"]


def test_an_error_is_in_the_log_behind_the_command(task, train_py):
    run = task("a")
    train_py("import sys; print('ä'); sys.exit('error: it did not work')")
    launcher = Workers(1)
    launcher.start([run])
    assert ended(launcher, run) == 1
    launcher.stop()
    text = run.job.log.read_text(encoding="utf-8")
    assert text.startswith("\n$ ") and text.endswith("\nä\nerror: it did not work\n")


def test_each_run_sees_its_gpu_and_the_variables_of_the_caller(task, train_py, monkeypatch):
    monkeypatch.setattr(workers, "gpus", lambda: ["3", "5"])
    monkeypatch.setenv("OF_THE_CALLER", "before")
    runs = [task("a"), task("b")]
    names = ("CUDA_VISIBLE_DEVICES", "OF_THE_CALLER", "PYTHONIOENCODING")
    train_py(f"import os; print(*(os.environ[name] for name in {names}))")
    launcher = Workers()
    launcher.start(runs[:1])
    monkeypatch.setenv("OF_THE_CALLER", "after")
    launcher.start(runs[1:])
    assert [ended(launcher, run) for run in runs] == [0, 0]
    launcher.stop()
    assert [run.job.last_lines(1) for run in runs] == [["3 before utf-8"], ["5 after utf-8"]]


@pytest.mark.parametrize(
    ("pairs", "told", "threads"),
    [
        ((), None, "1"),  # the embedded CLIP
        (("MODEL.BACKBONE.NAME", "ViT-B/16"), None, "4"),
        ((), "3", "3"),
    ],
)
def test_runs_share_the_cores_unless_their_tensors_are_small(pairs, told, threads, task, train_py, monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    run = task("a", *pairs)
    train_py("import os; print(os.environ['OMP_NUM_THREADS'])")
    launcher = Workers(2)
    launcher.start([run])
    assert ended(launcher, run) == 0
    launcher.stop()
    assert run.job.last_lines(1) == [threads]


def test_stopping_ends_a_run_that_has_just_begun(task, train_py):
    run = task("a")
    train_py("import time; time.sleep(60)")
    launcher = Workers(1)
    launcher.start([run])
    process = launcher._processes[run]
    launcher.stop()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_lost_server_fails_its_runs_alone_and_they_are_tried_once_more(task, train_py, tmp_path):
    """The first run kills its parent, the server; a second attempt finds the file of the first."""
    runs = [task("a"), task("b")]
    train_py(
        f"""
import os, signal, sys, time
from pathlib import Path
first = Path({str(tmp_path)!r}, "first")
if not first.exists():
    first.touch()
    time.sleep(2)  # until the server has told of its start: else a process of its own is started
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
sys.exit(2)
"""
    )
    endings = []
    observer = SimpleNamespace(
        ended=lambda task: endings.append((task, task.state, task.job.last_lines(1)[0][:16])), refresh=lambda: None
    )
    execute(runs, Workers(1), observer, pause=0.02)
    assert endings == [
        (runs[0], "waiting", "error: stopped, "),
        (runs[0], "failed", f"$ {sys.executable}"[:16]),
        (runs[1], "failed", f"$ {sys.executable}"[:16]),
    ]


def test_another_python_is_started_itself(task, train_py, monkeypatch, tmp_path):
    run = task("a")
    train_py("")
    monkeypatch.setenv("PYTHON", "echo")
    launcher = Workers(1)
    launcher.start([run])
    assert isinstance(launcher._processes[run], subprocess.Popen) and not launcher._warm
    assert ended(launcher, run) == 0
    assert run.job.last_lines(1)[0].startswith(f"{tmp_path}/train.py --root ")
