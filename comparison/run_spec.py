"""A run, told by what it is: protocol, classes, dataset, trainer, configuration, variant, shots, seed, tested model.

train.py makes the spec of a run from its arguments and writes it into results.json, as "run"; tables, pictures and the
page read it from there. The plan of a sweep and the scripts make the spec first, and the folder and the arguments from
it. Only the output of upstream's code, which records nothing, is placed by its folder (`RunSpec.of_folder`).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from comparison.dataset_groups import IMAGENET_VARIANTS
from support.json_file import json_if_readable

if TYPE_CHECKING:
    from dassl.config import CfgNode

PROTOCOLS = {  # the vocabulary of plans, results.json and tables -> the name in titles
    "base2new": "base-to-new",
    "few_shot": "few-shot",
    "zero_shot": "zero-shot",
    "cross_dataset": "cross-dataset",
    "domain_generalization": "domain generalization",
}
CLASSES = ("all", "base", "new")  # DATASET.SUBSAMPLE_CLASSES
DOMAIN_SHIFTS = {  # source -> the same classes under other conditions
    "imagenet": IMAGENET_VARIANTS,
    "shapes": ("shapes_blur", "shapes_noise", "shapes_sketch"),
}
OWN_IMAGES = ("ImageFolder", "ImageList")  # DATASET.NAME of one's own images
ALL_IMAGES = -1  # shots of a run that trained on every image, as DATASET.NUM_SHOTS says it
RESULTS = "results.json"
DEFAULT_CONFIG = "default"  # the name of a configuration that no file gave
LONGEST_NAME = 4096  # characters of an entry of a record

_METHOD = r"(?P<trainer>[^/]+)/(?P<config>[^/]+)"
_SHOTS = r"_(?P<shots>\d+)shots(?:/(?P<variant>.+))?"
_BASE2NEW = rf"(?P<dataset>[^/]+)/shots_(?P<shots>\d+)/{_METHOD}(?:/(?P<variant>.+))?/seed(?P<seed>\d+)"
_LAYOUTS = [
    (protocol, classes, re.compile(pattern))
    for protocol, classes, pattern in (
        ("base2new", "base", rf"base2new/(?:train|test)_base/{_BASE2NEW}"),
        ("base2new", "new", rf"base2new/test_new/{_BASE2NEW}"),
        ("cross_dataset", "all", rf"evaluation/{_METHOD}{_SHOTS}/(?P<dataset>[^/]+)/seed(?P<seed>\d+)"),
        ("few_shot", "all", rf"(?:few_shot/)?(?P<dataset>[^/]+)/{_METHOD}{_SHOTS}/seed(?P<seed>\d+)"),
        ("zero_shot", "all", r"(?P<trainer>Zeroshot[^/]+)/(?P<config>[^/]+)/(?P<dataset>[^/]+)"),
    )
]


@dataclass(frozen=True)
class RunSpec:
    """What a run is.

    Attributes:
        protocol: a key of `PROTOCOLS`.
        classes: those that it tests, one of `CLASSES`.
        dataset: name of its file in configs/datasets, for one's own images with their folder or list behind it.
        config: name of the method's configuration file.
        variant: name of settings that ``config`` does not tell, "" for none.
        shots: training images per class; 0: nothing was trained; `ALL_IMAGES`.
        seed: None where nothing depends on it.
        model: the training run whose model it tests, None where it tests its own.
    """

    protocol: str
    classes: str
    dataset: str
    trainer: str
    config: str
    variant: str = ""
    shots: int = 0
    seed: int | None = None
    model: RunSpec | None = None

    def __str__(self) -> str:
        trained = [in_words(self.shots), f"seed {self.seed}"] if self.seed is not None else []
        return ", ".join([self.method, self.dataset, *trained, self.doing])

    @property
    def settings_name(self) -> str:
        """Configuration and variant, as tables name them."""
        return f"{self.config}/{self.variant}" if self.variant else self.config

    @property
    def method(self) -> str:
        """The name in tables."""
        return f"{self.trainer} {self.settings_name}"

    @property
    def trained(self) -> str:
        """What its model was trained on and how, without the seed."""
        return f"{self.dataset} {self.method} {in_words(self.shots)}"

    @property
    def doing(self) -> str:
        """What it tests, in words."""
        if self.protocol == "base2new":
            return f"{self.classes} classes"
        shifted = {"cross_dataset": "other dataset", "domain_generalization": "shifted dataset"}
        return shifted.get(self.protocol, "all classes")

    @property
    def folder(self) -> Path:
        """Where it writes below the output folder: CoOp's layout."""
        variant = (self.variant,) if self.variant else ()
        if self.protocol == "zero_shot":
            return Path(self.trainer, self.config, *variant, self.dataset)
        seed = f"seed{self.seed or 0}"
        if self.protocol == "base2new":
            half = "test_new" if self.classes == "new" else "train_base"
            return Path(
                "base2new", half, self.dataset, f"shots_{self.shots}", self.trainer, self.config, *variant, seed
            )
        trained = Path(self.trainer, f"{self.config}_{self.shots}shots", *variant)
        if self.protocol == "few_shot":
            return Path(self.dataset) / trained / seed
        return Path("evaluation") / trained / self.dataset / seed

    def to_dict(self) -> dict:
        """The record in results.json."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: object) -> RunSpec | None:
        """The spec of a record in results.json, None where that is not one."""
        if not isinstance(record, Mapping):
            return None
        values = {field.name: record[field.name] for field in fields(cls) if field.name in record}
        if values.get("model") is not None:
            values["model"] = cls.of_record(values["model"]) if depth_of(record) == 2 else None
            if values["model"] is None:
                return None
        try:
            spec = cls(**values)
        except TypeError:
            return None
        names = (spec.protocol, spec.classes, spec.dataset, spec.trainer, spec.config, spec.variant)
        is_valid = (
            all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in names)
            and all(names[:-1])
            and spec.protocol in PROTOCOLS
            and spec.classes in CLASSES
            and (spec.shots == ALL_IMAGES or is_count(spec.shots))
            and (spec.seed is None or is_count(spec.seed))
        )
        return spec if is_valid else None

    @classmethod
    def of_run(cls, args: argparse.Namespace, cfg: CfgNode, model_run: str, trains: bool) -> RunSpec:
        """The spec of a run of train.py.

        Args:
            args: its command line; ``variant`` may be missing, as in the namespace of CoOp's own parser.
            model_run: folder of the run whose model it tests, "" for none.
            trains: whether its trainer has anything to train or to load.
        """
        classes = cfg.DATASET.SUBSAMPLE_CLASSES
        file = Path(args.dataset_config_file or cfg.DATASET.NAME).stem
        dataset = dataset_name(file, cfg.DATASET.NAME, args.opts or [])
        untrained = not model_run and (args.eval_only or not trains)
        model = cls.of_model(Path(model_run)) if model_run else None
        if classes != "all":
            protocol = "base2new"
        elif model:
            protocol = protocol_of_test(model.dataset, dataset)
        else:
            protocol = "zero_shot" if untrained else "few_shot"
        shots = 0 if untrained else shots_of(cfg.DATASET.NUM_SHOTS)
        seed = cfg.SEED if trains and cfg.SEED >= 0 else None
        return cls(
            *(protocol, classes, dataset, cfg.TRAINER.NAME),
            *(Path(args.config_file).stem or DEFAULT_CONFIG, getattr(args, "variant", "")),
            shots=model.shots if model else shots,
            seed=model.seed if model else seed,
            model=model,
        )

    @classmethod
    def of_model(cls, folder: Path) -> RunSpec | None:
        """The spec of the training run in ``folder``: its record, else what upstream's layout tells, else None."""
        results = json_if_readable(folder / RESULTS)
        recorded = cls.of_record(results.get("run")) if isinstance(results, dict) else None
        spec = recorded or cls.of_folder(folder)
        return replace(spec, model=None) if spec else None

    @classmethod
    def of_folder(cls, folder: Path) -> RunSpec | None:
        """The spec that a folder of upstream's layout tells, by the end of its path; None where it is none."""
        parts = folder.parts
        for start in range(len(parts)):
            if spec := cls.of_path("/".join(parts[start:])):
                return spec
        return None

    @classmethod
    def of_path(cls, path: str) -> RunSpec | None:
        """The same of a path below the output folder, all of which must fit."""
        for protocol, classes, layout in _LAYOUTS:
            if found := layout.fullmatch(path):
                place = found.groupdict()
                if protocol == "cross_dataset" and place["dataset"] in shifted_datasets():
                    protocol = "domain_generalization"
                names = (place["dataset"], place["trainer"], place["config"], place.get("variant") or "")
                if place["trainer"].startswith("Zeroshot"):  # folders name shots and seed, nothing depends on them
                    return cls(protocol if classes != "all" else "zero_shot", classes, *names)
                return cls(protocol, classes, *names, shots=int(place["shots"]), seed=int(place["seed"]))
        return None


def depth_of(record: object) -> int:
    """How many records are in one another: a model tests no model of its own."""
    depth = 0
    while isinstance(record, Mapping) and depth < 3:
        record, depth = record.get("model"), depth + 1
    return depth


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def shots_of(number: int) -> int:
    """What a run that trains records for DATASET.NUM_SHOTS."""
    return number if number > 0 else ALL_IMAGES


def in_words(shots: int) -> str:
    if shots == ALL_IMAGES:
        return "all images"
    return f"{shots} shot{'s' if shots != 1 else ''}"


def shifted_datasets() -> set[str]:
    return {dataset for targets in DOMAIN_SHIFTS.values() for dataset in targets}


def protocol_of_test(source: str, dataset: str) -> str:
    """The protocol of a test of all classes of ``dataset`` with a model that was trained on ``source``."""
    if dataset == source:
        return "few_shot"
    return "domain_generalization" if dataset in DOMAIN_SHIFTS.get(source, ()) else "cross_dataset"


def dataset_name(file: str, registered: str, pairs: Sequence[str]) -> str:
    """A dataset's name in results: that of its configuration file and, of one's own images, their folder or list.

    Args:
        file: name of the configuration file, without folder and suffix.
        registered: DATASET.NAME.
        pairs: the KEY VALUE pairs of the command line.
    """
    if registered not in OWN_IMAGES:
        return file
    values = dict(zip(pairs[::2], pairs[1::2], strict=False))
    listed, folder = values.get("DATASET.LIST", ""), values.get("DATASET.DIR", "")
    own = str(Path(listed).with_suffix("")) if listed else folder if re.search("[^./]", folder) else ""
    parts = [part for part in Path(own).parts if part not in (".", "/")]
    return "-".join([file, *parts])  # the whole path: photos/birds and paintings/birds are two
