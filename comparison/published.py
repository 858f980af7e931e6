"""Published figures: averages over the eleven datasets of the field, ViT-B/16, 16 shots, base-to-new, three seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comparison.runs import Run

DATASETS = {
    *("imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101"),
    *("fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101"),
}


@dataclass(frozen=True)
class Published:
    """A method's averaged accuracy on the base classes and on the new ones, and their H, as its source rounds them.

    Attributes:
        config: the config that it was measured with; "" where that does not tell methods apart.
    """

    trainer: str
    config: str
    base: float
    new: float
    h: float
    source: str


_MAPLE, _PROMPTSRC = "MaPLe README", "PromptSRC README"
FIGURES = (
    Published("ZeroshotCLIP", "", 69.34, 74.22, 71.70, _MAPLE),
    Published("CoOp", "", 82.69, 63.22, 71.66, _MAPLE),
    Published("CoCoOp", "", 80.47, 71.69, 75.83, _MAPLE),
    Published("VPT", "vit_b16_c2_ep5_batch4_4", 80.24, 73.43, 76.68, _MAPLE),
    Published("IVLP", "vit_b16_c2_ep5_batch4_4ctx_language_only", 81.72, 73.81, 77.56, _MAPLE),
    Published("IVLP", "vit_b16_c2_ep5_batch4_2+2ctx", 82.15, 74.07, 77.90, _MAPLE),
    Published("IVLP", "vit_b16_c2_ep20_batch4_4+4ctx", 84.21, 71.79, 77.51, _PROMPTSRC),
    Published("MaPLe", "", 82.28, 75.14, 78.55, _MAPLE),
    Published("PromptSRC", "", 84.26, 76.10, 79.97, _PROMPTSRC),
    Published("MMA", "", 83.20, 76.80, 79.87, "MMA README"),
    Published("MMRL", "", 85.68, 77.16, 81.20, "MMRL paper, its settings per dataset"),
)


def published(runs: Iterable[Run], datasets: Iterable[str]) -> Published | None:
    """What was published for the runs of one method, averaged over ``datasets``, in base-to-new."""
    if set(datasets) != DATASETS:
        return None
    settings = {(run.table, run.trainer, run.shots, run.backbone) for run in runs}
    if len(settings) != 1:
        return None
    table, trainer, shots, backbone = settings.pop()
    if (table, shots, backbone) != ("base-to-new", 16, "ViT-B/16"):
        return None
    configs = {run.config for run in runs}
    return next((row for row in FIGURES if row.trainer == trainer and row.config in ("", *configs)), None)
