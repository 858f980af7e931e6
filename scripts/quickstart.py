"""Base-to-new with every method on the embedded datasets: starts scripts/<method>/base2new_{train,test}.sh, several at
a time, shows one progress line and ends with the table of benchmark.py. Called by quickstart.sh, which has the options.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

DATASETS = "digits lamplight patterns shapes_sketch"
METHODS = "cocoop mudpt coop zsclip"  # the slowest first, so that no core idles at the end
SEEDS = "1 2 3"
MAX_JOBS = 8  # each takes one core and about 1 GB

ROOT = Path(os.path.relpath(Path(__file__).resolve().parents[1]))
HALVES = {"train": "base classes", "test": "new classes"}


@dataclass(eq=False)
class Run:
    """One script call. `after` is the run whose model it tests."""

    dataset: str
    method: str
    seed: str
    half: str
    log: Path
    after: Run | None = None
    state: str = "waiting"  # then running, and done, skipped (finished by an earlier call), failed or dropped
    process: subprocess.Popen | None = field(default=None, repr=False)
    started: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.method} {self.dataset} seed {self.seed}, {HALVES[self.half]}"

    def start(self) -> None:
        script = ROOT / "scripts" / self.method / f"base2new_{self.half}.sh"
        environment = {"PYTHON": sys.executable, **os.environ, "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as log:
            # a session of its own: Ctrl-C reaches this program first, which then stops the whole group
            self.process = subprocess.Popen(
                ["bash", str(script), self.dataset, self.seed],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self.state, self.started = "running", time.monotonic()

    def poll(self) -> bool:
        """True when the run has just ended; its state and seconds are then set."""
        if self.process.poll() is None:
            return False
        self.seconds = time.monotonic() - self.started
        if self.process.returncode:
            self.state = "failed"
        else:
            self.state = "skipped" if self.log.read_text(errors="replace").startswith("skipped") else "done"
        return True

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()

    def outcome(self) -> str:
        """What a plain line says about an ended run."""
        text = self.log.read_text(errors="replace")
        if self.state == "failed":
            return f"FAILED (exit code {self.process.returncode})"
        if self.state == "skipped":
            return "finished before"
        accuracies = re.findall(r"^\* accuracy: (\S+)%", text, flags=re.MULTILINE)
        return f"{accuracies[-1] + ' %, ' if accuracies else ''}{self.seconds:.0f} s"


def plan(datasets: list[str], methods: list[str], seeds: list[str], logs: Path) -> list[Run]:
    runs = []
    for dataset in datasets:
        for seed in seeds:
            for method in methods:
                log = logs / f"{dataset}-{method}-seed{seed}"
                train = Run(dataset, method, seed, "train", Path(f"{log}-base.log"))
                runs.append(train)
                if tests_new_classes(method):
                    runs.append(Run(dataset, method, seed, "test", Path(f"{log}-new.log"), after=train))
    return runs


def tests_new_classes(method: str) -> bool:
    """False for a method whose method.sh says that it knows only the classes it was trained on."""
    return "\nnew_classes=false" not in (ROOT / "scripts" / method / "method.sh").read_text()


def seconds_left(runs: list[Run], jobs: int) -> float | None:
    """Estimate from the ended runs of the same method and half, else from all ended runs; None before the first."""
    ended = [run for run in runs if run.state == "done"]
    if not ended:
        return None

    def cost(run: Run) -> float:
        alike = [other.seconds for other in ended if (other.method, other.half) == (run.method, run.half)]
        known = alike or [other.seconds for other in ended]
        return sum(known) / len(known)

    now = time.monotonic()
    waiting = sum(cost(run) for run in runs if run.state == "waiting")
    running = [max(cost(run) - (now - run.started), 0.0) for run in runs if run.state == "running"]
    return max((waiting + sum(running)) / jobs, max(running, default=0.0))


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """One line rewritten in place on a terminal; elsewhere one plain line per ended run."""

    def __init__(self, runs: list[Run], jobs: int):
        self.runs, self.jobs = runs, jobs
        self.started = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def count(self) -> int:
        return sum(run.state not in ("waiting", "running") for run in self.runs)

    def refresh(self) -> None:
        if not self.terminal:
            return
        ended, total = self.count(), len(self.runs)
        bar = "#" * (24 * ended // total)
        left = seconds_left(self.runs, self.jobs)
        times = clock(time.monotonic() - self.started) + (f", about {clock(left)} left" if left is not None else "")
        running = " | ".join(str(run) for run in self.runs if run.state == "running")
        line = f"[{bar:-<24}] {ended}/{total} runs  {times}  {running}"
        print(f"\r\033[2K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)

    def ended(self, run: Run) -> None:
        if not self.terminal:
            width = len(str(len(self.runs)))
            print(f"[{self.count():{width}}/{len(self.runs)}] {run}: {run.outcome()}", flush=True)

    def say(self, text: str) -> None:
        print(f"\r\033[2K{text}" if self.terminal else text, flush=True)


def execute(runs: list[Run], jobs: int) -> None:
    """Run all of them, `jobs` at a time, each after the one it depends on. A failed one does not stop the others."""
    progress = Progress(runs, jobs)
    try:
        while waiting_or_running := [run for run in runs if run.state in ("waiting", "running")]:
            for run in waiting_or_running:
                if run.state == "running" and run.poll():
                    progress.ended(run)
                    if run.state == "failed":
                        tail = run.log.read_text(errors="replace").splitlines()[-10:]
                        progress.say(f"failed: {run}; the end of {run.log}:\n" + "\n".join(f"    {x}" for x in tail))
                elif run.state == "waiting" and run.after and run.after.state in ("failed", "dropped"):
                    run.state = "dropped"
                    progress.say(f"not run: {run}, for want of its model")
                elif run.state == "waiting" and (not run.after or run.after.state in ("done", "skipped")):
                    if sum(other.state == "running" for other in runs) < jobs:
                        run.start()
            progress.refresh()
            time.sleep(0.2)
    finally:
        for run in runs:
            if run.state == "running":
                run.stop()
        if progress.terminal:
            print()


def read_options() -> tuple[list[str], list[str], list[str], int]:
    """DATASETS, METHODS, SEEDS and JOBS from the environment; ValueError with one line where one makes no sense."""
    datasets, methods, seeds = (
        (os.environ.get(name) or default).split()
        for name, default in (("DATASETS", DATASETS), ("METHODS", METHODS), ("SEEDS", SEEDS))
    )
    files = {path.stem: path.read_text() for path in (ROOT / "configs" / "datasets").glob("*.yaml")}
    known_datasets = set(files)
    known_methods = {path.parent.name for path in (ROOT / "scripts").glob("*/base2new_train.sh")}
    if datasets == ["all"]:
        datasets = sorted(name for name, text in files.items() if re.search(r'NAME: *"tiny"', text))
    if methods == ["all"]:
        methods = sorted(known_methods)
    for name, given, known in (("DATASETS", datasets, known_datasets), ("METHODS", methods, known_methods)):
        if unknown := sorted(set(given) - known):
            raise ValueError(f"{name}: unknown {', '.join(unknown)} (known: {', '.join(sorted(known))})")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = os.environ.get("JOBS") or str(min(cores, MAX_JOBS))
    if not jobs.isdigit() or not int(jobs):
        raise ValueError(f"JOBS must be a number above 0, not {jobs}")
    if not all(seed.isdigit() for seed in seeds):
        raise ValueError(f"SEEDS must be numbers, not {' '.join(seeds)}")
    return datasets, methods, seeds, int(jobs)


def main() -> int:
    started = time.monotonic()
    try:
        datasets, methods, seeds, jobs = read_options()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    output = Path(os.environ.get("OUTPUT") or ROOT / "output")
    logs = output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    runs = plan(datasets, methods, seeds, logs)
    print(f"base-to-new on {', '.join(datasets)}: {len(runs)} runs, {jobs} at a time, logs in {logs}", flush=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        execute(runs, jobs)
    except KeyboardInterrupt:
        print("interrupted; the same command continues with what is left")
        return 130

    report = subprocess.run([sys.executable, str(ROOT / "benchmark.py"), "report", str(output)]).returncode
    failed = sum(run.state in ("failed", "dropped") for run in runs)
    print(f"\nresults, models and logs of every run: {output}    total time: {clock(time.monotonic() - started)}")
    if failed:
        print(f"{failed} of {len(runs)} runs failed; the same command tries them again")
    return 1 if failed or report else 0


if __name__ == "__main__":
    sys.exit(main())
