"""Saved models of every method on the seeded CLIP, for tests of what one does with a finished run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.golden_cases import tuned_clip
from tests.seeded_weights import IMAGE_SIZE, seeded_state_dict
from trainers.model_record import ModelRecord, weights_hash
from trainers.preprocessing import Preprocessing
from trainers.tuned_clip import TunedCLIP

NAMES = ["dog", "golden_retriever", "jeep"]
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.3, 0.35)


def seeded_model(name: str, kind: str = "vit", **options) -> TunedCLIP:
    """A model of the trainer ``name`` with random learned tensors.

    Args:
        kind: of the image encoder, "vit" or "resnet".
        options: keys of the method's configuration.
    """
    torch.manual_seed(0)
    tuned = tuned_clip(name, NAMES, kind=kind, images=6, **options)
    for parameter in tuned.method.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    if "labels" in dict(tuned.method.named_buffers()):
        tuned.method.labels.copy_(torch.arange(6) % len(NAMES))
    size = (IMAGE_SIZE[kind], IMAGE_SIZE[kind])
    tuned.record = ModelRecord(
        trainer=name,
        settings=vars(tuned.method.config).copy(),
        backbone="",
        backbone_path="",
        backbone_hash=weights_hash(tuned.clip),
        class_names=NAMES,
        dataset="OxfordPets",
        template="",
        images=6,
        preprocessing=Preprocessing(size, "bicubic", MEAN, STD, ("normalize",), True, False),
    )
    return tuned.eval()


def saved_model(folder: Path, name: str, kind: str = "vit", **options) -> TunedCLIP:
    """Save a `seeded_model` in a folder and its CLIP beside it, and load it from there."""
    tuned = seeded_model(name, kind, **options)
    backbone = folder.parent / f"{kind}.pt"
    if not backbone.exists():
        torch.save(seeded_state_dict(kind), backbone)
    tuned.record = replace(tuned.record, backbone_path=str(backbone))
    tuned.save(str(folder))
    return TunedCLIP.load(str(folder), device="cpu")
