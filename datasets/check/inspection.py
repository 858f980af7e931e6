"""Looking at a data set without changing anything: is it there, is it what was published, can its images be read?"""

import io
import os
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain
from multiprocessing.pool import ThreadPool
from pathlib import Path

import yaml

from dassl.config import get_cfg_default
from dassl.data.data_manager import available_cores
from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import progress_bar, read_image
from datasets import add_config
from datasets.generated_dataset import GeneratedDataset
from datasets.sources import SOURCES
from datasets.split_dataset import SplitDataset
from datasets.splits import PARTS, Split, by_label, split_classes, split_hash
from support.user_error import DataError, UserError, did_you_mean, shorten

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "datasets"
SAMPLE = 200  # images looked at unless all are
FOUND, MISSING, INCOMPLETE, UNUSABLE, NOT_MADE = "found", "missing", "incomplete", "unusable", "not made yet"


@dataclass
class Inspection:
    """What was found of one data set.

    Attributes:
        name: as in configs/datasets, or a path.
        state: FOUND, MISSING (no images), INCOMPLETE (fewer classes or images than published), UNUSABLE, or NOT_MADE
            (written on first use).
        counts: number of "classes" and of "train", "val" and "test" images, those that there are.
        published: the same as published; empty if it is no published dataset.
        split: "split_zhou" (CoOp's split file), "made here" or "none" (needs none).
        split_hash: see splits.split_hash; "" if there is no split.
        looked_at: number of images that were decoded; unreadable: those that could not be.
        problems: what is wrong, and what to do about it, one sentence each.
        images: all that there are, as (train, val, test); () if the split cannot be read.
        images_as_shown: how they are read, see DatasetBase.
    """

    name: str
    state: str = FOUND
    counts: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    split: str = "none"
    split_hash: str = ""
    looked_at: int = 0
    unreadable: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    images: Split | tuple[()] = ()
    images_as_shown: bool = False

    @property
    def is_own(self) -> bool:
        """Whether these are a person's own images."""
        return self.name not in known_names()

    @property
    def is_usable(self) -> bool:
        return self.state in (FOUND, NOT_MADE)


@cache
def known_names() -> dict[str, str]:
    """Return {name in configs/datasets: name in the registry}."""
    names = {}
    for path in sorted(CONFIGS.glob("*.yaml")):
        name = yaml.safe_load(path.read_text(encoding="utf-8")).get("DATASET", {}).get("NAME")
        if name in DATASET_REGISTRY.registered_names():
            names[path.stem] = name
    return names


def published_names() -> list[str]:
    """Return the names of the data sets of CoOp's paper."""
    datasets = {name: DATASET_REGISTRY.get(of) for name, of in known_names().items()}
    return [name for name, of in datasets.items() if getattr(of, "published", None) and of.in_coops_paper]


@cache
def aliases() -> dict[str, str]:
    """Return {name in configs/datasets or in the registry, in lower case: name in configs/datasets}."""
    return {alias.lower(): file for file, dataset in known_names().items() for alias in (dataset, file)}


def canonical_name(name: str) -> str:
    """Return the name in configs/datasets of a data set that is named as there or as in the registry, in any case.

    Raises:
        UserError: there is none.
    """
    if name.lower() not in aliases():
        near = did_you_mean(name, aliases())
        raise DataError(f'"{name}" is neither a data set nor a path{near}; there are {", ".join(known_names())}')
    return aliases()[name.lower()]


def resolve(name: str, root: str):
    """Return (name, configuration with which a run would read it) of a data set.

    Args:
        name: a data set, or the path of a person's own: a folder, or a list of images (.csv, .json, ...).
        root: the data root.

    Raises:
        UserError: there is no such data set, and no such path here or under the data root.
    """
    cfg = get_cfg_default()
    add_config(cfg)
    cfg.DATASET.ROOT = root
    places = (os.path.expanduser(name), os.path.join(os.path.expanduser(root), name))
    path = next(filter(os.path.exists, places), None)
    if path and name.lower() not in aliases():
        key, cfg.DATASET.NAME = ("DIR", "ImageFolder") if os.path.isdir(path) else ("LIST", "ImageList")
        cfg.DATASET[key] = os.path.abspath(path)
    else:
        name = canonical_name(name)
        cfg.DATASET.NAME = known_names()[name]
    return name, cfg


def inspect(name: str, cfg, every_image: bool = False) -> Inspection:
    """Look at the data set that ``cfg`` names; nothing is written, and what is wrong is told and not raised.

    Args:
        name: what to call it.
        every_image: decode all images and not SAMPLE of them.
    """
    found, dataset = Inspection(name), None
    try:
        dataset = located(cfg)
        _look_at(found, dataset, cfg, every_image)
    except Exception as error:  # whatever is wrong with one data set, the others are looked at
        found.state = found.state if found.state == MISSING else UNUSABLE
        found.problems.append(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
        if dataset and name in SOURCES:
            found.problems += SOURCES[name].ways_to_get(name, cfg.DATASET.ROOT, dataset.dataset_dir)
    return found


def _look_at(found: Inspection, dataset: SplitDataset, cfg, every_image: bool) -> None:
    found.published = dataset.published
    if isinstance(dataset, GeneratedDataset) and not os.path.isfile(dataset.split_path):
        found.state = MISSING
        dataset.require_sources()
        found.state = NOT_MADE
        found.problems.append(f"{os.path.dirname(dataset.split_path)} is written on first use")
        return
    if not os.path.exists(dataset.image_dir):
        found.state = MISSING
    notices = io.StringIO()
    with redirect_stdout(notices):
        split = dataset.whole_split()
    found.images = ([], [], split[2]) if dataset.only_tested else split
    found.images_as_shown = dataset.images_as_shown
    found.problems += [line.removeprefix("notice: ") for line in notices.getvalue().splitlines()]
    found.counts = _counts(split, dataset.only_tested)
    found.split_hash = split_hash(split, dataset.image_dir)
    _compare_with_published(found, dataset.source)
    _tell_where_the_split_is_from(found, dataset, split, cfg)
    _look_at_images(found, split, every_image)


def located(cfg) -> SplitDataset:
    """Return the data set that ``cfg`` names, of which nothing has been read but where it is.

    Raises:
        UserError: it is not a SplitDataset, but for instance an unchanged dataset file of CoOp's.
    """
    dataset = DATASET_REGISTRY.get(cfg.DATASET.NAME)
    if not issubclass(dataset, SplitDataset):
        raise DataError(f"{cfg.DATASET.NAME} is a data set of another kind than those here: only train.py can read it")
    return dataset.located(cfg)


def _counts(split: Split, only_tested: bool) -> dict[str, int]:
    counts = {"classes": len({item.label for part in split for item in part})}
    parts = {part: len(items) for part, items in zip(PARTS, split, strict=True)}
    return {**counts, "test": parts["test"]} if only_tested else {**counts, **parts}


def _compare_with_published(found: Inspection, source: str) -> None:
    others = {what: number for what, number in found.published.items() if found.counts.get(what) != number}
    if not others:
        return
    told = (
        f"{found.counts.get(what, 0):,} {what if what == 'classes' else f'{what} images'} ({number:,})"
        for what, number in others.items()
    )
    advice = ""
    if any(found.counts.get(what, 0) < number for what, number in others.items()):
        found.state = INCOMPLETE
        advice = f": get the rest from {source}"
    found.problems.append(f"other numbers than published, which are in brackets: {', '.join(told)}{advice}")


def _tell_where_the_split_is_from(found: Inspection, dataset: SplitDataset, split: Split, cfg) -> None:
    there = os.path.isfile(dataset.split_path)
    if not os.path.basename(dataset.split_path).startswith("split_zhou"):
        found.split = "made here" if there else "none"
        return
    if there and not _is_made_here(found, dataset, split, cfg):
        found.split = "split_zhou"
        return
    found.split = "made here"
    where = SOURCES.get(found.name)
    found.problems.append(
        f"the split {'was' if there else 'will be'} made here, which is usable but differs from CoOp's: to compare "
        f"with published numbers get {dataset.split_path}"
        + (f" from {where.by_hand[dataset.split_file]}" if where else "")
    )


def _is_made_here(found: Inspection, dataset: SplitDataset, split: Split, cfg) -> bool:
    """Whether the split file is what the code here makes where there is none."""
    # From the images that it lists, not those that are in the folders by now.
    images = sorted(chain.from_iterable(split), key=lambda item: item.impath.split(os.sep))
    without_file = located(cfg)
    without_file.split_path = ""
    for make in (lambda: split_classes(by_label(images).values()), without_file.whole_split):
        try:
            with redirect_stdout(io.StringIO()):
                if split_hash(make(), dataset.image_dir) == found.split_hash:
                    return True
        except UserError:  # too few images of a class, or no annotations
            continue
    return False


def _look_at_images(found: Inspection, split: Split, every_image: bool) -> None:
    paths = list(dict.fromkeys(item.impath for item in chain.from_iterable(split)))
    looked_at = paths if every_image else spread(paths, SAMPLE)
    found.looked_at = len(looked_at)
    # Threads: Pillow decodes without the lock of the interpreter.
    with ThreadPool(available_cores()) as pool:
        results = progress_bar(
            pool.imap(partial(_why_unreadable, as_shown=found.images_as_shown), looked_at, chunksize=8),
            total=len(looked_at),
            desc=found.name,
            unit=" images",
        )
        reasons = {path: reason for path, reason in zip(looked_at, results, strict=True) if reason}
    found.unreadable = list(reasons)
    if found.unreadable:
        found.state = UNUSABLE
        others = "" if every_image else " (--all looks at all)"
        found.problems.append(
            f"{len(found.unreadable):,} of {found.looked_at:,} images cannot be read{others}: "
            f"{shorten(found.unreadable)}: get them again, or take them out"
        )
        found.problems.append(next(iter(reasons.values())))


def spread(items: list, number: int) -> list:
    """Return ``number`` of ``items``, evenly spread, with the first and the last; all if there are fewer."""
    if len(items) <= number:
        return items
    return [items[round(index * (len(items) - 1) / max(number - 1, 1))] for index in range(number)]


def _why_unreadable(path: str, as_shown: bool) -> str:
    try:
        read_image(path, as_shown=as_shown)
    except UserError as error:
        return str(error)
    return ""
