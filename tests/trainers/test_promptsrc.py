"""PromptSRC: logits, loss and gradients of its released code, and its averaging over epochs."""

import math
import re

import pytest
import torch

import train
from support.user_error import UserError
from tests.golden_cases import (
    assert_as_released,
    assert_close,
    fill,
    golden,
    images_and_labels,
    seeded,
    tuned_clip,
)
from trainers.consistency import TEMPLATES
from trainers.epoch_average import EpochAverage, gaussian_weights
from trainers.imagenet_templates import IMAGENET_TEMPLATES

GOLDEN = golden("promptsrc")
NODE = ("N_CTX_TEXT", "N_CTX_VISION", "CTX_INIT", "PROMPT_DEPTH_TEXT", "PROMPT_DEPTH_VISION")
WEIGHTS = ("TEXT_LOSS_WEIGHT", "IMAGE_LOSS_WEIGHT")


def build(case):
    return tuned_clip("PromptSRC", GOLDEN["class_names"], **{key: case[key] for key in (*NODE, *WEIGHTS)}, GPA_MEAN=5.0)


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_logits_losses_and_gradients_are_the_released_codes(case):
    tuned = build(case)
    assert_as_released(tuned, case, GOLDEN)
    images, labels = images_and_labels(GOLDEN)
    terms = tuned.method.losses(tuned.outputs(images), labels)
    assert_close(terms["text_distance"], case["parts"]["text"])
    assert_close(terms["image_distance"], case["parts"]["image"])
    assert_close(terms["logits_divergence"], case["parts"]["logits"])


def test_the_ensemble_has_the_released_codes_templates():
    assert {IMAGENET_TEMPLATES.index(template) for template in TEMPLATES} == set(
        GOLDEN["templates"]["indices_in_openai_templates"]
    )


@pytest.mark.parametrize("case", GOLDEN["gaussian_weights"], ids=lambda case: f"{case['MAX_EPOCH']}-{case['GPA_MEAN']}")
def test_weights_of_epochs_are_the_released_codes(case):
    weights = gaussian_weights(case["MAX_EPOCH"], case["GPA_MEAN"], case["GPA_STD"], "GPA")
    assert weights == pytest.approx(case["weights"], rel=1e-6)


def test_the_average_over_epochs_is_the_released_codes():
    case = GOLDEN["averaging"]
    trainer = build(GOLDEN["cases"][0] | {"PROMPT_DEPTH_TEXT": 2, "PROMPT_DEPTH_VISION": 2})
    average = EpochAverage(gaussian_weights(case["MAX_EPOCH"], case["GPA_MEAN"], case["GPA_STD"], "GPA"))
    for epoch, learned in enumerate(case["learned"]):
        fill(trainer.method, seeded(learned))
        average.add(trainer.method, epoch)
    tensors = trainer.method.state_dict()
    names = {
        "prompt_learner.ctx": tensors["ctx"],
        "image_encoder.VPT": tensors["visual_ctx"],
        "image_encoder.transformer.resblocks.1.VPT_shallow": tensors["visual_deep_ctx"][0],
        "text_encoder.transformer.resblocks.1.VPT_shallow": tensors["deep_ctx"][0],
    }
    for name, wanted in case["averaged"].items():
        assert_close(names[name].flatten()[wanted["indices"]], wanted["values"])


def test_an_average_is_not_continued_with_other_weights():
    average = EpochAverage([0.5, 0.5])
    average.add(torch.nn.Linear(1, 1), 0)
    state = average.state()
    EpochAverage([0.5, 0.5]).load_state(state, torch.device("cpu"))
    for others in (state, None):
        with pytest.raises(UserError, match="MAX_EPOCH"):
            EpochAverage([0.2, 0.3, 0.5]).load_state(others, torch.device("cpu"))


def test_that_best_val_may_leave_the_average_out_is_told_and_every_loss_term_logged(root, tmp_path, capsys):
    arguments = [
        *("--root", str(tmp_path), "--seed", "1", "--trainer", "PromptSRC", "--output-dir", str(tmp_path / "run")),
        *("--dataset-config-file", str(root / "configs/datasets/digits.yaml")),
        *("--config-file", str(root / "configs/trainers/PromptSRC/tiny.yaml")),
        *("DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1", "TRAINER.PROMPTSRC.GPA_MEAN", "1.0"),
        *("TEST.FINAL_MODEL", "best_val", "DATALOADER.NUM_WORKERS", "0"),
    ]
    assert train.run(arguments) == 0
    assert capsys.readouterr().out.count("last_step tests the average") == 1
    log = (tmp_path / "run/log.txt").read_text()
    for term in ("loss", "cross_entropy", "text_distance", "image_distance", "logits_divergence"):
        assert re.search(rf" {term} \d+\.\d+ ", log)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (15.0, 0.0, "GPA_STD is 0"),
        (2000.0, 1.0, "no epoch of 1 to 5"),
        (15.0, math.nan, "GPA_STD is nan"),
        (math.nan, 1.0, "GPA_MEAN is nan"),
    ],
)
def test_a_gaussian_that_weighs_nothing_is_refused(mean, std, message):
    with pytest.raises(UserError, match=message):
        gaussian_weights(5, mean, std, "GPA")
