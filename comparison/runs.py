"""Finished runs, read from their folders: this project's results.json, or the log.txt of CoOp and its followers.

results.json records what a run is (`RunSpec`). Upstream's runs record nothing, and neither did this project's before:
these are placed by their folder, in the layout that CoOp's scripts wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from comparison.logs import AFTER_TEST, AFTER_TRAINING, LOG, final_value, logged_config
from comparison.methods import methods_here
from comparison.metrics import ACCURACY
from comparison.results_file import is_figure, read_results
from comparison.run_spec import PROTOCOLS, RESULTS, RunSpec
from comparison.settings import Settings, describe, differing, settings_of
from dassl.config.safe_yaml import load_yaml
from support.regular_file import regular_only
from support.user_error import DataError, ResultsError

OWN_NAME = (  # what to do with two runs under one name
    "delete one of them, or repeat it under a name of its own (train.py and benchmark.py: --variant NAME; scripts: "
    "VARIANT=NAME)"
)


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        spec: what it is.
        accuracy: in %; sampling_error: its standard error in points.
        metrics: all figures of its test by name; metric: the one that tables show, see ``score``.
        trained: whether it depends on training images.
        learned_parameters, checkpoint_bytes: what training learned, and the size of the files that hold it.
        train_seconds, epoch_seconds, peak_memory_mb: of training, without tests; None for a run that only tested.
        images_per_class: those that its model was trained on, of the smallest and of the largest class.
        knows_new_classes: False where its model serves the classes of its training alone.
        uses: what it draws on beyond the labelled images of its shots, words of `support.uses`.
        settings: what its result depends on; "model" names the model that it tested.
        folder: where its log.txt and results.json are.

    A figure that the run did not store, as upstream's, is None.
    """

    spec: RunSpec
    backbone: str
    accuracy: float
    trained: bool = True
    sampling_error: float | None = None
    learned_parameters: int | None = None
    checkpoint_bytes: int | None = None
    train_seconds: float | None = None
    epoch_seconds: float | None = None
    peak_memory_mb: float | None = None
    images_per_class: tuple[int, int] | None = None
    knows_new_classes: bool = field(default=True, compare=False, repr=False)
    uses: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    metric: str = field(default=ACCURACY, compare=False)
    settings: Settings = field(default_factory=dict, compare=False, repr=False)
    folder: Path = field(default=Path(), compare=False)

    @property
    def protocol(self) -> str:
        return self.spec.protocol

    @property
    def classes(self) -> str:
        return self.spec.classes

    @property
    def dataset(self) -> str:
        return self.spec.dataset

    @property
    def trainer(self) -> str:
        return self.spec.trainer

    @property
    def config(self) -> str:
        """Configuration and variant."""
        return self.spec.settings_name

    @property
    def shots(self) -> int:
        return self.spec.shots

    @property
    def seed(self) -> int | None:
        return self.spec.seed

    @property
    def method(self) -> str:
        return self.spec.method

    @property
    def table(self) -> str:
        """The name of its protocol in titles."""
        return PROTOCOLS[self.protocol]

    @property
    def score(self) -> float | None:
        """The value of ``metric``, None where the run did not store it."""
        return self.accuracy if self.metric == ACCURACY else self.metrics.get(self.metric)

    def at_metric(self, metric: str) -> Run:
        return replace(self, metric=metric)

    def at_shots(self, shots: int) -> Run:
        """The run in a table of ``shots``, where it is the same for each number."""
        return replace(self, spec=replace(self.spec, shots=shots))


def read_runs(output: Path) -> list[Run]:
    """All finished runs under ``output``, each once, checked to be one configuration a name (`check_unmixed`).

    Raises:
        UserError: no folder, no run in it, a damaged results.json, or different configurations under one name.
    """
    if not output.is_dir():
        raise ResultsError(f"no folder {output}: name the one that the runs wrote into")
    folders = {file.parent for name in (RESULTS, LOG) for file in output.rglob(name)}
    runs = [run for run in (read_run(folder, output) for folder in sorted(folders)) if run]
    if not runs:
        raise ResultsError(f"no finished run under {output}: no {RESULTS} or {LOG} in the folders that scripts/ write")
    check_unmixed(runs)
    return without_copies(runs)


def read_run(folder: Path, output: Path) -> Run | None:
    """The run in ``folder``, or None if there is none, it tested nothing, or it has not ended.

    Raises:
        UserError: the results.json of a run is damaged.
    """
    placed = RunSpec.of_path(folder.relative_to(output).as_posix())
    if not (folder / RESULTS).exists():
        return _from_log(folder, placed) if placed else None
    try:
        results = read_results(folder / RESULTS)
    except (DataError, ResultsError):
        if placed is None:
            return None  # any program may call its file so
        raise
    spec = RunSpec.of_record(results.get("run")) or placed
    if spec is None or not results["metrics"]:
        return None
    if spec.model is None and (model_dir := (results.get("tested_model") or {}).get("model_dir")):
        spec = replace(spec, model=RunSpec.of_folder(Path(model_dir)))
    return _from_results(folder, results, spec)


def _from_results(folder: Path, results: dict, spec: RunSpec) -> Run:
    seconds = results["seconds"].get("train")
    epochs = results.get("epochs") or ((results.get("config") or {}).get("OPTIM") or {}).get("MAX_EPOCH")
    return Run(
        spec=spec,
        backbone=str(results["backbone"]),
        accuracy=float(results["metrics"]["accuracy"]),
        trained=spec.shots != 0,
        sampling_error=results.get("sampling_error"),
        learned_parameters=results["learned_parameters"],
        checkpoint_bytes=results.get("checkpoint_bytes"),
        train_seconds=seconds,
        epoch_seconds=seconds / epochs if seconds is not None and epochs else None,
        peak_memory_mb=results.get("peak_memory_mb") if seconds is not None else None,
        images_per_class=_trained_on(results),
        knows_new_classes=results.get("knows_new_classes") is not False,
        uses=tuple(results.get("uses") or ()),
        settings=result_settings(results),
        metrics={name: float(value) for name, value in results["metrics"].items() if is_figure(value)},
        folder=folder,
    )


def _trained_on(results: dict) -> tuple[int, int] | None:
    counts = (results.get("images_per_class") or {}).get("train")
    return tuple(counts) if counts else None


def result_settings(results: dict) -> Settings:
    """The settings of a run by its results.json."""
    settings = settings_of(results.get("config") or {})
    if not settings:
        return {}
    spec, folder = RunSpec.of_record(results.get("run")), (results.get("tested_model") or {}).get("model_dir") or ""
    model = spec.model if spec else RunSpec.of_folder(Path(folder))
    name = model.trained if model else Path(folder).name
    return {**settings, "model": name} if name else settings


def _from_log(folder: Path, spec: RunSpec) -> Run | None:
    """A run of upstream's code: its log tells the configuration and the accuracy, to a tenth of a percent."""
    file = folder / LOG
    trained = (spec.protocol == "few_shot" or spec.classes == "base") and not spec.trainer.startswith("Zeroshot")
    if "test_base" in folder.parts:  # PromptSRC's scripts for its released models only test
        trained = False
    accuracy = final_value(str(file), "accuracy", AFTER_TRAINING if trained else AFTER_TEST)
    if accuracy is None:
        return None
    settings = _logged_settings(file)
    backbone = settings.get("MODEL.BACKBONE.NAME") or "unknown"
    return Run(spec, backbone, accuracy, trained=spec.shots != 0, settings=settings, folder=folder)


def _logged_settings(file: Path) -> Settings:
    """The settings that stand in a log, {} where none do."""
    try:
        with open(file, encoding="utf-8", errors="replace", opener=regular_only) as opened:
            config = load_yaml(logged_config(opened.read()))
    except yaml.YAMLError:
        return {}
    return settings_of(config) if isinstance(config, dict) else {}


def check_unmixed(runs: Iterable[Run]) -> None:
    """UserError where runs under one name in a table had different settings: those of the first two.

    The runs of one method on one dataset may differ in the seed and, between base and new, in the classes; those that
    are averaged over datasets, in the dataset.
    """
    runs = [run for run in runs if run.settings]
    for names, may_differ in (
        (("table", "dataset", "trainer", "config", "shots"), ("SEED", "DATASET.SUBSAMPLE_CLASSES")),
        (("table", "trainer", "config", "shots", "backbone"), ("SEED", "DATASET.")),
    ):
        for (table, *_), members in group(runs, *names).items():
            ignored = may_differ + (("model",) if table == "base-to-new" else ())  # it is named after the dataset
            first = members[0]
            for run in members[1:]:
                if keys := differing(first.settings, run.settings, ignored):
                    raise ResultsError(
                        f"{first.folder} and {run.folder} are both {first.method}, but of other settings: "
                        f"{describe(first.settings, run.settings, keys)}; {OWN_NAME}"
                    )


def without_copies(runs: Iterable[Run]) -> list[Run]:
    """Each run once, with the folder that holds its training where one of several does.

    Raises:
        UserError: two folders hold the same run with other results.
    """
    found: dict[RunSpec, Run] = {}
    for run in runs:
        spec = replace(run.spec, model=None)
        other = found.setdefault(spec, run)
        if other.accuracy != run.accuracy:
            raise ResultsError(
                f"{other.folder} and {run.folder} are both {spec}, with {other.accuracy:.2f} and {run.accuracy:.2f} %: "
                f"{OWN_NAME}"
            )
        if other.train_seconds is None:
            found[spec] = run
    return list(found.values())


# Grouping


def group(runs: Iterable[Run], *names: str) -> dict[tuple, list[Run]]:
    """Runs by the values of the attributes ``names``, in sorted order."""
    groups = defaultdict(list)
    for run in runs:
        groups[tuple(getattr(run, name) for name in names)].append(run)
    return dict(sorted(groups.items()))


def by_method(runs: Iterable[Run], *names: str) -> list[tuple[tuple[str, ...], list[Run]]]:
    """Runs by trainer and the further attributes ``names``, those with the fewest learned parameters first."""
    groups = group(runs, "trainer", *names)
    return sorted(groups.items(), key=lambda item: (max(run.learned_parameters or 0 for run in item[1]), item[0]))


def seeds_of(runs: Iterable[Run]) -> set[int]:
    return {run.seed for run in runs if run.seed is not None}


def is_base_only(runs: list[Run]) -> bool:
    """Whether these runs of one method lack the new classes because it does not know any."""
    closed = {method.trainer for method in methods_here() if not method.new_classes}
    knows_none = [run.trainer in closed or not run.knows_new_classes for run in runs]
    return all(knows_none) and all(run.classes == "base" for run in runs)
