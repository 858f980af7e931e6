"""Names for several datasets: for --datasets of benchmark.py and tune.py, and so for DATASETS of quickstart.sh."""

from __future__ import annotations

from collections.abc import Sequence

from comparison.dataset_files import dataset_files, embedded_datasets
from support.user_error import ConfigError, did_you_mean

CROSS_DATASETS = (  # those that the field tests an ImageNet model on
    *("caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101"),
    *("fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101"),
)
ELEVEN = ("imagenet", *CROSS_DATASETS)  # of base-to-new and few-shot tables
IMAGENET_VARIANTS = ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")  # test images only
GROUPS = {
    "all": embedded_datasets,
    "embedded": embedded_datasets,
    "eleven": lambda: ELEVEN,
    "imagenet_variants": lambda: IMAGENET_VARIANTS,
    "fifteen": lambda: (*ELEVEN, *IMAGENET_VARIANTS),
}


def expand_datasets(names: Sequence[str], flag: str) -> list[str]:
    """The datasets of files in configs/datasets/, each once, with the members of `GROUPS` in their place.

    Args:
        flag: where the names were given.

    Raises:
        UserError: there is no such dataset or group, with the nearest name.
    """
    known = dataset_files()
    for name in names:
        if name not in known and name not in GROUPS:
            raise ConfigError(
                f'{flag}: unknown "{name}"{did_you_mean(name, [*known, *GROUPS])}; known: {", ".join(known)}; '
                f"several at once: {', '.join(GROUPS)}"
            )
    return list(dict.fromkeys(member for name in names for member in (GROUPS[name]() if name in GROUPS else (name,))))


def require_training_images(names: Sequence[str], flag: str) -> None:
    """UserError where one of the datasets, which are to be trained on, has test images only."""
    if tested := [name for name in names if name in IMAGENET_VARIANTS]:
        raise ConfigError(
            f"{flag}: {', '.join(tested)} can only be tested on, there are no training images: leave out, as eleven "
            "does, or test an ImageNet model there by benchmark.py domain_generalization"
        )
