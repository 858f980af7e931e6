"""The runs of a plan from the first to the last: what is finished is skipped, what breaks down is tried once more."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from comparison.job import Job
from comparison.statistics import mean_of
from support.user_error import UserError

ATTEMPTS = 2
USER_ERROR = 2  # exit code of a run that its user must correct; it would end so again
SOME = 0.1  # share of a run from which its whole length can be told; before, starting up is most of the time
ENDED = ("finished before", "done", "failed", "not run")


@dataclass(eq=False)
class Task:
    """A job, and how far it is.

    Attributes:
        after: the task whose model it tests, or None.
        state: "waiting", "running" or one of `ENDED`; "not run" for want of its model.
        seconds: how long its last attempt took.
        note: what the launcher knows of a running one, as its state in a cluster's queue.
        error: why the results of one that ended well are none.
    """

    job: Job
    after: Task | None = None
    state: str = "waiting"
    attempts: int = 0
    started: float = 0.0
    seconds: float = 0.0
    note: str = ""
    error: str = ""

    def is_ready(self) -> bool:
        return self.state == "waiting" and (self.after is None or self.after.state in ("done", "finished before"))

    def lacks_its_model(self) -> bool:
        return self.state == "waiting" and self.after is not None and self.after.state in ("failed", "not run")


class Launcher(Protocol):
    """Where runs run."""

    jobs: int  # at a time

    def start(self, tasks: Sequence[Task]) -> None:
        """Begin these runs."""

    def exit_code(self, task: Task) -> int | None:
        """None while it runs or waits for a machine, else the exit code of its process."""

    def stop(self) -> None:
        """End all that is running; it can go on from its last checkpoint."""


class Observer(Protocol):
    """What watches the runs."""

    def ended(self, task: Task) -> None:
        """Called for each run that has ended, also before it is tried again (its state then is "waiting")."""

    def refresh(self) -> None:
        """Called many times a second."""


def tasks_of(jobs: Iterable[Job]) -> list[Task]:
    """Tasks in the order of the jobs.

    Raises:
        UserError: the configuration of a job is wrong, or its folder holds a damaged result or that of other settings.
    """
    by_folder: dict = {}
    for job in jobs:
        job.check()
        state = "finished before" if job.is_complete() else "waiting"
        by_folder[job.folder] = Task(job, by_folder.get(job.model), state)
    return list(by_folder.values())


def execute(tasks: Sequence[Task], launcher: Launcher, observer: Observer, pause: float = 0.05) -> None:
    """Run all of them, each after the one it depends on; a failed one does not stop the others."""
    try:
        while any(task.state not in ENDED for task in tasks):
            for task in tasks:
                if task.state == "running":
                    _look_at(task, launcher, observer)
                elif task.lacks_its_model():
                    task.state = "not run"
                    observer.ended(task)
            room = launcher.jobs - sum(task.state == "running" for task in tasks)
            if ready := [task for task in tasks if task.is_ready()][: max(room, 0)]:
                for task in ready:
                    task.state, task.started, task.attempts = "running", time.monotonic(), task.attempts + 1
                launcher.start(ready)
            observer.refresh()
            time.sleep(pause)
    finally:
        launcher.stop()


def _look_at(task: Task, launcher: Launcher, observer: Observer) -> None:
    code = launcher.exit_code(task)
    if code is None:
        return
    task.seconds = time.monotonic() - task.started
    try:
        complete = code == 0 and task.job.is_complete()
    except UserError as error:  # it wrote other results than those of its settings
        code, complete, task.error = USER_ERROR, False, str(error)
    if complete:
        task.state = "done"
    else:
        task.state = "failed" if code == USER_ERROR or task.attempts == ATTEMPTS else "waiting"
    observer.ended(task)


# Time


class Estimates:
    """Seconds that jobs will take, from those that have finished, in this call or before."""

    def __init__(self, tasks: Sequence[Task]):
        self.tasks = tasks
        self._known: dict[Task, float | None] = {}

    def seconds(self, job: Job) -> float | None:
        """Mean of the finished ones most like it: same kind and data set, else same kind; None where there is none."""
        alike = [(other, taken) for other, taken in self._finished() if other.kind == job.kind]
        same = [taken for other, taken in alike if other.spec.dataset == job.spec.dataset]
        return mean_of(same or [taken for _, taken in alike])

    def _finished(self) -> list[tuple[Job, float]]:
        for task in self.tasks:
            if task.state in ("done", "finished before") and task not in self._known:
                self._known[task] = task.job.seconds_taken()
        return [(task.job, taken) for task, taken in self._known.items() if taken is not None]

    def left(self, task: Task) -> float | None:
        """Seconds that a running task still takes, from those like it, else from its progress."""
        elapsed, (share, _) = time.monotonic() - task.started, task.job.progress()
        usual = self.seconds(task.job)
        if usual is not None:
            return max(usual - elapsed, 0.0)
        return elapsed / share * (1 - share) if share > SOME else None

    def all_left(self, jobs: int) -> float | None:
        """Seconds until all have ended with ``jobs`` at a time; None while nothing is known.

        What no finished run is like counts as the mean of the others.
        """
        running = [self.left(task) for task in self.tasks if task.state == "running"]
        waiting = [self.seconds(task.job) for task in self.tasks if task.state == "waiting"]
        usual = mean_of(running + waiting) or mean_of(taken for _, taken in self._finished())
        if usual is None or not running + waiting:
            return None
        running = [usual if seconds is None else seconds for seconds in running]
        waiting = [usual if seconds is None else seconds for seconds in waiting]
        at_a_time = min(jobs, len(running + waiting))
        return max(sum(running + waiting) / at_a_time, max(running, default=0.0))
