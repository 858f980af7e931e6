"""A plan: the runs of a protocol for some trainers, data sets, shots and seeds.

What a run is (configuration, folder, the model it tests) is asked of scripts/<method>/<protocol>.sh, so that a run of a
plan is the run of the script, and either finds what the other has finished.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from comparison.job import Job
from comparison.methods import ROOT, Method, methods_here
from comparison.runs import DOMAIN_SHIFTS
from user_error import ConfigError, did_you_mean

CROSS_DATASETS = (
    *("caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101"),
    *("fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101"),
)


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        protocol: base2new, few_shot, cross_dataset or domain_generalization.
        trainers: names of trainers or of folders in scripts/, with a config behind a slash where it is not the usual
            one, as "VPT/tiny_shallow"; "all" alone: all.
        datasets: names of files in configs/datasets/; "all" alone: all that come with this repository.
        source: what the models of the last two protocols are trained on.
        variant: the folder that keeps settings apart; pairs: KEY VALUE pairs for every run.
    """

    protocol: str
    trainers: Sequence[str]
    datasets: Sequence[str]
    shots: Sequence[int]
    seeds: Sequence[int]
    source: str = "imagenet"
    variant: str = ""
    pairs: Sequence[str] = ()
    data: str = ""
    output: str = "output"


@dataclass
class _Call:
    """One call of a method's script."""

    method: Method
    script: str
    arguments: list[str]
    variables: dict[str, str]
    output: Path

    def jobs(self) -> list[Job]:
        """The runs that it would start. Raises UserError with the script's own line where it refuses to."""
        environment = {name: value for name, value in os.environ.items() if name != "TRAINED_BY"}
        done = subprocess.run(
            ["bash", str(ROOT / "scripts" / self.method.name / f"{self.script}.sh"), *self.arguments],
            env={**environment, **self.variables, "PLAN": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # as in paths
        )
        if done.returncode:
            raise ConfigError(done.stderr.strip().removeprefix("error: ") or f"{self.script}.sh failed")
        return [Job.of(run.split("\0"), self.output) for run in done.stdout.split("\0\x1e") if run]


def jobs_of(plan: Plan) -> list[Job]:
    """All runs of the plan, each after the one whose model it tests.

    Raises:
        UserError: an unknown trainer, data set or config, with the nearest name.
    """
    methods = [find_method(name) for name in expand(plan.trainers, (method.name for method in methods_here()))]
    datasets = expand(plan.datasets, embedded_datasets())
    for dataset in (*datasets, *([plan.source] if plan.protocol in ("cross_dataset", "domain_generalization") else ())):
        check_dataset(dataset)
    calls = [call for method, config in methods for call in _calls(plan, method, config, datasets)]
    with ThreadPoolExecutor() as pool:  # each call is a shell of ten milliseconds
        jobs = [job for found in pool.map(_Call.jobs, calls) for job in found]
    return list(dict.fromkeys(jobs))


def _calls(plan: Plan, method: Method, config: str, datasets: Sequence[str]) -> Iterable[_Call]:
    common = {"OUTPUT": plan.output, "SOURCE": plan.source}
    given = {"VARIANT": plan.variant, "DATA": plan.data, "CFG": config}  # else as the environment says
    common |= {name: value for name, value in given.items() if value}
    seeds, pairs, output = [str(seed) for seed in plan.seeds], list(plan.pairs), Path(plan.output)
    for shots in map(str, plan.shots):
        variables = {**common, "SHOTS": shots}
        if plan.protocol == "few_shot":
            for dataset in datasets:
                yield _Call(method, "few_shot", [dataset, shots, *seeds, *pairs], variables, output)
            continue
        for seed in seeds:
            if plan.protocol == "base2new":
                for dataset in datasets:
                    yield _Call(method, "base2new_train", [dataset, seed, *pairs], variables, output)
                    if method.new_classes:
                        yield _Call(method, "base2new_test", [dataset, seed, *pairs], variables, output)
            else:
                yield _Call(method, "xd_train", [seed, *pairs], variables, output)
                for dataset in datasets:
                    yield _Call(method, "xd_test", [dataset, seed, *pairs], variables, output)


def default_datasets(protocol: str, source: str) -> tuple[str, ...]:
    """The data sets of a protocol where none are named, () where they must be."""
    if protocol == "domain_generalization":
        return DOMAIN_SHIFTS.get(source, ())
    return CROSS_DATASETS if protocol == "cross_dataset" and source == "imagenet" else ()


def expand(names: Sequence[str], everything: Iterable[str]) -> list[str]:
    """The names, each once, or all there are for "all"."""
    return sorted(everything) if list(names) == ["all"] else list(dict.fromkeys(names))


# What there is


def find_method(name: str) -> tuple[Method, str]:
    """The method of a trainer, and its config or "". Raises UserError with the nearest name."""
    trainer, _, config = name.partition("/")
    found = next((method for method in methods_here() if trainer in (method.trainer, method.name)), None)
    if found is None:
        known = [method.trainer for method in methods_here()]
        near = did_you_mean(trainer, known) or did_you_mean(trainer, [method.name for method in methods_here()])
        raise ConfigError(
            f'--trainers: no scripts/<method>/method.sh names the trainer "{trainer}"{near}; known: {", ".join(known)}'
        )
    if config:
        folder = ROOT / "configs" / "trainers" / found.trainer
        configs = [file.stem for file in folder.glob("*.yaml")]
        if config not in configs:
            raise ConfigError(f"--trainers: no config file {folder / config}.yaml{did_you_mean(config, configs)}")
    return found, config


def dataset_files() -> dict[str, Path]:
    return {file.stem: file for file in sorted((ROOT / "configs" / "datasets").glob("*.yaml"))}


def check_dataset(name: str) -> None:
    """UserError with the nearest name where there is no such data set."""
    if name not in dataset_files():
        known = ", ".join(dataset_files())
        raise ConfigError(f'--datasets: unknown "{name}"{did_you_mean(name, dataset_files())}; known: {known}')


def embedded_datasets() -> list[str]:
    """The data sets that come with this repository: those whose file names the embedded backbone."""
    return [
        name for name, file in dataset_files().items() if re.search(r'NAME: *"tiny"', file.read_text(encoding="utf-8"))
    ]
