"""Reads tests/golden/<method>.json: the released codes' numbers, and our trainers set up for the same cases."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor

import clip
import train
from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY, TrainerBase
from tests.seeded_weights import IMAGE_SIZE, seeded_images, seeded_state_dict, seeded_tensor

TOLERANCE = 2e-3  # relative; what is seen is below 1e-4


def golden(method: str) -> dict:
    return json.loads((Path(__file__).parent / "golden" / f"{method}.json").read_text())


def images_and_labels(of: dict) -> tuple[Tensor, Tensor]:
    return seeded_images("vit", of["image_count"], of["image_seed"]), torch.tensor(of["labels"])


def seeded(recipes: dict[str, dict]) -> dict[str, Tensor]:
    """The tensors of a case by the released code's names, without those that the method itself initialises."""
    return {
        name: seeded_tensor(tuple(recipe["shape"]), recipe["seed"], recipe["std"])
        for name, recipe in recipes.items()
        if "seed" in recipe
    }


def build_trainer(name: str, class_names: list[str], dataset: str = "OxfordPets", kind: str = "vit", **node):
    """The trainer ``name`` on the seeded CLIP; ``node`` are keys of its configuration, it has no data."""
    trainer_class = TRAINER_REGISTRY.get(name)
    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    cfg.INPUT.SIZE = (IMAGE_SIZE[kind], IMAGE_SIZE[kind])
    cfg.DATASET.NAME = dataset
    for key, value in {"PREC": "fp32", **node}.items():
        assert key in cfg.TRAINER[trainer_class.config_node], key
        cfg.TRAINER[trainer_class.config_node][key] = value
    trainer = trainer_class.__new__(trainer_class)
    TrainerBase.__init__(trainer)
    trainer.cfg, trainer.device, trainer.max_epoch = cfg, torch.device("cpu"), cfg.OPTIM.MAX_EPOCH
    trainer.batches, trainer.skipped_batches = None, {}
    trainer.dm = SimpleNamespace(dataset=SimpleNamespace(classnames=class_names))
    backbone = clip.build_model(seeded_state_dict(kind)).requires_grad_(False)
    with mock.patch("trainers.clip_trainer.load_clip_to_cpu", lambda cfg: backbone):
        trainer.build_model()
    trainer.set_model_mode("train")
    return trainer


def fill(learner, tensors: dict[str, Tensor]) -> None:
    """Load the released code's tensors into our learner; those it has beside them keep their values."""
    tensors = {name.removeprefix("prompt_learner."): tensor for name, tensor in tensors.items()}
    tensors = {**learner.state_dict(), **getattr(learner, "convert_state_dict", lambda tensors: tensors)(tensors)}
    learner.load_state_dict(tensors)


def assert_close(got: Tensor, wanted) -> None:
    wanted = torch.tensor(wanted)
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


def assert_gradients(learner, wanted: dict[str, dict]) -> None:
    """Compare the learner's gradients with the released ones, by the released code's names."""
    for name, gradient in wanted.items():
        got = _gradient_of(learner, name).flatten()
        picked = got[gradient["indices"]] if "indices" in gradient else got
        scale = max(gradient["norm"], 1e-6)
        assert abs(got.norm().item() - gradient["norm"]) <= TOLERANCE * scale, name
        assert (picked - torch.tensor(gradient["values"])).abs().max() <= TOLERANCE * scale, name


def assert_as_released(trainer, case: dict, of: dict) -> None:
    """Logits, loss and gradients of a trainer with a case's tensors are the released code's."""
    fill(trainer.learner, seeded(case["learned"]))
    loss, logits = trainer.loss(*images_and_labels(of))
    assert_close(logits, case["logits"])
    assert_close(loss, case["loss"])
    loss.backward()
    assert_gradients(trainer.learner, case["grads"])


def assert_checkpoint_serves_other_classes(build, state: dict[str, Tensor], case: dict, of: dict, folder: Path) -> None:
    """A learner's checkpoint gives the released logits where only the first four classes are tested.

    Args:
        build: (case, class names) -> trainer.
        state: the tensors that the released code saves.
    """
    (folder / "prompt_learner").mkdir()
    torch.save({"state_dict": state, "epoch": 100}, folder / "prompt_learner" / "model.pth.tar-100")
    trainer = build(case, of["class_names"][:4])
    trainer.load_model(str(folder), epoch=100)
    trainer.set_model_mode("eval")
    images, _ = images_and_labels(of)
    assert_close(trainer.model_inference(images), [row[:4] for row in case["logits"]])


def _gradient_of(learner, name: str) -> Tensor:
    """The gradient of what the released code calls ``name``: a whole parameter, or one layer of a stacked one."""
    parameters = dict(learner.named_parameters())
    own = name.removeprefix("prompt_learner.")
    if own in parameters:
        return parameters[own].grad
    if name.endswith("VPT"):
        return parameters["visual_ctx"].grad
    layer = int(name.split("resblocks.")[1].split(".")[0])
    return parameters["visual_deep_ctx" if name.startswith("image") else "deep_ctx"].grad[layer - 1]
