"""What scripts/<method>/*.sh run: one run, or few-shot runs of several seeds, of one of the field's protocols.

    run.sh base2new_train METHOD DATASET SEED             train and test on the base classes
    run.sh base2new_test  METHOD DATASET SEED             test that model on the new classes
    run.sh xd_train       METHOD SEED                     train on the source dataset
    run.sh xd_test        METHOD DATASET SEED             test that model on another dataset
    run.sh few_shot       METHOD DATASET SHOTS [SEED...]  train on SHOTS images per class, test
    run.sh zeroshot       METHOD DATASET CFG              test CLIP as it is, all classes

METHOD is a folder of scripts; KEY VALUE pairs at the end go to train.py; scripts/run.sh names the variables.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comparison.dataset_files import check_dataset
from comparison.job import Job
from comparison.methods import ROOT, read_method
from comparison.plan import Runs
from comparison.run_spec import RESULTS
from support.user_error import ConfigError, ResultsError, exit_code

FEW_SHOT_SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Call:
    """A script's call.

    Attributes:
        words: its arguments, without the KEY VALUE pairs.
        shots, source, trained_by: $SHOTS, $SOURCE and $TRAINED_BY, which names the script that makes the tested model.
    """

    runs: Runs
    words: list[str]
    shots: int
    source: str
    trained_by: str


def base2new_train(call: Call) -> list[Job]:
    dataset, seed = call.words
    return [call.runs.base(known_dataset(dataset), call.shots, number("SEED", seed))]


def base2new_test(call: Call) -> list[Job]:
    dataset, seed = call.words
    job = call.runs.new(known_dataset(dataset), call.shots, number("SEED", seed))
    if not call.runs.method.new_classes:
        raise ConfigError(
            f"{call.runs.method.trainer} knows only the classes it was trained on: there is nothing to test on the new "
            "classes"
        )
    return [trained(job, call, " ".join(["base2new_train.sh", dataset, seed, *call.runs.pairs]))]


def xd_train(call: Call) -> list[Job]:
    (seed,) = call.words
    return [call.runs.source(known_dataset(call.source), call.shots, number("SEED", seed))]


def xd_test(call: Call) -> list[Job]:
    dataset, seed = call.words
    source = known_dataset(call.source)
    job = call.runs.transfer(source, known_dataset(dataset), call.shots, number("SEED", seed))
    return [trained(job, call, f"xd_train.sh {seed}")]


def few_shot(call: Call) -> list[Job]:
    dataset, shots, *seeds = call.words
    seeds = [number("SEED", seed) for seed in seeds] or FEW_SHOT_SEEDS
    jobs = [call.runs.few_shot(known_dataset(dataset), number("SHOTS", shots), seed) for seed in seeds]
    return list(dict.fromkeys(jobs))


def zeroshot(call: Call) -> list[Job]:
    dataset, config = call.words
    return [replace(call.runs, config=config).zero_shot(known_dataset(dataset))]


SCRIPTS: dict[str, tuple[Callable[[Call], list[Job]], str]] = {
    "base2new_train": (base2new_train, "DATASET SEED"),
    "base2new_test": (base2new_test, "DATASET SEED"),
    "xd_train": (xd_train, "SEED"),
    "xd_test": (xd_test, "DATASET SEED"),
    "few_shot": (few_shot, "DATASET SHOTS [SEED...]"),
    "zeroshot": (zeroshot, "DATASET CFG"),
}


def read_call(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[Call, Callable[[Call], list[Job]]]:
    """A script's call, and the function that makes its runs.

    Raises:
        UserError: an argument or a variable is missing or wrong.
    """
    script, folder, *words = [*argv, "", ""][: max(len(argv), 2)]
    if script not in SCRIPTS:
        raise ConfigError(f'unknown protocol "{script}" ({", ".join(SCRIPTS)})')
    make, usage = SCRIPTS[script]
    needed = len(usage.partition("[")[0].split())
    count = needed
    while "[" in usage and count < len(words) and words[count].isdigit():
        count += 1
    if not folder or len(words) < needed:
        raise ConfigError(f"usage: {script}.sh {usage} [KEY VALUE ...]")
    words, pairs = words[:count], words[count:]
    default = "" if ROOT == Path() else f"{ROOT}/"
    runs = Runs(
        read_method(ROOT / "scripts" / Path(folder).resolve().name),
        config=environment.get("CFG", ""),
        variant=environment.get("VARIANT", ""),
        pairs=tuple(pairs),
        data=os.path.expanduser(environment.get("DATA") or f"{default}data"),
        output=Path(environment.get("OUTPUT") or f"{default}output").expanduser(),
    )
    shots, source = environment.get("SHOTS") or "16", environment.get("SOURCE") or "imagenet"
    return Call(runs, words, number("SHOTS", shots), source, environment.get("TRAINED_BY", "")), make


def number(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]+", text):
        raise ConfigError(f'{name} must be a number, not "{text}"')
    return int(text)


def known_dataset(name: str) -> str:
    check_dataset(name, "DATASET")
    return name


def trained(job: Job, call: Call, script: str) -> Job:
    """The job, where it is finished or its model is there; UserError with the ``script`` that trains the model."""
    if job.is_finished() or job.model is None or (job.model / RESULTS).is_file():
        return job
    given = [f"{name}={os.environ[name]}" for name in ("CFG", "SHOTS", "SOURCE") if os.environ.get(name)]
    command = f"{ROOT / 'scripts' / (call.trained_by or f'{call.runs.method.name}/{script}')}"
    words = " ".join([*(given if not call.trained_by else ()), "bash", command])
    raise ResultsError(f"no finished training run in {job.model}, first run: {words}")


def run(call: Call, jobs: Sequence[Job], processes: int) -> int:
    """Run what is not finished, one after the other, until one fails; returns its exit code, else 0.

    Args:
        processes: how many, one per GPU, share every run.
    """
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] if processes > 1 else []
    )
    # results do not tell which pairs they were made with unless a variant names them
    unnamed = call.runs.pairs and not call.runs.variant
    hint = " (KEY VALUE pairs are not compared: VARIANT=name keeps other settings apart)" if unnamed else ""
    for job in jobs:
        python, *command = job.command
        if job.is_finished():
            print(f"skipped, finished before: {job.folder / RESULTS}{hint}", flush=True)
        elif code := wait_for(subprocess.Popen([python, *launcher, *command])):
            return code
    return 0


def wait_for(process: subprocess.Popen) -> int:
    """The exit code of a run. SIGTERM is passed on to it; Ctrl-C reaches it from the terminal."""
    handlers = {signal.SIGTERM: lambda *_: process.terminate(), signal.SIGINT: signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    return exit_code(lambda: run_script(argv))


def run_script(argv: Sequence[str]) -> int:
    call, make = read_call(argv, os.environ)
    processes = number("PROCESSES", os.environ.get("PROCESSES") or "1")
    return run(call, make(call), processes)
