"""What MuDPT can do beyond its paper: each option by itself, and off by default."""

import pytest
import torch
import torch.nn.functional as F

from tests.golden_cases import loss_and_logits, tuned_clip
from tests.seeded_weights import seeded_images
from trainers.consistency import consistency_losses, frozen_ensemble

NAMES = ["dog", "golden_retriever", "jeep"]
IMAGES, LABELS = seeded_images("vit", 2), torch.tensor([2, 0])
WEIGHTS = ("TEXT_LOSS_WEIGHT", "IMAGE_LOSS_WEIGHT", "LOGITS_LOSS_WEIGHT")


def build(**node):
    torch.manual_seed(0)
    return tuned_clip("MuDPT", NAMES, **node)


def test_by_default_the_method_is_the_papers():
    tuned = build()
    assert not any(getattr(tuned.method.config, weight) for weight in WEIGHTS)
    loss, logits = loss_and_logits(tuned, IMAGES, LABELS)
    assert torch.equal(loss, F.cross_entropy(logits, LABELS)) and tuned.method.epoch_weights(10) is None


@pytest.mark.parametrize("part", ["text", "image", "logits"])
def test_a_distance_to_frozen_clip_is_added_with_its_weight(part):
    tuned = build(**{f"{part.upper()}_LOSS_WEIGHT": 3.0})
    loss, logits = loss_and_logits(tuned, IMAGES, LABELS)
    weights = {name: float(name == part) for name in ("text", "image", "logits")}
    frozen_text = frozen_ensemble(tuned.clip, NAMES)
    cross_entropy, *distances = consistency_losses(tuned.outputs(IMAGES), LABELS, frozen_text, **weights).values()
    assert sum(distances) > 0
    torch.testing.assert_close(loss, cross_entropy + 3 * sum(distances))
