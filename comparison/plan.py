"""A plan: the runs of a protocol for some trainers, datasets, shots and seeds.

`Runs` makes each run, for the plan of a sweep and for the scripts, so that either finds what the other has finished.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from comparison.dataset_files import check_dataset, is_embedded, registered_name
from comparison.dataset_groups import CROSS_DATASETS, expand_datasets, require_training_images
from comparison.job import Job
from comparison.methods import Method, find_method, methods_here
from comparison.run_spec import DOMAIN_SHIFTS, RunSpec, dataset_name, protocol_of_test, shots_of
from support.user_error import shorten


@dataclass(frozen=True)
class Runs:
    """The runs of one method, and where they read and write.

    Attributes:
        config: name of a configuration file; "": the embedded backbone's for an embedded dataset, else the paper's.
        variant: name of settings that ``config`` does not tell.
        pairs: KEY VALUE pairs for every run.
        data: folder of the datasets; output: folder of all results.
    """

    method: Method
    config: str = ""
    variant: str = ""
    pairs: tuple[str, ...] = ()
    data: str = "data"
    output: Path = Path("output")

    def base(self, dataset: str, shots: int, seed: int) -> Job:
        """Training on the base classes of ``dataset``, and the test on them."""
        return self._job("base2new", "base", dataset, self._config("base2new", dataset, shots), shots, seed)

    def new(self, dataset: str, shots: int, seed: int) -> Job:
        """The test of `base`'s model on the new classes."""
        config = self._config("base2new", dataset, shots)
        return self._job("base2new", "new", dataset, config, shots, seed, model=self.base(dataset, shots, seed).spec)

    def few_shot(self, dataset: str, shots: int, seed: int) -> Job:
        """Training on ``shots`` images of all classes, and the test on them."""
        if not self.method.trains:
            return self.zero_shot(dataset)
        return self._job("few_shot", "all", dataset, self._config("few_shot", dataset, shots), shots, seed)

    def source(self, source: str, shots: int, seed: int) -> Job:
        """`few_shot` on the source dataset, with the configuration of cross-dataset transfer."""
        if not self.method.trains:
            return self.zero_shot(source)
        return self._job("few_shot", "all", source, self._config("cross_dataset", source, shots), shots, seed)

    def transfer(self, source: str, dataset: str, shots: int, seed: int) -> Job:
        """The test of `source`'s model on another dataset."""
        if not self.method.trains:
            return self.zero_shot(dataset)
        model = self.source(source, shots, seed).spec
        return self._job(protocol_of_test(source, dataset), "all", dataset, model.config, shots, seed, model=model)

    def zero_shot(self, dataset: str) -> Job:
        """The test of all classes, where nothing is trained: the same for every number of shots and every seed."""
        return self._job("zero_shot", "all", dataset, self._config("few_shot", dataset, 0), 0, None)

    def _given(self, key: str, value: int | None) -> int | None:
        """What the KEY VALUE pairs set a key to, which the run then records; else ``value``."""
        given = dict(zip(self.pairs[::2], self.pairs[1::2], strict=False)).get(key, "")
        return int(given) if value is not None and re.fullmatch("-?[0-9]+", given) else value

    def _config(self, protocol: str, dataset: str, shots: int) -> str:
        shots = self._given("DATASET.NUM_SHOTS", shots)
        return self.config or ("tiny" if is_embedded(dataset) else self.method.config_of(protocol, dataset, shots))

    def _job(
        self,
        protocol: str,
        classes: str,
        dataset: str,
        config: str,
        shots: int,
        seed: int | None,
        model: RunSpec | None = None,
    ) -> Job:
        trains = self.method.trains
        spec = RunSpec(
            *(protocol, classes, dataset_name(dataset, registered_name(dataset), self.pairs)),
            *(self.method.trainer, config, self.variant),
            shots=shots_of(self._given("DATASET.NUM_SHOTS", shots)) if trains else 0,
            seed=self._given("SEED", seed) if trains else None,
            model=model if trains else None,
        )
        return Job.of(spec, dataset, self.data, self.output, self.pairs, trains)


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        protocol: base2new, few_shot, cross_dataset or domain_generalization.
        trainers: names of trainers or of folders in scripts/, with a config behind a slash where it is not the usual
            one, as "VPT/tiny_shallow"; "all" alone: all but those that need a key which ``pairs`` do not give.
        datasets: names of files in configs/datasets, and of `dataset_groups.GROUPS`.
        source: what the models of the last two protocols are trained on.
        config: name of a configuration file for all trainers that name none; "": the usual one.
        variant: the folder that keeps settings apart; pairs: KEY VALUE pairs for every run.
    """

    protocol: str
    trainers: Sequence[str]
    datasets: Sequence[str]
    shots: Sequence[int]
    seeds: Sequence[int]
    source: str = "imagenet"
    config: str = ""
    variant: str = ""
    pairs: Sequence[str] = ()
    data: str = "data"
    output: str = "output"


def jobs_of(plan: Plan) -> list[Job]:
    """All runs of the plan, each once and after the one whose model it tests.

    Raises:
        UserError: an unknown trainer, dataset or config, with the nearest name.
    """
    trainers = all_trainers(plan.pairs) if list(plan.trainers) == ["all"] else plan.trainers
    methods = [find_method(name) for name in dict.fromkeys(trainers)]
    datasets = expand_datasets(plan.datasets, "--datasets")
    trained_on, flag = datasets, "--datasets"
    if is_transfer(plan.protocol):
        check_dataset(plan.source, "--source")
        trained_on, flag = [plan.source], "--source"
    if any(method.trains for method, _ in methods):
        require_training_images(trained_on, flag)
    common = (plan.variant, tuple(plan.pairs), plan.data, Path(plan.output))
    jobs = [
        job for method, config in methods for job in _jobs(plan, Runs(method, config or plan.config, *common), datasets)
    ]
    jobs = list(dict.fromkeys(jobs))
    if in_vain := [job for job in jobs if job.is_in_vain()]:
        which = shorten(sorted({job.spec.method for job in in_vain}))
        print(f"no test on new classes: with these settings {which} knows only the classes it was trained on")
    return [job for job in jobs if job not in in_vain]


def all_trainers(pairs: Sequence[str]) -> list[str]:
    """The trainers of all methods but those that need a key which ``pairs`` do not give, which a printed line names."""
    methods = methods_here()
    unable = [method for method in methods if method.needs and method.needs not in pairs[::2]]
    if unable:
        print("without " + ", ".join(f"{method.trainer}, which needs {method.needs}" for method in unable))
    return sorted(method.trainer for method in methods if method not in unable)


def _jobs(plan: Plan, runs: Runs, datasets: Sequence[str]) -> Iterable[Job]:
    for shots in plan.shots:
        if plan.protocol == "few_shot":
            yield from (runs.few_shot(dataset, shots, seed) for dataset in datasets for seed in plan.seeds)
            continue
        for seed in plan.seeds:
            if is_transfer(plan.protocol):
                yield runs.source(plan.source, shots, seed)
                yield from (runs.transfer(plan.source, dataset, shots, seed) for dataset in datasets)
                continue
            for dataset in datasets:
                yield runs.base(dataset, shots, seed)
                if runs.method.new_classes:
                    yield runs.new(dataset, shots, seed)


def is_transfer(protocol: str) -> bool:
    """Whether its models are tested on other datasets than their own."""
    return protocol in ("cross_dataset", "domain_generalization")


def default_datasets(protocol: str, source: str) -> tuple[str, ...]:
    """The datasets of a protocol where none are named, () where they must be."""
    if protocol == "domain_generalization":
        return DOMAIN_SHIFTS.get(source, ())
    return CROSS_DATASETS if protocol == "cross_dataset" and source == "imagenet" else ()
