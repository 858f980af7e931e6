"""Runs on this machine: processes of train.py, several at a time, one GPU each where there are GPUs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence

from comparison.job import PROMPT, Job
from comparison.sweep import Task

MOST_JOBS = 8  # by default, without a GPU: each takes about 1 GB
PATIENCE = 20  # seconds that a stopped process has to end


def start_process(job: Job, environment: dict[str, str]) -> subprocess.Popen:
    """Start the run; what it prints goes to the end of the job's log.

    In a session of its own: Ctrl-C and a cluster's warnings reach the caller alone, who then ends the whole group.
    """
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        log.write(f"{PROMPT}{shlex.join(job.command)}\n".encode())
        log.flush()
        return subprocess.Popen(
            job.command,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},  # that of the log
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_process(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(PATIENCE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    return (named or [str(index) for index in range(count)])[:count]


class Workers:
    """Processes on this machine.

    Args:
        jobs: how many at a time; default one per GPU or, without any, per core.
    """

    def __init__(self, jobs: int | None = None):
        self.gpus = gpus()
        self.jobs = jobs or len(self.gpus) or min(cores(), MOST_JOBS)
        self._processes: dict[Task, subprocess.Popen] = {}
        self._gpu: dict[Task, str] = {}

    def __str__(self) -> str:
        devices = f" on {len(self.gpus)} GPUs" if self.gpus else ""
        return f"{self.jobs} at a time{devices}"

    def start(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(cores() // self.jobs, 1)))}
            if self.gpus:
                busy = Counter(self._gpu.values())
                self._gpu[task] = min(self.gpus, key=lambda gpu: busy[gpu])
                environment["CUDA_VISIBLE_DEVICES"] = self._gpu[task]
            self._processes[task] = start_process(task.job, environment)

    def exit_code(self, task: Task) -> int | None:
        code = self._processes[task].poll()
        if code is not None:
            del self._processes[task]
            self._gpu.pop(task, None)
        return code

    def stop(self) -> None:
        for process in self._processes.values():
            stop_process(process)
        self._processes.clear()
