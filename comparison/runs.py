"""Finished runs, read from their folders: this project's results.json, or the log.txt of CoOp and its followers.

Which protocol, dataset, method and seed a run belongs to is told by its folder (the layout that scripts/ write and CoOp
wrote), its figures by the file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from comparison.methods import methods_here
from comparison.results_file import read_results
from comparison.settings import Settings, describe, differing, settings_of
from dassl.config.safe_yaml import load_yaml
from parse_test_res import AFTER_TEST, AFTER_TRAINING, final_value
from regular_file import regular_only
from user_error import ResultsError

RESULTS, LOG = "results.json", "log.txt"
PROTOCOLS = ("base", "new", "few-shot", "cross-dataset", "domain generalization")
DOMAIN_SHIFTS = {  # source -> the same classes under other conditions
    "imagenet": ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"),
    "shapes": ("shapes_blur", "shapes_noise", "shapes_sketch"),
}

_METHOD = r"(?P<trainer>[^/]+)/(?P<config>[^/]+)"
_SHOTS = r"_(?P<shots>\d+)shots(?P<variant>/.+)?"
_BASE2NEW = rf"(?P<dataset>[^/]+)/shots_(?P<shots>\d+)/{_METHOD}(?P<variant>/.+)?/seed(?P<seed>\d+)"
_LAYOUTS = [
    (protocol, re.compile(pattern))
    for protocol, pattern in (
        ("base", rf"base2new/(?:train|test)_base/{_BASE2NEW}"),
        ("new", rf"base2new/test_new/{_BASE2NEW}"),
        ("cross-dataset", rf"evaluation/{_METHOD}{_SHOTS}/(?P<dataset>[^/]+)/seed(?P<seed>\d+)"),
        ("few-shot", rf"(?:few_shot/)?(?P<dataset>[^/]+)/{_METHOD}{_SHOTS}/seed(?P<seed>\d+)"),
        ("few-shot", r"(?P<trainer>Zeroshot[^/]+)/(?P<config>[^/]+)/(?P<dataset>[^/]+)"),
    )
]


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        protocol: one of `PROTOCOLS`; "base" and "new" are the halves of base-to-new.
        config: name of the config file, with the folders of a variant below it (CoOp's main.sh makes one).
        shots: training images per class; 0 for zero-shot runs without a seed.
        seed: None for zero-shot runs without a seed.
        accuracy: in %; sampling_error: its standard error in points.
        learned_parameters, checkpoint_bytes: what training learned, and the size of the files that hold it.
        train_seconds, epoch_seconds, peak_memory_mb: of training, without tests; None for a run that only tested.
        settings: what its result depends on; "model" names the model that it tested.
        folder: where its log.txt and results.json are.

    A figure that the run did not store, as upstream's, is None.
    """

    protocol: str
    dataset: str
    trainer: str
    config: str
    shots: int
    seed: int | None
    backbone: str
    accuracy: float
    sampling_error: float | None = None
    learned_parameters: int | None = None
    checkpoint_bytes: int | None = None
    train_seconds: float | None = None
    epoch_seconds: float | None = None
    peak_memory_mb: float | None = None
    settings: Settings = field(default_factory=dict, compare=False, repr=False)
    folder: Path = field(default=Path(), compare=False)

    @property
    def table(self) -> str:
        """The tables that show it."""
        return "base-to-new" if self.protocol in ("base", "new") else self.protocol

    @property
    def method(self) -> str:
        """The name in tables."""
        return f"{self.trainer} {self.config}"


def read_runs(output: Path) -> list[Run]:
    """All finished runs under ``output``, checked to be one configuration a name (`check_unmixed`).

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
    return runs


def read_run(folder: Path, output: Path) -> Run | None:
    """The run in ``folder``, or None if that is not one of the layouts, or the run tested nothing or has not ended."""
    place = placed(folder.relative_to(output).as_posix())
    if place is None:
        return None
    if (folder / RESULTS).exists():
        return _from_results(folder, place)
    return _from_log(folder, place)


def placed(path: str) -> dict | None:
    """What the path of a run below the output folder tells: the first attributes of `Run`, up to the seed."""
    for protocol, layout in _LAYOUTS:
        if found := layout.fullmatch(path):
            place = found.groupdict()
            if protocol == "cross-dataset" and place["dataset"] in shifted_datasets():
                protocol = "domain generalization"
            return {
                "protocol": protocol,
                "dataset": place["dataset"],
                "trainer": place["trainer"],
                "config": place["config"] + (place.get("variant") or ""),
                "shots": int(place.get("shots") or 0),
                "seed": int(place["seed"]) if "seed" in place else None,
            }
    return None


def shifted_datasets() -> set[str]:
    return {dataset for targets in DOMAIN_SHIFTS.values() for dataset in targets}


def _from_results(folder: Path, place: dict) -> Run | None:
    file = folder / RESULTS
    results = read_results(file)
    if not results["metrics"]:
        return None
    seconds = results["seconds"].get("train")
    epochs = results.get("epochs") or ((results.get("config") or {}).get("OPTIM") or {}).get("MAX_EPOCH")
    return Run(
        **place,
        backbone=str(results["backbone"]),
        accuracy=float(results["metrics"]["accuracy"]),
        sampling_error=results.get("sampling_error"),
        learned_parameters=results["learned_parameters"],
        checkpoint_bytes=results.get("checkpoint_bytes"),
        train_seconds=seconds,
        epoch_seconds=seconds / epochs if seconds is not None and epochs else None,
        peak_memory_mb=results.get("peak_memory_mb") if seconds is not None else None,
        settings=result_settings(results),
        folder=folder,
    )


def result_settings(results: dict) -> Settings:
    """The settings of a run by its results.json."""
    settings = settings_of(results.get("config") or {})
    model = (results.get("tested_model") or {}).get("model_dir") or ""
    return {**settings, "model": model_name(model)} if settings and model else settings


def model_name(folder: str) -> str:
    """What a tested model was trained on and how, by its folder, without the seed; the folder's name if it is no run's.

    The same name wherever the output folder was when it was tested.
    """
    parts = Path(folder).parts
    for start in range(len(parts)):
        if place := placed("/".join(parts[start:])):
            return f"{place['dataset']} {place['trainer']} {place['config']} {place['shots']} shots"
    return parts[-1] if parts else folder


def _from_log(folder: Path, place: dict) -> Run | None:
    """A run of upstream's code: its log tells the configuration and the accuracy, to a tenth of a percent."""
    file = folder / LOG
    trained = place["protocol"] in ("base", "few-shot") and not place["trainer"].startswith("Zeroshot")
    if "test_base" in folder.parts:  # PromptSRC's scripts for its released models only test
        trained = False
    accuracy = final_value(str(file), "accuracy", AFTER_TRAINING if trained else AFTER_TEST)
    if accuracy is None:
        return None
    settings = _logged_settings(file)
    backbone = settings.get("MODEL.BACKBONE.NAME") or "unknown"
    return Run(**place, backbone=backbone, accuracy=accuracy, settings=settings, folder=folder)


def _logged_settings(file: Path) -> Settings:
    """The settings that stand in a log, {} where none do."""
    try:
        with open(file, encoding="utf-8", errors="replace", opener=regular_only) as opened:
            config = load_yaml(logged_config(opened.read()))
    except yaml.YAMLError:
        return {}
    return settings_of(config) if isinstance(config, dict) else {}


def logged_config(log: str) -> str:
    """The configuration that a log begins with, as YAML; "" where there is none."""
    found = re.search(r"^\*\* Config \*\*\n\*+\n(.*?)\nCollecting env info", log, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


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
                        f"{describe(first.settings, run.settings, keys)}; delete one of them, or repeat it under a "
                        "name of its own (benchmark.py: --variant NAME; scripts: VARIANT=NAME)"
                    )


# Grouping


def group(runs: Iterable[Run], *names: str) -> dict[tuple, list[Run]]:
    """Runs by the values of the attributes ``names``, in sorted order."""
    groups = defaultdict(list)
    for run in runs:
        groups[tuple(getattr(run, name) for name in names)].append(run)
    return dict(sorted(groups.items()))


def in_words(shots: int) -> str:
    return f"{shots} shot{'s' if shots != 1 else ''}"


def by_method(runs: Iterable[Run], *names: str) -> list[tuple[tuple[str, ...], list[Run]]]:
    """Runs by trainer and the further attributes ``names``, those with the fewest learned parameters first."""
    groups = group(runs, "trainer", *names)
    return sorted(groups.items(), key=lambda item: (max(run.learned_parameters or 0 for run in item[1]), item[0]))


def seeds_of(runs: Iterable[Run]) -> set[int]:
    return {run.seed for run in runs if run.seed is not None}


def is_base_only(runs: list[Run]) -> bool:
    """Whether these runs of one method lack the new classes because it does not know any."""
    closed = {method.trainer for method in methods_here() if not method.new_classes}
    return all(run.trainer in closed and run.protocol == "base" for run in runs)
