"""Saved models of every method on the seeded CLIP, for tests of what one does with a finished run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

import trainers  # noqa: F401  registers the methods
from clip.model import build_model
from dassl.engine import TRAINER_REGISTRY
from tests.seeded_weights import IMAGE_SIZE, seeded_state_dict
from trainers.method import Task
from trainers.model_record import ModelRecord, weights_hash
from trainers.preprocessing import Preprocessing
from trainers.tuned_clip import TunedCLIP

NAMES = ["dog", "golden_retriever", "jeep"]
FEW_LAYERS = {  # options of methods whose defaults name layers that the seeded CLIP lacks
    "MMA": {"ADAPTER_START": 1},
    "MMRL": {"REP_LAYERS": [1, 2, 3], "REP_DIM": 16},
}
DESCRIPTIONS = {name: [f"A {name} is seen from the side.", f"One {name}."] for name in NAMES}
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.3, 0.35)


def shallow_state_dict(kind: str, layers: int) -> dict[str, torch.Tensor]:
    """The seeded CLIP with the first layers of its transformers."""
    tensors = seeded_state_dict(kind)
    left_out = tuple(f"resblocks.{layer}." for layer in range(layers, 3))
    return {name: tensor for name, tensor in tensors.items() if not any(layer in name for layer in left_out)}


def seeded_model(name: str, kind: str = "vit", layers: int = 3, **options) -> TunedCLIP:
    """A model of the trainer ``name`` with random learned tensors.

    Args:
        kind: of the image encoder, "vit" or "resnet".
        layers: of the transformers.
        options: keys of the method's configuration.
    """
    torch.manual_seed(0)
    backbone = build_model(shallow_state_dict(kind, layers)).requires_grad_(False)
    method_class = TRAINER_REGISTRY.get(name).Method
    config = method_class.Config(**FEW_LAYERS.get(name, {}) | options)
    task = Task(NAMES, "OxfordPets", images=6, descriptions=DESCRIPTIONS)
    tuned = TunedCLIP(backbone, method_class(config, task, backbone))
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
        descriptions=DESCRIPTIONS if method_class.needs_descriptions else {},
    )
    return tuned.eval()


def saved_model(folder: Path, name: str, kind: str = "vit", layers: int = 3, **options) -> TunedCLIP:
    """Save a `seeded_model` in a folder and its CLIP beside it, and load it from there."""
    tuned = seeded_model(name, kind, layers, **options)
    backbone = folder.parent / f"{kind}.pt"
    if not backbone.exists():
        torch.save(shallow_state_dict(kind, layers), backbone)
    tuned.record = replace(tuned.record, backbone_path=str(backbone))
    tuned.save(str(folder))
    return TunedCLIP.load(str(folder), device="cpu")
