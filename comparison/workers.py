"""Runs on this machine: processes of train.py, several at a time, one GPU each where there are GPUs.

They are forks of one process that has imported what a run needs, where the system and PYTHON allow it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from comparison.job import PROMPT, Job
from comparison.sweep import Task
from support.deferred_signals import deferred_signals
from support.warm_python import ServerLost, WarmProcess, WarmPython

MOST_JOBS = 8  # by default, without a GPU: each takes about 1 GB
PATIENCE = 20  # seconds that a stopped process has to end
LIBRARIES = (  # what they import only as it is used
    "torch._dynamo",  # by optimizers
    "torch.utils.serialization",  # by torch.save
    # by PIL.Image.preinit, in its order
    *("PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PpmImagePlugin", "PIL.PngImagePlugin"),
)
IMPORTED = (  # by a run on images with any of our trainers
    *("train", "datasets", "trainers", "comparison.code_version", "dassl.utils.folder_lock"),
    "multiprocessing.synchronize",  # by loaders with workers
    *LIBRARIES,
)


def environment_with(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a run."""
    return {**os.environ, "PYTHONIOENCODING": "utf-8", **variables}  # that of the log


def start_process(
    job: Job, variables: dict[str, str], warm: WarmPython | None = None
) -> subprocess.Popen | WarmProcess:
    """Start the run, by a warm Python where there is one; what it prints goes to the end of the job's log.

    In a session of its own: Ctrl-C and a cluster's warnings reach the caller alone, who then ends the whole group.
    """
    environment = environment_with(variables)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        log.write(f"{PROMPT}{shlex.join(job.command)}\n".encode())
        log.flush()
        if warm is not None:
            with suppress(ServerLost):
                return warm.start(job.command[1:], environment, Path.cwd(), job.log, job.log)
        return subprocess.Popen(
            job.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_process(process: subprocess.Popen | WarmProcess) -> None:
    """End a process and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(PATIENCE)
        except ProcessLookupError:
            return
        except (subprocess.TimeoutExpired, ServerLost):  # of a lost server's nobody learns its end
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
        self._processes: dict[Task, subprocess.Popen | WarmProcess] = {}
        self._gpu: dict[Task, str] = {}
        self._warm: dict[str, WarmPython] = {}  # by their number of threads

    def __str__(self) -> str:
        devices = f" on {len(self.gpus)} GPUs" if self.gpus else ""
        return f"{self.jobs} at a time{devices}"

    def start(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            variables = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(self._threads(task.job))}
            if self.gpus:
                busy = Counter(self._gpu.values())
                self._gpu[task] = min(self.gpus, key=lambda gpu: busy[gpu])
                variables["CUDA_VISIBLE_DEVICES"] = self._gpu[task]
            warm = self._warm_python(task.job, variables)
            with deferred_signals():  # what has been started is known, and will be stopped
                self._processes[task] = start_process(task.job, variables, warm)

    def _threads(self, job: Job) -> int:
        from train import threads_of

        return threads_of(job.configuration, max(cores() // self.jobs, 1))

    def _warm_python(self, job: Job, variables: dict[str, str]) -> WarmPython | None:
        """The server that can start the job; None where it takes a process of its own."""
        if not WarmPython.is_possible() or job.command[0] != sys.executable:
            return None
        threads = variables["OMP_NUM_THREADS"]  # which libraries read as they are imported
        if threads not in self._warm or self._warm[threads].is_lost:
            try:
                self._warm[threads] = WarmPython(IMPORTED, environment_with(variables))
            except ServerLost:
                return None
        return self._warm[threads]

    def exit_code(self, task: Task) -> int | None:
        process = self._processes[task]
        try:
            code = process.poll()
        except ServerLost:
            stop_process(process)
            with task.job.log.open("a", encoding="utf-8") as log:
                log.write("error: stopped, as the process that starts the runs was killed\n")
            code = 1
        if code is not None:
            del self._processes[task]
            self._gpu.pop(task, None)
        return code

    def stop(self) -> None:
        for process in self._processes.values():
            stop_process(process)
        self._processes.clear()
        for server in self._warm.values():
            server.close()
        self._warm.clear()
