"""What MuDPT can do beyond its paper: each option by itself, and off by default."""

import pytest
import torch
import torch.nn.functional as F

from tests.golden_cases import build_trainer
from tests.seeded_weights import seeded_images
from trainers.consistency import consistency, frozen_ensemble
from trainers.mudpt import MuDPT
from user_error import UserError

NAMES = ["dog", "golden_retriever", "jeep"]
IMAGES, LABELS = seeded_images("vit", 2), torch.tensor([2, 0])
WEIGHTS = ("TEXT_LOSS_WEIGHT", "IMAGE_LOSS_WEIGHT", "LOGITS_LOSS_WEIGHT")


def build(**node):
    torch.manual_seed(0)
    return build_trainer("MuDPT", NAMES, **node)


def test_by_default_the_method_is_the_papers():
    trainer = build()
    assert MuDPT.config_defaults["INJECTION_INIT"] == 1 and MuDPT.config_defaults["AVERAGE_STD"] == 0
    assert not any(MuDPT.config_defaults[weight] for weight in WEIGHTS)
    assert not hasattr(trainer, "frozen_text") and trainer.average is None
    loss, logits = trainer.loss(IMAGES, LABELS)
    assert torch.equal(loss, F.cross_entropy(logits, LABELS))


@pytest.mark.parametrize("kind", ["transformer", "cross", "linear"])
def test_an_injection_that_starts_at_zero_adds_nothing_but_learns(kind):
    trainer = build(INJECTION=kind, INJECTION_INIT=0.0)
    learner = trainer.learner
    prompts = learner()
    assert torch.equal(prompts.visual_deep, learner.visual_deep_ctx) and torch.equal(
        prompts.text_deep, learner.deep_ctx
    )
    trainer.loss(IMAGES, LABELS)[0].backward()
    assert learner.inject_t2v.proj.weight.grad.abs().sum() > 0


def test_the_initial_scale_is_a_factor_of_the_injection():
    whole, half = build().learner, build(INJECTION_INIT=0.5).learner
    added, added_half = (learner().visual_deep - learner.visual_deep_ctx for learner in (whole, half))
    torch.testing.assert_close(added_half, 0.5 * added)


@pytest.mark.parametrize("part", ["text", "image", "logits"])
def test_a_distance_to_frozen_clip_is_added_with_its_weight(part):
    trainer = build(**{f"{part.upper()}_LOSS_WEIGHT": 3.0})
    loss, logits = trainer.loss(IMAGES, LABELS)
    frozen_text = frozen_ensemble(trainer.clip_model, NAMES)
    apart = getattr(consistency(trainer.model, IMAGES, trainer.model.outputs(IMAGES), frozen_text), part)
    assert apart > 0
    torch.testing.assert_close(loss, F.cross_entropy(logits, LABELS) + 3 * apart)


def test_the_average_over_epochs_replaces_the_last_epochs_tensors(tmp_path):
    trainer = build(AVERAGE_MEAN=2.0, AVERAGE_STD=1.0)
    weights, ctx = trainer.average.weights, trainer.learner.ctx
    assert len(weights) == trainer.max_epoch and sum(weights) == pytest.approx(1)
    for epoch in range(trainer.max_epoch):
        with torch.no_grad():
            ctx.fill_(epoch)
        trainer.average.add(trainer.learner, epoch)
    mean = sum(weight * epoch for epoch, weight in enumerate(weights))
    torch.testing.assert_close(ctx.detach(), torch.full_like(ctx, mean))


def test_an_average_far_from_all_epochs_is_refused():
    with pytest.raises(UserError, match="TRAINER.MUDPT.AVERAGE_MEAN"):
        build(AVERAGE_MEAN=1e6, AVERAGE_STD=1.0)
