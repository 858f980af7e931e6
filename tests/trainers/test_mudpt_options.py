"""What MuDPT can do beyond its paper: each option by itself, and off by default."""

import pytest
import torch
import torch.nn.functional as F

from tests.golden_cases import build_trainer
from tests.seeded_weights import seeded_images
from trainers.consistency import consistency, frozen_ensemble
from trainers.mudpt import MuDPT

NAMES = ["dog", "golden_retriever", "jeep"]
IMAGES, LABELS = seeded_images("vit", 2), torch.tensor([2, 0])
WEIGHTS = ("TEXT_LOSS_WEIGHT", "IMAGE_LOSS_WEIGHT", "LOGITS_LOSS_WEIGHT")


def build(**node):
    torch.manual_seed(0)
    return build_trainer("MuDPT", NAMES, **node)


def test_by_default_the_method_is_the_papers():
    trainer = build()
    assert not any(MuDPT.config_defaults[weight] for weight in WEIGHTS)
    assert not hasattr(trainer, "frozen_text") and trainer.average is None
    loss, logits = trainer.loss(IMAGES, LABELS)
    assert torch.equal(loss, F.cross_entropy(logits, LABELS))


@pytest.mark.parametrize("part", ["text", "image", "logits"])
def test_a_distance_to_frozen_clip_is_added_with_its_weight(part):
    trainer = build(**{f"{part.upper()}_LOSS_WEIGHT": 3.0})
    loss, logits = trainer.loss(IMAGES, LABELS)
    frozen_text = frozen_ensemble(trainer.clip_model, NAMES)
    apart = getattr(consistency(trainer.model, IMAGES, trainer.model.outputs(IMAGES), frozen_text), part)
    assert apart > 0
    torch.testing.assert_close(loss, F.cross_entropy(logits, LABELS) + 3 * apart)
