"""A live view of runs: one line per running job and one for the plan; elsewhere than on a terminal, plain lines."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Sequence

from comparison.sweep import ENDED, Estimates, Task

BAR = 24
REFRESH = 0.5  # seconds


def clock(seconds: float | None) -> str:
    """1:02:03 or 2:03; "?" for None."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def bar(share: float) -> str:
    return f"[{'#' * int(BAR * share):-<{BAR}}]"


class Progress:
    """The view of ``tasks``, of which ``jobs`` run at a time."""

    def __init__(self, tasks: Sequence[Task], jobs: int):
        self.tasks, self.jobs = tasks, jobs
        self.estimates = Estimates(tasks)
        self.started = time.monotonic()
        self.terminal = sys.stdout.isatty()
        self._drawn = 0  # lines of the last view, which the next one replaces
        self._last = 0.0

    def count(self) -> int:
        return sum(task.state in ENDED for task in self.tasks)

    def refresh(self) -> None:
        if self.terminal and time.monotonic() - self._last >= REFRESH:
            room = shutil.get_terminal_size().lines - 2
            lines = [self.line(task) for task in self.tasks if task.state == "running"]
            more = [f"... and {len(lines) - room + 1} more"] if len(lines) > room else []
            self._draw([*lines[: room - len(more)], *more, self.total()])

    def line(self, task: Task) -> str:
        """A running job: what it does and how long it still takes."""
        share, doing = task.job.progress()
        left = self.estimates.left(task)
        times = clock(time.monotonic() - task.started) + (f", about {clock(left)} left" if left is not None else "")
        return f"{bar(share)} {times}  {task.job}: {doing if share or not task.note else task.note}"

    def total(self) -> str:
        left = self.estimates.all_left(self.jobs)
        times = clock(time.monotonic() - self.started) + (f", about {clock(left)} left" if left is not None else "")
        failed = sum(task.state in ("failed", "not run") for task in self.tasks)
        return (
            f"{bar(self.count() / len(self.tasks))} {self.count()}/{len(self.tasks)} runs"
            f"{f', {failed} failed' if failed else ''}  {times}"
        )

    def ended(self, task: Task) -> None:
        """A line that stays: for each run where this is no terminal, else for the failed ones."""
        if self.terminal and task.state == "done":
            return
        width = len(str(len(self.tasks)))
        left = self.estimates.all_left(self.jobs)
        rest = f"  (about {clock(left)} left)" if left and not self.terminal else ""
        self.say(f"[{self.count():{width}}/{len(self.tasks)}] {task.job}: {outcome(task)}{rest}")

    def say(self, text: str) -> None:
        """Print above the view."""
        self._draw([])
        print(text, flush=True)

    def close(self) -> None:
        self._draw([])

    def _draw(self, lines: Sequence[str]) -> None:
        if not self.terminal:
            return
        width = shutil.get_terminal_size().columns - 1
        up = f"\033[{self._drawn}A" if self._drawn else ""
        print(f"{up}\r\033[J" + "".join(f"{line[:width]}\n" for line in lines), end="", flush=True)
        self._drawn, self._last = len(lines), time.monotonic()


def outcome(task: Task) -> str:
    """What became of a run, in words."""
    if task.state == "not run":
        return "not run, for want of its model"
    if task.state == "failed":
        again = " again" if task.attempts > 1 else ""
        return f"failed{again} after {clock(task.seconds)}{f': {task.error}' if task.error else ''}, see {task.job.log}"
    if task.state == "waiting":
        return f"failed after {clock(task.seconds)}, is tried once more"
    text = "\n".join(task.job.last_lines(20))
    accuracies = re.findall(r"^\* accuracy: (\S+)%", text, flags=re.MULTILINE)
    return f"{accuracies[-1] + ' %, ' if accuracies else ''}{clock(task.seconds)}"
