"""Runs on a SLURM cluster, as array jobs through submitit.

A preempted run, or one at its time limit, is queued again and goes on from its last checkpoint. Accounting (sacct) is
not needed: a result is submitit's file, the rest is told by the queue.
"""

from __future__ import annotations

import getpass
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path

from comparison.job import Job
from comparison.methods import ROOT
from comparison.sweep import Task
from comparison.workers import start_process, stop_process
from dassl.utils import read_json, write_json
from support.user_error import ProcessError, ResultsError

POLL = 5.0  # seconds from one look at the queue to the next
MOST_TIMEOUTS = 50  # how often a run may reach its time limit and go on
SUBMITTED = "submitted.json"  # folder of a run -> its job id, so that a later call finds what is still in the queue


class Step:
    """What a node does for a job; submitit pickles it."""

    def __init__(self, job: Job, cores: int):
        self.job, self.cores = job, cores

    def __call__(self) -> int:
        """The exit code of train.py.

        A process that was killed or stopped gives no result: it was preempted and will be started again, or it was
        cancelled. The process is in a session of its own and must not outlive this one.
        """
        process = start_process(self.job, {"OMP_NUM_THREADS": str(self.cores)})
        try:
            code = process.wait()
        finally:
            stop_process(process)
        if code < 0 or code > 128:
            sys.exit(1)  # no Exception, of which submitit would make a result
        return code

    def checkpoint(self):
        """What is queued again at the time limit: the same, since a run goes on by itself."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Cluster:
    """A SLURM cluster.

    Args:
        folder: for submitit's files: scripts, results, output of the wrappers.
        jobs: runs in the queue at a time; default all.
        partition: default the cluster's.
        time_limit: of one run, as SLURM writes it.
        options: further options of sbatch, by their long names.

    Raises:
        UserError: no SLURM here, or a time limit that is none.
    """

    def __init__(
        self,
        folder: Path,
        jobs: int | None = None,
        partition: str | None = None,
        gpus_per_job: int = 0,
        cpus_per_job: int = 1,
        time_limit: str = "24:00:00",
        options: Mapping[str, str] | None = None,
    ):
        minutes = minutes_of(time_limit)
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise ProcessError(
                "--launcher slurm: no sbatch and srun on the PATH; start from a login node of the cluster"
            )
        self.jobs = jobs or sys.maxsize
        self.folder, self.cores = folder, cpus_per_job
        self.parameters = {
            "timeout_min": minutes,
            "cpus_per_task": cpus_per_job,
            "slurm_job_name": "mudpt",
            "slurm_setup": [f"export PYTHONPATH={shlex.quote(os.path.abspath(ROOT))}:$PYTHONPATH"],
            "slurm_additional_parameters": {"requeue": True, **(options or {})},
        }
        self.parameters |= {"slurm_partition": partition} if partition else {}
        self.parameters |= {"gpus_per_node": gpus_per_job} if gpus_per_job else {}
        self._submitted = read_json(str(folder / SUBMITTED)) if (folder / SUBMITTED).exists() else {}
        if not isinstance(self._submitted, dict):
            raise ResultsError(f"{folder / SUBMITTED} does not map runs to jobs: delete it")
        self._ids: dict[Task, str] = {}
        self._absent: dict[Task, int] = {}  # looks at the queue in which it was missing
        self._queue: dict[str, str] = {}
        self._looked = 0.0

    def __str__(self) -> str:
        return "as SLURM array jobs" + (f", {self.jobs} at a time" if self.jobs < sys.maxsize else "")

    def start(self, tasks: Sequence[Task]) -> None:
        """Submit the runs as one array, but for those of an earlier call that are still in the queue."""
        self._look()
        for task in tasks:
            if (known := self._submitted.get(str(task.job.folder))) in self._queue:
                self._ids[task] = known
        new = [task for task in tasks if task not in self._ids]
        for task, number in zip(new, self._submit(new) if new else (), strict=True):
            self._ids[task] = self._submitted[str(task.job.folder)] = number
        write_json(self._submitted, str(self.folder / SUBMITTED))
        self._look()

    def _submit(self, tasks: Sequence[Task]) -> list[str]:
        """The job ids."""
        import submitit
        from submitit.core.utils import FailedJobError

        try:
            executor = submitit.AutoExecutor(self.folder, cluster="slurm", slurm_max_num_timeout=MOST_TIMEOUTS)
            executor.update_parameters(**self.parameters)
            with redirect_stderr(io.StringIO()), executor.batch():  # submitit repeats there what it raises
                jobs = [executor.submit(Step(task.job, self.cores)) for task in tasks]
        except (FailedJobError, subprocess.CalledProcessError) as error:
            reason = " ".join(str(error).split())[-300:]
            raise ProcessError(f"sbatch refuses the runs: {reason}") from error
        return [job.job_id for job in jobs]

    def exit_code(self, task: Task) -> int | None:
        """As `sweep.Launcher.exit_code`; -1 for a run that has left the queue without a result."""
        number = self._ids[task]
        code = self._result(number)
        if code is None and time.monotonic() - self._looked >= POLL:
            self._look()
        task.note = self._queue.get(number, "").lower()
        if code is None and self._absent.get(task, 0) > 1:  # once: its result may still be on the way to this machine
            code = -1
        if code is not None:
            self._forget(task)
        return code

    def _result(self, number: str) -> int | None:
        """The exit code that submitit stored, None where the run has not ended. Errors of the wrapper are 1."""
        import submitit

        job = submitit.SlurmJob(self.folder, number)
        if not job.paths.result_pickle.exists():
            return None
        return 1 if job.exception() else job.result()

    def _forget(self, task: Task) -> None:
        del self._ids[task]
        self._absent.pop(task, None)
        self._submitted.pop(str(task.job.folder), None)

    def _look(self) -> None:
        """Read the queue: job id, with the index in its array, and state."""
        done = subprocess.run(
            ["squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format", "%i %T"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
        self._looked = time.monotonic()
        if done.returncode:  # the controller is restarting: nothing is known, nothing concluded
            return
        self._queue = dict(line.split() for line in done.stdout.splitlines())
        for task, number in self._ids.items():
            self._absent[task] = 0 if number in self._queue else self._absent.get(task, 0) + 1

    def stop(self) -> None:
        """Cancel what is in the queue and wait until it has left it."""
        if not self._ids:
            return
        subprocess.run(["scancel", *self._ids.values()], capture_output=True)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self._look()
            if not self._queue.keys() & set(self._ids.values()):
                break
            time.sleep(0.5)
        for task in list(self._ids):
            self._forget(task)
        write_json(self._submitted, str(self.folder / SUBMITTED))


def minutes_of(limit: str) -> int:
    """Minutes of a time as SLURM writes it: MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, with DAYS- before it."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", limit)
    if not found:
        raise ProcessError(f'--time is "{limit}": give [DAYS-][HOURS:]MINUTES:SECONDS, or minutes')
    days, hours, minutes, last = (int(part or 0) for part in found.groups())
    seconds = last if found[3] else 60 * last
    return max(-(-(86400 * days + 3600 * hours + 60 * minutes + seconds) // 60), 1)
