"""Before a sweep starts: what its runs need is there, looked at once for each dataset and each backbone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout

from comparison.job import Job
from support.user_error import user_message

NOT_OF_THE_IMAGES = ("DATASET.NUM_SHOTS", "DATASET.SUBSAMPLE_CLASSES")  # settings that the same files serve


def missing(jobs: Iterable[Job]) -> list[str]:
    """What the jobs cannot run without, one line each: datasets and backbones that cannot be loaded.

    Loading writes the images of embedded datasets and fetches backbones, which the runs then find.
    """
    checks: dict[object, tuple[Job, Callable]] = {}
    for job in jobs:
        checks.setdefault(("dataset", *_dataset_settings(job)), (job, _load_dataset))
        backbone = job.configuration.MODEL.BACKBONE
        if _reads_clip(job):
            checks.setdefault(("backbone", backbone.NAME, backbone.PATH), (job, _load_backbone))
    return list(dict.fromkeys(line for job, check in checks.values() if (line := _reason(job, check))))


def _reason(job: Job, check: Callable[[Job], object]) -> str | None:
    """Why the check of a job fails, None where it does not."""
    try:
        with redirect_stdout(io.StringIO()):
            check(job)
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        return message
    return None


def _dataset_settings(job: Job) -> list[tuple[str, str]]:
    from dassl.config import all_items

    ignored = () if job.configuration.DATASET.FEW_SHOT_FILE else NOT_OF_THE_IMAGES
    keys = ("DATASET.", "SEED") if job.configuration.DATASET.FEW_SHOT_FILE else ("DATASET.",)
    return [
        (key, str(value)) for key, value in all_items(job.configuration) if key.startswith(keys) and key not in ignored
    ]


def _load_dataset(job: Job) -> None:
    from dassl.data.datasets import build_dataset

    cfg = job.configuration.clone()
    cfg.defrost()
    if not cfg.DATASET.FEW_SHOT_FILE:  # which is of these shots, and perhaps of these classes
        cfg.DATASET.NUM_SHOTS, cfg.DATASET.SUBSAMPLE_CLASSES = -1, "all"
    build_dataset(cfg)


def _reads_clip(job: Job) -> bool:
    """Whether its trainer is of this repository; another may load its backbone in a way of its own."""
    from dassl.engine import TRAINER_REGISTRY

    return hasattr(TRAINER_REGISTRY.get(job.spec.trainer), "config_node")


def _load_backbone(job: Job) -> None:
    from clip.weights import load_clip

    load_clip(job.configuration.MODEL.BACKBONE.NAME, job.configuration.MODEL.BACKBONE.PATH)
